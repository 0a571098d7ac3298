"""ShuffleNetV2: every width that PaddleSeg has is the network that PaddleSeg has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import registry
from paddle_mobileseg.backbones.shufflenet_v2 import ShuffleNetV2
from paddle_mobileseg.config.components import accepted_arguments
from paddle_mobileseg.layers import shuffle_halves
from tests.backbones.comparison import (
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

NAMES = [name for name in registry.names("backbones") if name.startswith("ShuffleNetV2_")]


@pytest.fixture(params=NAMES, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fresh(name: str) -> tuple[nn.Layer, nn.Layer]:
    """Ours and PaddleSeg's as constructed; to look at only."""
    return both(name)


@pytest.fixture(scope="module")
def pair(name: str) -> tuple[nn.Layer, nn.Layer]:
    return with_equal_weights(both(name), seed=len(name))


def test_every_width_is_ours() -> None:
    assert len(NAMES) == 7
    assert set(NAMES) <= set(registry.ours("backbones"))


def test_the_component(name: str) -> None:
    component = registry.find(name)

    assert component.__name__ == name
    assert accepted_arguments(component) == ({"act", "in_channels", "pretrained"}, set(), False)


def test_names_shapes_start_values_and_attributes(fresh: tuple[nn.Layer, nn.Layer]) -> None:
    assert_same_tensors(fresh)
    ours, theirs = map(parameter_attributes, fresh)
    assert ours == theirs


@pytest.mark.parametrize("size", [(64, 96), (77, 45), (32, 32)])
def test_maps(pair: tuple[nn.Layer, nn.Layer], size: tuple[int, int]) -> None:
    with paddle.no_grad():
        ours, theirs = (network(image(size, batch=2)) for network in pair)

    assert_same_maps(ours, theirs)
    assert_as_announced(pair[0], ours, size)
    assert pair[0].feat_channels == pair[1].feat_channels
    assert pair[0].feat_strides == [4, 8, 16, 32]


@pytest.mark.parametrize("name", ["ShuffleNetV2_x0_33", "ShuffleNetV2_swish"])
def test_training_mode(name: str) -> None:
    pair = with_equal_weights(both(name, in_channels=4), seed=1)
    assert_same_training_step(pair, image((77, 96), channels=4, batch=3))


def test_another_activation() -> None:
    pair = with_equal_weights(both("ShuffleNetV2_x0_25", act="relu6"), seed=1)
    with paddle.no_grad():
        assert_same_maps(*(network(image((64, 64))) for network in pair))


def test_shuffle_of_halves() -> None:
    first, second = (paddle.to_tensor(np.arange(60.0).reshape(2, 3, 2, 5) + start) for start in (0, 100))
    expected = np.stack([each.numpy()[:, c] for c in range(3) for each in (first, second)], axis=1)

    np.testing.assert_array_equal(shuffle_halves(first, second).numpy(), expected)


def test_a_graph_of_open_size() -> None:
    network = ShuffleNetV2(0.25)
    give_random_weights(network, seed=3)
    network.eval()
    spec = [paddle.static.InputSpec([-1, 3, -1, -1], "float32")]
    static = paddle.jit.to_static(ShuffleNetV2(0.25), input_spec=spec, full_graph=True)
    static.set_state_dict(network.state_dict())
    static.eval()
    for shape in ([1, 3, 64, 96], [3, 3, 45, 70]):
        x = paddle.rand(shape)
        with paddle.no_grad():
            for expected, got in zip(network(x), static(x), strict=True):
                scale = float(expected.abs().max())
                np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-4 * scale)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_pretrained(prefix: str, tmp_path: Path) -> None:
    """Files with the classifier of PaddleClas, and those of a segmentation network."""
    source = ShuffleNetV2(0.25)
    give_random_weights(source, seed=2)
    weights = {prefix + key: tensor.numpy() for key, tensor in source.state_dict().items()}
    others = ["head.conv.weight"] if prefix else ["_last_conv._conv.weight", "_fc.weight", "_fc.bias"]
    paddle.save({**weights, **{key: np.ones([3], np.float32) for key in others}}, str(tmp_path / "model.pdparams"))

    loaded = registry.find("ShuffleNetV2_x0_25")(pretrained=str(tmp_path / "model.pdparams"))

    for key, tensor in loaded.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[prefix + key], err_msg=key)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown scale 0\.75; expected one of 0\.25, 0\.33, 0\.5, 1\.0"):
        ShuffleNetV2(0.75)
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        ShuffleNetV2(0.25, act="gelu")
    paddle.save(ShuffleNetV2(0.25).state_dict(), str(tmp_path / "model.pdparams"))
    with pytest.raises(ValueError, match="does not fit ShuffleNetV2"):
        ShuffleNetV2(0.33, pretrained=str(tmp_path / "model.pdparams"))
