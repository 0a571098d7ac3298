"""MobileNetV2 (arXiv 1801.04381) without its classifier: maps at strides 4, 8, 16 and 32.

PaddleSeg's variant: the first block expands too (by 1, which the authors leave out), and a scaled width is cut to an
integer instead of rounded to a multiple of 8.
"""

from __future__ import annotations

from collections.abc import Callable

from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.layers import ConvBNAct
from paddle_mobileseg.weights import load_weights

_STEM_CHANNELS = 32
# Table 2 of the paper: expansion, output channels, blocks, stride of the first block; and whether the map is returned.
_STAGES = (
    (1, 16, 1, 1, False),
    (6, 24, 2, 2, True),
    (6, 32, 3, 2, True),
    (6, 64, 4, 2, False),
    (6, 96, 3, 1, True),
    (6, 160, 3, 2, False),
    (6, 320, 1, 1, True),
)
_NAMES = ("_conv", "_batch_norm")
# What files of a training on ImageNet have behind the backbone.
_CLASSIFIER = ("conv9.", "out.")


class InvertedResidual(nn.Layer):
    """Expand, depthwise 3x3, project without activation (section 3.3); with a shortcut where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        expanded = in_channels * expansion
        self._expand_conv = ConvBNAct(in_channels, expanded, act="relu6", names=_NAMES)
        self._bottleneck_conv = ConvBNAct(expanded, expanded, 3, stride, groups=expanded, act="relu6", names=_NAMES)
        self._linear_conv = ConvBNAct(expanded, out_channels, names=_NAMES)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self._linear_conv(self._bottleneck_conv(self._expand_conv(x)))
        return x + y if self.shortcut else y


class MobileNetV2(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to four maps ``[N, feat_channels[i], H / s, W / s]``, s = 4, 8, 16, 32.

    A side that is no multiple of 32 is rounded up at each halving.

    Args:
        scale: factor on all widths.
        in_channels: of the image.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may have the classifier of a training on ImageNet, which is left out and logged.

    Attributes:
        feat_channels: channels of the four maps.
        feat_strides: ``[4, 8, 16, 32]``.
    """

    def __init__(self, scale: float = 1.0, in_channels: int = 3, pretrained: str | None = None) -> None:
        super().__init__()
        self.feat_channels: list[int] = []
        self.feat_strides: list[int] = []
        self._stages: list[tuple[str, bool]] = []
        channels, total_stride = int(_STEM_CHANNELS * scale), 2
        self.conv1 = ConvBNAct(in_channels, channels, 3, 2, act="relu6", names=_NAMES)
        for number, (expansion, unscaled, depth, stride, returned) in enumerate(_STAGES, start=2):
            name, out_channels = f"conv{number}", int(unscaled * scale)
            blocks = [("_first_block", InvertedResidual(channels, out_channels, expansion, stride))]
            for i in range(2, depth + 1):
                blocks.append((f"{name}_{i}", InvertedResidual(out_channels, out_channels, expansion, 1)))
            self.add_sublayer(name, nn.Sequential(*blocks))
            self._stages.append((name, returned))
            channels, total_stride = out_channels, total_stride * stride
            if returned:
                self.feat_channels.append(channels)
                self.feat_strides.append(total_stride)
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_exceed=_CLASSIFIER)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv1(x)
        maps = []
        for name, returned in self._stages:
            x = getattr(self, name)(x)
            if returned:
                maps.append(x)
        return maps


def _variant(name: str, scale: float) -> Callable[..., MobileNetV2]:
    """A component that builds the network at one width."""

    def build(in_channels: int = 3, pretrained: str | None = None) -> MobileNetV2:
        return MobileNetV2(scale, in_channels, pretrained)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"MobileNetV2 with {scale} times the channels; arguments as of :class:`MobileNetV2`."
    return registry.register("backbones")(build)


MobileNetV2_x0_25 = _variant("MobileNetV2_x0_25", 0.25)
MobileNetV2_x0_5 = _variant("MobileNetV2_x0_5", 0.5)
MobileNetV2_x0_75 = _variant("MobileNetV2_x0_75", 0.75)
MobileNetV2_x1_0 = _variant("MobileNetV2_x1_0", 1.0)
MobileNetV2_x1_5 = _variant("MobileNetV2_x1_5", 1.5)
MobileNetV2_x2_0 = _variant("MobileNetV2_x2_0", 2.0)
