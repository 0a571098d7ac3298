"""From an image tensor to labels at the image's original size: plain, flipped, at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

TransInfo = Sequence[tuple[str, tuple[int, int]]]

# Numbers of one tensor of logits at an image's own size: 64 MB.
_MAX_RESTORED = 2**24


def infer_labels(
    network: nn.Layer, image: np.ndarray, trans_info: TransInfo, scales: Sequence[float] = (1.0,), flip: bool = False
) -> np.ndarray:
    """Labels of one preprocessed image, taken back to the size it had before preprocessing.

    Logits are averaged over scales and flips at the network's input size, resized or cropped back, and arg-maxed, in
    PaddleSeg's order.

    Args:
        network: in eval mode; gives a list whose first element are logits.
        image: ``[1, 3, h, w]`` float32.
        trans_info: what preprocessing did to the size, in its order (see :mod:`paddle_mobileseg.data`).
        scales: factors of the input size, each > 0.
        flip: also average with the horizontally mirrored image.

    Returns:
        ``[H, W]`` int32.
    """
    x = paddle.to_tensor(image)
    size = x.shape[2:]
    with paddle.no_grad():
        total: Any = 0.0
        for scale in scales:
            scaled_size = [int(side * scale + 0.5) for side in size]
            scaled = x if scaled_size == size else F.interpolate(x, scaled_size, mode="bilinear")
            for mirrored in (False, True) if flip else (False,):
                logits = network(scaled.flip(3) if mirrored else scaled)[0]
                logits = logits.flip(3) if mirrored else logits
                total = total + (logits if scaled_size == size else F.interpolate(logits, size, mode="bilinear"))
        return _restored_labels(total, trans_info).numpy()[0]


def restore_size(logits: Tensor, trans_info: TransInfo) -> Tensor:
    """Undo resizing (bilinear) and padding (cropping), last step first: ``[N, C, h, w] -> [N, C, H, W]``."""
    for step, (height, width) in reversed(list(trans_info)):
        if step == "padding":
            logits = logits[:, :, :height, :width]
        elif logits.shape[2:] != [height, width]:
            logits = F.interpolate(logits, [height, width], mode="bilinear")
    return logits


def _restored_labels(logits: Tensor, trans_info: TransInfo) -> Tensor:
    """Arg-max of :func:`restore_size`, ``[N, H, W]`` int32.

    Large results are made some classes at a time, because 150 classes of a photo from a phone are 7 GB. Resizing
    treats every class alone and the first of equal values wins, so the labels are the same to the last pixel.
    """
    height, width = trans_info[0][1] if trans_info else logits.shape[2:]
    classes = logits.shape[1]
    group = max(_MAX_RESTORED // (logits.shape[0] * height * width), 1)
    if group >= classes:
        return paddle.argmax(restore_size(logits, trans_info), axis=1, dtype="int32")
    best: Any = None
    labels: Any = None
    for first in range(0, classes, group):
        restored = restore_size(logits[:, first : first + group], trans_info)
        highest, found = restored.max(1), restored.argmax(1, dtype="int32") + first
        if best is None:
            best, labels = highest, found
        else:
            labels = paddle.where(highest > best, found, labels)
            best = paddle.maximum(best, highest)
    return labels
