"""What a trainer writes into a checkpoint, and how it goes on from one as if it had not been interrupted.

The arrays of a training's state are ``network/NAME`` (the weights that training goes on from; the checkpoint's own may
be averaged ones), ``average/NAME`` and ``optimizer/NAME/KIND`` (such as ``moment1``), by the network's names. The rest
are plain values.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from paddle import Tensor

from paddle_mobileseg.data.loader import Cursor
from paddle_mobileseg.engine.checkpoint import Checkpoint, TrainingState
from paddle_mobileseg.machine import package_versions
from paddle_mobileseg.weights.loading import listing

if TYPE_CHECKING:
    from paddle_mobileseg.engine.options import TrainOptions
    from paddle_mobileseg.engine.trainer import Trainer

# What of the options changes the result of a training.
_COUNTING = (
    "seed", "ema_decay", "precision", "amp_level", "accumulate", "to_static", "channels_last", "freeze_backbone",
)  # fmt: skip
_SAMPLES = 4
_VALUES: dict[str, Any] = {
    "iteration": int,
    "epoch": int,
    "offset": int,
    "train_images": int,
    "ranks": int,
    "options": dict,
    "schedule": dict,
    "scaler": (dict, type(None)),
    "average_updates": (int, type(None)),
    "best_miou": (int, float),
    "without_gain": int,
}


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


def counting_options(options: TrainOptions) -> dict[str, Any]:
    """Those options that change the result of a training, by name."""
    chosen = {name: getattr(options, name) for name in _COUNTING}
    if options.precision == "fp32":
        del chosen["amp_level"]
    return chosen


def float32_arrays(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays of tensors, floating-point ones as float32; what is an array already stays as it is."""
    return {name: tensor if isinstance(tensor, np.ndarray) else _array(tensor) for name, tensor in tensors.items()}


def training_state(trainer: Trainer) -> TrainingState:
    """All that training needs to go on.

    There is no state of random generators: see :func:`seed_iteration`.
    """
    average = {} if trainer.average is None else trainer.average.state_dict()
    groups = {
        "network": trainer.network.state_dict(),
        "average": average.get("average", {}),
        "optimizer": _accumulators(trainer),
    }
    values = {
        "iteration": trainer.iteration,
        "epoch": trainer.cursor.epoch,
        "offset": trainer.cursor.offset,
        "train_images": len(trainer.train_dataset),
        "ranks": trainer.ranks.count,
        "options": counting_options(trainer.options),
        "schedule": trainer.lr_scheduler.state_dict(),
        "scaler": None if trainer.scaler is None else trainer.scaler.state_dict(),
        "average_updates": average.get("updates"),
        "best_miou": trainer.best_miou,
        "without_gain": trainer.without_gain,
    }
    arrays = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
    return TrainingState(float32_arrays(arrays), _plain(values))


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
        "num_parameters": trainer.num_parameters,
        "versions": package_versions(),
    }


