"""Every network gives in Paddle Inference and in ONNX Runtime what it gives itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.export.onnx_convert import convert
from paddle_mobileseg.export.parity import ParityMeter, Tolerance
from paddle_mobileseg.export.static import DeployNetwork, save_static
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend
from tests.contract.conftest import CLASSES


@pytest.fixture(scope="module")
def exported(record: networks.Network) -> nn.Layer:
    """Seeded weights with which every branch counts: batch norms that start at zero would hide the attention.

    The batch norms' statistics are those of an image, so that no map explodes and several classes come out.
    """
    network = record.build(CLASSES)
    random = np.random.default_rng(0)
    for name, tensor in network.state_dict().items():
        shape = tensor.shape
        if name.endswith("bias"):
            value = 0.2 * random.normal(size=shape)
        elif len(shape) == 1:
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.normal(size=shape) * np.sqrt(1.6 / np.prod(shape[1:]))
        tensor.set_value(value.astype(np.float32))
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        norm._momentum = 0.0
    network.train()
    with paddle.no_grad():
        network(paddle.to_tensor(np.concatenate([patches(160, 192), -patches(160, 192)])))
    network.eval()
    return network


def patches(height: int, width: int) -> np.ndarray:
    """``[1, 3, H, W]`` normalised: squares of random colours, so that several classes come out."""
    colours = 2 * np.random.default_rng(1).normal(size=(1, 3, height // 24 + 1, width // 24 + 1))
    return np.kron(colours, np.ones((1, 1, 24, 24)))[:, :, :height, :width].astype(np.float32)


def check(network: nn.Layer, output_op: str, runner: PaddleBackend | OnnxRuntimeBackend, size: tuple[int, int]) -> None:
    reference = DeployNetwork(network, output_op)
    reference.eval()
    x = patches(*size)
    with paddle.no_grad():
        expected = reference(paddle.to_tensor(x)).numpy()
    assert len(np.unique(expected if expected.ndim == 3 else expected.argmax(1))) >= 2
    meter = ParityMeter(type(runner).__name__, Tolerance())
    meter.add(expected, runner.run(x))
    assert meter.result()["passed"], meter.result()


@pytest.mark.parametrize(("output_op", "size"), [("argmax", (160, 192)), ("vim", (150, 203))])
def test_one_size_in_both_formats(exported: nn.Layer, tmp_path: Path, output_op: str, size: tuple[int, int]) -> None:
    graph, weights, onnx = (tmp_path / name for name in ("model.json", "model.pdiparams", "model.onnx"))
    save_static(exported, tmp_path, output_op, [1, 3, *size])
    convert(graph, weights, onnx)

    check(exported, output_op, PaddleBackend([graph, weights], 1), size)
    check(exported, output_op, OnnxRuntimeBackend([onnx], 1), size)


def test_any_size_in_paddle_inference(exported: nn.Layer, tmp_path: Path) -> None:
    save_static(exported, tmp_path, "none", [-1, 3, -1, -1])
    runner = PaddleBackend([tmp_path / "model.json", tmp_path / "model.pdiparams"], 1)

    for size in ((128, 96), (70, 101), (224, 288)):
        check(exported, "none", runner, size)
