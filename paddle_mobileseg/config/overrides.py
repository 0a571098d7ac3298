"""Changes from the command line, put into a config before it is checked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from paddle_mobileseg.config.checks import join
from paddle_mobileseg.config.former import modern_overrides
from paddle_mobileseg.config.reading import parse_yaml
from paddle_mobileseg.suggestion import did_you_mean

# Sections that an override may start, though the file does not have them.
_OPTIONAL_SECTIONS = ("train_config", "test_config", "export")
_DATASETS = ("train_dataset", "val_dataset", "test_dataset")
_LISTS = ("train_path", "val_path", "test_path")


def apply_overrides(data: dict[str, Any], overrides: Iterable[str]) -> None:
    """Put every ``a.b.c=value`` into ``data``, in order.

    The value is YAML (``[1, 2]``, ``true``, ``1e-4``, text); PaddleSeg's ``0.75,1.0`` and ``None`` are understood too.
    Items of lists are addressed by number: ``loss.types.0.type=DiceLoss``. The mapping that holds the last key must
    exist; whether the key means anything there is for the check of the whole config to say.

    Raises:
        ValueError: no ``=``, a value that is not YAML, or a path that leads nowhere (the nearest key is named).
    """
    for text in (modern for given in overrides for modern in modern_overrides(given)):
        name, equals, value = text.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise ValueError(f"override {text!r} is not understood; expected a.b.c=value, such as model.num_classes=11")
        if len(keys) > 1 and keys[0] in _OPTIONAL_SECTIONS:
            data.setdefault(keys[0], {})
        try:
            _assign(data, keys, _parse_value(value))
        except ValueError as error:
            raise ValueError(f"override {text!r}: {error}") from error


def set_data_root(data: dict[str, Any], root: str) -> None:
    """Make ``root`` the ``dataset_root`` of every dataset; list files below the old root move with it."""
    for name in _DATASETS:
        spec = data.get(name)
        if not isinstance(spec, dict):
            continue
        old = spec.get("dataset_root")
        spec["dataset_root"] = str(root)
        for key in _LISTS:
            if isinstance(old, str) and isinstance(spec.get(key), str):
                below = os.path.relpath(spec[key], old)
                if not below.startswith(os.pardir) and os.path.isabs(spec[key]) == os.path.isabs(old):
                    spec[key] = os.path.join(str(root), below)


def _parse_value(text: str) -> Any:
    if text.strip() == "None":
        return None
    value = parse_yaml(text)
    if isinstance(value, str) and "," in value:
        items = parse_yaml(f"[{value}]")
        if all(isinstance(item, (int, float)) for item in items):
            return items
    return value


def _assign(data: dict[str, Any], keys: list[str], value: Any) -> None:
    holder: Any = data
    for depth, key in enumerate(keys[:-1]):
        holder = _step(holder, key, join(*keys[:depth]))
    if isinstance(holder, dict):
        holder[keys[-1]] = value
        return
    _step(holder, keys[-1], join(*keys[:-1]))
    holder[int(keys[-1])] = value


def _step(holder: Any, key: str, path: str) -> Any:
    """The value under one key of a mapping, or at one position of a list."""
    place = path or "the config"
    if isinstance(holder, dict):
        if key not in holder:
            hint = did_you_mean(key, holder)
            raise ValueError(f"{place} has no {key!r}{hint or ';'} it has: {', '.join(holder) or 'nothing'}")
        return holder[key]
    if isinstance(holder, list):
        if not key.isdecimal() or int(key) >= len(holder):
            raise ValueError(f"{place} is a list; expected a position from 0 to {len(holder) - 1}, got {key!r}")
        return holder[int(key)]
    raise ValueError(f"{place} is {holder!r} and has no {key!r} below it")