def sample_files(trainer: Trainer) -> Sequence[tuple[str, str | None]]:
    """A few images with labels, spread over the validation data, or the training data where there is none."""
    files = (trainer.val_dataset or trainer.train_dataset).file_list
    return [files[i * len(files) // _SAMPLES] for i in range(_SAMPLES)] if len(files) >= _SAMPLES else files


def resume(trainer: Trainer, checkpoint: Checkpoint, state: TrainingState, new_schedule: bool = False) -> None:
    """Put a trainer, just built, where it was when it wrote the checkpoint.

    Args:
        trainer: with the configuration and options of the checkpoint, or other ones that the user has agreed to.
        checkpoint: for its name.
        state: its training's state.
        new_schedule: the learning rates follow another schedule than before; its present rate is what it would be after
            as many iterations.

    Raises:
        ValueError: the state does not fit the network or the optimizer.
    """
    where, values = str(checkpoint.folder), state.values
    groups: dict[str, dict[str, np.ndarray]] = {"network": {}, "average": {}, "optimizer": {}}
    for name, array in state.arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    _set_tensors(trainer.network.state_dict(), groups["network"], where)
    _set_optimizer(trainer, groups["optimizer"], where)
    _set_average(trainer, groups["average"] or groups["network"], values["average_updates"] or 0, where)
    if new_schedule:
        for _ in range(values["iteration"]):
            trainer.lr_scheduler.step()
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There are some unused values")  # Paddle's, of its own warm-up
            trainer.lr_scheduler.set_state_dict(values["schedule"])
    if trainer.scaler is not None and values["scaler"]:
        trainer.scaler.load_state_dict(values["scaler"])
    trainer.iteration = values["iteration"]
    trainer.cursor = Cursor(values["epoch"], values["offset"])
    trainer.best_miou, trainer.without_gain = values["best_miou"], values["without_gain"]


def check_values(values: dict[str, Any], where: str) -> None:
    """Refuse values that are not those of :func:`training_state`.

    Raises:
        ValueError: some are missing or of a wrong kind.
    """
    wrong = [name for name, kind in _VALUES.items() if name not in values or not isinstance(values[name], kind)]
    if wrong:
        raise ValueError(
            f"{where} does not hold the state of a training: {', '.join(wrong)} missing or of a wrong kind; use "
            "another checkpoint"
        )


def _set_tensors(own: Mapping[str, Tensor], saved: Mapping[str, np.ndarray], where: str) -> None:
    different = [*(name for name in own if name not in saved), *(name for name in saved if name not in own)]
    if different:
        raise ValueError(
            f"{where} is a checkpoint of another network ({listing('tensors in one of them only', different)}); resume "
            "with the configuration it was trained with"
        )
    for name, tensor in own.items():
        _check_shape(saved[name], tensor, name, where)
    for name, tensor in own.items():
        tensor.set_value(paddle.to_tensor(saved[name], dtype=tensor.dtype))


def _check_shape(saved: np.ndarray, own: Tensor, name: str, where: str) -> None:
    if list(saved.shape) != list(own.shape):
        raise ValueError(
            f"{where} is a checkpoint of another network: its {name} is {list(saved.shape)}, expected "
            f"{list(own.shape)}; resume with the configuration it was trained with (and its number of classes)"
        )


def _set_average(trainer: Trainer, saved: dict[str, np.ndarray], updates: int, where: str) -> None:
    """Where there was none before, it begins with the weights themselves."""
    if trainer.average is None:
        return
    own = trainer.network.state_dict()
    if set(saved) != set(own):
        raise ValueError(f"{where}: the averaged weights are not those of this network; use another checkpoint")
    for name, tensor in own.items():
        _check_shape(saved[name], tensor, name, where)
    trainer.average.set_state_dict({"updates": updates, "average": saved})


def _set_optimizer(trainer: Trainer, saved: dict[str, np.ndarray], where: str) -> None:
    """Give the optimizer its state. It makes none before its first step, so it is asked to for those parameters that
    have some in the checkpoint."""
    parameters = dict(trainer.network.named_parameters())
    owners = dict.fromkeys(name.rpartition("/")[0] for name in saved)
    if strange := [name for name in owners if name not in parameters]:
        raise ValueError(f"{where}: the optimizer's state has {listing('names that the network lacks', strange)}")
    trained = [name for name in owners if not parameters[name].stop_gradient]
    if not trained:
        return
    block = paddle.static.default_main_program().global_block()
    trainer.optimizer._create_accumulators(block, [parameters[name] for name in trained])
    own = _accumulators(trainer)
    saved = {name: array for name, array in saved.items() if name.rpartition("/")[0] in trained}
    if different := sorted(set(own) ^ set(saved)):
        raise ValueError(
            f"{where}: the state of the optimizer does not fit {type(trainer.optimizer).__name__} "
            f"({listing('in one of them only', different)}); resume with the same optimizer"
        )
    for name, tensor in own.items():
        _check_shape(saved[name], tensor, name, where)
    for name, tensor in own.items():
        tensor.set_value(paddle.to_tensor(saved[name], dtype=tensor.dtype, place=tensor.place))


def _accumulators(trainer: Trainer) -> dict[str, Tensor]:
    """The optimizer's tensors, as ``PARAMETER/KIND``. Paddle names them after its own names of the parameters, which
    depend on what else the process has built, such as ``linear_0.w_0_moment1_0``."""
    names = {parameter.name: name for name, parameter in trainer.network.named_parameters()}
    tensors = {}
    for key, tensor in trainer.optimizer.state_dict().items():
        if key == "LR_Scheduler":
            continue
        owner = next((key[:end] for end in _underscores(key) if key[:end] in names), None)
        if owner is None:
            raise ValueError(f"{type(trainer.optimizer).__name__} keeps {key!r}, which is of no parameter")
        kind = re.sub(r"_\d+$", "", key[len(owner) + 1 :])
        tensors[f"{names[owner]}/{kind}"] = tensor
    return tensors


def _underscores(text: str) -> list[int]:
    """Where they are, the last one first."""
    return [match.start() for match in re.finditer("_", text)][::-1]


def _array(tensor: Tensor) -> np.ndarray:
    return (tensor.astype("float32") if tensor.is_floating_point() else tensor).numpy()


def _plain(value: Any) -> Any:
    """Values as JSON stores them; numbers come back exactly."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return _plain(np.asarray(value).tolist())
    return value
