"""Lite-HRNet (arXiv 2104.06403): two to four branches at strides 4 to 32 side by side, which exchange what they see.

The blocks are in :mod:`paddle_mobileseg.layers.conditional_channel_weighting`. Two things differ from the paper, and
the published weights were trained with both:

- the batch norms inside the modules' blocks and the head are frozen (``freeze_norm``): scale and shift are not trained,
  and mean and variance are the stored ones in training too. Those of stem, transitions and fusion are ordinary;
- the fusion counts the first branch twice and hands its sum on to the other branches (see :meth:`HRModule.fuse`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.layers.channels import shuffle_halves
from paddle_mobileseg.layers.conditional_channel_weighting import (
    ConditionalChannelWeighting,
    ShuffleUnit,
    conv,
    conv_norm,
    upsample_nearest,
)
from paddle_mobileseg.weights import CLASSIFIERS, load_weights


def _separable(in_channels: int, out_channels: int, stride: int, relu: bool = True) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution, each with an ordinary batch norm; ReLU at the end, if wanted."""
    layers = [
        conv(in_channels, in_channels, 3, stride, groups=in_channels),
        nn.BatchNorm2D(in_channels),
        conv(in_channels, out_channels),
        nn.BatchNorm2D(out_channels),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Stem(nn.Layer):
    """Image ``[N, C, H, W] -> [N, 32, H / 4, W / 4]`` (section 3.1): a convolution, and a shuffle block that halves."""

    channels = 32

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        half = self.channels // 2
        self.conv1 = conv_norm(in_channels, self.channels, 3, 2, act="relu")
        self.branch1 = nn.Sequential(
            conv_norm(half, half, 3, 2, groups=half),
            conv_norm(half, half, act="relu"),
        )
        self.expand_conv = conv_norm(half, self.channels, act="relu")
        self.depthwise_conv = conv_norm(self.channels, self.channels, 3, 2, groups=self.channels)
        self.linear_conv = conv_norm(self.channels, half, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.conv1(x).chunk(2, axis=1)
        second = self.linear_conv(self.depthwise_conv(self.expand_conv(second)))
        return shuffle_halves(self.branch1(first), second)


class Transition(nn.LayerList):
    """Entry of a stage: a branch more, made from the smallest map; other branches change channels where they must.

    Args:
        before: channels of the maps that the last stage gives.
        after: channels of the maps that the next stage takes.
    """

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        paths = []
        for i, channels in enumerate(after):
            if i >= len(before):
                paths.append(nn.Sequential(_separable(before[-1], channels, stride=2)))
            else:
                paths.append(_separable(before[i], channels, stride=1) if before[i] != channels else None)
        super().__init__(paths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        last = len(maps) - 1
        return [maps[min(i, last)] if path is None else path(maps[min(i, last)]) for i, path in enumerate(self)]


class HRModule(nn.Layer):
    """Two blocks on each branch, then a fusion of all branches. List of maps in, list of maps of the same shapes out.

    Args:
        channels: of each branch, from the largest map to the smallest, at least two.
        lite: conditional channel weighting, which runs over all branches together, instead of shuffle blocks for each.
        freeze_norm: as in :class:`LiteHRNet`.
        norm_decay: as in :class:`LiteHRNet`.
    """

    num_blocks = 2

    def __init__(self, channels: Sequence[int], lite: bool, freeze_norm: bool, norm_decay: float) -> None:
        super().__init__()
        self.lite = lite
        blocks = range(self.num_blocks)
        if lite:
            halves = [each // 2 for each in channels]
            self.layers = nn.Sequential(*(ConditionalChannelWeighting(halves, freeze_norm, norm_decay) for _ in blocks))
        else:
            self.layers = nn.LayerList(
                [nn.Sequential(*(ShuffleUnit(each, freeze_norm, norm_decay) for _ in blocks)) for each in channels]
            )
        indices = range(len(channels))
        self.fuse_layers = nn.LayerList([nn.LayerList([self._path(channels, j, i) for j in indices]) for i in indices])

    @staticmethod
    def _path(channels: Sequence[int], start: int, end: int) -> nn.Sequential | None:
        """What brings the map of branch ``start`` to the channels of branch ``end``, and down to its size."""
        if start == end:
            return None
        if start > end:
            return nn.Sequential(conv(channels[start], channels[end]), nn.BatchNorm2D(channels[end]))
        same = channels[start]
        steps = [_separable(same, same, stride=2) for _ in range(end - start - 1)]
        return nn.Sequential(*steps, _separable(same, channels[end], stride=2, relu=False))

    def fuse(self, maps: list[Tensor]) -> list[Tensor]:
        """Each branch plus all others, resized, as the published weights know it.

        The published code sums in place, with two effects beyond the paper's sum. Whatever comes from branch 0 counts
        twice, because each sum begins with it and then adds it again. And the sum of branch 0, before its ReLU, takes
        the place of branch 0 itself, so that the other branches read the fused map.
        """
        fused = []
        first = maps[0]
        for i, paths in enumerate(self.fuse_layers):
            y = first if i == 0 else paths[0](first)
            y = y + y
            for j in range(1, len(maps)):
                if j < i:
                    y = y + paths[j](maps[j])
                elif j == i:
                    y = y + maps[j]
                else:
                    y = y + upsample_nearest(paths[j](maps[j]), maps[i].shape[2:])
            if i == 0:
                first = y
            fused.append(F.relu(y))
        return fused

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        if self.lite:
            return self.fuse(self.layers(maps))
        return self.fuse([branch(maps[i]) for i, branch in enumerate(self.layers)])


class IterativeHead(nn.Layer):
    """From the smallest map to the largest: add what came from the smaller one, resized; separable convolution.

    Map i has the channels of branch i - 1 afterwards, the largest keeps its own.
    """

    def __init__(self, channels: Sequence[int], freeze_norm: bool, norm_decay: float) -> None:
        super().__init__()
        self.projects = nn.LayerList()
        for i in reversed(range(len(channels))):
            before, after = channels[i], channels[max(i - 1, 0)]
            depthwise = conv_norm(before, before, 3, groups=before, freeze_norm=freeze_norm, norm_decay=norm_decay)
            pointwise = conv_norm(before, after, act="relu", freeze_norm=freeze_norm, norm_decay=norm_decay)
            self.projects.append(nn.Sequential(("depthwise_conv", depthwise), ("pointwise_conv", pointwise)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        projected: list[Tensor] = []
        for i, project in enumerate(self.projects):
            x = maps[-1 - i]
            if i > 0:
                x = x + F.interpolate(projected[-1], size=x.shape[2:], mode="bilinear", align_corners=True)
            projected.append(project(x))
        return projected[::-1]


@dataclass(frozen=True)
class Variant:
    """Channels of the four branches, modules of the three stages, and the kind of their blocks."""

    channels: tuple[int, int, int, int]
    num_modules: tuple[int, int, int]
    lite: bool


VARIANTS = {
    "lite_18": Variant((40, 80, 160, 320), (2, 4, 2), lite=True),
    "lite_30": Variant((40, 80, 160, 320), (3, 8, 3), lite=True),
    "naive": Variant((30, 60, 120, 240), (2, 4, 2), lite=False),
    "wider_naive": Variant((40, 80, 160, 320), (2, 4, 2), lite=False),
}


class LiteHRNet(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to a list of maps at strides 4, 8, 16 and 32; any H and W of at least 32.

    Args:
        network_type: a key of ``VARIANTS``.
        in_channels: of the image.
        freeze_at: index of the one map that gradients do not pass, among the four that the stages or the head give;
            ``None`` for no such map. The published trainings left it at 0.
        freeze_norm: freeze the batch norms of modules and head.
        norm_decay: weight decay of those batch norms' scale and shift, in place of the optimiser's.
        return_idx: indices of the maps to return, or a single one; they come in the order of strides.
        use_head: an :class:`IterativeHead` after the last stage.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may have a classifier, and may have or lack the head; each tensor that is not loaded is logged.

    Attributes:
        feat_channels: of the returned maps.
        feat_strides: of the returned maps.
        never_trained: names of the trainable parameters that no gradient reaches, because they serve only maps that are
            not returned or that ``freeze_at`` cuts off.

    Raises:
        ValueError: unknown ``network_type``, or no or unknown indices of maps.
    """

    def __init__(
        self,
        network_type: str,
        in_channels: int = 3,
        freeze_at: int | None = 0,
        freeze_norm: bool = True,
        norm_decay: float = 0.0,
        return_idx: int | Sequence[int] = (0, 1, 2, 3),
        use_head: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if network_type not in VARIANTS:
            raise ValueError(f"unknown network_type {network_type!r}; expected one of {', '.join(VARIANTS)}")
        self.return_idx = sorted({return_idx} if isinstance(return_idx, int) else set(return_idx))
        if not self.return_idx or not set(self.return_idx) <= {0, 1, 2, 3}:
            raise ValueError(f"return_idx is {return_idx}; expected one or more of 0, 1, 2, 3")
        self.freeze_at = freeze_at
        self.use_head = use_head
        variant = VARIANTS[network_type]
        channels = variant.channels

        self.stem = Stem(in_channels)
        before: Sequence[int] = (Stem.channels,)
        for i, num_modules in enumerate(variant.num_modules):
            after = channels[: i + 2]
            modules = [HRModule(after, variant.lite, freeze_norm, norm_decay) for _ in range(num_modules)]
            self.add_sublayer(f"transition{i}", Transition(before, after))
            self.add_sublayer(f"stage{i}", nn.Sequential(*modules))
            before = after
        if use_head:
            self.head_layer = IterativeHead(channels, freeze_norm, norm_decay)
            channels = (channels[0], *channels[:-1])
        self.feat_channels = [channels[i] for i in self.return_idx]
        self.feat_strides = [4 * 2**i for i in self.return_idx]
        self.never_trained = self._unreached()
        if pretrained is not None:
            load_weights(
                self,
                pretrained,
                part="backbone",
                may_lack=("head_layer.",),
                may_exceed=(*CLASSIFIERS, "head_layer."),
            )

    def _unreached(self) -> tuple[str, ...]:
        """Names of the trainable parameters that no returned map passes a gradient to."""
        reached = [i for i in self.return_idx if i != self.freeze_at]
        if self.use_head and reached:  # the head adds each map to all larger ones
            reached = list(range(min(reached), 4))
        unreached = [i for i in range(4) if i not in reached]
        fusion = f"stage2.{len(self.stage2) - 1}.fuse_layers"
        prefixes = [f"{fusion}.{i}." for i in unreached if i > 0]  # what goes to branch 0 goes on to all others
        if self.use_head:
            prefixes += [f"head_layer.projects.{3 - i}." for i in unreached]
        if not reached:
            prefixes = [""]
        trainable = [name for name, parameter in self.named_parameters() if not parameter.stop_gradient]
        return tuple(name for name in trainable if name.startswith(tuple(prefixes)))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        maps = self.stage0(self.transition0(maps))
        maps = self.stage1(self.transition1(maps))
        maps = self.stage2(self.transition2(maps))
        if self.use_head:
            maps = self.head_layer(maps)
        for i, y in enumerate(maps):
            if i == self.freeze_at:
                y.stop_gradient = True
        return [maps[i] for i in self.return_idx]


_VARIANT_ARGUMENTS = ("in_channels", "freeze_at", "freeze_norm", "norm_decay", "return_idx", "use_head", "pretrained")


@registry.register("backbones")
def Lite_HRNet_18(**kwargs: Any) -> LiteHRNet:  # noqa: N802
    """Lite-HRNet-18 (section 3.3)."""
    return LiteHRNet("lite_18", **kwargs)


@registry.register("backbones")
def Lite_HRNet_30(**kwargs: Any) -> LiteHRNet:  # noqa: N802
    """Lite-HRNet-30 (section 3.3): Lite-HRNet-18 with more modules."""
    return LiteHRNet("lite_30", **kwargs)


@registry.register("backbones")
def Lite_HRNet_naive(**kwargs: Any) -> LiteHRNet:  # noqa: N802
    """The naive Lite-HRNet (section 3.1): shuffle blocks in place of conditional channel weighting."""
    return LiteHRNet("naive", **kwargs)


@registry.register("backbones")
def Lite_HRNet_wider_naive(**kwargs: Any) -> LiteHRNet:  # noqa: N802
    """The naive Lite-HRNet with the channels of Lite-HRNet-18."""
    return LiteHRNet("wider_naive", **kwargs)


for _factory in (Lite_HRNet_18, Lite_HRNet_30, Lite_HRNet_naive, Lite_HRNet_wider_naive):
    _factory.accepts = _VARIANT_ARGUMENTS  # type: ignore[attr-defined]
