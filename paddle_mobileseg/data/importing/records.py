"""Reading JSON that others wrote: every value is checked before it is used, and every message names its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_FARTHEST = 1e9
_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number", (dict, list): "a list or an object"}


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: not JSON, not UTF-8 or nested too deeply; names the file and, where it can, the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: broken JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # a number of many thousand digits is a ValueError
        raise ValueError(f"{path}: JSON that cannot be read: {error}") from error


def value_of(record: Any, key: str, kind: Any, place: str) -> Any:
    """``record[key]``, which must be of a kind (a type, or several).

    Raises:
        ValueError: the record is no JSON object, has no such key, or holds something else there.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{place}: expected an object with {key!r}, got {shown(record)}")
    value = record.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        got = shown(value) if key in record else "missing"
        raise ValueError(f"{place}: {key!r} is {got}; expected {_NAMES[kind]}")
    return value


def points_of(values: Any, place: str) -> np.ndarray:
    """Corners as float64 [N, 2].

    Raises:
        ValueError: not a list of [x, y], or numbers that are not finite or far beyond any image.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{place}: expected a list of points [x, y], got {shown(values)}")
    points = array.astype(np.float64)
    wrong = points[~(np.abs(points) <= _FARTHEST)]
    if wrong.size:
        raise ValueError(f"{place}: the coordinate {wrong[0]} lies beyond any image; correct or remove the shape")
    return points


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
