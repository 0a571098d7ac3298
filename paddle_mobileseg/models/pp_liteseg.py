"""PP-LiteSeg (arXiv 2204.02681): STDC backbone, pyramid pooling, and a light decoder that fuses with attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle import nn

from paddle_mobileseg import networks, registry
from paddle_mobileseg.models.fld_network import FLDNetwork


@registry.register("models")
class PPLiteSeg(FLDNetwork):
    """PP-LiteSeg; :class:`FLDNetwork` says what the arguments mean.

    ``arm_type`` may have the earlier name ``ARM_Add_SpAttenAdd3`` of ``UAFM_SpAtten``. ``seg_head_mid_chs`` is an
    earlier name of ``seg_head_inter_chs`` and takes its place where it is given.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        backbone_indices: Sequence[int] = (2, 3, 4),
        arm_type: str = "UAFM_SpAtten",
        cm_bin_sizes: Sequence[int] = (1, 2, 4),
        cm_out_ch: int = 128,
        arm_out_chs: Sequence[int] = (64, 96, 128),
        seg_head_inter_chs: Sequence[int] = (64, 64, 64),
        resize_mode: str = "bilinear",
        pretrained: str | None = None,
        seg_head_mid_chs: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            backbone,
            backbone_indices=backbone_indices,
            arm_type=arm_type,
            cm_bin_sizes=cm_bin_sizes,
            cm_out_ch=cm_out_ch,
            arm_out_chs=arm_out_chs,
            seg_head_inter_chs=seg_head_inter_chs if seg_head_mid_chs is None else seg_head_mid_chs,
            resize_mode=resize_mode,
            separable=False,
            pretrained=pretrained,
        )


def _network(variant: str, number: int, arguments: dict[str, Any], parameters: int, macs: int) -> networks.Network:
    return networks.Network(
        name=f"pp_liteseg_stdc{number}",
        title=f"PP-LiteSeg {variant}",
        family="PP-LiteSeg",
        source="arXiv 2204.02681",
        model={"type": "PPLiteSeg", "backbone": {"type": f"STDC{number}"}, **arguments},
        recipe=f"pp_liteseg/pp_liteseg_stdc{number}_cityscapes_1024x512_scale1.0_160k.yml",
        num_classes=19,
        size_hw=(512, 1024),
        parameters=parameters,
        macs=macs,
    )


networks.add(
    _network(
        "T",
        1,
        {"arm_out_chs": [32, 64, 128], "seg_head_inter_chs": [32, 64, 64]},
        parameters=8_141_600,
        macs=11_421_139_968,
    ),
    _network("B", 2, {}, parameters=12_366_464, macs=19_227_526_144),
)
