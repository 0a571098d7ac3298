"""Lite-HRNet against PaddleSeg's own, and what PaddleSeg's cannot do."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_mobileseg import registry
from paddle_mobileseg.backbones.lite_hrnet import HRModule, Lite_HRNet_naive, LiteHRNet

NAMES = ("Lite_HRNet_18", "Lite_HRNet_30", "Lite_HRNet_naive", "Lite_HRNet_wider_naive")


def built(find: Callable[[str], Any], name: str, **arguments: Any) -> nn.Layer:
    with paddle.utils.unique_name.guard():
        return find(name)(**arguments)


def both(name: str, **arguments: Any) -> tuple[nn.Layer, nn.Layer]:
    """PaddleSeg's backbone and ours."""
    theirs, ours = (built(find, name, **arguments) for find in (registry.upstream, registry.find))
    assert type(theirs).__module__.startswith("paddleseg.")
    assert type(ours) is LiteHRNet
    return theirs, ours


def give_healthy_weights(network: nn.Layer) -> None:
    """Random weights with which every branch counts; with those of the start all maps are almost zero."""
    rng = np.random.default_rng(0)
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("_variance") or (name.endswith("weight") and len(shape) == 1):
            values = rng.uniform(0.6, 1.4, shape)
        elif len(shape) == 4:
            values = rng.normal(0, (1.6 / np.prod(shape[1:])) ** 0.5, shape)
        else:
            values = rng.normal(0, 0.3, shape)
        tensor.set_value(values.astype(np.float32))


def image(height: int, width: int, batch: int = 2, dtype: str = "float32") -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(width).normal(size=(batch, 3, height, width)), dtype=dtype)


