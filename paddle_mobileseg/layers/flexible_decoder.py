"""The flexible and lightweight decoder (FLD) of PP-LiteSeg (arXiv 2204.02681, section 3.1), which MobileSeg has too."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from paddle_mobileseg.layers.attention_fusion import fusion
from paddle_mobileseg.layers.pyramid import SimplePyramidPooling
from paddle_mobileseg.layers.separable import decoder_conv


class FlexibleDecoder(nn.Layer):
    """Pyramid pooling of the deepest map, fused upwards with one map after the other, the channels getting fewer.

    Args:
        in_channels: channels of the maps, from the most detailed to the deepest.
        out_channels: channels of each fused map, in the same order.
        pool_channels: channels that the pyramid pooling gives.
        bin_sizes: grids of the pyramid pooling.
        arm_type: name of the fusion module (see :data:`paddle_mobileseg.layers.attention_fusion.FUSIONS`).
        resize_mode: how fusion resizes the deeper map.
        separable: make the convolutions outside the fusion modules separable.
        use_last_fuse: join all fused maps into the most detailed one.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        pool_channels: int,
        bin_sizes: Sequence[int],
        arm_type: str,
        resize_mode: str,
        *,
        separable: bool,
        use_last_fuse: bool = False,
    ) -> None:
        super().__init__()
        self.cm = SimplePyramidPooling(in_channels[-1], pool_channels, bin_sizes, separable=separable)
        deeper = [*out_channels[1:], pool_channels]
        self.arm_list = nn.LayerList(
            [
                fusion(arm_type, *channels, resize_mode=resize_mode)
                for channels in zip(in_channels, deeper, out_channels, strict=True)
            ]
        )
        self.use_last_fuse = use_last_fuse
        if use_last_fuse:
            width = out_channels[0]
            self.fuse_convs = nn.LayerList([decoder_conv(c, width, separable=separable) for c in out_channels[1:]])
            self.last_conv = decoder_conv(len(out_channels) * width, width, separable=separable)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Fused maps of the sizes of ``maps``, from the most detailed to the deepest."""
        deep = self.cm(maps[-1])
        fused: list[Tensor] = []
        for i in reversed(range(len(maps))):
            deep = self.arm_list[i](maps[i], deep)
            fused.insert(0, deep)
        if self.use_last_fuse:
            joined = [fused[0]]
            for i, conv in enumerate(self.fuse_convs):
                joined.append(F.interpolate(conv(fused[i + 1]), size=fused[0].shape[2:], mode="bilinear"))
            fused[0] = self.last_conv(paddle.concat(joined, axis=1))
        return fused


class SegmentationHead(nn.Layer):
    """``[N, C, H, W]`` to logits ``[N, num_classes, H, W]`` by way of ``mid_channels`` channels."""

    def __init__(self, in_channels: int, mid_channels: int, num_classes: int, *, separable: bool) -> None:
        super().__init__()
        self.conv = decoder_conv(in_channels, mid_channels, separable=separable)
        self.conv_out = nn.Conv2D(mid_channels, num_classes, 1, bias_attr=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))
