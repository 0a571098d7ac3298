"""The convolution blocks of the light decoders (PP-LiteSeg, MobileSeg), under the names that checkpoints fix."""

from __future__ import annotations

from paddle import Tensor, nn

from paddle_mobileseg.layers.conv import ConvBNAct

# Attributes of convolution and batch norm.
NAMES = ("_conv", "_batch_norm")


class SeparableConvBNReLU(nn.Layer):
    """Depthwise convolution and batch norm, then pointwise convolution, batch norm and ReLU.

    The pointwise convolution has a bias, as in the published weights, where it is called ``piontwise_conv``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.depthwise_conv = ConvBNAct(in_channels, in_channels, kernel_size, groups=in_channels, names=NAMES)
        self.piontwise_conv = ConvBNAct(in_channels, out_channels, act="relu", bias=True, names=NAMES)

    def forward(self, x: Tensor) -> Tensor:
        return self.piontwise_conv(self.depthwise_conv(x))


def decoder_conv(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, separable: bool, bias: bool = False
) -> nn.Layer:
    """Convolution, batch norm and ReLU; as a separable convolution for mobile decoders.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the size of the map does not change.
        separable: use :class:`SeparableConvBNReLU`.
        bias: whether the plain convolution has one.
    """
    if separable:
        return SeparableConvBNReLU(in_channels, out_channels, kernel_size)
    return ConvBNAct(in_channels, out_channels, kernel_size, act="relu", bias=bias, names=NAMES)