def state(network: nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def apart(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Largest difference as a share of the largest value."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@functools.cache
def healthy(name: str) -> LiteHRNet:
    """Our backbone with the head, in eval mode."""
    network = registry.find(name)(use_head=True)
    give_healthy_weights(network)
    network.eval()
    return network


@pytest.fixture(params=NAMES, scope="module")
def pair(request: pytest.FixtureRequest) -> tuple[nn.Layer, nn.Layer]:
    """PaddleSeg's backbone and ours as they start, with the head."""
    paddle.seed(0)
    return both(request.param, use_head=True)


def parameter_attributes(network: nn.Layer) -> dict[str, tuple[Any, ...]]:
    attributes = {}
    for name, parameter in network.named_parameters():
        decay = parameter.regularizer
        attributes[name] = (
            parameter.stop_gradient,
            parameter.optimize_attr,
            parameter.need_clip,
            decay and (type(decay), decay._coeff),
        )
    return attributes


def norm_attributes(network: nn.Layer) -> dict[str, tuple[Any, ...]]:
    return {
        name: (layer._use_global_stats, layer._momentum, layer._epsilon)
        for name, layer in network.named_sublayers()
        if isinstance(layer, nn.BatchNorm2D)
    }


def test_names_and_shapes(pair: tuple[nn.Layer, nn.Layer]) -> None:
    theirs, ours = ({name: tensor.shape for name, tensor in each.state_dict().items()} for each in pair)

    assert ours == theirs


def test_attributes_of_parameters_and_batch_norms(pair: tuple[nn.Layer, nn.Layer]) -> None:
    theirs, ours = pair

    assert parameter_attributes(ours) == parameter_attributes(theirs)
    assert norm_attributes(ours) == norm_attributes(theirs)


def test_start_values(pair: tuple[nn.Layer, nn.Layer]) -> None:
    theirs, ours = (state(each) for each in pair)
    for name, values in ours.items():
        if values.ndim == 1:
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)
    for network in (theirs, ours):
        weights = [values.ravel() for values in network.values() if values.ndim == 4]
        for values in weights:
            if values.size >= 400:  # five deviations of the estimate
                assert values.std() == pytest.approx(1e-3, rel=5 / np.sqrt(2 * values.size))
        together = np.concatenate(weights)
        assert together.std() == pytest.approx(1e-3, rel=0.02)
        assert together.mean() == pytest.approx(0, abs=1e-5)
        assert np.abs(together).max() < 7e-3


def test_other_arguments_reach_the_same_parameters() -> None:
    for name in ("Lite_HRNet_18", "Lite_HRNet_naive"):
        theirs, ours = both(name, use_head=True, freeze_norm=False, norm_decay=1e-4, in_channels=4)

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
def test_maps(pair: tuple[nn.Layer, nn.Layer], use_head: bool) -> None:
    """In float64 less than a millionth may differ, which tells another network from other rounding; the running
    statistics after a training step agree as well, and the frozen ones have not moved."""
    starts = [state(network) for network in pair]
    give_healthy_weights(pair[1])
    before = state(pair[1])
    assert pair[0].set_state_dict(before) == ([], [])
    results: list[list[np.ndarray]] = []
    statistics: list[dict[str, np.ndarray]] = []
    try:
        for network in pair:
            network.use_head = use_head
            with paddle.no_grad():
                network.eval()
                maps = network(image(64, 96))
                network.to(dtype="float64")
                maps += network(image(64, 96, dtype="float64"))
                network.train()
                maps += network(image(64, 96, dtype="float64"))
            results.append([each.numpy() for each in maps])
            statistics.append(
                {name: value for name, value in state(network).items() if name.endswith(("mean", "ance"))}
            )
    finally:
        for network, start in zip(pair, starts, strict=True):
            network.use_head = True
            network.to(dtype="float32")
            network.set_state_dict(start)

    errors = [apart(theirs, ours) for theirs, ours in zip(*results, strict=True)]
    assert max(errors[:4]) < 1e-4
    assert max(errors[4:]) < 1e-6
    assert apart(results[1][4], results[1][8]) > 0.01  # batch statistics do count
    moved = {name for name, value in statistics[1].items() if not np.array_equal(value, before[name])}
    frozen = {name for name, attributes in norm_attributes(pair[1]).items() if attributes[0]}
    unused = set() if use_head else {name for name in statistics[1] if name.startswith("head_layer.")}
    assert moved == {name for name in statistics[1] if name.rpartition(".")[0] not in frozen} - unused
    for name, value in statistics[1].items():
        assert apart(statistics[0][name], value) < 1e-6, name


def test_gradients() -> None:
    """In float64 and training mode. The two weights without a gradient serve only the first map, which is cut off."""
    theirs, ours = both("Lite_HRNet_18", use_head=True)
    give_healthy_weights(ours)
    theirs.set_state_dict(ours.state_dict())
    gradients = []
    for network in (theirs, ours):
        network.to(dtype="float64")
        network.train()
        maps = network(image(64, 96, dtype="float64"))
        sum((each / each.detach().abs().max()).pow(2).mean() for each in maps).backward()
        trained = {name: p.grad for name, p in network.named_parameters() if not p.stop_gradient}
        gradients.append({name: grad.numpy() for name, grad in trained.items() if grad is not None})
        assert tuple(name for name, grad in trained.items() if grad is None) == ours.never_trained

    assert set(ours.never_trained) == {
        "head_layer.projects.3.depthwise_conv.conv.weight",
        "head_layer.projects.3.pointwise_conv.conv.weight",
    }
    largest = max(np.abs(each).max() for each in gradients[0].values())
    errors = {
        name: np.abs(gradients[1][name] - each).max() / max(np.abs(each).max(), 1e-6 * largest)
        for name, each in gradients[0].items()
    }
    assert {name: error for name, error in errors.items() if error > 1e-6} == {}


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
    give_healthy_weights(network)
    reached = [y for y in network(image(32, 64)) if not y.stop_gradient]
    if reached:
        sum(y.mean() for y in reached).backward()

    trainable = [(name, p.grad) for name, p in network.named_parameters() if not p.stop_gradient]
    assert tuple(name for name, grad in trainable if grad is None) == network.never_trained


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (45, 60), (75, 101)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    network = healthy(name)
    with paddle.no_grad():
        maps = network(image(*size, batch=1))
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
    give_healthy_weights(module)
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
        assert apart(other.numpy(), ours.numpy()) > 0.2


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
    give_healthy_weights(network)
    network.eval()
    everything = Lite_HRNet_naive()
    everything.set_state_dict(network.state_dict())
    everything.eval()
    with paddle.no_grad():
        some, all_maps = network(image(64, 32)), everything(image(64, 32))

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
