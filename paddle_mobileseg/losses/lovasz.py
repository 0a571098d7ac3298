"""Lovasz-Softmax loss (arXiv 1705.08790)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.losses.labels import known_labels


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
        self.classes = classes

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        counted, flat = known_labels(labels.reshape([-1]), self.ignore_index, num_classes)
        kept = paddle.nonzero(counted).reshape([-1])
        if kept.shape[0] == 0:
            return logits.sum() * 0.0
        flat = paddle.gather(flat, kept)
        probabilities = F.softmax(logits, axis=1).transpose([0, 2, 3, 1]).reshape([-1, num_classes])
        probabilities = paddle.gather(probabilities, kept)
        losses = [self._one_class(probabilities[:, c], flat == c) for c in self._chosen(flat, num_classes)]
        return paddle.stack(losses).mean()

    def _chosen(self, labels: Tensor, num_classes: int) -> list[int]:
        if self.classes == "present":
            return [int(c) for c in paddle.unique(labels).numpy()]
        return list(range(num_classes)) if self.classes == "all" else [int(c) for c in self.classes]

    @staticmethod
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
