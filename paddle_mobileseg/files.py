"""Files that are whole or not there: written under a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PREVIOUS = "previous"
_HOLDER = re.compile(r"\.(.+)\.[a-z0-9_]{8}")  # what mkdtemp makes of the prefix below


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """A temporary path beside ``target``; on leaving without an error it is synced and takes the target's name.

    Works for a file that the block writes, or for a folder that it makes and fills. What is there already under the
    name is kept until the new one is whole. A file never takes the place of a folder.

    Raises:
        IsADirectoryError: the block wrote a file, and the target is a folder.
        OSError: the folder cannot be made or written, or the disk is full; the message names what was to be written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = _make_holder(target)
    except OSError as error:
        raise OSError(
            f"cannot write to {target.parent}: {error.strerror or error}; choose another output folder"
        ) from error
    temporary = holder / target.name
    try:
        yield temporary
        for path in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            sync(path)
        if target.is_dir() and not target.is_symlink():
            if not temporary.is_dir():
                raise IsADirectoryError(f"{target} is a folder, which stays as it is; give the name of a file to write")
            os.rename(target, holder / _PREVIOUS)
        os.replace(temporary, target)
        sync(target.parent)
    except OSError as error:
        if error.errno in DISK_FULL and error.filename is None:  # writing, as opposed to opening, does not say where
            error.filename = str(target)
        raise
    finally:
        _dissolve(holder, target)


def recover(folder: str | Path, name: str | None = None) -> None:
    """Put right what killed writers left in a folder: half-written files go, what they were to replace comes back.

    Call it only while nothing else writes there, or give the ``name`` of the one target that nothing else writes.
    """
    folder = Path(folder)
    for holder in folder.glob(".*.*"):
        match = _HOLDER.fullmatch(holder.name)
        if match is None or holder.is_symlink() or not holder.is_dir() or name not in (None, match[1]):
            continue
        if {path.name for path in holder.iterdir()} <= {match[1], _PREVIOUS}:
            _dissolve(holder, folder / match[1])


def remove_folder(path: str | Path) -> None:
    """Remove a folder so that it is never there in part."""
    path = Path(path)
    holder = _make_holder(path)
    os.rename(path, holder / path.name)
    shutil.rmtree(holder)


def _make_holder(target: Path) -> Path:
    """A hidden folder beside ``target`` for what takes its place, and for what was there meanwhile."""
    return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))


def _dissolve(holder: Path, target: Path) -> None:
    if (holder / _PREVIOUS).exists() and not target.exists():
        os.rename(holder / _PREVIOUS, target)
    shutil.rmtree(holder, ignore_errors=True)


def cache_folder() -> Path:
    """What is kept between runs (downloads, engines, Paddle Lite): ``MOBILESEG_CACHE``, else
    ``~/.cache/paddle_mobileseg``."""
    return Path(os.environ.get("MOBILESEG_CACHE") or Path.home() / ".cache" / "paddle_mobileseg")


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file atomically; NaN is refused (write ``None`` for what is not known)."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def make_output_folder(path: str | Path) -> Path:
    """Make a folder and check that files can be written into it, before hours of work depend on it.

    Raises:
        OSError: it cannot be made or written, or a file has its name.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror or error}; choose another output folder") from error
    return folder


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
