"""The registered networks themselves, at sizes other than those they are traced with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.backbones.strideformer import strideformer_tiny
from paddle_mobileseg.export.onnx_convert import convert
from paddle_mobileseg.export.parity import ParityMeter, Tolerance
from paddle_mobileseg.export.static import DeployNetwork, save_static
from paddle_mobileseg.models.pp_mobileseg import PPMobileSeg
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend


@pytest.fixture(scope="module")
def pp_mobileseg_tiny() -> nn.Layer:
    """Seeded weights with which every branch counts: batch norms that start at zero would hide the attention."""
    network = PPMobileSeg(num_classes=11, backbone=strideformer_tiny())
    random = np.random.default_rng(0)
    for name, tensor in network.state_dict().items():
        shape = tensor.shape
        if name.endswith(("bias", "_mean")):
            value = 0.2 * random.normal(size=shape)
        elif len(shape) == 1:
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.normal(size=shape) * np.sqrt(1.6 / np.prod(shape[1:]))
        tensor.set_value(value.astype(np.float32))
    return network


def patches(height: int, width: int) -> np.ndarray:
    """``[1, 3, H, W]`` normalised: squares of random colours, so that several classes come out."""
    colours = 2 * np.random.default_rng(1).normal(size=(1, 3, height // 24 + 1, width // 24 + 1))
    return np.kron(colours, np.ones((1, 1, 24, 24)))[:, :, :height, :width].astype(np.float32)


@pytest.mark.parametrize(
    ("output_op", "shape", "sizes"),
    [
        ("none", [-1, 3, -1, -1], [(128, 96), (70, 101)]),
        ("vim", [-1, 3, -1, -1], [(128, 96), (70, 101)]),
        ("argmax", [1, 3, 160, 192], [(160, 192)]),
    ],
)
def test_pp_mobileseg_tiny(
    pp_mobileseg_tiny: nn.Layer, tmp_path: Path, output_op: str, shape: list[int], sizes: list[tuple[int, int]]
) -> None:
    save_static(pp_mobileseg_tiny, tmp_path, output_op, shape)
    graph, weights, onnx = (tmp_path / name for name in ("model.json", "model.pdiparams", "model.onnx"))
    convert(graph, weights, onnx)
    reference = DeployNetwork(pp_mobileseg_tiny, output_op)
    reference.eval()
    for runner in (PaddleBackend([graph, weights], 1), OnnxRuntimeBackend([onnx], 1)):
        for size in sizes:
            x = patches(*size)
            with paddle.no_grad():
                expected = reference(paddle.to_tensor(x)).numpy()
            assert len(np.unique(expected if expected.ndim == 3 else expected.argmax(1))) > 2
            meter = ParityMeter(type(runner).__name__, Tolerance())
            meter.add(expected, runner.run(x))
            assert meter.result()["passed"], meter.result()
