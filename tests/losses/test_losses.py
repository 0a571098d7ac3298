"""Losses against NumPy, and where PaddleSeg's go wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg import registry
from paddle_mobileseg.losses import (
    CrossEntropyLoss,
    DiceLoss,
    LovaszSoftmaxLoss,
    MixedLoss,
    OhemCrossEntropyLoss,
    lovasz,
)


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


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), OhemCrossEntropyLoss(min_kept=3), LovaszSoftmaxLoss()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_give_such_a_loss_and_no_warning(
    case: tuple[np.ndarray, np.ndarray], loss: paddle.nn.Layer, value: float
) -> None:
    logits, labels = case
    logits[1, :, 2, 3] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = loss(paddle.to_tensor(logits), paddle.to_tensor(labels))

    assert not np.isfinite(float(result))


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


@pytest.mark.parametrize("classes", ["present", "all", [2, 0, 2]])
def test_lovasz_by_numpy_is_lovasz_by_operators(
    monkeypatch: pytest.MonkeyPatch, case: tuple[np.ndarray, np.ndarray], classes: Any
) -> None:
    values, labels = case
    labels[labels == 1] = 3  # a class is absent
    results = []
    for possible in (True, False):
        monkeypatch.setattr(lovasz, "numpy_can", lambda logits, possible=possible: possible)
        logits = paddle.to_tensor(values, stop_gradient=False)
        loss = LovaszSoftmaxLoss(classes=classes)(logits, paddle.to_tensor(labels))
        (3 * loss).backward()
        results.append((float(loss), logits.grad.numpy()))

    (ours, our_gradient), (operators, gradient) = results
    assert ours == pytest.approx(operators, rel=1e-6)
    np.testing.assert_allclose(our_gradient, gradient, atol=1e-7)
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_errors_are_sorted_with_ties_in_their_order(dtype: str) -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.random(5000) ** 6, rng.integers(0, 3, 500) / 2, [0.0, 1.0, 1e-40]]).astype(dtype)

    np.testing.assert_array_equal(lovasz._ascending(values), np.argsort(values, kind="stable"))


def test_lovasz_of_a_perfect_prediction_is_zero() -> None:
    labels = np.array([[[0, 1], [2, 2]]])
    logits = np.eye(3, dtype=np.float32)[labels].transpose(0, 3, 1, 2) * 50
    loss = LovaszSoftmaxLoss()(paddle.to_tensor(logits), paddle.to_tensor(labels))

    assert float(loss) == pytest.approx(0.0, abs=1e-6)


ALL = [CrossEntropyLoss(), OhemCrossEntropyLoss(min_kept=3), LovaszSoftmaxLoss(), DiceLoss()]


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize(("wrong", "said"), [(4, "from 0 to 4"), (-1, "from -1 to 3")])
def test_labels_out_of_range_are_refused(
    case: tuple[np.ndarray, np.ndarray], loss: paddle.nn.Layer, wrong: int, said: str
) -> None:
    logits, labels = case
    labels[0, 3, 1] = wrong
    with pytest.raises(ValueError, match=rf"labels reach {said}; expected 0 to 3, or 255 \(ignored\)"):
        loss(paddle.to_tensor(logits), paddle.to_tensor(labels))


@pytest.mark.parametrize("loss", [*ALL, OhemCrossEntropyLoss(min_kept=0)])
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
    MixedLoss(ALL, [0.25] * 4)(paddle.to_tensor(logits), tensor)

    np.testing.assert_array_equal(tensor.numpy(), labels)


def test_mixed_is_the_weighted_list(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = (paddle.to_tensor(array) for array in case)
    parts = MixedLoss([CrossEntropyLoss(), LovaszSoftmaxLoss()], [0.8, 0.2])(logits, labels)

    assert float(parts[0]) == pytest.approx(0.8 * float(CrossEntropyLoss()(logits, labels)), rel=1e-6)
    assert float(parts[1]) == pytest.approx(0.2 * float(LovaszSoftmaxLoss()(logits, labels)), rel=1e-6)
    with pytest.raises(ValueError, match="2 losses and 1 coef"):
        MixedLoss([CrossEntropyLoss(), CrossEntropyLoss()], [1.0])


def ohem_by_definition(logits: np.ndarray, labels: np.ndarray, thresh: float, min_kept: int) -> tuple[float, int]:
    """The loss, and how many pixels it is the mean of."""
    losses = pixel_losses(logits, labels)[labels != 255]
    if len(losses) > min_kept:
        probabilities = np.exp(-losses)
        threshold = max(thresh, np.sort(probabilities)[min_kept - 1]) if min_kept else thresh
        losses = losses[probabilities < threshold]
    return losses.sum() / (len(losses) + 1e-5 * labels.size), len(losses)


OHEM_CASES = [
    (0.25, 5, 28),  # the threshold decides
    (0.02, 17, 16),  # too few below it: the 17th smallest probability is the threshold, and is not below itself
    (0.25, 48, 48),  # not more pixels than min_kept
    (0.25, 47, 46),
    (0.25, 1, 28),
    (0.0, 1, 0),  # nothing is below the smallest
    (1.0, 5, 48),
]


@pytest.mark.parametrize(("thresh", "min_kept", "kept"), [*OHEM_CASES, (0.25, 0, 28), (0.0, 0, 0)])
def test_ohem(case: tuple[np.ndarray, np.ndarray], thresh: float, min_kept: int, kept: int) -> None:
    logits, labels = case
    expected, number = ohem_by_definition(logits, labels, thresh, min_kept)
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    loss = OhemCrossEntropyLoss(thresh, min_kept)(tensor, paddle.to_tensor(labels))
    loss.backward()

    assert number == kept
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert int((tensor.grad.abs().sum(1) > 0).sum()) == kept


@pytest.fixture
def paddle_2_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and products of floats and integers, which PaddleSeg 2.8.0 writes and Paddle 3 refuses."""
    for name in ("__add__", "__mul__"):
        original = getattr(paddle.Tensor, name)

        def mixed(self: paddle.Tensor, other: Any, original: Any = original) -> paddle.Tensor:
            if isinstance(other, paddle.Tensor) and self.is_floating_point() != other.is_floating_point():
                self, other = self.astype("float32"), other.astype("float32")
            return original(self, other)

        monkeypatch.setattr(paddle.Tensor, name, mixed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("thresh", "min_kept", "kept"), OHEM_CASES)
