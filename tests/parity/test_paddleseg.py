"""PaddleSeg's own networks and ours give the same numbers on the same weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.backbones.top_transformer import POOLINGS

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


def give_healthy_weights(network: nn.Layer, seed: int) -> None:
    """Random weights with which every branch counts, unlike at the start of a training."""
    rng = np.random.default_rng(seed)
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("_variance") or (name.endswith("weight") and len(shape) == 1):
            values = rng.uniform(0.6, 1.4, shape)
        elif len(shape) == 4:
            values = rng.normal(0, (1.6 / np.prod(shape[1:])) ** 0.5, shape)
        elif name.endswith("._scale"):
            values = np.ones(shape)
        else:
            values = rng.normal(0, 0.3, shape)
        tensor.set_value(values.astype(np.float32))


def without_randomness(network: nn.Layer) -> None:
    for layer in network.sublayers():
        for rate in ("rate", "drop_prob", "p"):
            if isinstance(getattr(layer, rate, None), (int, float)):
                setattr(layer, rate, 0.0)


def image(size: tuple[int, int], batch: int = 1) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(size[1]).normal(size=(batch, 3, *size)).astype(np.float32))


@pytest.fixture(params=COMPARED, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(name: str) -> tuple[nn.Layer, nn.Layer]:
    """PaddleSeg's network and ours, both with the same weights, in eval mode."""
    theirs, ours = networks.get(name).build_paddleseg(NUM_CLASSES), networks.get(name).build(NUM_CLASSES)
    if name.startswith("topformer"):
        ours.backbone.pool = POOLINGS["floor"]  # ours is the authors' by default
    for theirs_part, ours_part in ((theirs, ours), (theirs.backbone, ours.backbone)):
        assert type(theirs_part).__module__.startswith("paddleseg.")
        assert type(ours_part).__module__.startswith("paddle_mobileseg.")
    CORRECTIONS.get(name, lambda network: None)(theirs)
    give_healthy_weights(ours, seed=len(name))
    assert theirs.set_state_dict(ours.state_dict()) == ([], [])
    for network in (theirs, ours):
        without_randomness(network)
        network.eval()
    return theirs, ours


def test_names_and_shapes(pair: tuple[nn.Layer, nn.Layer]) -> None:
    theirs, ours = ({name: list(t.shape) for name, t in network.state_dict().items()} for network in pair)

    assert ours == theirs
    assert pair[1].set_state_dict(pair[0].state_dict()) == ([], [])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(512, 512), (384, 640), (250, 333)])
def test_logits(pair: tuple[nn.Layer, nn.Layer], name: str, size: tuple[int, int], dtype: str) -> None:
    """In float64 less than a millionth may differ, which tells another network from other rounding."""
    if name in NEEDS_MULTIPLES_OF_32 and size[0] % 32:
        with paddle.no_grad(), pytest.raises(ValueError):
            pair[0](image(size))
        size = (160, 352)
    try:
        for network in pair:
            network.to(dtype=dtype)
        with paddle.no_grad():
            theirs, ours = (network(image(size).astype(dtype))[0].numpy() for network in pair)
    finally:
        for network in pair:
            network.to(dtype="float32")

    assert theirs.std(axis=(2, 3)).min() > 0.01 * np.abs(theirs).max()  # the weights are healthy
    assert ours.shape == theirs.shape == (1, NUM_CLASSES, *size)
    assert np.abs(ours - theirs).max() <= (1e-4 if dtype == "float32" else 1e-6) * np.abs(theirs).max()


@pytest.mark.parametrize("variant", ["pp_mobileseg_base", "pp_mobileseg_tiny"])
def test_the_gate_matters(variant: str) -> None:
    """With PaddleSeg 2.8.0's own gate the logits differ, so the comparison above would see it."""
    theirs, ours = networks.get(variant).build_paddleseg(NUM_CLASSES), networks.get(variant).build(NUM_CLASSES)
    give_healthy_weights(ours, seed=0)
    theirs.set_state_dict(ours.state_dict())
    theirs.eval()
    with paddle.no_grad():
        theirs, ours = (network(image((64, 96)))[0].numpy() for network in (theirs, ours))

    assert np.abs(ours - theirs).max() > 0.05 * np.abs(theirs).max()


def test_gradients_of_a_training_step(pair: tuple[nn.Layer, nn.Layer]) -> None:
    """In float64: in float32 some gradients are small differences of large numbers."""
    labels = paddle.to_tensor(np.random.default_rng(0).integers(0, NUM_CLASSES, (2, 128, 192)))
    gradients = []
    for network in pair:
        before = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
        network.to(dtype="float64")
        network.train()
        logits = network(image((128, 192), batch=2).astype("float64"))
        sum(nn.functional.cross_entropy(each, labels, axis=1) for each in logits).backward()
        trained = [(name, p) for name, p in network.named_parameters() if not p.stop_gradient]
        gradients.append({name: p.grad.numpy() for name, p in trained if p.grad is not None})
        network.clear_gradients()
        network.eval()
        network.to(dtype="float32")
        network.set_state_dict(before)

    theirs, ours = gradients
    assert ours.keys() == theirs.keys()
    largest = max(np.abs(each).max() for each in theirs.values())
    # Some gradients (of a bias before a batch norm) are zero but for rounding.
    scale = {name: max(np.abs(each).max(), 1e-6 * largest) for name, each in theirs.items()}
    apart = {name: np.abs(ours[name] - theirs[name]).max() / scale[name] for name in ours}
    assert {name: error for name, error in apart.items() if error > 1e-5} == {}
