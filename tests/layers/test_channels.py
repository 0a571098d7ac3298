"""Rounding of scaled widths."""

from __future__ import annotations

import pytest

from paddle_mobileseg.layers import round_channels


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
