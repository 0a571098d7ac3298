"""Zero channels that let ONNX Runtime's layout of blocks take what has few channels."""

from __future__ import annotations

from collections import Counter

import numpy as np
from onnx import GraphProto, NodeProto, numpy_helper

BLOCK = 16  # channels; 8 on processors without AVX-512
_MULTIPLE = 4  # the layout takes convolutions of such numbers of channels


def integer(node: NodeProto, name: str, default: int) -> int:
    """An attribute of a node."""
    return next((each.i for each in node.attribute if each.name == name), default)


def fill_blocks(graph: GraphProto) -> None:
    """Between two convolutions, as those of a gate, make 16 channels of fewer and a multiple of 4 of more, in place.

    The channels in between are the first convolution's, perhaps a ReLU's, and nothing else's; both weights are known.
    The channels added are 0, and so are the weights by which the second convolution takes them.
    """
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    reads = Counter(name for node in graph.node for name in node.input)
    reads.update(output.name for output in graph.output)
    for second in [node for node in graph.node if node.op_type == "Conv"]:
        first = producers.get(second.input[0])
        if first is not None and first.op_type == "Relu" and reads[first.output[0]] == reads[first.input[0]] == 1:
            first = producers.get(first.input[0])
        if first is None or first.op_type != "Conv" or reads[first.output[0]] > 1 or reads[second.input[0]] > 1:
            continue
        if integer(first, "group", 1) != 1 or integer(second, "group", 1) != 1:
            continue
        if not {*first.input[1:], *second.input[1:]} <= weights.keys():
            continue
        channels = len(weights[first.input[1]])
        lacking = BLOCK - channels if channels < BLOCK else -channels % _MULTIPLE
        for conv, position, axis in ((first, 1, 0), (first, 2, 0), (second, 1, 1)):
            if lacking and position < len(conv.input):
                value = weights[conv.input[position]]
                value = np.pad(value, [(0, lacking if i == axis else 0) for i in range(value.ndim)])
                name = f"{conv.output[0]}/filled.{position}.{axis}"
                weights[name], conv.input[position] = value, name
                graph.initializer.append(numpy_helper.from_array(value, name))
