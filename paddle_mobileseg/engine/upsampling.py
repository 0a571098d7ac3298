"""From a network's small logits to labels at an image's own size, without the large logits between them.

All that happens to logits on this way is linear, and treats rows and columns one after the other: the network's last
upsampling, mirroring back, averaging over scales, putting windows together, resizing and cropping to the image. So it
is one matrix for the rows and one for the columns of each map of logits, almost all zeros, and the logits at full size
are the sum of ``rows @ logits @ columns.T`` over the maps. They are made tile by tile and class by class, and only the
largest value so far and its class are kept: memory depends neither on the image's size nor on the number of scales.

Weights are computed with Paddle's rounding, so that labels differ from those of Paddle's own operators only where two
classes are equal up to the rounding of float32 sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Height and width of a tile: what is computed of one class stays in the processor's cache.
TILE_HW = (64, 256)


@dataclass(frozen=True)
class Axis:
    """How the rows (or the columns) of an image follow from those of a map of logits: steps, one after the other.

    Attributes:
        length: rows of the logits.
        steps: made by the methods, each of which gives an axis with one step more.
    """

    length: int
    steps: tuple[tuple[object, ...], ...] = ()

    def resize(self, length: int, align_corners: bool = False) -> Axis:
        """Linear interpolation as in ``paddle.nn.functional.interpolate``."""
        return self._then(_resize, length, align_corners)

    def mirror(self) -> Axis:
        """The other way round."""
        return self._then(_mirror)

    def crop(self, length: int) -> Axis:
        """The first ``length`` rows."""
        return self._then(_crop, length)

    def window(self, number: int, starts: tuple[int, ...], length: int) -> Axis:
        """One of several overlapping windows in an image of ``length`` rows, whose mean is to be taken.

        Args:
            number: of this window.
            starts: the first row of each window; all have the length that this axis has so far.
            length: rows of the whole image.
        """
        return self._then(_window, number, starts, length)

    def matrix(self) -> np.ndarray:
        """``[rows of the image, rows of the logits]`` float64."""
        weights = np.eye(self.length)
        for step, *arguments in self.steps:
            weights = step(weights, *arguments)  # type: ignore[operator]
        return weights

    def _then(self, step: Callable[..., np.ndarray], *arguments: object) -> Axis:
        return Axis(self.length, (*self.steps, (step, *arguments)))


@dataclass(frozen=True)
class LogitMap:
    """Logits ``[C, h, w]`` float32, and where they are in the image."""

    logits: np.ndarray
    rows: Axis
    columns: Axis


def best_classes(maps: Sequence[LogitMap], size_hw: tuple[int, int]) -> np.ndarray:
    """The class with the largest sum over all maps, at every pixel of an image; of equal ones the first.

    Args:
        maps: of equal numbers of classes, in which every pixel is covered.
        size_hw: of the image.

    Returns:
        ``[H, W]`` int32.
    """
    labels = np.empty(size_hw, np.int32)
    height, width = TILE_HW
    rows = {each.rows: _bands(each.rows, height) for each in maps}
    columns = {each.columns: _bands(each.columns, width) for each in maps}
    for row, top in enumerate(range(0, size_hw[0], height)):
        for column, left in enumerate(range(0, size_hw[1], width)):
            parts: list[tuple[np.ndarray, _Band, _Band]] = []
            for each in maps:
                down, across = rows[each.rows][row], columns[each.columns][column]
                if down is not None and across is not None:
                    parts.append((each.logits[:, down.needed, across.needed], down, across))
            tile = labels[top : top + height, left : left + width]
            tile[:] = _best_of(parts, tile.shape[0])
    return labels


@dataclass(frozen=True)
class _Band:
    """What a tile needs along one axis.

    Attributes:
        needed: rows of the logits.
        weights: ``[tile, rows]`` float32; ``None``: the rows as they are.
    """

    needed: slice
    weights: np.ndarray | None


def _best_of(parts: Sequence[tuple[np.ndarray, _Band, _Band]], height: int) -> np.ndarray:
    """``[height, width]``: the best class of one tile, in an unsigned type for their number."""
    wide = [  # [C, rows of the logits, width]
        logits if across.weights is None else np.matmul(logits, across.weights.T) for logits, _, across in parts
    ]
    if len(parts) == 1:
        stacked, weights = wide[0], parts[0][1].weights
    else:
        unchanged = np.eye(height, dtype=np.float32)
        stacked = np.concatenate(wide, axis=1)
        weights = np.concatenate([unchanged if d.weights is None else d.weights for _, d, _ in parts], axis=1)
    best = stacked[0].copy() if weights is None else weights @ stacked[0]
    value, better = np.empty_like(best), np.empty(best.shape, bool)
    classes = len(stacked)
    labels = np.zeros(best.shape, np.uint8 if classes <= 256 else np.uint16)
    found = np.empty_like(labels)
    for number in range(1, classes):
        if weights is None:
            value = stacked[number]
        else:
            np.matmul(weights, stacked[number], out=value)
        np.greater(value, best, out=better)
        np.maximum(best, value, out=best)
        # The number of a class that comes later is larger, so a maximum puts it in; faster than a masked assignment.
        np.multiply(better.view(np.uint8), labels.dtype.type(number), out=found)
        np.maximum(labels, found, out=labels)
    return labels


@lru_cache(maxsize=256)
def _bands(axis: Axis, tile: int) -> list[_Band | None]:
    """What each tile along an axis needs; ``None`` where it needs nothing."""
    weights = axis.matrix()
    bands: list[_Band | None] = []
    for first in range(0, len(weights), tile):
        part = weights[first : first + tile]
        used = np.flatnonzero(part.any(axis=0))
        if not used.size:
            bands.append(None)
            continue
        needed = slice(int(used[0]), int(used[-1]) + 1)
        part = part[:, needed]
        unchanged = part.shape[0] == part.shape[1] and np.array_equal(part, np.eye(len(part)))
        bands.append(_Band(needed, None if unchanged else np.ascontiguousarray(part, np.float32)))
    return bands


def _resize(weights: np.ndarray, length: int, align_corners: bool) -> np.ndarray:
    """Paddle computes the ratio in float32, positions in float64, and their fractions in float32."""
    old = len(weights)
    if old == length:
        return weights
    shift = 0.0 if align_corners else 0.5
    ratio = np.float32(0)
    if length > 1:
        ratio = np.float32((old - 1) / (length - 1)) if align_corners else np.float32(old) / np.float32(length)
    position = np.maximum((np.arange(length) + shift) * float(ratio) - shift, 0)
    lower = np.minimum(position.astype(np.int64), old - 1)
    upper = np.minimum(lower + 1, old - 1)
    fraction = (position.astype(np.float32) - lower.astype(np.float32)).astype(np.float64)[:, None]
    return (1 - fraction) * weights[lower] + fraction * weights[upper]


def _mirror(weights: np.ndarray) -> np.ndarray:
    return weights[::-1]


def _crop(weights: np.ndarray, length: int) -> np.ndarray:
    return weights[:length]


def _window(weights: np.ndarray, number: int, starts: tuple[int, ...], length: int) -> np.ndarray:
    own = len(weights)
    times = np.zeros((length, 1))
    for start in starts:
        times[start : start + own] += 1
    whole = np.zeros((length, weights.shape[1]))
    whole[starts[number] : starts[number] + own] = weights
    return whole / times
