"""The ONNX file that TensorRT reads: fp16 and int8 are written into the graph, because TensorRT follows its types.

Since TensorRT 11 a network is always strongly typed: the builder's flags FP16 and INT8 and the calibrators are gone,
and a tensor has the type that the file gives it. TensorRT 10 has that mode too, so one file means the same in both.
Needs the package onnx, and onnxruntime for int8; nothing here needs a GPU, and ONNX Runtime runs what is written.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PRECISIONS = ("fp32", "fp16", "int8")
_INT8_LARGEST = 127
_CHANNEL_SCALES = 13  # the opset in which QuantizeLinear takes a scale for each channel
_LARGEST_HALF = float(np.finfo(np.float16).max)


def check_precision(precision: str) -> None:
    """Raises:
    ValueError: not one of :data:`PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")


def write_typed(source: Path, target: Path, precision: str, calibration: Sequence[np.ndarray] = ()) -> None:
    """Write the graph with the types of a precision; its inputs and outputs keep theirs.

    fp16: every float32 tensor becomes float16. int8: weights (one scale for each output channel) and inputs of every
    convolution go through a pair QuantizeLinear, DequantizeLinear, symmetric, whose scale is the largest absolute value
    seen in ``calibration`` over 127; all else stays float32. A graph that has such pairs already is taken as it is.

    Args:
        source: an ``.onnx`` file in float32.
        target: the ``.onnx`` file to write.
        precision: ``fp16`` or ``int8``.
        calibration: inputs of the graph, for int8.

    Raises:
        ValueError: another precision; fp16 of a quantized graph or of one with branches; int8 without inputs to
            calibrate with, with an opset below 13, or without any convolution.
        ImportError: onnx or onnxruntime is not installed.
    """
    check_precision(precision)
    onnx = _require("onnx", precision)
    model = onnx.load(str(source))
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if precision == "fp16":
        branches = any(a.type == onnx.AttributeProto.GRAPH for node in model.graph.node for a in node.attribute)
        if quantized or branches:
            raise ValueError(
                f"{source} {'is quantized' if quantized else 'has branches or loops'}; fp16 needs a graph without; "
                f"take precision {'int8' if quantized else 'fp32'}"
            )
        _to_half(onnx, model)
    elif precision == "int8" and not quantized:
        opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        if opset < _CHANNEL_SCALES:
            raise ValueError(f"{source} has opset {opset}; int8 needs {_CHANNEL_SCALES} or newer; export it again")
        if len(calibration) == 0:
            raise ValueError(
                "precision int8 needs inputs to calibrate with: give `calibration`, or run a bundle with golden inputs"
            )
        weights = _convolution_weights(onnx, model)
        if not weights:
            raise ValueError(f"{source} has no convolution whose weights are stored; take precision fp16")
        _quantize(onnx, model, weights, _largest_inputs(onnx, model, calibration))
    onnx.save(model, str(target))


def _require(module: str, precision: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"TensorRT in {precision} needs the package {module} to write a graph with those types ({error}); "
            "run `pip install onnx onnxruntime`, or take precision fp32"
        ) from error


def _to_half(onnx: Any, model: Any) -> None:
    """Make a model float16 inside, in place."""
    graph, kinds = model.graph, onnx.TensorProto
    # Scales of a Resize are float32 in any graph.
    kept = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:3]}

    def half(tensor: Any) -> None:
        if tensor.data_type == kinds.FLOAT:
            values = np.clip(onnx.numpy_helper.to_array(tensor), -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    for tensor in graph.initializer:
        if tensor.name not in kept:
            half(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == kinds.FLOAT:
                attribute.i = kinds.FLOAT16
            elif attribute.type == onnx.AttributeProto.TENSOR and node.output[0] not in kept:
                half(attribute.t)
    stored = {each.name for each in graph.initializer}
    floats = [
        {v.name for v in values if v.type.tensor_type.elem_type == kinds.FLOAT} - stored
        for values in (graph.input, graph.output)
    ]
    renamed = {name: f"{name}_fp16" for name in floats[0] | floats[1]}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    casts = [
        [onnx.helper.make_node("Cast", [name], [renamed[name]], to=kinds.FLOAT16) for name in sorted(floats[0])],
        [onnx.helper.make_node("Cast", [renamed[name]], [name], to=kinds.FLOAT) for name in sorted(floats[1])],
    ]
    _set_nodes(onnx, model, [*casts[0], *graph.node, *casts[1]])


def _convolution_weights(onnx: Any, model: Any) -> dict[str, np.ndarray]:
    """Stored weights of convolutions, by the name under which the convolution takes them."""
    stored = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            stored.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
        elif node.op_type == "Identity" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
    names = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    return {name: onnx.numpy_helper.to_array(stored[name]) for name in sorted(names & stored.keys())}


def _largest_inputs(onnx: Any, model: Any, calibration: Sequence[np.ndarray]) -> dict[str, float]:
    """The largest absolute value of every convolution's input, by name, with ONNX Runtime."""
    ort = _require("onnxruntime", "int8")
    names = sorted({node.input[0] for node in model.graph.node if node.op_type == "Conv"})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    own = {value.name for value in (*probe.graph.output, *probe.graph.input)}
    kind = onnx.TensorProto.FLOAT
    probe.graph.output.extend(onnx.helper.make_tensor_value_info(n, kind, None) for n in names if n not in own)
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    wanted = [name for name in names if name != source]
    largest = dict.fromkeys(names, 0.0)
    for x in calibration:
        # No names at all would mean every output.
        found = dict(zip(wanted, session.run(wanted, {source: x}), strict=True)) if wanted else {}
        for name in names:
            largest[name] = max(largest[name], float(np.abs(found.get(name, x)).max()))
    return largest


def _quantize(onnx: Any, model: Any, weights: dict[str, np.ndarray], largest: dict[str, float]) -> None:
    """Put pairs before the convolutions of a model, in place."""
    nodes: list[Any] = []
    made: dict[str, str] = {}

    def pair(name: str, scale: np.ndarray, axis: int | None) -> str:
        if name not in made:
            constants = {f"{name}_scale": scale.astype(np.float32), f"{name}_zero": np.zeros(scale.shape, np.int8)}
            model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constants.items())
            extra = {} if axis is None else {"axis": axis}
            for kind, source, result in (
                ("QuantizeLinear", name, f"{name}_int8"),
                ("DequantizeLinear", f"{name}_int8", f"{name}_dequantized"),
            ):
                nodes.append(onnx.helper.make_node(kind, [source, *constants], [result], **extra))
            made[name] = f"{name}_dequantized"
        return made[name]

    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            channels = np.abs(weights[node.input[1]]).reshape(len(weights[node.input[1]]), -1).max(axis=1)
            node.input[0] = pair(node.input[0], _scale(np.array(largest[node.input[0]])), None)
            node.input[1] = pair(node.input[1], _scale(channels), 0)
        nodes.append(node)
    _set_nodes(onnx, model, nodes)


def _scale(largest: np.ndarray) -> np.ndarray:
    """What is zero throughout may have any scale but zero."""
    return np.where(largest > 0, largest, 1.0) / _INT8_LARGEST


def _set_nodes(onnx: Any, model: Any, nodes: Sequence[Any]) -> None:
    """Replace the nodes; what the file said about tensors between them holds no more."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    del model.graph.value_info[:]
    model.graph.node.extend(copies)
