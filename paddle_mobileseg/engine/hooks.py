"""What happens beside the steps of a training."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from paddle_mobileseg.data.palette import colorize
from paddle_mobileseg.engine.evaluator import evaluate
from paddle_mobileseg.engine.progress import duration
from paddle_mobileseg.files import atomic_path

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Step, Trainer

BEST = "best_model"
_VDL_IMAGES = 4


class Hook:
    """Called after every step and once at the end, whatever ended the training."""

    def after_step(self, trainer: Trainer, step: Step) -> None:
        """One iteration is done; ``trainer`` has its state after it."""

    def close(self) -> None:
        """Training has ended, normally or not."""


def default_hooks(trainer: Trainer) -> list[Hook]:
    """The hooks of a training, in the order in which they run."""
    logs: list[LogSink] = [JsonLines(trainer.folder / "log.jsonl", trainer.iteration)]
    if trainer.options.use_vdl:
        logs.append(VisualDL(trainer.folder / "visualdl"))
    return [Progress(trainer, logs), Checkpoints(logs), *logs]


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
            kept = [
                line for line in path.read_text(encoding="utf-8").splitlines() if _iteration(line) <= first_iteration
            ]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _iteration(line: str) -> float:
    try:
        return json.loads(line)["iter"]
    except (ValueError, KeyError):
        return float("inf")  # half a line, from a kill


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


class Progress(Hook):
    """Loss, learning rate, images per second and time left: a bar on a terminal, lines elsewhere, records in the
    logs."""

    def __init__(self, trainer: Trainer, logs: list[LogSink]) -> None:
        self._logs = logs
        self._total = trainer.cfg.iters
        self._begin = self._since = time.monotonic()
        self._first = trainer.iteration
        self._losses: list[float] = []
        self._bar = tqdm(total=self._total, initial=self._first, desc="train") if sys.stderr.isatty() else None

    def after_step(self, trainer: Trainer, step: Step) -> None:
        self._losses.append(step.loss)
        if self._bar is not None:
            self._bar.update()
        if step.iteration % trainer.options.log_iters and step.iteration != self._total:
            return
        now = time.monotonic()
        speed = len(self._losses) * trainer.cfg.batch_size * trainer.ranks.count / max(now - self._since, 1e-9)
        loss = float(np.mean(self._losses))
        record = {"kind": "train", "iter": step.iteration, "loss": loss, "lr": step.lr, "images_per_s": speed}
        for log in self._logs:
            log.write({**record, "elapsed_s": now - self._begin})
        text = f"loss {loss:.4f}, lr {step.lr:.3g}, {speed:.1f} images/s"
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            left = (now - self._begin) / (step.iteration - self._first) * (self._total - step.iteration)
            print(f"iter {step.iteration}/{self._total}: {text}, {duration(left)} left", file=sys.stderr, flush=True)
        self._losses.clear()
        self._since = time.monotonic()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Checkpoints(Hook):
    """Evaluates, saves ``iter_N``, points ``best_model`` at the best one and removes old ones."""

    def __init__(self, logs: list[LogSink]) -> None:
        self._logs = logs
        self._begin = time.monotonic()

    def after_step(self, trainer: Trainer, step: Step) -> None:
        last = step.iteration == trainer.cfg.iters
        if step.iteration % trainer.options.save_interval and not last:
            return
        trainer.metrics = self._evaluate(trainer) if trainer.options.do_eval else None
        best = trainer.metrics is None or (trainer.metrics["miou"] or 0.0) > trainer.best_miou
        if best and trainer.metrics is not None:
            trainer.best_miou = trainer.metrics["miou"] or 0.0
        folder = trainer.save()
        if best:
            _point(trainer.folder / BEST, folder.name)
        _remove_old(trainer.folder, trainer.options.keep_checkpoint_max)
        if last:
            print(f"trained {step.iteration} iterations; best checkpoint: {trainer.folder / BEST}", file=sys.stderr)

    def _evaluate(self, trainer: Trainer) -> dict[str, Any]:
        begin = time.monotonic()
        config = trainer.cfg.test_config
        dataset: Any = trainer.val_dataset

        def keep_picture(index: int, sample: dict[str, Any], labels: np.ndarray) -> None:
            if index < _VDL_IMAGES:
                for log in self._logs:
                    log.image(f"Prediction/{index}", colorize(labels, dataset.palette), trainer.iteration)

        with trainer.evaluation_weights() as network:
            result = evaluate(
                network,
                dataset,
                scales=config.get("scales", (1.0,)) if config.get("aug_eval") else (1.0,),
                flip=bool(config.get("aug_eval") and config.get("flip_horizontal")),
                num_workers=trainer.options.num_workers,
                on_image=keep_picture,
            )
        metrics = result.as_dict()
        record = {
            "kind": "val",
            "iter": trainer.iteration,
            **{k: metrics[k] for k in ("miou", "accuracy", "kappa", "dice", "iou")},
        }
        for log in self._logs:
            log.write({**record, "elapsed_s": time.monotonic() - self._begin})
        took = duration(time.monotonic() - begin)
        print(
            f"iter {trainer.iteration}: mIoU {result.scores.miou:.4f}, accuracy {result.scores.accuracy:.4f} ({took})",
            file=sys.stderr,
            flush=True,
        )
        return metrics


def _point(link: Path, target: str) -> None:
    """Let a symbolic link point to a folder beside it, at once."""
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    os.symlink(target, temporary, target_is_directory=True)
    os.replace(temporary, link)


def _remove_old(folder: Path, keep: int) -> None:
    """Remove the oldest checkpoints above ``keep``; never the best one or the newest."""
    best = (folder / BEST).resolve()
    numbered = [p for p in folder.glob("iter_*") if p.is_dir() and p.name[5:].isdigit()]
    numbered.sort(key=lambda path: int(path.name[5:]))
    for path in numbered[: -max(keep, 1)]:
        if path.resolve() != best:
            shutil.rmtree(path)
