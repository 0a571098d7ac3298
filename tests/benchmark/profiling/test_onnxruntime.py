"""A trace that ONNX Runtime 1.31.1 wrote (three runs of Conv, Relu, ArgMax, Cast; some arguments left out), and a graph
of which it is known where the time goes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from paddle_mobileseg.benchmark.profiling.onnxruntime import measure, read_trace
from tests.benchmark.profiling.conftest import SIDE

TRACE = Path(__file__).parent / "data" / "onnxruntime_trace.json"


def test_recorded_trace() -> None:
    profile = read_trace(TRACE.read_text(), warmup=1)

    assert profile.operators == [
        {"name": "b_nchwc", "type": "Conv", "ms": 0.016, "calls": 1},
        {"name": "best", "type": "ArgMax", "ms": 0.010, "calls": 1},
        {"name": "ReorderOutput", "type": "ReorderOutput", "ms": 0.004, "calls": 1},
        {"name": "whole", "type": "Cast", "ms": 0.003, "calls": 1},
    ]
    assert profile.runs == 1  # the faster of two
    assert profile.run_ms == pytest.approx(0.051)
    assert profile.explained == pytest.approx(33 / 51)


def test_warm_up_is_left_out() -> None:
    events = json.loads(TRACE.read_text())
    next(event for event in events if event["name"] == "model_run")["dur"] = 40  # now the first run is the fastest
    means = [
        {each["name"]: each["ms"] for each in read_trace(json.dumps(events), warmup).operators}["b_nchwc"]
        for warmup in (0, 1, 2)
    ]
    assert means == [pytest.approx((0.132 + 0.016) / 2), 0.016, 0.016]


def test_a_node_without_name() -> None:
    events = json.loads(TRACE.read_text())
    for event in events:
        event["name"] = event["name"].replace("whole_kernel", "_kernel")
    assert "Cast_3" in {each["name"] for each in read_trace(json.dumps(events), 1).operators}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        (TRACE.read_text()[:500], "cannot be read"),
        ("[1, 2]", "cannot be read"),
        ('{"traceEvents": []}', "cannot be read"),
        ('[{"cat": "Node", "name": "a_kernel_time"}]', "cannot be read.*args"),
        ("[]", "has 0 runs, of which 3 are warm-up"),
        (TRACE.read_text(), "has 3 runs, of which 3 are warm-up"),
    ],
)
def test_damaged_traces(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_trace(text, warmup=3)


def test_the_large_product_takes_most_of_the_time(bundle: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((1, 3, SIDE, SIDE), np.float32)
    profile = measure([bundle / "model.onnx"], x, threads=1, runs=5, warmup=2, folder=tmp_path)

    assert [each["type"] for each in profile.operators] == ["MatMul", "ReduceMax", "Add"]
    assert [each["calls"] for each in profile.operators] == [1, 1, 1]
    assert profile.operators[0]["name"] == "large"
    assert profile.operators[0]["ms"] / sum(each["ms"] for each in profile.operators) > 0.8
    assert profile.runs == 3
    assert profile.explained is not None and 0.5 < profile.explained <= 1
    assert profile.plain_ms is not None and profile.plain_ms > 0
    assert list(tmp_path.glob("trace*.json"))  # in the folder that it was given


def test_fused_operators_are_one(tmp_path: Path) -> None:
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", kernel_shape=[1, 1]),
            helper.make_node("Relu", ["c"], ["y"], name="relu"),
        ],
        "fused",
        [helper.make_tensor_value_info("x", floats, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", floats, [1, 5, 8, 8])],
        [onnx.numpy_helper.from_array(np.ones((5, 3, 1, 1), np.float32), "w")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    profile = measure([path], np.ones((1, 3, 8, 8), np.float32), 1, 2, 1, tmp_path)

    assert "Relu" not in {each["type"] for each in profile.operators}
    assert sum("Conv" in each["type"] for each in profile.operators) == 1
