"""The training loop. What happens beside the steps (log, evaluation, checkpoints) is in
:mod:`paddle_mobileseg.engine.hooks`."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg.config import Config, build, check_losses
from paddle_mobileseg.data.loader import train_batches
from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.checkpoint import load_checkpoint, save_checkpoint
from paddle_mobileseg.engine.ema import WeightAverage
from paddle_mobileseg.engine.interrupts import Interrupts, TrainingInterruptedError
from paddle_mobileseg.engine.opening import without_pretrained
from paddle_mobileseg.engine.run_folder import claimed
from paddle_mobileseg.engine.state import (
    manifest,
    resume,
    sample_files,
    seed_everything,
    seed_iteration,
    training_state,
)
from paddle_mobileseg.files import write_json
from paddle_mobileseg.machine import describe

warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")


@dataclass(frozen=True)
class TrainOptions:
    """How a training runs, as opposed to what is trained.

    Attributes:
        save_dir: receives checkpoints and logs.
        save_interval: iterations between checkpoints (and evaluations).
        log_iters: iterations between lines of the log.
        num_workers: processes that prepare batches; 0 prepares them in the training process.
        seed: of weights, shuffling and augmentation.
        keep_checkpoint_max: checkpoints to keep beside the best one.
        use_vdl: write VisualDL logs.
        do_eval: evaluate at each checkpoint and keep the best.
        ema_decay: average the weights with this decay; ``None`` does not.
        resume_model: a checkpoint folder to go on from.
        ignore_head: of the weights that ``model.pretrained`` names, leave out the head's tensors of another shape.
        command: the command line, for the record.
    """

    save_dir: str = "output"
    save_interval: int = 1000
    log_iters: int = 10
    num_workers: int = 0
    seed: int = 0
    keep_checkpoint_max: int = 5
    use_vdl: bool = False
    do_eval: bool = False
    ema_decay: float | None = None
    resume_model: str | None = None
    ignore_head: bool = False
    command: str = ""


@dataclass(frozen=True)
class Step:
    """What one iteration gave: its number (from 1), the loss, the learning rate it was made with, and the seconds it
    took, reading its batch included."""

    iteration: int
    loss: float
    lr: float
    seconds: float


class Trainer:
    """Builds everything that a configuration names and trains it.

    Args:
        cfg: a checked configuration.
        options: how to run.

    Attributes:
        network, optimizer, lr_scheduler, losses, train_dataset, val_dataset: what was built.
        average: the moving average of the weights, or ``None``.
        iteration: iterations done.
        saved: the last whole checkpoint: one resumed from or written.
        interrupts: whether Ctrl-C or SIGTERM has come.

    Raises:
        ValueError, KeyError, FileNotFoundError, OSError: a mistake in the configuration, the data or the output folder.
    """

    def __init__(self, cfg: Config, options: TrainOptions) -> None:
        self.cfg = cfg
        self.options = options
        self.ranks = parallel.join()
        self.leads = self.ranks.number == 0
        self.folder = Path(options.save_dir)
        self.interrupts = Interrupts(self.leads)
        self.iteration = 0
        self.metrics: dict[str, Any] | None = None
        self.best_miou = -1.0
        self.saved: Path | None = None
        self._agreed_to_stop = False
        with contextlib.ExitStack() as stack:
            if self.leads:
                stack.enter_context(claimed(self.folder, options.resume_model))
            parallel.wait_for_all(self.ranks)
            self._build()
            self._claim = stack.pop_all()

    def _build(self) -> None:
        cfg, options = self.cfg, self.options
        checkpoint = None if options.resume_model is None else load_checkpoint(options.resume_model)
        seed_everything(options.seed)
        self.train_dataset = build.dataset(cfg, "train")
        self.val_dataset = build.dataset(cfg, "val") if cfg.val_dataset else None
        if options.do_eval and self.val_dataset is None:
            raise ValueError("--do_eval needs a val_dataset in the configuration")
        if checkpoint is None:
            self.network = build.model(cfg, options.ignore_head)
        else:
            self.network = build.component(without_pretrained(cfg.model), "model")
        check_losses(cfg, self.network)
        self.losses = build.losses(cfg)
        self.lr_scheduler = build.lr_scheduler(cfg)
        self.optimizer = build.optimizer(cfg, self.network, self.lr_scheduler)
        self.average = None if options.ema_decay is None else WeightAverage(self.network, options.ema_decay)
        if checkpoint is not None:
            resume(self, checkpoint)
            self.saved = checkpoint.folder

    def run(self) -> None:
        """Train up to the configured number of iterations. A trainer runs once.

        Raises:
            TrainingInterruptedError: after Ctrl-C or SIGTERM, when the checkpoint is written.
            FloatingPointError: the loss is not finite.
        """
        from paddle_mobileseg.engine.hooks import default_hooks

        with self._claim as stack, self.interrupts:
            if self.leads:
                self.cfg.save(self.folder / "config.yml")
                record = {**describe(), "command": self.options.command, "options": asdict(self.options)}
                write_json(self.folder / "environment.json", record)
            hooks = default_hooks(self)
            for hook in hooks:
                stack.callback(hook.close)
            try:
                for step in self.steps():
                    for hook in hooks:
                        hook.after_step(self, step)
                    if self.stopping and step.iteration < self.cfg.iters:
                        self._save_and_stop()
            except KeyboardInterrupt:
                raise TrainingInterruptedError(self._stopped("at once, in or after")) from None

    @property
    def stopping(self) -> bool:
        """Whether this iteration is the last one: what this process wants, or what all have agreed on."""
        return self._agreed_to_stop if self.ranks.count > 1 else self.interrupts.requested

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
        return text + f"the last whole checkpoint is {self.saved}; go on with --resume_model {self.saved}"

    def steps(self) -> Iterator[Step]:
        """Train, one iteration at a time."""
        self.network.train()
        batches = train_batches(
            self.train_dataset,
            self.cfg.batch_size,
            self.cfg.iters,
            seed=self.options.seed,
            start_iter=self.iteration,
            num_workers=self.options.num_workers,
            rank=self.ranks.number,
            ranks=self.ranks.count,
        )
        begin = time.monotonic()
        with contextlib.closing(batches):
            for batch in batches:
                seed_iteration(self.options.seed, self.iteration, self.ranks.number)
                lr = float(self.optimizer.get_lr())
                loss = self.compute_loss(paddle.to_tensor(batch["img"]), paddle.to_tensor(batch["label"]))
                value = float(loss)
                if not np.isfinite(value):
                    raise FloatingPointError(
                        f"the loss is {value} at iteration {self.iteration + 1}; files of the batch: "
                        f"{', '.join(batch['files'])}. "
                        "The last checkpoint is untouched; a lower learning rate usually helps"
                    )
                loss.backward()
                self._update()
                self.iteration += 1
                yield Step(self.iteration, value, lr, time.monotonic() - begin)
                begin = time.monotonic()

    def _update(self) -> None:
        """Change the weights by the gradients, which are gone afterwards."""
        if self.ranks.count > 1:
            self._agreed_to_stop = parallel.exchange(self.network, self.ranks, self.interrupts.requested)
        self.optimizer.step()
        self.optimizer.clear_grad()
        self.lr_scheduler.step()
        if self.average is not None:
            self.average.update()

    def compute_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The weighted sum of the losses on each of the network's logits.

        Raises:
            ValueError: a loss fails; the message names it.
        """
        total: list[Tensor] = []
        for (coef, loss), logits in zip(self.losses, self.network(images), strict=True):
            value = _loss(loss, logits, labels)
            total.extend(coef * part for part in (value if isinstance(value, list) else [value]))
        return sum(total[1:], total[0])

    @contextlib.contextmanager
    def evaluation_weights(self) -> Iterator[nn.Layer]:
        """The network with the weights that are evaluated and saved: averaged ones where there are any."""
        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            yield self.network

    def save(self) -> Path:
        """Write ``iter_N`` and return its path."""
        with self.evaluation_weights() as network:
            weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        folder = self._checkpoint_folder()
        save_checkpoint(folder, weights, training_state(self), manifest(self), sample_files(self))
        self.saved = folder
        return folder

    def _checkpoint_folder(self) -> Path:
        return self.folder / f"iter_{self.iteration}"


def _loss(loss: nn.Layer, logits: Tensor, labels: Tensor) -> Any:
    """A loss's value. PaddleSeg's may change the labels in place, and fail in ways that do not name them."""
    own = type(loss).__module__.startswith("paddle_mobileseg.")
    try:
        return loss(logits, labels if own else labels.clone())
    except Exception as error:
        words = str(error).rpartition("Error Message Summary:")[2].split()
        text = " ".join(word for word in words if set(word) != {"-"})
        raise ValueError(f"the loss {type(loss).__name__} failed with {type(error).__name__}: {text}") from error
