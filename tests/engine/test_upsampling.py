"""Labels without large logits against Paddle's own operators and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_mobileseg.engine.upsampling import TILE_HW, Axis, LogitMap, best_classes


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("old", "new"), [(7, 56), (45, 360), (64, 50), (5, 5), (6, 1), (1, 9), (3, 1000)])
def test_resizing_has_paddles_weights(old: int, new: int, align_corners: bool) -> None:
    values = np.random.default_rng(0).normal(size=(1, 1, old, old)).astype(np.float32)
    expected = F.interpolate(paddle.to_tensor(values), [new, new], mode="bilinear", align_corners=align_corners)
    weights = Axis(old).resize(new, align_corners).matrix()

    assert weights.shape == (new, old)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(weights @ values[0, 0] @ weights.T, expected.numpy()[0, 0], atol=1e-6)


def test_steps_follow_one_another() -> None:
    axis = Axis(2).resize(4).mirror().crop(3)
    np.testing.assert_allclose(axis.matrix(), [[0, 1], [0.25, 0.75], [0.75, 0.25]])


def test_windows_are_averaged_where_they_overlap() -> None:
    starts = (0, 2, 3)
    first, second, third = (Axis(4).window(number, starts, 7).matrix() for number in range(3))
    shares = [[1, 1, 1 / 2, 1 / 3, 0, 0, 0], [0, 0, 1 / 2, 1 / 3, 1 / 2, 1 / 2, 0], [0, 0, 0, 1 / 3, 1 / 2, 1 / 2, 1]]
    np.testing.assert_allclose([each.sum(1) for each in (first, second, third)], shares)
    np.testing.assert_array_equal(np.nonzero(second[4])[0], [2])  # the window's own third row


def test_sums_of_several_maps_over_many_tiles() -> None:
    height, width = size = (2 * TILE_HW[0] + 5, TILE_HW[1] + 31)
    random = np.random.default_rng(0)
    small, large = (random.normal(size=(6, *shape)).astype(np.float32) for shape in ((9, 17), (31, 40)))
    maps = [
        LogitMap(small, Axis(9).resize(300).crop(200).resize(height), Axis(17).resize(400).crop(350).resize(width)),
        LogitMap(large, Axis(31).resize(height).mirror(), Axis(40).resize(width).mirror()),
    ]
    first = F.interpolate(paddle.to_tensor(small[None]), [300, 400], mode="bilinear")[:, :, :200, :350]
    first = F.interpolate(first, size, mode="bilinear")
    second = F.interpolate(paddle.to_tensor(large[None]), size, mode="bilinear").flip([2, 3])
    expected = (first + second).argmax(1).numpy()[0]

    labels = best_classes(maps, size)
    assert labels.dtype == np.int32
    assert set(np.unique(expected)) == set(range(6))
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("classes", [1, 2, 256, 257, 300])
def test_any_number_of_classes_at_the_logits_own_size(classes: int) -> None:
    logits = np.random.default_rng(0).normal(size=(classes, 70, 20)).astype(np.float32)
    labels = best_classes([LogitMap(logits, Axis(70), Axis(20))], (70, 20))
    np.testing.assert_array_equal(labels, logits.argmax(0))
    assert labels.max() > classes - 10


def test_of_equal_classes_the_first_counts() -> None:
    logits = np.stack([np.full((4, 4), value, np.float32) for value in (0.5, 2, 2, 1)])
    labels = best_classes([LogitMap(logits, Axis(4).resize(10), Axis(4).resize(10))], (10, 10))
    np.testing.assert_array_equal(labels, np.ones((10, 10)))
