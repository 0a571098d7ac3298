"""Networks under test, each built once."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks

CLASSES = 7


@pytest.fixture(params=networks.names(), scope="module")
def record(request: pytest.FixtureRequest) -> networks.Network:
    return networks.get(request.param)


@pytest.fixture(scope="module")
def shared(record: networks.Network) -> tuple[nn.Layer, dict[str, np.ndarray]]:
    """A network of 7 classes and what its tensors are at the start."""
    paddle.seed(0)
    network = record.build(CLASSES)
    return network, {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}


@pytest.fixture
def network(shared: tuple[nn.Layer, dict[str, np.ndarray]]) -> nn.Layer:
    """The network in eval mode, which a test must leave as it was; see ``trainable`` for one to change."""
    shared[0].eval()
    paddle.seed(1)
    return shared[0]
