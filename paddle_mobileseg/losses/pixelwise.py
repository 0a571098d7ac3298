"""Softmax cross entropy of each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.autograd import PyLayer

from paddle_mobileseg.cpu import thread_map


def numpy_can(logits: Tensor) -> bool:
    """Whether a loss of these logits may be computed by NumPy, which is several times faster than Paddle on a CPU."""
    return logits.place.is_cpu_place() and logits.dtype in (paddle.float32, paddle.float64)


def pixel_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """``-log(softmax(logits))`` at each pixel's label.

    On a CPU it is computed by NumPy, forwards and backwards: Paddle 3.3.1's operator takes three to six times as long.
    Backwards it goes once only: Paddle 3.3.1 ends the process when a ``PyLayer`` is asked again (``retain_graph``).

    Args:
        logits: ``[N, C, H, W]``, float.
        labels: ``[N, H, W]``, int64, all in ``0 .. C - 1``.

    Returns:
        ``[N, H, W]`` in the type of the logits.
    """
    if numpy_can(logits):
        return _OnCpu.apply(logits, labels)
    return F.cross_entropy(logits, labels, axis=1, reduction="none").reshape(labels.shape)


class _OnCpu(PyLayer):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        count, classes = logits.shape[:2]
        values = np.ascontiguousarray(logits.numpy().reshape(count, classes, -1))
        pixels = values.shape[2]
        index = labels.numpy().reshape(count, pixels) * pixels + np.arange(pixels)  # into values[i].ravel()
        total = np.empty((count, pixels), values.dtype)
        losses = np.empty_like(total)

        def one_image(each: np.ndarray, place: np.ndarray, sums: np.ndarray, result: np.ndarray) -> None:
            with np.errstate(all="ignore"):  # whoever uses the loss finds out that it is not finite
                each -= each.max(0)
                chosen = each.ravel().take(place)
                np.exp(each, out=each)
                np.sum(each, 0, out=sums)
                np.subtract(np.log(sums), chosen, out=result)

        thread_map(one_image, values, index, total, losses)
        ctx.shape, ctx.exponentials, ctx.total, ctx.index = logits.shape, values, total, index
        return paddle.to_tensor(losses.reshape(labels.shape))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        weights = grad.numpy().reshape(ctx.total.shape)
        result = np.empty_like(ctx.exponentials)

        def one_image(
            each: np.ndarray, weight: np.ndarray, exponentials: np.ndarray, sums: np.ndarray, place: np.ndarray
        ) -> None:
            with np.errstate(all="ignore"):
                np.multiply(exponentials, weight / sums, out=each)
                each.ravel()[place] -= weight

        thread_map(one_image, result, weights, ctx.exponentials, ctx.total, ctx.index)
        return paddle.to_tensor(result.reshape(ctx.shape)), None
