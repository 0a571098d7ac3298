"""Paddle's static graph to ONNX, in a child process, because the converter aborts on what it cannot convert."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from paddle_mobileseg.child_process import importing_environment
from paddle_mobileseg.export import child
from paddle_mobileseg.export.child import ConversionError

__all__ = ["ONNX_FILE", "OPSET", "ConversionError", "convert"]

ONNX_FILE = "model.onnx"
# The lowest operator set with all that the networks need: old TensorRT and mobile runtimes read it too.
OPSET = 13
_SUPPORTED_OPSETS = range(11, 18)
_PACKAGES = ("onnx", "paddle2onnx", "onnxruntime")


def convert(
    graph: Path, weights: Path, target: Path, opset: int = OPSET, timeout_s: float = 600
) -> dict[str, str | int]:
    """Convert with paddle2onnx, simplify with ONNX Runtime; the result has no control flow and passed ONNX's checker.

    Args:
        graph, weights: ``model.json`` and ``model.pdiparams``.
        target: the ``.onnx`` file to write; replaced only by a whole one.
        opset: of ONNX, 11 to 17.
        timeout_s: the child is killed after so many seconds.

    Returns:
        ``opset``, and the version of each package that took part.

    Raises:
        ConversionError: a package is not installed; the child failed, could not write (no space left), or was killed by
            a signal or by the timeout, with the last lines that it wrote.
        ValueError: opset out of range.
        FileNotFoundError: ``graph`` or ``weights`` is missing.
    """
    if opset not in _SUPPORTED_OPSETS:
        raise ValueError(f"opset is {opset}; expected {_SUPPORTED_OPSETS[0]} to {_SUPPORTED_OPSETS[-1]}")
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise ConversionError(
                f"export to ONNX needs the package {package}, which is not installed; "
                "install paddle_mobileseg[onnx], or export to format paddle only"
            )
    for path in (graph, weights):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; write the static graph first")
    unfinished = target.with_name(f".{target.name}.part")
    command = [sys.executable, "-W", "ignore", "-m", "paddle_mobileseg.export.onnx_child"]
    try:
        versions = child.run(
            [*command, str(graph), str(weights), str(unfinished), str(opset)],
            timeout_s,
            f"conversion of {graph.name} to ONNX",
            importing_environment(),
        )
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return {"opset": opset, **json.loads(versions.splitlines()[-1])}
