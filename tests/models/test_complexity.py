"""Counted parameters and multiply-accumulate operations."""

from __future__ import annotations

from paddle import nn

from paddle_mobileseg.models.complexity import count


def test_by_hand() -> None:
    # Depthwise 3x3 at half size on 4 channels, then 1x1 to 5 channels: per output pixel 4 * 9 and 4 * 5.
    network = nn.Sequential(
        nn.Conv2D(3, 4, 1, bias_attr=False), nn.Conv2D(4, 4, 3, stride=2, padding=1, groups=4), nn.Conv2D(4, 5, 1)
    )
    network.train()

    assert count(network, (8, 6)) == (12 + 40 + 25, 8 * 6 * 12 + 4 * 3 * (36 + 20))
    assert network.training
    assert count(nn.Sequential(nn.Flatten(), nn.Linear(12, 7)), (2, 2)) == (12 * 7 + 7, 84)
