"""Dice loss (V-Net, arXiv 1606.04797, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.losses.labels import known_labels


@registry.register("losses")
class DiceLoss(nn.Layer):
    """1 - Dice coefficient of softmax probabilities and labels, the mean over images and classes.

    Unlike PaddleSeg's, it leaves the labels as they are.

    Args:
        weight: a factor for each class; the mean is taken over the number of classes all the same.
        ignore_index: label that does not count.
        smooth: added to numerator and denominator; a class that an image does not have and that is not predicted
            there costs 0 where this is above 0.

    ``forward(logits, labels)`` takes logits ``[N, C, H, W]`` float and labels ``[N, H, W]`` integer and gives a scalar.

    Raises:
        ValueError: class factors that do not fit the logits, or a label outside ``0 .. C - 1`` that is not
            ``ignore_index``.
    """

    def __init__(self, weight: Sequence[float] | None = None, ignore_index: int = 255, smooth: float = 1.0) -> None:
        super().__init__()
        self.weight = None if weight is None else paddle.to_tensor(list(weight), dtype="float32")
        self.ignore_index = ignore_index
        self.smooth = smooth

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        if self.weight is not None and self.weight.shape[0] != num_classes:
            raise ValueError(f"DiceLoss has {self.weight.shape[0]} class weights for {num_classes} classes")
        counted, known = known_labels(labels.flatten(1), self.ignore_index, num_classes)
        mask = counted.astype(logits.dtype).unsqueeze(1)
        target = F.one_hot(known, num_classes).transpose([0, 2, 1]).astype(logits.dtype) * mask
        probability = F.softmax(logits, axis=1).flatten(2) * mask
        overlap = 2 * (probability * target).sum(2) + self.smooth
        total = (probability + target).sum(2) + self.smooth + 1e-8
        losses = (1 - overlap / total).mean(0)
        return (losses if self.weight is None else losses * self.weight).mean()
