"""The files that an export can write: for each its backend, what it needs, and how it is written."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from paddle_mobileseg.export import legacy, lite_convert, onnx_convert, operators
from paddle_mobileseg.export.request import NEEDS_SIZE
from paddle_mobileseg.export.static import GRAPH, WEIGHTS, DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.runtime import lite_environment


@dataclass(frozen=True)
class Written:
    """What a target wrote.

    Attributes:
        files: names in the bundle's folder; the graph first.
        operators: of the graph before its runtime or Paddle Lite's converter optimises it.
        seconds: that writing took, with the Paddle graph that it starts from (which several targets share).
        precision: of weights and arithmetic.
        tools: name and version of what converted it.
    """

    files: list[str]
    operators: int
    seconds: float
    precision: str
    tools: dict[str, Any]

    def entry(self) -> dict[str, Any]:
        """For ``Bundle.targets`` of the manifest."""
        return asdict(self)


class Graphs:
    """The static graphs that targets start from, each written when the first target asks for it.

    Args:
        deploy: the network with its output operation.
        spec: of the graph.
        work: an empty folder; the files stay there for as long as targets are written and compared.
        lite_precision: see :func:`paddle_mobileseg.export.lite_convert.convert`.
    """

    def __init__(self, deploy: DeployNetwork, spec: GraphSpec, work: Path, lite_precision: str = "fp32") -> None:
        self.deploy = deploy
        self.spec = spec
        self.work = work
        self.lite_precision = lite_precision
        self.seconds: dict[str, float] = {}  # that each graph took

    @cached_property
    def current(self) -> list[Path]:
        """``model.json`` and ``model.pdiparams``."""
        return self._timed("current", lambda: save_static(self.deploy, self.work, self.spec))

    @cached_property
    def legacy(self) -> list[Path]:
        """``legacy.pdmodel`` and ``legacy.pdiparams``."""
        return self._timed("legacy", lambda: legacy.save_legacy(self.deploy, self.work, self.spec.input_spec))

    def _timed(self, name: str, write: Callable[[], list[str]]) -> list[Path]:
        start = time.perf_counter()
        files = write()
        self.seconds[name] = time.perf_counter() - start
        return [self.work / file for file in files]


def _nothing() -> str | None:
    return None


def _no_onnx() -> str | None:
    missing = [name for name in ("onnx", "paddle2onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    return f"{missing[0]} is not installed (pip install 'paddle_mobileseg[onnx]')" if missing else None


def _no_lite() -> str | None:
    try:
        if lite_environment.find() is not None:
            return None
    except ImportError as error:
        return str(error)
    return "there is no Paddle Lite environment (mobileseg lite setup makes it)"


def _paddle(graphs: Graphs, folder: Path) -> tuple[list[str], str, dict[str, Any]]:
    for path in graphs.current:
        shutil.copyfile(path, folder / path.name)
    return [GRAPH, WEIGHTS], "fp32", {"paddlepaddle": _paddle_version()}


def _paddle_legacy(graphs: Graphs, folder: Path) -> tuple[list[str], str, dict[str, Any]]:
    for path in graphs.legacy:
        shutil.copyfile(path, folder / path.name)
    return [path.name for path in graphs.legacy], "fp32", {"paddlepaddle": _paddle_version()}


def _onnx(graphs: Graphs, folder: Path) -> tuple[list[str], str, dict[str, Any]]:
    graph, weights = graphs.current
    tools = onnx_convert.convert(graph, weights, folder / onnx_convert.ONNX_FILE)
    return [onnx_convert.ONNX_FILE], "fp32", tools


def _lite_x86(graphs: Graphs, folder: Path) -> tuple[list[str], str, dict[str, Any]]:
    # The x86 file is the proof of the graph; half precision exists on ARM only.
    return _lite(graphs, folder, "x86", "fp32" if graphs.lite_precision == "fp16" else graphs.lite_precision)


def _lite_arm(graphs: Graphs, folder: Path) -> tuple[list[str], str, dict[str, Any]]:
    return _lite(graphs, folder, "arm", graphs.lite_precision)


def _lite(graphs: Graphs, folder: Path, processor: str, precision: str) -> tuple[list[str], str, dict[str, Any]]:
    name = f"model_{processor}.nb"
    graph, weights = graphs.legacy
    tools: dict[str, Any] = lite_convert.convert(graph, weights, folder / name, processor, precision)
    tools["paddlelite runtime"] = lite_environment.require().version
    return [name], precision, tools


@dataclass(frozen=True)
class Target:
    """A format.

    Attributes:
        backend: of :class:`~paddle_mobileseg.runtime.Session`, which runs it.
        missing: why it cannot be written or proved on this machine; ``None`` if it can.
        source: the attribute of :class:`Graphs` that it is made from, and what to call that.
        files: writes; returns names, precision and tools.
    """

    backend: str
    missing: Callable[[], str | None]
    source: str
    files: Callable[[Graphs, Path], tuple[list[str], str, dict[str, Any]]]

    def write(self, graphs: Graphs, folder: Path) -> Written:
        """Write into ``folder``.

        Raises:
            ConversionError, ValueError, OSError: of the converter.
        """
        counted = getattr(graphs, self.source)[0]
        start = time.perf_counter()
        names, precision, tools = self.files(graphs, folder)
        seconds = graphs.seconds[self.source] + time.perf_counter() - start
        readable = counted if names[0].endswith(".nb") else folder / names[0]
        return Written(names, operators.count(readable), round(seconds, 2), precision, tools)


TARGETS: dict[str, Target] = {
    "paddle": Target("paddle", _nothing, "current", _paddle),
    "paddle-legacy": Target("paddle-legacy", _nothing, "legacy", _paddle_legacy),
    "onnx": Target("onnxruntime", _no_onnx, "current", _onnx),
    "lite-x86": Target("lite", _no_lite, "legacy", _lite_x86),
    "lite-arm": Target("lite-arm", _no_lite, "legacy", _lite_arm),
}


def unavailable(open_size: bool = False) -> dict[str, str]:
    """Targets that cannot be written on this machine, or for a graph that takes any size, and why."""
    found = {name: NEEDS_SIZE for name in TARGETS if open_size and name.startswith("lite")}
    return {**found, **{name: why for name, target in TARGETS.items() if (why := target.missing())}}


def _paddle_version() -> str:
    for name in ("paddlepaddle", "paddlepaddle-gpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
