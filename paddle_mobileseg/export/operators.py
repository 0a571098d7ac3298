"""The operators of an exported graph: how many there are, and which Paddle Lite would not run rightly.

Paddle Lite's converter accepts graphs that then stop the process on a phone or give wrong labels there, although they
run well on x86. :func:`lint` looks for the forms that are known to; docs/reference/lite.md has the list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_mobileseg.runtime.lite_file import nb_header

_NOT_COUNTED = {"feed", "fetch", "Constant"}
# In Paddle 3's JSON: parameters, inputs and outputs of the graph, and the builtin dialect's bookkeeping.
_NOT_COUNTED_IN_JSON = ("p", "0.", "1.data", "1.feed", "1.fetch")

BOTH, ARM, X86 = ("arm", "x86"), ("arm",), ("x86",)


@dataclass(frozen=True)
class Finding:
    """An operator that Paddle Lite would not run rightly.

    Attributes:
        operator: its type, such as ``reduce_max``.
        output: name of its first output in the graph.
        why: what goes wrong.
        remedy: what to write in its place.
        processors: where: ``arm``, ``x86`` or both.
    """

    operator: str
    output: str
    why: str
    remedy: str
    processors: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.operator} (output {self.output}): {self.why}; {self.remedy}"


def count(path: str | Path) -> int:
    """Number of operators of a graph: a ``.pdmodel``, a Paddle 3 ``.json``, an ``.onnx`` or a ``.nb`` file.

    Inputs, outputs, parameters and constants do not count; operators of nested blocks do.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, or not a graph.
    """
    path = Path(path)
    if path.suffix == ".pdmodel":
        names = [op.type for block in _read_program(path).blocks for op in block.ops]
    elif path.suffix == ".json":
        names = [name for name in _names_in_json(path) if not name.startswith(_NOT_COUNTED_IN_JSON)]
    elif path.suffix == ".onnx":
        import onnx

        names = list(_names_in_onnx(onnx.load(path, load_external_data=False).graph))
    elif path.suffix == ".nb":
        return nb_header(path).operators
    else:
        raise ValueError(f"cannot count the operators of {path}; expected a .pdmodel, .json, .onnx or .nb file")
    return sum(name not in _NOT_COUNTED for name in names)


def lint(path: str | Path) -> list[Finding]:
    """What Paddle Lite would not run rightly in a legacy graph (``.pdmodel``), in the graph's order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a legacy graph.
    """
    program = _read_program(Path(path))
    findings: list[Finding] = []
    for block in program.blocks:
        shapes = {
            var.name: list(var.type.dense_tensor.tensor.dims) for var in block.vars if var.type.HasField("dense_tensor")
        }
        for op in block.ops:
            rule = RULES.get(op.type)
            if rule is not None:
                findings += rule(_Operator(op, shapes))
    return findings


def open_size(path: str | Path) -> bool:
    """Whether a legacy graph (``.pdmodel``) leaves a size of its input open."""
    block = _read_program(Path(path)).blocks[0]
    fed = {name for op in block.ops if op.type == "feed" for slot in op.outputs for name in slot.arguments}
    return any(-1 in var.type.dense_tensor.tensor.dims for var in block.vars if var.name in fed)


class _Operator:
    """An operator of a program with the shapes that it sees; -1 where a size is open."""

    def __init__(self, op: Any, shapes: dict[str, list[int]]) -> None:
        self.type: str = op.type
        self.inputs = {slot.parameter: list(slot.arguments) for slot in op.inputs}
        self.outputs = {slot.parameter: list(slot.arguments) for slot in op.outputs}
        self.output = next((name for names in self.outputs.values() for name in names), "none")
        self._attributes = {attribute.name: attribute for attribute in op.attrs}
        self._shapes = shapes

    def flag(self, name: str) -> bool:
        return name in self._attributes and self._attributes[name].b

    def numbers(self, name: str) -> list[int]:
        attribute = self._attributes.get(name)
        return [] if attribute is None else list(attribute.ints or attribute.longs)

    def has(self, name: str) -> bool:
        return name in self._attributes

    def shape(self, name: str) -> list[int] | None:
        return self._shapes.get(name)

    def finding(self, why: str, remedy: str, processors: Sequence[str] = BOTH) -> Finding:
        return Finding(self.type, self.output, why, remedy, tuple(processors))


def _reduction(op: _Operator) -> Iterator[Finding]:
    shape = op.shape(op.inputs["X"][0])
    rank = 4 if shape is None else len(shape)
    axes = [axis % rank for axis in op.numbers("dim")] if rank else []
    if op.flag("reduce_all") or not axes:
        axes = list(range(rank))
    neighbours = len(axes) == 1 or (len(axes) == 2 and axes[1] == axes[0] + 1 and rank == 4)
    if not neighbours or rank > 4:
        yield op.finding(
            f"it reduces axes {axes} of {rank}, and the ARM kernel stops the process unless it is one axis of a tensor "
            "of up to 4 dimensions, or two neighbouring axes of 4 in ascending order",
            "reduce one axis after the other",
            ARM,
        )


def _pooling(op: _Operator) -> Iterator[Finding]:
    bins = op.numbers("ksize")
    if not op.flag("adaptive") or op.flag("global_pooling"):
        return
    sides = (op.shape(op.inputs["X"][0]) or [-1] * 4)[2:]
    use = "use paddle_mobileseg.layers.adaptive_avg_pool"
    if sides == bins and math.prod(bins) != 1:
        yield op.finding(
            f"adaptive pooling of a {_size(sides)} map to its own size gives its mean everywhere on ARM", use, ARM
        )
    elif -1 in sides and math.prod(bins) != 1:
        yield op.finding(
            f"adaptive pooling to {_size(bins)} of a map of open size is wrong on ARM where the map has that size",
            use,
            ARM,
        )


def _constant(op: _Operator) -> Iterator[Finding]:
    shape = op.shape(op.output)
    if shape is not None and not shape and not op.inputs.get("ShapeTensor") and not op.inputs.get("ShapeTensorList"):
        yield op.finding(
            "a constant without dimensions stops the process when it is used",
            "make it a tensor of one dimension: paddle.zeros([1]) or paddle.full([1], value)",
        )
    if op.type == "assign_value":
        if op.has("bool_values"):
            yield op.finding("a constant of truth values comes out wrong", "make it of numbers, and compare them")
        elif not (op.has("fp32_values") or op.has("int32_values")):
            yield op.finding(
                "the runtime finds no values in it, or values of a type that it lacks, and stops the process",
                "make it float32, int32 or int64, and write the graph by paddle_mobileseg.export.legacy",
            )


def _comparison(op: _Operator) -> Iterator[Finding]:
    for name in [*op.inputs.get("X", []), *op.inputs.get("Y", [])]:
        if op.shape(name) == []:
            yield op.finding(
                f"it compares {name}, which has no dimensions; that stops the process",
                "compare with a tensor of at least one dimension, such as paddle.zeros([1]), not with a Python number",
            )
            return


def _product(op: _Operator) -> Iterator[Finding]:
    shapes = [op.shape(op.inputs[slot][0]) or [] for slot in ("X", "Y")]
    for one, other in (shapes, shapes[::-1]):
        if len(one) == 2 and 1 in one and len(other) > 2:
            yield op.finding(
                f"the ARM kernel takes the side of 1 away from {one} when the other factor has more dimensions",
                "multiply and sum elementwise, or reshape both to the same number of dimensions",
                ARM,
            )


def _relu6(op: _Operator) -> Iterator[Finding]:
    if not op.has("threshold"):
        yield op.finding(
            "without its attribute threshold the converter aborts",
            "write the graph by paddle_mobileseg.export.legacy, which adds it",
        )


def _flatten(op: _Operator) -> Iterator[Finding]:
    if not op.outputs.get("XShape"):
        yield op.finding(
            "without its output XShape the converter dies without a message",
            "use reshape, or write the graph by paddle_mobileseg.export.legacy, which adds it",
        )


def _layer_norm(op: _Operator) -> Iterator[Finding]:
    if not op.inputs.get("Scale") or not op.inputs.get("Bias"):
        yield op.finding("without weight and bias the converter dies without a message", "give it both")


def _position(op: _Operator) -> Iterator[Finding]:
    if op.flag("flatten"):
        yield op.finding("over all axes at once it gives wrong positions", "reshape to one dimension and name its axis")


def _reshape(op: _Operator) -> Iterator[Finding]:
    if op.shape(next(iter(op.outputs["Out"]))) == []:
        yield op.finding("a result without dimensions stops the process", "reshape to [1]")


def _always(why: str, remedy: str, processors: Sequence[str] = BOTH) -> Callable[[_Operator], Iterator[Finding]]:
    def rule(op: _Operator) -> Iterator[Finding]:
        yield op.finding(why, remedy, processors)

    return rule


def _size(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


_BRANCH = _always(
    "Paddle Lite's converter does not take loops and branches that depend on values",
    "write it without: compute both and select, or decide by a Python value",
)

RULES: dict[str, Callable[[_Operator], Iterator[Finding]]] = {
    **{f"reduce_{name}": _reduction for name in ("all", "any", "max", "mean", "min", "prod", "sum")},
    **{name: _constant for name in ("assign_value", "fill_constant")},
    **{name: _comparison for name in ("equal", "not_equal", "less_than", "less_equal")},
    **{name: _comparison for name in ("greater_than", "greater_equal")},
    **{name: _BRANCH for name in ("while", "conditional_block")},
    "matmul_v2": _product,
    "pool2d": _pooling,
    "arg_max": _position,
    "reshape2": _reshape,
    "relu6": _relu6,
    "flatten_contiguous_range": _flatten,
    "layer_norm": _layer_norm,
    "index_put": _always("Paddle Lite does not have it", "write it with gather, paddle.where or a product with a mask"),
    "set_value": _always("Paddle Lite gives no output where it is used", "write it with concat or a mask"),
    "linear_interp_v2": _always(
        "Paddle Lite does not have it on x86",
        "interpolate [N, C, 1, n] bilinearly, which gives the same bits, or store the result",
        X86,
    ),
}


def _read_program(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from paddle.base.proto import framework_pb2

    content = path.read_bytes()
    try:
        program = framework_pb2.ProgramDesc.FromString(content)
    except DecodeError as error:
        raise ValueError(f"{path} is no legacy graph of Paddle ({error}); expected a .pdmodel file") from error
    if not program.blocks:
        raise ValueError(f"{path} is no legacy graph of Paddle (it holds no block); expected a .pdmodel file")
    return program


def _names_in_json(path: Path) -> Iterator[str]:
    try:
        regions = json.loads(path.read_bytes())["program"]["regions"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no graph of Paddle 3 ({error}); expected what paddle.jit.save writes") from error
    pending = list(regions)
    while pending:
        for block in pending.pop()["blocks"]:
            for op in block["ops"]:
                yield op["#"]
                pending += op.get("regions", [])


def _names_in_onnx(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _names_in_onnx(attribute.g)