def test_ohem_is_paddlesegs(
    case: tuple[np.ndarray, np.ndarray], paddle_2_arithmetic: None, thresh: float, min_kept: int, kept: int
) -> None:
    labels = paddle.to_tensor(case[1])
    values, gradients = [], []
    for loss in (OhemCrossEntropyLoss, registry.upstream("OhemCrossEntropyLoss")):
        logits = paddle.to_tensor(case[0], stop_gradient=False)
        value = loss(thresh, min_kept)(logits, labels)
        value.backward()
        values.append(float(value))
        gradients.append(logits.grad.numpy())

    assert values[0] == pytest.approx(values[1], rel=1e-6)
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-7)


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.5, 3.0]])
def test_dice(case: tuple[np.ndarray, np.ndarray], weight: list[float] | None) -> None:
    logits, labels = case
    labels[1] %= 3  # one image lacks a class
    mask = labels != 255
    probabilities = softmax(logits)
    losses = np.zeros(4)
    for c in range(4):
        for image in range(2):
            p = probabilities[image, c][mask[image]]
            truth = labels[image][mask[image]] == c
            losses[c] += (1 - (2 * p[truth].sum() + 1) / (p.sum() + truth.sum() + 1)) / 2
    expected = (losses * (weight or 1.0)).mean()

    loss = DiceLoss(weight=weight)(paddle.to_tensor(logits), paddle.to_tensor(labels))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    upstream = registry.upstream("DiceLoss")(weight=weight)(paddle.to_tensor(logits), paddle.to_tensor(labels))
    assert float(loss) == pytest.approx(float(upstream), rel=1e-6)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="thresh is 70; expected a probability"):
        OhemCrossEntropyLoss(thresh=70)
    with pytest.raises(ValueError, match="min_kept is -1; expected a number of pixels"):
        OhemCrossEntropyLoss(min_kept=-1)
    with pytest.raises(ValueError, match="DiceLoss has 2 class weights for 3 classes"):
        DiceLoss(weight=[1.0, 1.0])(paddle.rand([1, 3, 2, 2]), paddle.zeros([1, 2, 2], "int64"))
    with pytest.raises(ValueError, match="top_k_percent_pixels"):
        CrossEntropyLoss(top_k_percent_pixels=0.0)
    with pytest.raises(ValueError, match="2 class weights for 3 classes"):
        CrossEntropyLoss(weight=[1.0, 1.0])(paddle.rand([1, 3, 2, 2]), paddle.zeros([1, 2, 2], "int64"))
