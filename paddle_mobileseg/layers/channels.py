"""Widths of scaled networks."""

from __future__ import annotations


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``channels``, at least ``divisor``, and not below 90 % of ``channels``.

    Half-way cases go up. It is how the MobileNet family and its relatives round the channels of a scaled network.

    >>> round_channels(16 * 0.35), round_channels(72 * 1.25), round_channels(11)
    (8, 88, 16)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
