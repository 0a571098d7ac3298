"""Convolution blocks of the mobile backbones."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Constant
from paddle.regularizer import L2Decay

from paddle_mobileseg.layers.activation import activation


class ConvBNAct(nn.Layer):
    """Convolution without bias, batch norm, activation. ``[N, C_in, H, W] -> [N, C_out, H', W']``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the padding keeps the size at stride 1.
        stride: of the convolution.
        groups: of the convolution.
        act: name of the activation, ``None`` for none (see :func:`paddle_mobileseg.layers.activation`).
        bn_weight_init: start value of the batch norm's scale; 0 makes a residual branch start as nothing.
        bn_decay: whether an optimiser's weight decay reaches the batch norm's parameters.
        conv_name: attribute name of the convolution. Published checkpoints fix it: ``"conv"`` or ``"c"``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: str | None = None,
        bn_weight_init: float = 1.0,
        bn_decay: bool = True,
        conv_name: str = "conv",
    ) -> None:
        super().__init__()
        conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias_attr=False,
        )
        self.add_sublayer(conv_name, conv)
        regularizer = None if bn_decay else L2Decay(0.0)
        self.bn = nn.BatchNorm2D(
            out_channels,
            weight_attr=ParamAttr(initializer=Constant(bn_weight_init), regularizer=regularizer),
            bias_attr=ParamAttr(initializer=Constant(0.0), regularizer=regularizer),
        )
        self.act = activation(act)
        self._conv_name = conv_name

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(getattr(self, self._conv_name)(x)))


class SqueezeExcite(nn.Layer):
    """Channel attention of MobileNetV3 (arXiv 1905.02244, section 5.3). ``[N, C, H, W] -> [N, C, H, W]``.

    Args:
        channels: of input and output.
        reduction: the bottleneck has ``channels // reduction`` channels.
        slope: of the hard sigmoid ``clip(slope * x + 0.5, 0, 1)``; 0.2 in Paddle's networks, 1/6 in torch's.
    """

    def __init__(self, channels: int, reduction: int = 4, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope
        self.conv1 = nn.Conv2D(channels, channels // reduction, 1)
        self.conv2 = nn.Conv2D(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # One axis at a time: on CPU the mean over both, or an adaptive pool, loses about 20 times more accuracy.
        pooled = x.mean(axis=3, keepdim=True).mean(axis=2, keepdim=True)
        weight = self.conv2(F.relu(self.conv1(pooled)))
        return x * F.hardsigmoid(weight, slope=self.slope, offset=0.5)
