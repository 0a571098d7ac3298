"""Squeeze-enhanced axial attention (SeaFormer, arXiv 2301.13156, section 3.3), strided as in PP-MobileSeg
(arXiv 2304.05152, section 3.2)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.layers.activation import activation
from paddle_mobileseg.layers.conv import ConvBNAct


class AxialPositionEmbedding(nn.Layer):
    """A learned embedding of ``length`` positions along one axis, added after linear resizing to the input's length.

    Input and output: ``[N, C, n]``.
    """

    def __init__(self, channels: int, length: int = 16) -> None:
        super().__init__()
        self.pos_embed = self.create_parameter([1, channels, length], default_initializer=nn.initializer.Normal())

    def forward(self, x: Tensor) -> Tensor:
        # Bilinear over a height of 1: linear interpolation is missing in Paddle Lite for x86, and the result is the
        # same.
        resized = F.interpolate(self.pos_embed.unsqueeze(2), size=[1, x.shape[2]], mode="bilinear")
        return x + resized.squeeze(2)


class SeaAttention(nn.Layer):
    """Attention along rows and along columns of the averaged map, gated by a convolutional detail branch.

    Args:
        channels: of input and output ``[N, C, H, W]``.
        key_dim: channels of query and key for each head.
        num_heads: attention heads.
        attn_ratio: channels of the value over those of the key.
        act: name of the activation inside.
        stride_attention: work on a map of half the size and resize back (PP-MobileSeg).
    """

    def __init__(
        self,
        channels: int,
        key_dim: int,
        num_heads: int,
        attn_ratio: float = 2.0,
        act: str = "relu6",
        stride_attention: bool = True,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = int(attn_ratio * key_dim)
        key_channels = key_dim * num_heads
        value_channels = self.value_dim * num_heads
        self.value_channels = value_channels
        self.scale = key_dim**-0.5

        self.to_q = ConvBNAct(channels, key_channels, names=("c", "bn"))
        self.to_k = ConvBNAct(channels, key_channels, names=("c", "bn"))
        self.to_v = ConvBNAct(channels, value_channels, names=("c", "bn"))
        self.stride_attention = stride_attention
        if stride_attention:
            self.stride_conv = nn.Sequential(
                nn.Conv2D(channels, channels, 3, stride=2, padding=1, groups=channels),
                nn.BatchNorm2D(channels),
            )
        self.proj = self._projection(channels, act)
        self.proj_encode_row = self._projection(value_channels, act)
        self.pos_emb_rowq = AxialPositionEmbedding(key_channels)
        self.pos_emb_rowk = AxialPositionEmbedding(key_channels)
        self.proj_encode_column = self._projection(value_channels, act)
        self.pos_emb_columnq = AxialPositionEmbedding(key_channels)
        self.pos_emb_columnk = AxialPositionEmbedding(key_channels)
        detail = 2 * value_channels
        self.dwconv = ConvBNAct(detail, detail, 3, groups=detail, act=act, names=("c", "bn"))
        self.pwconv = ConvBNAct(detail, channels, names=("c", "bn"))

    def _projection(self, out_channels: int, act: str) -> nn.Layer:
        conv = ConvBNAct(self.value_channels, out_channels, bn_weight_init=0.0, names=("c", "bn"))
        return nn.Sequential(activation(act), conv)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        if self.stride_attention:
            x = self.stride_conv(x)
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        detail = self.pwconv(self.dwconv(paddle.concat([q, k, v], axis=1)))

        row = self._attend(self.pos_emb_rowq(q.mean(3)), self.pos_emb_rowk(k.mean(3)), v.mean(3))
        column = self._attend(self.pos_emb_columnq(q.mean(2)), self.pos_emb_columnk(k.mean(2)), v.mean(2))
        row = self.proj_encode_row(row.unsqueeze(3))
        column = self.proj_encode_column(column.unsqueeze(2))
        context = self.proj(v + (row + column))

        out = F.hardsigmoid(context, slope=1.0 / 6.0, offset=0.5) * detail
        if self.stride_attention:
            out = F.interpolate(out, size=size, mode="bilinear")
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention along one axis: q, k ``[N, heads * key_dim, n]``; v, result ``[N, heads * value_dim, n]``."""
        q = q.reshape([0, self.num_heads, self.key_dim, -1]).transpose([0, 1, 3, 2])
        k = k.reshape([0, self.num_heads, self.key_dim, -1])
        v = v.reshape([0, self.num_heads, self.value_dim, -1]).transpose([0, 1, 3, 2])
        attention = F.softmax(paddle.matmul(q, k) * self.scale, axis=-1)
        mixed = paddle.matmul(attention, v).transpose([0, 1, 3, 2])
        return mixed.reshape([0, self.value_channels, -1])
