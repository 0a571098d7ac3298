"""A network as a legacy graph (``.pdmodel``), the only kind that Paddle Lite's converter reads, written by Paddle 3.

Paddle 3 has a mode for such graphs, but from 3.2 on the Python wrappers of about fifty operators are C++ functions that
refuse the ``Variable`` of a legacy graph. For the time of an export, :func:`legacy_mode` puts functions in front of
them that append the legacy operator; calls with anything but a ``Variable`` go through to Paddle's own function.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.base.framework import Variable
from paddle.base.layer_helper import LayerHelper

from paddle_mobileseg.export.legacy_program import LegacyGraphError, finish
from paddle_mobileseg.layers import eval_mode

__all__ = ["GRAPH", "REPLACEMENTS", "WEIGHTS", "LegacyGraphError", "legacy_mode", "save_legacy"]

GRAPH, WEIGHTS = "legacy.pdmodel", "legacy.pdiparams"
# How Paddle says that a function in C++ does not take a legacy variable.
_REFUSAL = re.compile(r"(\w+)\(\): argument .*must be .*, but got \w+")
_FUNCTION = re.compile(r'File ".*[/\\]paddle[/\\].*", line \d+, in (\w+)')
# Names of arguments that Paddle takes as well, after PyTorch's.
_ALIASES = {"input": "x", "other": "y", "dim": "axis"}

_one_at_a_time = threading.RLock()


def save_legacy(deploy: nn.Layer, folder: Path, input_spec: paddle.static.InputSpec) -> list[str]:
    """Write ``legacy.pdmodel`` and ``legacy.pdiparams``; the layer and the process are as before afterwards.

    Other threads must not use Paddle meanwhile: its choice between eager, static and legacy mode is the process's.

    Args:
        deploy: takes one tensor and returns one; traced in eval mode.
        folder: exists.
        input_spec: shape (-1 where any size is to be taken), dtype and name of the input.

    Returns:
        the names of the two files.

    Raises:
        LegacyGraphError: an operator of the network has no legacy form here, or does what belongs into training only;
            or the layer has no parameters, without which there is no second file.
        OSError: the files cannot be written.
    """
    if not deploy.state_dict():
        raise LegacyGraphError(
            f"{type(deploy).__name__} has no parameters or buffers, and Paddle writes no {WEIGHTS} for it; "
            "a legacy graph needs at least one"
        )
    traced = _Traced(deploy)
    with tempfile.TemporaryDirectory(prefix=".legacy.", dir=folder) as temporary:
        prefix = Path(temporary) / Path(GRAPH).stem
        with eval_mode(deploy), legacy_mode(), _operator_named(), paddle.utils.unique_name.guard():
            traced.eval()
            static = paddle.jit.to_static(traced, input_spec=[input_spec], full_graph=True)
            paddle.jit.save(static, str(prefix))
        finish(prefix.parent / GRAPH)
        for name in (GRAPH, WEIGHTS):
            os.replace(prefix.parent / name, folder / name)
    return [GRAPH, WEIGHTS]


class _Traced(nn.Layer):
    """What is traced in place of a layer, because ``to_static`` changes the ``forward`` of what it is given."""

    def __init__(self, deploy: nn.Layer) -> None:
        super().__init__()
        self.deploy = deploy

    def forward(self, x: Tensor) -> Tensor:
        return self.deploy(x)


@contextlib.contextmanager
def _operator_named() -> Iterator[None]:
    """Whatever Paddle complains about within the block, as an error that names the operator."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        text = str(error)
        refusal = _REFUSAL.search(text)
        functions = _FUNCTION.findall(text)
        if refusal is not None:
            why = (
                "its function does not take a legacy variable, and paddle_mobileseg/export/legacy.py has no "
                "replacement for it in REPLACEMENTS"
            )
        else:
            why = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), type(error).__name__)
        name = refusal[1] if refusal else functions[-1].strip("_") if functions else "(unknown)"
        raise LegacyGraphError(
            f"operator {name!r} cannot be written into a legacy graph with Paddle {paddle.__version__}: {why}. Write "
            "the network with another operator, or leave out the formats paddle-legacy and lite"
        ) from error


@contextlib.contextmanager
def legacy_mode() -> Iterator[None]:
    """Graphs traced within the block are legacy ones. On leaving, also by an error, everything is as before."""
    guard = getattr(getattr(paddle, "pir_utils", None), "OldIrGuard", None)
    if guard is None:
        raise LegacyGraphError(
            f"Paddle {paddle.__version__} does not write legacy graphs any more (paddle.pir_utils.OldIrGuard is gone); "
            "install paddlepaddle 3.3.1, or leave out the formats paddle-legacy and lite"
        )
    with _one_at_a_time, contextlib.ExitStack() as undo:
        for name, replacement in REPLACEMENTS.items():
            for holder, original in _places(name):
                undo.callback(setattr, holder, name, original)
                setattr(holder, name, _choose(replacement, original))
        undo.enter_context(guard())
        yield


