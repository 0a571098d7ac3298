"""What the tests of exported graphs share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddle_mobileseg.export.onnx_convert import convert
from paddle_mobileseg.export.parity import ParityMeter, Tolerance
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend

Runner = PaddleBackend | OnnxRuntimeBackend


def export(network: nn.Layer, folder: Path, output_op: str, shape: list[int]) -> PaddleBackend:
    """Write the static graph for images of ``shape`` [N, C, H, W] (-1 for any), and run it with Paddle Inference."""
    spec = GraphSpec(output_op, shape)
    save_static(DeployNetwork(network, spec), folder, spec)
    return PaddleBackend([folder / "model.json", folder / "model.pdiparams"], 1)


def export_both(network: nn.Layer, folder: Path, output_op: str, shape: list[int]) -> list[Runner]:
    """The same, and its ONNX file with ONNX Runtime."""
    runner = export(network, folder, output_op, shape)
    convert(folder / "model.json", folder / "model.pdiparams", folder / "model.onnx")
    return [runner, OnnxRuntimeBackend([folder / "model.onnx"], 1)]


def patches(height: int, width: int) -> np.ndarray:
    """``[1, 3, H, W]`` normalised: squares of random colours, so that several classes come out."""
    colours = 2 * np.random.default_rng(1).normal(size=(1, 3, height // 24 + 1, width // 24 + 1))
    return np.kron(colours, np.ones((1, 1, 24, 24)))[:, :, :height, :width].astype(np.float32)


def assert_as_the_network(
    runner: Runner, network: nn.Layer, output_op: str, size_hw: tuple[int, int], batch: int = 1
) -> None:
    """The exported graph gives what the network itself gives, which has at least two classes; for one or two images."""
    reference = DeployNetwork(network, GraphSpec(output_op))
    reference.eval()
    x = np.concatenate([patches(*size_hw), -patches(*size_hw)][:batch])
    with paddle.no_grad():
        expected = reference(paddle.to_tensor(x)).numpy()
    assert len(np.unique(expected if expected.ndim == 3 else expected.argmax(1))) >= 2
    meter = ParityMeter(type(runner).__name__, Tolerance())
    meter.add(expected, runner.run(x))
    assert meter.result()["passed"], meter.result()
