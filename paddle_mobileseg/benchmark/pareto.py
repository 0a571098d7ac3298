"""The Pareto front of accuracy against latency (or any cost against any gain)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points no other one beats.

    A point is beaten by one that costs no more and gains no less, and is better in one of the two. Equal points beat
    each other not: all of them stay.

    Args:
        points: (cost, gain) of each, such as (latency in ms, mIoU).

    Returns:
        indices of the front's points, the cheapest first.

    Raises:
        ValueError: a number is not finite.
    """
    for point in points:
        if not all(math.isfinite(number) for number in point):
            raise ValueError(f"a point is {point}; expected two finite numbers")
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    kept: list[int] = []
    for i in order:
        cost, gain = points[i]
        best = points[kept[-1]] if kept else (math.inf, -math.inf)
        if gain > best[1] or (cost, gain) == best:
            kept.append(i)
    return kept
