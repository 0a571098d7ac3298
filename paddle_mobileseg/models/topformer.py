"""TopFormer (arXiv 2204.05525): TopTransformer and a light head on the sum of its maps."""

from __future__ import annotations

from typing import Any

import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg import networks, registry
from paddle_mobileseg.layers import FuseHead
from paddle_mobileseg.weights import load_weights


@registry.register("models")
class TopFormer(nn.Layer):
    """TopFormer.

    Args:
        num_classes: classes of the logits.
        backbone: a layer that gives maps of equal channels, the largest first, such as ``TopTransformer_Base``.
        head_use_dw: depthwise fusion in the head (Tiny, as published) instead of pointwise (Small and Base).
        align_corners: of all upsampling outside the backbone.
        pretrained: weights of the whole network: a path or URL.

    Attributes:
        num_train_logits: logits that ``forward`` gives in training mode (1).
        head_prefixes: what the names of the head's tensors begin with.

    Raises:
        ValueError: the backbone's maps differ in their channels.
    """

    num_train_logits = 1
    head_prefixes = ("decode_head.",)

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        head_use_dw: bool = False,
        align_corners: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        channels = backbone.feat_channels
        if len(set(channels)) != 1:
            raise ValueError(
                f"TopFormer adds up the maps of its backbone, so their channels must be equal; got {channels}"
            )
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.backbone = backbone
        self.decode_head = FuseHead(num_classes, channels[0], head_use_dw)
        if pretrained is not None:
            load_weights(self, pretrained)

    def low_logits(self, x: Tensor) -> Tensor:
        """Logits before the last upsampling, ``[N, num_classes, H / 8, W / 8]``."""
        total, *smaller = self.backbone(x)
        for each in smaller:
            total = total + F.interpolate(each, size=total.shape[2:], mode="bilinear", align_corners=self.align_corners)
        return self.decode_head(total)

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[N, 3, H, W]`` float, normalised RGB, to a list of one tensor of logits ``[N, num_classes, H, W]``."""
        logits = self.low_logits(x)
        return [F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=self.align_corners)]


def _network(variant: str, parameters: int, macs: int, **arguments: Any) -> networks.Network:
    return networks.Network(
        name=f"topformer_{variant}",
        title=f"TopFormer {variant.title()}",
        family="TopFormer",
        source="arXiv 2204.05525",
        model={
            "type": "TopFormer",
            "backbone": {"type": f"TopTransformer_{variant.title()}", "lr_mult": 0.1},
            **arguments,
        },
        recipe=f"topformer/topformer_{variant}_ade20k_512x512_160k_2x8.yml",
        num_classes=150,
        size_hw=(512, 512),
        parameters=parameters,
        macs=macs,
    )


networks.add(
    _network("base", parameters=5_062_646, macs=1_745_911_808),
    _network("small", parameters=3_034_662, macs=1_107_578_880),
    _network("tiny", parameters=1_389_654, macs=530_964_480, head_use_dw=True),
)
