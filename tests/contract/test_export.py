"""Every network gives in Paddle Inference and in ONNX Runtime what it gives itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from tests.comparison import give_random_weights
from tests.contract.conftest import CLASSES
from tests.exported import assert_as_the_network, export, export_both, patches


@pytest.fixture(scope="module")
def exported(record: networks.Network) -> nn.Layer:
    """Random weights; the batch norms' statistics are those of images, so that several classes come out."""
    network = record.build(CLASSES)
    give_random_weights(network, seed=0, gain=1.6)
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer._momentum = 0.0
    network.train()
    with paddle.no_grad():
        network(paddle.to_tensor(np.concatenate([patches(160, 192), -patches(160, 192)])))
    network.eval()
    return network


def test_logits_of_one_size_in_both_formats(exported: nn.Layer, tmp_path: Path) -> None:
    for runner in export_both(exported, tmp_path, "none", [1, 3, 150, 203]):
        assert_as_the_network(runner, exported, "none", (150, 203))


def test_labels_of_any_size_in_paddle_inference(exported: nn.Layer, tmp_path: Path) -> None:
    runner = export(exported, tmp_path, "vim", [-1, 3, -1, -1])

    assert_as_the_network(runner, exported, "vim", (128, 96), batch=2)
    for size in ((70, 101), (224, 288)):
        assert_as_the_network(runner, exported, "vim", size)
