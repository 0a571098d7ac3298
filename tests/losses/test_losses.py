"""Losses against NumPy, and where PaddleSeg's go wrong."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_mobileseg.losses import CrossEntropyLoss, LovaszSoftmaxLoss, MixedLoss


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (2, 5, 6))
    labels[0, :2] = 255
    return rng.normal(size=(2, 4, 5, 6)).astype(np.float32), labels


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def pixel_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    safe = np.where(labels == 255, 0, labels)
    return -np.log(np.take_along_axis(softmax(logits), safe[:, None], 1)[:, 0])


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.5, 3.0]])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_cross_entropy(case: tuple[np.ndarray, np.ndarray], weight: list[float] | None, layout: str) -> None:
    logits, labels = case
    factor = (labels != 255) * (1.0 if weight is None else np.array([*weight])[np.where(labels == 255, 0, labels)])
    expected = (pixel_losses(logits, labels) * factor).sum() / factor.sum()

    given = logits if layout == "NCHW" else logits.transpose(0, 2, 3, 1)
    loss = CrossEntropyLoss(weight=weight, data_format=layout)
    assert float(loss(paddle.to_tensor(given), paddle.to_tensor(labels))) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_the_hardest_pixels(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    losses = np.where(labels == 255, 0, pixel_losses(logits, labels)).ravel()
    expected = np.sort(losses)[::-1][:15].mean()

    loss = CrossEntropyLoss(top_k_percent_pixels=0.25)
    assert float(loss(paddle.to_tensor(logits), paddle.to_tensor(labels))) == pytest.approx(expected, rel=1e-5)


def lovasz_by_definition(logits: np.ndarray, labels: np.ndarray) -> float:
    """The Lovasz extension of the Jaccard loss, summed set by set from its definition."""
    probabilities = softmax(logits).transpose(0, 2, 3, 1).reshape(-1, logits.shape[1])
    flat = labels.ravel()
    probabilities, flat = probabilities[flat != 255], flat[flat != 255]
    total = []
    for c in np.unique(flat):
        truth = flat == c
        errors = np.where(truth, 1 - probabilities[:, c], probabilities[:, c])
        loss, wrong, before = 0.0, np.zeros(len(flat), bool), 0.0
        for pixel in np.argsort(-errors):
            wrong[pixel] = True
            jaccard = 1 - (truth & ~wrong).sum() / (truth | wrong).sum()
            loss, before = loss + errors[pixel] * (jaccard - before), jaccard
        total.append(loss)
    return float(np.mean(total))


def test_lovasz(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    loss = LovaszSoftmaxLoss()(paddle.to_tensor(logits), paddle.to_tensor(labels))

    assert float(loss) == pytest.approx(lovasz_by_definition(logits, labels), rel=1e-4)


def test_lovasz_of_a_perfect_prediction_is_zero() -> None:
    labels = np.array([[[0, 1], [2, 2]]])
    logits = np.eye(3, dtype=np.float32)[labels].transpose(0, 3, 1, 2) * 50
    loss = LovaszSoftmaxLoss()(paddle.to_tensor(logits), paddle.to_tensor(labels))

    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_lovasz_refuses_labels_out_of_range(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    with pytest.raises(ValueError, match="expected 0 to 2"):
        LovaszSoftmaxLoss()(paddle.to_tensor(logits[:, :3]), paddle.to_tensor(labels))


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), LovaszSoftmaxLoss()])
def test_nothing_counted_gives_a_zero_scalar_with_gradients(loss: paddle.nn.Layer) -> None:
    logits = paddle.rand([1, 3, 4, 4])
    logits.stop_gradient = False
    value = loss(logits, paddle.full([1, 4, 4], 255, "int64"))
    value.backward()

    assert value.shape == []
    assert float(value) == 0.0
    assert float(logits.grad.abs().max()) == 0.0


def test_losses_leave_the_labels_alone(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    tensor = paddle.to_tensor(labels)
    MixedLoss([CrossEntropyLoss(), LovaszSoftmaxLoss()], [0.8, 0.2])(paddle.to_tensor(logits), tensor)

    np.testing.assert_array_equal(tensor.numpy(), labels)


def test_mixed_is_the_weighted_list(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = (paddle.to_tensor(array) for array in case)
    parts = MixedLoss([CrossEntropyLoss(), LovaszSoftmaxLoss()], [0.8, 0.2])(logits, labels)

    assert float(parts[0]) == pytest.approx(0.8 * float(CrossEntropyLoss()(logits, labels)), rel=1e-6)
    assert float(parts[1]) == pytest.approx(0.2 * float(LovaszSoftmaxLoss()(logits, labels)), rel=1e-6)
    with pytest.raises(ValueError, match="2 losses and 1 coef"):
        MixedLoss([CrossEntropyLoss(), CrossEntropyLoss()], [1.0])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="top_k_percent_pixels"):
        CrossEntropyLoss(top_k_percent_pixels=0.0)
    with pytest.raises(ValueError, match="2 class weights for 3 classes"):
        CrossEntropyLoss(weight=[1.0, 1.0])(paddle.rand([1, 3, 2, 2]), paddle.zeros([1, 2, 2], "int64"))
