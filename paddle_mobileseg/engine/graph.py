"""A network's graph in the form that VisualDL draws.

VisualDL's own ``add_graph`` wants a ``.pdmodel`` file, which Paddle 3 does not write (it looks for ``temp.pdmodel``).
So the network is traced into Paddle 3's program, and its operators are named to VisualDL's analysis as those of an old
program: operator, inputs, outputs, shapes, and the layer that each belongs to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import paddle
from paddle import nn

_PARAMETER, _INPUT = "builtin.parameter", "pd_op.data"
_LISTS = ("builtin.combine", "builtin.split", "builtin.slice")  # of tensors into a list and out of it
_HIDDEN = ("op_callstack", "struct_name", "stop_gradient")
_OLD_TYPES = {"paddle.float32": "FP32", "paddle.int32": "INT32", "paddle.int64": "INT64", "paddle.bool": "BOOL"}


def network_graph(network: nn.Layer, input_shape: Sequence[int]) -> dict[str, Any]:
    """The graph of a network in eval mode, as VisualDL keeps it in ``vdlgraph`` files.

    Args:
        network: any segmentation network; it is left unfit for training: give a copy.
        input_shape: [N, C, H, W], of whole numbers that the network takes.

    Returns:
        ``version``, ``nodes`` (operators and layers, by names such as ``/Net[model]/Conv2D[conv]/conv2d_0``),
        ``vars`` (tensors) and ``edges``.
    """
    from visualdl.component.graph import analyse_model

    network.eval()
    layers: dict[int, str] = {}
    with contextlib.ExitStack() as stack, paddle.utils.unique_name.guard():
        for name, each in network.named_sublayers():
            stack.enter_context(_noting_operators(each, _path(network, name), layers))
        spec = paddle.static.InputSpec(list(input_shape), "float32", "image")
        static = paddle.jit.to_static(network, input_spec=[spec], full_graph=True)
        traced = static.forward.concrete_program
        weights = {tensor.name: name for name, tensor in network.state_dict().items()}
        return analyse_model(_old_program(traced, layers, _path(network, ""), weights))


def _path(network: nn.Layer, name: str) -> str:
    """``/Net[model]/Backbone[backbone]/Conv2D[conv]/`` of a layer's name ``backbone.conv``."""
    path, layer = f"/{type(network).__name__}[model]/", network
    for part in filter(None, name.split(".")):
        layer = layer._sub_layers[part]
        path += f"{type(layer).__name__}[{part}]/"
    return path


@contextlib.contextmanager
def _noting_operators(layer: nn.Layer, path: str, layers: dict[int, str]) -> Iterator[None]:
    """Inside the block, ``layers`` receives the path of the innermost layer that an operator (by number) is made in."""
    starts: list[int] = []

    def count() -> int:
        return len(paddle.static.default_main_program().global_block().ops)

    def before(*_: Any) -> None:
        starts.append(count())

    def after(*_: Any) -> None:
        for number in range(starts.pop(), count()):
            layers.setdefault(number, path)

    helpers = [layer.register_forward_pre_hook(before), layer.register_forward_post_hook(after)]
    try:
        yield
    finally:
        for helper in helpers:
            helper.remove()


def _old_program(traced: Any, layers: dict[int, str], root: str, weights: dict[str, str]) -> bytes:
    """Operators of a Paddle 3 program as a ``ProgramDesc``, as far as it is drawn.

    Args:
        traced: a ``ConcreteProgram``.
        layers: the path of the layer that made an operator, by its number.
        root: that of the network, which made the others.
        weights: names of parameters and buffers in ``state_dict``, by Paddle's.
    """
    from paddle.base.proto import framework_pb2

    program = framework_pb2.ProgramDesc()
    block = program.blocks.add(idx=0, parent_idx=-1)
    names: dict[int, list[str]] = {}  # of each value; of a list of tensors, those of its tensors
    for number, operator in enumerate(traced.main_program.global_block().ops):
        kind = operator.name()
        inputs = [names.get(value.id, []) if value.initialized() else [] for value in operator.operands_source()]
        if kind in _LISTS:
            for value in operator.results():
                names[value.id] = [name for part in inputs for name in part]
            continue
        results = [value for value in operator.results() if value.initialized()]
        label = f"{kind.rpartition('.')[2]}_{number}"
        if kind == _PARAMETER:
            label = operator.attrs()["parameter_name"]
            label = weights.get(label, label)
        for index, value in enumerate(results):
            name = label if kind == _PARAMETER else f"{label}.{index}"
            names[value.id] = [name]
            _add_tensor(block, name, value, persistable=kind == _PARAMETER)
        if kind == _PARAMETER:
            continue
        old = block.ops.add(type="feed" if kind == _INPUT else kind.rpartition(".")[2])
        for parameter, arguments in zip(operator.get_input_names(), inputs, strict=False):
            old.inputs.add(parameter=parameter, arguments=arguments)
        for parameter, value in zip(operator.get_output_names(), operator.results(), strict=False):
            old.outputs.add(parameter=parameter, arguments=names[value.id] if value.initialized() else [])
        old.attrs.add(
            name="op_namescope", type=framework_pb2.STRING, s="/" if kind == _INPUT else layers.get(number, root)
        )
        _add_attributes(old, operator.attrs())
    for value in paddle.utils.flatten(traced.outputs):
        block.ops.add(type="fetch").inputs.add(parameter="X", arguments=names[value.id])
        block.ops[-1].attrs.add(name="op_namescope", type=framework_pb2.STRING, s="/")
    return program.SerializeToString()


def _add_tensor(block: Any, name: str, value: Any, persistable: bool) -> None:
    from paddle.base.proto.framework_pb2 import VarType

    variable = block.vars.add(name=name, persistable=persistable)
    variable.type.type = VarType.DENSE_TENSOR
    description = variable.type.dense_tensor.tensor
    single = value.initialized() and value.is_dense_tensor_type()
    description.data_type = getattr(VarType, _OLD_TYPES.get(str(value.dtype), "FP32") if single else "FP32")
    if single:
        description.dims.extend(value.shape)


def _add_attributes(old: Any, attributes: dict[str, Any]) -> None:
    from paddle.base.proto import framework_pb2

    for name, value in attributes.items():
        if name in _HIDDEN:
            continue
        if isinstance(value, bool):
            old.attrs.add(name=name, type=framework_pb2.BOOLEAN, b=value)
        elif isinstance(value, int):
            old.attrs.add(name=name, type=framework_pb2.LONG, l=value)
        elif isinstance(value, float):
            old.attrs.add(name=name, type=framework_pb2.FLOAT, f=value)
        elif isinstance(value, str):
            old.attrs.add(name=name, type=framework_pb2.STRING, s=value)
        elif isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            old.attrs.add(name=name, type=framework_pb2.LONGS, longs=value)
