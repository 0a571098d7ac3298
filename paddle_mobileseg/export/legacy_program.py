"""Puts right what Paddle 3 leaves out of a legacy graph, so that Paddle Lite's converter and runtime take it.

Earlier Paddles wrote these attributes and outputs; Paddle 3 itself neither needs nor minds them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddle.base.proto import framework_pb2

_TYPES = framework_pb2.VarType
_RELU6_THRESHOLD = 6.0
# What Paddle writes about the machine and the source, and no runtime reads.
_ORIGIN_ATTRIBUTES = ("op_callstack", "op_namescope")
# Operators that do in training what they must not do here, unless their attribute is_test is true.
_WITH_TRAINING_MODE = ("dropout", "batch_norm", "sync_batch_norm")


class LegacyGraphError(ValueError):
    """The installed Paddle cannot write this network as a legacy graph; the message names the operator."""


def finish(path: Path) -> int:
    """Put right the operators of a ``.pdmodel``, and drop its traces of the machine.

    Returns:
        how many operators lacked something.

    Raises:
        LegacyGraphError: an operator is in training mode.
    """
    program = framework_pb2.ProgramDesc.FromString(path.read_bytes())
    repaired = 0
    for block in program.blocks:
        for op in block.ops:
            attributes = {attribute.name: attribute for attribute in op.attrs}
            _check_mode(op, attributes)
            repair = _REPAIRS.get(op.type)
            repaired += repair is not None and repair(block, op, attributes)
            for name in _ORIGIN_ATTRIBUTES:
                if name in attributes:
                    op.attrs.remove(attributes[name])
    path.write_bytes(program.SerializeToString(deterministic=True))
    return repaired


def _check_mode(op: Any, attributes: dict[str, Any]) -> None:
    if op.type in _WITH_TRAINING_MODE and not ("is_test" in attributes and attributes["is_test"].b):
        output = ", ".join(name for slot in op.outputs for name in slot.arguments)
        raise LegacyGraphError(
            f"operator {op.type} (output {output}) is in training mode; put the layer that has it into eval mode by "
            "`layer.eval()`, or give its function training=False"
        )


def _relu6(block: Any, op: Any, attributes: dict[str, Any]) -> bool:
    """The converter aborts without the attribute ``threshold``."""
    if "threshold" in attributes:
        return False
    op.attrs.add(name="threshold", type=framework_pb2.FLOAT, f=_RELU6_THRESHOLD)
    return True


def _flatten(block: Any, op: Any, attributes: dict[str, Any]) -> bool:
    """The converter dies without the output that keeps the input's shape, as reshape's still does."""
    if any(slot.parameter == "XShape" for slot in op.outputs):
        return False
    result = op.outputs[0].arguments[0]
    shape = block.vars.add()
    shape.CopyFrom(_variable(block, result))
    shape.name = f"{result}.xshape"
    dims = _variable(block, op.inputs[0].arguments[0]).type.dense_tensor.tensor.dims
    shape.type.dense_tensor.tensor.dims[:] = [0, *dims]
    op.outputs.add(parameter="XShape", arguments=[shape.name])
    return True


def _assign_value(block: Any, op: Any, attributes: dict[str, Any]) -> bool:
    """The runtime looks for the values under a name for each type, and knows no float64.

    A float64 constant becomes float32 if it is only cast to something else, which is what ``paddle.to_tensor`` of a
    NumPy array with a dtype makes.
    """
    if {"fp32_values", "int32_values"} & set(attributes) or "values" not in attributes:
        return False
    dtype = attributes["dtype"]
    if dtype.i == _TYPES.FP64:
        name = op.outputs[0].arguments[0]
        readers = [each for each in block.ops if any(name in slot.arguments for slot in each.inputs)]
        if any(each.type != "cast" for each in readers):
            return False
        for attribute in (a for each in readers for a in each.attrs if a.name == "in_dtype"):
            attribute.i = _TYPES.FP32
        _variable(block, name).type.dense_tensor.tensor.data_type = _TYPES.FP32
        dtype.i = _TYPES.FP32
    values = [_number(scalar) for scalar in attributes["values"].scalars]
    fp32, int32 = dtype.i == _TYPES.FP32, dtype.i == _TYPES.INT32
    op.attrs.add(name="fp32_values", type=framework_pb2.FLOATS, floats=values if fp32 else [])
    op.attrs.add(name="int32_values", type=framework_pb2.INTS, ints=map(int, values) if int32 else [])
    if dtype.i == _TYPES.INT64:
        op.attrs.add(name="int64_values", type=framework_pb2.LONGS, longs=map(int, values))
    if dtype.i == _TYPES.BOOL:
        op.attrs.add(name="bool_values", type=framework_pb2.INTS, ints=map(int, values))
    return True


def _number(scalar: Any) -> float | int:
    if scalar.type == framework_pb2.Scalar.FLOAT64:
        return scalar.r
    return scalar.i if scalar.type == framework_pb2.Scalar.LONG else int(scalar.b)


def _variable(block: Any, name: str) -> Any:
    return next(var for var in block.vars if var.name == name)


_REPAIRS: dict[str, Callable[[Any, Any, dict[str, Any]], bool]] = {
    "assign_value": _assign_value,
    "flatten_contiguous_range": _flatten,
    "relu6": _relu6,
}
