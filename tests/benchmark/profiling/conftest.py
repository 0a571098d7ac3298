"""A bundle of one large matrix product and one small sum, made by hand without Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from paddle_mobileseg.runtime.bundle import GOLDEN, describe_files, write_manifest

SIDE = 384


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Takes [1, 3, 384, 384] float32; gives ``x @ w + 1``."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    shape, helper, floats = [1, 3, SIDE, SIDE], onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="large"),
            helper.make_node("ReduceMax", ["product"], ["top"], name="top", axes=[2, 3]),
            helper.make_node("Add", ["top", "one"], ["y"], name="small"),
        ],
        "two",
        [helper.make_tensor_value_info("x", floats, shape)],
        [helper.make_tensor_value_info("y", floats, [1, 3, 1, 1])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), folder / "model.onnx"
    )
    x = np.random.default_rng(1).random(shape, np.float32)
    np.savez(folder / GOLDEN, input_0=x, output_0=x)
    about = {
        "network": "Hand",
        "num_classes": 3,
        "class_names": ["red", "green", "blue"],
        "palette": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        "input": {"name": "x"},
        "backends": {"onnxruntime": ["model.onnx"]},
        "files": describe_files(folder, ["model.onnx", GOLDEN]),
    }
    write_manifest(folder, {"transforms": [], "input_shape": shape, "output_op": "none"}, about)
    return folder
