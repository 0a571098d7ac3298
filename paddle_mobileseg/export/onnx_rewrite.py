"""Splits, joins and shuffles of channels in an ONNX graph, folded into the convolutions around them.

ONNX Runtime keeps maps in blocks of 8 or 16 channels. Where a graph splits, joins or shuffles other numbers of channels
it goes back to the plain layout and forth again, which costs a network of small blocks more than its convolutions do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper, shape_inference

from paddle_mobileseg.export.onnx_blocks import BLOCK, fill_blocks, integer

_LEAST = 8  # channels of a map that is joined; fewer would fill less than half of a block
_OPEN = 40.0  # the sigmoid of it is 1
_POINTWISE = {"Relu", "Clip", "Sigmoid"}
_BY_CHANNEL = _POINTWISE | {"GlobalAveragePool", "AveragePool", "MaxPool", "Resize"}
_BY_PARTS = _BY_CHANNEL | {"Conv", "Add", "Mul"}


@dataclass(frozen=True)
class Part:
    """The channels ``index`` of the tensor ``name`` of the new graph, which has ``width`` channels.

    All other channels are those of the tensor ``rest``, which is ``name`` itself where no other tensor has them.
    """

    name: str
    index: tuple[int, ...]
    width: int
    rest: str

    @property
    def is_all(self) -> bool:
        return self.index == tuple(range(self.width))


View = tuple[Part, ...]  # whose channels one after the other are those of a tensor of the old graph
Rows = tuple[int, ...]  # channels of a tensor of the old graph, -1 for one that it does not have


def fold_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of the same function with fewer splits, joins and shuffles of channels.

    Each tensor is followed through the graph as a selection of channels of others:

    - Lite-HRNet's blocks split a map, weight the second half (by gates and depthwise convolutions) and shuffle both
      halves. Here the weighting takes the whole map and leaves the first half as it is (gate 1, a kernel whose only
      number is a 1 in its middle). The shuffle then is another order of the same channels, which the weights of the
      next convolutions take over.
    - A join of maps that do not fill ONNX Runtime's blocks is left out (GhostNet). What works by channels works on each
      map, and a convolution becomes the sum of convolutions of each.

    Tensors with an open size stay as they are. Sums are rounded in another order; all else is equal, as long as no map
    has infinite values.

    Args:
        model: opset 11 or later, no control flow, operators of ONNX's own domain. It is not changed.

    Returns:
        the new model; nodes and weights that nothing uses remain in it. The model itself if there is nothing to fold.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    fill_blocks(copied.graph)
    del copied.graph.value_info[:]
    graph = shape_inference.infer_shapes(copied).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    shapes = {name: sizes for name, sizes in shapes.items() if 0 not in sizes}  # 0: an open size
    return copied if _Folding(copied, shapes).run() else model


class _Folding:
    """The old graph, and the nodes of the new one as far as they are known."""

    def __init__(self, model: onnx.ModelProto, shapes: dict[str, list[int]]) -> None:
        self.graph = model.graph
        self.shapes = shapes
        self.weights = {each.name: numpy_helper.to_array(each) for each in self.graph.initializer}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in set(node.input):
                self.readers.setdefault(name, []).append(node)
        self.outputs = {each.name for each in self.graph.output}
        self.views: dict[str, View] = {}  # of tensors that the new graph may lack
        self.nodes: list[NodeProto] = []
        self.added: list[onnx.TensorProto] = []
        self.put_together: set[str] = set()
        self.names: Counter[str] = Counter()

    def run(self) -> bool:
        """Write the new graph in place of the old; whether they differ."""
        rules: dict[str, Callable[[NodeProto], bool]] = {
            "Split": self._split,
            "Concat": self._concat,
            "Reshape": lambda node: node.output[0] in self.views,  # of a shuffle
            "Conv": self._conv,
            "Mul": lambda node: self._binary(node, 1.0),
            "Add": lambda node: self._binary(node, 0.0),
            **dict.fromkeys(_BY_CHANNEL, self._by_channel),
        }
        for node in self.graph.node:
            if node.op_type not in rules or not rules[node.op_type](node):
                for i, name in enumerate(node.input):
                    node.input[i] = self._plain(name)
                self.nodes.append(node)
        for name in sorted(self.outputs):
            self._plain(name)
        nodes = [_copy(node) for node in self.nodes]
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(self.added)
        return bool(self.views)

    # Parts of the new graph

    def _name(self, stem: str) -> str:
        self.names[stem] += 1
        return f"{stem}/{self.names[stem]}"

    def _weight(self, stem: str, value: np.ndarray) -> str:
        name = self._name(stem)
        self.added.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        self.weights[name] = value
        return name

    def _emit(self, like: NodeProto, inputs: Sequence[str], output: str = "") -> str:
        """A node as ``like`` on other inputs; the name of its output."""
        node = _copy(like)
        node.name = output or self._name(like.output[0])
        node.input[:], node.output[:] = inputs, [node.name]
        self.nodes.append(node)
        return node.name

    def _view(self, name: str) -> View:
        if name in self.views:
            return self.views[name]
        width = self.shapes[name][1]
        return (Part(name, tuple(range(width)), width, name),)

    def _plain(self, name: str) -> str:
        """A tensor of the old graph, put together if the new graph lacks it."""
        if name in self.views and name not in self.put_together:
            self.put_together.add(name)
            pieces = []
            for part in self.views[name]:
                pieces.append(part.name)
                if not part.is_all:
                    index = self._weight(name, np.array(part.index, np.int64))
                    pieces[-1] = self._name(name)
                    self.nodes.append(helper.make_node("Gather", [part.name, index], [pieces[-1]], axis=1))
            self.nodes.append(helper.make_node("Concat", pieces, [name], axis=1))
        return name

    def _read_once(self, name: str) -> bool:
        return len(self.readers.get(name, [])) == 1 and name not in self.outputs

    def _is_map(self, *names: str) -> bool:
        return all(len(self.shapes.get(name, [])) == 4 for name in names)

    # Rules for each type of operator: whether they took the node

    def _split(self, node: NodeProto) -> bool:
        source = self.producers.get(node.input[0])
        gates = source is not None and source.op_type == "Sigmoid"
        view = self._view(node.input[0]) if self._is_map(node.input[0], *node.output) else ()
        if integer(node, "axis", 0) != 1 or len(view) != 1 or not (gates or self._is_shuffled(node)):
            return False
        (part,) = view
        if part.is_all and not gates and self._can_make(node.input[0], True, 0.0):  # with channels that fill blocks
            rows = (*part.index, *[-1] * (-part.width % BLOCK))
            name = self._make(node.input[0], rows, 0.0)
            part = Part(name, part.index, len(rows), name)
        begin = 0
        for name in node.output:
            index = part.index[begin : begin + self.shapes[name][1]]
            self.views[name] = (Part(part.name, index, part.width, part.name),)
            begin += len(index)
        return True

    def _is_shuffled(self, node: NodeProto) -> bool:
        """Whether one half goes right into a shuffle and the other is weighted."""
        if len(node.output) != 2:
            return False
        first, second = (self.readers.get(name, []) for name in node.output)
        shuffled = len(first) == 1 and first[0].op_type == "Concat" and integer(first[0], "axis", 1) == 2
        return shuffled and any(each.op_type == "Mul" or self._by_depth(each) for each in second)

    def _concat(self, node: NodeProto) -> bool:
        axis = integer(node, "axis", 0)
        if axis not in (1, 2) or not self._is_map(*node.input):
            return False
        if axis == 2:
            return self._shuffle(node)
        widths = [self.shapes[name][1] for name in node.input]
        readers = self.readers.get(node.output[0], [])
        fills = all(width % BLOCK == 0 for width in widths)
        if len(widths) > 2 and len(readers) > 1:  # more sums than the join is worth
            return False
        if fills or min(widths) < _LEAST or not all(each.op_type in _BY_PARTS for each in readers):
            return False
        views = [self._view(name) for name in node.input]
        if any(len(view) > 1 for view in views) or node.output[0] in self.outputs:
            return False
        self.views[node.output[0]] = tuple(part for view in views for part in view)
        return True

    def _shuffle(self, node: NodeProto) -> bool:
        """The rows of two maps side by side, read as twice the channels: by turns one of the first and the second."""
        readers = self.readers.get(node.output[0], [])
        views = [self._view(name) for name in node.input]
        if [each.op_type for each in readers] != ["Reshape"] or [len(view) for view in views] != [1, 1]:
            return False
        (first,), (second,) = views
        result, (batch, channels, *sides) = readers[0].output[0], self.shapes[node.input[0]]
        shuffled = self.shapes.get(result) == [batch, 2 * channels, *sides] and node.output[0] not in self.outputs
        if not shuffled or second.rest != first.name or set(first.index) & set(second.index):
            return False
        index = tuple(i for pair in zip(first.index, second.index, strict=True) for i in pair)
        self.views[result] = (Part(second.name, index, second.width, second.name),)
        return True

    def _by_channel(self, node: NodeProto) -> bool:
        if node.input[0] not in self.views or len(node.output) > 1:
            return False
        if node.op_type == "Resize" and not self._keeps_channels(node):
            return False
        names = [self._single(node, part.name, part.width) for part in self.views[node.input[0]]]
        view = zip(names, self.views[node.input[0]], strict=True)
        self.views[node.output[0]] = tuple(Part(name, part.index, part.width, name) for name, part in view)
        return True

    def _keeps_channels(self, node: NodeProto) -> bool:
        """Whether a Resize changes sides only, in a form that other numbers of channels can be written into."""
        roi = len(node.input) > 1 and node.input[1] and self.weights.get(node.input[1], np.ones(1)).size
        return (
            self._is_map(node.input[0], node.output[0])
            and self.shapes[node.input[0]][:2] == self.shapes[node.output[0]][:2]
            and not roi
        )

    def _single(self, node: NodeProto, given: str, width: int) -> str:
        """An operator by channels on a tensor of so many."""
        inputs = [given, *node.input[1:]]
        if node.op_type == "Resize":
            if self.shapes[node.input[0]] == self.shapes[node.output[0]]:
                return given
            if len(inputs) == 4:
                batch, _, *sides = self.shapes[node.output[0]]
                inputs[3] = self._weight(node.output[0], np.array([batch, width, *sides], np.int64))
        return self._emit(node, inputs)

    def _conv(self, node: NodeProto) -> bool:
        if node.input[0] not in self.views or not self._is_known(node):
            return False
        if self._by_depth(node):
            return self._depthwise(node)
        if integer(node, "group", 1) == 1:
            self._dense(node, self.weights[node.input[1]], self._bias(node), node.output[0])
            return True
        return False

    def _is_known(self, conv: NodeProto) -> bool:
        return self._is_map(conv.input[0], conv.output[0]) and all(name in self.weights for name in conv.input[1:])

    def _by_depth(self, node: NodeProto) -> bool:
        group = integer(node, "group", 1) if node.op_type == "Conv" else 1
        return (
            group > 1
            and self._is_known(node)
            and group == self.shapes[node.input[0]][1] == self.shapes[node.output[0]][1]
        )

    def _bias(self, conv: NodeProto) -> np.ndarray:
        weight = self.weights[conv.input[1]]
        return self.weights[conv.input[2]] if len(conv.input) > 2 else np.zeros(len(weight), weight.dtype)

    def _dense(self, conv: NodeProto, weight: np.ndarray, bias: np.ndarray, output: str) -> str:
        """The sum of the convolutions of all parts of the input."""
        total, begin = "", 0
        *_, last = view = self._view(conv.input[0])
        for part in view:
            wide = np.zeros((len(weight), part.width, *weight.shape[2:]), weight.dtype)
            wide[:, list(part.index)] = weight[:, begin : begin + len(part.index)]
            begin += len(part.index)
            inputs = [part.name, self._weight(output, wide), *([] if total else [self._weight(output, bias)])]
            name = self._emit(conv, inputs, output if len(view) == 1 else self._name(output))
            if total:
                both, name = [total, name], output if part is last else self._name(output)
                self.nodes.append(helper.make_node("Add", both, [name]))
            total = name
        return total

    def _depthwise(self, node: NodeProto) -> bool:
        weight, bias, parts = self.weights[node.input[1]], self._bias(node), []
        begin, (height, width) = 0, weight.shape[2:]
        for part in self.views[node.input[0]]:
            own, index = slice(begin, begin + len(part.index)), list(part.index)
            begin += len(index)
            wide, shift = np.zeros((part.width, 1, height, width), weight.dtype), np.zeros(part.width, bias.dtype)
            wide[:, 0, height // 2, width // 2] = 1  # what is not in the part stays as it is
            wide[index], shift[index] = weight[own], bias[own]
            name = self._emit(node, [part.name, *(self._weight(node.output[0], each) for each in (wide, shift))])
            next(each for each in self.nodes[-1].attribute if each.name == "group").i = part.width
            parts.append(Part(name, part.index, part.width, part.rest if self._is_centred(node) else name))
        self.views[node.output[0]] = tuple(parts)
        return True

    def _is_centred(self, conv: NodeProto) -> bool:
        """Whether a kernel with a 1 in its middle gives its input."""
        given = {each.name: helper.get_attribute_value(each) for each in conv.attribute}
        pads, strides = list(given.get("pads", [0] * 4)), list(given.get("strides", [1, 1]))
        sides = self.weights[conv.input[1]].shape[2:]
        same = self.shapes[conv.input[0]] == self.shapes[conv.output[0]] and all(side % 2 for side in sides)
        explicit = given.get("auto_pad", b"NOTSET") == b"NOTSET"
        return same and explicit and pads[:2] == pads[2:] and strides == [1, 1]

    def _binary(self, node: NodeProto, neutral: float) -> bool:
        """A sum or product with a number that leaves channels as they are."""
        if not self._is_map(*node.input, node.output[0]) or not self.views.keys() & set(node.input):
            return False
        if len({self.shapes[name][1] for name in node.input}) > 1:
            return False
        for mine, other in (node.input, tuple(reversed(node.input))):
            names = None
            if mine in self.views and self.shapes[mine] == self.shapes[node.output[0]]:
                names = self._fitted(other, self.views[mine], neutral)
            if names is not None:
                parts = []
                for part, (name, leaves) in zip(self.views[mine], names, strict=True):
                    made = self._emit(node, [part.name, self._spread(node, name, mine, other)])
                    parts.append(Part(made, part.index, part.width, part.rest if leaves else made))
                self.views[node.output[0]] = tuple(parts)
                return True
        return False

    def _spread(self, node: NodeProto, name: str, mine: str, other: str) -> str:
        """One number for each channel repeated at all positions: ONNX Runtime's layout multiplies equal shapes only."""
        sides = self.shapes[mine][2:]
        if self.shapes[other][2:] != [1, 1] or sides == [1, 1] or self.shapes[other][0] != self.shapes[mine][0]:
            return name
        spread, stem = self._name(name), node.output[0]
        scales = np.array([1, 1, *sides], np.float32)
        inputs = [name, self._weight(stem, np.zeros(0, np.float32)), self._weight(stem, scales)]
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        self.nodes.append(helper.make_node("Resize", inputs, [spread], **how))
        return spread

    def _fitted(self, name: str, view: View, neutral: float) -> list[tuple[str, bool]] | None:
        """Tensors with the channels of ``name`` where those of ``view`` are, and whether they are neutral elsewhere.

        ``None`` if there are none and none can be made.
        """
        wanted, begin = [], 0
        for part in view:
            rows = np.full(part.width, -1)
            rows[list(part.index)] = np.arange(begin, begin + len(part.index))
            begin += len(part.index)
            wanted.append(tuple(rows.tolist()))
        if all(self._can_make(name, -1 in rows, neutral) for rows in wanted):
            return [(self._make(name, rows, neutral), True) for rows in wanted]
        own = self._view(name)
        if [(part.index, part.width) for part in own] == [(part.index, part.width) for part in view]:
            return [(part.name, False) for part in own]
        return None

    # Tensors of the old graph made once more, with other channels

    def _can_make(self, name: str, fills: bool, fill: float) -> bool:
        """Whether :meth:`_make` can, and the tensor of the old graph is of no use then."""
        node = self.producers.get(name)
        if node is None or not self._read_once(name) or not self._is_map(name):
            return False
        if node.op_type == "Conv":
            return integer(node, "group", 1) == 1 and self._is_known(node)
        if node.op_type == "Sigmoid" and fills:
            return fill == 1 and self._can_make(node.input[0], True, _OPEN)
        if node.op_type == "Resize":
            return self._keeps_channels(node) and self._can_make(node.input[0], fills, fill)
        if node.op_type == "Add":
            same = self.shapes.get(node.input[0]) == self.shapes.get(node.input[1])
            return same and (not fills or fill == 0) and all(self._can_make(each, fills, fill) for each in node.input)
        if node.op_type == "Split" and (integer(node, "axis", 0) != 1 or not self._is_map(*node.output)):
            return False
        return node.op_type in {"Relu", "Sigmoid", "Split"} and self._can_make(node.input[0], fills, fill)

    def _make(self, name: str, rows: Rows, fill: float) -> str:
        """The channels ``rows`` of a tensor, ``fill`` where a row is -1."""
        node = self.producers[name]
        if node.op_type == "Conv":
            index = np.array(rows)
            weight, bias = self.weights[node.input[1]][index], self._bias(node)[index]
            weight[index < 0], bias[index < 0] = 0, fill
            return self._dense(node, weight, bias, self._name(name))
        if node.op_type == "Split":
            begin = sum(self.shapes[each][1] for each in node.output[: list(node.output).index(name)])
            return self._make(node.input[0], tuple(row + begin if row >= 0 else -1 for row in rows), fill)
        if node.op_type == "Add":
            made = {each: self._make(each, rows, fill) for each in node.input}
            return self._emit(node, [made[each] for each in node.input])
        inside = _OPEN if node.op_type == "Sigmoid" else fill
        return self._single(node, self._make(node.input[0], rows, inside), len(rows))


def _copy(node: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(node)
    return copied
