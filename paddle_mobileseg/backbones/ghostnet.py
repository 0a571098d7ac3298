"""GhostNet (arXiv 1911.11907, section 3): half of a layer's channels are cheap depthwise copies of the other half.

Channels, names of parameters and the maps handed on are those of PaddleSeg. The gate of its squeeze-excite is
``clip(x, 0, 1)``, where MobileNetV3 has a hard sigmoid.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import KaimingNormal, Uniform

from paddle_mobileseg import registry
from paddle_mobileseg.layers import ConvBNAct, global_avg_pool, round_channels
from paddle_mobileseg.weights import load_weights

# The bottlenecks (table 1) in four groups, each of which ends with a map that is handed on: kernel, expanded channels,
# output channels, squeeze-excite, stride. Channels are those of width 1.0.
_STAGES: tuple[tuple[tuple[int, int, int, bool, int], ...], ...] = (
    ((3, 16, 16, False, 1), (3, 48, 24, False, 2), (3, 72, 24, False, 1)),
    ((5, 72, 40, True, 2), (5, 120, 40, True, 1)),
    (
        (3, 240, 80, False, 2),
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    (
        (5, 672, 160, True, 2),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    ),
)

# Where the classification network of the same weights keeps the layers behind the backbone.
_CLASSIFIER = ("conv_last.", "fc_0.", "fc_1.")

_conv_bn = partial(ConvBNAct, conv_init=KaimingNormal(), bn_decay=False, names=("_conv", "_batch_norm"))


def _linear(in_features: int, out_features: int) -> nn.Linear:
    bound = in_features**-0.5
    return nn.Linear(in_features, out_features, weight_attr=ParamAttr(initializer=Uniform(-bound, bound)))


class GhostSqueezeExcite(nn.Layer):
    """Channel attention with fully connected layers and the gate ``clip(x, 0, 1)``. ``[N, C, H, W]`` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = _linear(channels, channels // 4)
        self.excitation = _linear(channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = global_avg_pool(x).squeeze([2, 3])
        gate = self.excitation(F.relu(self.squeeze(pooled))).clip(0.0, 1.0)
        return x * gate.unsqueeze([2, 3])


class GhostModule(nn.Layer):
    """A pointwise convolution gives half of the channels, a depthwise 3x3 of these the other half (figure 1 b).

    Args:
        in_channels: of the input.
        out_channels: of the result; even.
        act: after both convolutions, ``None`` for none.
    """

    def __init__(self, in_channels: int, out_channels: int, act: str | None = None) -> None:
        super().__init__()
        half = out_channels // 2
        self.primary_conv = _conv_bn(in_channels, half, act=act)
        self.cheap_operation = _conv_bn(half, half, 3, groups=half, act=act)

    def forward(self, x: Tensor) -> Tensor:
        x = self.primary_conv(x)
        return paddle.concat([x, self.cheap_operation(x)], axis=1)


class GhostBottleneck(nn.Layer):
    """Two Ghost modules, the first expanding, with a shortcut (figure 3).

    Between them stands a depthwise convolution where the stride is 2, and squeeze-excite where wanted. The shortcut is
    convolved where size or channels change.
    """

    def __init__(
        self, in_channels: int, expanded: int, out_channels: int, kernel_size: int, stride: int, use_se: bool
    ) -> None:
        super().__init__()
        self.ghost_module_1 = GhostModule(in_channels, expanded, act="relu")
        self.halves = stride == 2
        if self.halves:
            self.depthwise_conv = _conv_bn(expanded, expanded, kernel_size, stride, groups=expanded)
        self.use_se = use_se
        if use_se:
            self.se_block = GhostSqueezeExcite(expanded)
        self.ghost_module_2 = GhostModule(expanded, out_channels)
        self.convolves_shortcut = self.halves or in_channels != out_channels
        if self.convolves_shortcut:
            self.shortcut_depthwise = _conv_bn(in_channels, in_channels, kernel_size, stride, groups=in_channels)
            self.shortcut_conv = _conv_bn(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ghost_module_1(x)
        if self.halves:
            y = self.depthwise_conv(y)
        if self.use_se:
            y = self.se_block(y)
        y = self.ghost_module_2(y)
        if self.convolves_shortcut:
            x = self.shortcut_conv(self.shortcut_depthwise(x))
        return y + x


class GhostNet(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to maps at strides 4, 8, 16 and 32. Sides are rounded up.

    Args:
        scale: width factor, positive; channels are rounded to multiples of 4.
        in_channels: of the image.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may have a classifier, as one from a training on ImageNet.

    Attributes:
        feat_channels: of the four maps.
        feat_strides: ``[4, 8, 16, 32]``.

    Raises:
        ValueError: ``scale`` is not positive, or the weights do not fit.
    """

    def __init__(self, scale: float, in_channels: int = 3, pretrained: str | None = None) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale is {scale!r}; expected a positive width factor such as 1.0")
        channels = round_channels(16 * scale, 4)
        self.conv1 = _conv_bn(in_channels, channels, 3, 2, act="relu")
        self.stages: list[list[str]] = []  # names of the bottlenecks
        self.feat_channels = []
        index = itertools.count()
        for specs in _STAGES:
            names = [f"_ghostbottleneck_{next(index)}" for _ in specs]
            for name, (kernel_size, expanded, out_channels, use_se, stride) in zip(names, specs, strict=True):
                widths = channels, round_channels(expanded * scale, 4), round_channels(out_channels * scale, 4)
                self.add_sublayer(name, GhostBottleneck(*widths, kernel_size, stride, use_se))
                channels = widths[-1]
            self.stages.append(names)
            self.feat_channels.append(channels)
        self.feat_strides = [4, 8, 16, 32]
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_exceed=_CLASSIFIER)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv1(x)
        maps = []
        for names in self.stages:
            for name in names:
                x = getattr(self, name)(x)
            maps.append(x)
        return maps


def _variant(name: str, scale: float) -> Callable[..., GhostNet]:
    """A component that builds the network at one width."""

    def build(in_channels: int = 3, pretrained: str | None = None) -> GhostNet:
        return GhostNet(scale, in_channels, pretrained)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"GhostNet of width {scale}; arguments as of :class:`GhostNet`."
    return registry.register("backbones")(build)


GhostNet_x0_5 = _variant("GhostNet_x0_5", 0.5)
GhostNet_x1_0 = _variant("GhostNet_x1_0", 1.0)
GhostNet_x1_3 = _variant("GhostNet_x1_3", 1.3)
