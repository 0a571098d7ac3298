"""Paddle's weights files read without unpickling anything but arrays.

``paddle.load`` runs whatever a file names. Here a pickle may name only what ``paddle.save`` writes for a state_dict of
tensors or NumPy arrays (Paddle 2.0 to 3.3, pickle protocols 2 to 4, NumPy 1 and 2), and even NumPy's own rebuilding
functions are replaced by checked ones, so a hostile file can neither run code nor make a broken array.
"""

from __future__ import annotations

import collections
import math
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np

# Paddle adds the table of its own parameter names and, to protocols 2 and 3, that of tensors cut into slices.
_NAME_TABLE = "StructuredToParameterName@@"
_SLICE_TABLE = "UnpackBigParamInfor@@"

# Paddle stores bfloat16 as u2 without saying so; as numbers those would be garbage, hence no u2.
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")


def read_paddle(path: str | Path, file: IO[bytes] | None = None) -> dict[str, np.ndarray]:
    """The state_dict in a ``.pdparams`` file.

    Args:
        path: a file that ``paddle.save`` wrote.
        file: its content where it is not on the disk; ``path`` then only names it.

    Returns:
        Arrays by name, in the file's order and with the file's dtypes.

    Raises:
        OSError: the file cannot be read.
        ValueError: a damaged file, a pickle that wants more than arrays, or no state_dict in it.
    """
    with open(path, "rb") if file is None else file as opened:
        try:
            content = _ArrayUnpickler(opened, encoding="latin1").load()
        except OSError:
            raise
        except Exception as error:  # a damaged pickle can raise almost anything
            raise ValueError(
                f"{path} is not a weights file that can be read ({error or type(error).__name__}); "
                "expected a file in which paddle.save wrote a state_dict"
            ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no state_dict: expected named tensors, got {_kind(content)}")
    if _SLICE_TABLE in content:
        raise ValueError(
            f"{path} has tensors cut into slices; load it with paddle.load and save it again with "
            "paddle.save(..., protocol=4)"
        )
    tensors = {name: _array(value) for name, value in content.items() if name != _NAME_TABLE}
    wrong = [name for name, array in tensors.items() if array is None or not isinstance(name, str)]
    if wrong or not tensors:
        what = f"{wrong[0]!r} is {_kind(content[wrong[0]])}" if wrong else "it is empty"
        raise ValueError(f"{path} holds no state_dict: expected named tensors, but {what}")
    return {name: array for name, array in tensors.items() if array is not None}


class _Dtype:
    """Stands for ``numpy.dtype``: plain numbers only."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in _DTYPES:
            hint = " (bfloat16 is saved so; save it as float32)" if name == "u2" else ""
            raise pickle.UnpicklingError(f"it has values of type {name!r}{hint}")
        self.numpy = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("it has values that are no plain numbers")
        self.numpy = self.numpy.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``; ``value`` is there once the pickle has given shape, dtype and bytes."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran_order, raw = state
        self.value = _from_bytes(dtype, raw, shape, "F" if fortran_order else "C")


class _ArrayUnpickler(pickle.Unpickler):
    """Knows arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins"), name))
        if known is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, raw: bytes | str) -> _Array:
    array = _Array()
    array.value = _from_bytes(dtype, raw, (), "C")
    return array


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes bytes as {encoding!r}")
    return text.encode(encoding)


def _no_bytes() -> bytes:
    """How protocol 2 writes empty bytes."""
    return b""


def _only_data(code: str, names: dict[str, Any]) -> Any:
    """Stands for ``eval``, which Paddle writes for a static program's tensors, always with this code."""
    if code != "data":
        raise pickle.UnpicklingError("it asks for builtins.eval")
    return names["data"]


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "tuple"): tuple,
    ("builtins", "dict"): dict,
    ("builtins", "eval"): _only_data,
}


def _from_bytes(dtype: _Dtype, raw: bytes | str, shape: tuple[int, ...], order: Any) -> np.ndarray:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    expected = math.prod(shape) * dtype.numpy.itemsize
    if len(raw) != expected or any(side < 0 for side in shape):
        raise pickle.UnpicklingError(f"a tensor of shape {list(shape)} has {len(raw)} bytes, expected {expected}")
    values = np.frombuffer(raw, dtype.numpy).reshape(shape, order=order)
    return values.astype(dtype.numpy.newbyteorder("="))


def _array(value: Any) -> np.ndarray | None:
    """The array of an item: an array, or Paddle's pair of the tensor's own name and its array."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return value.value if isinstance(value, _Array) else None


def _kind(value: Any) -> str:
    return "an array without name" if isinstance(value, _Array) else f"a {type(value).__name__}"
