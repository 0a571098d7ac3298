"""What several sections must agree on: classes, ignored label, channels, and losses against the model's outputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from paddle_mobileseg.config.checks import integer, join
from paddle_mobileseg.config.components import accepts, find_component

if TYPE_CHECKING:
    from paddle_mobileseg.config.load import Config

_DATASETS = ("train_dataset", "val_dataset", "test_dataset")


def make_consistent(data: dict[str, Any]) -> None:
    """Fill in what follows from other sections (``model.num_classes``, ``ignore_index``, ``in_channels``).

    Raises:
        ValueError: two sections say different things; the message has both places and values.
    """
    _agree_on_classes(data)
    _agree_on_ignore_index(data)
    _agree_on_channels(data)


def check_losses(cfg: Config, model: Any) -> None:
    """Compare the number of losses with the number of logits that the model gives in training.

    Args:
        cfg: the checked config.
        model: the built network; where it has no ``num_train_logits`` nothing is checked.

    Raises:
        ValueError: the numbers differ.
    """
    logits = getattr(model, "num_train_logits", None)
    coefficients = len(cfg.loss["coef"])
    if logits is not None and logits != coefficients:
        raise ValueError(
            f"loss.coef has {coefficients} value(s), but {cfg.model['type']} gives {logits} logits in training; "
            f"write {logits} coefficient(s), and either one loss in loss.types or {logits}"
        )


def _dataset_values(data: dict[str, Any], name: str) -> dict[str, Any]:
    """What each dataset says about ``name``: its argument, else its class's constant, else the argument's default."""
    values = {}
    for section in _DATASETS:
        if section not in data:
            continue
        spec = data[section]
        dataset = find_component(spec, section, "datasets")
        value = spec.get(name)
        if value is None:
            value = getattr(dataset, name.upper(), None)
        if value is None and name in inspect.signature(dataset).parameters:
            default = inspect.signature(dataset).parameters[name].default
            value = None if default is inspect.Parameter.empty else default
        if value is not None:
            values[f"{section} ({spec['type']})"] = integer(value, join(section, name))
    return values


def _common_value(values: dict[str, Any], what: str) -> Any:
    """The one value that all places have, or None where no place has one."""
    if len(set(values.values())) > 1:
        listed = ", ".join(f"{place}: {value}" for place, value in values.items())
        raise ValueError(f"{what} must be the same everywhere, but {listed}")
    return next(iter(values.values()), None)


def _agree_on_classes(data: dict[str, Any]) -> None:
    model = data["model"]
    values = _dataset_values(data, "num_classes")
    if model.get("num_classes") is not None:
        values = {"model": integer(model["num_classes"], "model.num_classes", 1), **values}
    num_classes = _common_value(values, "num_classes")
    if num_classes is None:
        raise ValueError("model.num_classes is missing, and no dataset says how many classes it has; write one of them")
    model["num_classes"] = integer(num_classes, "num_classes", 1)


def _agree_on_ignore_index(data: dict[str, Any]) -> None:
    ignore_index = _common_value(_dataset_values(data, "ignore_index"), "ignore_index")
    if ignore_index is None:
        return
    for path, spec in _single_losses(data["loss"]["types"], "loss.types"):
        if spec.get("ignore_index") is not None:
            own = integer(spec["ignore_index"], join(path, "ignore_index"))
            _common_value({"the datasets": ignore_index, path: own}, "ignore_index")
        elif accepts(find_component(spec, path, "losses"), "ignore_index"):
            spec["ignore_index"] = ignore_index


def _single_losses(specs: list[dict[str, Any]], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every loss with its path, those inside a MixedLoss one by one."""
    for index, spec in enumerate(specs):
        if "losses" in spec:
            yield from _single_losses(spec["losses"], join(path, index, "losses"))
        else:
            yield join(path, index), spec


def _agree_on_channels(data: dict[str, Any]) -> None:
    channels = _common_value(_dataset_values(data, "img_channels"), "img_channels")
    inner = "backbone" if isinstance(data["model"].get("backbone"), dict) else ""
    spec = data["model"][inner] if inner else data["model"]
    path = join("model", inner)
    if channels is None:
        return
    if spec.get("in_channels") is not None:
        own = integer(spec["in_channels"], join(path, "in_channels"), 1)
        values = {"img_channels of the datasets": channels, join(path, "in_channels"): own}
        _common_value(values, "the number of image channels")
    elif channels != 3:
        if not accepts(find_component(spec, path), "in_channels"):
            raise ValueError(f"the datasets give {channels} channels an image, but {spec['type']} works on 3 only")
        spec["in_channels"] = channels
