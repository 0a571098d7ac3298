from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from paddle.base.proto import framework_pb2

from paddle_mobileseg import networks
from paddle_mobileseg.export.legacy import save_legacy
from paddle_mobileseg.export.operators import count, lint
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.layers import adaptive_avg_pool, global_avg_pool

ARM, BOTH = ("arm",), ("arm", "x86")


class Layer(nn.Layer):
    """A function of a convolution's output ``[N, 4, 16, 16]``."""

    def __init__(self, function: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 1, bias_attr=False)
        self.function = function

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.function(self.conv(x))


@pytest.fixture
def findings(tmp_path: Path) -> Callable[..., list[tuple[str, tuple[str, ...]]]]:
    """Operator and processors of what lint finds in the graph of a function of a convolution's output."""

    def find(function: Callable[[paddle.Tensor], paddle.Tensor], size: int = 16) -> list[tuple[str, tuple[str, ...]]]:
        save_legacy(Layer(function), tmp_path, paddle.static.InputSpec([1, 3, size, size], "float32", "x"))
        return [(finding.operator, finding.processors) for finding in lint(tmp_path / "legacy.pdmodel")]

    return find


def counted(x: paddle.Tensor) -> paddle.Tensor:
    i = paddle.zeros([1], dtype="int32")
    while i < paddle.full([1], 3, dtype="int32"):
        i = i + 1
        x = x * 2
    return x


def selected(x: paddle.Tensor) -> paddle.Tensor:
    if x.mean(3).mean(2).mean(1) > paddle.zeros([1]):  # noqa: SIM108 - a branch is wanted
        y = x * 2
    else:
        y = x * 3
    return y


def overwritten(x: paddle.Tensor) -> paddle.Tensor:
    x[:, 0] = 1.0
    return x


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.max(axis=[0, 2, 3]), [("reduce_max", ARM)]),
        (lambda x: x.max(axis=[1, 3]), [("reduce_max", ARM)]),
        (lambda x: x.reshape([1, 4, 256]).max(axis=[1, 2]), [("reduce_max", ARM)]),
        (lambda x: x.reshape([1, 4, 1, 16, 16]).max(axis=2), [("reduce_max", ARM)]),
        (lambda x: x - x.max(), [("reduce_max", ARM)]),
        (lambda x: x - x.mean(), [("reduce_mean", ARM)]),
        (lambda x: x.sum([0, 2, 3]), [("reduce_sum", ARM)]),
        (lambda x: x.min(axis=[-3, -2, -1]), [("reduce_min", ARM)]),
        (lambda x: F.adaptive_avg_pool2d(x, 16), [("pool2d", ARM)]),
        (lambda x: x > 0.5, [("fill_constant", BOTH), ("greater_than", BOTH)]),
        (lambda x: x == paddle.full([], 0.5), [("fill_constant", BOTH), ("equal", BOTH)]),
        (lambda x: x + paddle.to_tensor(0.5), [("assign_value", BOTH)]),
        (lambda x: x * paddle.full([], 2.0), [("fill_constant", BOTH)]),
        (lambda x: F.layer_norm(x, [16]), [("layer_norm", BOTH)]),
        (lambda x: x.argmax(), [("arg_max", BOTH)]),
        (lambda x: x[:1, :1, :1, :1].reshape([]), [("reshape2", BOTH)]),
        (lambda x: x * paddle.to_tensor(np.arange(16) > 5).astype("float32"), [("assign_value", BOTH)]),
        (lambda x: x.astype("float64") * paddle.to_tensor(np.arange(16.0)), [("assign_value", BOTH)]),
        (lambda x: paddle.matmul(paddle.ones([1, 16]), x), [("matmul_v2", ARM)]),
        (lambda x: paddle.matmul(x, paddle.ones([1, 16]), transpose_y=True), [("matmul_v2", ARM)]),
        (
            lambda x: F.interpolate(x.reshape([1, 4, 256]), size=[100], mode="linear", data_format="NCW"),
            [("linear_interp_v2", ("x86",))],
        ),
        (overwritten, [("set_value", BOTH)]),
        (counted, [("while", BOTH)]),
        (selected, [("conditional_block", BOTH), ("conditional_block", BOTH)]),
    ],
)
def test_each_trap_is_found(function: Any, expected: list[tuple[str, tuple[str, ...]]], findings: Any) -> None:
    assert findings(function) == expected


def test_adaptive_pooling_of_an_open_size(findings: Any) -> None:
    assert findings(lambda x: F.adaptive_avg_pool2d(x, 4), size=-1) == [("pool2d", ARM)]
    assert findings(lambda x: F.adaptive_avg_pool2d(x, 1), size=-1) == []


