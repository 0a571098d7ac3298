"""The training loop. What happens beside the steps (log, evaluation, checkpoints) is in
:mod:`paddle_mobileseg.engine.hooks`."""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg.config import Config, build, check_losses
from paddle_mobileseg.data.check.quick import check_sample
from paddle_mobileseg.data.loader import Batch, Cursor, train_batches
from paddle_mobileseg.engine import parallel, resuming
from paddle_mobileseg.engine.checkpoint import save_checkpoint
from paddle_mobileseg.engine.ema import WeightAverage
from paddle_mobileseg.engine.gradients import clip, divide, squared_norms
from paddle_mobileseg.engine.interrupts import Interrupts, TrainingInterruptedError
from paddle_mobileseg.engine.opening import without_pretrained
from paddle_mobileseg.engine.options import TrainOptions
from paddle_mobileseg.engine.precision import LossScaler, choose_precision, prefer_channels_last
from paddle_mobileseg.engine.run_folder import claimed
from paddle_mobileseg.engine.same_job import data_facts, job_facts
from paddle_mobileseg.engine.start import check_finite, check_pretrained, freeze_backbone, training_mode
from paddle_mobileseg.engine.state import (
    float32_arrays,
    manifest,
    sample_files,
    seed_everything,
    seed_iteration,
    training_state,
)
from paddle_mobileseg.engine.step import Forward, Part, Pass, Timed, explanation, loss_parts, total
from paddle_mobileseg.files import write_json
from paddle_mobileseg.machine import describe
from paddle_mobileseg.models.complexity import trainable_parameters
from paddle_mobileseg.weights.loading import listing

_LOGGER = logging.getLogger("paddle_mobileseg")

warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")


