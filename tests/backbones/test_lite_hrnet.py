"""Lite-HRNet against PaddleSeg's own, and what PaddleSeg's cannot do."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_mobileseg import registry
from paddle_mobileseg.backbones.lite_hrnet import HRModule, Lite_HRNet_naive, LiteHRNet
from tests.comparison import (
    Pair,
    apart,
    assert_same_gradients,
    assert_same_maps,
    assert_same_start,
    both,
    give_random_weights,
    gradients,
    image,
    parameter_attributes,
    with_equal_weights,
)

NAMES = ("Lite_HRNet_18", "Lite_HRNet_30", "Lite_HRNet_naive", "Lite_HRNet_wider_naive")


def state(network: nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


@functools.cache
def healthy(name: str) -> LiteHRNet:
    """Our backbone with the head, in eval mode."""
    network = registry.find(name)(use_head=True)
    give_random_weights(network, seed=0)
    network.eval()
    return network


@pytest.fixture(params=NAMES, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    """Our backbone and PaddleSeg's as they start, with the head."""
    return both(request.param, use_head=True)


def norm_attributes(network: nn.Layer) -> dict[str, tuple[Any, ...]]:
    return {
        name: (layer._use_global_stats, layer._momentum, layer._epsilon)
        for name, layer in network.named_sublayers()
        if isinstance(layer, nn.BatchNorm2D)
    }


def test_starts_as_paddlesegs(pair: Pair) -> None:
    ours, theirs = pair

    assert_same_start(pair)
    assert parameter_attributes(ours) == parameter_attributes(theirs)
    assert norm_attributes(ours) == norm_attributes(theirs)


def test_other_arguments_reach_the_same_parameters() -> None:
    for name in ("Lite_HRNet_18", "Lite_HRNet_naive"):
        ours, theirs = both(name, use_head=True, freeze_norm=False, norm_decay=1e-4, in_channels=4)

        assert parameter_attributes(ours) == parameter_attributes(theirs)
        assert norm_attributes(ours) == norm_attributes(theirs)
        assert ours.stem.conv1.conv.weight.shape == theirs.stem.conv1.conv.weight.shape == [32, 4, 3, 3]
        frozen = [name for name, parameter in ours.named_parameters() if parameter.stop_gradient]
        assert {name.rpartition(".")[2] for name in frozen} == {"_mean", "_variance"}


def test_frozen_batch_norms() -> None:
    """As counted in PaddleSeg's network: those of the modules' blocks and of the head."""
    network = registry.find("Lite_HRNet_18")(use_head=True)
    frozen = [name for name, attributes in norm_attributes(network).items() if attributes[0]]

    assert len(frozen) == 88
    assert {re.sub(r"\d+", "N", name).split(".", 3)[0] for name in frozen} == {"stageN", "head_layer"}


@pytest.mark.parametrize("use_head", [True, False])
def test_maps(pair: Pair, use_head: bool) -> None:
    """In eval and training mode; what a training step does to the running statistics, none of it to the frozen ones."""
    starts = [state(network) for network in pair]
    with_equal_weights(pair, seed=0)
    before = state(pair[0])
    x = image((64, 96), batch=2)
    try:
        for network in pair:
            network.use_head = use_head
        with paddle.no_grad():
            in_eval_mode = [network(x) for network in pair]
            for network in pair:
                network.train()
            in_training = [network(x) for network in pair]
        after = [state(network) for network in pair]
    finally:
        for network, start in zip(pair, starts, strict=True):
            network.use_head = True
            network.to(dtype="float32")
            network.set_state_dict(start)

    assert_same_maps(*in_eval_mode)
    assert_same_maps(*in_training)
    assert apart(in_training[0][0].numpy(), in_eval_mode[0][0].numpy()) > 0.01  # batch statistics do count
    for name, value in after[0].items():
        assert apart(value, after[1][name]) < 1e-6, name
    moved = {name for name, value in after[0].items() if not np.array_equal(value, before[name])}
    norms = [name for name, (frozen, *_) in norm_attributes(pair[0]).items() if not frozen]
    norms = [name for name in norms if use_head or not name.startswith("head_layer.")]
    assert moved == {f"{name}.{each}" for name in norms for each in ("_mean", "_variance")}


def test_float32() -> None:
    pair = with_equal_weights(both("Lite_HRNet_18", use_head=True), seed=0, dtype="float32")
    with paddle.no_grad():
        ours, theirs = (network(image((64, 96), dtype="float32")) for network in pair)

    assert max(apart(one.numpy(), other.numpy()) for one, other in zip(ours, theirs, strict=True)) < 1e-4


