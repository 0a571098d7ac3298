"""torch's checkpoints written without torch, in both containers, pickle instruction by instruction."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {"f2": "HalfStorage", "f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage"}


def write_torch(
    path: Path, state: Mapping[str, np.ndarray], wrapper: str | None = "state_dict", legacy: bool = False
) -> Path:
    """A file as torch.save writes it.

    Args:
        path: the file.
        state: arrays by torch's names.
        wrapper: the checkpoint's key for the state_dict, beside which ``meta`` and an ``args`` stand; ``None``: the
            state_dict is all.
        legacy: the container of torch before 1.6.
    """
    arrays = [np.ascontiguousarray(array) for array in state.values()]
    tensors = b"".join(
        _text(name) + _tensor(str(key), array, legacy)
        for key, (name, array) in enumerate(zip(state, arrays, strict=True))
    )
    content = b"}(" + tensors + b"u"
    if wrapper is not None:
        args = b"cargparse\nNamespace\n)R}(" + _text("lr") + b"I1\nub"  # as timm's trainings have
        content = b"}(" + _text("meta") + b"}" + _text("args") + args + _text(wrapper) + content + b"u"
    content = b"\x80\x02" + content + b"."
    if legacy:
        keys = [str(key) for key in range(len(arrays))]
        parts = [pickle.dumps(each, 2) for each in (_MAGIC, 1001, {"little_endian": True})]
        parts += [content, pickle.dumps(keys, 2)]
        parts += [struct.pack("<q", array.size) + array.tobytes() for array in arrays]
        path.write_bytes(b"".join(parts))
        return path
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", content)
        for key, array in enumerate(arrays):
            out.writestr(f"archive/data/{key}", array.tobytes())
    return path


def _tensor(key: str, array: np.ndarray, legacy: bool) -> bytes:
    storage = f"ctorch\n{_STORAGES[array.dtype.str[1:]]}\n".encode()
    view = b"N" if legacy else b""
    pid = b"(" + _text("storage") + storage + _text(key) + _text("cpu") + _int(array.size) + view + b"tQ"
    strides = [stride // array.itemsize for stride in array.strides]
    size, stride = (b"(" + b"".join(map(_int, numbers)) + b"t" for numbers in (array.shape, strides))
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + _int(0) + size + stride + b"\x89" + hooks + b"tR"


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _int(number: int) -> bytes:
    return f"I{number}\n".encode()
