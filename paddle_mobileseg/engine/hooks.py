"""What happens beside the steps of a training."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from tqdm import tqdm

from paddle_mobileseg.config import build
from paddle_mobileseg.data.loader import draw_sample
from paddle_mobileseg.engine.evaluator import eval_settings, evaluate
from paddle_mobileseg.engine.graph import network_graph
from paddle_mobileseg.engine.logs import Hook, JsonLines, LogSink, run_id
from paddle_mobileseg.engine.opening import without_pretrained
from paddle_mobileseg.engine.run_folder import BEST, LOG, is_best_here, point_best_to, remove_old
from paddle_mobileseg.engine.sharing import FIRST_IMAGES
from paddle_mobileseg.engine.visualdl import FOLDER, VisualDL, sample_picture
from paddle_mobileseg.files import write_json
from paddle_mobileseg.progress import Pace, duration

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Step, Trainer

_WAITING = 0.3  # share of the time from which on reading the data is said to be what training waits for
_STEPS_TO_JUDGE = 20


def default_hooks(trainer: Trainer) -> list[Hook]:
    """The hooks of a training, in the order in which they run. Only the first process writes and speaks.

    Raises:
        ValueError: an early stop is wanted, and no evaluation.
        FileExistsError: the VisualDL folder has records of another run.
        ImportError: VisualDL is wanted and cannot be used.
        OSError: a log cannot be opened.
    """
    if trainer.options.early_stop is not None and not trainer.options.do_eval:
        raise ValueError("--early_stop counts evaluations without gain, and there are none; add --do_eval")
    if not trainer.leads:
        return [Checkpoints([])]
    run = run_id(trainer.folder / LOG, resumed=trainer.options.resume_model is not None)
    logs: list[LogSink] = []
    if trainer.options.use_vdl:  # before any file is written: it may refuse
        logs.append(_visualdl(trainer, run))
    _note_run(trainer.folder / "environment.json", run)
    logs.insert(0, JsonLines(trainer.folder / LOG, trainer.iteration, _opening(trainer, run)))
    pace = Pace(trainer.cfg.iters, trainer.options.save_interval)
    return [Progress(trainer, logs, pace), Checkpoints(logs, pace), *logs, Ending(trainer, logs)]


def _opening(trainer: Trainer, run: str) -> dict[str, Any]:
    """The record that a log, or its part after a checkpoint, begins with."""
    resumed = trainer.saved if trainer.iteration else None
    return {
        "kind": "start" if resumed is None else "resume",
        "iter": trainer.iteration,
        "run": run,
        **({} if resumed is None else {"checkpoint": str(resumed)}),
        "iters": trainer.cfg.iters,
        "batch_size": trainer.cfg.batch_size,
        "accumulate": trainer.options.accumulate,
        "ranks": trainer.ranks.count,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _note_run(environment: Path, run: str) -> None:
    if environment.is_file():
        write_json(environment, {"run": run, **json.loads(environment.read_text(encoding="utf-8"))})


def _visualdl(trainer: Trainer, run: str) -> VisualDL:
    log = VisualDL(trainer.folder / FOLDER, run, trainer.iteration)
    if not log.has_graph:
        try:
            sample = draw_sample(trainer.train_dataset, 0, trainer.options.seed)
            with paddle.utils.unique_name.guard():
                network = build.component(without_pretrained(trainer.cfg.model), "model")
            log.graph(network_graph(network, [1, *sample["img"].shape]))
        except Exception as error:  # a picture is not worth a training
            print(f"VisualDL gets no graph of the network: {type(error).__name__}: {error}", file=sys.stderr)
    return log


class Progress(Hook):
    """Loss, learning rate, images per second and time left: a bar on a terminal, lines elsewhere, records in the
    logs."""

    def __init__(self, trainer: Trainer, logs: list[LogSink], pace: Pace | None = None) -> None:
        options = trainer.options
        self._logs = logs
        self._total = trainer.cfg.iters
        self._pace = pace or Pace(self._total, options.save_interval)
        self._begin = time.monotonic()
        self._steps: list[Step] = []  # since the last record
        self._seen = 0  # steps; and their seconds for data and in all, for the advice about them
        self._waited = self._seconds = 0.0
        self._advised = False
        bar_format = "{desc} {n_fmt}/{total_fmt} |{bar}| {postfix}"
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=self._total, initial=trainer.iteration, desc="train", bar_format=bar_format)

    def after_step(self, trainer: Trainer, step: Step) -> None:
        self._steps.append(step)
        self._pace.step(step.seconds)
        if self._bar is not None:
            self._bar.update()
        options = trainer.options
        # At every checkpoint too, so that a run resumed from it goes on with the same means.
        due = step.iteration % options.log_iters == 0 or step.iteration % options.save_interval == 0
        if not (due or step.iteration == self._total or trainer.stopping):
            return
        record = {"kind": "train", "iter": step.iteration, **self._means(trainer)}
        for log in self._logs:
            log.write({**record, "elapsed_s": time.monotonic() - self._begin})
        self._say(record)
        self._advise(options.num_workers)
        self._steps.clear()

    def _means(self, trainer: Trainer) -> dict[str, Any]:
        """Over the steps since the last record."""
        steps = self._steps
        images = len(steps) * trainer.cfg.batch_size * trainer.options.accumulate * trainer.ranks.count
        means: dict[str, Any] = {
            "loss": _mean(step.loss for step in steps),
            "lr": steps[-1].lr,
            "images_per_s": images / max(sum(step.seconds for step in steps), 1e-9),
            "step_s": _mean(step.seconds for step in steps),
            "data_s": _mean(step.data_s for step in steps),
            "gradient_norm": _mean(step.gradient_norm for step in steps if not step.skipped),
            "memory_mb": resident_mb(),
        }
        if steps[0].losses:
            means["losses"] = {name: _mean(step.losses[name] for step in steps) for name in steps[0].losses}
        if trainer.scaler is not None:
            means |= {"loss_scale": trainer.scaler.factor, "skipped_steps": sum(step.skipped for step in steps)}
        if paddle.device.get_device().startswith("gpu"):
            means["gpu_memory_mb"] = paddle.device.cuda.max_memory_allocated() / 1e6
        return means

    def _say(self, record: dict[str, Any]) -> None:
        left = duration(self._pace.left(record["iter"]))
        text = f"loss {record['loss']:.4f}, lr {record['lr']:.3g}, {record['images_per_s']:.1f} images/s, {left} left"
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            print(f"iter {record['iter']}/{self._total}: {text}", file=sys.stderr, flush=True)

    def _advise(self, num_workers: int) -> None:
        """Say once when training waits for its data. The first steps do not count: the processes that read are starting
        then."""
        if self._seen == 0:
            self._seen = len(self._steps)
            return
        self._seen += len(self._steps)
        self._seconds += sum(step.seconds for step in self._steps)
        self._waited += sum(step.data_s for step in self._steps)
        share = self._waited / max(self._seconds, 1e-9)
        if self._advised or self._seen < _STEPS_TO_JUDGE or share < _WAITING:
            return
        self._advised = True
        print(
            f"{share:.0%} of the time is spent waiting for data: raise --num_workers (now {num_workers}), or use "
            "cheaper transforms or smaller image files",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _mean(values: Iterable[float]) -> float:
    """NaN for none."""
    return float(np.mean(list(values) or [np.nan]))


def resident_mb() -> float | None:
    """Memory that this process holds at present, in MB of 10**6 bytes; ``None`` where it cannot be found out."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))
    except (OSError, StopIteration, ValueError):
        return None


