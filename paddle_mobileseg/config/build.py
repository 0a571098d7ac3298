"""Objects from a checked config. Paddle is imported where it is first needed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddle_mobileseg.config.checks import join
from paddle_mobileseg.config.components import accepted_arguments, find_component, is_component
from paddle_mobileseg.config.parameter_groups import parameter_groups
from paddle_mobileseg.data.palette import default_palette

if TYPE_CHECKING:
    from paddle import nn
    from paddle.optimizer import Optimizer
    from paddle.optimizer.lr import LRScheduler

    from paddle_mobileseg.config.load import Config

_LOGGER = logging.getLogger("paddle_mobileseg")
_PADDLE_OPTIMIZERS = ("SGD", "Momentum", "Adam", "AdamW")


def component(spec: dict[str, Any], path: str = "") -> Any:
    """The object that ``spec`` (``type`` and arguments) describes, components among its arguments built first.

    Raises:
        ValueError: no such component, or its constructor refuses an argument; the message names ``path`` and type.
    """
    cls = find_component(spec, path)
    arguments = {key: _built(value, join(path, key)) for key, value in spec.items() if key != "type"}
    try:
        return cls(**arguments)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{path or 'component'} ({spec['type']}): {error}") from error


def model(cfg: Config, ignore_head: bool = False) -> nn.Layer:
    """The network, with what ``pretrained`` names loaded.

    Args:
        cfg: a checked config.
        ignore_head: leave out those tensors of the head that have another shape in the weights that
            ``model.pretrained`` names, as for another number of classes.

    Raises:
        ValueError: ``ignore_head``, and there is no ``model.pretrained``; or weights that do not fit.
    """
    if not ignore_head:
        return component(cfg.model, "model")
    from paddle_mobileseg.weights import load_weights

    spec = cfg.model
    pretrained = spec.pop("pretrained", None)
    if pretrained is None:
        raise ValueError(
            "--ignore_head is about the weights of the whole network that model.pretrained names, and there are none; "
            "give some with --opts model.pretrained=NAME"
        )
    if isinstance(spec.get("backbone"), dict):
        spec["backbone"].pop("pretrained", None)  # all of the backbone is in the other file
    network = component(spec, "model")
    load_weights(network, pretrained, ignore_head=True)
    return network


def dataset(cfg: Config, split: str) -> Any:
    """The dataset of ``split`` (``train``, ``val`` or ``test``), in that mode unless the config names another.

    Raises:
        ValueError: the config has no such section, or the data are not as they should be.
        OSError: files are missing; nothing is downloaded.
    """
    name = f"{split}_dataset"
    if name not in cfg.data:
        raise ValueError(f"the config has no {name}; add the section to it")
    spec = getattr(cfg, name)
    _refuse_download(spec, name)
    built = component({"mode": split, **spec}, name)
    # PaddleSeg's own data sets name neither their classes nor colours for them.
    for attribute, value in (
        ("class_names", [f"class {number}" for number in range(cfg.num_classes)]),
        ("palette", default_palette(cfg.num_classes)),
        ("ignore_index", 255),
    ):
        if not hasattr(built, attribute):
            setattr(built, attribute, value)
    return built


def losses(cfg: Config) -> list[tuple[float, nn.Layer]]:
    """``(coefficient, loss)`` for each of the model's logits, in order. A MixedLoss stays one loss."""
    described = cfg.loss
    layers = [component(spec, join("loss", "types", index)) for index, spec in enumerate(described["types"])]
    return list(zip(described["coef"], layers, strict=True))


