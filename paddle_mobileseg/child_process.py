"""Child processes: one that is run to its end, and what is said of one that failed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_LAST_LINES = 8


def run_to_end(
    command: Sequence[str], timeout_s: float, name: str, environment: Mapping[str, str] | None = None
) -> str:
    """What a program prints to stdout. It gets a session of its own, so that what it started ends with it.

    Args:
        command: its words.
        timeout_s: after which it is killed.
        name: what messages call it.
        environment: of the program; by default this one's.

    Raises:
        TimeoutError: it was not done in time.
        ChildProcessError: its exit status was not 0; with its last words.
        OSError: it could not be started.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{name} was not done after {timeout_s:g} s and was stopped") from error
    finally:
        if process.returncode is None:  # too slow, or Ctrl-C
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        how = how_it_ended(process.returncode)
        raise ChildProcessError(f"{name} {how}. Its last words:\n  " + last_words(out + err))
    return out


def importing_environment(**more: str) -> dict[str, str]:
    """This process's environment for a Python that can import this package, wherever it lies, and ``more``."""
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def how_it_ended(status: int) -> str:
    """A process's exit status in words: ``failed (exit status 1)``, ``died of SIGABRT``."""
    if status >= 0:
        return f"failed (exit status {status})"
    names = {number.value: number.name for number in signal.Signals}
    return f"died of {names.get(-status, f'signal {-status}')}"


def last_words(text: str) -> str:
    """The last lines that are not empty, indented by two."""
    lines = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
    return "\n  ".join(lines or ["(none)"])
