"""What a trainer writes into a checkpoint, and how it goes on from one as if it had not been interrupted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from paddle import nn

from paddle_mobileseg.engine.checkpoint import Checkpoint
from paddle_mobileseg.machine import package_versions
from paddle_mobileseg.models.complexity import trainable_parameters

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Trainer

_SAMPLES = 4


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and Paddle."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)


def seed_iteration(seed: int, iteration: int, rank: int) -> None:
    """Seed for one iteration of one process: what is drawn in it depends on these numbers alone.

    So nothing that happened before (an interruption, an evaluation) changes what dropout draws.
    """
    entropy = [seed % 2**64, iteration, rank]
    seed_everything(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Weights, optimiser and average, as ``paddle.save`` can store them.

    There is no state of random generators: see :func:`seed_iteration`.
    """
    return {
        "iteration": trainer.iteration,
        "best_miou": trainer.best_miou,
        "network": {name: tensor.numpy() for name, tensor in trainer.network.state_dict().items()},
        "optimizer": trainer.optimizer.state_dict(),
        "parameter_names": _parameter_names(trainer.network),
        "average": None if trainer.average is None else trainer.average.state_dict(),
    }


def manifest(trainer: Trainer) -> dict[str, Any]:
    """What ``checkpoint.json`` says of a training, less what :func:`save_checkpoint` adds."""
    dataset = trainer.val_dataset or trainer.train_dataset
    return {
        "iter": trainer.iteration,
        "metrics": trainer.metrics,
        "config": trainer.cfg.data,
        "class_names": list(dataset.class_names),
        "palette": np.asarray(dataset.palette).tolist(),
        "ignore_index": dataset.ignore_index,
        "network": trainer.cfg.model["type"],
        "num_parameters": trainable_parameters(trainer.network),
        "versions": package_versions(),
    }


def sample_files(trainer: Trainer) -> Sequence[tuple[str, str | None]]:
    """A few images with labels, spread over the validation data, or the training data where there is none."""
    files = (trainer.val_dataset or trainer.train_dataset).file_list
    return [files[i * len(files) // _SAMPLES] for i in range(_SAMPLES)] if len(files) >= _SAMPLES else files


def resume(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Put a trainer, just built, where it was when it wrote the checkpoint.

    Raises:
        ValueError: the checkpoint is damaged, at or past the last iteration, or of another network, optimiser or EMA
            setting.
        FileNotFoundError: the checkpoint lacks its training state.
    """
    folder = checkpoint.folder
    if checkpoint.iteration >= trainer.cfg.iters:
        raise ValueError(
            f"{folder} has {checkpoint.iteration} iterations and the configuration asks for {trainer.cfg.iters}: "
            "nothing is left to train; set iters higher"
        )
    trained_with, own = (cfg.optimizer["type"] for cfg in (checkpoint.config, trainer.cfg))
    if trained_with != own:
        raise ValueError(f"{folder} was trained with the optimizer {trained_with}, not {own}; resume with the same")
    state = checkpoint.training_state()
    _set_weights(trainer.network, state["network"], str(folder))
    names = _parameter_names(trainer.network)
    try:
        trainer.optimizer.set_state_dict(_renamed(state["optimizer"], state["parameter_names"], names))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: the state of the optimizer does not fit {own}: {error}") from error
    trainer.iteration, trainer.best_miou = state["iteration"], state["best_miou"]
    if (trainer.average is None) != (state["average"] is None):
        raise ValueError(
            f"{folder} was trained {'without' if trainer.average else 'with'} EMA; resume with the same setting"
        )
    if trainer.average is not None:
        trainer.average.set_state_dict(state["average"])


def _set_weights(network: nn.Layer, saved: dict[str, Any], where: str) -> None:
    own = network.state_dict()
    if set(own) != set(saved):
        raise ValueError(
            f"{where} is a checkpoint of another network; resume with the configuration it was trained with"
        )
    for name, tensor in own.items():
        if list(saved[name].shape) != list(tensor.shape):
            raise ValueError(
                f"{where} is a checkpoint of another network: its {name} is {list(saved[name].shape)}, expected "
                f"{list(tensor.shape)}; resume with the configuration it was trained with (and its number of classes)"
            )
    for name, tensor in own.items():
        tensor.set_value(saved[name])


def _parameter_names(network: nn.Layer) -> dict[str, str]:
    """Paddle's name of each parameter, which depends on what else the process has built."""
    return {name: parameter.name for name, parameter in network.named_parameters()}


def _renamed(state: dict[str, Any], saved: dict[str, str], own: dict[str, str]) -> dict[str, Any]:
    """An optimiser's state, whose keys begin with Paddle's parameter names, under the names of this process."""
    names = {saved[structured]: own[structured] for structured in saved}
    renamed = {}
    for key, value in state.items():
        parameter = next((name for name in names if key.startswith(f"{name}_")), None)
        renamed[key if parameter is None else names[parameter] + key[len(parameter) :]] = value
    return renamed
