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


class Pace:
    """How long a training will still take: its steps, and the evaluations and checkpoints between them.

    Args:
        total: iterations to be done in all.
        interval: iterations between checkpoints; there is one at the end too.
    """

    def __init__(self, total: int, interval: int) -> None:
        self._total = total
        self._interval = interval
        self._steps = self._checkpoints = 0
        self._step_s = self._checkpoint_s = 0.0

    def step(self, seconds: float) -> None:
        """Count a step."""
        self._steps += 1
        self._step_s += seconds

    def checkpoint(self, seconds: float) -> None:
        """Count a checkpoint with its evaluation."""
        self._checkpoints += 1
        self._checkpoint_s += seconds

    def left(self, iteration: int) -> float:
        """Seconds from the end of an iteration (and before its checkpoint) to that of the training.

        Before the first checkpoint, what these take is not known and left out.
        """
        steps = self._total - iteration
        checkpoints = -(-self._total // self._interval) - (iteration - 1) // self._interval
        return steps * self._step_s / max(self._steps, 1) + checkpoints * self._checkpoint_s / max(self._checkpoints, 1)


def duration(seconds: float) -> str:
    """Seconds as ``h:mm:ss`` or ``m:ss``."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
