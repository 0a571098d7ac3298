"""TensorRT's layer times against the stand-in for NVIDIA's packages. No GPU was used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmark.profiling.conftest import SIDE

FAKE = Path(__file__).parents[2] / "runtime" / "fake_nvidia"
NAMES = ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime")
LAYERS = {"conv.0 + relu.0": 0.5, "reformat": 0.25}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Any]:
    """The module ``tensorrt`` with a profiler: each run reports :data:`LAYERS`, the last of them twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKE))
        patch.setenv("MOBILESEG_CACHE", str(tmp_path / "cache"))
        for name in NAMES:
            patch.delitem(sys.modules, name, raising=False)
        trt = importlib.import_module("tensorrt")
        run = trt.IExecutionContext.execute_async_v3

        class IProfiler:
            def __init__(self) -> None:
                self.started = True

        def execute(context: Any, stream_handle: int) -> bool:
            profiler = getattr(context, "profiler", None)
            if profiler is not None:
                assert profiler.started
                for name, ms in [*LAYERS.items(), ("reformat", 0.25)]:
                    profiler.report_layer_time(name, ms)
            return run(context, stream_handle)

        trt.IProfiler, trt.IExecutionContext.execute_async_v3 = IProfiler, execute
        yield trt
        for name in NAMES:
            sys.modules.pop(name, None)


def measured(bundle: Path, folder: Path) -> Any:
    from paddle_mobileseg.benchmark.profiling.tensorrt import measure

    x = np.zeros((1, 3, SIDE, SIDE), np.float32)
    return measure([bundle / "model.onnx"], x, threads=1, runs=4, warmup=2, folder=folder)


def test_layers(bundle: Path, fake: Any, tmp_path: Path) -> None:
    profile = measured(bundle, tmp_path)
    assert profile.operators == [
        {"name": "conv.0 + relu.0", "type": "layer", "ms": 0.5, "calls": 1},
        {"name": "reformat", "type": "layer", "ms": 0.5, "calls": 2},
    ]
    assert profile.runs == 4


def test_no_layers_are_reported(bundle: Path, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.IExecutionContext.profiler = property(lambda self: None, lambda self, value: None)
    with pytest.raises(ValueError, match="no times of layers"):
        measured(bundle, tmp_path)