def lr_scheduler(cfg: Config) -> LRScheduler:
    """The learning rate by iteration, with a linear warm-up where ``warmup_iters`` is given.

    ``PolynomialDecay`` reaches its end after ``iters - warmup_iters`` steps unless ``decay_steps`` says otherwise.

    Raises:
        ValueError: the schedule cannot be built, or its warm-up does not lead upwards.
    """
    from paddle.optimizer import lr

    arguments = cfg.lr_scheduler
    name = arguments.pop("type")
    warmup_iters = arguments.pop("warmup_iters", 0)
    warmup_start_lr = arguments.pop("warmup_start_lr", 0.0)
    if warmup_iters >= cfg.iters:
        _LOGGER.warning(
            "lr_scheduler.warmup_iters (%d) is not below iters (%d): training is all warm-up", warmup_iters, cfg.iters
        )
    if name == "PolynomialDecay":
        arguments.setdefault("decay_steps", max(cfg.iters - warmup_iters, 1))
    try:
        scheduler = getattr(lr, name)(**arguments)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"lr_scheduler ({name}): {error}") from error
    if warmup_iters == 0:
        return scheduler
    end_lr = float(arguments.get("learning_rate", scheduler.get_lr()))
    if end_lr <= warmup_start_lr:
        raise ValueError(
            f"lr_scheduler: the warm-up leads from warmup_start_lr ({warmup_start_lr:g}) up to the learning rate, but "
            f"that is {end_lr:g}; lower the former (--opts lr_scheduler.warmup_start_lr=0), or take no warm-up "
            "(--opts lr_scheduler.warmup_iters=0)"
        )
    return lr.LinearWarmup(scheduler, warmup_steps=warmup_iters, start_lr=warmup_start_lr, end_lr=end_lr)


def optimizer(cfg: Config, model: nn.Layer, learning_rate: LRScheduler | float) -> Optimizer:
    """The optimizer over the model's trainable parameters, grouped as ``custom_cfg`` says.

    ``SGD``, ``Momentum``, ``Adam`` and ``AdamW`` are Paddle's own; any other type is PaddleSeg's. The former do not
    clip gradients: see :func:`gradient_clip`.

    Raises:
        ValueError: the model has no trainable parameter, or the optimizer refuses an argument.
    """
    import paddle

    arguments = cfg.optimizer
    name = arguments["type"]
    if name not in _PADDLE_OPTIMIZERS:
        return component(arguments, "optimizer")(model, learning_rate)
    del arguments["type"]
    arguments.pop("grad_clip_cfg", None)
    default_decay = 0.01 if name == "AdamW" else None
    weight_decay = arguments.pop("weight_decay", default_decay)
    weight_decay = None if weight_decay is None else float(weight_decay)
    groups = parameter_groups(model, arguments.pop("custom_cfg", None) or [], weight_decay)
    if weight_decay is not None:
        arguments["weight_decay"] = weight_decay
    try:
        return getattr(paddle.optimizer, name)(learning_rate=learning_rate, parameters=groups, **arguments)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"optimizer ({name}): {error}") from error


def gradient_clip(cfg: Config) -> Any:
    """What clips the gradients before a step of :func:`optimizer`, or ``None``: ``optimizer.grad_clip_cfg``.

    It is apart from the optimizer because Paddle's optimizers clip each group of parameters by itself. PaddleSeg's own
    optimizers clip as they do there.
    """
    from paddle import nn

    described = cfg.optimizer
    clip = described.get("grad_clip_cfg")
    if clip is None or described["type"] not in _PADDLE_OPTIMIZERS:
        return None
    return getattr(nn, clip.pop("name"))(**clip)


def _refuse_download(spec: dict[str, Any], path: str) -> None:
    """PaddleSeg's own data sets start a download where ``dataset_root`` is missing."""
    cls = find_component(spec, path)
    root = spec.get("dataset_root")
    if not cls.__module__.startswith("paddleseg.") or "dataset_root" not in accepted_arguments(cls)[0]:
        return
    if root is None or not Path(root).is_dir():
        found = "is not given" if root is None else f"({root}) is no folder"
        raise FileNotFoundError(
            f"{path}.dataset_root {found}; nothing is downloaded, so it must name the folder with the data for "
            f"{spec['type']}"
        )


def _built(value: Any, path: str) -> Any:
    if is_component(value):
        return component(value, path)
    if isinstance(value, list):
        return [component(item, join(path, index)) if is_component(item) else item for index, item in enumerate(value)]
    return value
