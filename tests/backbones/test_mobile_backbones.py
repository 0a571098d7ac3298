"""MobileNetV2, MobileNetV3, ShuffleNetV2 and GhostNet: every width that PaddleSeg has is the network that it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg import registry
from paddle_mobileseg.backbones.ghostnet import GhostNet, GhostSqueezeExcite
from paddle_mobileseg.backbones.shufflenet_v2 import ShuffleNetV2
from paddle_mobileseg.config.components import accepted_arguments
from tests.comparison import (
    Pair,
    assert_as_announced,
    assert_same_maps,
    assert_same_tensors,
    assert_same_training_step,
    both,
    give_random_weights,
    image,
    parameter_attributes,
    with_equal_weights,
)

# Family: how many widths PaddleSeg has.
WIDTHS = {"MobileNetV2_": 6, "MobileNetV3_": 12, "ShuffleNetV2_": 7, "GhostNet_": 3}
NAMES = [name for name in registry.names("backbones") if name.startswith(tuple(WIDTHS))]
# The smallest width of each family, and what PaddleClas' files of it have behind the backbone.
SMALLEST = {
    "MobileNetV2_x0_25": ("conv9._conv.weight", "conv9._batch_norm._mean", "out.weight", "out.bias"),
    "MobileNetV3_small_x0_35": ("last_second_conv.conv.weight", "last_conv.weight", "fc.weight", "fc.bias"),
    "ShuffleNetV2_x0_25": ("_last_conv._conv.weight", "_fc.weight", "_fc.bias"),
    "GhostNet_x0_5": ("conv_last._conv.weight", "fc_0._conv.weight", "fc_1.weight", "fc_1.bias"),
}


@pytest.fixture(params=NAMES, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(name: str) -> Pair:
    return with_equal_weights(both(name), seed=len(name))


def test_every_width_is_ours() -> None:
    assert {family: sum(name.startswith(family) for name in NAMES) for family in WIDTHS} == WIDTHS
    assert set(NAMES) <= set(registry.ours("backbones"))


def test_the_component(name: str) -> None:
    component = registry.find(name)
    arguments = {"in_channels", "pretrained"} | ({"act"} if name.startswith("ShuffleNetV2_") else set())

    assert component.__name__ == name
    assert name.split("_")[0] in component.__doc__
    assert accepted_arguments(component) == (arguments, set(), False)


def test_starts_as_paddlesegs(name: str) -> None:
    ours, theirs = both(name)

    assert_same_tensors((ours, theirs))
    assert parameter_attributes(ours) == parameter_attributes(theirs)


@pytest.mark.parametrize("size", [(64, 96), (77, 45), (32, 32)])
def test_maps(name: str, pair: Pair, size: tuple[int, int]) -> None:
    with paddle.no_grad():
        ours, theirs = (network(image(size, batch=2)) for network in pair)

    assert_same_maps(ours, theirs)
    assert_as_announced(pair[0], ours, size)
    assert pair[0].feat_channels == pair[1].feat_channels
    assert pair[0].feat_strides == ([4, 8, 8, 8] if name.endswith("_os8") else [4, 8, 16, 32])


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2_x1_0",
        "MobileNetV3_large_x1_0",
        "MobileNetV3_small_x1_0_os8",
        "ShuffleNetV2_x0_33",
        "ShuffleNetV2_swish",
        "GhostNet_x0_5",
    ],
)
def test_training_mode(name: str) -> None:
    pair = with_equal_weights(both(name, in_channels=4), seed=1)
    assert_same_training_step(pair, image((77, 96), channels=4, batch=3))


def test_shufflenet_with_another_activation() -> None:
    pair = with_equal_weights(both("ShuffleNetV2_x0_25", act="relu6"), seed=1)
    with paddle.no_grad():
        assert_same_maps(*(network(image((64, 64))) for network in pair))


def test_ghostnets_gate_is_clipped_not_squashed() -> None:
    layer = GhostSqueezeExcite(8)
    layer.excitation.weight.set_value(paddle.zeros([2, 8]))
    layer.excitation.bias.set_value(paddle.to_tensor([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 3.0]))
    gate = layer(paddle.ones([2, 8, 3, 5])).numpy()

    expected = np.broadcast_to(np.array([0, 0, 0.25, 0.5, 0.75, 1, 1, 1]).reshape(1, 8, 1, 1), gate.shape)
    np.testing.assert_array_equal(gate, expected)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize("name", SMALLEST)
def test_pretrained(name: str, prefix: str, tmp_path: Path) -> None:
    """Files with the classifier of PaddleClas, and those of a segmentation network."""
    source = registry.find(name)()
    give_random_weights(source, seed=2)
    weights = {prefix + key: tensor.numpy() for key, tensor in source.state_dict().items()}
    others = ["head.conv.weight"] if prefix else SMALLEST[name]
    paddle.save({**weights, **{key: np.ones([3], np.float32) for key in others}}, str(tmp_path / "model.pdparams"))

    loaded = registry.find(name)(pretrained=str(tmp_path / "model.pdparams"))

    for key, tensor in loaded.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[prefix + key], err_msg=key)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("MobileNetV2_x0_25", "MobileNetV3_small_x0_35"),
        ("MobileNetV3_small_x0_35", "MobileNetV2_x0_25"),
        ("ShuffleNetV2_x0_25", "ShuffleNetV2_x0_33"),
        ("GhostNet_x0_5", "GhostNet_x1_0"),
    ],
)
def test_a_file_of_another_network_is_refused(name: str, other: str, tmp_path: Path) -> None:
    paddle.save(registry.find(other)().state_dict(), str(tmp_path / "model.pdparams"))

    with pytest.raises(ValueError, match=f"does not fit {name.split('_')[0]}"):
        registry.find(name)(pretrained=str(tmp_path / "model.pdparams"))


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="scale is 0; expected a positive width factor"):
        GhostNet(0)
    with pytest.raises(ValueError, match=r"unknown scale 0\.75; expected one of 0\.25, 0\.33, 0\.5, 1\.0"):
        ShuffleNetV2(0.75)
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        ShuffleNetV2(0.25, act="gelu")
