"""Files made by hand after the layout that the module's docstring gives; tests/export has those of the converter."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from paddle_mobileseg.runtime.lite_file import LiteFile, clean_header, nb_header

RUBBISH = b"\xe1\x07\xff\x7f\0\0\0"


def content(
    kernels: tuple[str, ...] = ("conv2d/def/4/1/1", "reshape2/def/1/4/2"),
    tensors: tuple[int, ...] = (5, 40),
    form: int = 2,
    version: bytes = b"v2.13-rc\0" + RUBBISH,
) -> bytes:
    program = b"\1\2\3".join(kernel.encode() + b"\0" for kernel in kernels)
    weights = struct.pack("<HHHHI", 0, 0, 6, len(tensors), max(tensors, default=0))
    weights += b"".join(struct.pack("<I", size) + bytes(size) for size in tensors)
    return struct.pack("<H16sQ", form, version, len(program)) + program + weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.nb"


def test_header(path: Path) -> None:
    path.write_bytes(content())
    assert nb_header(path) == LiteFile(2, "2.13-rc", "arm", fp16=False, operators=2, tensors=2)


@pytest.mark.parametrize(
    ("kernels", "target", "fp16"),
    [
        (("conv2d/def/2/1/1", "gather/int64 int64/1/1/1"), "x86", False),
        (("conv2d/def/4/5/1", "calib/fp32_to_fp16/4/5/1", "fetch/def/1/4/2"), "arm", True),
        (("reshape2/def/1/4/2",), "host", False),
        (("conv2d/def/7/1/1",), "7", False),
        (("conv2d/def/4/1/1", "conv2d/def/2/1/1"), "x86+arm", False),
        ((), "host", False),
    ],
)
def test_target_and_half_precision(path: Path, kernels: tuple[str, ...], target: str, fp16: bool) -> None:
    path.write_bytes(content(kernels))
    header = nb_header(path)
    assert (header.target, header.fp16, header.operators) == (target, fp16, len(kernels))


def test_another_version(path: Path) -> None:
    path.write_bytes(content(version=b"4f1c9a2d7\0"))
    assert nb_header(path).version == "4f1c9a2d7"


@pytest.mark.parametrize("size", [0, 1, 17, 25, 26, 40, 64, 80, -45, -44, -5, -1])
def test_a_file_that_is_cut_off(path: Path, size: int) -> None:
    path.write_bytes(content()[:size])
    with pytest.raises(ValueError, match=r"model\.nb is cut off \(\d+ bytes\); copy or convert it again"):
        nb_header(path)


@pytest.mark.parametrize(
    "found",
    [content(form=0), content(form=512), content(version=b"\xff\0" * 8), content(version=b""), b"<!DOCTYPE html>" * 9],
)
def test_what_is_no_such_file(path: Path, found: bytes) -> None:
    path.write_bytes(found)
    with pytest.raises(ValueError, match=r"no Paddle Lite file .* expected format 2 and a version such as 2\.13-rc"):
        nb_header(path)


def test_no_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nb_header(path)


def test_clean_header_changes_nothing_but_what_follows_the_version(path: Path) -> None:
    path.write_bytes(content())
    header = nb_header(path)
    clean_header(path)
    assert path.read_bytes() == content().replace(RUBBISH, bytes(7))
    assert nb_header(path) == header
