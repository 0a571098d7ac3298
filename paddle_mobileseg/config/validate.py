"""The check of a whole config, before anything runs."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from paddle_mobileseg.config import checks
from paddle_mobileseg.config.checks import join, known_keys
from paddle_mobileseg.config.components import check_component, check_components
from paddle_mobileseg.config.consistency import make_consistent
from paddle_mobileseg.config.run_sections import check_test_config, check_train_config, refuse_for_now

REQUIRED = ("batch_size", "iters", "train_dataset", "optimizer", "lr_scheduler", "loss", "model")
OPTIONAL = (
    "val_dataset",
    "test_dataset",
    "distill_loss",
    "test_config",
    "train_config",
    "export",
    "device",
    "to_static_training",
)
# Keys of a group in optimizer.custom_cfg. `lr_multi` stands in published PP-MobileSeg files and never had an effect.
GROUP_KEYS = ("name", "lr_mult", "weight_decay_mult", "lr_multi")
GRADIENT_CLIPS = ("ClipGradByGlobalNorm", "ClipGradByNorm", "ClipGradByValue")

_SCHEDULER_NUMBERS = (
    "learning_rate", "warmup_start_lr", "end_lr", "power", "gamma", "eta_min",
    "max_learning_rate", "base_learning_rate",
)  # fmt: skip
_SCHEDULER_COUNTS = ("warmup_iters", "decay_steps", "T_max", "T_0", "step_size", "total_steps", "warmup_steps")
# Modes that cannot be meant: they decide whether a label is transformed with its image.
_WRONG_MODES = {"train_dataset": ("val", "test"), "val_dataset": ("train",), "test_dataset": ("train",)}


def validate(data: dict[str, Any]) -> None:
    """Check ``data`` (plain, ``_base_`` resolved) and complete it in place. Doing it again changes nothing.

    Completed are: ``model.num_classes``, ``ignore_index`` of losses, ``in_channels``, a single loss repeated for every
    coefficient, and the names of optimizers (``sgd`` with momentum is ``Momentum``).

    Raises:
        ValueError: with the dotted path of the place, what was got and what was expected.
    """
    known_keys(data, REQUIRED + OPTIONAL)
    for key in REQUIRED:
        if key not in data:
            raise ValueError(f"the key {key!r} is missing; needed are {', '.join(REQUIRED)}")
    checks.integer(data["batch_size"], "batch_size", 1)
    checks.integer(data["iters"], "iters", 1)
    for key in ("train_dataset", "val_dataset", "test_dataset"):
        if key in data:
            check_component(data[key], key, "datasets", supplied=("mode",))
            if data[key].get("mode") in _WRONG_MODES[key]:
                raise ValueError(
                    f"{key}.mode is {data[key]['mode']!r}; expected {key.split('_')[0]!r}, or leave it out"
                )
    check_component(data["model"], "model", "models", supplied=("num_classes",))
    _check_loss_section(data["loss"], "loss")
    refuse_for_now(data, "distill_loss")
    _check_optimizer(data["optimizer"])
    _check_lr_scheduler(data["lr_scheduler"])
    check_test_config(checks.mapping(data.get("test_config", {}), "test_config"))
    check_train_config(checks.mapping(data.get("train_config", {}), "train_config"))
    _check_export(checks.mapping(data.get("export", {}), "export"))
    if "device" in data:
        checks.one_of(data["device"], "device", ("cpu", "gpu"))
    checks.boolean(data.get("to_static_training", False), "to_static_training")
    make_consistent(data)


def _check_loss_section(section: Any, path: str) -> None:
    known_keys(checks.mapping(section, path), ("types", "coef"), path)
    types = checks.sequence(section.get("types"), join(path, "types"), "a list of losses")
    coef = checks.numbers(section.get("coef"), join(path, "coef"))
    if len(types) not in (1, len(coef)):
        raise ValueError(
            f"{path}.types has {len(types)} losses and {path}.coef {len(coef)} values; expected as many, or one loss"
        )
    check_components(types, join(path, "types"), "losses")
    for index, spec in enumerate(types):
        _check_mixed_loss(spec, join(path, "types", index))
    if len(types) < len(coef):
        section["types"] = [copy.deepcopy(types[0]) for _ in coef]


def _check_mixed_loss(spec: dict[str, Any], path: str) -> None:
    if "losses" not in spec:
        return
    losses = checks.sequence(spec["losses"], join(path, "losses"), "a list of losses")
    coef = checks.numbers(spec.get("coef"), join(path, "coef"))
    if len(losses) != len(coef):
        raise ValueError(f"{path} has {len(losses)} losses and {len(coef)} coefficients; expected as many of each")


def _check_optimizer(spec: Any) -> None:
    spec = checks.mapping(spec, "optimizer")
    if spec.get("type") in ("adam", "sgd"):
        spec["type"] = {"adam": "Adam", "sgd": "SGD"}[spec["type"]]
    if spec.get("type") == "SGD" and "momentum" in spec:
        spec["type"] = "Momentum"
    check_component(spec, "optimizer", "optimizers")
    for key in ("momentum", "beta1", "beta2", "epsilon", "weight_decay", "layerwise_decay"):
        if spec.get(key) is not None:
            checks.number(spec[key], join("optimizer", key), 0)
    groups = checks.sequence(spec["custom_cfg"], "optimizer.custom_cfg") if spec.get("custom_cfg") else []
    for index, group in enumerate(groups):
        path = join("optimizer.custom_cfg", index)
        known_keys(checks.mapping(group, path), GROUP_KEYS, path)
        if not isinstance(group.get("name"), str) or not group["name"]:
            raise ValueError(
                f"{path}.name is {group.get('name')!r}; expected a part of the parameters' names, such as 'bn'"
            )
        for key in sorted(set(group) - {"name"}):
            checks.number(group[key], join(path, key), 0)
    if spec.get("grad_clip_cfg") is not None:
        _check_gradient_clip(checks.mapping(spec["grad_clip_cfg"], "optimizer.grad_clip_cfg"))


def _check_gradient_clip(spec: dict[str, Any]) -> None:
    from paddle import nn

    path = "optimizer.grad_clip_cfg"
    name = checks.one_of(spec.get("name"), join(path, "name"), GRADIENT_CLIPS)
    parameters = inspect.signature(getattr(nn, name)).parameters
    known_keys({key: value for key, value in spec.items() if key != "name"}, parameters, path, f"argument of {name}:")
    limit = "max" if name == "ClipGradByValue" else "clip_norm"
    checks.number(spec.get(limit), join(path, limit), 0)


def _check_lr_scheduler(spec: Any) -> None:
    from paddle.optimizer import lr

    path = "lr_scheduler"
    classes = {name: each for name, each in vars(lr).items() if inspect.isclass(each)}
    schedulers = {name: each for name, each in classes.items() if each in lr.LRScheduler.__subclasses__()}
    name = checks.one_of(checks.mapping(spec, path).get("type"), join(path, "type"), schedulers)
    parameters = inspect.signature(schedulers[name]).parameters
    known_keys(spec, {"type", "warmup_iters", "warmup_start_lr", *parameters}, path)
    for key in (each for each in _SCHEDULER_NUMBERS if each in spec):
        checks.number(spec[key], join(path, key), 0)
    for key in (each for each in _SCHEDULER_COUNTS if each in spec):
        checks.integer(spec[key], join(path, key), 0)
    # decay_steps follows from iters; see build.lr_scheduler.
    missing = [each.name for each in parameters.values() if each.default is each.empty and each.name not in spec]
    if "warmup_iters" in spec or "warmup_start_lr" in spec:
        missing += [key for key in ("warmup_iters", "warmup_start_lr") if key not in spec]
    missing = [key for key in missing if (name, key) != ("PolynomialDecay", "decay_steps")]
    if missing:
        raise ValueError(
            f"{path}: {name} needs {missing[0]!r}{' for its warm-up' if missing[0].startswith('warmup_') else ''}"
        )


def _check_export(section: dict[str, Any]) -> None:
    known_keys(section, ("transforms",), "export")
    check_components(section.get("transforms", []), "export.transforms", "transforms")
