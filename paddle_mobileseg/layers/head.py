"""The head that PP-MobileSeg and TopFormer have in common."""

from __future__ import annotations

from paddle import Tensor, nn

from paddle_mobileseg.layers.conv import ConvBNAct


class FuseHead(nn.Layer):
    """``[N, C, h, w]`` to logits ``[N, num_classes, h, w]``: depthwise or pointwise fusion, dropout, classifier.

    Args:
        num_classes: classes of the logits.
        in_channels: channels of the input.
        use_dw: fuse depthwise instead of pointwise.
    """

    def __init__(self, num_classes: int, in_channels: int, use_dw: bool) -> None:
        super().__init__()
        self.linear_fuse = ConvBNAct(in_channels, in_channels, groups=in_channels if use_dw else 1, act="relu")
        self.dropout = nn.Dropout2D(0.1)
        self.conv_seg = nn.Conv2D(in_channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_seg(self.dropout(self.linear_fuse(x)))
