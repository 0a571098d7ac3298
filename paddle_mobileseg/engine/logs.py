"""Where the records of a training go: JSON lines and VisualDL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_mobileseg.files import atomic_path

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Step, Trainer


class Hook:
    """Called after every step and once at the end, whatever ended the training."""

    def after_step(self, trainer: Trainer, step: Step) -> None:
        """One iteration is done; ``trainer`` has its state after it."""

    def close(self) -> None:
        """Training has ended, normally or not."""


class LogSink(Hook):
    """Receives the records of a training: ``{"kind": "train" | "val", "iter": ..., ...}``."""

    def write(self, record: dict[str, Any]) -> None:
        """Take in one record."""

    def image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        """Take in a picture, uint8 ``[H, W, 3]``."""


class JsonLines(LogSink):
    """One JSON record a line. Resuming keeps the lines up to the iteration that training goes on from."""

    def __init__(self, path: Path, first_iteration: int) -> None:
        kept = []
        if path.is_file() and first_iteration:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _iteration(line) <= first_iteration]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _iteration(line: str) -> float:
    """Of a record; infinity for what is none, such as half a line from a kill."""
    try:
        return float(json.loads(line)["iter"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class VisualDL(LogSink):
    """Scalars and sample pictures for VisualDL."""

    def __init__(self, folder: Path) -> None:
        from visualdl import LogWriter

        self._writer = LogWriter(str(folder))

    def write(self, record: dict[str, Any]) -> None:
        group = "Train" if record["kind"] == "train" else "Evaluate"
        for name, value in record.items():
            if isinstance(value, float):
                self._writer.add_scalar(f"{group}/{name}", value, record["iter"])
        for name, value in record.get("iou", {}).items():
            if value is not None:
                self._writer.add_scalar(f"{group}/IoU/{name.replace('/', '_')}", value, record["iter"])

    def image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        self._writer.add_image(tag, image, iteration)

    def close(self) -> None:
        self._writer.close()
