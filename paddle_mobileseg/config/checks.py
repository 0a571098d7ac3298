"""Small checks whose errors name the place in the config, what was got and what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from paddle_mobileseg.suggestion import did_you_mean


def join(*parts: Any) -> str:
    """Dotted path: ``join("model", "backbone", 0)`` is ``"model.backbone.0"``; empty parts are left out."""
    return ".".join(str(part) for part in parts if part != "")


def known_keys(
    mapping: dict[str, Any], known: Iterable[str], path: str = "", what: str = "key", advice: str = ""
) -> None:
    """Refuse the first key of ``mapping`` that is not known, naming the nearest one, or giving advice if none is near.

    Raises:
        ValueError: with the dotted path of the key and all known ones.
    """
    known = sorted(known)
    for key in mapping:
        if key not in known:
            hint = did_you_mean(key, known)
            listed = f"{hint or ';'} known: {', '.join(known)}{'' if hint else advice}"
            raise ValueError(f"{join(path, key)}: unknown {what} {key!r}{listed}")


def mapping(value: Any, path: str) -> dict[str, Any]:
    """``value``, which must be a mapping."""
    if not isinstance(value, dict):
        raise ValueError(f"{path} is {value!r}; expected a mapping of keys to values")
    return value


def sequence(value: Any, path: str, what: str = "a list") -> list[Any]:
    """``value``, which must be a list with at least one item."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"{path} is {value!r}; expected {what} with at least one item")
    return value


def integer(value: Any, path: str, minimum: int | None = None) -> int:
    """``value``, which must be a whole number of at least ``minimum``."""
    good = isinstance(value, int) and not isinstance(value, bool)
    if good and (minimum is None or value >= minimum):
        return value
    raise ValueError(
        f"{path} is {value!r}; expected a whole number{'' if minimum is None else f' of at least {minimum}'}"
    )


def number(value: Any, path: str, minimum: float | None = None, maximum: float | None = None) -> float:
    """``value``, which must be a finite number within the bounds (included)."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if good and (minimum is None or value >= minimum) and (maximum is None or value <= maximum):
        return value
    bounds = [f"at least {minimum:g}"] if minimum is not None else []
    bounds += [f"at most {maximum:g}"] if maximum is not None else []
    hint = " (without quotes)" if isinstance(value, str) else ""
    raise ValueError(f"{path} is {value!r}; expected a number{hint}{' of ' if bounds else ''}{' and '.join(bounds)}")


def numbers(value: Any, path: str) -> list[float]:
    """``value``, which must be a list of at least one finite number."""
    return [number(each, join(path, index)) for index, each in enumerate(sequence(value, path, "a list of numbers"))]


def boolean(value: Any, path: str) -> bool:
    """``value``, which must be true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{path} is {value!r}; expected true or false")
    return value


def one_of(value: Any, path: str, choices: Iterable[str]) -> str:
    """``value``, which must be one of ``choices``."""
    choices = list(choices)
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise ValueError(f"{path} is {value!r}{hint or ';'} expected one of {', '.join(choices)}")
    return value