class _EvaluationStoppedError(Exception):
    """Training shall stop: a checkpoint is wanted soon, scores are not."""


class Checkpoints(Hook):
    """Evaluates, saves ``iter_N``, points ``best_model`` at the best one and removes old ones; ends a training that no
    longer gains. All processes evaluate and come to the same decisions; the first one writes."""

    def __init__(self, logs: list[LogSink], pace: Pace | None = None) -> None:
        self._logs = logs
        self._pace = pace
        self._begin = time.monotonic()

    def before_steps(self, trainer: Trainer) -> None:
        if trainer.lacks_evaluation:
            self._checkpoint(trainer)

    def after_step(self, trainer: Trainer, step: Step) -> None:
        if step.iteration % trainer.options.save_interval == 0 or step.iteration == trainer.cfg.iters:
            self._checkpoint(trainer)

    def _checkpoint(self, trainer: Trainer) -> None:
        begin = time.monotonic()
        best = not trainer.options.do_eval
        trainer.metrics = None
        if trainer.options.do_eval:
            try:
                trainer.metrics = self._evaluate(trainer)
                best = _judge(trainer)
            except _EvaluationStoppedError:  # in all processes
                trainer.agreed_to_stop = True
                _say(trainer, f"evaluation at iteration {trainer.iteration} left out: it is made when training goes on")
        if trainer.leads:
            self._save(trainer, best, begin)
        judged = trainer.metrics is not None or not trainer.options.do_eval
        trainer.finished = judged and (trainer.iteration == trainer.cfg.iters or _gains_no_more(trainer))
        if self._pace is not None:
            self._pace.checkpoint(time.monotonic() - begin)
        if trainer.finished and trainer.leads:
            _say_the_end(trainer)

    def _save(self, trainer: Trainer, best: bool, begin: float) -> None:
        """In the first process; an error there ends all processes where they meet next."""
        folder = trainer.save()
        best = best or is_best_here(folder)
        if best:
            point_best_to(folder)
        remove_old(folder, trainer.options.keep_checkpoint_max)
        record = {"kind": "checkpoint", "iter": trainer.iteration, "name": folder.name, "best": best}
        self._write({**record, "seconds": time.monotonic() - begin})

    def _write(self, record: dict[str, Any]) -> None:
        for log in self._logs:
            log.write({**record, "elapsed_s": time.monotonic() - self._begin})

    def _evaluate(self, trainer: Trainer) -> dict[str, Any]:
        begin = time.monotonic()
        dataset: Any = trainer.val_dataset

        def after_image(index: int, sample: dict[str, Any], labels: np.ndarray) -> None:
            if trainer.interrupts.requested:
                raise _EvaluationStoppedError
            if index < FIRST_IMAGES and self._logs and trainer.options.use_vdl:
                picture = sample_picture(sample, labels, dataset.palette, dataset.ignore_index)
                for log in self._logs:
                    log.image(f"Sample/{index}", picture, trainer.iteration)

        with trainer.evaluation_weights() as network:
            result = evaluate(
                network,
                dataset,
                **eval_settings(trainer.cfg),
                num_workers=trainer.options.num_workers,
                on_image=after_image,
                ranks=trainer.ranks,
            )
        metrics = result.as_dict()
        record = {
            "kind": "val",
            "iter": trainer.iteration,
            **{k: metrics[k] for k in ("miou", "accuracy", "kappa", "dice", "iou", "images")},
            "seconds": time.monotonic() - begin,
        }
        self._write(record)
        shown = {"mIoU": metrics["miou"], "accuracy": metrics["accuracy"]}
        scores = ", ".join(f"{name} {'undefined' if v is None else format(v, '.4f')}" for name, v in shown.items())
        _say(trainer, f"iter {trainer.iteration}: {scores} ({duration(record['seconds'])})")
        return metrics


