"""MobileNetV3 (arXiv 1905.02244) without its classifier, large and small; and with dilated convolutions up to stride 8.

PaddleSeg's variant: the first block expands too (by 1, which the authors leave out), and the hard sigmoid of the
squeeze-excite modules has slope 0.2 instead of 1/6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.layers import ConvBNAct, SqueezeExcite, round_channels
from paddle_mobileseg.weights import load_weights

# One block: kernel, expanded channels, output channels, squeeze-excite, activation, stride.
BlockSpec = tuple[int, int, int, bool, str, int]

_STEM_CHANNELS = 16
# Tables 1 and 2 of the paper, cut where a map is returned.
_LARGE: tuple[tuple[BlockSpec, ...], ...] = (
    (
        (3, 16, 16, False, "relu", 1),
        (3, 64, 24, False, "relu", 2),
        (3, 72, 24, False, "relu", 1),
    ),
    (
        (5, 72, 40, True, "relu", 2),
        (5, 120, 40, True, "relu", 1),
        (5, 120, 40, True, "relu", 1),
    ),
    (
        (3, 240, 80, False, "hardswish", 2),
        (3, 200, 80, False, "hardswish", 1),
        (3, 184, 80, False, "hardswish", 1),
        (3, 184, 80, False, "hardswish", 1),
        (3, 480, 112, True, "hardswish", 1),
        (3, 672, 112, True, "hardswish", 1),
    ),
    (
        (5, 672, 160, True, "hardswish", 2),
        (5, 960, 160, True, "hardswish", 1),
        (5, 960, 160, True, "hardswish", 1),
    ),
)
_SMALL: tuple[tuple[BlockSpec, ...], ...] = (
    ((3, 16, 16, True, "relu", 2),),
    (
        (3, 72, 24, False, "relu", 2),
        (3, 88, 24, False, "relu", 1),
    ),
    (
        (5, 96, 40, True, "hardswish", 2),
        (5, 240, 40, True, "hardswish", 1),
        (5, 240, 40, True, "hardswish", 1),
        (5, 120, 48, True, "hardswish", 1),
        (5, 144, 48, True, "hardswish", 1),
    ),
    (
        (5, 288, 96, True, "hardswish", 2),
        (5, 576, 96, True, "hardswish", 1),
        (5, 576, 96, True, "hardswish", 1),
    ),
)
# What files of a training on ImageNet have behind the backbone.
_CLASSIFIER = ("last_second_conv.", "last_conv.", "fc.")


class InvertedResidual(nn.Layer):
    """Expand, depthwise, squeeze-excite, project (figure 4); with a shortcut where the shape stays.

    Args:
        in_channels: of the input ``[N, C, H, W]``.
        spec: the block.
        dilation: of the depthwise convolution.
        names: attribute names of convolution and batch norm.
    """

    def __init__(
        self, in_channels: int, spec: BlockSpec, dilation: int = 1, names: tuple[str, str] = ("conv", "bn")
    ) -> None:
        super().__init__()
        kernel, expanded, out_channels, use_se, act, stride = spec
        self.expand_conv = ConvBNAct(in_channels, expanded, act=act, bn_decay=False, names=names)
        self.bottleneck_conv = ConvBNAct(
            expanded,
            expanded,
            kernel,
            stride,
            groups=expanded,
            act=act,
            dilation=dilation,
            bn_decay=False,
            names=names,
        )
        if use_se:
            self.mid_se = SqueezeExcite(expanded)
        self.linear_conv = ConvBNAct(expanded, out_channels, bn_decay=False, names=names)
        self.use_se = use_se
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.bottleneck_conv(self.expand_conv(x))
        if self.use_se:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self.shortcut else y


class MobileNetV3(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to a map ``[N, feat_channels[i], H / s, W / s]``, s = feat_strides[i], a stage.

    A side that is no multiple of the last stride is rounded up at each halving.

    Args:
        stages: blocks of each stage at scale 1.
        scale: factor on all widths, which are then rounded to multiples of 8.
        output_stride: of the deepest map. Where a block would stride further it does not, and all blocks behind it are
            dilated by its stride.
        in_channels: of the image.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may have the classifier of a training on ImageNet, which is left out and logged.

    Attributes:
        feat_channels: channels of the maps.
        feat_strides: ``[4, 8, 16, 32]``, or ``[4, 8, 8, 8]`` with ``output_stride=8``.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[BlockSpec]],
        scale: float = 1.0,
        output_stride: int = 32,
        in_channels: int = 3,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.feat_channels: list[int] = []
        self.feat_strides: list[int] = []
        self._last_blocks: list[int] = []
        channels, total_stride, dilation = round_channels(_STEM_CHANNELS * scale), 2, 1
        self.conv = ConvBNAct(in_channels, channels, 3, 2, act="hardswish", bn_decay=False)
        self.blocks = nn.LayerList()
        for specs in stages:
            for kernel, expanded, out_channels, use_se, act, stride in specs:
                own_dilation = dilation
                if total_stride * stride > output_stride:
                    dilation *= stride
                    stride = 1
                expanded, out_channels = round_channels(expanded * scale), round_channels(out_channels * scale)
                spec = (kernel, expanded, out_channels, use_se, act, stride)
                self.blocks.append(InvertedResidual(channels, spec, own_dilation))
                channels, total_stride = out_channels, total_stride * stride
            self.feat_channels.append(channels)
            self.feat_strides.append(total_stride)
            self._last_blocks.append(len(self.blocks) - 1)
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_exceed=_CLASSIFIER)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv(x)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._last_blocks:
                maps.append(x)
        return maps


def _variant(
    name: str, stages: Sequence[Sequence[BlockSpec]], scale: float, output_stride: int = 32
) -> Callable[..., MobileNetV3]:
    """A component that builds the network at one width."""

    def build(in_channels: int = 3, pretrained: str | None = None) -> MobileNetV3:
        return MobileNetV3(stages, scale, output_stride, in_channels, pretrained)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = (
        f"MobileNetV3 {'large' if stages is _LARGE else 'small'} with {scale} times the channels and output stride "
        f"{output_stride}; arguments as of :class:`MobileNetV3`."
    )
    return registry.register("backbones")(build)


MobileNetV3_large_x0_35 = _variant("MobileNetV3_large_x0_35", _LARGE, 0.35)
MobileNetV3_large_x0_5 = _variant("MobileNetV3_large_x0_5", _LARGE, 0.5)
MobileNetV3_large_x0_75 = _variant("MobileNetV3_large_x0_75", _LARGE, 0.75)
MobileNetV3_large_x1_0 = _variant("MobileNetV3_large_x1_0", _LARGE, 1.0)
MobileNetV3_large_x1_25 = _variant("MobileNetV3_large_x1_25", _LARGE, 1.25)
MobileNetV3_large_x1_0_os8 = _variant("MobileNetV3_large_x1_0_os8", _LARGE, 1.0, output_stride=8)
MobileNetV3_small_x0_35 = _variant("MobileNetV3_small_x0_35", _SMALL, 0.35)
MobileNetV3_small_x0_5 = _variant("MobileNetV3_small_x0_5", _SMALL, 0.5)
MobileNetV3_small_x0_75 = _variant("MobileNetV3_small_x0_75", _SMALL, 0.75)
MobileNetV3_small_x1_0 = _variant("MobileNetV3_small_x1_0", _SMALL, 1.0)
MobileNetV3_small_x1_25 = _variant("MobileNetV3_small_x1_25", _SMALL, 1.25)
MobileNetV3_small_x1_0_os8 = _variant("MobileNetV3_small_x1_0_os8", _SMALL, 1.0, output_stride=8)
