"""Bundles and files to run.

The bundle is made by hand, without Paddle: each pixel's label is the channel with the largest value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from paddle_mobileseg.runtime import lite_environment
from paddle_mobileseg.runtime.bundle import GOLDEN, describe_files, write_manifest


@pytest.fixture
def make_bundle(tmp_path: Path) -> Any:
    """Function (output_op, input_shape, transforms) -> bundle folder."""

    def make(output_op: str = "argmax", input_shape: Any = (-1, 3, -1, -1), transforms: Any = ()) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir()
        dims = [None if n == -1 else n for n in input_shape]
        floats = output_op in ("none", "softmax")
        helper, kinds = onnx.helper, onnx.TensorProto
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        if not floats:
            nodes = [
                helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=0),
                helper.make_node("Cast", ["best"], ["y"], to=kinds.INT32),
            ]
        graph = helper.make_graph(
            nodes,
            "largest",
            [helper.make_tensor_value_info("x", kinds.FLOAT, dims)],
            [helper.make_tensor_value_info("y", kinds.FLOAT if floats else kinds.INT32, dims if floats else None)],
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), folder / "model.onnx"
        )
        x = np.random.default_rng(0).random((1, 3, 4, 6), np.float32)
        np.savez(folder / GOLDEN, input_0=x, output_0=x.argmax(1).astype(np.int32))
        deploy = {"transforms": list(transforms), "input_shape": list(input_shape), "output_op": output_op}
        about = {
            "network": "Largest",
            "num_classes": 3,
            "class_names": ["red", "green", "blue"],
            "palette": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
            "input": {"name": "x"},
            "backends": {"onnxruntime": ["model.onnx"]},
            "files": describe_files(folder, ["model.onnx", GOLDEN]),
            "parity": [
                {
                    "stage": "dynamic->onnxruntime",
                    "images": 1,
                    "label_agreement": 0.9999,
                    "boundary_agreement": 0.75,
                    "max_abs_diff": 0.0625,
                    "tolerance": 0.999,
                },
                {
                    "stage": "predict->onnxruntime",
                    "images": 1,
                    "label_agreement": 0.5,
                    "boundary_agreement": None,
                    "max_abs_diff": None,
                    "tolerance": None,
                },
            ],
        }
        write_manifest(folder, deploy, about)
        return folder

    return make


@pytest.fixture(scope="session")
def lite_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network as ``.nb`` files: {logits,labels,uint8,open}_{x86,arm}.nb; beside each, ``.npz``
    has an input ``x`` and what Paddle gives for it, ``y``. ``open`` takes any size, the others 32x48."""
    if not lite_environment.available():
        pytest.skip("needs Paddle Lite: run `mobileseg lite setup`")
    import paddle
    from paddle import nn

    from paddle_mobileseg.export.legacy import GRAPH, WEIGHTS, save_legacy
    from paddle_mobileseg.export.lite_convert import convert
    from paddle_mobileseg.export.static import DeployNetwork, GraphSpec

    class Small(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2D(3, 8, 3, stride=2, padding=1)
            self.head = nn.Conv2D(8, 5, 1)

        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            low = self.head(nn.functional.relu(self.stem(x)))
            return [nn.functional.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)]

    fixed = [1, 3, 32, 48]
    specs = {
        "logits": GraphSpec("none", fixed),
        "labels": GraphSpec("argmax", fixed),
        "uint8": GraphSpec("argmax", fixed, "uint8"),
        "open": GraphSpec("none", [-1, 3, -1, -1]),
    }
    folder = tmp_path_factory.mktemp("lite")
    paddle.seed(1)
    network = Small()
    network.eval()
    for name, spec in specs.items():
        deploy = DeployNetwork(network, spec)
        deploy.eval()
        save_legacy(deploy, folder, spec.input_spec)
        for processor in ("x86", "arm"):
            convert(folder / GRAPH, folder / WEIGHTS, folder / f"{name}_{processor}.nb", processor)
        x = np.random.default_rng(2).normal(size=fixed).astype(np.float32)
        if name == "uint8":
            x = np.random.default_rng(2).integers(0, 256, (1, 32, 48, 3), np.uint8)
        with paddle.no_grad():
            np.savez(folder / f"{name}.npz", x=x, y=deploy(paddle.to_tensor(x)).numpy())
    return folder
