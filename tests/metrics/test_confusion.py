"""Scores against a case worked out by hand and an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddle_mobileseg.metrics import ConfusionMatrix


def test_by_hand() -> None:
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 255]]))
    scores = confusion.scores()

    # Class 0: 1 hit, 2 predicted, 1 labelled. Class 1: 1 hit, 1 predicted, 2 labelled. Class 2 occurs nowhere.
    np.testing.assert_allclose(scores.iou, [1 / 2, 1 / 2, np.nan])
    np.testing.assert_allclose(scores.dice_per_class, [2 / 3, 2 / 3, np.nan])
    assert scores.miou == pytest.approx(0.5)
    assert scores.accuracy == pytest.approx(2 / 3)
    chance = (1 * 2 + 2 * 1) / 9
    assert scores.kappa == pytest.approx((2 / 3 - chance) / (1 - chance))


def test_against_sets_of_pixels() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, (5, 40, 30))
    label[label == 5] = 255
    prediction = rng.integers(0, 5, label.shape)
    confusion = ConfusionMatrix(5)
    for one, other in zip(prediction, label, strict=True):
        confusion.update(one, other)

    counted = label != 255
    for c in range(5):
        a, b = (label == c) & counted, (prediction == c) & counted
        assert confusion.scores().iou[c] == pytest.approx((a & b).sum() / (a | b).sum())
    assert confusion.scores().accuracy == pytest.approx((label == prediction)[counted].mean())


@pytest.mark.parametrize(("classes", "ignore_index"), [(5, 255), (19, 200), (150, -1), (256, 300), (300, 255)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_every_type_of_labels_gives_the_same_counts(classes: int, ignore_index: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    shape = (40, 50)
    label = rng.integers(0, min(classes, 256), shape)
    prediction = rng.integers(0, classes, shape)
    ignored = rng.random(shape) < 0.2
    if 0 <= ignore_index <= 255 and classes <= ignore_index:
        label[ignored] = ignore_index
    expected = np.zeros((classes, classes), np.int64)
    for one, other in zip(label.flat, prediction.flat, strict=True):
        if one != ignore_index:
            expected[one, other] += 1
    for kind in (np.uint8, np.int32) if classes <= 256 else (np.int32,):
        confusion = ConfusionMatrix(classes, ignore_index)
        confusion.update(prediction.astype(kind), label.astype(dtype))
        np.testing.assert_array_equal(confusion.matrix, expected)


def test_an_ignored_class_does_not_count() -> None:
    for dtype in (np.uint8, np.int32):
        confusion = ConfusionMatrix(3, ignore_index=1)
        confusion.update(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2], dtype))
        assert confusion.matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("wrong", [3, 254])
def test_a_byte_out_of_range(wrong: int) -> None:
    confusion = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=f"label value {wrong} is out of range; expected 0 to 2"):
        confusion.update(np.zeros((2, 2), np.uint8), np.array([[0, 255], [2, wrong]], np.uint8))
    assert not confusion.matrix.any()


def test_nothing_counted() -> None:
    confusion = ConfusionMatrix(2)
    confusion.update(np.zeros((2, 2), int), np.full((2, 2), 255))

    assert math.isnan(confusion.scores().miou)


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [([[0]], [[7]], "label value 7"), ([[3]], [[0]], "prediction value 3"), ([[-1]], [[0]], "prediction value -1")],
)
def test_values_out_of_range(prediction: list, label: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(3).update(np.array(prediction), np.array(label))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="same"):
        ConfusionMatrix(3).update(np.zeros((2, 2), int), np.zeros((2, 3), int))