def _places(name: str) -> list[tuple[Any, Any]]:
    """Where Paddle keeps its C++ function of that name in place of a Python one that knows legacy graphs."""
    original = getattr(paddle._C_ops, name, None)
    public = [getattr(module, name, None) for module in (paddle, paddle.nn.functional)]
    if original is None or not any(_is_thin(function) for function in public):
        return []
    modules: list[ModuleType | type] = [
        module for key, module in list(sys.modules.items()) if key.partition(".")[0] == "paddle" and module is not None
    ]
    return [(holder, original) for holder in [*modules, Variable] if vars(holder).get(name) is original]


def _is_thin(function: Any) -> bool:
    """Whether it is a C++ function, or a Python function that does nothing but call one (Paddle 3.2 and later)."""
    return getattr(function, "__module__", "") == "paddle.base.dygraph.generated_tensor_methods_patch"


def _choose(replacement: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(value, Variable) for value in (*args, *kwargs.values())):
            return original(*args, **kwargs)
        return replacement(*args, **{_ALIASES.get(key, key): value for key, value in kwargs.items()})

    return call


def _append(operator: str, inputs: dict[str, Variable], dtype: Any, attributes: dict[str, Any]) -> Variable:
    helper = LayerHelper(operator)
    result = helper.create_variable_for_type_inference(dtype)
    helper.append_op(type=operator, inputs=inputs, outputs={"Out": result}, attrs=attributes)
    return result


def _unary(operator: str, **attributes: Any) -> Callable[..., Variable]:
    return lambda x, name=None: _append(operator, {"X": x}, x.dtype, attributes)


def _binary(operator: str, dtype: str | None = None, **attributes: Any) -> Callable[..., Variable]:
    return lambda x, y, name=None: _append(operator, {"X": x, "Y": y}, dtype or x.dtype, attributes)


def _logical_not(x: Variable, name: str | None = None) -> Variable:
    return _append("logical_not", {"X": x}, "bool", {})


def _matmul(
    x: Variable, y: Variable, transpose_x: bool = False, transpose_y: bool = False, name: str | None = None
) -> Variable:
    return _append("matmul_v2", {"X": x, "Y": y}, x.dtype, {"trans_x": transpose_x, "trans_y": transpose_y})


def _arg(operator: str) -> Callable[..., Variable]:
    def replacement(
        x: Variable, axis: int | None = None, keepdim: bool = False, dtype: Any = "int64", name: str | None = None
    ) -> Variable:
        code = paddle.base.framework.convert_np_dtype_to_dtype_(dtype) if isinstance(dtype, str) else dtype
        attributes = {"axis": 0 if axis is None else axis, "flatten": axis is None, "keepdims": keepdim}
        return _append(operator, {"X": x}, code, {**attributes, "dtype": int(code)})

    return replacement


def _sum(x: Variable, axis: Any = None, dtype: Any = None, keepdim: bool = False, name: str | None = None) -> Variable:
    dim = [] if axis is None else [axis] if isinstance(axis, int) else list(axis)
    x = x if dtype is None else x.astype(dtype)
    everything = not dim or len(dim) == len(x.shape)
    attributes = {"dim": dim or [0], "keep_dim": keepdim, "reduce_all": everything}
    return _append("reduce_sum", {"X": x}, x.dtype, attributes)


def _gelu(x: Variable, approximate: bool = False, name: str | None = None) -> Variable:
    return _append("gelu", {"X": x}, x.dtype, {"approximate": approximate in (True, "tanh")})


# For every C++ function that a network is likely to call: what appends the legacy operator. The names are Paddle's.
REPLACEMENTS: dict[str, Callable[..., Variable]] = {
    **{name: _unary(name) for name in ("abs", "ceil", "cos", "exp", "floor", "log", "rsqrt", "sigmoid", "sign")},
    **{name: _unary(name) for name in ("sin", "sqrt", "tanh")},
    "multiply": _binary("elementwise_mul", axis=-1),
    "maximum": _binary("elementwise_max", axis=-1),
    "minimum": _binary("elementwise_min", axis=-1),
    "greater_than": _binary("greater_than", "bool"),
    "logical_and": _binary("logical_and", "bool"),
    "logical_or": _binary("logical_or", "bool"),
    "logical_not": _logical_not,
    "matmul": _matmul,
    "argmax": _arg("arg_max"),
    "argmin": _arg("arg_min"),
    "sum": _sum,
    "gelu": _gelu,
}