def clean(x: paddle.Tensor) -> paddle.Tensor:
    """What stands beside each trap."""
    x = x + F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(x, 1), 1) + x.argmax(1, keepdim=True).astype("float32")
    x = F.relu6(x - x.max(axis=1, keepdim=True)) + x.max(axis=[2, 3], keepdim=True).max(axis=0, keepdim=True)
    x = x * (x > paddle.full([1], 0.5)).astype("float32") + x.mean(3, keepdim=True)
    x = F.interpolate(x.reshape([1, 4, 1, 256]), size=[1, 100], mode="bilinear").reshape([1, 4, 10, 10])
    x = x * paddle.to_tensor(np.arange(10.0), dtype="float32") + paddle.matmul(paddle.ones([10, 10]), x)
    x = (
        F.avg_pool2d(x, 2)
        + adaptive_avg_pool(x, [5, 5])
        + adaptive_avg_pool(x, [3, 2]).sum([2, 3], keepdim=True)
        + F.adaptive_avg_pool2d(x, 5)
        + global_avg_pool(x)
    )
    return F.layer_norm(x, [5], paddle.ones([5]), paddle.zeros([5])).clip(0, 6).flatten(1)


def test_a_program_without_traps(findings: Any) -> None:
    assert findings(clean) == []


def test_what_the_legacy_export_puts_right_is_a_trap_without_it(tmp_path: Path) -> None:
    spec = paddle.static.InputSpec([1, 3, 16, 16], "float32", "x")
    save_legacy(Layer(lambda x: F.relu6(x).flatten(1)), tmp_path, spec)
    path = tmp_path / "legacy.pdmodel"
    assert lint(path) == []
    program = framework_pb2.ProgramDesc.FromString(path.read_bytes())
    for op in program.blocks[0].ops:
        for attribute in [a for a in op.attrs if a.name == "threshold"]:
            op.attrs.remove(attribute)
        for slot in [s for s in op.outputs if s.parameter == "XShape"]:
            op.outputs.remove(slot)
    path.write_bytes(program.SerializeToString())
    assert [finding.operator for finding in lint(path)] == ["relu6", "flatten_contiguous_range"]


def test_an_operator_that_paddle_lite_lacks(tmp_path: Path) -> None:
    """The replacement for it is missing too, so the graph is made from another's."""
    save_legacy(Layer(F.relu), tmp_path, paddle.static.InputSpec([1, 3, 16, 16], "float32", "x"))
    path = tmp_path / "legacy.pdmodel"
    program = framework_pb2.ProgramDesc.FromString(path.read_bytes())
    (op,) = [op for op in program.blocks[0].ops if op.type == "relu"]
    op.type = "index_put"
    path.write_bytes(program.SerializeToString())
    (finding,) = lint(path)
    output = op.outputs[0].arguments[0]
    assert str(finding) == (
        f"index_put (output {output}): Paddle Lite does not have it; write it with gather, paddle.where or a product "
        "with a mask"
    )


@pytest.mark.slow  # converting to ARM checks this for all networks in contract/test_backends.py
@pytest.mark.parametrize("output_op", ["none", "argmax", "vim"])
@pytest.mark.parametrize("name", ["mobileseg_mobilenetv2", "topformer_tiny", "pp_liteseg_stdc1"])
def test_networks_have_no_traps(name: str, output_op: str, tmp_path: Path) -> None:
    """One with relu6, one with attention, one with pyramid pooling; each conversion of a network lints too."""
    paddle.seed(0)
    spec = GraphSpec(output_op, [1, 3, 64, 64])
    save_legacy(DeployNetwork(networks.get(name).build(5), spec), tmp_path, spec.input_spec)
    assert lint(tmp_path / "legacy.pdmodel") == []


def test_count_of_each_kind_of_graph(tmp_path: Path) -> None:
    """conv2d and relu; inputs, outputs and weights do not count."""
    spec = GraphSpec("none", [1, 3, 16, 16])

    class Network(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(3, 4, 1, bias_attr=False)

        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [F.relu(self.conv(x))]

    deploy = DeployNetwork(Network(), spec)
    save_legacy(deploy, tmp_path, spec.input_spec)
    save_static(deploy, tmp_path, spec)
    assert count(tmp_path / "legacy.pdmodel") == 2
    assert count(tmp_path / "model.json") == 2

    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    inner = onnx.helper.make_graph([make("Neg", ["a"], ["b"])], "inner", [], [value("b", 1, [1])])
    nodes = [
        make("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True))),
        make("Abs", ["x"], ["a"]),
        make("If", ["yes"], ["y"], then_branch=inner, else_branch=inner),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, [1])], [value("y", 1, [1])])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    assert count(tmp_path / "model.onnx") == 4  # Abs, If, and Neg twice


def test_loops_count_with_what_they_hold(tmp_path: Path) -> None:
    save_legacy(Layer(counted), tmp_path, paddle.static.InputSpec([1, 3, 16, 16], "float32", "x"))
    program = framework_pb2.ProgramDesc.FromString((tmp_path / "legacy.pdmodel").read_bytes())
    assert len(program.blocks) == 2
    names = [op.type for block in program.blocks for op in block.ops]
    assert count(tmp_path / "legacy.pdmodel") == len([name for name in names if name not in ("feed", "fetch")]) >= 6


@pytest.mark.parametrize("name", ["a.pdmodel", "a.json", "a.nb"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe not a graph", b"[]"])
def test_files_that_are_no_graphs(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        count(tmp_path / name)


def test_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.pdiparams; expected a \.pdmodel, \.json, \.onnx or \.nb file"):
        count(tmp_path / "model.pdiparams")
    with pytest.raises(FileNotFoundError):
        count(tmp_path / "model.pdmodel")
    with pytest.raises(FileNotFoundError):
        lint(tmp_path / "model.pdmodel")
