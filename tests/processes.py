"""Processes that tests look for: Linux's /proc tells."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path


def children(process: int | str = "self") -> set[int]:
    """Process ids of a process's children, also of those that ended and were not waited for."""
    found: set[int] = set()
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(int(pid) for pid in task.read_text().split())
    return found


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def describe(pid: int) -> str:
    """Its number, name and command line."""
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return f"{pid} {name}: {Path(f'/proc/{pid}/cmdline').read_bytes().decode(errors='replace')}".replace("\0", " ")
    return f"{pid} (gone)"


def wait_until(reached: Callable[[], object], seconds: float = 30) -> None:
    """Return when something has happened; an AssertionError when it has not after so many seconds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
