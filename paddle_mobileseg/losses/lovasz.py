"""Lovasz-Softmax loss (arXiv 1705.08790)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.autograd import PyLayer

from paddle_mobileseg import registry
from paddle_mobileseg.cpu import thread_map
from paddle_mobileseg.losses.labels import known_labels
from paddle_mobileseg.losses.pixelwise import numpy_can


@registry.register("losses")
class LovaszSoftmaxLoss(nn.Layer):
    """A convex surrogate of 1 - mean IoU over the pixels of the whole batch (arXiv 1705.08790, section 3, equation 9).

    Args:
        ignore_index: label that does not count.
        classes: ``"present"`` (classes that occur in the labels), ``"all"``, or a list of class numbers.

    ``forward(logits, labels)`` takes logits ``[N, C, H, W]`` float and labels ``[N, H, W]`` integer and gives a
    scalar; 0 where no pixel counts.

    Raises:
        ValueError: a label outside ``0 .. C - 1`` that is not ``ignore_index``.
    """

    def __init__(self, ignore_index: int = 255, classes: str | Sequence[int] = "present") -> None:
        super().__init__()
        if isinstance(classes, str) and classes not in ("present", "all"):
            raise ValueError(f"classes is {classes!r}; expected 'present', 'all' or a list of class numbers")
        self.ignore_index = ignore_index
        self.classes = classes if isinstance(classes, str) else list(dict.fromkeys(classes))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        counted, flat = known_labels(labels.reshape([-1]), self.ignore_index, num_classes)
        kept = paddle.nonzero(counted).reshape([-1])
        if kept.shape[0] == 0:
            return logits.sum() * 0.0
        flat = paddle.gather(flat, kept)
        chosen = self._chosen(flat, num_classes)
        return (_OnCpu.apply if numpy_can(logits) else _by_operators)(logits, flat, kept, chosen)

    def _chosen(self, labels: Tensor, num_classes: int) -> list[int]:
        if self.classes == "present":
            return np.flatnonzero(np.bincount(labels.numpy())).tolist()
        return list(range(num_classes)) if self.classes == "all" else [int(c) for c in self.classes]


def _by_operators(logits: Tensor, labels: Tensor, kept: Tensor, classes: list[int]) -> Tensor:
    """The loss of the pixels ``kept``, whose labels are given."""
    probabilities = F.softmax(logits, axis=1).transpose([0, 2, 3, 1]).reshape([-1, logits.shape[1]])
    probabilities = paddle.gather(probabilities, kept)
    return paddle.stack([_one_class(probabilities[:, c], labels == c) for c in classes]).mean()


def _one_class(probability: Tensor, is_class: Tensor) -> Tensor:
    """Errors in falling order, each weighted by how much the Jaccard loss grows when its pixel goes wrong."""
    target = is_class.astype(probability.dtype)
    error = (target - probability).abs()
    order = paddle.argsort(error.detach(), descending=True)
    target = paddle.gather(target, order)
    positives = target.sum()
    intersection = positives - target.cumsum()
    union = positives + (1.0 - target).cumsum()
    jaccard = 1.0 - intersection / union
    growth = paddle.concat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return (paddle.gather(error, order) * growth.detach()).sum()


class _OnCpu(PyLayer):
    """The same by NumPy, with its gradient, which is known as soon as the pixels are sorted."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, kept: Tensor, classes: list[int]) -> Tensor:
        count, num_classes = logits.shape[:2]
        probability = np.moveaxis(logits.numpy().reshape(count, num_classes, -1), 1, 0).copy()  # [C, N, pixels]
        with np.errstate(all="ignore"):  # whoever uses the loss finds out that it is not finite
            probability -= probability.max(0)
            np.exp(probability, out=probability)
            probability /= probability.sum(0)
        gradient = np.zeros_like(probability)
        flat, index = labels.numpy(), kept.numpy()

        def one_class(c: int) -> float:
            loss, gradient[c].reshape(-1)[index] = _lovasz(probability[c].reshape(-1)[index], flat == c)
            return loss

        loss = sum(thread_map(one_class, classes)) / len(classes)
        gradient -= (gradient * probability).sum(0)
        gradient *= probability
        gradient /= len(classes)
        ctx.gradient = np.moveaxis(gradient, 0, 1).reshape(logits.shape)
        return paddle.to_tensor(loss, dtype=logits.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return paddle.to_tensor(ctx.gradient * grad.numpy()), None, None


def _lovasz(probability: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss of one class, and its gradient in the probabilities ``[pixels]`` of that class."""
    error = np.where(target, 1 - probability, probability)
    order = _ascending(error)[::-1]
    hits = np.cumsum(target[order])
    positives = hits[-1]
    jaccard = 1 - (positives - hits) / (positives + np.arange(1, len(hits) + 1) - hits)
    growth = np.diff(jaccard, prepend=0)
    gradient = np.empty_like(probability)
    gradient[order] = growth
    np.negative(gradient, out=gradient, where=target)
    return float(error[order] @ growth), gradient


def _ascending(values: np.ndarray) -> np.ndarray:
    """Indices that sort numbers of at least 0; for float32 by twice 16 bits, for which NumPy has a radix sort."""
    if values.dtype != np.float32:
        return np.argsort(values, kind="stable")
    bits = values.view(np.uint32)
    by_low = np.argsort(bits.astype(np.uint16), kind="stable")
    return by_low[np.argsort((bits >> 16).astype(np.uint16)[by_low], kind="stable")]
