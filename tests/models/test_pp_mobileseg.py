"""Arguments of PP-MobileSeg."""

from __future__ import annotations

import pytest
from paddle import nn

from paddle_mobileseg.backbones.strideformer import strideformer_base, strideformer_tiny
from paddle_mobileseg.models.pp_mobileseg import PPMobileSeg


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="AAMSx8"):
        strideformer_tiny(inj_type="sum")
    with pytest.raises(ValueError, match=r"\[32, 64, 128\]"):
        strideformer_tiny(out_feat_chs=[64, 128, 192])
    with pytest.raises(ValueError, match="upsample"):
        PPMobileSeg(3, strideformer_tiny(), upsample="nearest")


def test_stochastic_depth_grows_from_block_to_block() -> None:
    network = strideformer_base(drop_path_rate=0.3)

    for stage in (network.trans1, network.trans2):
        assert [block.drop_path.rate for block in stage.transformer_blocks] == pytest.approx([0.0, 0.15, 0.3])


def test_the_activation_of_the_attention_stages() -> None:
    network = strideformer_tiny(act="hardswish")
    blocks = network.trans1.transformer_blocks

    assert {type(block.mlp.act) for block in blocks} == {nn.Hardswish}
    assert {type(block.attn.proj[0]) for block in blocks} == {nn.Hardswish}
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        strideformer_tiny(act="gelu")
