"""What all losses do with labels first."""

from __future__ import annotations

import paddle
from paddle import Tensor


def known_labels(labels: Tensor, ignore_index: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Which pixels count, and labels that are safe to look up.

    Args:
        labels: integers, any shape.
        ignore_index: label that does not count.
        num_classes: labels that count lie in ``0 .. num_classes - 1``.

    Returns:
        bool and int64, both in the shape of ``labels`` (which stay as they are); the second is 0 where the first is
        False.

    Raises:
        ValueError: a label is out of range.
    """
    labels = labels.astype("int64")
    counted = labels != ignore_index
    known = paddle.where(counted, labels, paddle.zeros_like(labels))
    lowest, highest = int(known.min()), int(known.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(
            f"labels reach from {lowest} to {highest}; expected 0 to {num_classes - 1}, or {ignore_index} (ignored). "
            "Correct the label files, or num_classes and ignore_index in the config"
        )
    return counted, known
