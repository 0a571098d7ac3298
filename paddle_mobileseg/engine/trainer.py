"""The training loop. What happens beside the steps (log, evaluation, checkpoints) is in
:mod:`paddle_mobileseg.engine.hooks`."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
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
from paddle_mobileseg.files import make_output_folder, write_json
from paddle_mobileseg.machine import describe

warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")

_SAMPLES = 4


class TrainingInterruptedError(Exception):
    """Training was stopped by Ctrl-C after writing a checkpoint; the message says which."""


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
    command: str = ""


@dataclass(frozen=True)
class Step:
    """What one iteration gave: its number (from 1), the loss, and the learning rate it was made with."""

    iteration: int
    loss: float
    lr: float


class Trainer:
    """Builds everything that a configuration names and trains it.

    Args:
        cfg: a checked configuration.
        options: how to run.

    Attributes:
        network, optimizer, lr_scheduler, losses, train_dataset, val_dataset: what was built.
        average: the moving average of the weights, or ``None``.
        iteration: iterations done.

    Raises:
        ValueError, KeyError, FileNotFoundError, OSError: a mistake in the configuration, the data or the output folder.
    """

    def __init__(self, cfg: Config, options: TrainOptions) -> None:
        self.cfg = cfg
        self.options = options
        self.ranks = parallel.join()
        self.folder = make_output_folder(options.save_dir)
        seed_everything(options.seed)
        self.train_dataset = build.dataset(cfg, "train")
        self.val_dataset = build.dataset(cfg, "val") if cfg.val_dataset else None
        if options.do_eval and self.val_dataset is None:
            raise ValueError("--do_eval needs a val_dataset in the configuration")
        self.network = build.model(cfg)
        check_losses(cfg, self.network)
        self.losses = build.losses(cfg)
        self.lr_scheduler = build.lr_scheduler(cfg)
        self.optimizer = build.optimizer(cfg, self.network, self.lr_scheduler)
        self.average = (
            None
            if options.ema_decay is None or self.ranks.number > 0
            else WeightAverage(self.network, options.ema_decay)
        )
        self.iteration = 0
        self.metrics: dict[str, Any] | None = None
        self.best_miou = -1.0
        self._stop = threading.Event()
        if options.resume_model is not None:
            self._resume(options.resume_model)
        elif self.ranks.count > 1:
            paddle.seed(options.seed + self.ranks.number)  # weights are equal by now; dropout shall not be

    def run(self) -> None:
        """Train up to the configured number of iterations.

        Raises:
            TrainingInterruptedError: after Ctrl-C, when the checkpoint is written.
            FloatingPointError: the loss is not finite.
        """
        from paddle_mobileseg.engine.hooks import default_hooks

        if self.ranks.number > 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to stop
            for _ in self.steps():
                pass
            return
        self.cfg.save(self.folder / "config.yml")
        write_json(
            self.folder / "environment.json",
            {**describe(), "command": self.options.command, "options": asdict(self.options)},
        )
        hooks = default_hooks(self)
        with contextlib.ExitStack() as stack, self._catching_interrupts():
            for hook in hooks:
                stack.callback(hook.close)
            for step in self.steps():
                for hook in hooks:
                    hook.after_step(self, step)
                if self._stop.is_set() and step.iteration < self.cfg.iters:
                    folder = self.save()
                    raise TrainingInterruptedError(
                        f"stopped after iteration {step.iteration} of {self.cfg.iters}; go on with --resume_model "
                        f"{folder}"
                    )

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
        parameters = [p for p in self.network.parameters() if not p.stop_gradient]
        with contextlib.closing(batches):
            for batch in batches:
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
                if self.ranks.count > 1:
                    parallel.average_gradients(parameters, self.ranks)
                self.optimizer.step()
                self.optimizer.clear_grad()
                self.lr_scheduler.step()
                if self.average is not None:
                    self.average.update()
                self.iteration += 1
                yield Step(self.iteration, value, lr)

    def compute_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The weighted sum of the losses on each of the network's logits."""
        total: list[Tensor] = []
        for (coef, loss), logits in zip(self.losses, self.network(images), strict=True):
            value = loss(logits, labels)
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
        folder = self.folder / f"iter_{self.iteration}"
        save_checkpoint(folder, weights, self._training_state(), self._manifest(), self._sample_files())
        return folder

    def _training_state(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "best_miou": self.best_miou,
            "network": {name: tensor.numpy() for name, tensor in self.network.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "parameter_names": self._parameter_names(),
            "average": None if self.average is None else self.average.state_dict(),
            "random": {"python": random.getstate(), "numpy": np.random.get_state(), "paddle": paddle.get_rng_state()},
        }

    def _parameter_names(self) -> dict[str, str]:
        """Paddle's name of each parameter, which depends on what else the process has built."""
        return {name: parameter.name for name, parameter in self.network.named_parameters()}

    def _manifest(self) -> dict[str, Any]:
        dataset = self.val_dataset or self.train_dataset
        return {
            "iter": self.iteration,
            "metrics": self.metrics,
            "config": self.cfg.data,
            "class_names": list(dataset.class_names),
            "palette": np.asarray(dataset.palette).tolist(),
            "ignore_index": dataset.ignore_index,
            "network": self.cfg.model["type"],
            "num_parameters": sum(int(np.prod(p.shape)) for p in self.network.parameters() if not p.stop_gradient),
            "versions": describe()["packages"],
        }

    def _sample_files(self) -> Sequence[tuple[str, str | None]]:
        files = (self.val_dataset or self.train_dataset).file_list
        return [files[i * len(files) // _SAMPLES] for i in range(_SAMPLES)] if len(files) >= _SAMPLES else files

    def _resume(self, path: str) -> None:
        state = load_checkpoint(path).training_state()
        own, saved = self.network.state_dict(), state["network"]
        if set(own) != set(saved):
            raise ValueError(
                f"{path} is a checkpoint of another network; resume with the configuration it was trained with"
            )
        for name, tensor in own.items():
            tensor.set_value(saved[name])
        self.optimizer.set_state_dict(_renamed(state["optimizer"], state["parameter_names"], self._parameter_names()))
        if self.ranks.number == 0 and (self.average is None) != (state["average"] is None):
            raise ValueError(
                f"{path} was trained {'without' if self.average else 'with'} EMA; resume with the same setting"
            )
        if self.average is not None:
            self.average.set_state_dict(state["average"])
        self.iteration, self.best_miou = state["iteration"], state["best_miou"]
        random.setstate(state["random"]["python"])
        np.random.set_state(state["random"]["numpy"])
        paddle.set_rng_state(state["random"]["paddle"])

    @contextlib.contextmanager
    def _catching_interrupts(self) -> Iterator[None]:
        """The first Ctrl-C ends training after the running iteration; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_: Any) -> None:
            self._stop.set()
            signal.signal(signal.SIGINT, previous)

        previous = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def _renamed(state: dict[str, Any], saved: dict[str, str], own: dict[str, str]) -> dict[str, Any]:
    """An optimiser's state, whose keys begin with Paddle's parameter names, under the names of this process."""
    names = {saved[structured]: own[structured] for structured in saved}
    renamed = {}
    for key, value in state.items():
        parameter = next((name for name in names if key.startswith(f"{name}_")), None)
        renamed[key if parameter is None else names[parameter] + key[len(parameter) :]] = value
    return renamed


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and Paddle."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)
