"""torch's checkpoint files read without torch: the zip container that torch.save writes since 1.6.

The pickle inside may name only the few functions that rebuild tensors; anything else is refused, so a hostile file
cannot run code.
"""

from __future__ import annotations

import collections
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The state_dict of a torch checkpoint, with or without mmsegmentation's wrapper.

    Args:
        path: a ``.pth`` file in the zip container.

    Returns:
        Arrays by name, in the file's order.

    Raises:
        ValueError: another container, a damaged file, a pickle that wants more than tensors, or no tensors in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = _unpickle(archive)
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, StopIteration) as error:
        raise ValueError(
            f"{path} is not a torch checkpoint that can be read ({error}); expected the zip container of torch "
            "1.6 or later, holding tensors only"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {name: array for name, array in state.items() if isinstance(array, np.ndarray)}
    if not tensors or len(tensors) != len(state):
        raise ValueError(f"{path} holds no state_dict: expected a mapping of names to tensors")
    return tensors


def _unpickle(archive: zipfile.ZipFile) -> Any:
    pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    folder = pickled[: -len("data.pkl")]

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module in ("torch", "torch.storage") and name in _DTYPES:
                return _DTYPES[name]
            if module == "torch._utils" and name == "_rebuild_tensor_v2":
                return _rebuild_tensor
            if module == "torch._utils" and name == "_rebuild_parameter":
                return lambda data, requires_grad, hooks: data
            if module == "collections" and name == "OrderedDict":
                return collections.OrderedDict
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")

        def persistent_load(self, pid: Any) -> np.ndarray:
            _, dtype, key, _, count = pid
            raw = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype=dtype)
            if raw.size < count:
                raise pickle.UnpicklingError(f"storage {key} has {raw.size} values, expected {count}")
            return raw

    with archive.open(pickled) as file:
        return Unpickler(file).load()


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> np.ndarray:
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else offset
    if offset < 0 or last >= max(storage.size, 1) or any(s < 0 for s in stride):
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, [s * storage.itemsize for s in stride])
    return view.copy()
