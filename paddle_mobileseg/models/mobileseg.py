"""MobileSeg (PaddleSeg, configs/mobileseg): PP-LiteSeg's decoder in separable convolutions on a mobile backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle import nn

from paddle_mobileseg import networks, registry
from paddle_mobileseg.models.fld_network import FLDNetwork


@registry.register("models")
class MobileSeg(FLDNetwork):
    """MobileSeg; :class:`FLDNetwork` says what the arguments mean."""

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        backbone_indices: Sequence[int] = (1, 2, 3),
        cm_bin_sizes: Sequence[int] = (1, 2),
        cm_out_ch: int = 64,
        arm_type: str = "UAFMMobile",
        arm_out_chs: Sequence[int] = (32, 48, 64),
        seg_head_inter_chs: Sequence[int] = (32, 32, 32),
        resize_mode: str = "bilinear",
        use_last_fuse: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            backbone,
            backbone_indices=backbone_indices,
            arm_type=arm_type,
            cm_bin_sizes=cm_bin_sizes,
            cm_out_ch=cm_out_ch,
            arm_out_chs=arm_out_chs,
            seg_head_inter_chs=seg_head_inter_chs,
            resize_mode=resize_mode,
            separable=True,
            use_last_fuse=use_last_fuse,
            pretrained=pretrained,
        )


def _network(
    name: str, backbone: dict[str, Any], parameters: int, macs: int, arguments: dict[str, Any] | None = None
) -> networks.Network:
    return networks.Network(
        name=f"mobileseg_{name.lower()}",
        title=f"MobileSeg {name}",
        family="MobileSeg",
        source="PaddleSeg, configs/mobileseg",
        model={
            "type": "MobileSeg",
            "backbone": backbone,
            "cm_bin_sizes": [1, 2, 4],
            "cm_out_ch": 128,
            "arm_out_chs": [32, 64, 128],
            "seg_head_inter_chs": [32, 32, 32],
            **(arguments or {}),
        },
        recipe=f"mobileseg/mobileseg_{name.lower()}_cityscapes_1024x512_80k.yml",
        num_classes=19,
        size_hw=(512, 1024),
        parameters=parameters,
        macs=macs,
    )


networks.add(
    _network("MobileNetV2", {"type": "MobileNetV2_x1_0"}, parameters=2_058_752, macs=3_197_607_936),
    _network("MobileNetV3", {"type": "MobileNetV3_large_x1_0"}, parameters=2_979_982, macs=2_318_911_584),
    _network(
        "LiteHRNet18",
        {"type": "Lite_HRNet_18", "use_head": True},
        parameters=1_230_616,
        macs=2_555_888_768,
        arguments={"backbone_indices": [0, 1, 2]},
    ),
    _network("ShuffleNetV2", {"type": "ShuffleNetV2_x1_0"}, parameters=1_122_888, macs=1_502_746_624),
    _network("GhostNet", {"type": "GhostNet_x1_0"}, parameters=2_680_232, macs=1_497_173_056),
)
