from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.export import onnx_convert
from paddle_mobileseg.export.onnx_child import drop_unused_nodes
from paddle_mobileseg.export.onnx_convert import ConversionError, convert, run_child
from paddle_mobileseg.export.static import save_static
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module for ``run_child`` that does what its argument says."""
    source = """
import os, signal, sys, time
print("first line")
print("last line of output")
if sys.argv[1] == "abort":
    print("terminate called after throwing an exception", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGABRT)
if sys.argv[1] == "raise":
    raise RuntimeError("no converter for operator frobnicate")
if sys.argv[1] == "sleep":
    time.sleep(60)
"""
    (tmp_path / "pretended_converter.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "pretended_converter"


@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
def test_one_file_for_several_sizes(network: nn.Layer, tmp_path: Path, output_op: str) -> None:
    save_static(network, tmp_path, output_op, [-1, 3, -1, -1])
    graph, weights, target = tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx"
    convert(graph, weights, target)
    model = onnx.load(target)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [onnx_convert.OPSET]
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    assert all(used.intersection(node.output) for node in model.graph.node)
    paddle_runner, onnx_runner = PaddleBackend([graph, weights], 1), OnnxRuntimeBackend([target], 1)
    for shape in [(1, 3, 64, 96), (3, 3, 36, 44)]:
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        expected, found = paddle_runner.run(x), onnx_runner.run(x)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4 if output_op in ("none", "softmax") else (found == expected).all()


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


def test_death_by_signal_is_a_clear_error(child: str) -> None:
    with pytest.raises(ConversionError) as caught:
        run_child(child, ["abort"], 30, "conversion of a")
    message = str(caught.value)
    assert message.startswith("conversion of a died of SIGABRT")
    assert message.endswith("first line\n  last line of output\n  terminate called after throwing an exception")


def test_an_exception_in_the_child_is_told_with_its_last_lines(child: str) -> None:
    with pytest.raises(
        ConversionError, match=r"failed \(exit status 1\)(.|\n)*RuntimeError: no converter for operator frob"
    ):
        run_child(child, ["raise"], 30, "conversion of a")


def test_timeout(child: str) -> None:
    with pytest.raises(ConversionError, match=r"was stopped after 0\.5 s"):
        run_child(child, ["sleep"], 0.5, "conversion of a")


def test_success_is_silent(child: str, capfd: pytest.CaptureFixture[str]) -> None:
    run_child(child, ["nothing"], 30, "conversion of a")
    assert capfd.readouterr() == ("", "")


class AdaptivePooling(nn.Layer):
    """Dynamic sizes and adaptive pooling: paddle2onnx aborts on the pair."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 2, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [nn.functional.adaptive_avg_pool2d(self.conv(x), [3, 5])]


def test_what_the_converter_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    save_static(AdaptivePooling(), tmp_path, "none", [-1, 3, -1, -1])
    with pytest.raises(
        ConversionError, match=r"model\.json to ONNX died of SIGABRT(.|\n)*pool2d\] Adaptive only support"
    ):
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
