"""From preprocessed images to labels at their original sizes: plain, mirrored, at several scales, in windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.cpu import give_freed_memory_back
from paddle_mobileseg.engine.upsampling import Axis, LogitMap, best_classes

TransInfo = Sequence[tuple[str, tuple[int, int]]]

# Pixels of a network's input above which less memory is worth more time.
_LARGE_INPUT = 2048 * 2048


@dataclass(frozen=True)
class SlidingWindow:
    """An image is looked at through overlapping windows, and the mean of their logits counts.

    As in PaddleSeg, windows that would stand out at the right or bottom are moved back to the border, and an image
    smaller than the window is one window.

    Attributes:
        crop_wh: width and height of the windows in pixels of the network's input.
        stride_wh: from one window to the next, at most as large.

    Raises:
        ValueError: sizes that are no positive whole numbers, or a stride that leaves gaps.
    """

    crop_wh: tuple[int, int]
    stride_wh: tuple[int, int]

    def __post_init__(self) -> None:
        for name, size in (("crop_size", self.crop_wh), ("stride", self.stride_wh)):
            if len(size) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in size):
                raise ValueError(f"{name} is {list(size)}; expected [width, height], two whole numbers of at least 1")
        if any(step > side for step, side in zip(self.stride_wh, self.crop_wh, strict=True)):
            raise ValueError(
                f"stride {list(self.stride_wh)} is larger than crop_size {list(self.crop_wh)}, which leaves pixels "
                "that no window sees; make it at most as large"
            )


def infer_labels(
    network: nn.Layer,
    image: np.ndarray,
    trans_info: TransInfo,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    flip_vertical: bool = False,
    window: SlidingWindow | None = None,
) -> np.ndarray:
    """Labels of one preprocessed image, ``[1, 3, h, w]`` float32: :func:`infer_batch` for it alone.

    Returns:
        ``[H, W]`` int32.
    """
    return infer_batch(network, image, [trans_info], scales, flip, flip_vertical, window)[0]


def infer_batch(
    network: nn.Layer,
    images: np.ndarray,
    trans_infos: Sequence[TransInfo],
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    flip_vertical: bool = False,
    window: SlidingWindow | None = None,
) -> list[np.ndarray]:
    """Labels of preprocessed images, each taken back to the size it had before preprocessing.

    Logits are averaged over scales and flips (all combinations, as in PaddleSeg) at the network's input size, taken
    back, and arg-maxed. A network with ``low_logits(x)`` and ``align_corners`` never makes its large logits.

    Args:
        network: in eval mode; gives a list whose first element are logits.
        images: ``[N, 3, h, w]`` float32.
        trans_infos: of each image what preprocessing did to the size, in its order (see :mod:`paddle_mobileseg.data`).
        scales: factors of the input size, each > 0.
        flip: also average with the horizontally mirrored images.
        flip_vertical: also with the vertically mirrored ones; with ``flip``, with those mirrored both ways too.
        window: go over each scaled image with a sliding window.

    Returns:
        N arrays ``[H, W]`` int32.

    Raises:
        ValueError: the network's logits are not finite.
    """
    size = (images.shape[2], images.shape[3])
    passes: list[tuple[np.ndarray, Axis, Axis]] = []
    x = paddle.to_tensor(images)
    sizes = [[max(int(side * scale + 0.5), 1) for side in size] for scale in scales]
    if any(len(images) * height * width > _LARGE_INPUT for height, width in sizes):
        give_freed_memory_back()
    with paddle.no_grad():
        for scaled_size in sorted(sizes, reverse=True):  # the largest while no other's logits take memory
            scaled = x if scaled_size == x.shape[2:] else F.interpolate(x, scaled_size, mode="bilinear")
            for vertical, horizontal in itertools.product(
                (False, True)[: 1 + flip_vertical], (False, True)[: 1 + flip]
            ):
                mirrored = scaled.flip([2] * vertical + [3] * horizontal) if vertical or horizontal else scaled
                for logits, *axes in _windows(network, mirrored, window):
                    rows, columns = (
                        (axis.mirror() if turned else axis).resize(side)
                        for axis, turned, side in zip(axes, (vertical, horizontal), size, strict=True)
                    )
                    passes.append((logits, rows, columns))
    return [_labels(number, passes, trans_info, size) for number, trans_info in enumerate(trans_infos)]


def _windows(network: nn.Layer, x: Tensor, window: SlidingWindow | None) -> Iterator[tuple[np.ndarray, Axis, Axis]]:
    """Logits ``[N, C, h, w]`` of every window, and what makes of them the window's share in logits of x's size."""
    height, width = x.shape[2:]
    if window is None:
        yield _low_logits(network, x)
        return
    crop = (min(window.crop_wh[1], height), min(window.crop_wh[0], width))
    tops = _starts(height, crop[0], window.stride_wh[1])
    lefts = _starts(width, crop[1], window.stride_wh[0])
    for (row, top), (column, left) in itertools.product(enumerate(tops), enumerate(lefts)):
        part = x[:, :, top : top + crop[0], left : left + crop[1]]
        logits, rows, columns = _low_logits(network, part)
        yield logits, rows.window(row, tops, height), columns.window(column, lefts, width)


def _starts(side: int, crop: int, stride: int) -> tuple[int, ...]:
    """Where windows begin along a side that they cover; the last one ends with it."""
    return tuple(min(number * stride, side - crop) for number in range(math.ceil((side - crop) / stride) + 1))


def _low_logits(network: nn.Layer, x: Tensor) -> tuple[np.ndarray, Axis, Axis]:
    """Logits before the network's last upsampling, and that upsampling of rows and of columns."""
    if hasattr(network, "low_logits"):
        logits = network.low_logits(x).astype("float32").numpy()
    else:
        logits = network(x)[0].astype("float32").numpy()
    if not math.isfinite(logits.sum(dtype=np.float64)):
        raise ValueError(
            "the network's logits are not finite (NaN or infinite), so there are no labels; its weights are damaged, "
            "or the training that gave them had failed"
        )
    align_corners = getattr(network, "align_corners", False)
    rows, columns = (
        Axis(own).resize(side, align_corners) for own, side in zip(logits.shape[2:], x.shape[2:], strict=True)
    )
    return logits, rows, columns


def _labels(
    number: int, passes: Sequence[tuple[np.ndarray, Axis, Axis]], trans_info: TransInfo, size_hw: tuple[int, int]
) -> np.ndarray:
    """Of the image with this number in the batch: resizing and padding are undone, the last one first."""
    maps = []
    for logits, rows, columns in passes:
        for step, (height, width) in reversed(list(trans_info)):
            if step == "padding":
                rows, columns = rows.crop(height), columns.crop(width)
            else:
                rows, columns = rows.resize(height), columns.resize(width)
        maps.append(LogitMap(logits[number], rows, columns))
    return best_classes(maps, trans_info[0][1] if trans_info else size_hw)
