"""Where the records of a training go. Here: JSON lines; :mod:`paddle_mobileseg.engine.visualdl` has VisualDL.

A record is a dict with ``kind`` and ``iter``, the iterations done when it was written. The kinds, each with what
``docs/reference/training_log.md`` says of its other keys:

========== ==========================================================================================================
start      a run begins: ``run`` (its id), ``iters``, ``batch_size``, ``ranks``, ``date``
resume     it goes on from a checkpoint: the same, and ``checkpoint``
train      means over the iterations since the record before: ``loss``, ``images_per_s``, ...
val        scores of an evaluation: ``miou``, ``iou`` by class name, ...
checkpoint one has been written: ``name``, ``best``, ``seconds``
stop       training has ended: ``reason`` is ``complete``, ``early_stop``, ``interrupted`` or ``error``
========== ==========================================================================================================
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_mobileseg.files import atomic_path

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Step, Trainer


class Hook:
    """Called at the beginning, after every step, and once at the end, whatever ended the training."""

    def before_steps(self, trainer: Trainer) -> None:
        """Training is about to begin, or to go on; ``trainer`` has its state."""

    def after_step(self, trainer: Trainer, step: Step) -> None:
        """One iteration is done; ``trainer`` has its state after it."""

    def close(self) -> None:
        """Training has ended, normally or not."""


class LogSink(Hook):
    """Receives the records of a training."""

    def write(self, record: dict[str, Any]) -> None:
        """Take in one record.

        Raises:
            OSError: it cannot be written; what was written before is whole.
        """

    def image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        """Take in a picture, uint8 ``[H, W, 3]`` RGB."""


class WholeAppends:
    """A file that only grows, by whole pieces: each is handed to the system at once, and gone if it did not fit.

    Raises:
        OSError: the file cannot be opened or written; the message names it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by close)

    def append(self, piece: bytes) -> None:
        """Add a piece; a kill right after it leaves it in the file."""
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(piece) != len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._file.fileno(), end)
            raise OSError(
                f"cannot write to {self.path}: {error.strerror or error}; make room, and go on with --resume auto"
            ) from error

    def close(self) -> None:
        """Nothing is pending: there is no buffer."""
        self._file.close()


class JsonLines(LogSink):
    """One JSON record a line.

    Args:
        path: of the file. What an earlier part of the run wrote there is kept up to ``first_iteration``.
        first_iteration: that training goes on from.
        opening: a record to write before the first other one. So a training that fails at once leaves an empty file,
            and can be started again.
    """

    def __init__(self, path: Path, first_iteration: int, opening: dict[str, Any] | None = None) -> None:
        kept = []
        if path.is_file() and first_iteration:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _iteration(line) <= first_iteration]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._opening = [] if opening is None else [opening]
        self._file = WholeAppends(path)

    def write(self, record: dict[str, Any]) -> None:
        if record["kind"] == "stop" and self._opening:
            return
        lines = [json.dumps(_finite(each), allow_nan=False) + "\n" for each in (*self._opening, record)]
        self._file.append("".join(lines).encode())
        self._opening = []

    def close(self) -> None:
        self._file.close()


def run_id(log: Path, resumed: bool) -> str:
    """The id of the run that a log belongs to if it is resumed; else, or where the log has none, a new one."""
    if resumed and log.is_file():
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            record = _record(line)
            if isinstance(record.get("run"), str):
                return record["run"]
    return secrets.token_hex(8)


def _record(line: str) -> dict[str, Any]:
    """Of a line; empty for what is no record, such as half a line from a kill."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _iteration(line: str) -> float:
    """Of a record; infinity for what is none."""
    try:
        return float(_record(line)["iter"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _finite(value: Any) -> Any:
    """For JSON, which has no NaN and no infinity: ``None`` in their place."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
