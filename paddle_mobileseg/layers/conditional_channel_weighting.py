"""Blocks of Lite-HRNet (arXiv 2104.06403): shuffle unit, conditional channel weighting, and their parts."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Constant, Normal
from paddle.regularizer import L2Decay

from paddle_mobileseg.layers.activation import activation
from paddle_mobileseg.layers.channels import shuffle_halves
from paddle_mobileseg.layers.pooling import adaptive_avg_pool


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2D:
    """A convolution that keeps the size at stride 1; weights start normal with deviation 0.001, biases at 0."""
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        groups=groups,
        weight_attr=ParamAttr(initializer=Normal(std=0.001)),
        bias_attr=None if bias else False,
    )


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: str | None = None,
    *,
    freeze_norm: bool = False,
    norm_decay: float = 0.0,
) -> nn.Sequential:
    """Convolution, batch norm and, if named, activation, as sublayers ``conv``, ``norm`` and ``act``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
        stride: of the convolution.
        groups: of the convolution.
        act: name of the activation.
        freeze_norm: train neither scale nor shift of the batch norm, and normalise with its stored mean and variance in
            training too.
        norm_decay: weight decay of scale and shift, in place of the optimiser's.
    """
    learning_rate = 0.0 if freeze_norm else 1.0
    scale, shift = (
        ParamAttr(
            initializer=Constant(value),
            learning_rate=learning_rate,
            regularizer=L2Decay(norm_decay),
            trainable=not freeze_norm,
        )
        for value in (1.0, 0.0)
    )
    norm = nn.BatchNorm2D(
        out_channels, weight_attr=scale, bias_attr=shift, use_global_stats=True if freeze_norm else None
    )
    layers: list[tuple[str, nn.Layer]] = [
        ("conv", conv(in_channels, out_channels, kernel_size, stride, groups)),
        ("norm", norm),
    ]
    return nn.Sequential(*layers, *([("act", activation(act))] if act is not None else []))


def upsample_nearest(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """``[N, C, h, w] -> [N, C, *size_hw]`` by the nearest pixel.

    The same numbers as ``F.interpolate``, whose kernel takes about six times as long on CPU as repeating pixels does;
    in a graph that is exported the operator remains, which converters know.
    """
    if not paddle.in_dynamic_mode():
        return F.interpolate(x, size=size_hw, mode="nearest")
    height, width = x.shape[2:]
    out_height, out_width = size_hw
    if (height, width) == (out_height, out_width):
        return x
    if out_height % height or out_width % width:
        return F.interpolate(x, size=size_hw, mode="nearest")
    repeated = x.unsqueeze([3, 5]).expand([-1, -1, -1, out_height // height, -1, out_width // width])
    return repeated.flatten(4, 5).flatten(2, 3)


class CrossResolutionWeighting(nn.Layer):
    """Weights for all channels at every position of the smallest map, computed from all branches (section 3.2).

    Args:
        channels: of each branch, from the largest map to the smallest.
        freeze_norm: as in :func:`conv_norm`.
        norm_decay: as in :func:`conv_norm`.
    """

    reduction = 8

    def __init__(self, channels: Sequence[int], freeze_norm: bool, norm_decay: float) -> None:
        super().__init__()
        self.channels = list(channels)
        total = sum(channels)
        hidden = total // self.reduction
        self.conv1 = conv_norm(total, hidden, act="relu", freeze_norm=freeze_norm, norm_decay=norm_decay)
        self.conv2 = conv_norm(hidden, total, act="sigmoid", freeze_norm=freeze_norm, norm_decay=norm_decay)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        *larger, smallest = maps
        pooled = [adaptive_avg_pool(x, smallest.shape[2:]) for x in larger]
        together = self.conv2(self.conv1(paddle.concat([*pooled, smallest], axis=1)))
        weights = together.split(self.channels, axis=1)
        return [x * upsample_nearest(weights[i], x.shape[2:]) for i, x in enumerate(maps)]


class SpatialWeighting(nn.Layer):
    """Weights for the channels of one branch, the same at every position (section 3.2). ``[N, C, H, W]``.

    The mean is PaddleSeg's operator and not ``global_avg_pool``: networks of these blocks can magnify rounding a
    millionfold (random weights do), so that float32 results compare with PaddleSeg's only if every sum is rounded as
    there.
    """

    reduction = 4

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // self.reduction
        self.conv1 = nn.Sequential(("conv", conv(channels, hidden, bias=True)), ("act", nn.ReLU()))
        self.conv2 = nn.Sequential(("conv", conv(hidden, channels, bias=True)), ("act", nn.Sigmoid()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(F.adaptive_avg_pool2d(x, 1)))


class ConditionalChannelWeighting(nn.Layer):
    """A shuffle unit on every branch whose pointwise convolutions are replaced by weights (figure 2, right).

    Args:
        channels: that the block works on: half of those of each branch.
        freeze_norm: as in :func:`conv_norm`.
        norm_decay: as in :func:`conv_norm`.
    """

    def __init__(self, channels: Sequence[int], freeze_norm: bool, norm_decay: float) -> None:
        super().__init__()
        self.cross_resolution_weighting = CrossResolutionWeighting(channels, freeze_norm, norm_decay)
        self.depthwise_convs = nn.LayerList(
            [conv_norm(each, each, 3, groups=each, freeze_norm=freeze_norm, norm_decay=norm_decay) for each in channels]
        )
        self.spatial_weighting = nn.LayerList([SpatialWeighting(each) for each in channels])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        halves = [x.chunk(2, axis=1) for x in maps]
        weighted = self.cross_resolution_weighting([second for _, second in halves])
        results = []
        for i, x in enumerate(weighted):
            x = self.spatial_weighting[i](self.depthwise_convs[i](x))
            results.append(shuffle_halves(halves[i][0], x))
        return results


class ShuffleUnit(nn.Layer):
    """ShuffleNetV2's unit of stride 1 (arXiv 1807.11164, figure 3 c). ``[N, channels, H, W]``, channels even."""

    def __init__(self, channels: int, freeze_norm: bool, norm_decay: float) -> None:
        super().__init__()
        half = channels // 2
        self.branch2 = nn.Sequential(
            conv_norm(half, half, act="relu", freeze_norm=freeze_norm, norm_decay=norm_decay),
            conv_norm(half, half, 3, groups=half, freeze_norm=freeze_norm, norm_decay=norm_decay),
            conv_norm(half, half, act="relu", freeze_norm=freeze_norm, norm_decay=norm_decay),
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, axis=1)
        return shuffle_halves(first, self.branch2(second))
