"""The files that TensorRT gets for fp16 and int8, run with ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="TensorRT's fp16 and int8 are written with the package onnx")
ort = pytest.importorskip("onnxruntime", reason="what was written is run with ONNX Runtime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from paddle_mobileseg.runtime.tensorrt_graph import write_typed  # noqa: E402

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32) * np.array([1, 10, 0.1, 0], np.float32).reshape(4, 1, 1, 1)
X = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)


def write(folder: Path, *, constant: bool = False, dtype: int = TensorProto.FLOAT, opset: int = 17) -> Path:
    """input (-> float) -> 3 x 3 convolution -> twice the size -> output; as paddle2onnx writes them."""
    weights = numpy_helper.from_array(WEIGHTS, "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "weights" if constant else "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["c", "", "scales"], ["y"], mode="linear"),
    ]
    if constant:
        nodes[:0] = [
            helper.make_node("Constant", [], ["w"], value=weights),
            helper.make_node("Identity", ["w"], ["weights"]),
        ]
    stored = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, [1, 3, "h", "w_"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, "H", "W"])],
        stored if constant else [*stored, weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def run(path: Path, x: np.ndarray = X) -> np.ndarray:
    onnx.checker.check_model(str(path), full_check=True)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def types(path: Path) -> dict[str, int]:
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    return {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}


@pytest.mark.parametrize("constant", [False, True])
def test_fp16(tmp_path: Path, constant: bool) -> None:
    source, target = write(tmp_path, constant=constant), tmp_path / "half.onnx"
    write_typed(source, target, "fp16")
    expected, found = run(source), run(target)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()
    assert types(target)["c"] == TensorProto.FLOAT16
    model = onnx.load(target)
    assert [(v.name, v.type.tensor_type.elem_type) for v in (*model.graph.input, *model.graph.output)] == [
        ("x", TensorProto.FLOAT),
        ("y", TensorProto.FLOAT),
    ]


def test_fp16_keeps_a_uint8_input(tmp_path: Path) -> None:
    source, target = write(tmp_path, dtype=TensorProto.UINT8), tmp_path / "half.onnx"
    write_typed(source, target, "fp16")
    x = RNG.integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    expected = run(source, x)
    assert np.abs(run(target, x) - expected).max() < 2e-3 * np.abs(expected).max()


def test_fp16_of_values_beyond_its_range(tmp_path: Path) -> None:
    source, target = write(tmp_path), tmp_path / "half.onnx"
    model = onnx.load(source)
    stored = next(each for each in model.graph.initializer if each.name == "w")
    stored.CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), -1e9, np.float32), "w"))
    onnx.save(model, source)
    write_typed(source, target, "fp16")
    (written,) = (each for each in onnx.load(target).graph.initializer if each.name == "w")
    assert np.unique(numpy_helper.to_array(written)).tolist() == [-65504.0]


@pytest.mark.parametrize("constant", [False, True])
def test_int8(tmp_path: Path, constant: bool) -> None:
    source, target = write(tmp_path, constant=constant), tmp_path / "int8.onnx"
    write_typed(source, target, "int8", [X / 2, X, X / 3])

    # By hand: what a pair makes of a tensor is its nearest multiple of the scale, at most 127 of them.
    x_scale = np.abs(X).max() / 127
    scales = np.abs(WEIGHTS).max(axis=(1, 2, 3), keepdims=True) / 127
    model = onnx.load(source)
    rounded = np.round(WEIGHTS / np.where(scales > 0, scales, 1)) * scales
    for each in (*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute)):
        if each.name == "w":
            each.CopyFrom(numpy_helper.from_array(rounded.astype(np.float32), "w"))
    onnx.save(model, tmp_path / "rounded.onnx")
    expected = run(tmp_path / "rounded.onnx", (np.round(X / x_scale) * x_scale).astype(np.float32))

    found = run(target)
    assert np.allclose(found, expected, atol=1e-4)
    assert 1e-3 < np.abs(found - run(source)).max() < 0.1 * np.abs(expected).max()


def test_int8_of_an_input_that_two_convolutions_share(tmp_path: Path) -> None:
    source, target = write(tmp_path), tmp_path / "int8.onnx"
    model = onnx.load(source)
    model.graph.node.insert(2, helper.make_node("Conv", ["float", "w"], ["d"], pads=[1, 1, 1, 1]))
    model.graph.node.insert(3, helper.make_node("Add", ["c", "d"], ["sum"]))
    model.graph.node[4].input[0] = "sum"
    onnx.save(model, source)
    write_typed(source, target, "int8", [X])
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert kinds.count("QuantizeLinear") == kinds.count("DequantizeLinear") == 2
    assert np.abs(run(target) - run(source)).max() < 0.1 * np.abs(run(source)).max()


def test_a_quantized_graph_is_taken_as_it_is(tmp_path: Path) -> None:
    source, once, twice = write(tmp_path), tmp_path / "once.onnx", tmp_path / "twice.onnx"
    write_typed(source, once, "int8", [X])
    write_typed(once, twice, "int8")
    assert onnx.load(twice) == onnx.load(once)
    with pytest.raises(ValueError, match=r"is quantized; fp16 needs .* take precision int8"):
        write_typed(once, twice, "fp16")


@pytest.mark.parametrize(
    ("opset", "calibration", "precision", "words"),
    [
        (17, [], "int8", "needs inputs to calibrate with"),
        (12, [X], "int8", "has opset 12; int8 needs 13"),
        (17, [X], "int4", "expected one of fp32, fp16, int8"),
    ],
)
def test_what_is_refused(tmp_path: Path, opset: int, calibration: Any, precision: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write_typed(write(tmp_path, opset=opset), tmp_path / "typed.onnx", precision, calibration)
    assert not (tmp_path / "typed.onnx").exists()


def test_a_graph_without_convolutions_has_nothing_to_quantize(tmp_path: Path) -> None:
    source = write(tmp_path)
    model = onnx.load(source)
    del model.graph.node[1]
    model.graph.node[1].input[0] = "float"
    onnx.save(model, source)
    with pytest.raises(ValueError, match="no convolution"):
        write_typed(source, tmp_path / "typed.onnx", "int8", [X])


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"TensorRT in fp16 needs the package onnx .* precision fp32"):
        write_typed(source, tmp_path / "typed.onnx", "fp16")
