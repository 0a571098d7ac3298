"""Losses of several processes whose mean is the loss of their batches put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg.losses import CrossEntropyLoss
from paddle_mobileseg.losses.reduction import shared, shared_among


@pytest.mark.parametrize(
    "arguments", [{}, {"weight": [0.5, 3.0, 1.0]}, {"avg_non_ignore": False}, {"data_format": "NHWC"}]
)
def test_shares_with_other_numbers_of_ignored_pixels(arguments: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    shape = [4, 3, 5, 6] if arguments.get("data_format") != "NHWC" else [4, 5, 6, 3]
    logits = random.normal(size=shape).astype(np.float32)
    labels = random.integers(0, 3, [4, 5, 6])
    labels[0] = 255
    labels[1, :3] = 255
    loss = CrossEntropyLoss(**arguments)

    def run(part: slice) -> tuple[float, np.ndarray]:
        x = paddle.to_tensor(logits[part], stop_gradient=False)
        value = loss(x, paddle.to_tensor(labels[part]))
        value.backward()
        return float(value), x.grad.numpy()

    whole, gradient = run(slice(0, 4))
    halves = (slice(0, 2), slice(2, 4))
    divisors: list[float] = []
    with shared_among(lambda divisor: divisors.append(divisor) or divisor):
        alone = [run(half)[0] for half in halves]
    with shared_among(lambda _: sum(divisors) / 2):
        parts = [run(half) for half in halves]

    if arguments != {"avg_non_ignore": False}:
        assert abs(np.mean(alone) - whole) > 1e-3  # what the mean of the shares' own means would be
    assert np.mean([value for value, _ in parts]) == pytest.approx(whole, rel=1e-6)
    np.testing.assert_allclose(np.concatenate([grad for _, grad in parts]) / 2, gradient, rtol=1e-5, atol=1e-9)


def test_one_process_divides_by_its_own() -> None:
    divisor = paddle.full([], 7.0)
    assert shared(divisor) is divisor
    with shared_among(lambda value: value + 1):
        assert float(shared(divisor)) == 8.0
    with pytest.raises(OSError, match="gone"), shared_among(_gone):
        shared(divisor)
    assert shared(divisor) is divisor


def _gone(_: float) -> float:
    raise OSError("gone")
