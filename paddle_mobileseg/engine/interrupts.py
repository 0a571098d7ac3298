"""Ctrl-C, SIGTERM and a terminal that is closed: training finishes its iteration and saves before it ends."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class TrainingInterruptedError(Exception):
    """Training was stopped before its end; the message says which checkpoint to go on from."""


class Interrupts:
    """Takes SIGINT (Ctrl-C), SIGTERM and SIGHUP as a wish to stop, as long as it is entered.

    A second SIGINT raises ``KeyboardInterrupt`` where training just is. SIGTERM never does: the launcher of several
    processes sends it three times in a row, and only 30 seconds later SIGKILL. After SIGHUP (the terminal was closed)
    nothing is printed any more; it is ignored where it was before, as under nohup.

    Args:
        leader: whether this process speaks to the user; others print nothing, and a second SIGINT does not end them.

    Attributes:
        requested: a signal has come.
    """

    def __init__(self, leader: bool = True) -> None:
        self.requested = False
        self._leader = leader
        self._ctrl_c = False
        self._previous: dict[int, Any] = {}
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _take(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self._ctrl_c and self._leader:
            raise KeyboardInterrupt
        if number == signal.SIGHUP:
            _say_nothing_more(self._terminals)
        if self._leader and not self.requested:
            # Not print: the signal may have come in the middle of one.
            os.write(2, b"\nstopping after this iteration; press Ctrl-C again to stop at once\n")
        self.requested = True
        self._ctrl_c |= number == signal.SIGINT


def _say_nothing_more(terminals: list[int]) -> None:
    """Let what is printed go nowhere: writing to a terminal that is gone would be an error, before the checkpoint."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in terminals:
        os.dup2(nowhere, stream)
    os.close(nowhere)
