"""The sizes that a TensorRT engine takes: from the shape of a graph and what the user wants, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Profile(NamedTuple):
    """Least, best and largest shape of the graph's input, each of four whole numbers from 1."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    largest: tuple[int, ...]

    def check(self, shape: Sequence[int]) -> None:
        """Raises:
        ValueError: the engine was not built for an input of this shape; the message has the limits.
        """
        ranges = zip(self.least, shape, self.largest, strict=False)
        if len(shape) != len(self.least) or not all(low <= n <= high for low, n, high in ranges):
            raise ValueError(
                f"the input is {list(shape)}; this TensorRT engine takes {list(self.least)} to {list(self.largest)}; "
                "give another size, or other min_shape and max_shape, which build another engine"
            )


def make_profile(
    graph_shape: Sequence[int],
    min_shape: Sequence[int] | None = None,
    opt_shape: Sequence[int] | None = None,
    max_shape: Sequence[int] | None = None,
) -> Profile:
    """The profile of a graph.

    Args:
        graph_shape: the input's four dimensions, -1 where any size is taken.
        min_shape, opt_shape, max_shape: of the engine, all dimensions. ``opt_shape``, by default ``max_shape``, is what
            TensorRT chooses the fastest kernels for; ``min_shape`` and ``max_shape`` are by default ``opt_shape``.
            A graph of fixed size needs none.

    Raises:
        ValueError: the graph takes any size and no shape is given, or a shape is not four whole numbers from 1, does
            not fit the graph, or they are not in order.
    """
    graph = tuple(int(n) for n in graph_shape)
    asked = {"min_shape": min_shape, "opt_shape": opt_shape, "max_shape": max_shape}
    given = {name: _checked(name, shape, graph) for name, shape in asked.items() if shape is not None}
    if not given and -1 in graph:
        raise ValueError(_ask_for_shapes(graph))
    best = next((given[name] for name in ("opt_shape", "max_shape", "min_shape") if name in given), graph)
    checked = [given.get(name, best) for name in asked]
    names = list(asked)
    for i in range(2):
        if any(small > large for small, large in zip(checked[i], checked[i + 1], strict=True)):
            raise ValueError(
                f"{names[i]} {list(checked[i])} is larger than {names[i + 1]} {list(checked[i + 1])}; "
                "expected min_shape <= opt_shape <= max_shape in every dimension"
            )
    return Profile(*checked)


def _checked(name: str, shape: Sequence[int], graph: tuple[int, ...]) -> tuple[int, ...]:
    wanted = ", ".join("any" if n == -1 else str(n) for n in graph)
    if isinstance(shape, str) or len(shape) != len(graph) or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"{name} is {shape!r}; expected {len(graph)} whole numbers from 1, for the graph's [{wanted}]")
    if any(want not in (-1, n) for want, n in zip(graph, shape, strict=True)):
        raise ValueError(
            f"{name} is {list(shape)}, but the graph takes [{wanted}]; give its own sizes where it has some"
        )
    return tuple(shape)


def _ask_for_shapes(graph: tuple[int, ...]) -> str:
    def example(batch: int, size: int) -> list[int]:
        return [n if n != -1 else (batch if i == 0 else size) for i, n in enumerate(graph)]

    return (
        f"the graph takes any size ({list(graph)}, -1 is any), but a TensorRT engine is built for a range: give the "
        f"least, usual and largest shape, such as min_shape={example(1, 256)}, opt_shape={example(1, 512)} and "
        f"max_shape={example(1, 1024)}, or export the network at one size (--input_shape)"
    )
