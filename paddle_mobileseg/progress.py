"""Progress: a tqdm bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_SECONDS_BETWEEN_LINES = 20.0


def progress(items: Iterable[_T], total: int, name: str) -> Iterator[_T]:
    """Pass items on and show how far it is and how long it will take, on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm  # not on machines that only run a bundle

        yield from tqdm(items, total=total, desc=name, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and done < total:
            left = (now - start) / done * (total - done)
            print(f"{name} {done}/{total}, {duration(left)} left", file=sys.stderr, flush=True)
            last = now


def duration(seconds: float) -> str:
    """Seconds as ``h:mm:ss`` or ``m:ss``."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
