"""Trainings that are stopped and go on, comparing them, and damaging their checkpoints."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.config import Config
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.interrupts import TrainingInterruptedError


def train(cfg: Config, folder: Path, stop: int | None = None, **options: Any) -> Trainer:
    """Train; where ``stop`` is given, Ctrl-C is pressed in that iteration."""
    trainer = Trainer(cfg, TrainOptions(str(folder), **{"log_iters": 1, "resume_model": "auto", **options}))
    steps = trainer.steps

    def stopped() -> Any:
        for step in steps():
            if step.iteration == stop:
                os.kill(os.getpid(), signal.SIGINT)
            yield step

    trainer.steps = stopped  # type: ignore[method-assign]
    with contextlib.suppress(TrainingInterruptedError) if stop else contextlib.nullcontext():
        trainer.run()
    return trainer


def losses(folder: Path) -> list[tuple[int, float, float]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(record["iter"], record["loss"], record["lr"]) for record in records if record["kind"] == "train"]


def assert_same_training(one: Path, other: Path, name: str) -> None:
    """Weights, optimizer, schedule, average, position, best score and all losses are equal, to the last bit."""
    first, second = load_checkpoint(one / name), load_checkpoint(other / name)
    states = first.training_state(), second.training_state()
    assert states[0].values == states[1].values
    for mine, theirs in ((first.weights, second.weights), (states[0].arrays, states[1].arrays)):
        assert mine.keys() == theirs.keys()
        for key, array in mine.items():
            np.testing.assert_array_equal(array, theirs[key], err_msg=key)
    assert losses(one) == losses(other)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def tree(folder: Path) -> dict[str, str]:
    """The content of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_sums(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))
