from __future__ import annotations

from xml.etree import ElementTree

import pytest

from paddle_mobileseg.report.charts import Curve, average_in_bins, curves_chart, line_chart, nice_ticks, tick_text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.83, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.006, [0, 0.002, 0.004, 0.006]),
        (-1, 2.4, [-1, 0, 1, 2, 3]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (3, 3, [0, 1, 2, 3]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0025, "0.0025"),
        (0.2, "0.2"),
        (15, "15"),
        (20000, "20k"),
        (1500, "1.5k"),
        (6e-5, "6e-5"),
        (2.5e-4, "2.5e-4"),
    ],
)
def test_tick_texts_are_short(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_many_points_are_averaged() -> None:
    points = [(float(i), float(i % 2)) for i in range(1000)]
    binned = average_in_bins(points, 100)
    assert len(binned) == 100
    assert binned[0] == (4.5, 0.5)
    assert {y for _, y in binned} == {0.5}
    assert average_in_bins(points, 1000) == points


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg))


def test_chart_is_well_formed_and_described() -> None:
    root = parse(line_chart([(1, 0.2), (2, 0.5), (3, 0.4)], "A <b> & c", "three points", mark_best=True))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "A <b> & c: three points"
    assert root.findtext("title") == "A <b> & c"
    assert [each.findtext("title") for each in root.iter("circle") if each.get("class") == "dot"] == [
        "iteration 1: 0.2",
        "iteration 2: 0.5",
        "iteration 3: 0.4",
    ]
    assert [each.text for each in root.iter("text") if each.get("class") == "best"] == ["0.500"]


def test_curve_goes_from_the_axis_to_the_right_edge() -> None:
    root = parse(line_chart([(0, 0.0), (10, 1.0)], "t", "d"))
    curve = next(each.get("d") for each in root.iter("path") if each.get("class") == "curve")
    assert curve == "M52.0 216.0L406.0 14.0"


def test_curves_share_their_axes() -> None:
    curves = [Curve("a <b>", "#010203", [(0, 0.0), (10, 1.0)]), Curve("c", "#040506", [(5, 0.5)]), Curve("d", "#0", [])]
    root = parse(curves_chart(curves, "t", "d"))
    drawn = [each for each in root.iter("path") if each.get("class") == "coloured"]
    assert [(each.get("style"), each.get("d")) for each in drawn] == [
        ("stroke:#010203", "M52.0 216.0L406.0 14.0"),
        ("stroke:#040506", "M229.0 115.0"),
    ]
    assert [each.findtext("title") for each in root.iter("g")] == ["a <b>", "c"]
    with pytest.raises(ValueError, match="at least one point"):
        curves_chart([Curve("a", "#000000", [])], "t", "d")


@pytest.mark.parametrize("points", [[(0, 0.0)], [(1, 3.0)], [(5, -2.0), (6, -1.0)], [(1, 1e-9), (2, 2e-9)]])
def test_unusual_values_can_be_drawn(points: list[tuple[float, float]]) -> None:
    text = str(line_chart(points, "t", "d"))
    assert "nan" not in text and "inf" not in text
    parse(text)


def test_no_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        line_chart([], "t", "d")
