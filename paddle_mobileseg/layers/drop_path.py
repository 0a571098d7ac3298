"""Stochastic depth."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn


class DropPath(nn.Layer):
    """Drop the whole residual branch of a sample with probability ``rate`` in training (arXiv 1603.09382).

    What is kept is divided by ``1 - rate``; in eval mode, and for ``rate`` 0, the input passes unchanged.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"drop path rate {rate} is outside [0, 1)")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = paddle.floor(keep + paddle.rand([x.shape[0], 1, 1, 1], dtype=x.dtype))
        return x * (mask / keep)
