"""Upsampling and arg-max in one: labels from small logits without a float for every class of every pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor

# Into how many tiles the labels are cut along their height and width: few operators, and values that stay in the cache.
_TILES_HW = (8, 2)


def interpolated_labels(
    logits: Tensor, size_hw: Sequence[int], align_corners: bool = False, dtype: str = "int32"
) -> Tensor:
    """The arg-max over classes of logits upsampled bilinearly.

    In a Paddle 3 graph whose sizes are fixed, which is also what becomes ONNX, this is :func:`labels_by_tiles`.
    Elsewhere it is the definition: in dynamic mode, for sizes that the graph does not know, and in legacy graphs, which
    are for Paddle Lite and TensorRT.

    Args:
        logits: ``[N, C, h, w]`` float.
        size_hw: height and width of the result.
        align_corners: as in ``F.interpolate``.
        dtype: of the labels, ``int32`` or ``int64``.

    Returns:
        ``[N, H, W]``, values 0 to C - 1; of equal classes the first.
    """
    if paddle.framework.in_pir_mode() and _are_known(logits.shape[2:]) and _are_known(size_hw):
        return labels_by_tiles(logits, size_hw, align_corners, dtype)
    upsampled = F.interpolate(logits, size=size_hw, mode="bilinear", align_corners=align_corners)
    return paddle.argmax(upsampled, axis=1, dtype=dtype)


def labels_by_tiles(
    logits: Tensor, size_hw: Sequence[int], align_corners: bool = False, dtype: str = "int32"
) -> Tensor:
    """What :func:`interpolated_labels` gives, tile by tile, each upsampled by two matrix products with classes last.

    It is the faster way on a CPU: a tile is still in the cache when its arg-max is taken, over neighbours in memory.

    Args:
        logits: ``[N, C, h, w]`` float; a graph need not know N and C.
        size_hw: as for :func:`interpolated_labels`.
        align_corners, dtype: likewise.

    Returns:
        ``[N, H, W]``.
    """
    height, width = [int(n) for n in logits.shape[2:]]
    rows = _weights(height, size_hw[0], align_corners)
    columns = _weights(width, size_hw[1], align_corners)
    classes_last = paddle.transpose(logits, [0, 2, 3, 1])
    bands = []
    for left, right, first, last in _tiles(width, size_hw[1], _TILES_HW[1], align_corners):
        wide = paddle.matmul(columns[left:right, first:last], classes_last[:, :, first:last])
        wide = wide.reshape([0, height, -1])  # [N, h, pixels * C]
        band = []
        for top, bottom, start, stop in _tiles(height, size_hw[0], _TILES_HW[0], align_corners):
            tile = paddle.matmul(rows[top:bottom, start:stop], wide[:, start:stop])
            tile = tile.reshape([0, bottom - top, right - left, -1])
            band.append(paddle.argmax(tile, axis=3, dtype=dtype))
        bands.append(paddle.concat(band, axis=1))
    return paddle.concat(bands, axis=2)


def _are_known(sizes: Sequence[int]) -> bool:
    return all(isinstance(size, int) and size > 0 for size in sizes)


def _slope_and_offset(small: int, large: int, align_corners: bool) -> tuple[float, float]:
    """Where pixel i of the large side lies on the small one: at slope * i + offset, if that is inside."""
    if align_corners:
        return (small - 1) / max(large - 1, 1), 0.0
    return small / large, 0.5 * small / large - 0.5


def _weights(small: int, large: int, align_corners: bool) -> Tensor:
    """``[large, small]`` float32: what each small pixel gives to each large one.

    As operators, which a runtime computes once when it loads the graph: numbers would take megabytes there.
    """
    slope, offset = _slope_and_offset(small, large, align_corners)
    place = paddle.clip(paddle.arange(large, dtype="float32") * slope + offset, 0.0, small - 1.0)
    distance = place.reshape([large, 1]) - paddle.arange(small, dtype="float32").reshape([1, small])
    return F.relu(1.0 - paddle.abs(distance))


def _tiles(small: int, large: int, count: int, align_corners: bool) -> list[tuple[int, int, int, int]]:
    """Cut the large side: (begin, end) of each part, and (begin, end) of the small pixels that it is made from."""
    slope, offset = _slope_and_offset(small, large, align_corners)
    step = -(-large // count)
    parts = []
    for begin in range(0, large, step):
        end = min(begin + step, large)
        first = max(math.floor(slope * begin + offset), 0)
        last = min(math.ceil(slope * (end - 1) + offset), small - 1)
        parts.append((begin, end, first, last + 1))
    return parts
