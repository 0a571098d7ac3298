"""Rounding of scaled widths, shuffling of channels."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_mobileseg.layers import round_channels, shuffle_halves


@pytest.mark.parametrize(
    ("channels", "divisor", "rounded"),
    [
        (24, 8, 24),
        (5.6, 8, 8),  # never below the divisor
        (28, 8, 32),  # half-way cases go up
        (27.9, 8, 24 + 8),  # 24 would be less than 90 %
        (90, 8, 88),
        (42, 4, 44),
        (41, 4, 40),
    ],
)
def test_round_channels(channels: float, divisor: int, rounded: int) -> None:
    assert round_channels(channels, divisor) == rounded


def test_shuffle_of_halves() -> None:
    first, second = (paddle.to_tensor(np.arange(60.0).reshape(2, 3, 2, 5) + start) for start in (0, 100))
    expected = np.stack([each.numpy()[:, c] for c in range(3) for each in (first, second)], axis=1)

    np.testing.assert_array_equal(shuffle_halves(first, second).numpy(), expected)
