"""Cross entropy of pixels by NumPy against Paddle's operator and a version by hand."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_mobileseg.losses.pixelwise import pixel_losses


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_pixel_losses_are_paddles_with_their_gradients(
    monkeypatch: pytest.MonkeyPatch, dtype: str, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    rng = np.random.default_rng(2)
    values = (10 * rng.normal(size=(5, 7, 9, 11))).astype(dtype)
    labels, weights = paddle.to_tensor(rng.integers(0, 7, (5, 9, 11))), rng.random((5, 9, 11)).astype(dtype)
    results = []
    for function in (pixel_losses, lambda x, y: F.cross_entropy(x, y, axis=1, reduction="none").reshape(y.shape)):
        logits = paddle.to_tensor(values, stop_gradient=False)
        loss = function(logits, labels)
        (loss * paddle.to_tensor(weights)).sum().backward()
        np.testing.assert_array_equal(logits.numpy(), values)
        results.append((loss.numpy(), logits.grad.numpy()))

    (ours, our_gradient), (theirs, their_gradient) = results
    assert ours.dtype == our_gradient.dtype == dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(our_gradient, their_gradient, atol=1e-6)


def test_pixel_losses_of_a_view() -> None:
    rng = np.random.default_rng(3)
    values, labels = rng.normal(size=(2, 5, 6, 4)).astype("float32"), rng.integers(0, 4, (2, 5, 6))
    logits = paddle.to_tensor(values, stop_gradient=False)
    pixel_losses(logits.transpose([0, 3, 1, 2]), paddle.to_tensor(labels)).sum().backward()

    exponentials = np.exp(values)
    expected = exponentials / exponentials.sum(3, keepdims=True) - np.eye(4)[labels]
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-6)
