"""What the transformer stages of the mobile backbones have in common: blocks on maps ``[N, C, H, W]``."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import ParamAttr, Tensor, nn

from paddle_mobileseg.layers.activation import activation
from paddle_mobileseg.layers.conv import ConvBNAct
from paddle_mobileseg.layers.drop_path import DropPath


class ConvMLP(nn.Layer):
    """Pointwise, depthwise 3x3, pointwise: the feed-forward part of a block.

    Args:
        channels: of input and output.
        hidden: channels between.
        act: name of the activation behind the depthwise convolution.
        lr_mult: factor on the learning rate.
    """

    def __init__(self, channels: int, hidden: int, act: str, lr_mult: float = 1.0) -> None:
        super().__init__()
        self.fc1 = ConvBNAct(channels, hidden, lr_mult=lr_mult, names=("c", "bn"))
        attr = ParamAttr(learning_rate=lr_mult)
        self.dwconv = nn.Conv2D(hidden, hidden, 3, padding=1, groups=hidden, weight_attr=attr, bias_attr=attr)
        self.act = activation(act)
        self.fc2 = ConvBNAct(hidden, channels, lr_mult=lr_mult, names=("c", "bn"))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.dwconv(self.fc1(x))))


class AttentionBlock(nn.Layer):
    """Attention and feed-forward part, each with a shortcut and stochastic depth."""

    def __init__(self, attn: nn.Layer, mlp: nn.Layer, drop_path: float) -> None:
        super().__init__()
        self.attn = attn
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.mlp(x))


class AttentionStage(nn.Layer):
    """A run of attention blocks."""

    def __init__(self, blocks: Sequence[AttentionBlock]) -> None:
        super().__init__()
        self.transformer_blocks = nn.LayerList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.transformer_blocks:
            x = block(x)
        return x
