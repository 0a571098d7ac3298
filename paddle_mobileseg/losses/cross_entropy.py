"""Pixel-wise cross entropy."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.losses.labels import known_labels
from paddle_mobileseg.losses.pixelwise import pixel_losses
from paddle_mobileseg.losses.reduction import shared


@registry.register("losses")
class CrossEntropyLoss(nn.Layer):
    """Softmax cross entropy over the pixels whose label is not ``ignore_index``.

    Args:
        weight: a factor for each class; the mean is taken over the factors of the pixels' labels.
        ignore_index: label that does not count.
        top_k_percent_pixels: keep only this share (0 to 1] of all pixels, those with the largest loss.
        avg_non_ignore: divide by the counted pixels only; otherwise by all.
        data_format: ``"NCHW"`` or ``"NHWC"``, layout of the logits.

    ``forward(logits, labels)`` takes logits ``[N, C, H, W]`` float and labels ``[N, H, W]`` integer and gives a
    scalar; 0 where no pixel counts. In several processes the mean is over the pixels of all of them (each process takes
    its own share of the largest losses with ``top_k_percent_pixels``).

    Raises:
        ValueError: an argument outside its range, class factors that do not fit the logits, or a label outside
            ``0 .. C - 1`` that is not ``ignore_index``.
    """

    def __init__(
        self,
        weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        top_k_percent_pixels: float = 1.0,
        avg_non_ignore: bool = True,
        data_format: str = "NCHW",
    ) -> None:
        super().__init__()
        if not 0.0 < top_k_percent_pixels <= 1.0:
            raise ValueError(f"top_k_percent_pixels is {top_k_percent_pixels}; expected a share in (0, 1]")
        if data_format not in ("NCHW", "NHWC"):
            raise ValueError(f"data_format is {data_format!r}; expected 'NCHW' or 'NHWC'")
        self.weight = None if weight is None else paddle.to_tensor(list(weight), dtype="float32")
        self.ignore_index = ignore_index
        self.top_k_percent_pixels = top_k_percent_pixels
        self.avg_non_ignore = avg_non_ignore
        self.class_axis = data_format.index("C")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[self.class_axis]
        if self.weight is not None and self.weight.shape[0] != num_classes:
            raise ValueError(f"CrossEntropyLoss has {self.weight.shape[0]} class weights for {num_classes} classes")
        counted, known = known_labels(labels, self.ignore_index, num_classes)
        loss = pixel_losses(logits if self.class_axis == 1 else logits.transpose([0, 3, 1, 2]), known)
        factor = counted.astype(loss.dtype)
        if self.weight is not None:
            factor = factor * paddle.gather(self.weight, known.reshape([-1])).reshape(labels.shape)
        loss = (loss * factor).reshape([-1])
        norm = factor.reshape([-1]) if self.avg_non_ignore else paddle.ones_like(loss)
        if self.top_k_percent_pixels < 1.0:
            kept = max(1, int(self.top_k_percent_pixels * loss.shape[0]))
            loss, index = paddle.topk(loss, kept)
            norm = paddle.gather(norm, index)
        return loss.sum() / paddle.clip(shared(norm.sum()), min=1e-8)
