"""The classes: their names and colours, and the names that mean background or nothing."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from paddle_mobileseg.data.importing.sources import IGNORED, Item, Picture, Source, natural_order, part_of_name
from paddle_mobileseg.suggestion import did_you_mean

BACKGROUND = "background"
BACKGROUND_NAMES = (BACKGROUND, "_background_")
IGNORE_NAMES = ("ignore", "__ignore__")
MAX_CLASSES = 255
"""Labels have 8 bits, and one value is that of ignored pixels."""

Colour = tuple[int, int, int]

# "name r g b", with commas, colons or tabs in place of the blanks, and what CVAT's labelmap.txt has behind them.
_COLOURED = re.compile(r"(.*?\S)[\s,:]+(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*(?::.*)?")


@dataclass(frozen=True)
class Row:
    """A class as the user names it; ``colour`` in RGB where given."""

    name: str
    colour: Colour | None = None

    @property
    def is_ignored(self) -> bool:
        return self.name in IGNORE_NAMES

    @property
    def is_background(self) -> bool:
        return self.name in BACKGROUND_NAMES


def read_rows(words: Sequence[str]) -> list[Row]:
    """The classes of ``--classes``: names, or one text file with a class a line, "name" or "name red green blue".

    Lines that are empty or start with # do not count. LabelMe's ``__ignore__`` is left out where it has no colour.

    Raises:
        ValueError: no class, the same twice, colours for some only, or a wrong colour; names the line.
        FileNotFoundError: one word that looks like a file and is none.
    """
    path = Path(words[0]) if len(words) == 1 else None
    if path is not None and not path.is_file():
        if path.suffix or path.name != words[0]:
            raise FileNotFoundError(f"--classes: there is no file {path}; give one with a class a line, or names")
        path = None
    if path is None:
        rows, place = [Row(word.strip()) for word in words], "--classes"
    else:
        rows, place = _read_file(path), str(path)
    rows = [row for row in rows if row != Row("__ignore__")]
    _check_rows(rows, place)
    return rows


def _read_file(path: Path) -> list[Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8; it must have a class a line") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _COLOURED.fullmatch(line)
        if match is None:
            rows.append(Row(line))
            continue
        red, green, blue = (int(digits) for digits in match.groups()[1:])
        if max(red, green, blue) > 255:
            raise ValueError(f"{path}, line {number}: colours are from 0 to 255, not {red} {green} {blue}")
        rows.append(Row(match[1], (red, green, blue)))
    return rows


def _check_rows(rows: Sequence[Row], place: str) -> None:
    if not rows:
        raise ValueError(f"{place}: there is no class")
    colours = [row.colour for row in rows if row.colour is not None]
    if colours and len(colours) < len(rows):
        missing = next(row.name for row in rows if row.colour is None)
        raise ValueError(f"{place}: {missing!r} has no colour, but others have one; give all or none of them")
    for what, values in (("colour", colours), ("name", [] if colours else [row.name for row in rows])):
        twice = next((value for index, value in enumerate(values) if value in values[:index]), None)
        if twice is not None:
            raise ValueError(f"{place}: the {what} {twice} is there twice")
    if any(not row.name for row in rows):
        raise ValueError(f"{place}: a class has no name")


def distinct_names(rows: Iterable[Row]) -> list[str]:
    """Class names in order, without those of ignored pixels; a name with several colours is one class."""
    return list(dict.fromkeys(row.name for row in rows if not row.is_ignored))


class Outlined(Protocol):
    """An image's objects, as a file of labels has them."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def part(self) -> str | None:
        """As in :class:`Item`, where the file says it."""

    def named(self) -> Iterable[tuple[str, str]]:
        """The name of each object's class, and its place in the file."""

    def draw(self, classes: ShapeClasses, picture: Picture) -> np.ndarray:
        """As in :class:`Item`."""


@dataclass(frozen=True)
class ShapeClasses:
    """Classes of labels that are shapes on a background.

    Attributes:
        names: in index order.
        fill: the label of pixels that no shape covers.
    """

    names: list[str]
    fill: int

    @classmethod
    def of(cls, rows: Sequence[Row], found: Iterable[str], ignore_background: bool) -> ShapeClasses:
        """The classes of the table, or, where it is empty, those found, in alphabetical order behind the background.

        Background has the place that the table gives it, and otherwise the first.
        """
        names = distinct_names(rows) or sorted(set(found) - {*IGNORE_NAMES, *BACKGROUND_NAMES}, key=natural_order)
        if ignore_background:
            return cls(names, IGNORED)
        place = next((index for index, name in enumerate(names) if name in BACKGROUND_NAMES), None)
        return cls([BACKGROUND, *names], 0) if place is None else cls(names, place)

    def index(self, name: str, place: str) -> int:
        """The label of a name.

        Raises:
            ValueError: it is no class; ``place`` and the nearest name are told.
        """
        if name in IGNORE_NAMES:
            return IGNORED
        if name in self.names:
            return self.names.index(name)
        if name in BACKGROUND_NAMES:
            return self.fill
        raise ValueError(f"{place}: {name!r} is not among the classes{did_you_mean(name, self.names)}")

    def source(
        self, images: Path, files: Sequence[str], outlined: Mapping[str, Outlined], without_image: list[str]
    ) -> Source:
        """What is imported of a folder of images whose objects are outlined.

        Args:
            images: the folder.
            files: names of all images below it.
            outlined: what there is about some of them.
            without_image: as in :class:`Source`.

        Raises:
            ValueError: an object is of no class; before anything is written.
        """
        for name, place in (pair for each in outlined.values() for pair in each.named()):
            self.index(name, place)
        items = [
            Item(
                name,
                images / name,
                functools.partial(outlined[name].draw, self),
                outlined[name].path,
                outlined[name].part or part_of_name(name),
            )
            for name in files
            if name in outlined
        ]
        without_label = [name for name in files if name not in outlined]
        return Source(items, self.names, None, self.names, without_label, without_image)


def check_count(names: Sequence[str]) -> None:
    """Raises:
    ValueError: fewer than two classes, or more than labels can hold.
    """
    if len(names) < 2:
        raise ValueError(
            f"there is {'one class only: ' + names[0] if names else 'no class'}; a network needs two to tell apart. "
            "Without --background ignore, pixels without a shape, or of value 0, are a class"
        )
    if len(names) > MAX_CLASSES:
        raise ValueError(f"there are {len(names)} classes, but 8-bit labels hold {MAX_CLASSES} and {IGNORED} for none")


def palette_of(rows: Sequence[Row], names: Sequence[str]) -> list[Colour] | None:
    """The colours of the table for these names; None unless it has all."""
    colours: dict[str, Colour] = {}
    for row in rows:
        if row.colour is not None:
            colours.setdefault(row.name, row.colour)
    return [colours[name] for name in names] if all(name in colours for name in names) else None
