"""torch's checkpoint files read without torch, in the zip container of torch 1.6 and later and in the older one.

The pickle inside may name only the few functions that rebuild tensors; anything else is refused, so a hostile file
cannot run code.
"""

from __future__ import annotations

import collections
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_BYTES = _LEGACY_MAGIC.to_bytes(10, "little")
_MAX_BYTES = 1 << 32  # of all tensors

# Where a checkpoint keeps the weights, in the order of preference; without any of these it is the state_dict itself.
# TopFormer's authors load the first of these from their ImageNet files.
_WRAPPERS = ("state_dict_ema", "state_dict", "model")

# What training scripts put beside the weights; it is read as nothing.
_UNUSED = (
    ("argparse", "Namespace"),
    ("_codecs", "encode"),  # bytes of a NumPy number
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
)

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


def is_torch(path: Path, head: bytes) -> bool:
    """Whether a file is a torch checkpoint, by its content, or by its name if the content is none that is known.

    Args:
        path: the file.
        head: its first bytes.
    """
    if _LEGACY_BYTES in head[:32]:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return path.suffix in (".pth", ".pt")


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The state_dict of a torch checkpoint, with or without a wrapper.

    Args:
        path: a ``.pth`` file in either container.

    Returns:
        Arrays by name, in the file's order.

    Raises:
        OSError: the file cannot be read.
        ValueError: a damaged file, a pickle that wants more than tensors, or no tensors in it.
    """
    try:
        content = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise ValueError(
            f"{path} is not a torch checkpoint that can be read ({error or type(error).__name__}); "
            "expected a file of torch.save that holds tensors only"
        ) from error
    state = content if isinstance(content, dict) else {}
    state = next((state[name] for name in _WRAPPERS if isinstance(state.get(name), dict)), state)
    tensors = {name: array for name, array in state.items() if isinstance(array, np.ndarray)}
    if not tensors or len(tensors) != len(state):
        raise ValueError(f"{path} holds no state_dict: expected a mapping of names to tensors")
    return tensors


class _Unused:
    """Stands for what is no tensor."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _TensorUnpickler(pickle.Unpickler):
    """Knows tensors and nothing else; ``storage`` gives the values of a (key, dtype, count)."""

    def __init__(self, file: IO[bytes], storage: Callable[[str, Any, int], np.ndarray]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return _rebuild_tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda data, requires_grad, hooks: data
        if module == "collections" and name == "OrderedDict":
            return collections.OrderedDict
        if (module, name) in _UNUSED:
            return _Unused
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, count = pid[:5]
        return self._storage(key, dtype, count)


def _read_zip(path: str | Path) -> Any:
    """torch 1.6 and later: a zip archive with the pickle and one entry for each storage."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > _MAX_BYTES:
            raise ValueError(f"it has {size} bytes unpacked, which is more than the {_MAX_BYTES} allowed")
        pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        folder = pickled[: -len("data.pkl")]

        def storage(key: str, dtype: Any, count: int) -> np.ndarray:
            return _values(archive.read(f"{folder}data/{key}"), dtype, key, count)

        with archive.open(pickled) as file:
            return _TensorUnpickler(file, storage).load()


def _read_legacy(path: str | Path) -> Any:
    """Before torch 1.6: pickles of heading, object and storage keys, then the storages' values one after another."""
    with open(path, "rb") as file:
        if _LEGACY_BYTES not in file.read(32):
            raise ValueError("it has neither of torch's containers, or it is cut off")
        file.seek(0)
        if _TensorUnpickler(file, _no_storage).load() != _LEGACY_MAGIC:
            raise ValueError("it does not begin as torch's older container does")
        for _ in ("protocol", "system"):
            _TensorUnpickler(file, _no_storage).load()
        begin = file.tell()
        dtypes: dict[str, Any] = {}
        values: dict[str, np.ndarray] = {}

        def note(key: str, dtype: Any, count: int) -> np.ndarray:
            dtypes[key] = dtype
            return np.zeros(count, dtype)

        _TensorUnpickler(file, note).load()
        for key in _TensorUnpickler(file, _no_storage).load():
            count = int.from_bytes(file.read(8), "little")
            values[key] = _values(file.read(count * np.dtype(dtypes[key]).itemsize), dtypes[key], key, count)
        file.seek(begin)
        return _TensorUnpickler(file, lambda key, dtype, count: values[key]).load()


def _no_storage(key: str, dtype: Any, count: int) -> np.ndarray:
    raise pickle.UnpicklingError("there is a tensor where none belongs")


def _values(raw: bytes, dtype: Any, key: str, count: int) -> np.ndarray:
    if len(raw) < count * np.dtype(dtype).itemsize:
        raise ValueError(f"storage {key} has {len(raw)} bytes, expected {count * np.dtype(dtype).itemsize}")
    return np.frombuffer(raw, dtype=dtype, count=count)


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> np.ndarray:
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if all(size) else offset
    if offset < 0 or last >= max(storage.size, 1) or any(s < 0 for s in stride):
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, [s * storage.itemsize for s in stride])
    return view.copy()
