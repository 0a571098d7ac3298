from __future__ import annotations

import math
import random

import pytest

from paddle_mobileseg.report.benchmark_labels import FAR, NEAR, Rooms, leader, leader_boxes, nearest, overlaps

AREA = (0.0, 0.0, 200.0, 200.0)


def rooms(*others: tuple[float, float], area: tuple[float, float, float, float] = AREA) -> Rooms:
    """A chart with a mark of ``net`` in its middle, and some of ``other``."""
    return Rooms(area, [((100.0, 100.0), "net"), *((spot, "other") for spot in others)])


def test_room_is_next_to_the_mark_or_further_away_or_nowhere() -> None:
    assert rooms().find((100, 100), "net", (20, 10), NEAR) == (110, 95, 130, 105)
    assert rooms((125, 100)).find((100, 100), "net", (20, 10), NEAR) == (90, 80, 110, 90)
    crowded = rooms()
    crowded.taken = [(70, 70, 130, 130)]
    assert crowded.find((100, 100), "net", (10, 10), NEAR) is None
    assert crowded.find((100, 100), None, (10, 10), FAR) is None, "a line to it would cross what is taken"
    assert rooms(area=(80, 80, 120, 120)).find((100, 100), "net", (60, 10), FAR) is None


def test_lines_are_avoided_where_there_is_other_room() -> None:
    chart = rooms()
    chart.lines = [(101, 0, 300, 200)]
    assert chart.find((100, 100), "net", (20, 10), NEAR) == (70, 95, 90, 105)
    chart = rooms()
    chart.lines = [AREA]
    assert chart.find((100, 100), "net", (20, 10), NEAR) == (110, 95, 130, 105)


def test_rooms_that_are_found_are_taken_with_the_lines_that_lead_to_them() -> None:
    chart = rooms()
    chart.taken = [(85, 88, 89, 112), (111, 88, 115, 112), (85, 84, 115, 89), (85, 111, 115, 115)]
    assert chart.find((100, 100), "net", (40, 10), FAR) is None
    chart.taken[-1:] = [(80, 113, 97, 120), (103, 113, 120, 120)]
    before = len(chart.taken)
    box = chart.find((100, 100), "net", (40, 10), FAR)
    assert box == (80, 122, 120, 132)
    assert leader((100, 100), box) == ((100, 100), (100, 122))
    assert chart.taken[before:] == [box, *leader_boxes((100, 100), box)]
    assert leader((100, 100), (110, 95, 130, 105)) is None
    assert leader_boxes((100, 100), (110, 95, 130, 105)) == []


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_nearer_to_marks_of_their_own_name_than_to_others(seed: int) -> None:
    rng = random.Random(seed)
    marks = [((rng.uniform(0, 200), rng.uniform(0, 200)), f"net{i % 12}") for i in range(36)]
    chart, placed = Rooms(AREA, marks), 0
    for at, name in marks:
        box = chart.find(at, name, (40, 12), FAR)
        if box is None:
            continue
        placed += 1
        far = {other: min(math.dist(spot, nearest(box, spot)) for spot, n in marks if n == other) for _, other in marks}
        assert min(far, key=far.__getitem__) == name
    assert placed >= 8


@pytest.mark.parametrize(
    ("other", "expected"), [((2, 2, 4, 4), False), ((1, 1, 3, 3), True), ((0, 2, 2, 3), False), ((-1, -1, 9, 9), True)]
)
def test_boxes_that_touch_do_not_overlap(other: tuple[float, float, float, float], expected: bool) -> None:
    assert overlaps((0, 0, 2, 2), other) is expected
