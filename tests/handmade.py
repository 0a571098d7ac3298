"""A bundle made by hand, without Paddle: each pixel's label is the channel with the largest value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from paddle_mobileseg.runtime.bundle import GOLDEN, describe_files, write_manifest


def write_bundle(
    folder: Path,
    output_op: str = "argmax",
    input_shape: Any = (-1, 3, -1, -1),
    transforms: Any = (),
    inputs: Sequence[np.ndarray] = (),
) -> Path:
    """Write it to a new folder, for ONNX Runtime only; without ``inputs`` there is one golden input, 4 pixels high and
    6 wide."""
    folder.mkdir(parents=True)
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
    golden: dict[str, np.ndarray] = {}
    for number, x in enumerate(inputs or [np.random.default_rng(0).random((1, 3, 4, 6), np.float32)]):
        golden |= {f"input_{number}": x, f"output_{number}": x.argmax(1).astype(np.int32)}
    np.savez(folder / GOLDEN, allow_pickle=False, **golden)
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
