"""VIM gives exactly the arg-max over the interpolated logits of the classes that occur."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_mobileseg.layers import valid_interpolate


def restricted(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The definition, with a plain loop over classes."""
    labels = np.zeros((logits.shape[0], *size), np.int32)
    best = np.full(labels.shape, -np.inf, np.float32)
    for c in np.unique(logits.argmax(1)):
        up = F.interpolate(paddle.to_tensor(logits[:, c : c + 1]), list(size), mode="bilinear").numpy()[:, 0]
        labels, best = np.where(up > best, c, labels), np.maximum(up, best)
    return labels


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("classes", "size"), [(150, (64, 48)), (5, (33, 70)), (1, (16, 16))])
def test_equals_the_definition(batch: int, classes: int, size: tuple[int, int]) -> None:
    logits = np.random.default_rng(classes).normal(size=(batch, classes, 6, 5)).astype(np.float32)
    labels = valid_interpolate(paddle.to_tensor(logits), size)

    assert labels.dtype == paddle.int32
    assert labels.shape == [batch, *size]
    np.testing.assert_array_equal(labels.numpy(), restricted(logits, size))


def test_equals_full_interpolation_where_every_class_occurs() -> None:
    logits = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32))
    full = F.interpolate(logits, [40, 40], mode="bilinear").argmax(1)

    assert int((valid_interpolate(logits, [40, 40]) != full.astype("int32")).sum()) == 0


def test_one_class_everywhere() -> None:
    logits = np.zeros((1, 9, 4, 4), np.float32)
    logits[:, 7] = 1.0

    assert np.unique(valid_interpolate(paddle.to_tensor(logits), [16, 16]).numpy()).tolist() == [7]