def _judge(trainer: Trainer) -> bool:
    """Whether the present checkpoint is the best (of equal ones the older is); counts evaluations without gain."""
    miou = (trainer.metrics or {}).get("miou")
    if miou is None:
        trainer.without_gain += 1
        _say(
            trainer,
            f"warning: iteration {trainer.iteration} has no mIoU, because no pixel of the validation labels counts; "
            "checkpoints cannot be compared. Check the labels and the ignore_index of val_dataset",
        )
        return trainer.best_miou < 0
    gain = miou > trainer.best_miou
    trainer.best_miou = max(miou, trainer.best_miou)
    trainer.without_gain = 0 if gain else trainer.without_gain + 1
    return gain


def _say(trainer: Trainer, text: str) -> None:
    if trainer.leads:
        print(text, file=sys.stderr, flush=True)


def _say_the_end(trainer: Trainer) -> None:
    """In the first process: the others may not be allowed to look into the output folder."""
    if trainer.iteration < trainer.cfg.iters:
        known = f"best mIoU {trainer.best_miou:.4f}" if trainer.best_miou >= 0 else "none has an mIoU"
        _say(
            trainer,
            f"no gain in {trainer.without_gain} evaluations ({known}): training ends at "
            f"iteration {trainer.iteration} of {trainer.cfg.iters}, as --early_stop {trainer.options.early_stop} asks",
        )
    best = trainer.folder / BEST
    evaluated = trainer.options.do_eval and best.exists()
    where = f"best checkpoint: {best} ({best.resolve().name})" if evaluated else f"checkpoint: {trainer.saved}"
    _say(trainer, f"trained {trainer.iteration} iterations; {where}")


def _gains_no_more(trainer: Trainer) -> bool:
    limit = trainer.options.early_stop
    return limit is not None and trainer.metrics is not None and trainer.without_gain >= limit


class Ending(Hook):
    """Logs how training ended. It stands after the logs: what is closed first is what stands last."""

    def __init__(self, trainer: Trainer, logs: list[LogSink]) -> None:
        self._trainer = trainer
        self._logs = logs
        self._begin = time.monotonic()

    def close(self) -> None:
        trainer = self._trainer
        record: dict[str, Any] = {"kind": "stop", "iter": trainer.iteration, "reason": self._reason()}
        if trainer.best_miou >= 0:
            best = trainer.folder / BEST
            name = best.resolve().name if best.exists() else None
            record |= {"best_miou": trainer.best_miou, "best_checkpoint": name}
        with contextlib.suppress(OSError):  # what ended the training is what is to be told
            for log in self._logs:
                log.write({**record, "elapsed_s": time.monotonic() - self._begin})

    def _reason(self) -> str:
        if self._trainer.finished:
            return "complete" if self._trainer.iteration == self._trainer.cfg.iters else "early_stop"
        return "interrupted" if self._trainer.stopping or self._trainer.interrupts.requested else "error"
