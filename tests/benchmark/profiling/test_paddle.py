"""Traces that Paddle 3.3.1 wrote (two runs of a network of two convolutions; some arguments left out), and such a
network itself."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.benchmark.profiling.paddle import measure, operator_type, read_trace
from paddle_mobileseg.export.legacy import GRAPH, WEIGHTS, save_legacy
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static

DATA = Path(__file__).parent / "data"


def test_recorded_trace_of_a_json_graph() -> None:
    profile = read_trace((DATA / "paddle_trace.json").read_text(), runs=2)

    assert [(each["name"], each["type"], each["calls"]) for each in profile.operators] == [
        ("pd_op.bilinear_interp.0", "bilinear_interp", 1),
        ("onednn_op.fused_conv2d.0", "onednn_op.fused_conv2d", 1),
        ("onednn_op.fused_conv2d.1", "onednn_op.fused_conv2d", 1),
        ("pd_op.argmax.0", "argmax", 1),
        ("pd_op.onednn_to_paddle_layout.0", "onednn_to_paddle_layout", 1),
    ]
    times = [46.89, 39.94, 28.903, 15.823, 10.606]  # of the faster run, in microseconds
    assert [1000 * each["ms"] for each in profile.operators] == pytest.approx(times)
    assert (profile.runs, profile.run_ms) == (1, pytest.approx(0.19542))
    assert profile.explained == pytest.approx(sum(times) / 195.42)


def test_recorded_trace_of_a_legacy_graph() -> None:
    profile = read_trace((DATA / "paddle_legacy_trace.json").read_text(), runs=2)
    found = {each["name"]: each["ms"] for each in profile.operators}

    assert found["conv2d.0"] == pytest.approx(0.045858)
    assert found["conv2d.1"] == pytest.approx(0.026059)
    assert found["elementwise_add.1"] == pytest.approx(0.014331)
    assert sum(found.values()) == pytest.approx(profile.run_ms * profile.explained)
    assert len(found) == 9  # none of the events inside of operators


def test_only_as_many_steps_as_runs() -> None:
    assert read_trace((DATA / "paddle_trace.json").read_text(), runs=1).run_ms == pytest.approx(0.273405)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pd_op.add_", "add"),
        ("pd_op.add", "add"),
        ("onednn_op.fused_conv2d", "onednn_op.fused_conv2d"),
        ("bilinear_interp_v2", "bilinear_interp_v2"),
    ],
)
def test_types(name: str, expected: str) -> None:
    assert operator_type(name) == expected


def changed(old: str, new: str) -> str:
    return (DATA / "paddle_trace.json").read_text().replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        (changed("", "")[:700], "cannot be read"),
        ("[]", "cannot be read"),
        (changed("traceEvents", "events"), "cannot be read.*traceEvents"),
        (changed(' us"', ' ms"'), "cannot be read.*expected us"),
        (changed("ProfileStep", "Step"), "has 0 runs; expected 2"),
        (changed('"Operator"', '"Kernel"'), "has no operators"),
    ],
)
def test_damaged_traces(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_trace(text, runs=2)


class Small(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 8, 3, stride=2, padding=1)
        self.head = nn.Conv2D(8, 5, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        low = self.head(nn.functional.relu(self.stem(x)))
        return [nn.functional.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)]


@pytest.mark.parametrize("legacy", [False, True])
def test_both_kinds_of_graphs(legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = GraphSpec("argmax", [1, 3, 32, 48])
    network = DeployNetwork(Small(), spec)
    network.eval()
    if legacy:
        save_legacy(network, tmp_path, spec.input_spec)
    else:
        save_static(network, tmp_path, spec)
    files = [tmp_path / name for name in ([GRAPH, WEIGHTS] if legacy else ["model.json", "model.pdiparams"])]
    before = {path.name for path in tmp_path.iterdir()}
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 48)).astype(np.float32)
    profile = measure(files, x, threads=1, runs=3, warmup=1, folder=tmp_path)

    counted = collections.Counter(each["type"].rpartition(".")[2] for each in profile.operators)
    assert counted["conv2d" if legacy else "fused_conv2d"] == 2
    assert counted["bilinear_interp_v2" if legacy else "bilinear_interp"] == 1
    assert all(each["calls"] == 1 and each["ms"] > 0 for each in profile.operators)
    assert profile.runs == 2
    assert profile.explained is not None and 0 < profile.explained <= 1
    assert {path.name for path in tmp_path.iterdir()} - before == {"trace.json"}
    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) > 10
