"""MobileNetV2 and MobileNetV3: every width that PaddleSeg has is the network that PaddleSeg has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import registry
from paddle_mobileseg.config.components import accepted_arguments

NAMES = [name for name in registry.names("backbones") if name.startswith("MobileNetV")]
SMALLEST = ("MobileNetV2_x0_25", "MobileNetV3_small_x0_35")


def built(component: Any, **arguments: Any) -> nn.Layer:
    with paddle.utils.unique_name.guard():  # PaddleSeg gives some parameters fixed names
        paddle.seed(7)
        return component(**arguments)


def give_random_weights(network: nn.Layer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if len(shape) == 4:
            values = rng.normal(0, (1.6 / math.prod(shape[1:])) ** 0.5, shape)
        elif name.endswith(("weight", "_variance")):
            values = rng.uniform(0.6, 1.4, shape)
        else:
            values = rng.normal(0, 0.3, shape)
        tensor.set_value(values.astype(np.float32))


def image(size: tuple[int, int], channels: int = 3, batch: int = 1) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(size[1]).normal(size=(batch, channels, *size)))


def assert_equal_maps(ours: list[paddle.Tensor], theirs: list[paddle.Tensor]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        mine, other = mine.numpy(), other.numpy()
        assert mine.shape == other.shape
        assert other.std() > 0.05 * np.abs(other).max()  # the weights are healthy
        assert np.abs(mine - other).max() < 1e-6 * np.abs(other).max()


@pytest.fixture(params=NAMES, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fresh(name: str) -> tuple[nn.Layer, nn.Layer]:
    """Ours and PaddleSeg's as constructed, from the same seed; to look at only."""
    return built(registry.find(name)), built(registry.upstream(name))


@pytest.fixture(scope="module")
def pair(name: str) -> tuple[nn.Layer, nn.Layer]:
    """Ours and PaddleSeg's with the same random weights, float64, in eval mode."""
    ours, theirs = built(registry.find(name)), built(registry.upstream(name))
    give_random_weights(ours, seed=len(name))
    theirs.set_state_dict(ours.state_dict())
    for network in (ours, theirs):
        network.to(dtype="float64")
        network.eval()
    return ours, theirs


def test_every_width_is_ours() -> None:
    assert len(NAMES) == 18
    assert set(NAMES) <= set(registry.ours("backbones"))


def test_the_component(name: str, fresh: tuple[nn.Layer, nn.Layer]) -> None:
    component = registry.find(name)

    assert component.__name__ == name
    assert type(fresh[0]).__module__.startswith("paddle_mobileseg.")
    assert type(fresh[1]).__module__.startswith("paddleseg.")
    assert type(fresh[0]).__name__ in component.__doc__
    assert accepted_arguments(component) == ({"in_channels", "pretrained"}, set(), False)


def test_names_shapes_and_start_values(fresh: tuple[nn.Layer, nn.Layer]) -> None:
    ours, theirs = (network.state_dict() for network in fresh)

    assert [(n, t.shape) for n, t in ours.items()] == [(n, t.shape) for n, t in theirs.items()]
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor.numpy(), theirs[name].numpy(), err_msg=name)


def test_parameter_attributes(fresh: tuple[nn.Layer, nn.Layer]) -> None:
    def attributes(network: nn.Layer) -> dict[str, tuple]:
        return {
            name: (p.stop_gradient, p.trainable, str(p.regularizer), p.optimize_attr, p.need_clip)
            for name, p in network.named_parameters()
        }

    ours, theirs = map(attributes, fresh)
    assert ours == theirs


@pytest.mark.parametrize("size", [(64, 96), (77, 45), (32, 32)])
def test_maps(pair: tuple[nn.Layer, nn.Layer], size: tuple[int, int]) -> None:
    with paddle.no_grad():
        ours, theirs = (network(image(size)) for network in pair)

    assert_equal_maps(ours, theirs)
    assert pair[0].feat_channels == pair[1].feat_channels
    assert [map_.shape for map_ in ours] == [
        [1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride)]
        for channels, stride in zip(pair[0].feat_channels, pair[0].feat_strides, strict=True)
    ]


def test_strides(name: str, fresh: tuple[nn.Layer, nn.Layer]) -> None:
    assert fresh[0].feat_strides == ([4, 8, 8, 8] if name.endswith("_os8") else [4, 8, 16, 32])


@pytest.mark.parametrize("name", ["MobileNetV2_x1_0", "MobileNetV3_large_x1_0", "MobileNetV3_small_x1_0_os8"])
def test_training_mode(name: str) -> None:
    """The maps, the gradients and the statistics that batch norms gather."""
    ours, theirs = built(registry.find(name), in_channels=4), built(registry.upstream(name), in_channels=4)
    give_random_weights(ours, seed=1)
    theirs.set_state_dict(ours.state_dict())
    maps = []
    for network in (ours, theirs):
        network.to(dtype="float64")
        network.train()
        maps.append(network(image((77, 96), channels=4, batch=3)))
        sum((each**2).mean() for each in maps[-1]).backward()

    assert_equal_maps(*maps)
    gathered = theirs.state_dict()
    for key, tensor in ours.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), gathered[key].numpy(), rtol=1e-6, atol=1e-9, err_msg=key)
    gradients = {key: p.grad.numpy() for key, p in theirs.named_parameters() if not p.stop_gradient}
    largest = max(np.abs(each).max() for each in gradients.values())
    for key, parameter in ours.named_parameters():
        if not parameter.stop_gradient:
            np.testing.assert_allclose(
                parameter.grad.numpy(), gradients[key], rtol=1e-5, atol=1e-7 * largest, err_msg=key
            )


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("MobileNetV2_x0_25", ("conv9._conv.weight", "conv9._batch_norm._mean", "out.weight", "out.bias")),
        ("MobileNetV3_small_x0_35", ("last_second_conv.conv.weight", "last_conv.weight", "fc.weight", "fc.bias")),
    ],
)
def test_pretrained(name: str, classifier: tuple[str, ...], prefix: str, tmp_path: Path) -> None:
    """Files with the classifier of PaddleClas, and those of a segmentation network."""
    source = registry.find(name)()
    give_random_weights(source, seed=2)
    weights = {prefix + key: tensor.numpy() for key, tensor in source.state_dict().items()}
    others = classifier if not prefix else ("head.conv.weight",)
    paddle.save({**weights, **{key: np.ones([3], np.float32) for key in others}}, str(tmp_path / "model.pdparams"))

    loaded = registry.find(name)(pretrained=str(tmp_path / "model.pdparams"))

    for key, tensor in loaded.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[prefix + key], err_msg=key)


@pytest.mark.parametrize(("name", "other"), [SMALLEST, SMALLEST[::-1]])
def test_a_file_of_another_network_is_refused(name: str, other: str, tmp_path: Path) -> None:
    paddle.save(registry.find(other)().state_dict(), str(tmp_path / "model.pdparams"))

    with pytest.raises(ValueError, match="does not fit MobileNetV"):
        registry.find(name)(pretrained=str(tmp_path / "model.pdparams"))
