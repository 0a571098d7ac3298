"""TopTransformer, the backbone of TopFormer (arXiv 2204.05525, section 3).

A token pyramid of MobileNetV2 blocks at strides 4, 8, 16 and 32 (section 3.1); all its maps pooled to stride 64 and
joined for a small transformer (section 3.2); its result, cut into the maps' channels again, injected into the maps at
strides 8, 16 and 32 (section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.layers import ConvBNAct, adaptive_avg_pool
from paddle_mobileseg.layers.transformer import AttentionBlock, AttentionStage, ConvMLP
from paddle_mobileseg.suggestion import did_you_mean
from paddle_mobileseg.weights import CLASSIFIERS, load_weights

# One MobileNetV2 block: kernel, expansion factor, output channels, stride.
BlockSpec = tuple[int, int, int, int]

_STEM_CHANNELS = 16


class InvertedResidual(nn.Layer):
    """MobileNetV2's block (arXiv 1801.04381, table 1) with ReLU: expand, depthwise, project, shortcut."""

    def __init__(self, in_channels: int, spec: BlockSpec, lr_mult: float) -> None:
        super().__init__()
        kernel, expansion, out_channels, stride = spec
        hidden = in_channels * expansion
        layers: list[nn.Layer] = []
        if expansion != 1:
            layers += [ConvBNAct(in_channels, hidden, lr_mult=lr_mult, names=("c", "bn")), nn.ReLU()]
        layers += [
            ConvBNAct(hidden, hidden, kernel, stride, groups=hidden, lr_mult=lr_mult, names=("c", "bn")),
            nn.ReLU(),
            ConvBNAct(hidden, out_channels, lr_mult=lr_mult, names=("c", "bn")),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + y if self.shortcut else y


class TokenPyramid(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to the maps behind the blocks ``out_indices``, counted from 0."""

    def __init__(
        self, specs: Sequence[BlockSpec], out_indices: Sequence[int], in_channels: int, lr_mult: float
    ) -> None:
        super().__init__()
        self.num_layers = len(specs)
        self.out_indices = tuple(out_indices)
        stem = ConvBNAct(in_channels, _STEM_CHANNELS, 3, 2, lr_mult=lr_mult, names=("c", "bn"))
        self.stem = nn.Sequential(stem, nn.ReLU())
        channels = _STEM_CHANNELS
        for i, spec in enumerate(specs):
            self.add_sublayer(f"layer{i + 1}", InvertedResidual(channels, spec, lr_mult))
            channels = spec[2]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        x = self.stem(x)
        for i in range(self.num_layers):
            x = getattr(self, f"layer{i + 1}")(x)
            if i in self.out_indices:
                maps.append(x)
        return maps


class Attention(nn.Layer):
    """Multi-head attention over all pixels. ``[N, C, H, W] -> [N, C, H, W]``.

    As in the authors' code, the products of query and key are not divided by ``sqrt(key_dim)``.

    Args:
        channels: of input and output.
        key_dim: channels of query and key for each head.
        num_heads: attention heads.
        attn_ratio: channels of the value over those of the key.
        lr_mult: factor on the learning rate.
    """

    def __init__(self, channels: int, key_dim: int, num_heads: int, attn_ratio: int, lr_mult: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = attn_ratio * key_dim
        keys, values = key_dim * num_heads, self.value_dim * num_heads
        self.to_q = ConvBNAct(channels, keys, lr_mult=lr_mult, names=("c", "bn"))
        self.to_k = ConvBNAct(channels, keys, lr_mult=lr_mult, names=("c", "bn"))
        self.to_v = ConvBNAct(channels, values, lr_mult=lr_mult, names=("c", "bn"))
        out = ConvBNAct(values, channels, bn_weight_init=0.0, lr_mult=lr_mult, names=("c", "bn"))
        self.proj = nn.Sequential(nn.ReLU6(), out)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        q = self.to_q(x).reshape([0, self.num_heads, self.key_dim, -1])
        k = self.to_k(x).reshape([0, self.num_heads, self.key_dim, -1])
        v = self.to_v(x).reshape([0, self.num_heads, self.value_dim, -1])
        attention = F.softmax(paddle.matmul(q, k, transpose_x=True), axis=-1)
        mixed = paddle.matmul(v, attention, transpose_y=True)
        return self.proj(mixed.reshape([0, self.num_heads * self.value_dim, height, width]))


def pool_adaptively(maps: Sequence[Tensor]) -> Tensor:
    """The maps averaged to half the last one's size, rounded up, and joined: the authors' way."""
    size = [(side + 1) // 2 for side in maps[-1].shape[2:]]
    return paddle.concat([adaptive_avg_pool(each, size) for each in maps], axis=1)


def pool_by_fixed_windows(maps: Sequence[Tensor]) -> Tensor:
    """The maps averaged over windows of stride 64 and joined; what is left over at the right and below is not seen.

    The result has half the last map's size, rounded down but at least 1. Windows end where their map does.
    """
    # max(side // 2, 1) in arithmetic alone, which an open size of a traced graph allows: 1 // side is 1 only for 1.
    size = [(side + 1 // side) // 2 for side in maps[-1].shape[2:]]
    pooled = []
    for i, each in enumerate(maps):
        window = 2 ** (len(maps) - i)
        windows = F.avg_pool2d(each, window, window, ceil_mode=True)
        pooled.append(windows[:, :, : size[0], : size[1]])
    return paddle.concat(pooled, axis=1)


POOLINGS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "adaptive": pool_adaptively,
    "floor": pool_by_fixed_windows,
}


def _upsample_to(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear")


def _gate(x: Tensor) -> Tensor:
    return F.hardsigmoid(x, slope=1.0 / 6.0, offset=0.5)


class InjectionMultiSum(nn.Layer):
    """SIM of the paper (figure 3): ``local * gate(semantics) + semantics``, each through an embedding of its own.

    Every injection takes ``local`` ``[N, C, H, W]`` and ``semantics`` ``[N, C, h, w]`` and gives
    ``[N, out_channels, H, W]``; what comes from the semantics is upsampled.
    """

    def __init__(self, in_channels: int, out_channels: int, lr_mult: float = 1.0, act: str | None = None) -> None:
        super().__init__()
        self.local_embedding = ConvBNAct(in_channels, out_channels, act=act, lr_mult=lr_mult)
        self.global_embedding = ConvBNAct(in_channels, out_channels, act=act, lr_mult=lr_mult)
        self.global_act = ConvBNAct(in_channels, out_channels, lr_mult=lr_mult)

    def forward(self, local: Tensor, semantics: Tensor) -> Tensor:
        local = self.local_embedding(local)
        gate = _upsample_to(_gate(self.global_act(semantics)), local)
        return local * gate + _upsample_to(self.global_embedding(semantics), local)


class InjectionMultiSumCBR(InjectionMultiSum):
    """The same with ReLU on local and global embedding, and no batch norm before the gate.

    The authors' code has these ReLUs. PaddleSeg 2.8.0's lacks them, but it cannot be run.
    """

    def __init__(self, in_channels: int, out_channels: int, lr_mult: float = 1.0) -> None:
        super().__init__(in_channels, out_channels, lr_mult, act="relu")
        attr = ParamAttr(learning_rate=lr_mult)
        conv = nn.Conv2D(in_channels, out_channels, 1, weight_attr=attr, bias_attr=False)
        self.global_act = nn.Sequential(("conv", conv))


class FuseSum(nn.Layer):
    """``local + semantics``, each through an embedding."""

    def __init__(self, in_channels: int, out_channels: int, lr_mult: float = 1.0) -> None:
        super().__init__()
        self.fuse1 = ConvBNAct(in_channels, out_channels, lr_mult=lr_mult)
        self.fuse2 = ConvBNAct(in_channels, out_channels, lr_mult=lr_mult)

    def forward(self, local: Tensor, semantics: Tensor) -> Tensor:
        local = self.fuse1(local)
        return local + _upsample_to(self.fuse2(semantics), local)


class FuseMulti(FuseSum):
    """``local * gate(semantics)``, each through an embedding."""

    def forward(self, local: Tensor, semantics: Tensor) -> Tensor:
        local = self.fuse1(local)
        return local * _upsample_to(_gate(self.fuse2(semantics)), local)


INJECTIONS: dict[str, type[nn.Layer]] = {
    "multi_sum": InjectionMultiSum,
    "multi_sum_cbr": InjectionMultiSumCBR,
    "fuse_sum": FuseSum,
    "fuse_multi": FuseMulti,
}


def _choose(what: str, name: str, offered: dict[str, Any]) -> Any:
    if name not in offered:
        raise ValueError(f"unknown {what} {name!r}; expected one of {', '.join(offered)}{did_you_mean(name, offered)}")
    return offered[name]


class TopTransformer(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to three maps ``[N, C, H / s, W / s]`` of equal channels, s = 8, 16 and 32.

    Args:
        cfgs: blocks of the token pyramid.
        encoder_out_indices: blocks whose outputs are the pyramid's four maps, strides 4, 8, 16 and 32.
        out_channels: of the result.
        num_heads: attention heads.
        depths: transformer blocks.
        key_dim: channels of query and key for each head.
        attn_ratios: channels of the value over those of the key.
        mlp_ratios: hidden channels of the feed-forward part over the transformer's channels.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0. The authors train with 0.1,
            PaddleSeg with 0.
        injection_type: how semantics reach the pyramid, a key of ``INJECTIONS``; the published networks have
            ``"multi_sum"``.
        injection: without it the result is the pyramid's four maps and the transformer's.
        pooling: how the pyramid is pooled to stride 64. ``"adaptive"`` rounds the size up, as the authors do: right for
            their ``.pth`` files. ``"floor"`` rounds down, as PaddleSeg does: right for its re-trained ``.pdparams``.
            The two are equal at multiples of 64.
        lr_mult: factor on the learning rate of the whole backbone.
        in_channels: of the image.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may lack the injection modules and may have a classifier, as one from a training on ImageNet; each
            tensor that is not loaded is logged.

    Attributes:
        feat_channels: of the maps of the result.
        feat_strides: of the maps of the result.

    Raises:
        ValueError: unknown ``injection_type`` or ``pooling``; the message names the nearest.
    """

    def __init__(
        self,
        cfgs: Sequence[BlockSpec],
        encoder_out_indices: Sequence[int],
        out_channels: int,
        num_heads: int,
        depths: int = 4,
        key_dim: int = 16,
        attn_ratios: int = 2,
        mlp_ratios: int = 2,
        drop_path_rate: float = 0.0,
        injection_type: str = "multi_sum",
        injection: bool = True,
        pooling: str = "adaptive",
        lr_mult: float = 1.0,
        in_channels: int = 3,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        injection_class = _choose("injection_type", injection_type, INJECTIONS)
        self.pool = _choose("pooling", pooling, POOLINGS)
        self.injection = injection
        self.token_channels = [cfgs[i][2] for i in encoder_out_indices]
        channels = sum(self.token_channels)
        self.tpm = TokenPyramid(cfgs, encoder_out_indices, in_channels, lr_mult)
        blocks = [
            AttentionBlock(
                Attention(channels, key_dim, num_heads, attn_ratios, lr_mult),
                ConvMLP(channels, channels * mlp_ratios, "relu6", lr_mult),
                drop_path_rate * i / max(depths - 1, 1),
            )
            for i in range(depths)
        ]
        self.trans = AttentionStage(blocks)
        sims: list[nn.Layer] = []
        if injection:  # none at stride 4
            sims = [nn.Identity(), *(injection_class(each, out_channels, lr_mult) for each in self.token_channels[1:])]
        self.SIM = nn.LayerList(sims)
        self.feat_channels = [out_channels] * 3 if injection else [*self.token_channels, channels]
        self.feat_strides = [8, 16, 32] if injection else [4, 8, 16, 32, 64]
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_lack=("SIM.",), may_exceed=CLASSIFIERS)

    def forward(self, x: Tensor) -> list[Tensor]:
        tokens = self.tpm(x)
        semantics = self.trans(self.pool(tokens))
        if not self.injection:
            return [*tokens, semantics]
        parts = paddle.split(semantics, self.token_channels, axis=1)
        return [self.SIM[i](tokens[i], parts[i]) for i in range(1, len(tokens))]


_VARIANTS: dict[str, dict[str, Any]] = {
    "base": {
        "cfgs": [
            (3, 1, 16, 1),
            (3, 4, 32, 2),
            (3, 3, 32, 1),
            (5, 3, 64, 2),
            (5, 3, 64, 1),
            (3, 3, 128, 2),
            (3, 3, 128, 1),
            (5, 6, 160, 2),
            (5, 6, 160, 1),
            (3, 6, 160, 1),
        ],
        "encoder_out_indices": [2, 4, 6, 9],
        "out_channels": 256,
        "num_heads": 8,
    },
    "small": {
        "cfgs": [
            (3, 1, 16, 1),
            (3, 4, 24, 2),
            (3, 3, 24, 1),
            (5, 3, 48, 2),
            (5, 3, 48, 1),
            (3, 3, 96, 2),
            (3, 3, 96, 1),
            (5, 6, 128, 2),
            (5, 6, 128, 1),
            (3, 6, 128, 1),
        ],
        "encoder_out_indices": [2, 4, 6, 9],
        "out_channels": 192,
        "num_heads": 6,
    },
    "tiny": {
        "cfgs": [
            (3, 1, 16, 1),
            (3, 4, 16, 2),
            (3, 3, 16, 1),
            (5, 3, 32, 2),
            (5, 3, 32, 1),
            (3, 3, 64, 2),
            (3, 3, 64, 1),
            (5, 6, 96, 2),
            (5, 6, 96, 1),
        ],
        "encoder_out_indices": [2, 4, 6, 8],
        "out_channels": 128,
        "num_heads": 4,
    },
}

# What a YAML may say about these factories: TopTransformer's own arguments less those that the published networks fix.
_VARIANT_ARGUMENTS = (
    "drop_path_rate",
    "injection_type",
    "injection",
    "pooling",
    "lr_mult",
    "in_channels",
    "pretrained",
)


@registry.register("backbones", "TopTransformer_Base")
def top_transformer_base(**kwargs: Any) -> TopTransformer:
    """TopTransformer of TopFormer-Base. PaddleSeg calls it ``TopTransformer_Base``."""
    return TopTransformer(**_VARIANTS["base"], **kwargs)


@registry.register("backbones", "TopTransformer_Small")
def top_transformer_small(**kwargs: Any) -> TopTransformer:
    """TopTransformer of TopFormer-Small. PaddleSeg calls it ``TopTransformer_Small``."""
    return TopTransformer(**_VARIANTS["small"], **kwargs)


@registry.register("backbones", "TopTransformer_Tiny")
def top_transformer_tiny(**kwargs: Any) -> TopTransformer:
    """TopTransformer of TopFormer-Tiny. PaddleSeg calls it ``TopTransformer_Tiny``."""
    return TopTransformer(**_VARIANTS["tiny"], **kwargs)


for _factory in (top_transformer_base, top_transformer_small, top_transformer_tiny):
    _factory.accepts = _VARIANT_ARGUMENTS  # type: ignore[attr-defined]
