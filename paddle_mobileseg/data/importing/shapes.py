"""Shapes as sets of pixels.

Coordinates are continuous with (0, 0) at the corner of the first pixel, so that pixel (column, row) has its centre at
(column + 0.5, row + 0.5). A pixel belongs to a shape when its centre lies inside; centres on an edge belong to the side
of larger x (or y). Shapes that share an edge therefore neither overlap nor leave a gap, whatever their coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Region:
    """Pixels of an image: those that are True in ``mask``, whose first pixel lies at (top, left)."""

    top: int
    left: int
    mask: np.ndarray

    @property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.mask))

    def paint(self, canvas: np.ndarray, value: int) -> None:
        """Set the pixels of ``canvas`` [H, W] to a value; the region lies within it."""
        height, width = self.mask.shape
        canvas[self.top : self.top + height, self.left : self.left + width][self.mask] = value


EMPTY = Region(0, 0, np.zeros((0, 0), dtype=bool))


def polygon(points: np.ndarray, size_hw: tuple[int, int]) -> Region:
    """The pixels within a polygon, by the even-odd rule where it crosses itself; what is outside the image is cut off.

    Args:
        points: float64 [N, 2], x and y of its corners, N >= 3, finite, up to 1e9.
    """
    height, width = size_hw
    # Every edge from its upper to its lower end: an edge that two polygons share crosses each row at the same place.
    ends = np.stack([points, np.roll(points, -1, axis=0)])
    upside_down = ends[0, :, 1] > ends[1, :, 1]
    ends[:, upside_down] = ends[::-1, upside_down]
    (x0, y0), (x1, y1) = ends[0].T, ends[1].T
    first = np.clip(np.ceil(y0 - 0.5), 0, height).astype(np.int64)
    spans = np.clip(np.ceil(y1 - 0.5), 0, height).astype(np.int64) - first
    total = int(spans.sum())
    if total == 0:
        return EMPTY
    edge = np.repeat(np.arange(len(points)), spans)
    rows = np.arange(total) - np.repeat(np.cumsum(spans) - spans, spans) + first[edge]
    below = (rows + 0.5 - y0[edge]) / (y1[edge] - y0[edge])
    crossings = x0[edge] + below * (x1[edge] - x0[edge])
    columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)
    top, left = int(rows.min()), int(columns.min())
    shape = (int(rows.max()) + 1 - top, int(columns.max()) + 1 - left)
    crossed = np.zeros(shape, dtype=np.uint8)  # times, of which only odd or even matters: overflow does no harm
    np.add.at(crossed.reshape(-1), (rows - top) * shape[1] + columns - left, 1)
    inside = np.bitwise_xor.accumulate(crossed & 1, axis=1).view(bool)  # behind an odd number of edges
    return Region(top, left, inside[:, :-1])


def rectangle(points: np.ndarray, size_hw: tuple[int, int]) -> Region:
    """The pixels within an upright rectangle, from two opposite corners, float64 [2, 2]."""
    (x0, y0), (x1, y1) = points
    return polygon(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), size_hw)


def circle(points: np.ndarray, size_hw: tuple[int, int]) -> Region:
    """The pixels within a circle, from its centre and a point on it, float64 [2, 2]."""
    centre = points[0]
    radius = float(np.hypot(*(points[1] - centre)))
    limits = np.array([size_hw[1], size_hw[0]])
    left, top = np.clip(np.floor(centre - radius), 0, limits).astype(np.int64)
    right, bottom = np.clip(np.ceil(centre + radius), 0, limits).astype(np.int64)
    dx = np.arange(left, right) + 0.5 - centre[0]
    dy = np.arange(top, bottom) + 0.5 - centre[1]
    return Region(int(top), int(left), dx[None] ** 2 + dy[:, None] ** 2 <= radius**2)


def bitmap(mask: np.ndarray, top: int, left: int, size_hw: tuple[int, int]) -> Region:
    """The True pixels of a mask [h, w] that is laid at (top, left); what is outside the image is cut off."""
    cut_top, cut_left = max(-top, 0), max(-left, 0)
    mask = mask[cut_top : max(size_hw[0] - top, 0), cut_left : max(size_hw[1] - left, 0)]
    return Region(max(top, 0), max(left, 0), mask) if mask.size else EMPTY


def union(regions: Sequence[Region]) -> Region:
    """All pixels of several regions."""
    regions = [region for region in regions if region.mask.size]
    if len(regions) < 2:
        return regions[0] if regions else EMPTY
    top, left = min(region.top for region in regions), min(region.left for region in regions)
    bottom = max(region.top + region.mask.shape[0] for region in regions)
    right = max(region.left + region.mask.shape[1] for region in regions)
    mask = np.zeros((bottom - top, right - left), dtype=bool)
    for region in regions:
        Region(region.top - top, region.left - left, region.mask).paint(mask, True)
    return Region(top, left, mask)


def run_lengths(counts: Sequence[int], size_hw: tuple[int, int]) -> Region:
    """COCO's run lengths: pixels column by column, in turn outside and inside, outside first.

    Raises:
        ValueError: the counts are not whole numbers from 0 that add up to the number of pixels.
    """
    height, width = size_hw
    if not all(type(count) is int and 0 <= count <= height * width for count in counts):
        raise ValueError("the counts of an RLE are whole numbers from 0")
    if sum(counts) != height * width:
        raise ValueError(f"the counts of the RLE add up to {sum(counts)}, not to {width} x {height} = {height * width}")
    inside = np.arange(len(counts)) % 2 == 1
    mask = np.repeat(inside, counts).reshape(width, height).T
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return EMPTY
    window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Region(int(rows[0]), int(columns[0]), window.copy())


def unpack_counts(text: str) -> list[int]:
    """The counts in COCO's compressed RLE (``rleToString`` of its tools).

    A count is written in characters of five bits, lowest first, from ``chr(48)``; bit 6 says that more follow, and the
    highest of the last five is the sign. From the fourth on it is the difference to the count two places before.

    Raises:
        ValueError: another character, or an end within a count.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 50:
            raise ValueError(f"the RLE has the character {character!r}, which is no part of COCO's compressed form")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the RLE ends within a number")
    return counts
