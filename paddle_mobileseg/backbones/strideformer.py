"""StrideFormer, the backbone of PP-MobileSeg (arXiv 2304.05152, sections 3.1 to 3.3).

Four stages of MobileNetV3 blocks, strides 4, 8, 16 and 32; strided SEA attention after the last two; the maps at
strides 8, 16 and 32 are joined by the aggregated attention module (AAM).

The AAM's gate is a sigmoid, as in the published weights and in mmsegmentation. PaddleSeg 2.8.0 has ReLU6 there, with
which its own published Base weights lose 5 points of mIoU (PaddleSeg issue 3441).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.backbones.mobilenet_v3 import BlockSpec, InvertedResidual
from paddle_mobileseg.layers import ConvBNAct, SeaAttention
from paddle_mobileseg.layers.transformer import AttentionBlock, AttentionStage, ConvMLP
from paddle_mobileseg.weights import CLASSIFIERS, load_weights


class ConvStage(nn.Layer):
    """A stage of inverted residual blocks; the first stage begins with a stride-2 convolution on the image."""

    def __init__(self, in_channels: int, specs: Sequence[BlockSpec], image_channels: int | None = None) -> None:
        super().__init__()
        self.has_stem = image_channels is not None
        if image_channels is not None:
            self.conv = ConvBNAct(image_channels, in_channels, 3, 2, act="hardswish", bn_decay=False, names=("c", "bn"))
        self.blocks = nn.LayerList()
        for spec in specs:
            self.blocks.append(InvertedResidual(in_channels, spec, names=("c", "bn")))
            in_channels = spec[2]

    def forward(self, x: Tensor) -> Tensor:
        if self.has_stem:
            x = self.conv(x)
        for block in self.blocks:
            x = block(x)
        return x


class AggregatedAttention(nn.Layer):
    """AAM: details of stride 8 and 16 gated by what all three maps see, plus the deepest map. Result at stride 16.

    Args:
        in_channels: of the maps at strides 8, 16 and 32.
        out_channels: of the result.
    """

    stride = 16

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.embedding_list = nn.LayerList([ConvBNAct(c, out_channels) for c in in_channels])
        self.act_embedding_list = nn.LayerList([ConvBNAct(c, out_channels, act="sigmoid") for c in in_channels])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        # Bilinear resizing by exactly one half is the mean over 2 x 2 pixels.
        detail = F.avg_pool2d(maps[0], 2)
        size = detail.shape[2:]
        middle = F.interpolate(maps[1], size=size, mode="bilinear")
        gate = self.act_embedding_list[0](detail) * self.act_embedding_list[1](middle)
        gate = gate * F.interpolate(self.act_embedding_list[2](maps[2]), size=size, mode="bilinear")
        deep = F.interpolate(self.embedding_list[2](maps[2]), size=size, mode="bilinear")
        return gate * (self.embedding_list[0](detail) + self.embedding_list[1](middle)) + deep


class AggregatedAttentionX8(nn.Layer):
    """The variant of Base, result at stride 8: the gate comes from strides 16 and 32, the details from stride 8."""

    stride = 8

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        shallow, middle, deep = in_channels
        self.embedding_list = nn.LayerList([ConvBNAct(shallow, out_channels), ConvBNAct(deep, out_channels)])
        self.act_embedding_list = nn.LayerList(
            [ConvBNAct(middle, out_channels, act="sigmoid"), ConvBNAct(deep, out_channels, act="sigmoid")]
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        detail = self.embedding_list[0](maps[0])
        size = detail.shape[2:]
        gate = self.act_embedding_list[0](F.interpolate(maps[1], size=size, mode="bilinear"))
        gate = gate * F.interpolate(self.act_embedding_list[1](maps[2]), size=size, mode="bilinear")
        return gate * detail + F.interpolate(self.embedding_list[1](maps[2]), size=size, mode="bilinear")


AGGREGATIONS: dict[str, type[AggregatedAttention] | type[AggregatedAttentionX8]] = {
    "AAM": AggregatedAttention,
    "AAMSx8": AggregatedAttentionX8,
}


class StrideFormer(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to one map ``[N, out_channels, H / s, W / s]``, s = 16 (AAM) or 8 (AAMSx8).

    Args:
        cfgs: blocks of the four convolution stages.
        channels: input channels of the four stages (the first is the stem's output).
        embed_dims: channels of the attention stages.
        key_dims: channels of query and key per head, for each attention stage.
        depths: attention blocks of each attention stage; the stages stand behind the last convolution stages.
        num_heads: attention heads.
        attn_ratios: channels of the value over those of the key.
        mlp_ratios: hidden channels of the feed-forward part, for each attention stage.
        drop_path_rate: stochastic depth of the last block of a stage; it grows linearly from 0.
        act: activation inside the attention stages.
        inj_type: ``"AAM"`` or ``"AAMSx8"``.
        out_channels: of the result.
        out_feat_chs: channels of the maps at strides 8, 16, 32; by default what the stages give.
        stride_attention: run attention at half the size.
        in_channels: of the image.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may lack the aggregation module and may have a classifier, as one from a training on ImageNet; each
            tensor that is not loaded is logged.

    Attributes:
        feat_channels: ``[out_channels]``.
        feat_strides: ``[16]`` or ``[8]``.

    Raises:
        ValueError: unknown ``inj_type``, or ``out_feat_chs`` that do not fit the stages.
    """

    def __init__(
        self,
        cfgs: Sequence[Sequence[BlockSpec]],
        channels: Sequence[int],
        embed_dims: Sequence[int],
        key_dims: Sequence[int] = (16, 24),
        depths: Sequence[int] = (2, 2),
        num_heads: int = 8,
        attn_ratios: float = 2.0,
        mlp_ratios: Sequence[float] = (2, 4),
        drop_path_rate: float = 0.1,
        act: str = "relu6",
        inj_type: str = "AAM",
        out_channels: int = 256,
        out_feat_chs: Sequence[int] | None = None,
        stride_attention: bool = True,
        in_channels: int = 3,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if inj_type not in AGGREGATIONS:
            raise ValueError(f"unknown inj_type {inj_type!r}; expected one of {', '.join(AGGREGATIONS)}")
        feature_channels = [specs[-1][2] for specs in cfgs[1:]]
        if out_feat_chs is not None and list(out_feat_chs) != feature_channels:
            raise ValueError(f"out_feat_chs is {list(out_feat_chs)}, but the stages give {feature_channels} channels")
        self.num_stages = len(cfgs)
        self.first_attention = len(cfgs) - len(depths)
        for i, specs in enumerate(cfgs):
            stage = ConvStage(channels[i], specs, image_channels=in_channels if i == 0 else None)
            self.add_sublayer(f"smb{i + 1}", stage)
        for i, depth in enumerate(depths):
            blocks = [
                AttentionBlock(
                    SeaAttention(embed_dims[i], key_dims[i], num_heads, attn_ratios, act, stride_attention),
                    ConvMLP(embed_dims[i], int(embed_dims[i] * mlp_ratios[i]), act),
                    drop_path_rate * b / max(depth - 1, 1),
                )
                for b in range(depth)
            ]
            self.add_sublayer(f"trans{i + 1}", AttentionStage(blocks))
        self.inj_module = AGGREGATIONS[inj_type](feature_channels, out_channels)
        self.feat_channels = [out_channels]
        self.feat_strides = [self.inj_module.stride]
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_lack=("inj_module.",), may_exceed=CLASSIFIERS)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for i in range(self.num_stages):
            x = getattr(self, f"smb{i + 1}")(x)
            if i >= self.first_attention:
                x = getattr(self, f"trans{i - self.first_attention + 1}")(x)
            if i > 0:
                maps.append(x)
        return self.inj_module(maps)


