"""Simple pyramid pooling (SPPM) of PP-LiteSeg (arXiv 2204.02681, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.layers.conv import ConvBNAct
from paddle_mobileseg.layers.pooling import adaptive_avg_pool
from paddle_mobileseg.layers.separable import NAMES, decoder_conv


class BinPool(nn.Layer):
    """``[N, C, H, W]`` to the means over ``bins x bins`` cells, ``[N, C, bins, bins]``."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool(x, (self.bins, self.bins))


class SimplePyramidPooling(nn.Layer):
    """The sum of the map's means over grids of several sizes, each convolved. ``[N, C_in, H, W] -> [N, C_out, H, W]``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, and of what is summed.
        bin_sizes: cells along each side of the grids; a grid may be finer than the map.
        separable: make the last convolution separable.

    Raises:
        ValueError: ``bin_sizes`` is empty or has a size below 1.
    """

    def __init__(self, in_channels: int, out_channels: int, bin_sizes: Sequence[int], *, separable: bool) -> None:
        super().__init__()
        if not bin_sizes or min(bin_sizes) < 1:
            raise ValueError(f"the bin sizes are {list(bin_sizes)}; expected at least one, and none below 1")
        self.stages = nn.LayerList(
            [
                nn.Sequential(BinPool(bins), ConvBNAct(in_channels, out_channels, act="relu", bias=True, names=NAMES))
                for bins in bin_sizes
            ]
        )
        self.conv_out = decoder_conv(out_channels, out_channels, separable=separable, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        first, *others = [F.interpolate(stage(x), size=size, mode="bilinear") for stage in self.stages]
        return self.conv_out(sum(others, start=first))
