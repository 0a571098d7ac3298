"""What PP-LiteSeg and MobileSeg have in common: a backbone, the flexible decoder, and a head on each fused map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.layers.flexible_decoder import FlexibleDecoder, SegmentationHead
from paddle_mobileseg.weights import load_weights


class FLDNetwork(nn.Layer):
    """Backbone, :class:`FlexibleDecoder` and heads; the arguments are those of the networks made of it.

    Args:
        num_classes: classes of the logits.
        backbone: a layer with ``feat_channels`` that gives a list of maps, from the most detailed to the deepest.
        backbone_indices: which of the backbone's maps are fused, in the same order.
        arm_type: name of the fusion module.
        cm_bin_sizes: grids of the pyramid pooling.
        cm_out_ch: channels that the pyramid pooling gives.
        arm_out_chs: channels of each fused map; one number is taken for all.
        seg_head_inter_chs: channels inside each head; one number is taken for all.
        resize_mode: how fusion resizes the deeper map: ``bilinear``, ``nearest`` or ``bicubic``.
        separable: use separable convolutions in pyramid pooling and heads.
        use_last_fuse: join all fused maps into the most detailed one.
        pretrained: weights of the whole network: a path or URL.

    Attributes:
        num_train_logits: logits that ``forward`` gives in training mode, one for each fused map.
        head_prefixes: what the names of the tensors behind the backbone begin with.
        never_trained: trainable parameters that never get a gradient: the backbone's.

    Raises:
        ValueError: numbers of maps and channels that do not fit one another, unknown ``arm_type`` or ``resize_mode``.
    """

    head_prefixes = ("ppseg_head.", "seg_heads.")
    align_corners = False

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        *,
        backbone_indices: Sequence[int],
        arm_type: str,
        cm_bin_sizes: Sequence[int],
        cm_out_ch: int,
        arm_out_chs: Sequence[int],
        seg_head_inter_chs: Sequence[int],
        resize_mode: str,
        separable: bool,
        use_last_fuse: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        known = len(backbone.feat_channels)
        if not backbone_indices or not all(0 <= i < known for i in backbone_indices):
            raise ValueError(
                f"backbone_indices is {list(backbone_indices)}, but the backbone gives {known} maps; expected "
                f"one or more numbers from 0 to {known - 1}"
            )
        count = len(backbone_indices)
        arm_out_chs = _for_each_map("arm_out_chs", arm_out_chs, count)
        seg_head_inter_chs = _for_each_map("seg_head_inter_chs", seg_head_inter_chs, count)
        self.num_classes = num_classes
        self.num_train_logits = count
        self.backbone_indices = list(backbone_indices)
        self.backbone = backbone
        self.never_trained = tuple(f"backbone.{name}" for name in getattr(backbone, "never_trained", ()))
        self.ppseg_head = FlexibleDecoder(
            [backbone.feat_channels[i] for i in backbone_indices],
            arm_out_chs,
            cm_out_ch,
            cm_bin_sizes,
            arm_type,
            resize_mode,
            separable=separable,
            use_last_fuse=use_last_fuse,
        )
        self.seg_heads = nn.LayerList(
            [
                SegmentationHead(channels, mid_channels, num_classes, separable=separable)
                for channels, mid_channels in zip(arm_out_chs, seg_head_inter_chs, strict=True)
            ]
        )
        if pretrained is not None:
            load_weights(self, pretrained)

    def fused_maps(self, x: Tensor) -> list[Tensor]:
        """The decoder's maps, from the most detailed to the deepest."""
        maps = self.backbone(x)
        return self.ppseg_head([maps[i] for i in self.backbone_indices])

    def low_logits(self, x: Tensor) -> Tensor:
        """Logits before the last upsampling, ``[N, num_classes, h, w]`` of the most detailed fused map's size."""
        return self.seg_heads[0](self.fused_maps(x)[0])

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[N, 3, H, W]`` float, normalised RGB, to logits ``[N, num_classes, H, W]``.

        Returns:
            One tensor in eval mode; in training mode also those of the deeper maps, in this order.
        """
        size = x.shape[2:]
        if self.training:
            logits = [self.seg_heads[i](each) for i, each in enumerate(self.fused_maps(x))]
        else:
            logits = [self.low_logits(x)]
        return [F.interpolate(each, size=size, mode="bilinear", align_corners=self.align_corners) for each in logits]

    def translate_weights(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """From the earlier published layouts to today's.

        They have none of the tensors ``_scale``, which are 1 and never trained; what they have in the backbone is the
        backbone's matter.
        """
        translated = dict(weights)
        if hasattr(self.backbone, "translate_weights"):
            prefix = "backbone."
            own = {name[len(prefix) :]: each for name, each in weights.items() if name.startswith(prefix)}
            translated = {name: each for name, each in weights.items() if not name.startswith(prefix)}
            translated |= {prefix + name: each for name, each in self.backbone.translate_weights(own).items()}
        scales = [name for name in self.state_dict() if name.endswith("._scale")]
        if not any(name in weights for name in scales):
            translated |= {name: np.ones([1], np.float32) for name in scales}
        return translated


def _for_each_map(argument: str, channels: Sequence[int], count: int) -> list[int]:
    if len(channels) not in (1, count):
        raise ValueError(f"{argument} is {list(channels)}, but {count} maps are fused; expected {count} numbers or one")
    return list(channels) * (count if len(channels) == 1 else 1)