@dataclass(frozen=True)
class Step:
    """What one iteration gave.

    Attributes:
        iteration: its number, from 1.
        loss: the mean over its batches, and over all processes.
        lr: the learning rate it was made with.
        seconds: that it took, reading its batches included.
        gradient_norm: of all gradients together, before clipping.
        skipped: the weights are left as they were, because fp16 was too small for the gradients.
        data_s: the part of ``seconds`` that was spent waiting for batches.
        losses: the parts of the loss by name; means as well.
    """

    iteration: int
    loss: float
    lr: float
    seconds: float
    gradient_norm: float = 0.0
    skipped: bool = False
    data_s: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Builds everything that a configuration names and trains it.

    Args:
        cfg: a checked configuration.
        options: how to run.

    Attributes:
        network, optimizer, lr_scheduler, losses, train_dataset, val_dataset: what was built.
        average: the moving average of the weights, or ``None``.
        precision: of the forward pass on this device.
        scaler: of the loss; ``None`` but for fp16.
        iteration: iterations done.
        cursor: position in the training data.
        without_gain: evaluations since the best one.
        finished: a hook has found that nothing is left to do.
        lacks_evaluation: the checkpoint gone on from was to be evaluated, and is not.
        agreed_to_stop: in all of several processes: this iteration is the last one.
        num_parameters: of the network, those of a frozen backbone included.
        saved: the last whole checkpoint: one resumed from or written.
        interrupts: whether Ctrl-C or SIGTERM has come.

    Raises:
        ValueError, KeyError, FileNotFoundError, OSError: a mistake in the configuration, the data or the output folder.
        TrainingCompleteError: ``resume_model`` is ``auto``, and nothing is left to train.
    """

    def __init__(self, cfg: Config, options: TrainOptions) -> None:
        self.cfg = cfg
        self.options = options
        self.ranks = parallel.join()
        self.leads = self.ranks.number == 0
        self.folder = Path(options.save_dir)
        self.interrupts = Interrupts(self.leads)
        self.iteration = 0
        self.cursor = Cursor()
        self.metrics: dict[str, Any] | None = None
        self.best_miou = -1.0
        self.without_gain = 0
        self.finished = False
        self.saved: Path | None = None
        self.lacks_evaluation = False
        self.agreed_to_stop = False
        with contextlib.ExitStack() as stack, parallel.failing_together(self.ranks):
            parallel.compare(job_facts(cfg, options), self.ranks)
            if self.leads and not options.dry_run:
                stack.enter_context(claimed(self.folder, options.resume_model))
            parallel.wait_for_all(self.ranks)
            self._build()
            parallel.wait_for_all(self.ranks)
            self._claim = stack.pop_all()

    def _build(self) -> None:
        cfg, options = self.cfg, self.options
        resumption = resuming.find(self)
        seed_everything(options.seed)
        self.train_dataset = build.dataset(cfg, "train")
        parallel.compare(data_facts(self.train_dataset), self.ranks)
        self.val_dataset = build.dataset(cfg, "val") if cfg.val_dataset else None
        if options.do_eval and self.val_dataset is None:
            raise ValueError("--do_eval needs a val_dataset in the configuration")
        if self.leads:
            datasets = {"train": self.train_dataset, "val": self.val_dataset}
            check_sample({name: each for name, each in datasets.items() if each is not None}, cfg.batch_size)
        if resumption is None:
            check_pretrained(cfg.model)
            self.network = build.model(cfg, options.ignore_head)
        else:
            self.network = build.component(without_pretrained(cfg.model), "model")
        parallel.share_weights(self.network, self.ranks)
        self.network = parallel.synchronise_batch_norm(self.network, self.ranks)
        check_losses(cfg, self.network)
        self.num_parameters = trainable_parameters(self.network)
        if options.freeze_backbone:
            freeze_backbone(self.network)
        self._trained = {name: each for name, each in self.network.named_parameters() if not each.stop_gradient}
        self.losses = build.losses(cfg)
        self.precision = choose_precision(options, self.leads)
        self.scaler = LossScaler() if self.precision.name == "fp16" else None
        prefer_channels_last(options, self.leads)
        self._forward = Forward(self.network, self.precision, options.to_static)
        self.lr_scheduler = build.lr_scheduler(cfg)
        self.optimizer = build.optimizer(cfg, self.network, self.lr_scheduler)
        self._clipping = build.gradient_clip(cfg)
        self.average = None if options.ema_decay is None else WeightAverage(self.network, options.ema_decay)
        if resumption is not None:
            resumption.apply(self)
            self.saved = resumption.checkpoint.folder
            self.lacks_evaluation = resumption.lacks_evaluation(self)
        check_finite(self.network)
        if options.freeze_backbone and self.leads:
            trained = trainable_parameters(self.network)
            print(
                f"{trained:,} of {self.num_parameters:,} parameters are trained; the backbone is frozen",
                file=sys.stderr,
            )

    def run(self) -> None:
        """Train up to the configured number of iterations. A trainer runs once.

        Raises:
            TrainingInterruptedError: after Ctrl-C or SIGTERM, when the checkpoint is written.
            ChildProcessError: another process of the job has failed or is gone.
            FloatingPointError: the loss is not finite.
        """
        from paddle_mobileseg.engine.dry_run import dry_run
        from paddle_mobileseg.engine.hooks import default_hooks

        if self.options.dry_run:
            dry_run(self)
            return
        with self._claim as stack, self.interrupts:
            try:
                with parallel.failing_together(self.ranks):
                    if self.leads:
                        self.cfg.save(self.folder / "config.yml")
                        record = {**describe(), "command": self.options.command, "options": asdict(self.options)}
                        write_json(self.folder / "environment.json", record)
                    hooks = default_hooks(self)
                    for hook in hooks:
                        stack.callback(hook.close)
                    for hook in hooks:
                        hook.before_steps(self)
                    if self.stopping and self.lacks_evaluation and not self.finished:
                        self._save_and_stop()
                    for step in () if self.finished else self.steps():
                        for hook in hooks:
                            hook.after_step(self, step)
                        if self.finished:
                            break
                        if self.stopping:
                            self._save_and_stop()
                    parallel.wait_for_all(self.ranks)
            except parallel.PeerError as error:
                advice = "the same command with --resume auto goes on from the last whole checkpoint"
                where = f"training has stopped in iteration {self.iteration + 1}"
                raise parallel.PeerError(f"{error}; {where}; {advice}") from None
            except KeyboardInterrupt:
                raise TrainingInterruptedError(self._stopped("at once, in or after")) from None

    @property
    def stopping(self) -> bool:
        """Whether this iteration is the last one: what this process wants, or what all have agreed on."""
        return self.agreed_to_stop if self.ranks.count > 1 else self.interrupts.requested

    def _save_and_stop(self) -> None:
        if self.leads and self.saved != self._checkpoint_folder():
            self.metrics = None
            self.save()
        parallel.wait_for_all(self.ranks)  # the launcher ends all processes when one has ended
        self.saved = self._checkpoint_folder()
        raise TrainingInterruptedError(self._stopped("after"))

    def _stopped(self, when: str) -> str:
        text = f"stopped {when} iteration {self.iteration} of {self.cfg.iters}; "
        if self.saved is None:
            return text + "there is no checkpoint"
        return text + f"the last whole checkpoint is {self.saved}; go on with --resume {self.saved}"

    def steps(self) -> Generator[Step, None, None]:
        """Train, one iteration at a time.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; the weights are those of the iteration before.
        """
        training_mode(self.network, self.options.freeze_backbone)
        many = self.options.accumulate
        loader = train_batches(
            self.train_dataset,
            self.cfg.batch_size,
            (self.cfg.iters - self.iteration) * many,
            seed=self.options.seed,
            start=self.cursor,
            num_workers=self.options.num_workers,
            rank=self.ranks.number,
            ranks=self.ranks.count,
        )
        begin = time.monotonic()
        with contextlib.closing(loader):
            batches = Timed(loader)
            for first in batches:
                seed_iteration(self.options.seed, self.iteration, self.ranks.number)
                lr = float(self.optimizer.get_lr())
                done = self._backward(itertools.chain([first], itertools.islice(batches, many - 1)))
                done, norm, skipped = self._update(done)
                self.iteration += 1
                self.cursor = self.cursor.after(many, self.cfg.batch_size * self.ranks.count, len(self.train_dataset))
                seconds = time.monotonic() - begin
                yield Step(self.iteration, done.loss, lr, seconds, norm, skipped, batches.seconds, done.losses)
                begin, batches.seconds = time.monotonic(), 0.0

    def _backward(self, batches: Iterable[Batch]) -> Pass:
        """Add up the gradients of an iteration's batches."""
        values, files = [], []
        for batch in batches:
            parts = self._loss_parts(paddle.to_tensor(batch["img"]), paddle.to_tensor(batch["label"]))
            loss = total(parts)
            numbers = paddle.stack([loss, *(part.value for part in parts)]).numpy()
            files += batch["files"]
            if not np.isfinite(numbers[0]):
                reason = explanation(parts, self.network)
                raise self._diverged(f"the loss is {numbers[0]}", batch["files"], reason)
            if self.options.accumulate > 1:
                loss = loss / self.options.accumulate
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            values.append(numbers)
        means: list[float] = np.array(values, np.float64).mean(axis=0).tolist()
        names = [part.name for part in parts]
        return Pass(means[0], dict(zip(names, means[1:], strict=True)), files)

    def _update(self, done: Pass) -> tuple[Pass, float, bool]:
        """Change the weights by the gradients, which are gone afterwards.

        The schedule of the learning rate and the moving average go on by iterations, also where fp16 makes the step
        left out.

        Returns:
            The mean losses of all processes, the norm of the gradients, and whether the step was left out.
        """
        if self.ranks.count > 1:
            own = [done.loss, *done.losses.values()]
            wish = self.interrupts.requested
            self.agreed_to_stop, (loss, *parts) = parallel.exchange(self.network, self.ranks, wish, own)
            done = Pass(loss, dict(zip(done.losses, parts, strict=True)), done.files)
        parameters = list(self._trained.values())
        factor = 1.0 if self.scaler is None else self.scaler.factor
        squares = squared_norms(parameters)  # the same in all processes
        broken = [name for name, square in zip(self._trained, squares, strict=True) if not np.isfinite(square)]
        if broken and factor <= 1.0:
            files = [file for each in parallel.gather(done.files, self.ranks) for file in each]
            raise self._diverged("gradients are not finite", files, listing("tensors with such a gradient", broken))
        if not broken:
            if factor != 1.0:
                divide(parameters, factor)
            if self._clipping is not None:
                clip(parameters, self._clipping)
            self.optimizer.step()
        if self.scaler is not None:
            self.scaler.update(overflow=bool(broken))
        self.optimizer.clear_grad()
        self.lr_scheduler.step()
        if self.average is not None:
            self.average.update()
        return done, float(np.sqrt(squares.sum())) / factor, bool(broken)

    def _diverged(self, what: str, files: list[str], reason: str) -> FloatingPointError:
        return FloatingPointError(
            f"{what} at iteration {self.iteration + 1}; files of the batch: {', '.join(files)}. {reason}. "
            "The last checkpoint is untouched; a lower learning rate usually helps"
        )

    def _loss_parts(self, images: Tensor, labels: Tensor) -> list[Part]:
        logits = self._forward(images)
        with parallel.shared_losses(self.ranks):
            return loss_parts(self.losses, logits, labels)

    @contextlib.contextmanager
    def evaluation_weights(self) -> Iterator[nn.Layer]:
        """The network with the weights that are evaluated and saved: averaged ones where there are any."""
        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            yield self.network

    def save(self) -> Path:
        """Write ``iter_N`` and return its path."""
        with self.evaluation_weights() as network:
            weights = float32_arrays(network.state_dict())
        folder = self._checkpoint_folder()
        if not self.folder.is_dir():
            _LOGGER.warning("%s has been deleted during the training; it is made again without its log", self.folder)
        save_checkpoint(folder, weights, training_state(self), manifest(self), sample_files(self))
        self.saved = folder
        return folder

    def _checkpoint_folder(self) -> Path:
        return self.folder / f"iter_{self.iteration}"
