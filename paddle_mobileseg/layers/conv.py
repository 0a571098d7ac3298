"""Convolution blocks of the mobile backbones."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Constant, Initializer
from paddle.regularizer import L2Decay

from paddle_mobileseg.layers.activation import activation
from paddle_mobileseg.layers.pooling import global_avg_pool


class ConvBNAct(nn.Layer):
    """Convolution, batch norm, activation. ``[N, C_in, H, W] -> [N, C_out, H', W']``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the padding keeps the size at stride 1.
        stride: of the convolution.
        groups: of the convolution.
        act: name of the activation, ``None`` for none (see :func:`paddle_mobileseg.layers.activation`).
        dilation: of the convolution.
        bias: whether the convolution has a bias of its own.
        conv_init: initializer of the convolution's weight; by default Paddle's.
        bn_weight_init: start value of the batch norm's scale; 0 makes a residual branch start as nothing.
        bn_decay: whether an optimiser's weight decay reaches the batch norm's parameters.
        lr_mult: factor on the learning rate of all these parameters.
        names: attribute names of convolution and batch norm, which published checkpoints fix.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: str | None = None,
        *,
        dilation: int = 1,
        bias: bool = False,
        conv_init: Initializer | None = None,
        bn_weight_init: float = 1.0,
        bn_decay: bool = True,
        lr_mult: float = 1.0,
        names: tuple[str, str] = ("conv", "bn"),
    ) -> None:
        super().__init__()
        conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=groups,
            weight_attr=ParamAttr(initializer=conv_init, learning_rate=lr_mult),
            bias_attr=ParamAttr(learning_rate=lr_mult) if bias else False,
        )
        regularizer = None if bn_decay else L2Decay(0.0)
        bn_weight, bn_bias = (
            ParamAttr(initializer=Constant(value), regularizer=regularizer, learning_rate=lr_mult)
            for value in (bn_weight_init, 0.0)
        )
        self.add_sublayer(names[0], conv)
        self.add_sublayer(names[1], nn.BatchNorm2D(out_channels, weight_attr=bn_weight, bias_attr=bn_bias))
        self.act = activation(act)
        self._names = names

    def forward(self, x: Tensor) -> Tensor:
        conv, bn = self._names
        return self.act(getattr(self, bn)(getattr(self, conv)(x)))


class SqueezeExcite(nn.Layer):
    """Channel attention of MobileNetV3 (arXiv 1905.02244, section 5.3). ``[N, channels, H, W]`` to the same.

    The gate is ``clip(0.2 * x + 0.5, 0, 1)``, as in Paddle's networks; the paper's hard sigmoid has 1/6 for 0.2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = global_avg_pool(x)
        weight = self.conv2(F.relu(self.conv1(pooled)))
        return x * F.hardsigmoid(weight, slope=0.2, offset=0.5)
