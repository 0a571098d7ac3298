"""PP-MobileSeg (arXiv 2304.05152): StrideFormer, one light head, and VIM when it is exported."""

from __future__ import annotations

import logging

import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg import networks, registry
from paddle_mobileseg.layers import FuseHead
from paddle_mobileseg.weights import load_weights

_LOGGER = logging.getLogger("paddle_mobileseg")


@registry.register("models")
class PPMobileSeg(nn.Layer):
    """PP-MobileSeg.

    Args:
        num_classes: classes of the logits.
        backbone: a layer with ``feat_channels`` that gives one map, such as ``MobileSeg_Base`` or ``MobileSeg_Tiny``.
        head_use_dw: depthwise fusion in the head (as published) instead of pointwise.
        align_corners: of the last upsampling.
        pretrained: weights of the whole network: a path or URL.
        upsample: accepted for PaddleSeg's YAMLs (``intepolate``, ``interpolate`` or ``vim``) and without effect: how
            labels are made at the end is an argument of the exporter (``--output_op``).

    Attributes:
        num_train_logits: logits that ``forward`` gives in training mode (1).
        head_prefixes: what the names of the head's tensors begin with.
    """

    num_train_logits = 1
    head_prefixes = ("decode_head.",)

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        head_use_dw: bool = True,
        align_corners: bool = False,
        pretrained: str | None = None,
        upsample: str = "interpolate",
    ) -> None:
        super().__init__()
        if upsample not in ("intepolate", "interpolate", "vim"):
            raise ValueError(f"upsample is {upsample!r}; expected 'interpolate' or 'vim'")
        if upsample == "vim":
            _LOGGER.warning("model.upsample: vim has no effect here; export with --output_op vim to get it")
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.backbone = backbone
        self.decode_head = FuseHead(num_classes, backbone.feat_channels[0], head_use_dw)
        if pretrained is not None:
            load_weights(self, pretrained)

    def low_logits(self, x: Tensor) -> Tensor:
        """Logits before the last upsampling, ``[N, num_classes, H / 16, W / 16]`` (Tiny) or ``/ 8`` (Base)."""
        return self.decode_head(self.backbone(x))

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[N, 3, H, W]`` float, normalised RGB, to a list of one tensor of logits ``[N, num_classes, H, W]``."""
        logits = self.low_logits(x)
        return [F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=self.align_corners)]


def _network(variant: str, inj_type: str, out_feat_chs: list[int], parameters: int, macs: int) -> networks.Network:
    return networks.Network(
        name=f"pp_mobileseg_{variant}",
        title=f"PP-MobileSeg {variant.title()}",
        family="PP-MobileSeg",
        source="arXiv 2304.05152",
        model={
            "type": "PPMobileSeg",
            "backbone": {"type": f"MobileSeg_{variant.title()}", "inj_type": inj_type, "out_feat_chs": out_feat_chs},
        },
        recipe=f"pp_mobileseg/pp_mobileseg_{variant}_ade20k_512x512_80k.yml",
        num_classes=150,
        size_hw=(512, 512),
        parameters=parameters,
        macs=macs,
    )


networks.add(
    _network("base", "AAMSx8", [64, 128, 192], parameters=5_943_878, macs=2_097_324_288),
    _network("tiny", "AAM", [32, 64, 128], parameters=1_492_298, macs=706_234_496),
)
