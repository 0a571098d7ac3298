"""What happens beside the steps of a training."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from paddle_mobileseg.data.palette import colorize
from paddle_mobileseg.engine.evaluator import eval_settings, evaluate
from paddle_mobileseg.engine.logs import Hook, JsonLines, LogSink, VisualDL
from paddle_mobileseg.engine.run_folder import BEST, LOG, point_best_to, remove_old
from paddle_mobileseg.progress import duration

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Step, Trainer

_VDL_IMAGES = 4


def default_hooks(trainer: Trainer) -> list[Hook]:
    """The hooks of a training, in the order in which they run. Only the first process writes and speaks."""
    if not trainer.leads:
        return [Checkpoints([])]
    logs: list[LogSink] = [JsonLines(trainer.folder / LOG, trainer.iteration)]
    if trainer.options.use_vdl:
        logs.append(VisualDL(trainer.folder / "visualdl"))
    return [Progress(trainer, logs), Checkpoints(logs), *logs]


class Progress(Hook):
    """Loss, learning rate, images per second and time left: a bar on a terminal, lines elsewhere, records in the
    logs."""

    def __init__(self, trainer: Trainer, logs: list[LogSink]) -> None:
        self._logs = logs
        self._total = trainer.cfg.iters
        self._begin = time.monotonic()
        self._seconds = self._seconds_before = 0.0  # spent on steps, not on evaluations and checkpoints
        self._first = trainer.iteration
        self._losses: list[float] = []
        self._bar = tqdm(total=self._total, initial=self._first, desc="train") if sys.stderr.isatty() else None

    def after_step(self, trainer: Trainer, step: Step) -> None:
        self._losses.append(step.loss)
        self._seconds += step.seconds
        if self._bar is not None:
            self._bar.update()
        if step.iteration % trainer.options.log_iters and step.iteration != self._total:
            return
        images = len(self._losses) * trainer.cfg.batch_size * trainer.ranks.count
        speed = images / max(self._seconds - self._seconds_before, 1e-9)
        loss = float(np.mean(self._losses))
        record = {"kind": "train", "iter": step.iteration, "loss": loss, "lr": step.lr, "images_per_s": speed}
        for log in self._logs:
            log.write({**record, "elapsed_s": time.monotonic() - self._begin})
        text = f"loss {loss:.4f}, lr {step.lr:.3g}, {speed:.1f} images/s"
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            left = self._seconds / (step.iteration - self._first) * (self._total - step.iteration)
            print(f"iter {step.iteration}/{self._total}: {text}, {duration(left)} left", file=sys.stderr, flush=True)
        self._losses.clear()
        self._seconds_before = self._seconds

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _EvaluationStoppedError(Exception):
    """Training shall stop: a checkpoint is wanted soon, scores are not."""


class Checkpoints(Hook):
    """Evaluates, saves ``iter_N``, points ``best_model`` at the best one and removes old ones."""

    def __init__(self, logs: list[LogSink]) -> None:
        self._logs = logs
        self._begin = time.monotonic()

    def after_step(self, trainer: Trainer, step: Step) -> None:
        last = step.iteration == trainer.cfg.iters
        if step.iteration % trainer.options.save_interval and not last:
            return
        best = not trainer.options.do_eval
        trainer.metrics = None
        if trainer.options.do_eval:
            with contextlib.suppress(_EvaluationStoppedError):
                trainer.metrics = self._evaluate(trainer)
        if trainer.metrics is not None:
            miou = trainer.metrics["miou"] or 0.0
            best = miou > trainer.best_miou
            trainer.best_miou = max(miou, trainer.best_miou)
        if not trainer.leads:
            return
        folder = trainer.save()
        if best:
            point_best_to(folder)
        remove_old(folder, trainer.options.keep_checkpoint_max)
        if last:
            where = f"best checkpoint: {trainer.folder / BEST}" if trainer.options.do_eval else f"checkpoint: {folder}"
            print(f"trained {step.iteration} iterations; {where}", file=sys.stderr)

    def _evaluate(self, trainer: Trainer) -> dict[str, Any]:
        begin = time.monotonic()
        dataset: Any = trainer.val_dataset

        def after_image(index: int, sample: dict[str, Any], labels: np.ndarray) -> None:
            if trainer.interrupts.requested:
                print(f"evaluation at iteration {trainer.iteration} left out", file=sys.stderr)
                raise _EvaluationStoppedError
            if index < _VDL_IMAGES:
                for log in self._logs:
                    log.image(f"Prediction/{index}", colorize(labels, dataset.palette), trainer.iteration)

        with trainer.evaluation_weights() as network:
            result = evaluate(
                network,
                dataset,
                **eval_settings(trainer.cfg),
                num_workers=trainer.options.num_workers,
                on_image=after_image,
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
