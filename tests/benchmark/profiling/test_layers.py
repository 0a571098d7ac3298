"""Counts per layer: by hand, and for every network of the list against its totals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paddle
import pytest
import yaml
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.benchmark.profiling.layers import LayerRow, layer_table, layers_of_bundle
from paddle_mobileseg.models.complexity import count
from paddle_mobileseg.runtime.bundle import Bundle, describe_files


class Odd(nn.Layer):
    """A shared convolution, a parameter of its own, a layer that is not used, one that gives a list, frozen weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([5])
        self.twice = nn.Conv2D(3, 3, 3, padding=1, groups=3)
        self.norm = nn.BatchNorm2D(3)
        self.unused = nn.Linear(4, 2)
        self.frozen = nn.Conv2D(3, 4, 1, bias_attr=False)
        self.frozen.weight.stop_gradient = True
        self.act = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.frozen(self.act(self.norm(self.twice(self.twice(x)))))]


def test_by_hand() -> None:
    network = Odd()
    network.train()
    before = network.norm._mean.numpy().copy()
    rows = layer_table(network, (8, 6))

    pixels = 8 * 6
    image, four = (1, 3, 8, 6), (1, 4, 8, 6)
    assert rows == [
        LayerRow("", "Odd", image, four, 5, 0),
        LayerRow("twice", "Conv2D", image, image, 3 * 9 + 3, 2 * pixels * 3 * 9),
        LayerRow("norm", "BatchNorm2D", image, image, 6, 0),
        LayerRow("unused", "Linear", None, None, 4 * 2 + 2, 0),
        LayerRow("frozen", "Conv2D", image, four, 0, pixels * 4 * 3),
    ]
    assert network.training
    assert (network.norm._mean.numpy() == before).all()
    assert not network.twice._forward_post_hooks


def test_parameters_that_layers_share_count_once() -> None:
    network = nn.Sequential(nn.Conv2D(3, 3, 1), nn.Conv2D(3, 3, 1))
    network[1].weight = network[0].weight
    assert [row.parameters for row in layer_table(network, (4, 4))] == [12, 3]


@pytest.mark.parametrize("name", networks.names())
def test_sums_are_the_totals(name: str) -> None:
    network = networks.get(name).build(7)
    rows = layer_table(network, (64, 96))

    assert (sum(row.parameters for row in rows), sum(row.macs for row in rows)) == count(network, (64, 96))
    # Convolutions by their shapes: each output value takes one product for each weight behind it.
    layers = dict(network.named_sublayers())
    for row in rows:
        layer = layers.get(row.name)
        if isinstance(layer, nn.Conv2D) and row.output_shape is not None and row.macs:
            batch, channels, height, width = row.output_shape
            in_channels = row.input_shape[1] // layer._groups
            kernel = layer._kernel_size[0] * layer._kernel_size[1]
            assert row.macs % (batch * channels * height * width * in_channels * kernel) == 0, row
    assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize("size", [(0, 64), (64,), (64, 64, 3), (64.0, 64)])
def test_sizes(size: Any) -> None:
    with pytest.raises(ValueError, match="expected height and width"):
        layer_table(nn.Conv2D(3, 1, 1), size)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """What is needed of a manifest for TopFormer Tiny with 7 classes."""
    spec = networks.get("topformer_tiny").spec(7)
    spec["pretrained"] = spec["backbone"]["pretrained"] = "nowhere.pdparams"
    (tmp_path / "config.yml").write_text(yaml.safe_dump({"model": spec}))
    parameters, _ = count(networks.get("topformer_tiny").build(7), (64, 64))
    about = {
        "network": "TopFormer",
        "architecture": "topformer_tiny",
        "num_classes": 7,
        "num_parameters": parameters,
        "macs_size_hw": [64, 96],
        "input": {"layout": "NCHW"},
        "files": describe_files(tmp_path, ["config.yml"]),
    }
    return Bundle(tmp_path, {"input_shape": [1, 3, 128, 192], "output_op": "none"}, about)


@pytest.fixture
def expected() -> list[LayerRow]:
    return layer_table(networks.get("topformer_tiny").build(7), (64, 96))


def test_from_the_config_of_a_bundle(bundle: Bundle, expected: list[LayerRow]) -> None:
    bundle.about["architecture"] = None
    assert layers_of_bundle(bundle) == expected


def test_by_name(bundle: Bundle, expected: list[LayerRow]) -> None:
    bundle.about["files"] = {}
    assert layers_of_bundle(bundle) == expected
    del bundle.about["architecture"]
    assert layers_of_bundle(bundle, "topformer_tiny") == expected


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", [1, 3, 64, 96]), ("NHWC", [1, 64, 96, 3])])
def test_size_of_the_graph(bundle: Bundle, expected: list[LayerRow], layout: str, shape: list[int]) -> None:
    del bundle.about["macs_size_hw"]
    bundle.about["input"]["layout"] = layout
    bundle.deploy["input_shape"] = shape
    assert layers_of_bundle(bundle) == expected


def test_what_a_bundle_does_not_say(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"topformer_base is a network of [0-9]+ parameters, but .* holds one of"):
        layers_of_bundle(bundle, "topformer_base")
    with pytest.raises(KeyError, match="topformer_tiny"):
        layers_of_bundle(bundle, "topformer_tny")
    bundle.about["files"], bundle.about["architecture"] = {}, None
    with pytest.raises(ValueError, match="does not say of which network it is, besides TopFormer; name it"):
        layers_of_bundle(bundle)
    bundle.about["macs_size_hw"], bundle.deploy["input_shape"] = None, [1, 3, -1, -1]
    with pytest.raises(ValueError, match="images of any size"):
        layers_of_bundle(bundle, "topformer_tiny")


def test_a_config_that_was_changed(bundle: Bundle) -> None:
    (bundle.folder / "config.yml").write_text("model: {type: TopFormer}")
    with pytest.raises(ValueError, match=r"config\.yml has .* bytes, but .* were exported"):
        layers_of_bundle(bundle)
