"""The files that ``predict`` and ``infer`` are given: images, folders and lists of them, and videos."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_mobileseg.data.file_lists import read_list
from paddle_mobileseg.data.reading import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")


@dataclass(frozen=True)
class ImageFile:
    """An image (or a video) to predict on: where it is, and its name below the output folder (without suffix)."""

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """By its suffix."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_images(source: str | Path) -> list[ImageFile]:
    """The images that a path means.

    Args:
        source: an image file, a folder (searched with everything below it), or a ``.txt`` list with an image a line
            (a data set's list with labels works too); relative lines are looked up beside the list.

    Returns:
        images with distinct names, none of which leads out of the output folder.

    Raises:
        FileNotFoundError: no such path.
        ValueError: no image in it.
    """
    return _find(Path(source), IMAGE_SUFFIXES, "image", "an image, a folder of images or a .txt list of images")


def find_images_and_videos(source: str | Path, but_below: Sequence[Path] = ()) -> list[ImageFile]:
    """The same with videos: a video file, or all in a folder too.

    Args:
        source: as for :func:`find_images`.
        but_below: folders below the source whose files are left out: those of results.

    Raises:
        FileNotFoundError, ValueError: as :func:`find_images`.
    """
    suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    expected = "an image, a video, a folder of them or a .txt list"
    return _find(Path(source), suffixes, "image or video", expected, but_below)


def _find(
    source: Path, suffixes: Sequence[str], kind: str, expected: str, but_below: Sequence[Path] = ()
) -> list[ImageFile]:
    if not source.exists():
        raise FileNotFoundError(f"there is no {source}; expected {expected}")
    if source.is_dir():
        paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        left_out = {folder.resolve() for folder in but_below}
        paths = [p for p in paths if left_out.isdisjoint(p.resolve().parents)] if left_out else paths
        found = [ImageFile(p, str(p.relative_to(source).with_suffix(""))) for p in paths]
    elif source.suffix.lower() == ".txt":
        listed = [Path(image) for image, _ in read_list(source, source.parent, needs_label=False)]
        found = [ImageFile(path, _name_below(path, source.parent)) for path in listed]
    else:
        found = [ImageFile(source, source.stem)]
    if not found:
        raise ValueError(f"{source} has no {kind} in it; expected files ending in {', '.join(suffixes)}")
    return _distinct(found)


def _name_below(path: Path, folder: Path) -> str:
    """A file's path from a folder without suffix; of one outside of it, without the steps up."""
    parts = [part for part in Path(os.path.relpath(path, folder)).parts if part != os.pardir]
    return str(Path(*parts).with_suffix("")) if parts else "image"


def _distinct(files: list[ImageFile]) -> list[ImageFile]:
    """Give files of one name names of their own: with the suffix (``a_jpg``, ``a_png``), then with a number."""
    counts = Counter(file.name for file in files)
    taken: set[str] = set()
    result = []
    for file in files:
        wanted = file.name + file.path.suffix.replace(".", "_") if counts[file.name] > 1 else file.name
        numbered = (f"{wanted}_{number}" for number in itertools.count(2))
        name = next(each for each in itertools.chain([wanted], numbered) if each not in taken)
        taken.add(name)
        result.append(ImageFile(file.path, name))
    return result


def told(path: Path, error: Exception) -> str:
    """An error as one line that begins with the file's name."""
    text = " ".join(str((isinstance(error, OSError) and error.strerror) or error).split())
    return text if text.startswith(str(path)) else f"{path}: {text}"
