"""The ONNX file gives the network's labels in other runtimes too, because people ship with those."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.export.fold import folded
from paddle_mobileseg.export.onnx_convert import convert
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from tests.comparison import give_random_weights
from tests.exported import patches

Run = Callable[[np.ndarray], np.ndarray]

SOME = ["topformer_tiny", "mobileseg_mobilenetv3"]
NETWORKS = [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in networks.names()]


def openvino_runner(file: Path) -> Run:
    import openvino

    model = openvino.Core().compile_model(
        str(file), "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda x: model(x)[0]


def mnn_runner(file: Path) -> Run:
    import MNN.expr
    import MNN.nn

    target = file.with_suffix(".mnn")
    arguments = ["mnnconvert", "-f", "ONNX", "--modelFile", str(file), "--MNNModel", str(target), "--bizCode", "test"]
    # Not MNN.tools.mnnconvert: that one installs packages and reports what it did to a server.
    subprocess.run(
        [sys.executable, "-c", f"import MNN, _tools; _tools.mnnconvert({arguments})"],
        env={**os.environ, "PIP_NO_INDEX": "1"},
        check=True,
        capture_output=True,
    )
    module = MNN.nn.load_module_from_file(str(target), ["x"], [onnx.load(file).graph.output[0].name])

    def run(x: np.ndarray) -> np.ndarray:
        output = module.forward(MNN.expr.const(x.copy(), list(x.shape), MNN.expr.NCHW))
        if output.data_format == MNN.expr.NC4HW4:
            output = MNN.expr.convert(output, MNN.expr.NCHW)
        return np.array(output.read()).reshape(output.shape)

    return run


def healthy(name: str) -> nn.Layer:
    """Random weights; the batch norms' statistics are those of images, so that several classes come out."""
    network = networks.get(name).build(7)
    give_random_weights(network, seed=0, gain=1.6)
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer._momentum = 0.0
    network.train()
    with paddle.no_grad():
        network(paddle.to_tensor(np.concatenate([patches(160, 192), -patches(160, 192)])))
    network.eval()
    return network


@pytest.mark.parametrize(("package", "make"), [("openvino", openvino_runner), ("MNN", mnn_runner)])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("output_op", "shape"),
    [
        pytest.param("none", [-1, 3, -1, -1], marks=pytest.mark.slow),
        pytest.param("argmax", [1, 3, 96, 128], marks=pytest.mark.slow),
        ("vim", [-1, 3, -1, -1]),
    ],
)
def test_same_labels(
    tmp_path: Path, package: str, make: Callable[[Path], Run], name: str, output_op: str, shape: list[int]
) -> None:
    pytest.importorskip(package, reason=f"{package}, a runtime to try ONNX files in, is not installed")
    network = healthy(name)
    spec = GraphSpec(output_op, shape)
    save_static(DeployNetwork(folded(network), spec), tmp_path, spec)
    convert(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")
    run = make(tmp_path / "model.onnx")
    reference = DeployNetwork(network, GraphSpec(output_op))
    reference.eval()
    for size_hw in [(96, 128)] if shape[2] != -1 else [(96, 128), (160, 96)]:
        x = patches(*size_hw)
        with paddle.no_grad():
            expected = reference(paddle.to_tensor(x)).numpy()
        found = run(x)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        labels, wanted = (each if each.ndim == 3 else each.argmax(1) for each in (found, expected))
        assert len(np.unique(wanted)) > 1
        # MNN's Winograd convolutions round more than others, and random weights have many near ties.
        assert (labels == wanted).mean() > 0.998
