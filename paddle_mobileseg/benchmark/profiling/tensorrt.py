"""Times per layer of TensorRT, from its ``IProfiler``. Built against the real API; not run on a GPU yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark.profiling.events import Profile, longest_first
from paddle_mobileseg.runtime.tensorrt_backend import TensorRtBackend
from paddle_mobileseg.runtime.tensorrt_engine import import_tensorrt

_KIND = "layer"  # TensorRT reports names, which say what was fused ("conv.0 + relu.0"), and no types


def measure(
    files: list[Path], x: np.ndarray, threads: int, runs: int, warmup: int, folder: Path, **options: Any
) -> Profile:
    """Profile ``runs`` runs after ``warmup`` others; with a profiler TensorRT waits for the GPU after each run.

    ``run_ms`` is the time on the GPU, between CUDA events round the network; ``plain_ms`` the same without a profiler.

    Args:
        files: the ``.onnx`` file.
        x: of the shape and type that the graph takes.
        threads, folder: without effect.
        options: of the backend.

    Raises:
        ImportError, OSError, ValueError: as :class:`TensorRtBackend`; ``ValueError`` too where TensorRT reports no
            layers.
    """
    backend = TensorRtBackend(files, threads, **options)
    for _ in range(warmup):
        backend.run(x)
    plain_ms = _gpu_ms(backend, x, runs)
    times: list[tuple[str, float]] = []
    recorder = _recorder(import_tensorrt(), times)
    backend._context.profiler = recorder  # the context holds no reference of its own: `recorder` stays until the end
    run_ms = _gpu_ms(backend, x, runs)
    sums: dict[str, list[float]] = {}
    for name, ms in times:
        entry = sums.setdefault(name, [0.0, 0])
        entry[0] += ms
        entry[1] += 1
    if not sums:
        raise ValueError("TensorRT reported no times of layers")
    operators = [
        {"name": name or "(no name)", "type": _KIND, "ms": ms / runs, "calls": max(1, round(calls / runs))}
        for name, (ms, calls) in sums.items()
    ]
    return Profile(longest_first(operators), runs, run_ms, plain_ms)


def _gpu_ms(backend: TensorRtBackend, x: np.ndarray, runs: int) -> float:
    """Mean time on the GPU."""
    total = 0.0
    for _ in range(runs):
        backend.run(x)
        total += backend.last_gpu_ms or 0.0
    return total / runs


def _recorder(trt: Any, times: list[tuple[str, float]]) -> Any:
    class Recorder(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)  # as the bindings want it

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times.append((layer_name, ms))

    return Recorder()
