"""Cross entropy of the hardest pixels."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.losses.labels import known_labels
from paddle_mobileseg.losses.pixelwise import pixel_losses

# PaddleSeg's, relative to the number of all pixels: keeps a batch without hard pixels from 0 / 0.
_EPSILON = 1e-5


@registry.register("losses")
class OhemCrossEntropyLoss(nn.Layer):
    """Softmax cross entropy over hard pixels only (online hard example mining, arXiv 1604.03540), PaddleSeg's form.

    A pixel is hard where the probability of its label is below ``thresh``. Where fewer than ``min_kept`` pixels of the
    batch are at or below it, the threshold rises to the ``min_kept``-th smallest probability, so that the
    ``min_kept - 1`` pixels below that count; a batch with no more than ``min_kept`` labelled pixels counts as a whole.
    The loss is the mean over the pixels kept, neither dropped nor ignored ones (PaddleSeg's small addition to the
    divisor, 1e-5 of the number of all pixels, included).

    Unlike PaddleSeg's, ``min_kept=0`` respects ``thresh``.

    Args:
        thresh: probability of the label below which a pixel is hard.
        min_kept: pixels of the whole batch (of one device) to keep at least.
        ignore_index: label that does not count.

    ``forward(logits, labels)`` takes logits ``[N, C, H, W]`` float and labels ``[N, H, W]`` integer and gives a
    scalar; 0 with gradients of 0 where no pixel counts.

    Raises:
        ValueError: an argument outside its range, or a label outside ``0 .. C - 1`` that is not ``ignore_index``.
    """

    def __init__(self, thresh: float = 0.7, min_kept: int = 10000, ignore_index: int = 255) -> None:
        super().__init__()
        if not 0.0 <= thresh <= 1.0:
            raise ValueError(f"thresh is {thresh}; expected a probability, 0 to 1")
        if min_kept < 0:
            raise ValueError(f"min_kept is {min_kept}; expected a number of pixels, at least 0")
        self.thresh = thresh
        self.min_kept = min_kept
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        counted, known = known_labels(labels.reshape([-1]), self.ignore_index, logits.shape[1])
        shape = [logits.shape[0], *logits.shape[2:]]
        loss = pixel_losses(logits, known.reshape(shape)).reshape([-1])
        kept = self._hard(loss.detach(), counted).astype(loss.dtype)
        return (loss * kept).sum() / (kept.sum() + _EPSILON * kept.shape[0])

    def _hard(self, loss: Tensor, counted: Tensor) -> Tensor:
        """Which pixels to keep, bool ``[pixels]``."""
        if int(counted.sum()) <= self.min_kept:
            return counted
        # 2 is above every probability, so that no threshold keeps a pixel that does not count.
        probability = paddle.where(counted, paddle.exp(-loss), paddle.full_like(loss, 2.0))
        if int((probability <= self.thresh).sum()) >= self.min_kept:
            return probability < self.thresh
        return probability < _kth_smallest(probability, self.min_kept)


def _kth_smallest(values: Tensor, k: int) -> float:
    """The ``k``-th smallest (from 1) of ``values`` ``[n]``."""
    if values.place.is_cpu_place():
        return float(np.partition(values.numpy(), k - 1)[k - 1])  # 3 times faster than Paddle's kthvalue and topk
    return float(paddle.sort(values)[k - 1])