_VARIANTS: dict[str, dict[str, Any]] = {
    "base": {
        "cfgs": [
            [(3, 16, 16, True, "relu", 1), (3, 64, 32, False, "relu", 2), (3, 96, 32, False, "relu", 1)],
            [(5, 128, 64, True, "hardswish", 2), (5, 240, 64, True, "hardswish", 1)],
            [(5, 384, 128, True, "hardswish", 2), (5, 384, 128, True, "hardswish", 1)],
            [(5, 768, 192, True, "hardswish", 2), (5, 768, 192, True, "hardswish", 1)],
        ],
        "channels": [16, 32, 64, 128],
        "embed_dims": [128, 192],
        "depths": [3, 3],
        "num_heads": 8,
    },
    "tiny": {
        "cfgs": [
            [(3, 16, 16, True, "relu", 1), (3, 64, 32, False, "relu", 2), (3, 48, 24, False, "relu", 1)],
            [(5, 96, 32, True, "hardswish", 2), (5, 96, 32, True, "hardswish", 1)],
            [(5, 160, 64, True, "hardswish", 2), (5, 160, 64, True, "hardswish", 1)],
            [(3, 384, 128, True, "hardswish", 2), (3, 384, 128, True, "hardswish", 1)],
        ],
        "channels": [16, 24, 32, 64],
        "embed_dims": [64, 128],
        "depths": [2, 2],
        "num_heads": 4,
    },
}

# What a YAML may say about these factories: StrideFormer's own arguments less those that make the variant.
_VARIANT_ARGUMENTS = (
    "key_dims",
    "attn_ratios",
    "mlp_ratios",
    "drop_path_rate",
    "act",
    "inj_type",
    "out_channels",
    "out_feat_chs",
    "stride_attention",
    "in_channels",
    "pretrained",
)


@registry.register("backbones", "MobileSeg_Base")
def strideformer_base(**kwargs: Any) -> StrideFormer:
    """StrideFormer of PP-MobileSeg-Base. PaddleSeg calls it ``MobileSeg_Base``."""
    return StrideFormer(**_VARIANTS["base"], **kwargs)


@registry.register("backbones", "MobileSeg_Tiny")
def strideformer_tiny(**kwargs: Any) -> StrideFormer:
    """StrideFormer of PP-MobileSeg-Tiny. PaddleSeg calls it ``MobileSeg_Tiny``."""
    return StrideFormer(**_VARIANTS["tiny"], **kwargs)


for _factory in (strideformer_base, strideformer_tiny):
    _factory.accepts = _VARIANT_ARGUMENTS  # type: ignore[attr-defined]
