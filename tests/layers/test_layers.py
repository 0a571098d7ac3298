"""Shared blocks."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.layers import DropPath, SqueezeExcite, activation
from paddle_mobileseg.layers.transformer import AttentionBlock


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    paddle.seed(0)
    layer = DropPath(0.25)
    x = paddle.ones([4000, 2, 1, 1])
    y = layer(x).numpy().reshape(4000, 2)

    assert set(np.unique(np.round(y, 5))) == {0.0, np.float32(1.33333)}
    assert (y[:, 0] == y[:, 1]).all()
    assert y.mean() == pytest.approx(1.0, abs=0.03)
    layer.eval()
    assert float(layer(x).min()) == 1.0
    with pytest.raises(ValueError, match="outside"):
        DropPath(1.0)


def test_an_attention_block_drops_attention_and_feed_forward_part() -> None:
    paddle.seed(0)
    block = AttentionBlock(nn.Identity(), nn.Identity(), drop_path=0.5)

    # Either part adds nothing, or twice its input.
    assert set(block(paddle.ones([200, 1, 1, 1])).flatten().tolist()) == {1.0, 3.0, 9.0}
    block.eval()
    assert set(block(paddle.ones([200, 1, 1, 1])).flatten().tolist()) == {4.0}


def test_squeeze_excite_scales_channels() -> None:
    layer = SqueezeExcite(8)
    x = paddle.rand([2, 8, 5, 7])
    ratio = (layer(x) / x).numpy()

    assert np.ptp(ratio, axis=(2, 3)).max() < 1e-5
    assert ratio.min() >= 0.0
    assert ratio.max() <= 1.0 + 1e-6


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="gelu"):
        activation("gelu")
