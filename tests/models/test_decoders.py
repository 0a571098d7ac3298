"""The decoder of PP-LiteSeg and MobileSeg against PaddleSeg's, part by part and with other arguments than the recipes'.

The networks as published are compared in tests/parity.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks, registry
from paddle_mobileseg.config import build
from paddle_mobileseg.layers.attention_fusion import FUSIONS, RESIZE_MODES, fusion
from paddle_mobileseg.layers.pyramid import SimplePyramidPooling
from paddle_mobileseg.models.fld_network import FLDNetwork
from paddle_mobileseg.models.mobileseg import MobileSeg
from paddle_mobileseg.models.pp_liteseg import PPLiteSeg
from tests.comparison import (
    apart,
    assert_same_maps,
    assert_same_start,
    assert_same_training_step,
    give_random_weights,
    image,
    parameter_attributes,
    with_equal_weights,
)
from tests.exported import export_both

PADDLESEG_FUSIONS = [name for name in FUSIONS if name.startswith("UAFM")]


class Backbone(nn.Layer):
    """Four maps by one convolution each."""

    feat_channels = (8, 12, 16, 24)
    feat_strides = (4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        channels = [3, *self.feat_channels]
        self.convs = nn.LayerList(
            [nn.Conv2D(channels[i], channels[i + 1], 3, stride=2 if i else 4, padding=1) for i in range(4)]
        )

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        maps = []
        for conv in self.convs:
            x = conv(x)
            maps.append(x)
        return maps


def paddleseg_module(path: str, name: str) -> Any:
    """A class of PaddleSeg that is no component."""
    registry.install()
    return getattr(importlib.import_module(f"paddleseg.models.{path}"), name)


def random_map(*shape: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(sum(shape)).normal(size=shape))


@pytest.mark.parametrize("arm_type", PADDLESEG_FUSIONS)
@pytest.mark.parametrize("resize_mode", RESIZE_MODES)
def test_fusion_in_eval_mode(arm_type: str, resize_mode: str) -> None:
    theirs = paddleseg_module("layers", arm_type)(24, 16, 20, ksize=3, resize_mode=resize_mode)
    ours, theirs = with_equal_weights((fusion(arm_type, 24, 16, 20, resize_mode), theirs), seed=0)
    x, y = random_map(2, 24, 13, 18), random_map(2, 16, 7, 9)

    assert_same_maps([ours(x, y)], [theirs(x, y)])


@pytest.mark.parametrize("arm_type", PADDLESEG_FUSIONS)
def test_fusion_in_training_mode(arm_type: str) -> None:
    pair = with_equal_weights((fusion(arm_type, 24, 16, 20), paddleseg_module("layers", arm_type)(24, 16, 20)), seed=0)
    results = []
    for layer in pair:
        layer.train()
        x, y = random_map(2, 24, 12, 18), random_map(2, 16, 3, 4)
        y[:, :, 0, 0] = y[:, :, 2, 3] = 4.0  # the largest value twice: which of them gets the gradient?
        x.stop_gradient = y.stop_gradient = False
        out = layer(x, y)
        (out * random_map(*out.shape)).sum().backward()
        gradients = {name: each.grad for name, each in layer.named_parameters() if not each.stop_gradient}
        statistics = {name: each for name, each in layer.state_dict().items() if name.endswith(("_mean", "_variance"))}
        results.append({"out": out, "x": x.grad, "y": y.grad, **gradients, **statistics})

    ours, theirs = results
    assert ours.keys() == theirs.keys()
    largest = max(float(each.abs().max()) for each in theirs.values())
    for name, expected in theirs.items():  # the gradient of a bias before a batch norm is zero but for rounding
        np.testing.assert_allclose(ours[name].numpy(), expected.numpy(), rtol=1e-6, atol=1e-9 * largest, err_msg=name)


def test_the_scale_of_spatial_attention_is_frozen() -> None:
    for layer in (fusion("UAFM_SpAtten", 8, 8, 8), paddleseg_module("layers", "UAFM_SpAtten")(8, 8, 8)):
        assert layer._scale.stop_gradient
        assert layer._scale.tolist() == [1.0]


@pytest.mark.parametrize(
    ("path", "name", "separable"),
    [("pp_liteseg", "PPContextModule", False), ("mobileseg", "MobileContextModule", True)],
)
@pytest.mark.parametrize("bin_sizes", [[1, 2, 4], [1, 3, 6], [2]])
def test_pyramid_pooling(path: str, name: str, separable: bool, bin_sizes: list[int]) -> None:
    theirs = paddleseg_module(path, name)(12, 8, 8, bin_sizes)
    ours, theirs = with_equal_weights((SimplePyramidPooling(12, 8, bin_sizes, separable=separable), theirs), seed=0)

    for size in ((16, 16), (5, 7), (2, 3), (1, 1)):  # some are smaller than the grid
        x = random_map(2, 12, *size)
        assert_same_maps([ours(x)], [theirs(x)])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MobileSeg", {}),
        ("MobileSeg", {"use_last_fuse": True, "arm_type": "UAFMMobile_SpAtten", "cm_bin_sizes": [1, 3]}),
        ("MobileSeg", {"backbone_indices": [0, 1, 2, 3], "arm_out_chs": [16], "seg_head_inter_chs": [24]}),
        ("MobileSeg", {"backbone_indices": [3], "arm_out_chs": [8], "seg_head_inter_chs": [8], "use_last_fuse": True}),
        ("PPLiteSeg", {"backbone_indices": [1, 2, 3], "arm_type": "UAFM_ChAtten", "resize_mode": "nearest"}),
        ("PPLiteSeg", {"backbone_indices": [1, 3], "arm_out_chs": [8, 16], "seg_head_inter_chs": [8], "cm_out_ch": 20}),
    ],
)
def test_networks_with_other_arguments(name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = with_equal_weights(
        (registry.find(name)(5, Backbone(), **arguments), registry.upstream(name)(5, Backbone(), **arguments)), seed=0
    )
    x = image((75, 101), batch=2)
    logits = ours(x)

    assert [each.shape for each in logits] == [[2, 5, 75, 101]]
    assert_same_maps(logits, theirs(x))
    assert_same_training_step((ours, theirs), x)
    assert len(ours(x)) == ours.num_train_logits == len(ours.backbone_indices)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("MobileSeg", {"arm_type": "UAFMMobile_SpAtten", "use_last_fuse": True}), ("PPLiteSeg", {"arm_type": "UAFM"})],
)
def test_training_starts_as_paddlesegs(name: str, arguments: dict[str, Any]) -> None:
    arguments = {"backbone_indices": [1, 2, 3], **arguments}
    paddle.seed(7)
    ours, theirs = (find(name)(5, Backbone(), **arguments) for find in (registry.find, registry.upstream))

    assert parameter_attributes(ours) == parameter_attributes(theirs)
    assert_same_start((ours, theirs))


def test_in_eval_mode_one_head_runs() -> None:
    network = MobileSeg(5, Backbone())
    runs = [0, 0, 0]
    for i, head in enumerate(network.seg_heads):
        head.register_forward_post_hook(lambda *_, i=i: runs.__setitem__(i, runs[i] + 1))
    network.eval()
    network(paddle.rand([1, 3, 64, 64]))
    assert runs == [1, 0, 0]
    network.train()
    network(paddle.rand([2, 3, 64, 64]))
    assert runs == [2, 1, 1]


@pytest.mark.parametrize("arm_type", [name for name in PADDLESEG_FUSIONS if name != "UAFM_SpAtten"])
def test_variants_that_no_recipe_has_are_exported(arm_type: str, tmp_path: Path) -> None:
    network = MobileSeg(5, Backbone(), arm_type=arm_type, use_last_fuse=True)
    give_random_weights(network, seed=0)
    network.eval()
    x = image((75, 101), dtype="float32")
    with paddle.no_grad():
        expected = network(x)[0].numpy()

    for runner in export_both(network, tmp_path, "none", [-1, 3, -1, -1]):
        assert apart(runner.run(x.numpy()), expected) < 1e-5


def test_what_the_backbone_never_trains() -> None:
    backbone = Backbone()
    assert MobileSeg(5, backbone).never_trained == ()
    backbone.never_trained = ("convs.0.weight",)
    assert MobileSeg(5, backbone).never_trained == ("backbone.convs.0.weight",)


def test_arguments_of_paddlesegs_earlier_yamls() -> None:
    """As in its configs/pp_liteseg/pp_liteseg_stdc1net_cityscapes_1024x512_scale0.5_bs16_160k.yml."""
    earlier = build.component(
        {
            "type": "PPLiteSeg",
            "num_classes": 19,
            "backbone": {"type": "STDC1"},
            "arm_type": "ARM_Add_SpAttenAdd3",
            "cm_bin_sizes": [1, 2, 4],
            "cm_out_ch": 128,
            "arm_out_chs": [32, 64, 128],
            "seg_head_mid_chs": [32, 64, 64],
            "resize_mode": "bilinear",
        }
    )
    today = networks.get("pp_liteseg_stdc1").build()

    assert earlier.set_state_dict(today.state_dict()) == ([], [])
    for network in (earlier, today):
        network.eval()
    x = image((64, 64), dtype="float32")
    np.testing.assert_array_equal(earlier(x)[0].numpy(), today(x)[0].numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arm_type": "UAFM_SpAten"}, "unknown arm_type 'UAFM_SpAten'; did you mean 'UAFM_SpAtten'"),
        ({"resize_mode": "cubic"}, "unknown resize_mode 'cubic'; expected one of bilinear, nearest, bicubic"),
        ({"backbone_indices": [2, 3, 4]}, r"backbone_indices is \[2, 3, 4\], but the backbone gives 4 maps"),
        ({"backbone_indices": []}, r"backbone_indices is \[\]"),
        ({"arm_out_chs": [32, 64]}, r"arm_out_chs is \[32, 64\], but 3 maps are fused; expected 3 numbers or one"),
        ({"seg_head_inter_chs": []}, r"seg_head_inter_chs is \[\], but 3 maps are fused"),
        ({"cm_bin_sizes": [0, 2]}, r"the bin sizes are \[0, 2\]; expected at least one, and none below 1"),
        ({"cm_bin_sizes": []}, r"the bin sizes are \[\]"),
    ],
)
@pytest.mark.parametrize("network", [MobileSeg, PPLiteSeg])
def test_mistakes(network: type[FLDNetwork], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(5, Backbone(), **{"backbone_indices": [1, 2, 3], **arguments})
