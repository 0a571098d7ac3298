"""Paddle's static graph to ONNX, in a child process, because the converter aborts on what it cannot convert."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import paddle_mobileseg

ONNX_FILE = "model.onnx"
# The lowest operator set with all that the networks need: old TensorRT and mobile runtimes read it too.
OPSET = 13
_SUPPORTED_OPSETS = range(11, 18)
_LAST_LINES = 8


class ConversionError(ValueError):
    """The converter refused the graph, crashed, or took too long."""


def convert(graph: Path, weights: Path, target: Path, opset: int = OPSET, timeout_s: float = 600) -> None:
    """Convert with paddle2onnx; the result has passed ONNX's checker.

    Args:
        graph, weights: ``model.json`` and ``model.pdiparams``.
        target: the ``.onnx`` file to write.
        opset: of ONNX, 11 to 17.
        timeout_s: the child is killed after so many seconds.

    Raises:
        ConversionError: paddle2onnx is not installed, failed, was killed by a signal or by the timeout, with the last
            lines that it wrote.
        ValueError: opset out of range.
    """
    if opset not in _SUPPORTED_OPSETS:
        raise ValueError(f"opset is {opset}; expected {_SUPPORTED_OPSETS[0]} to {_SUPPORTED_OPSETS[-1]}")
    for package in ("onnx", "paddle2onnx"):
        if importlib.util.find_spec(package) is None:
            raise ConversionError(
                f"export to ONNX needs the package {package}, which is not installed; "
                "install paddle_mobileseg[onnx], or export to format paddle only"
            )
    arguments = [str(graph), str(weights), str(target), str(opset)]
    run_child("paddle_mobileseg.export.onnx_child", arguments, timeout_s, f"conversion of {graph.name} to ONNX")


def run_child(module: str, arguments: list[str], timeout_s: float, what: str) -> None:
    """Run ``python -m module`` and turn its failure into an error.

    Args:
        what: the beginning of the message.

    Raises:
        ConversionError: the child returned non-zero, was killed by a signal, or was still running after ``timeout_s``.
    """
    package_root = str(Path(paddle_mobileseg.__file__).resolve().parents[1])
    search_path = os.pathsep.join(p for p in (package_root, os.environ.get("PYTHONPATH")) if p)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", module, *arguments],
            env={**os.environ, "PYTHONPATH": search_path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"{what} was stopped after {timeout_s:g} s; allow more time, or export without it"
        ) from error
    if done.returncode == 0:
        return
    how = (
        f"failed (exit status {done.returncode})"
        if done.returncode > 0
        else f"died of {_signal_name(-done.returncode)}"
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-_LAST_LINES:]
    raise ConversionError(f"{what} {how}. Its last words:\n  " + "\n  ".join(lines or ["(none)"]))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
