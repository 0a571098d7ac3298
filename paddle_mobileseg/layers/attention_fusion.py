"""Unified attention fusion (UAFM) of PP-LiteSeg (arXiv 2204.02681, section 3.2): a detailed map and a deep one become
one, each pixel or channel weighing the two."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Constant

from paddle_mobileseg.layers.conv import ConvBNAct
from paddle_mobileseg.layers.pooling import global_avg_pool
from paddle_mobileseg.layers.separable import NAMES, decoder_conv
from paddle_mobileseg.suggestion import did_you_mean

RESIZE_MODES = ("bilinear", "nearest", "bicubic")


class Fusion(nn.Layer):
    """The sum of both maps; the base of the variants with attention.

    Args:
        x_channels: of the detailed map ``[N, x_channels, H, W]``.
        y_channels: of the deep map ``[N, y_channels, h, w]``, which is resized to ``H, W``.
        out_channels: of the result ``[N, out_channels, H, W]``.
        kernel_size: of the convolution on the detailed map.
        resize_mode: one of ``RESIZE_MODES``.
        separable: use separable convolutions, as for mobile devices.

    Raises:
        ValueError: unknown ``resize_mode``.
    """

    def __init__(
        self,
        x_channels: int,
        y_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        resize_mode: str = "bilinear",
        *,
        separable: bool = False,
    ) -> None:
        super().__init__()
        if resize_mode not in RESIZE_MODES:
            raise ValueError(f"unknown resize_mode {resize_mode!r}; expected one of {', '.join(RESIZE_MODES)}")
        self.resize_mode = resize_mode
        self.conv_x = decoder_conv(x_channels, y_channels, kernel_size, separable=separable)
        self.conv_out = decoder_conv(y_channels, out_channels, separable=separable)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.conv_x(x)
        y = F.interpolate(y, size=x.shape[2:], mode=self.resize_mode)
        return self.conv_out(self.mix(x, y))

    def mix(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class ChannelAttentionFusion(Fusion):
    """Each channel is weighed by what the means, and with ``use_max`` the maxima, of both maps' channels say."""

    def __init__(
        self,
        x_channels: int,
        y_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        resize_mode: str = "bilinear",
        *,
        use_max: bool,
    ) -> None:
        super().__init__(x_channels, y_channels, out_channels, kernel_size, resize_mode)
        self.use_max = use_max
        self.conv_xy_atten = nn.Sequential(
            ConvBNAct((4 if use_max else 2) * y_channels, y_channels // 2, act="leakyrelu", names=NAMES),
            ConvBNAct(y_channels // 2, y_channels, names=NAMES),
        )

    def mix(self, x: Tensor, y: Tensor) -> Tensor:
        summary = [global_avg_pool(x), global_avg_pool(y)]
        if self.use_max:
            summary += [self._global_max(x), self._global_max(y)]
        weight = F.sigmoid(self.conv_xy_atten(paddle.concat(summary, axis=1)))
        return (x - y) * weight + y

    def _global_max(self, x: Tensor) -> Tensor:
        # As PaddleSeg does. Of several equal pixels one gets the whole gradient of the pool; that of max is shared out.
        return F.adaptive_max_pool2d(x, 1) if self.training else x.max(axis=[2, 3], keepdim=True)


class SpatialAttentionFusion(Fusion):
    """Each pixel is weighed by what the mean, and with ``use_max`` the maximum, over both maps' channels say.

    Args:
        use_max: take maxima too.
        with_scale: have the tensor ``_scale``, which is part of today's published PP-LiteSeg weights; it is 1 and never
            trained.
    """

    def __init__(
        self,
        x_channels: int,
        y_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        resize_mode: str = "bilinear",
        *,
        use_max: bool,
        with_scale: bool = False,
        separable: bool = False,
    ) -> None:
        super().__init__(x_channels, y_channels, out_channels, kernel_size, resize_mode, separable=separable)
        self.use_max = use_max
        self.conv_xy_atten = nn.Sequential(
            ConvBNAct(4 if use_max else 2, 2, 3, act="relu", names=NAMES),
            ConvBNAct(2, 1, 3, names=NAMES),
        )
        self.with_scale = with_scale
        if with_scale:
            self._scale = self.create_parameter([1], attr=ParamAttr(initializer=Constant(1.0)))
            self._scale.stop_gradient = True

    def mix(self, x: Tensor, y: Tensor) -> Tensor:
        summary = []
        for each in (x, y):
            summary.append(each.mean(axis=1, keepdim=True))
            if self.use_max:
                summary.append(each.max(axis=1, keepdim=True))
        weight = F.sigmoid(self.conv_xy_atten(paddle.concat(summary, axis=1)))
        # x * weight + y * (scale - weight) with one product less that repeats the weight for each channel.
        return (x - y) * weight + (y * self._scale if self.with_scale else y)


# By PaddleSeg's names; the last is what UAFM_SpAtten was called before it was published.
FUSIONS: dict[str, Callable[..., Fusion]] = {
    "UAFM": Fusion,
    "UAFM_ChAtten": partial(ChannelAttentionFusion, use_max=True),
    "UAFM_ChAtten_S": partial(ChannelAttentionFusion, use_max=False),
    "UAFM_SpAtten": partial(SpatialAttentionFusion, use_max=True, with_scale=True),
    "UAFM_SpAtten_S": partial(SpatialAttentionFusion, use_max=False),
    "UAFMMobile": partial(Fusion, separable=True),
    "UAFMMobile_SpAtten": partial(SpatialAttentionFusion, use_max=True, separable=True),
    "ARM_Add_SpAttenAdd3": partial(SpatialAttentionFusion, use_max=True, with_scale=True),
}


def fusion(arm_type: str, x_channels: int, y_channels: int, out_channels: int, resize_mode: str = "bilinear") -> Fusion:
    """The fusion module that PaddleSeg calls ``arm_type``; see :class:`Fusion` for the rest.

    Raises:
        ValueError: unknown ``arm_type`` or ``resize_mode``.
    """
    if arm_type not in FUSIONS:
        raise ValueError(
            f"unknown arm_type {arm_type!r}{did_you_mean(arm_type, FUSIONS)}; expected one of {', '.join(FUSIONS)}"
        )
    return FUSIONS[arm_type](x_channels, y_channels, out_channels, resize_mode=resize_mode)
