"""What every network of this project keeps to. A new network is added to ``NETWORKS`` and is tested by that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.backbones import strideformer_base, strideformer_tiny
from paddle_mobileseg.layers import DropPath, valid_interpolate
from paddle_mobileseg.models import PPMobileSeg
from paddle_mobileseg.weights import load_weights

NETWORKS = {
    "pp_mobileseg_tiny": lambda classes: PPMobileSeg(classes, strideformer_tiny(inj_type="AAM")),
    "pp_mobileseg_base": lambda classes: PPMobileSeg(classes, strideformer_base(inj_type="AAMSx8")),
}


@pytest.fixture(params=NETWORKS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def shared(name: str) -> tuple[nn.Layer, dict[str, np.ndarray]]:
    """A network of 7 classes and what its tensors are at the start."""
    paddle.seed(0)
    network = NETWORKS[name](7)
    return network, {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}


@pytest.fixture
def network(shared: tuple[nn.Layer, dict[str, np.ndarray]]) -> nn.Layer:
    """The network in eval mode, which a test must leave as it was; see ``trainable`` for one to change."""
    shared[0].eval()
    paddle.seed(1)
    return shared[0]


@pytest.fixture
def trainable(name: str) -> nn.Layer:
    """A network of its own without stochastic depth, in training mode."""
    paddle.seed(0)
    network = NETWORKS[name](7)
    for layer in network.sublayers():
        if isinstance(layer, DropPath):
            layer.rate = 0.0
    network.train()
    return network


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (75, 101), (45, 60)])
def test_logits_have_the_size_of_the_image(network: nn.Layer, size: tuple[int, int]) -> None:
    with paddle.no_grad():
        logits = network(paddle.rand([2, 3, *size]))

    assert [list(t.shape) for t in logits] == [[2, 7, *size]]
    assert bool(paddle.isfinite(logits[0]).all())


def test_a_training_step_reaches_every_parameter(trainable: nn.Layer) -> None:
    # Some branches start with a scale of zero, which keeps gradients from what lies before them.
    for name, parameter in trainable.named_parameters():
        if name.endswith("bn.weight"):
            parameter.set_value(paddle.ones_like(parameter))
    logits = trainable(paddle.rand([2, 3, 128, 192]))  # two rows at stride 64: attention over one has no gradient
    assert len(logits) == trainable.num_train_logits
    sum((t**2).mean() for t in logits).backward()

    trained = [(name, p.grad) for name, p in trainable.named_parameters() if not p.stop_gradient]
    assert [name for name, grad in trained if grad is None or not float(grad.abs().max()) > 0] == []


def test_eval_mode_does_not_depend_on_the_batch(network: nn.Layer) -> None:
    images = paddle.rand([3, 3, 64, 64])
    with paddle.no_grad():
        together = network(images)[0].numpy()
        alone = network(images[1:2])[0].numpy()

    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


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
        maps = backbone(paddle.rand([1, 3, 64, 96]))
    maps = maps if isinstance(maps, (list, tuple)) else [maps]

    expected = [
        [1, channels, 64 // stride, 96 // stride]
        for channels, stride in zip(backbone.feat_channels, backbone.feat_strides, strict=True)
    ]
    assert [list(each.shape) for each in maps] == expected


def test_the_head_is_what_the_backbone_is_not(network: nn.Layer) -> None:
    names = list(network.state_dict())

    assert [each for each in names if not each.startswith(("backbone.", network.head_prefix))] == []
    assert [each for each in names if each.startswith(network.head_prefix)]


def test_saved_and_loaded_gives_the_same(name: str, network: nn.Layer, tmp_path: Path) -> None:
    paddle.save(network.state_dict(), str(tmp_path / "model.pdparams"))
    other = NETWORKS[name](7)
    load_weights(other, tmp_path / "model.pdparams")
    other.eval()
    image = paddle.rand([1, 3, 64, 64])
    with paddle.no_grad():
        np.testing.assert_array_equal(network(image)[0].numpy(), other(image)[0].numpy())


def test_the_tests_leave_the_network_as_it_was(shared: tuple[nn.Layer, dict[str, np.ndarray]]) -> None:
    for name, tensor in shared[0].state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), shared[1][name])


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="AAMSx8"):
        strideformer_tiny(inj_type="sum")
    with pytest.raises(ValueError, match=r"\[32, 64, 128\]"):
        strideformer_tiny(out_feat_chs=[64, 128, 192])
    with pytest.raises(ValueError, match="upsample"):
        PPMobileSeg(3, strideformer_tiny(), upsample="nearest")


def test_the_activation_of_the_attention_stages() -> None:
    network = strideformer_tiny(act="hardswish")
    blocks = network.trans1.transformer_blocks

    assert {type(block.mlp.act) for block in blocks} == {nn.Hardswish}
    assert {type(block.attn.proj[0]) for block in blocks} == {nn.Hardswish}
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        strideformer_tiny(act="gelu")
