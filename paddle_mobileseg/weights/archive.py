"""The one weights file in a ``.tar.gz`` or ``.zip``, read into memory; nothing is written to the disk."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 1 << 30  # unpacked

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, the latter packed or not. torch's own files are zip archives too."""
    with open(path, "rb") as file:
        head = file.read(512)
    return head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06")) or head[257:262] == b"ustar"


def read_member(path: Path) -> tuple[str, IO[bytes]]:
    """Name and content of the ``.pdparams`` file in an archive.

    Raises:
        OSError: the archive cannot be read.
        ValueError: a damaged archive, none or several such files in it, a link in place of one, or too large.
    """
    try:
        with _members(path) as members:
            found = list(members)
    except _DAMAGED as error:
        raise ValueError(f"{path} is a damaged archive ({error or type(error).__name__})") from error
    if len(found) != 1:
        names = ", ".join(name for name, _ in found)
        raise ValueError(
            f"{path} has {f'several weights files ({names})' if found else 'no .pdparams file in it'}; unpack it and "
            "give the weights file that is meant"
        )
    return found[0][0], io.BytesIO(found[0][1])


def _wanted(name: str) -> bool:
    """macOS puts a file "._x" with attributes beside each "x"."""
    return name.endswith(".pdparams") and not PurePosixPath(name).name.startswith("._")


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[str, bytes]]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _zip_members(path, archive)
    else:
        with open(path, "rb") as packed:
            is_gzip = packed.read(2) == b"\x1f\x8b"
            packed.seek(0)
            content = _Limited(gzip.GzipFile(fileobj=packed) if is_gzip else packed, path)
            with tarfile.open(fileobj=content, mode="r|") as archive:  # type: ignore[call-overload]
                yield _tar_members(path, archive)
            while content.read(1 << 16):  # gzip compares its checksum at the end
                pass


def _zip_members(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    wanted = [member for member in archive.infolist() if _wanted(member.filename)]
    for member in wanted:
        if len(wanted) > 1:  # none of them is read, for together they may be too large
            yield member.filename, b""
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"{path}: {member.filename} is a link, expected a file")
        with archive.open(member) as file:
            yield member.filename, _Limited(file, path).read()


def _tar_members(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        if not _wanted(member.name):
            continue
        file = archive.extractfile(member) if member.isfile() else None
        if file is None:
            raise ValueError(f"{path}: {member.name} is a link, folder or device, expected a file")
        yield member.name, file.read()


class _Limited:
    """A file that may not give more than ``MAX_BYTES``."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, path: Path) -> None:
        self._file, self._path, self._left = file, path, MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"{self._path} unpacks to more than {MAX_BYTES} bytes, which is too much for weights")
        return data
