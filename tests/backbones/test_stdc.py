"""STDC against PaddleSeg's, and its average pool against counting by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg.backbones.stdc import DenseConcat, stdc1, stdc2
from paddle_mobileseg.config.components import accepted_arguments
from tests.comparison import (
    assert_as_announced,
    assert_same_maps,
    assert_same_start,
    assert_same_training_step,
    both,
    image,
    parameter_attributes,
    with_equal_weights,
)


@pytest.mark.parametrize("name", ["STDC1", "STDC2"])
@pytest.mark.parametrize("arguments", [{}, {"block_num": 2, "in_channels": 4}])
def test_the_maps_are_paddlesegs(name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = with_equal_weights(both(name, **arguments), seed=0)
    assert ours.feat_channels == theirs.feat_channels

    for size in ((64, 96), (75, 101), (32, 32)):
        x = image(size, channels=arguments.get("in_channels", 3))
        with paddle.no_grad():
            maps = ours(x)
            assert_same_maps(maps, theirs(x))
        assert_as_announced(ours, maps, size)
    assert ours.feat_strides == [2, 4, 8, 16, 32]


def test_a_training_step_is_paddlesegs() -> None:
    assert_same_training_step(with_equal_weights(both("STDC1"), seed=1), image((64, 96), batch=2))


@pytest.mark.parametrize("relative_lr", [1.0, 0.1])
def test_training_starts_as_paddlesegs(relative_lr: float) -> None:
    pair = both("STDC1", relative_lr=relative_lr)
    attributes, expected = (parameter_attributes(network) for network in pair)

    assert attributes == expected
    assert {optimize["learning_rate"] for frozen, _, _, optimize, _ in attributes.values() if not frozen} == {
        relative_lr
    }
    assert_same_start(pair)


def test_a_yaml_may_say_what_it_may_to_paddleseg() -> None:
    for factory in (stdc1, stdc2):
        names, required, anything = accepted_arguments(factory)
        assert names - {"kwargs"} >= {"block_num", "type", "relative_lr", "in_channels", "pretrained"}
        assert (required, anything) == (set(), False)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Windows of 3 x 3 with stride 2 over 5 x 4 pixels of value 9 and a border of one.
        (False, [[9, 9], [9, 9], [9, 9]]),
        (True, [[4, 6], [6, 9], [4, 6]]),
    ],
)
def test_the_pool_counts_its_padding_on_request(counts: bool, expected: list[list[int]]) -> None:
    block = DenseConcat(4, 8, block_num=2, stride=2, pool_counts_padding=counts, lr_mult=1.0)
    first = block.conv_list[0].bn
    first.weight.set_value(paddle.zeros_like(first.weight))
    first.bias.set_value(paddle.full_like(first.bias, 9.0))
    with paddle.no_grad():
        pooled = block(paddle.rand([1, 4, 5, 4]))[:, :4]

    np.testing.assert_allclose(pooled.numpy(), np.broadcast_to(expected, (1, 4, 3, 2)), rtol=1e-6)


def test_the_whole_backbone_takes_the_pool_from_its_argument() -> None:
    assert {
        counts: [
            block.pool_counts_padding
            for block in stdc1(pool_counts_padding=counts).features
            if isinstance(block, DenseConcat)
        ]
        for counts in (False, True)
    } == {False: [False] * 6, True: [True] * 6}


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="type is 'add'; the only modules are those of type 'cat'"):
        stdc1(type="add")
    with pytest.raises(ValueError, match="block_num is 1; expected at least 2"):
        stdc2(block_num=1)
