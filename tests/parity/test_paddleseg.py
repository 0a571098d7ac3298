"""PaddleSeg's own PP-MobileSeg and ours give the same numbers on the same weights.

PaddleSeg 2.8.0 has ReLU6 for the aggregation's gate; there it is exchanged for the sigmoid of the published weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import registry

NUM_CLASSES = 19
VARIANTS = {
    "tiny": ("MobileSeg_Tiny", {"inj_type": "AAM", "out_feat_chs": [32, 64, 128]}),
    "base": ("MobileSeg_Base", {"inj_type": "AAMSx8", "out_feat_chs": [64, 128, 192]}),
}


def healthy_weights(network: nn.Layer, seed: int) -> dict[str, np.ndarray]:
    """Random weights with which no map vanishes or explodes: every branch counts, unlike at the start of a training."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("_variance") or (name.endswith("weight") and len(shape) == 1):
            values = rng.uniform(0.6, 1.4, shape)
        elif len(shape) == 4:
            values = rng.normal(0, (1.6 / np.prod(shape[1:])) ** 0.5, shape)
        else:
            values = rng.normal(0, 0.3, shape)
        state[name] = values.astype(np.float32)
    return state


def built(variant: str, find: Any) -> nn.Layer:
    backbone, arguments = VARIANTS[variant]
    return find("PPMobileSeg")(num_classes=NUM_CLASSES, backbone=find(backbone)(drop_path_rate=0.0, **arguments))


@pytest.fixture(params=VARIANTS, scope="module")
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(variant: str) -> tuple[nn.Layer, nn.Layer]:
    """PaddleSeg's network and ours, both with the same weights, in eval mode."""
    theirs, ours = built(variant, registry.upstream), built(variant, registry.find)
    assert type(theirs).__module__.startswith("paddleseg.")
    assert type(ours).__module__.startswith("paddle_mobileseg.")
    gates = theirs.backbone.inj_module.act_list
    for index in range(len(gates)):
        gates[index] = nn.Sigmoid()
    weights = healthy_weights(ours, seed=len(variant))
    for network in (theirs, ours):
        assert network.set_state_dict(weights) == ([], [])
        network.eval()
    return theirs, ours


def image(size: tuple[int, int], batch: int = 1) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(size[1]).normal(size=(batch, 3, *size)).astype(np.float32))


def test_names_and_shapes(pair: tuple[nn.Layer, nn.Layer]) -> None:
    theirs, ours = ({name: list(t.shape) for name, t in network.state_dict().items()} for network in pair)

    assert ours == theirs


@pytest.mark.parametrize("size", [(256, 256), (192, 320), (250, 333), (97, 130)])
def test_logits(pair: tuple[nn.Layer, nn.Layer], variant: str, size: tuple[int, int]) -> None:
    size = (512, 512) if variant == "tiny" and size == (256, 256) else size
    with paddle.no_grad():
        theirs, ours = (network(image(size))[0].numpy() for network in pair)

    assert theirs.std(axis=(2, 3)).min() > 0.01 * np.abs(theirs).max()  # the weights are healthy
    assert ours.shape == theirs.shape == (1, NUM_CLASSES, *size)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_the_gate_matters(pair: tuple[nn.Layer, nn.Layer], variant: str) -> None:
    """With PaddleSeg 2.8.0's own gate the logits differ, so the comparison above would see it."""
    unchanged = built(variant, registry.upstream)
    unchanged.set_state_dict(pair[0].state_dict())
    unchanged.eval()
    with paddle.no_grad():
        theirs, ours = (network(image((64, 96)))[0].numpy() for network in (unchanged, pair[1]))

    assert np.abs(ours - theirs).max() > 0.05 * np.abs(theirs).max()


def test_gradients_of_a_training_step(pair: tuple[nn.Layer, nn.Layer]) -> None:
    labels = paddle.to_tensor(np.random.default_rng(0).integers(0, NUM_CLASSES, (2, 128, 192)))
    gradients = []
    for network in pair:
        before = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
        network.decode_head.dropout.p = 0
        network.train()
        loss = nn.functional.cross_entropy(network(image((128, 192), batch=2))[0], labels, axis=1)
        loss.backward()
        gradients.append({name: p.grad.numpy() for name, p in network.named_parameters() if not p.stop_gradient})
        network.clear_gradients()
        network.eval()
        network.set_state_dict(before)

    theirs, ours = gradients
    assert ours.keys() == theirs.keys()
    largest = max(np.abs(each).max() for each in theirs.values())
    # Some gradients (of a bias before a batch norm) are zero but for rounding.
    scale = {name: max(np.abs(each).max(), 1e-3 * largest) for name, each in theirs.items()}
    apart = {name: np.abs(ours[name] - theirs[name]).max() / scale[name] for name in ours}
    assert {name: error for name, error in apart.items() if error > 1e-3} == {}
