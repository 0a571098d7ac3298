"""What every network of this project keeps to. A network is tested because its model file adds it to ``networks``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.layers import DropPath, valid_interpolate
from paddle_mobileseg.models.complexity import count
from paddle_mobileseg.weights import load_weights
from tests.contract.conftest import CLASSES


@pytest.fixture
def trainable(record: networks.Network) -> nn.Layer:
    """A network of its own without stochastic depth, in training mode."""
    paddle.seed(0)
    network = record.build(CLASSES)
    for layer in network.sublayers():
        if isinstance(layer, DropPath):
            layer.rate = 0.0
    network.train()
    return network


def test_it_says_what_the_kit_must_know(network: nn.Layer) -> None:
    told = {"num_classes", "num_train_logits", "head_prefixes", "align_corners", "low_logits", "backbone"}
    assert {name for name in told if not hasattr(network, name)} == set()
    assert {name for name in ("feat_channels", "feat_strides") if not hasattr(network.backbone, name)} == set()
    assert network.num_classes == CLASSES
    assert isinstance(network.head_prefixes, tuple)


def test_weights_that_are_named_are_loaded(record: networks.Network) -> None:
    """A network or backbone that takes ``pretrained`` and does nothing with it would train from random weights."""
    spec = record.spec(CLASSES)
    for place in (spec, spec["backbone"]):
        place["pretrained"] = "nowhere/model.pdparams"
        with pytest.raises(FileNotFoundError, match=r"nowhere/model\.pdparams"):
            build.component(spec)
        del place["pretrained"]


def test_images_of_four_channels(record: networks.Network) -> None:
    spec = record.spec(CLASSES)
    spec["backbone"]["in_channels"] = 4
    network = build.component(spec)
    network.eval()
    with paddle.no_grad():
        assert network(paddle.rand([1, 4, 64, 64]))[0].shape == [1, CLASSES, 64, 64]


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (75, 101), (45, 60)])
def test_logits_have_the_size_of_the_image(network: nn.Layer, size: tuple[int, int]) -> None:
    with paddle.no_grad():
        logits = network(paddle.rand([2, 3, *size]))

    assert [list(t.shape) for t in logits] == [[2, CLASSES, *size]]
    assert bool(paddle.isfinite(logits[0]).all())


def test_a_training_step_reaches_every_parameter(trainable: nn.Layer) -> None:
    # Some branches start with a scale of zero, which keeps gradients from what lies before them.
    for name, parameter in trainable.named_parameters():
        if name.endswith("bn.weight") and not parameter.stop_gradient:
            parameter.set_value(paddle.ones_like(parameter))
    # Two rows at stride 64: attention over one has no gradient. Three images: the bias before a batch norm over two
    # values has a gradient of exactly zero.
    image = paddle.rand([3, 3, 128, 192])
    logits = trainable(image)
    assert [list(t.shape) for t in logits] == [[3, CLASSES, 128, 192]] * trainable.num_train_logits
    sum((t**2).mean() for t in logits).backward()

    trained = [(name, p.grad) for name, p in trainable.named_parameters() if not p.stop_gradient]
    without = {name for name, grad in trained if grad is None or not float(grad.abs().max()) > 0}
    # What a bias before a batch norm gets is zero but for rounding.
    without = {name for name in without if not name.endswith("_conv.bias")}
    assert without == set(getattr(trainable, "never_trained", ()))


def test_eval_mode_does_not_depend_on_the_batch(network: nn.Layer) -> None:
    images = paddle.rand([3, 3, 64, 64], dtype="float64")
    network.to(dtype="float64")
    with paddle.no_grad():
        together = network(images)[0].numpy()
        alone = network(images[1:2])[0].numpy()
    network.to(dtype="float32")

    np.testing.assert_allclose(together[1:2], alone, atol=1e-9 * np.abs(alone).max())


def test_low_logits_upsampled_are_the_logits(network: nn.Layer) -> None:
    image = paddle.rand([1, 3, 64, 96])
    with paddle.no_grad():
        low, full = network.low_logits(image), network(image)[0]
        labels = valid_interpolate(low, [64, 96], network.align_corners)
        up = paddle.nn.functional.interpolate(low, [64, 96], mode="bilinear", align_corners=network.align_corners)

    np.testing.assert_array_equal(up.numpy(), full.numpy())
    assert (labels.numpy() == full.argmax(1).numpy()).mean() > 0.98


def test_the_backbone_says_its_channels_and_strides(network: nn.Layer) -> None:
    backbone = network.backbone
    with paddle.no_grad():
        maps = backbone(paddle.rand([1, 3, 128, 192]))
    maps = maps if isinstance(maps, (list, tuple)) else [maps]

    expected = [
        [1, channels, 128 // stride, 192 // stride]
        for channels, stride in zip(backbone.feat_channels, backbone.feat_strides, strict=True)
    ]
    assert [list(each.shape) for each in maps] == expected


def test_the_head_is_what_the_backbone_is_not(network: nn.Layer) -> None:
    names = list(network.state_dict())

    assert [each for each in names if not each.startswith(("backbone.", *network.head_prefixes))] == []
    for prefix in network.head_prefixes:
        assert [each for each in names if each.startswith(prefix)]


def test_saved_and_loaded_gives_the_same(record: networks.Network, network: nn.Layer, tmp_path: Path) -> None:
    paddle.save(network.state_dict(), str(tmp_path / "model.pdparams"))
    other = record.build(CLASSES)
    load_weights(other, tmp_path / "model.pdparams")
    other.eval()
    image = paddle.rand([1, 3, 64, 64])
    with paddle.no_grad():
        np.testing.assert_array_equal(network(image)[0].numpy(), other(image)[0].numpy())


def test_another_number_of_classes_is_dropped_on_request(
    record: networks.Network, network: nn.Layer, tmp_path: Path
) -> None:
    paddle.save(network.state_dict(), str(tmp_path / "model.pdparams"))
    other = record.build(CLASSES + 1)
    with pytest.raises(ValueError, match="tensors of another shape"):
        load_weights(other, tmp_path / "model.pdparams")
    load_weights(other, tmp_path / "model.pdparams", ignore_head=True)
    own, theirs = other.state_dict(), network.state_dict()

    same_shape = [name for name in own if own[name].shape == theirs[name].shape]
    assert 0 < len(own) - len(same_shape) <= 2 * network.num_train_logits
    for name in same_shape:
        np.testing.assert_array_equal(own[name].numpy(), theirs[name].numpy())


def test_parameters_and_macs(record: networks.Network) -> None:
    parameters, macs = count(record.build(), record.size_hw)

    said = {"parameters": record.parameters, "macs": record.macs}
    assert said == {"parameters": parameters, "macs": macs}


def test_the_recipe_builds_this_network(record: networks.Network, repository: Path) -> None:
    config = load_config(repository / "configs" / record.recipe)
    model = config.model
    model["backbone"].pop("pretrained", None)
    from_recipe, own = build.component(model), record.build()

    assert config.num_classes == record.num_classes
    assert {n: t.shape for n, t in from_recipe.state_dict().items()} == {
        n: t.shape for n, t in own.state_dict().items()
    }
    crops = [t["crop_size"] for t in config.train_dataset["transforms"] if "crop_size" in t]
    assert crops == [list(reversed(record.size_hw))]


def test_the_tests_leave_the_network_as_it_was(shared: tuple[nn.Layer, dict[str, np.ndarray]]) -> None:
    for name, tensor in shared[0].state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), shared[1][name])
