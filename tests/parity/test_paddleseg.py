"""PaddleSeg's own networks and ours give the same numbers on the same weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.backbones.top_transformer import POOLINGS
from tests.comparison import Pair, apart, assert_same_gradients, gradients, image, names_and_shapes, with_equal_weights

NUM_CLASSES = 19
COMPARED = [name for name in networks.names() if networks.get(name).in_paddleseg]
# PaddleSeg's own class raises an error at sizes that are no multiple of 32.
NEEDS_MULTIPLES_OF_32 = ("mobileseg_litehrnet18", "topformer_base", "topformer_small", "topformer_tiny")


def sigmoid_gate(theirs: nn.Layer) -> None:
    """PaddleSeg 2.8.0 has ReLU6 for the aggregation's gate; the published weights were trained with a sigmoid."""
    gates = theirs.backbone.inj_module.act_list
    for index in range(len(gates)):
        gates[index] = nn.Sigmoid()


CORRECTIONS: dict[str, Callable[[nn.Layer], None]] = {
    "pp_mobileseg_base": sigmoid_gate,
    "pp_mobileseg_tiny": sigmoid_gate,
}


def without_randomness(network: nn.Layer) -> None:
    for layer in network.sublayers():
        for rate in ("rate", "drop_prob", "p"):
            if isinstance(getattr(layer, rate, None), (int, float)):
                setattr(layer, rate, 0.0)


def both(name: str) -> Pair:
    """Our network and PaddleSeg's of one record."""
    ours, theirs = networks.get(name).build(NUM_CLASSES), networks.get(name).build_paddleseg(NUM_CLASSES)
    for network, package in ((ours, "paddle_mobileseg."), (theirs, "paddleseg.")):
        assert type(network).__module__.startswith(package)
        assert type(network.backbone).__module__.startswith(package)
    return ours, theirs


@pytest.fixture(params=COMPARED, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(name: str) -> Pair:
    """Both with the same weights, in eval mode, without dropout."""
    ours, theirs = both(name)
    if name.startswith("topformer"):
        ours.backbone.pool = POOLINGS["floor"]  # ours is the authors' by default
    CORRECTIONS.get(name, lambda network: None)(theirs)
    for network in (ours, theirs):
        without_randomness(network)
    return with_equal_weights((ours, theirs), seed=0, dtype="float32")


def test_names_and_shapes(pair: Pair) -> None:
    ours, theirs = map(names_and_shapes, pair)

    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(
    ("size", "dtype", "allowed"),
    [
        ((512, 512), "float32", 1e-4),
        ((384, 640), "float32", 1e-4),
        ((250, 333), "float32", 1e-4),
        ((250, 333), "float64", 1e-6),  # so little tells another network from other rounding
        ((128, 192), "float64", 1e-6),
    ],
)
def test_logits(pair: Pair, name: str, size: tuple[int, int], dtype: str, allowed: float) -> None:
    if name in NEEDS_MULTIPLES_OF_32 and size[0] % 32:
        with paddle.no_grad(), pytest.raises(ValueError):
            pair[1](image(size, dtype="float32"))
        size = (160, 352)
    try:
        for network in pair:
            network.to(dtype=dtype)
        with paddle.no_grad():
            ours, theirs = (network(image(size, dtype=dtype))[0].numpy() for network in pair)
    finally:
        for network in pair:
            network.to(dtype="float32")

    assert theirs.std(axis=(2, 3)).min() > 0.01 * np.abs(theirs).max()  # the weights are healthy
    assert theirs.shape == (1, NUM_CLASSES, *size)
    assert apart(ours, theirs) <= allowed


@pytest.mark.parametrize("variant", CORRECTIONS)
def test_the_gate_matters(variant: str) -> None:
    """With PaddleSeg 2.8.0's own gate the logits differ, so the comparison above would see it."""
    pair = with_equal_weights(both(variant), seed=0)
    with paddle.no_grad():
        ours, theirs = (network(image((64, 96)))[0].numpy() for network in pair)

    assert apart(ours, theirs) > 0.05


def test_gradients_of_a_training_step(pair: Pair) -> None:
    """In float64: in float32 some gradients are small differences of large numbers."""
    labels = paddle.to_tensor(np.random.default_rng(0).integers(0, NUM_CLASSES, (2, 128, 192)))
    found = []
    for network in pair:
        before = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
        network.to(dtype="float64")
        network.train()
        logits = network(image((128, 192), batch=2))
        sum(F.cross_entropy(each, labels, axis=1) for each in logits).backward()
        found.append(gradients(network))
        network.clear_gradients()
        network.eval()
        network.to(dtype="float32")
        network.set_state_dict(before)

    assert_same_gradients(*found)
