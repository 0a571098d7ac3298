from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from paddle_mobileseg.export.onnx_blocks import fill_blocks
from paddle_mobileseg.export.onnx_child import drop_unused_nodes
from paddle_mobileseg.export.onnx_rewrite import fold_channels


class Graph:
    """Builds a model with random weights, one node after the other."""

    def __init__(self, *shapes: list[Any]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)
        self.inputs = [helper.make_tensor_value_info(f"x{i}", 1, shape) for i, shape in enumerate(shapes)]

    def constant(self, value: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(value), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{operator}{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x: str, shape: list[int], bias: bool = True, **attributes: Any) -> str:
        values = [self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])), self.rng.normal(size=shape[0])]
        pads = [shape[2] // 2] * 4
        weights = [self.constant(each.astype(np.float32)) for each in values[: 1 + bias]]
        return self.add("Conv", x, *weights, **{"pads": pads, **attributes})

    def depthwise(self, x: str, channels: int, **attributes: Any) -> str:
        return self.conv(x, [channels, 1, 3, 3], group=channels, **attributes)

    def halves(self, x: str, sizes: list[int]) -> list[str]:
        return self.add("Split", x, self.constant(np.array(sizes, np.int64)), outputs=len(sizes), axis=1)

    def shuffle(self, first: str, second: str, channels: int) -> str:
        shape = self.constant(np.array([0, 2 * channels, -1, 0], np.int64))
        return self.add("Reshape", self.add("Concat", first, second, axis=2), shape)

    def enlarge(self, x: str, sizes: list[int]) -> str:
        none = self.constant(np.zeros(0, np.float32))
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.add("Resize", x, none, none, self.constant(np.array(sizes, np.int64)), **how)

    def gate(self, x: str, channels: int, hidden: int) -> str:
        """Squeeze-excite."""
        y = self.add("Relu", self.conv(self.add("GlobalAveragePool", x), [hidden, channels, 1, 1]))
        return self.add("Mul", x, self.add("Sigmoid", self.conv(y, [channels, hidden, 1, 1])))

    def model(self, *outputs: str) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, values, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    shapes = [[size if isinstance(size, int) else 8 for size in each.shape] for each in session.get_inputs()]
    named = zip(session.get_inputs(), shapes, strict=True)
    return session.run(None, {each.name: rng.normal(size=shape).astype(np.float32) for each, shape in named})


def folded_operators(model: onnx.ModelProto) -> Counter[str]:
    """Fold, compare the results, and count the operators afterwards."""
    before = model.SerializeToString()
    result = fold_channels(model)
    assert model.SerializeToString() == before
    drop_unused_nodes(result.graph)
    onnx.checker.check_model(result, full_check=True)
    assert [each.name for each in result.graph.output] == [each.name for each in model.graph.output]
    for expected, found in zip(run(onnx.load_from_string(before)), run(result), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return Counter(node.op_type for node in result.graph.node)


def weighting(graph: Graph, maps: list[str], channels: list[int], side: int) -> list[str]:
    """A block of Lite-HRNet on maps whose sides halve from one to the next."""
    split = [graph.halves(x, [c // 2, c // 2]) for x, c in zip(maps, channels, strict=True)]
    total, last = sum(channels) // 2, len(maps) - 1
    pooled = []
    for i, (_, second) in enumerate(split):
        scale = [2 ** (last - i)] * 2
        pooled.append(graph.add("AveragePool", second, kernel_shape=scale, strides=scale) if i < last else second)
    hidden = graph.add("Relu", graph.conv(graph.add("Concat", *pooled, axis=1), [7, total, 1, 1]))
    gates = graph.halves(graph.add("Sigmoid", graph.conv(hidden, [total, 7, 1, 1])), [c // 2 for c in channels])
    results = []
    for i, (first, second) in enumerate(split):
        half = channels[i] // 2
        gate = graph.enlarge(gates[i], [1, half, side // 2**i, side // 2**i])
        y = graph.gate(graph.depthwise(graph.add("Mul", second, gate), half), half, 5)
        results.append(graph.shuffle(first, y, half))
    return results


def modules(side: int = 16) -> Graph:
    """Two blocks, and the sum of both branches in the shape of the larger."""
    graph, channels = Graph([1, 3, side, side]), [20, 40]
    maps = [graph.add("Relu", graph.conv("x0", [c, 3, 3, 3], strides=[i + 1] * 2)) for i, c in enumerate(channels)]
    for _ in range(2):
        maps = weighting(graph, maps, channels, side)
    up = graph.enlarge(graph.conv(maps[1], [20, 40, 1, 1], bias=False), [1, 20, side, side])
    y = graph.add("Relu", graph.add("Add", graph.add("Add", maps[0], maps[0]), up))
    down = graph.conv(graph.depthwise(y, 20, strides=[2, 2]), [40, 20, 1, 1])
    graph.ends = [y, graph.add("Add", down, maps[1])]  # type: ignore[attr-defined]
    return graph


def test_blocks_of_lite_hrnet_lose_splits_shuffles_and_joins() -> None:
    graph = modules()
    ends = [graph.conv(end, [8, c, 1, 1]) for end, c in zip(graph.ends, (20, 40), strict=True)]  # type: ignore[attr-defined]
    operators = folded_operators(graph.model(*ends))
    assert not {"Split", "Concat", "Reshape", "Gather"} & set(operators)


def test_outputs_keep_their_order_of_channels() -> None:
    graph = modules()
    operators = folded_operators(graph.model(*graph.ends))  # type: ignore[attr-defined]
    assert operators["Gather"] == 2 and not operators["Split"]


def test_the_other_half_is_exactly_as_it_was() -> None:
    graph = Graph([1, 10, 6, 6])
    first, second = graph.halves("x0", [5, 5])
    y = graph.gate(graph.depthwise(second, 5), 5, 2)
    model = graph.model(graph.shuffle(first, y, 5))
    expected, found = run(model)[0], run(fold_channels(model))[0]
    assert (found[:, ::2] == expected[:, ::2]).all()
    np.testing.assert_allclose(found[:, 1::2], expected[:, 1::2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [8, 12, 20])
def test_joins_of_ghost_modules_become_sums(channels: int) -> None:
    graph = Graph([2, channels, 9, 7])
    maps = [graph.add("Relu", graph.conv("x0", [channels, channels, 1, 1]))]
    maps.append(graph.add("Relu", graph.depthwise(maps[0], channels)))
    y = graph.depthwise(graph.add("Concat", *maps, axis=1), 2 * channels, strides=[2, 2])
    y = graph.conv(y, [24, 2 * channels, 1, 1], bias=False)
    joined = graph.add("Concat", y, graph.depthwise(y, 24), axis=1)
    shortcut = graph.conv("x0", [48, channels, 3, 3], strides=[2, 2])
    operators = folded_operators(graph.model(graph.conv(graph.add("Add", joined, shortcut), [8, 48, 3, 3])))
    assert not operators["Concat"] and operators["Add"] == 4


def test_a_join_is_put_together_for_what_needs_it() -> None:
    graph = Graph([1, 8, 4, 4], [1, 12, 4, 4], [1, 20, 4, 4])
    joined = graph.add("Concat", "x0", "x1", axis=1)
    total = graph.add("Add", joined, "x2")  # which no convolution makes
    operators = folded_operators(graph.model(graph.conv(joined, [8, 20, 1, 1]), graph.add("Abs", total)))
    assert operators == {"Conv": 2, "Concat": 1, "Add": 2, "Abs": 1}


def test_open_sizes_elsewhere_do_not_matter() -> None:
    graph = Graph([1, 3, 8, 8])
    maps = [graph.conv("x0", [channels, 3, 1, 1]) for channels in (8, 12)]
    y = graph.conv(graph.add("Concat", *maps, axis=1), [4, 20, 1, 1])
    positions = graph.add("NonZero", graph.add("Relu", y))  # as many as there are
    operators = folded_operators(graph.model(y, graph.add("Cast", positions, to=TensorProto.FLOAT)))
    assert operators == {"Conv": 4, "Add": 1, "Relu": 1, "NonZero": 1, "Cast": 1}


def untouched() -> dict[str, onnx.ModelProto]:
    """Models that are not to be changed, by reason."""
    result = {}
    graph = Graph([1, 3, "height", 8])
    joined = graph.add("Concat", graph.conv("x0", [8, 3, 1, 1]), graph.conv("x0", [12, 3, 1, 1]), axis=1)
    result["open size"] = graph.model(graph.conv(joined, [4, 20, 1, 1]))
    graph = Graph([1, 16, 8, 8], [1, 32, 8, 8])
    result["full blocks"] = graph.model(graph.conv(graph.add("Concat", "x0", "x1", axis=1), [4, 48, 1, 1]))
    graph = Graph([1, 1, 8, 8], [1, 1, 8, 8])
    result["few channels"] = graph.model(graph.conv(graph.add("Concat", "x0", "x1", axis=1), [4, 2, 3, 3]))
    graph = Graph([1, 8, 8, 8], [1, 12, 8, 8])
    result["another reader"] = graph.model(graph.add("Softmax", graph.add("Concat", "x0", "x1", axis=1), axis=1))
    graph = Graph(*[[1, 12, 8, 8]] * 3)
    joined = graph.add("Concat", "x0", "x1", "x2", axis=1)
    result["many sums"] = graph.model(*[graph.conv(joined, [36, 36, 1, 1]) for _ in range(2)])
    graph = Graph([1, 20, 8, 8])
    first, second = graph.halves("x0", [10, 10])
    result["ShuffleNetV2"] = graph.model(
        graph.shuffle(first, graph.depthwise(graph.conv(second, [10, 10, 1, 1]), 10), 10)
    )
    return result


@pytest.mark.parametrize("reason", untouched())
def test_other_graphs_stay_as_they_are(reason: str) -> None:
    model = untouched()[reason]
    assert fold_channels(model) is model


@pytest.mark.parametrize("attributes", [{"strides": [2, 2]}, {"pads": [0, 0, 2, 2]}, {"pads": [0, 0, 0, 0]}])
def test_a_half_that_moves_is_not_taken_for_the_old_one(attributes: dict[str, list[int]]) -> None:
    graph = Graph([1, 8, 6, 6])
    first, second = graph.halves("x0", [4, 4])
    moved = graph.depthwise(second, 4, **attributes)
    if attributes != {"pads": [0, 0, 2, 2]}:
        moved = graph.enlarge(moved, [1, 4, 6, 6])
    folded_operators(graph.model(graph.shuffle(first, moved, 4), graph.add("Abs", second)))


def test_a_tensor_read_elsewhere_keeps_its_numbers() -> None:
    graph = Graph([1, 3, 8, 8])
    x = graph.add("Relu", graph.conv("x0", [20, 3, 3, 3]))
    first, second = graph.halves(x, [10, 10])
    gate = graph.add("Sigmoid", graph.conv(graph.add("GlobalAveragePool", second), [10, 10, 1, 1]))
    weighted = graph.add("Mul", second, gate)
    y = graph.conv(graph.shuffle(first, weighted, 10), [8, 20, 1, 1])
    folded_operators(graph.model(y, graph.add("Neg", gate), graph.add("Abs", weighted), graph.add("Exp", x)))


@pytest.mark.parametrize(("hidden", "filled"), [(5, 16), (16, 16), (35, 36), (40, 40)])
def test_fill_blocks(hidden: int, filled: int) -> None:
    graph = Graph([1, 12, 5, 5])
    y = graph.add("Relu", graph.conv("x0", [hidden, 12, 1, 1]))
    model = graph.model(graph.conv(y, [6, hidden, 3, 3], bias=False))
    expected = run(model)[0]
    fill_blocks(model.graph)
    del model.graph.value_info[:]
    drop_unused_nodes(model.graph)
    shapes = sorted(list(each.dims) for each in model.graph.initializer)
    assert shapes == sorted([[filled, 12, 1, 1], [filled], [6, filled, 3, 3]])
    np.testing.assert_allclose(run(model)[0], expected, rtol=1e-5, atol=1e-6)


def test_fill_blocks_leaves_what_others_read() -> None:
    graph = Graph([1, 12, 5, 5])
    y = graph.add("Relu", graph.conv("x0", [5, 12, 1, 1]))
    model = graph.model(graph.conv(y, [6, 5, 1, 1]), y)
    before = model.SerializeToString()
    fill_blocks(model.graph)
    assert model.SerializeToString() == before
