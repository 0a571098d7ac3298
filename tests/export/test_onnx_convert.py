from __future__ import annotations

import resource
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.export import onnx_convert
from paddle_mobileseg.export.onnx_child import drop_unused_nodes, simplified
from paddle_mobileseg.export.onnx_convert import ConversionError, convert
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend


@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
def test_one_file_for_several_sizes(network: nn.Layer, tmp_path: Path, output_op: str) -> None:
    spec = GraphSpec(output_op, [-1, 3, -1, -1])
    save_static(DeployNetwork(network, spec), tmp_path, spec)
    graph, weights, target = tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx"
    tools = convert(graph, weights, target)
    assert tools == {
        "opset": onnx_convert.OPSET,
        **{name: metadata.version(name) for name in ("onnx", "paddle2onnx", "onnxruntime")},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.onnx", "model.pdiparams"]
    model = onnx.load(target)
    assert {node.op_type for node in model.graph.node}.isdisjoint(
        ["If", "Loop", "Scan", "Identity", "Constant", "Dropout", "BatchNormalization", "RandomNormal", "RandomUniform"]
    )
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", onnx_convert.OPSET)]
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    assert all(used.intersection(node.output) for node in model.graph.node)
    paddle_runner, onnx_runner = PaddleBackend([graph, weights], 1), OnnxRuntimeBackend([target], 1)
    for shape in [(1, 3, 64, 96), (3, 3, 36, 44)]:
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        expected, found = paddle_runner.run(x), onnx_runner.run(x)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4 if output_op in ("none", "softmax") else (found == expected).all()


def test_simplified_computes_constants_and_keeps_the_result(tmp_path: Path) -> None:
    make = onnx.helper.make_node
    two, three = (onnx.helper.make_tensor(name, 1, [1], [value]) for name, value in (("two", 2.0), ("three", 3.0)))
    nodes = [
        make("Add", ["two", "three"], ["five"]),
        make("Identity", ["x"], ["same"]),
        make("Mul", ["same", "five"], ["y"]),
    ]
    values = [onnx.helper.make_tensor_value_info(name, 1, ["any"]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], [two, three])
    result = simplified(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]), tmp_path)
    assert [node.op_type for node in result.graph.node] == ["Mul"]
    assert [onnx.numpy_helper.to_array(each).tolist() for each in result.graph.initializer] == [[5.0]]
    assert list(tmp_path.iterdir()) == []


def test_drop_unused_nodes_keeps_what_outputs_depend_on() -> None:
    make = onnx.helper.make_node
    nodes = [
        make("Relu", ["x"], ["a"]),
        make("Abs", ["x"], ["b"]),
        make("Neg", ["b"], ["c"]),
        make("Neg", ["a"], ["y"]),
    ]
    values = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:])
    drop_unused_nodes(graph)
    assert [node.output[0] for node in graph.node] == ["a", "y"]


class AdaptivePooling(nn.Layer):
    """Dynamic sizes and adaptive pooling: paddle2onnx aborts on the pair."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 2, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [nn.functional.adaptive_avg_pool2d(self.conv(x), [3, 5])]


def test_what_the_converter_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    spec = GraphSpec("none", [-1, 3, -1, -1])
    save_static(DeployNetwork(AdaptivePooling(), spec), tmp_path, spec)
    with pytest.raises(
        ConversionError, match=r"model\.json to ONNX died of SIGABRT(.|\n)*pool2d\] Adaptive only support"
    ):
        convert(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")


def test_a_crash_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.json", "model.pdiparams", "model.onnx"):
        (tmp_path / name).write_text("as it was")
    with pytest.raises(ConversionError, match=r"conversion of model\.json to ONNX (failed|died)"):
        convert(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "as it was"
    assert len(list(tmp_path.iterdir())) == 3


def test_too_little_time(network: nn.Layer, tmp_path: Path) -> None:
    (tmp_path / "model.json").touch()
    with pytest.raises(ConversionError, match=r"conversion of model\.json to ONNX was stopped after 0\.1 s"):
        convert(tmp_path / "model.json", tmp_path / "model.json", tmp_path / "model.onnx", timeout_s=0.1)


def test_no_space_for_the_file(network: nn.Layer, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the same calls fail."""
    spec = GraphSpec("none")
    save_static(DeployNetwork(network, spec), tmp_path, spec)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ConversionError, match=r"failed \(exit status 1\)(.|\n)*OSError: .*File too large"):
            convert(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pdiparams"]


def test_missing_graph(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.json is missing"):
        convert(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_convert.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConversionError, match=r"package onnx, which is not installed; install paddle_mobileseg\[onnx\]"
    ):
        convert(tmp_path, tmp_path, tmp_path / "model.onnx")


def test_opset_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="opset is 10; expected 11 to 17"):
        convert(tmp_path, tmp_path, tmp_path, opset=10)
