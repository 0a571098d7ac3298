"""ShuffleNetV2 (arXiv 1807.11164, section 4): a backbone built for few memory accesses.

Half of the channels pass a unit untouched and a shuffle of the channels mixes the halves. Widths, names of parameters
and the maps handed on are those of PaddleSeg. Its width 2.0 begins with 224 channels where the paper and the weights
published by PaddleClas have 244, so that those weights do not fit it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.nn.initializer import KaimingNormal

from paddle_mobileseg import registry
from paddle_mobileseg.layers import ConvBNAct, shuffle_halves
from paddle_mobileseg.weights import load_weights

# Width factor: channels of the stem and of the three stages.
_CHANNELS: dict[float, tuple[int, int, int, int]] = {
    0.25: (24, 24, 48, 96),
    0.33: (24, 32, 64, 128),
    0.5: (24, 48, 96, 192),
    1.0: (24, 116, 232, 464),
    1.5: (24, 176, 352, 704),
    2.0: (24, 224, 488, 976),
}
_DEPTHS = (4, 8, 4)  # units of the three stages

# Where the classification network of the same weights keeps the layers behind the backbone.
_CLASSIFIER = ("_last_conv.", "_fc.")

_conv_bn = partial(ConvBNAct, conv_init=KaimingNormal(), names=("_conv", "_batch_norm"))


class ShuffleUnit(nn.Layer):
    """The unit of stride 1 (figure 3 c): half of the channels pass, the others are convolved."""

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        half = channels // 2
        self._conv_pw = _conv_bn(half, half, act=act)
        self._conv_dw = _conv_bn(half, half, 3, groups=half)
        self._conv_linear = _conv_bn(half, half, act=act)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = paddle.split(x, 2, axis=1)
        return shuffle_halves(kept, self._conv_linear(self._conv_dw(self._conv_pw(changed))))


class ShuffleDownUnit(nn.Layer):
    """The unit of stride 2 (figure 3 d): both halves of the result are convolved from the whole input."""

    def __init__(self, in_channels: int, out_channels: int, act: str) -> None:
        super().__init__()
        half = out_channels // 2
        self._conv_dw_1 = _conv_bn(in_channels, in_channels, 3, 2, groups=in_channels)
        self._conv_linear_1 = _conv_bn(in_channels, half, act=act)
        self._conv_pw_2 = _conv_bn(in_channels, half, act=act)
        self._conv_dw_2 = _conv_bn(half, half, 3, 2, groups=half)
        self._conv_linear_2 = _conv_bn(half, half, act=act)

    def forward(self, x: Tensor) -> Tensor:
        first = self._conv_linear_1(self._conv_dw_1(x))
        return shuffle_halves(first, self._conv_linear_2(self._conv_dw_2(self._conv_pw_2(x))))


class ShuffleNetV2(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to maps at strides 4 (the stem's), 8, 16 and 32. Sides are rounded up.

    Args:
        scale: width factor: 0.25, 0.33, 0.5, 1.0, 1.5 or 2.0.
        act: activation (see :func:`paddle_mobileseg.layers.activation`).
        in_channels: of the image.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may have a classifier, as one from a training on ImageNet.

    Attributes:
        feat_channels: of the four maps.
        feat_strides: ``[4, 8, 16, 32]``.

    Raises:
        ValueError: unknown ``scale`` or ``act``, or weights that do not fit.
    """

    def __init__(
        self, scale: float = 1.0, act: str = "relu", in_channels: int = 3, pretrained: str | None = None
    ) -> None:
        super().__init__()
        if scale not in _CHANNELS:
            raise ValueError(f"unknown scale {scale!r}; expected one of {', '.join(map(str, _CHANNELS))}")
        channels = _CHANNELS[scale]
        self._conv1 = _conv_bn(in_channels, channels[0], 3, 2, act=act)
        self.stages: list[list[str]] = []  # names of the units
        for i, depth in enumerate(_DEPTHS):
            units = [f"{i + 2}_{j + 1}" for j in range(depth)]
            self.add_sublayer(units[0], ShuffleDownUnit(channels[i], channels[i + 1], act))
            for name in units[1:]:
                self.add_sublayer(name, ShuffleUnit(channels[i + 1], act))
            self.stages.append(units)
        self.feat_channels = list(channels)
        self.feat_strides = [4, 8, 16, 32]
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_exceed=_CLASSIFIER)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self._conv1(x), 3, stride=2, padding=1)
        maps = [x]
        for units in self.stages:
            for name in units:
                x = getattr(self, name)(x)
            maps.append(x)
        return maps


def _variant(name: str, scale: float, act: str = "relu") -> Callable[..., ShuffleNetV2]:
    """A component that builds the network at one width."""

    def build(act: str = act, in_channels: int = 3, pretrained: str | None = None) -> ShuffleNetV2:
        return ShuffleNetV2(scale, act, in_channels, pretrained)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"ShuffleNetV2 of width {scale} with {act}; arguments as of :class:`ShuffleNetV2`."
    return registry.register("backbones")(build)


ShuffleNetV2_x0_25 = _variant("ShuffleNetV2_x0_25", 0.25)
ShuffleNetV2_x0_33 = _variant("ShuffleNetV2_x0_33", 0.33)
ShuffleNetV2_x0_5 = _variant("ShuffleNetV2_x0_5", 0.5)
ShuffleNetV2_x1_0 = _variant("ShuffleNetV2_x1_0", 1.0)
ShuffleNetV2_x1_5 = _variant("ShuffleNetV2_x1_5", 1.5)
ShuffleNetV2_x2_0 = _variant("ShuffleNetV2_x2_0", 2.0)
ShuffleNetV2_swish = _variant("ShuffleNetV2_swish", 1.0, act="swish")
