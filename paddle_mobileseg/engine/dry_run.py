"""A rehearsal: what a training will need, from a few real steps, with nothing written."""

from __future__ import annotations

import contextlib
import itertools
import resource
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from paddle_mobileseg.data.loader import draw_sample
from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.evaluator import eval_settings, evaluate
from paddle_mobileseg.engine.precision import on_gpu
from paddle_mobileseg.engine.state import float32_arrays, training_state
from paddle_mobileseg.models.complexity import count, trainable_parameters
from paddle_mobileseg.progress import duration

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Step, Trainer

STEPS = 3  # the first is slower than the rest: memory is taken, algorithms are chosen, a static graph is built


def dry_run(trainer: Trainer) -> None:
    """Make up to three steps and, with ``do_eval``, evaluate one image; then print what was seen and what follows.

    The trainer cannot be used afterwards.

    Raises:
        ValueError, OSError, FloatingPointError: what would end the training itself at its start.
    """
    with parallel.failing_together(trainer.ranks):
        with contextlib.closing(trainer.steps()) as training:
            steps = list(itertools.islice(training, STEPS))
        image_s = _seconds_of_an_image(trainer) if trainer.options.do_eval else None
        parallel.wait_for_all(trainer.ranks)
    if trainer.leads:
        rows = _report(trainer, steps, image_s)
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name:<{width}}  {text}" for name, text in rows))
        print("dry run: nothing has been written")


class _First:
    """The first image of a data set."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return min(len(self._dataset), 1)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def _seconds_of_an_image(trainer: Trainer) -> float:
    begin = time.monotonic()
    with trainer.evaluation_weights() as network:
        evaluate(network, _First(trainer.val_dataset), **eval_settings(trainer.cfg))
    return time.monotonic() - begin


def _report(trainer: Trainer, steps: list[Step], image_s: float | None) -> list[tuple[str, str]]:
    cfg, options, ranks = trainer.cfg, trainer.options, trainer.ranks
    channels, *size_hw = draw_sample(trainer.train_dataset, 0, options.seed)["img"].shape
    _, macs = count(trainer.network, size_hw, channels)
    images = cfg.batch_size * options.accumulate * ranks.count
    step_s = float(np.median([step.seconds for step in steps[1:]] or [steps[0].seconds]))
    left = cfg.iters - trainer.iteration + len(steps)
    training_s = left * step_s
    trained = "all" if not options.freeze_backbone else f"{trainable_parameters(trainer.network):,}"
    rows = [
        ("network", cfg.model["type"]),
        ("parameters", f"{trainer.num_parameters:,}, of which {trained} are trained"),
        ("input", f"{size_hw[1]}x{size_hw[0]} (width x height), {macs / 1e9:.2f} GMACs an image forward"),
        ("images an iteration", _product(images, cfg.batch_size, options.accumulate, ranks.count)),
        (
            "training data",
            f"{len(trainer.train_dataset)} images, seen {left * images / len(trainer.train_dataset):.1f} times",
        ),
        ("loss", ", ".join(f"{step.loss:.4f}" for step in steps)),
        ("first step", f"{steps[0].seconds:.2f} s"),
        ("a step", f"{step_s:.2f} s, {images / step_s:.1f} images/s"),
    ]
    if image_s is not None:
        dataset: Any = trainer.val_dataset
        times = -(-left // options.save_interval)
        each_s = image_s * len(dataset) / ranks.count
        rows.append(("evaluation", f"{image_s:.2f} s an image, about {duration(each_s)} for all, {times} times"))
        training_s += each_s * times
    rows += [
        ("whole training", f"about {duration(training_s)} for {left} iterations"),
        ("memory", _memory()),
        ("disk", _disk(trainer)),
    ]
    return rows


def _product(images: int, batch_size: int, accumulate: int, processes: int) -> str:
    factors = [f"batch_size {batch_size}"]
    factors += [f"{accumulate} batches"] if accumulate > 1 else []
    factors += [f"{processes} processes"] if processes > 1 else []
    return f"{images} ({' x '.join(factors)})"


def _memory() -> str:
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    text = f"{_size(peak)} resident at most, in each process; workers take more"
    return f"{_size(paddle.device.cuda.max_memory_allocated())} of the GPU at most; {text}" if on_gpu() else text


def _disk(trainer: Trainer) -> str:
    state = training_state(trainer)
    one = _bytes(vars(state)) + _bytes(float32_arrays(trainer.network.state_dict()))
    most = trainer.options.keep_checkpoint_max + 2  # beside these the best one, and a new one while it is written
    return f"{_size(one)} a checkpoint, {most} at most: {_size(one * most)}"


def _bytes(value: Any) -> int:
    """Of all arrays in a nested value."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(_bytes(each) for each in value.values())
    return 0


def _size(count_of_bytes: int) -> str:
    return f"{count_of_bytes / 1e9:.2f} GB" if count_of_bytes >= 1e9 else f"{count_of_bytes / 1e6:.1f} MB"
