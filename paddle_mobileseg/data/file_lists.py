"""Which image belongs to which label: list files and pairs of folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

FilePair = tuple[str, "str | None"]

_MISSING_ALLOWED = ContextVar("missing_allowed", default=False)

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def find_list(root: Path, given: str | None, mode: str) -> Path:
    """The list file of a mode: ``given`` itself, or below ``root``; by default ``<mode>.txt`` below ``root``.

    Raises:
        FileNotFoundError: names the places where it was looked for.
    """
    candidates = [root / f"{mode}.txt"] if given is None else [Path(given), root / given]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = " or ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise FileNotFoundError(f"list of {mode} files not found: {tried}. Set {mode}_path in the config")


def read_list(path: Path, root: Path, separator: str = " ", needs_label: bool = True) -> list[FilePair]:
    """Read "image<separator>label" lines; paths are relative to ``root`` or absolute.

    Empty lines and lines that start with # are skipped. Names may contain the separator where the files tell
    which split is meant.

    Returns:
        (image path, label path or None) in the order of the lines.

    Raises:
        ValueError: a line without a label although ``needs_label``; names list and line number.
    """
    if not separator:
        raise ValueError("separator must not be empty")
    pairs: list[FilePair] = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, raw_line in enumerate(file, start=1):
            line = raw_line.strip()
            if not line or line.startswith("#"):
                continue
            pair = _split(line, root, separator)
            if pair[1] is None and needs_label:
                raise ValueError(
                    f"{path}, line {number}: expected an image and a label with {separator!r} between them, "
                    f"but got {line!r} (another separator is set with separator: in the config)"
                )
            pairs.append(pair)
    if not pairs:
        raise ValueError(f"{path}: the list is empty: expected lines of the form image{separator}label")
    return pairs


def pair_folders(image_folder: Path, label_folder: Path) -> list[FilePair]:
    """Pair the images of a folder with the PNGs of the same stem in another, sorted by name.

    Raises:
        FileNotFoundError: a folder is missing, or a file has no partner; names the first few.
    """
    for folder in (image_folder, label_folder):
        if not folder.is_dir():
            raise FileNotFoundError(f"folder not found: {folder}")
    images = {path.stem: path for path in image_folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES}
    labels = {path.stem: path for path in label_folder.iterdir() if path.suffix.lower() == ".png"}
    alone = [str(path) for one, other in ((images, labels), (labels, images)) for path in one.values()]
    alone = [path for path in sorted(alone) if Path(path).stem not in images.keys() & labels.keys()]
    if alone:
        raise FileNotFoundError(f"{len(alone)} files have no image or label of the same name: {_first(alone)}")
    if not images:
        raise ValueError(f"{image_folder}: no images ({', '.join(_IMAGE_SUFFIXES)}) in this folder")
    return [(str(images[stem]), str(labels[stem])) for stem in sorted(images)]


@contextmanager
def missing_files_allowed() -> Iterator[None]:
    """Within the block, data sets can be made although listed files are missing: the dataset check names them all."""
    token = _MISSING_ALLOWED.set(True)
    try:
        yield
    finally:
        _MISSING_ALLOWED.reset(token)


def check_files(pairs: Sequence[FilePair]) -> None:
    """Every listed file exists (see :func:`missing_files_allowed`).

    Raises:
        ValueError: there are no pairs.
        FileNotFoundError: says how many are missing and names the first few.
    """
    if not pairs:
        raise ValueError("the data set has no images")
    if _MISSING_ALLOWED.get():
        return
    paths = [path for pair in pairs for path in pair if path is not None]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(paths)} listed files do not exist: {_first(missing)}")


def _split(line: str, root: Path, separator: str) -> FilePair:
    if separator not in line or (root / line).is_file():
        return os.path.join(root, line), None
    parts = line.split(separator)
    splits = [(separator.join(parts[:i]).strip(), separator.join(parts[i:]).strip()) for i in range(1, len(parts))]
    splits = [(image, label) for image, label in splits if image and label]
    if len(splits) > 1:  # a name with the separator in it: the files tell
        splits = [s for s in splits if all((root / name).is_file() for name in s)] or splits[-1:]
    if splits:
        return os.path.join(root, splits[0][0]), os.path.join(root, splits[0][1])
    return os.path.join(root, line), None


def _first(paths: list[str], count: int = 3) -> str:
    return ", ".join(paths[:count]) + (", ..." if len(paths) > count else "")
