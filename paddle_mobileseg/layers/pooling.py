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


def adaptive_avg_pool(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """What ``F.adaptive_avg_pool2d`` gives, without its operator wherever the input's size is known.

    ONNX has no adaptive pooling, and Paddle Lite's is wrong on ARM where the size does not change. A map of the wanted
    size passes unchanged; one that is a multiple of it is pooled with equal windows; any other is multiplied by the
    matrix of the windows' means, for each axis. While a graph with open sizes is traced there is no way but the
    operator itself.

    Args:
        x: ``[N, C, H, W]``.
        size_hw: height and width of the result, both at least 1.

    Returns:
        ``[N, C, *size_hw]``.
    """
    height, width = (side if isinstance(side, int) else -1 for side in x.shape[2:])
    out_height, out_width = size_hw
    if height < 1 or width < 1:
        return F.adaptive_avg_pool2d(x, [out_height, out_width])
    if (height, width) == (out_height, out_width):
        return x
    if (out_height, out_width) == (1, 1):
        return global_avg_pool(x)
    if height % out_height == 0 and width % out_width == 0:
        window = [height // out_height, width // out_width]
        return F.avg_pool2d(x, window, stride=window)
    rows = paddle.to_tensor(_window_means(height, out_height), dtype=x.dtype)
    columns = paddle.to_tensor(_window_means(width, out_width), dtype=x.dtype)
    return paddle.matmul(paddle.matmul(rows, x), columns, transpose_y=True)


def _window_means(size: int, bins: int) -> np.ndarray:
    """float32 ``[bins, size]``: row i has the weights of bin i, floor(i s / b) to ceil((i + 1) s / b)."""
    matrix = np.zeros((bins, size), dtype=np.float32)
    for i in range(bins):
        start, stop = i * size // bins, -(-(i + 1) * size // bins)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix
