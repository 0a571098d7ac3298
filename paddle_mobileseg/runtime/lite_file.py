"""What a Paddle Lite file (``.nb``) says of itself, and whether it is whole.

Paddle Lite aborts the process on a file that is cut off, and reads one of another version without a word; this reads
the frame of the file without Paddle Lite. The layout, little-endian, as Paddle Lite 2.13-rc writes it:

| bytes | content |
|---|---|
| 2 | format of the file, 2 |
| 16 | version of the converter, ended by a zero byte; what follows is whatever lay in its memory |
| 8 | size of the program |
| that size | the program (flatbuffer); of each operator it names the kernel as ``name/alias/target/precision/layout`` |
| 2, 2, 2 | version of the weights' part (0), size of its meta data (0), size of the next two fields (6) |
| 2, 4 | number of tensors; size of the largest |
| 4 + size, each | tensors: size, flatbuffer |
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

FORMAT = 2
_HEAD = struct.Struct("<H16sQ")
_WEIGHTS_HEAD = struct.Struct("<HHHHI")
_TENSOR_SIZE = struct.Struct("<I")
_VERSION_OFFSET, _VERSION_SIZE = 2, 16
_KERNEL = re.compile(rb"[\w]+/[\w ]+/(\d+)/(\d+)/\d+\0")
# Paddle Lite's TargetType and PrecisionType. What runs on the host runs on any processor.
_HOST, _ANY_TARGET, _FP16 = 1, 5, 5
_TARGETS = {2: "x86", 4: "arm"}


@dataclass(frozen=True)
class LiteFile:
    """The head of a ``.nb`` file.

    Attributes:
        format: of the file; Paddle Lite 2.13 reads 2.
        version: of the converter that wrote it, such as ``2.13-rc``.
        target: ``arm`` or ``x86``; ``host`` if no operator is for a particular processor; else a number such as ``7``.
        fp16: whether some operators compute in half precision.
        operators: number of operators after the converter's fusions.
        tensors: number of stored tensors.
    """

    format: int
    version: str
    target: str
    fp16: bool
    operators: int
    tensors: int


def nb_header(path: str | Path) -> LiteFile:
    """Read the head of a file, and check that it is whole; does not need Paddle Lite.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ``.nb`` file, of a format that is not known here, or cut off.
    """
    path = Path(path)
    size = path.stat().st_size
    with open(path, "rb") as file:
        form, raw, program_size = _read(file, _HEAD, path)
        version = raw.split(b"\0")[0].decode("ascii", "replace").lstrip("v")
        if form != FORMAT or not re.fullmatch(r"[0-9a-f][\w.\-]*", version):
            raise ValueError(
                f"{path} is no Paddle Lite file that can be read here: it begins with format {form} and version "
                f"{version!r}, expected format {FORMAT} and a version such as 2.13-rc; convert it again"
            )
        if _HEAD.size + program_size + _WEIGHTS_HEAD.size > size:
            raise _cut_off(path)
        kernels = [(int(target), int(precision)) for target, precision in _KERNEL.findall(file.read(program_size))]
        _, meta_size, _, tensors, _ = _read(file, _WEIGHTS_HEAD, path)
        position = _HEAD.size + program_size + _WEIGHTS_HEAD.size + meta_size
        for _ in range(tensors):
            file.seek(position)
            position += _TENSOR_SIZE.size + _read(file, _TENSOR_SIZE, path)[0]
        if position > size:
            raise _cut_off(path)
    targets = {target for target, _ in kernels} - {_HOST, _ANY_TARGET}
    names = [_TARGETS.get(target, str(target)) for target in sorted(targets)] or ["host"]
    fp16 = any(precision == _FP16 for _, precision in kernels)
    return LiteFile(form, version, "+".join(names), fp16, len(kernels), tensors)


def clean_header(path: str | Path) -> None:
    """Zero what follows the version in the head, so that the same graph always gives the same file."""
    with open(path, "r+b") as file:
        file.seek(_VERSION_OFFSET)
        version = file.read(_VERSION_SIZE).split(b"\0")[0]
        file.seek(_VERSION_OFFSET)
        file.write(version.ljust(_VERSION_SIZE, b"\0"))


def _read(file: BinaryIO, layout: struct.Struct, path: Path) -> tuple:
    content = file.read(layout.size)
    if len(content) < layout.size:
        raise _cut_off(path)
    return layout.unpack(content)


def _cut_off(path: Path) -> ValueError:
    return ValueError(f"{path} is cut off ({path.stat().st_size} bytes); copy or convert it again")
