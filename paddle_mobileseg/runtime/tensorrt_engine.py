"""Building a TensorRT engine from an ONNX file: the builder's half of TensorRT's Python API, versions 10 and 11.

The names used here were checked against the bindings of TensorRT 10.16.1 and 11.4.0; nothing was run on a GPU yet.
What a version has is asked of the module itself, never of its version number.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddle_mobileseg.runtime.tensorrt_profile import Profile, make_profile

_LOGGER = logging.getLogger("paddle_mobileseg")
_LAST_MESSAGES = 5

Shapes = tuple[Sequence[int] | None, Sequence[int] | None, Sequence[int] | None]


def import_tensorrt() -> Any:
    """The module ``tensorrt``.

    Raises:
        ImportError: it is not installed, its libraries cannot be loaded, or it is older than TensorRT 10.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise ImportError(
            f"the package tensorrt is not installed, or its libraries cannot be loaded ({error}); run `pip install "
            "tensorrt-cu12` (tensorrt-cu13 with a driver for CUDA 13) on a machine with an NVIDIA GPU"
        ) from error
    has_types = hasattr(getattr(trt, "NetworkDefinitionCreationFlag", None), "STRONGLY_TYPED")
    has_names = hasattr(getattr(trt, "IExecutionContext", None), "execute_async_v3")
    if not (has_types and has_names and hasattr(trt, "OnnxParser")):
        raise ImportError(
            f"TensorRT {getattr(trt, '__version__', '(unknown version)')} lacks strongly typed networks, named tensors "
            "or the ONNX parser; install TensorRT 10 or newer"
        )
    return trt


def make_log(trt: Any) -> Any:
    """A logger for TensorRT's objects, which must live as long as they: errors and warnings go to Python's logging.

    Returns:
        ``trt.ILogger`` with the method ``last()``, the last errors as one line.
    """

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(msg)
            elif severity == trt.ILogger.Severity.WARNING:
                _LOGGER.debug("TensorRT: %s", msg)

        def last(self) -> str:
            return " | ".join(self.errors[-_LAST_MESSAGES:]) or "it gave no reason"

    return Log()


def build(trt: Any, log: Any, path: Path, shapes: Shapes, workspace_bytes: int) -> bytes:
    """Build an engine for the current GPU; takes minutes.

    float32 means float32: TF32, which TensorRT allows by default and which keeps ten bits of a number, is off.

    Args:
        trt: the module.
        log: of :func:`make_log`.
        path: the ``.onnx`` file, whose types the engine follows.
        shapes: least, best and largest shape, as :func:`make_profile` takes them.
        workspace_bytes: the most that one operator may use beside its inputs and outputs.

    Returns:
        the serialized engine.

    Raises:
        ValueError: TensorRT cannot read the file or build an engine of it, or shapes that do not fit.
        OSError: TensorRT cannot start.
    """
    builder = start(trt, log, "Builder")
    network = builder.create_network(_network_flags(trt))
    _parse(trt, log, network, path)
    tensor = network.get_input(0)
    profile = make_profile(tuple(tensor.shape), *shapes)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    config.clear_flag(trt.BuilderFlag.TF32)
    _add_profile(builder, config, tensor.name, profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ValueError(f"TensorRT {trt.__version__} cannot build an engine from {path.name}: {log.last()}")
    return bytes(plan)


def start(trt: Any, log: Any, what: str) -> Any:
    """TensorRT's ``Builder`` or ``Runtime``.

    Raises:
        OSError: its factory gave nothing, as happens without a GPU.
    """
    try:
        return getattr(trt, what)(log)
    except (TypeError, RuntimeError) as error:
        raise OSError(f"TensorRT {trt.__version__} cannot start: {log.last()} ({error}); is there a GPU?") from error


def _network_flags(trt: Any) -> int:
    """Strongly typed; with an explicit batch where that is still a choice."""
    flags = trt.NetworkDefinitionCreationFlag
    chosen = [flags.STRONGLY_TYPED]
    if hasattr(flags, "EXPLICIT_BATCH"):
        chosen.append(flags.EXPLICIT_BATCH)
    return sum(1 << int(flag) for flag in chosen)


def _parse(trt: Any, log: Any, network: Any, path: Path) -> None:
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        text = " | ".join(f"{e.node_operator()} {e.node_name()!r}: {e.desc()}" for e in errors[:_LAST_MESSAGES])
        raise ValueError(f"TensorRT {trt.__version__} cannot read {path.name}: {text or log.last()}")
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise ValueError(
            f"{path.name} has {network.num_inputs} inputs and {network.num_outputs} outputs; expected one of each"
        )


def _add_profile(builder: Any, config: Any, name: str, shapes: Profile) -> None:
    profile = builder.create_optimization_profile()
    profile.set_shape(name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise ValueError(f"TensorRT refuses the shapes {[list(shape) for shape in shapes]} for the input {name!r}")
