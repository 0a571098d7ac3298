"""STDC networks (arXiv 2104.13188): short-term dense concatenation, the backbones of PP-LiteSeg.

The shortcut of a block with stride 2 is a 3x3 average pool. In the authors' ImageNet code it counts the padding; in
PaddleSeg, and so in all PP-LiteSeg weights, it does not. ``pool_counts_padding`` chooses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.nn.initializer import Normal

from paddle_mobileseg import registry
from paddle_mobileseg.layers import ConvBNAct
from paddle_mobileseg.weights import load_weights

# What the ImageNet files have behind the backbone.
_CLASSIFIER = ("fc.", "bn.", "linear.")


class DenseConcat(nn.Layer):
    """STDC module (section 3.1): convolutions in a row, the results of all of them concatenated.

    Args:
        in_channels: of the input ``[N, in_channels, H, W]``.
        out_channels: of the result; the convolutions give a half, a quarter, ... of it.
        block_num: convolutions, at least 2; the last gives as many channels as the one before.
        stride: 1 or 2; with 2 a depthwise convolution behind the first halves the size.
        pool_counts_padding: at stride 2, whether the average pool of the first result counts the padding.
        lr_mult: factor on the learning rate.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        block_num: int,
        stride: int,
        pool_counts_padding: bool,
        lr_mult: float,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.pool_counts_padding = pool_counts_padding
        widths = [out_channels >> (i + 1) for i in range(block_num - 1)]
        widths.append(widths[-1])
        self.conv_list = nn.LayerList(
            [
                _conv(previous, width, 3 if i else 1, lr_mult=lr_mult)
                for i, (previous, width) in enumerate(zip([in_channels, *widths], widths, strict=False))
            ]
        )
        if stride == 2:
            half = widths[0]
            self.avd_layer = _conv(half, half, 3, 2, groups=half, act=None, lr_mult=lr_mult, names=("0", "1"))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_list[0](x)
        results = [x]
        if self.stride == 2:
            results = [F.avg_pool2d(x, 3, stride=2, padding=1, exclusive=not self.pool_counts_padding)]
            x = self.avd_layer(x)
        for conv in self.conv_list[1:]:
            x = conv(x)
            results.append(x)
        return paddle.concat(results, axis=1)


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    act: str | None = "relu",
    lr_mult: float,
    names: tuple[str, str] = ("conv", "bn"),
) -> ConvBNAct:
    init = Normal(0.0, 0.001)
    return ConvBNAct(
        in_channels, out_channels, kernel_size, stride, groups, act, conv_init=init, lr_mult=lr_mult, names=names
    )


class STDCNet(nn.Layer):
    """Image ``[N, in_channels, H, W]`` to a list of five maps, each of half the size of the one before.

    Args:
        base: channels of the second map; the others have 1/2, 4, 8 and 16 times as many.
        layers: STDC modules of the last three stages.
        block_num: convolutions of each module.
        type: ``"cat"``. PaddleSeg's other modules, ``"add"``, cannot be built there with more than two convolutions,
            and no weights of them are published.
        relative_lr: factor on the learning rate of the backbone.
        in_channels: of the image.
        pool_counts_padding: whether the average pools count the padding: ``True`` for the authors' own ImageNet
            weights (``.pth``), ``False`` for PaddleSeg's ImageNet weights and for every PP-LiteSeg.
        pretrained: weights for this backbone: a path or URL (see :func:`paddle_mobileseg.weights.load_weights`). The
            file may have a classifier and the authors' duplicate names; each tensor that is not loaded is logged.

    Attributes:
        feat_channels: of the five maps.
        feat_strides: of the five maps.

    Raises:
        ValueError: ``type`` is not ``"cat"``, or fewer than two convolutions.
    """

    def __init__(
        self,
        base: int = 64,
        layers: Sequence[int] = (4, 5, 3),
        block_num: int = 4,
        type: str = "cat",
        relative_lr: float = 1.0,
        in_channels: int = 3,
        pool_counts_padding: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if type != "cat":
            raise ValueError(f"type is {type!r}; the only modules are those of type 'cat'")
        if block_num < 2:
            raise ValueError(f"block_num is {block_num}; expected at least 2")
        self.feat_channels = [base // 2, base, base * 4, base * 8, base * 16]
        self.feat_strides = [2, 4, 8, 16, 32]
        blocks: list[nn.Layer] = [
            _conv(in_channels, base // 2, 3, 2, lr_mult=relative_lr),
            _conv(base // 2, base, 3, 2, lr_mult=relative_lr),
        ]
        channels = base
        for width, depth in zip(self.feat_channels[2:], layers, strict=True):
            for i in range(depth):
                stride = 1 if i else 2
                blocks.append(DenseConcat(channels, width, block_num, stride, pool_counts_padding, relative_lr))
                channels = width
        self.features = nn.Sequential(*blocks)
        self._last_of_stage = [end - 1 for end in accumulate([1, 1, *layers])]
        if pretrained is not None:
            load_weights(self, pretrained, part="backbone", may_exceed=_CLASSIFIER)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in self._last_of_stage:
                maps.append(x)
        return maps

    def translate_weights(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """From the layout of the authors' ImageNet files and of early PP-LiteSeg files.

        They name the tensors of ``features`` a second time by stage (``x2.0.``, ``x4.0.``, ... ``x32.0.``), and have
        ``conv_last``, a layer for classification only. Both are left out.

        Raises:
            ValueError: a second name does not hold the tensor of the first.
        """
        translated = {name: each for name, each in weights.items() if not name.startswith("conv_last.")}
        begin = 0
        for stage in ("x2", "x4", "x8", "x16", "x32"):
            matches = [match for name in weights if (match := re.fullmatch(rf"{stage}\.0\.(\d+)\.(.+)", name))]
            # The authors' files count on from the stage before, the early PP-LiteSeg files from 0.
            numbers = sorted({int(match[1]) for match in matches})
            for match in matches:
                name, first_name = match[0], f"features.{begin + numbers.index(int(match[1]))}.{match[2]}"
                if first_name not in weights or not np.array_equal(weights[name], weights[first_name]):
                    raise ValueError(
                        f"{name} should be {first_name} under another name, but differs from it or stands alone: the "
                        "file is damaged, or not of an STDC network"
                    )
                del translated[name]
            begin += len(numbers)
        return translated


@registry.register("backbones", "STDC1")
def stdc1(**kwargs: Any) -> STDCNet:
    """STDC1 with 2, 2 and 2 modules, called STDCNet813 in the paper."""
    return STDCNet(layers=(2, 2, 2), **kwargs)


@registry.register("backbones", "STDC2")
def stdc2(**kwargs: Any) -> STDCNet:
    """STDC2 with 4, 5 and 3 modules, called STDCNet1446 in the paper."""
    return STDCNet(layers=(4, 5, 3), **kwargs)


for _factory in (stdc1, stdc2):
    _factory.accepts = (  # type: ignore[attr-defined]
        "block_num",
        "type",
        "relative_lr",
        "in_channels",
        "pool_counts_padding",
        "pretrained",
    )