def test_gradients() -> None:
    """In training mode. The two weights without a gradient serve only the first map, which is cut off."""
    pair = with_equal_weights(both("Lite_HRNet_18", use_head=True), seed=0)
    for network in pair:
        network.train()
        maps = network(image((64, 96), batch=2))
        sum((each / each.detach().abs().max()).pow(2).mean() for each in maps).backward()
    ours, theirs = (gradients(network) for network in pair)

    assert_same_gradients(ours, theirs)
    trainable = {name for name, parameter in pair[0].named_parameters() if not parameter.stop_gradient}
    assert trainable - set(ours) == set(pair[0].never_trained)
    assert set(pair[0].never_trained) == {
        "head_layer.projects.3.depthwise_conv.conv.weight",
        "head_layer.projects.3.pointwise_conv.conv.weight",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"use_head": True},
        {"use_head": True, "freeze_at": None},
        {"use_head": True, "freeze_norm": False, "return_idx": [0, 2, 3]},
        {"use_head": True, "freeze_at": 2},
        {"freeze_at": 2},
        {"use_head": True, "return_idx": [3]},
        {"return_idx": 1},
        {"freeze_at": None, "return_idx": 0},
        {"return_idx": [0]},
    ],
    ids=str,
)
def test_never_trained(arguments: dict[str, Any]) -> None:
    network = Lite_HRNet_naive(**arguments)
    give_random_weights(network, seed=0)
    reached = [y for y in network(image((32, 64), batch=2, dtype="float32")) if not y.stop_gradient]
    if reached:
        sum(y.mean() for y in reached).backward()

    trainable = [(name, p.grad) for name, p in network.named_parameters() if not p.stop_gradient]
    assert tuple(name for name, grad in trainable if grad is None) == network.never_trained


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (45, 60), (75, 101)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    network = healthy(name)
    with paddle.no_grad():
        maps = network(image(size, dtype="float32"))
    sizes, current = [], list(size)
    for halvings in (2, 1, 1, 1):
        for _ in range(halvings):
            current = [(side + 1) // 2 for side in current]
        sizes.append(current)

    assert [list(y.shape) for y in maps] == [
        [1, channels, *side] for channels, side in zip(network.feat_channels, sizes, strict=True)
    ]
    assert all(bool(paddle.isfinite(y).all()) for y in maps)


def test_the_fusion_counts_the_first_branch_twice_and_hands_its_sum_on() -> None:
    module = HRModule([4, 8], lite=False, freeze_norm=True, norm_decay=0.0)
    give_random_weights(module, seed=0)
    module.eval()
    large, small = paddle.rand([1, 4, 6, 10]), paddle.rand([1, 8, 3, 5])
    up, down = module.fuse_layers[0][1], module.fuse_layers[1][0]
    with paddle.no_grad():
        fused = module.fuse([large, small])
        from_small = F.interpolate(up(small), size=[6, 10], mode="nearest")
        first = 2 * large + from_small
        published = [F.relu(first), F.relu(2 * down(first) + small)]
        clean = [F.relu(large + from_small), F.relu(down(large) + small)]

    for ours, expected, other in zip(fused, published, clean, strict=True):
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
        assert apart(ours.numpy(), other.numpy()) > 0.2


def test_the_fusion_leaves_its_input_alone() -> None:
    module = HRModule([4, 8], lite=False, freeze_norm=True, norm_decay=0.0)
    maps = [paddle.rand([1, 4, 6, 10]), paddle.rand([1, 8, 3, 5])]
    before = [x.numpy().copy() for x in maps]
    given = list(maps)
    module.fuse(maps)

    assert all(a is b for a, b in zip(maps, given, strict=True))
    for x, values in zip(maps, before, strict=True):
        np.testing.assert_array_equal(x.numpy(), values)


def test_returned_maps() -> None:
    network = Lite_HRNet_naive(return_idx=[3, 1])
    give_random_weights(network, seed=0)
    network.eval()
    everything = Lite_HRNet_naive()
    everything.set_state_dict(network.state_dict())
    everything.eval()
    with paddle.no_grad():
        some, all_maps = (each(image((64, 32), dtype="float32")) for each in (network, everything))

    assert (network.feat_channels, network.feat_strides) == ([60, 240], [8, 32])
    assert (everything.feat_channels, everything.feat_strides) == ([30, 60, 120, 240], [4, 8, 16, 32])
    assert healthy("Lite_HRNet_naive").feat_channels == [30, 30, 60, 120]
    for ours, expected in zip(some, all_maps[1::2], strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())


def test_pretrained_may_have_a_classifier_and_lack_the_head(tmp_path: Path) -> None:
    weights = {f"backbone.{name}": value for name, value in state(healthy("Lite_HRNet_naive")).items()}
    stem = "backbone.stem.conv1.conv.weight"
    imagenet = {name: value for name, value in weights.items() if ".head_layer." not in name}
    files = {
        "full": weights,
        "imagenet": {name.removeprefix("backbone."): v for name, v in imagenet.items()} | {"fc.weight": np.ones(3)},
        "broken": {name: value for name, value in weights.items() if name != stem},
    }
    for name, content in files.items():
        paddle.save(
            {key: paddle.to_tensor(value) for key, value in content.items()}, str(tmp_path / f"{name}.pdparams")
        )
    for name, use_head in (("full", False), ("imagenet", True)):
        network = Lite_HRNet_naive(use_head=use_head, pretrained=str(tmp_path / f"{name}.pdparams"))
        loaded = state(network)
        for key, value in imagenet.items():
            np.testing.assert_array_equal(loaded[key.removeprefix("backbone.")], value)

    with pytest.raises(ValueError, match=r"lacks \(stem\.conv1\.conv\.weight\)"):
        Lite_HRNet_naive(pretrained=str(tmp_path / "broken.pdparams"))


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="lite_18, lite_30, naive, wider_naive"):
        LiteHRNet("lite_40")
    for indices in ([], 4, [0, -1]):
        with pytest.raises(ValueError, match="return_idx"):
            Lite_HRNet_naive(return_idx=indices)
