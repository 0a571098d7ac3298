"""The Pareto front."""

from __future__ import annotations

import random

import pytest

from paddle_mobileseg.benchmark.pareto import front


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(1.0, 0.5)], [0]),
        ([(2.0, 0.5), (1.0, 0.4), (3.0, 0.5)], [1, 0]),  # as accurate and slower
        ([(1.0, 0.4), (1.0, 0.5)], [1]),  # as fast and less accurate
        ([(1.0, 0.5), (1.0, 0.5), (2.0, 0.4)], [0, 1]),  # equal ones both stay
        ([(3.0, 0.9), (2.0, 0.8), (1.0, 0.7)], [2, 1, 0]),
    ],
)
def test_fronts(points: list[tuple[float, float]], expected: list[int]) -> None:
    assert front(points) == expected


def test_the_same_as_comparing_every_two() -> None:
    chance = random.Random(0)
    for _ in range(50):
        points = [(chance.randint(1, 8), chance.randint(1, 8)) for _ in range(15)]

        def beaten(p: tuple[int, int], points: list[tuple[int, int]] = points) -> bool:
            return any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)

        assert sorted(front(points)) == [i for i, p in enumerate(points) if not beaten(p)]


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two finite numbers"):
        front([(1.0, float("nan"))])
