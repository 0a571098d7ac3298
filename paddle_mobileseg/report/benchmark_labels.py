"""Where the labels of a scatter chart go: near their points, off all others, and never in doubt whose they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Box = tuple[float, float, float, float]  # left, top, right, bottom
Spot = tuple[float, float]

NEAR = 22  # from a point: as far as a label goes without a line to its point, or a little more
FAR = 95

_BESIDE = 16  # from a mark: a label further off than this has a line to it
_SAME = 1.0  # marks no further apart than this are in one place
_MARK = 7.0  # half the side of the square that a mark takes
_DISTANCES = (10, 14, NEAR, 34, 50, 70, FAR)
_CLEARLY = 1.2  # how many times further away marks of other names are than the label's own
_SIDES: tuple[Spot, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_SHIFTED: tuple[Spot, ...] = ((0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1))  # above and below


@dataclass
class Rooms:
    """What of a chart is taken.

    Attributes:
        area: labels stay inside.
        marks: places of all marks, and the name that each belongs to.
        lines: boxes around the fronts' lines; a label lies on them where there is no other room.
        taken: boxes of labels, and of the lines that lead to them.
    """

    area: Box
    marks: Sequence[tuple[Spot, str]]
    lines: Sequence[Box] = ()
    taken: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._squares = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for (x, y), _ in self.marks]

    def find(self, at: Spot, name: str | None, extent: tuple[float, float], farthest: float) -> Box | None:
        """Take the room nearest to a mark, off the lines if it can be; ``None`` where there is none.

        Args:
            at: the mark's place.
            name: which it belongs to, and all marks of which the label may be near; ``None``: the label is of this mark
                alone.
            extent: width and height of the label.
            farthest: how far off the mark the label may be; off the lines it is no further than ``NEAR``.
        """
        for reach, avoided in ((min(NEAR, farthest), self.lines), (farthest, ())):
            for box in candidates(*at, extent, reach):
                if self._fits(box, at, name, avoided):
                    self.taken += [box, *leader_boxes(at, box)]
                    return box
        return None

    def _fits(self, box: Box, at: Spot, name: str | None, avoided: Sequence[Box]) -> bool:
        left, top, right, bottom = self.area
        if box[0] < left or box[1] < top or box[2] > right or box[3] > bottom:
            return False
        if any(overlaps(box, other) for other in itertools.chain(self._squares, self.taken, avoided)):
            return False
        own = math.dist(at, nearest(box, at))
        if name is None and own > _BESIDE:
            own = _DISTANCES[0]  # the line to a short label says whose it is
        strangers = [spot for spot, other in self.marks if other != name and math.dist(spot, at) > _SAME]
        if any(math.dist(spot, nearest(box, spot)) < _CLEARLY * own for spot in strangers):
            return False
        line = leader_boxes(at, box)
        crossed = [
            square
            for square, (spot, _) in zip(self._squares, self.marks, strict=True)
            if math.dist(spot, at) > 2 * _MARK
        ]
        return not any(overlaps(part, other) for part in line for other in itertools.chain(crossed, self.taken))


def candidates(x: float, y: float, extent: tuple[float, float], farthest: float) -> Iterator[Box]:
    """Boxes around a point, the nearest first.

    Args:
        x, y: the point.
        extent: width and height of the box.
        farthest: from the point.
    """
    width, height = extent
    for distance in (each for each in _DISTANCES if each <= farthest):
        for across, up in _SIDES:
            reach = distance * (0.8 if across and up else 1)
            yield _around(x + across * (reach + width / 2), y - up * (reach + height / 2), extent)
        for across, up in _SHIFTED:
            yield _around(x + across * width / 2, y - up * (distance + height / 2), extent)


def _around(x: float, y: float, extent: tuple[float, float]) -> Box:
    width, height = extent
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def nearest(box: Box, spot: Spot) -> Spot:
    """The place in a box that is nearest to another place."""
    left, top, right, bottom = box
    return min(max(spot[0], left), right), min(max(spot[1], top), bottom)


def leader(at: Spot, box: Box) -> tuple[Spot, Spot] | None:
    """The line from a mark to a label that is not beside it; ``None`` where it is."""
    end = nearest(box, at)
    return (at, end) if math.dist(at, end) > _BESIDE else None


def leader_boxes(at: Spot, box: Box) -> list[Box]:
    """Small boxes along the line from a mark to its label."""
    line = leader(at, box)
    if line is None:
        return []
    (x, y), (end_x, end_y) = line
    count = math.ceil(math.dist(*line) / 3)
    steps = [(x + (end_x - x) * i / count, y + (end_y - y) * i / count) for i in range(count)]
    return [(a - 1.5, b - 1.5, a + 1.5, b + 1.5) for a, b in steps]


def text_width(text: str, font: float) -> float:
    """An upper estimate for the width of a text in sans-serif fonts, in the unit of ``font``."""
    return font * sum(0.36 if c in "iljtfr.,:;'| ()[]" else 0.95 if c in "mwMW@%" else 0.66 for c in text) + 4


def overlaps(a: Box, b: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
