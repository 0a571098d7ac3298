"""Average pooling that every backend runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor


def global_avg_pool(x: Tensor) -> Tensor:
    """``[N, C, H, W] -> [N, C, 1, 1]``.

    One axis at a time: on CPU the mean over both, or an adaptive pool, loses about 20 times more accuracy.
    """
    return x.mean(axis=3, keepdim=True).mean(axis=2, keepdim=True)


def adaptive_avg_pool(x: Tensor, size_hw: Sequence[int | Tensor]) -> Tensor:
    """What ``F.adaptive_avg_pool2d`` gives, without its operator.

    ONNX has no adaptive pooling, and Paddle Lite's is wrong on ARM where the size does not change. A map of the wanted
    size passes unchanged; one that is a multiple of it is pooled with equal windows; any other is multiplied by the
    matrix of the windows' means, for each axis. Where the graph that is traced leaves a size open, it computes the
    matrix itself.

    Args:
        x: ``[N, C, H, W]``.
        size_hw: height and width of the result, both at least 1; while a graph is traced they may be tensors, such as
            what ``x.shape`` gives for an open size.

    Returns:
        ``[N, C, *size_hw]``.
    """
    sides, bins = _known(x.shape[2:]), _known(size_hw)
    if bins == [1, 1]:
        return global_avg_pool(x)
    known = min(*sides, *bins) > 0
    if known and sides == bins:
        return x
    if known and sides[0] % bins[0] == 0 and sides[1] % bins[1] == 0:
        window = [sides[0] // bins[0], sides[1] // bins[1]]
        return F.avg_pool2d(x, window, stride=window)
    rows = _window_means(x.shape[2], size_hw[0], x.dtype)
    columns = _window_means(x.shape[3], size_hw[1], x.dtype)
    return paddle.matmul(paddle.matmul(rows, x), columns, transpose_y=True)


def _known(sides: Sequence[int | Tensor]) -> list[int]:
    """The sides, with 0 for those that the traced graph leaves open."""
    return [side if isinstance(side, int) else 0 for side in sides]


def _window_means(size: int | Tensor, bins: int | Tensor, dtype: paddle.dtype) -> Tensor:
    """``[bins, size]``: row i has the weights of window i, from floor(i s / b) to ceil((i + 1) s / b)."""
    known = isinstance(size, int) and isinstance(bins, int)
    library = np if known else paddle
    window, position = library.arange(bins).reshape([-1, 1]), library.arange(size).reshape([1, -1])
    start, stop = window * size // bins, ((window + 1) * size + bins - 1) // bins
    inside = library.logical_and(position >= start, position < stop)
    precision = "float64" if known else "float32"
    means = inside.astype(precision) / (stop - start).astype(precision)
    return paddle.to_tensor(means, dtype=dtype) if known else means.astype(dtype)
