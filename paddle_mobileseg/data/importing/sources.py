"""What every kind of label is brought into: images with a function that draws their labels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from paddle_mobileseg.data.reading import read_image

IGNORED = 255
"""Label of pixels that neither train nor count."""

_ORIENTATION_TAG = 0x0112
_UNLISTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and what is not UTF-8


@dataclass(frozen=True)
class Picture:
    """What is known of an image file.

    Attributes:
        size_hw: height and width of the upright image, as training sees it.
        stored_hw: height and width as stored; others than ``size_hw`` where EXIF turns the image by 90 degrees.
        orientation: EXIF's number, 1 where there is none.
    """

    path: Path
    size_hw: tuple[int, int]
    stored_hw: tuple[int, int]
    orientation: int

    def canvas_hw(self, height: int, width: int, place: str) -> tuple[int, int]:
        """The size that an annotation was drawn at, if it is the image's, upright or as stored.

        Raises:
            ValueError: it is another; ``place`` is named.
        """
        if (height, width) not in (self.size_hw, self.stored_hw):
            raise ValueError(
                f"{place}: it was drawn on an image of {width} x {height}, but {self.path} is {_wh(self.size_hw)}; "
                "give the image that was annotated"
            )
        return height, width

    def upright(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the upright image, from those of the upright or of the stored one.

        Where both have the same size (square images, half turns), the labels are those of the upright image, which is
        what annotation tools show.
        """
        if labels.shape == self.size_hw or labels.shape != self.stored_hw:
            return labels
        from PIL import Image, ImageOps

        image = Image.fromarray(labels)
        image.getexif()[_ORIENTATION_TAG] = self.orientation
        return np.array(ImageOps.exif_transpose(image))


@dataclass(frozen=True)
class Item:
    """An image, and how its labels are drawn.

    Attributes:
        name: path below the folder of images, with /.
        draw: gives uint8 [H, W] of class indices and ``IGNORED``, for the upright image or the stored one.
        label: the file with its labels, for messages.
        part: ``"train"``, ``"val"`` or ``"test"`` where the names of its folders or files say so.
    """

    name: str
    path: Path
    draw: Callable[[Picture], np.ndarray]
    label: Path
    part: str | None = None


@dataclass(frozen=True)
class Source:
    """What a kind of label gives: the images with labels, and the classes.

    Attributes:
        palette: uint8 [classes, 3] RGB, or None where the labels have no colours of their own.
        table: lines of ``--classes`` that make the same classes of the same labels.
        without_label: names of images that have none.
        without_image: names of labels whose image is missing.
        notes: sentences for the summary.
    """

    items: list[Item]
    class_names: list[str]
    palette: np.ndarray | None = None
    table: list[str] = field(default_factory=list)
    without_label: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_picture(path: Path) -> Picture:
    """Read an image completely and say what it is.

    Raises:
        ValueError: it cannot be read; names the file.
    """
    from PIL import Image

    height, width = read_image(path).shape[:2]
    with Image.open(path) as image:
        stored_hw = (image.size[1], image.size[0])
        try:
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        except Exception:  # a broken EXIF block; read_image ignores it as well
            orientation = 1
    return Picture(path, (height, width), stored_hw, orientation)


def find_files(root: Path, suffixes: Iterable[str], leave_out: Path | None = None) -> list[str]:
    """Names below a folder, subfolders included, of files with one of the suffixes in any case, but for hidden ones.

    Args:
        leave_out: a folder below ``root`` that is not searched.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a name that a list file cannot hold.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"folder not found: {root}")
    wanted = tuple(suffixes)
    names = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [s for s in subfolders if not _is_hidden(s) and Path(folder, s) != leave_out]
        below = Path(folder).relative_to(root)
        names += [(below / file).as_posix() for file in files if file.lower().endswith(wanted) and not _is_hidden(file)]
    for name in names:
        if _UNLISTABLE.search(name):
            raise ValueError(f"{root}: the file name {name!r} cannot be listed in a text file; rename it")
    return sorted(names, key=natural_order)


class ImageNames:
    """Finds images of a folder by the names that annotations give them, and never any other file."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = set(names)
        self._by_last: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in names:
            path = PurePosixPath(name)
            self._by_last.setdefault(path.name, []).append(name)
            self._by_stem.setdefault(path.stem, []).append(name)

    def find(self, folder: PurePosixPath, path: str, stem: str | None = None) -> str | None:
        """The image that a file in ``folder`` calls ``path``, else the one with this stem; None if it is not clear."""
        last = PurePosixPath(path.replace("\\", "/")).name  # also of a path of Windows
        for candidate in ((folder / path).as_posix(), path, (folder / last).as_posix()):
            if candidate in self._names:
                return candidate
        for names in (self._by_last.get(last, []), [] if stem is None else self._by_stem.get(stem, [])):
            beside = [name for name in names if PurePosixPath(name).parent == folder]
            if len(beside or names) == 1:
                return (beside or names)[0]
        return None


def by_stem(names: Iterable[str], root: Path, ending: str = "") -> dict[str, str]:
    """File names by their path without suffix (and without ``ending`` before it).

    Raises:
        ValueError: two files differ in their suffix only.
    """
    found: dict[str, str] = {}
    for name in names:
        stem = str(PurePosixPath(name).with_suffix(""))
        if not stem.endswith(ending):
            continue
        stem = stem.removesuffix(ending)
        if stem in found:
            raise ValueError(
                f"{root}: {found[stem]} and {name} differ in their endings only, so that it is not clear which of them "
                "is meant; rename or remove one of them"
            )
        found[stem] = name
    return found


def check_matches(source: Source, skip: bool) -> None:
    """Refuse images without labels and labels without images, unless they are to be left out.

    Raises:
        ValueError: says how many there are and names the first; or there is nothing but such.
    """
    without_label, without_image = source.without_label, source.without_image
    parts = []
    if without_label:
        parts.append(f"{_count(without_label, 'image')} without a label ({first(without_label)})")
    if without_image:
        parts.append(f"{_count(without_image, 'label')} without an image ({first(without_image)})")
    if not source.items:
        raise ValueError(
            f"no image has a label: {' and '.join(parts) or 'there are no images'}. An image and its label have the "
            "same subfolder and name but for the ending; --label_suffix says what a label's name has behind the image's"
        )
    if parts and not skip:
        raise ValueError(
            f"there are {' and '.join(parts)}, beside {_count(source.items, 'pair')}; add or rename them, or leave "
            "them out with --skip_unmatched"
        )


def part_of_name(name: str) -> str | None:
    """``"train"``, ``"val"`` or ``"test"`` where the first folder of a name is called so."""
    folder, slash, _ = name.partition("/")
    return part_called(folder) if slash else None


def part_called(word: str) -> str | None:
    """``"train"``, ``"val"`` or ``"test"`` for the words that are used for them."""
    word = word.lower()
    parts = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
    return next((part for part, words in parts.items() if word in words), None)


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorting key: numbers inside a name by their value."""
    words = re.split(r"([0-9]+)", name)  # every second one is a number
    return [(int(word) if index % 2 else 0, word) for index, word in enumerate(words)]


def first(names: Sequence[str], count: int = 3) -> str:
    """The first few names for a message."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _wh(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[1]} x {size_hw[0]}"
