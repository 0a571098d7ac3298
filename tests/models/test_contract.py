"""What every network of this project keeps to. A new network is added to ``NETWORKS`` and is tested by that."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_mobileseg.backbones import strideformer_base, strideformer_tiny
from paddle_mobileseg.layers import DropPath, valid_interpolate
from paddle_mobileseg.models import PPMobileSeg

NETWORKS = {
    "pp_mobileseg_tiny": lambda classes: PPMobileSeg(classes, strideformer_tiny(inj_type="AAM")),
    "pp_mobileseg_base": lambda classes: PPMobileSeg(classes, strideformer_base(inj_type="AAMSx8")),
}


@pytest.fixture(params=NETWORKS, scope="module")
def network(request: pytest.FixtureRequest) -> paddle.nn.Layer:
    paddle.seed(0)
    return NETWORKS[request.param](7)


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (75, 101), (45, 60)])
def test_logits_have_the_size_of_the_image(network: paddle.nn.Layer, size: tuple[int, int]) -> None:
    network.eval()
    with paddle.no_grad():
        logits = network(paddle.rand([2, 3, *size]))

    assert [list(t.shape) for t in logits] == [[2, 7, *size]]
    assert bool(paddle.isfinite(logits[0]).all())


def test_a_training_step_reaches_every_parameter(network: paddle.nn.Layer) -> None:
    network.train()
    # Some branches start with a scale of zero, which keeps gradients from what lies before them.
    for name, parameter in network.named_parameters():
        if name.endswith("bn.weight"):
            parameter.set_value(paddle.ones_like(parameter))
    for layer in network.sublayers():
        if isinstance(layer, DropPath):
            layer.rate = 0.0
    logits = network(paddle.rand([2, 3, 128, 192]))  # two rows at stride 64: attention over one has no gradient
    assert len(logits) == network.num_train_logits
    sum((t**2).mean() for t in logits).backward()

    trained = [(name, p.grad) for name, p in network.named_parameters() if not p.stop_gradient]
    without = [name for name, grad in trained if grad is None or not float(grad.abs().max()) > 0]
    network.clear_gradients()
    assert without == []


def test_eval_mode_does_not_depend_on_the_batch(network: paddle.nn.Layer) -> None:
    network.eval()
    images = paddle.rand([3, 3, 64, 64])
    with paddle.no_grad():
        together = network(images)[0].numpy()
        alone = network(images[1:2])[0].numpy()

    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def test_low_logits_upsampled_are_the_logits(network: paddle.nn.Layer) -> None:
    network.eval()
    image = paddle.rand([1, 3, 64, 96])
    with paddle.no_grad():
        low, full = network.low_logits(image), network(image)[0]
        labels = valid_interpolate(low, [64, 96], network.align_corners)
        up = paddle.nn.functional.interpolate(low, [64, 96], mode="bilinear", align_corners=network.align_corners)

    np.testing.assert_array_equal(up.numpy(), full.numpy())
    assert (labels.numpy() == full.argmax(1).numpy()).mean() > 0.98


def test_saved_and_loaded_gives_the_same(network: paddle.nn.Layer, request: pytest.FixtureRequest) -> None:
    network.eval()
    other = NETWORKS[request.node.callspec.params["network"]](7)
    other.set_state_dict(network.state_dict())
    other.eval()
    image = paddle.rand([1, 3, 64, 64])
    with paddle.no_grad():
        np.testing.assert_array_equal(network(image)[0].numpy(), other(image)[0].numpy())


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="AAMSx8"):
        strideformer_tiny(inj_type="sum")
    with pytest.raises(ValueError, match=r"\[32, 64, 128\]"):
        strideformer_tiny(out_feat_chs=[64, 128, 192])
    with pytest.raises(ValueError, match="upsample"):
        PPMobileSeg(3, strideformer_tiny(), upsample="nearest")
