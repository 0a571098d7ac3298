"""What the values of single-channel masks mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_mobileseg.data.importing.class_table import BACKGROUND, Row, distinct_names
from paddle_mobileseg.data.importing.sources import IGNORED


@dataclass(frozen=True)
class ValueClasses:
    """Classes of masks that are read by value.

    Attributes:
        table: uint8 [256], the label of each value.
        names: of the classes in index order.
        notes: what was understood, in sentences.
    """

    table: np.ndarray
    names: list[str]
    notes: list[str]

    def colours(self, palette: np.ndarray | None) -> np.ndarray | None:
        """uint8 [classes, 3]: each class's colour in the masks' palette; None without one that tells all apart."""
        if palette is None:
            return None
        values = [np.flatnonzero(self.table == index) for index in range(len(self.names))]
        if not all(each.size for each in values):
            return None
        colours = palette[[each[0] for each in values]]
        return colours if len(np.unique(colours, axis=0)) == len(colours) else None


def classes(values: set[int], rows: Sequence[Row], ignore_background: bool) -> ValueClasses:
    """The classes of masks with these values; 255 is no class.

    - Values 0 and 255 alone are a black and white mask: 255 is class 1 (a single name is its).
    - Where 0 never occurs, 1 is the first class: without names, or where there are as many names as the largest value.
    - ``ignore_background``: 0 is no class, and 1 is the first (a first name ``background`` is that of 0).

    Raises:
        ValueError: a value without a name, or values that are no indices of classes.
    """
    labelled = sorted(values - {IGNORED})
    binary = IGNORED in values and set(labelled) <= {0} and len(rows) <= 2
    if binary:
        labelled = [0, IGNORED]
        rows = [Row(BACKGROUND), *rows] if len(rows) == 1 else rows
    one_based = not binary and bool(labelled) and labelled[0] > 0 and len(rows) in (0, labelled[-1])
    named_background = bool(rows) and rows[0].is_background
    first = int(one_based or (ignore_background and not named_background))
    position = {0: 0, IGNORED: 1} if binary else {}
    largest = 1 if binary else max(labelled, default=0)
    _check_values(labelled, largest, len(rows), first, binary)
    count = len(rows) or largest + 1 - first
    taken = list(rows) or [Row(f"class {first + index}") for index in range(count)]
    if binary and not rows:
        taken = [Row(BACKGROUND), Row("foreground")][first:]
    if ignore_background and named_background:
        taken[0] = Row("ignore")
    names = distinct_names(taken)
    table = np.full(256, IGNORED, dtype=np.uint8)
    for value in [0, IGNORED] if binary else range(first, min(first + count, IGNORED)):
        index = position.get(value, value) - first
        if index >= 0 and not taken[index].is_ignored:
            table[value] = names.index(taken[index].name)
    return ValueClasses(table, names, _notes(binary, one_based, first and not one_based, IGNORED in values))


def contradict(palettes: Sequence[tuple[set[int], np.ndarray]]) -> bool:
    """Whether a value has one colour in a mask and another in another mask."""
    known: dict[int, tuple[int, ...]] = {}
    for values, palette in palettes:
        for value in values:
            colour = tuple(palette[value].tolist())
            if known.setdefault(value, colour) != colour:
                return True
    return False


def _check_values(labelled: list[int], largest: int, names: int, first: int, binary: bool) -> None:
    shown = ", ".join(str(value) for value in labelled[:8]) + (", ..." if len(labelled) > 8 else "")
    if names and largest - first >= names:
        raise ValueError(
            f"the masks have the value {largest}, but --classes names {names}, for the values {first} to "
            f"{first + names - 1}. Name all of them (where 0 is no class of yours, put 'background' or 'ignore' first)"
        )
    if not names and not binary and largest + 1 - first > 2 * len(labelled):
        raise ValueError(
            f"the masks have the values {shown}, which do not look like the indices of classes. If they are shades of "
            "grey, give --classes a file with 'name v v v' a line for each value v; if they are indices, all names"
        )


def _notes(binary: bool, one_based: bool, background_ignored: bool | int, has_ignored: bool) -> list[str]:
    notes = []
    if binary:
        notes.append("masks of 0 and 255: 255 is class 1")
    if one_based:
        notes.append("the value 0 never occurs: 1 is class 0")
    if background_ignored:
        notes.append("the value 0 is ignored: 1 is class 0")
    if has_ignored and not binary:
        notes.append("the value 255 is ignored")
    return notes
