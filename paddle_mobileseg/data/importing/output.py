"""The folder that an import writes: complete or not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle_mobileseg
from paddle_mobileseg.files import atomic_path, recover, write_json

RECORD = "import.json"
_OWN = {"images", "labels", "train.txt", "val.txt", "test.txt", "classes.txt", "config.yml", RECORD}


def check(target: Path, sources: Sequence[Path], overwrite: bool) -> None:
    """Refuse a folder that must not be written.

    What killed imports of the same target left beside it is put right first: one import at a time.

    Raises:
        ValueError: a file, a folder with other things in it, an earlier import without ``overwrite``, or a place above
            or below what is imported.
    """
    for source in sources:
        if target == source or target in source.parents or source in target.parents:
            raise ValueError(f"--output: {target} and {source} lie within one another; choose a folder beside it")
    recover(target.parent, target.name)
    if target.exists() and not target.is_dir():
        raise ValueError(f"--output: {target} is a file; choose another folder")
    present = {path.name for path in target.iterdir()} if target.exists() else set()
    others = sorted(present - _OWN)
    if present and (others or RECORD not in present):
        raise ValueError(
            f"--output: {target} holds {(others or sorted(present))[0]!r}, which is no part of an import; choose a new "
            "or empty folder"
        )
    if present and not overwrite:
        raise ValueError(f"--output: {target} holds an earlier import; replace it with --overwrite, or choose another")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the target's place when the block ends without an error."""
    with atomic_path(target) as folder:
        folder.mkdir()
        yield folder


def write_record(folder: Path, content: dict[str, Any]) -> None:
    """Write down what was imported, and with which version; it marks the folder as one that may be replaced."""
    write_json(folder / RECORD, {"version": paddle_mobileseg.__version__, **content})
