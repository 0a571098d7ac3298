"""Numbers and order of channels."""

from __future__ import annotations

import paddle
from paddle import Tensor


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``channels``, at least ``divisor``, and not below 90 % of ``channels``.

    Half-way cases go up. It is how the MobileNet family and its relatives round the channels of a scaled network.

    >>> round_channels(16 * 0.35), round_channels(72 * 1.25), round_channels(11)
    (8, 88, 16)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def shuffle_halves(first: Tensor, second: Tensor) -> Tensor:
    """Two ``[N, C, H, W]`` to ``[N, 2 C, H, W]``, whose channels are by turns one of the first and one of the second.

    Equal to concatenating and shuffling in two groups, in a single copy: with the rows of both stacked channel by
    channel, the memory already lies in the wanted order. No size but C is written into an exported graph.
    """
    return paddle.concat([first, second], axis=2).reshape([0, 2 * first.shape[1], -1, 0])
