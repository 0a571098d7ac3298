from __future__ import annotations

import itertools
import random
from xml.etree import ElementTree

import pytest

from paddle_mobileseg.report.benchmark_charts import (
    SIZES,
    Point,
    extremes,
    log_ticks,
    scatter,
    series,
    spread,
    step_line,
    thin,
)
from paddle_mobileseg.report.benchmark_labels import overlaps


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (3, 40, [2, 5, 10, 20, 50]),
        (1, 10, [1, 2, 5, 10]),
        (0.3, 0.9, [0.2, 0.5, 1]),
        (5, 5, [5, 10]),
        (0.02, 4000, [0.02, 0.1, 1, 10, 100, 1000, 5000]),
        (1e-6, 1e6, [1e-6, 1e-4, 1e-2, 1, 100, 1e4, 1e6]),
    ],
)
def test_logarithmic_ticks_enclose(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(expected)


def test_front_goes_right_then_up() -> None:
    assert step_line([(3, 0.7), (1, 0.5)]) == [(1, 0.5), (3, 0.5), (3, 0.7)]
    assert step_line([(2, 0.5)]) == [(2, 0.5)]
    assert step_line([]) == []


def parse(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<div>{svg}</div>"))


def point(x: float, y: float, **more: object) -> Point:
    given = {"network": "net", "label": "net", "title": f"{x} {y}", "href": "#how-1", **more}
    return Point(x, y, **given)  # type: ignore[arg-type]


def test_scatter_has_a_wide_and_a_narrow_form_with_every_point() -> None:
    points = [point(1, 0.5, label="a <b>"), point(4, 0.6, kind="published", solid=False), point(2, 0.55, front=True)]
    charts = parse(scatter(points, [("measured", [(1, 0.5), (2, 0.55)])], "ms", "mIoU", "A & B"))
    assert [each.get("class") for each in charts] == ["chart scatter wide", "chart scatter narrow"]
    for chart in charts:
        assert chart.get("aria-label") == "A & B"
        assert sorted(each.findtext("title") or "" for each in chart.iter("a")) == ["1 0.5", "2 0.55", "4 0.6"]
        assert [each.text for each in chart.iter("text") if each.get("class") == "label"][:1] == ["a <b>"]
        assert len([each for each in chart.iter("path") if each.get("class") == "front measured"]) == 1


def centre(mark: ElementTree.Element) -> tuple[float, float]:
    target = next(each for each in mark.iter("circle") if each.get("class") == "target")
    return float(target.get("cx", "")), float(target.get("cy", ""))


@pytest.mark.parametrize(("largest", "middle"), [(8.0, 0.5), (100.0, 1 / 3)])
def test_points_are_where_they_belong(largest: float, middle: float) -> None:
    """Ticks of 1 .. 8 begin at 0; above a ratio of 12 the axis is logarithmic: 1, ..., 100 here, and 4.64 a third."""
    x = 4.0 if largest == 8.0 else 10 ** (2 / 3)
    first = point(1.0, 0.2)
    (chart,) = parse(scatter([first, point(x, 0.4), point(largest, 0.6)], [], "ms", "mIoU", "t", ("wide",)))
    places = sorted(centre(mark) for mark in chart.iter("a"))
    left, top, right, bottom = SIZES[0].area
    assert places[1][0] == pytest.approx(left + middle * (right - left), abs=0.1)
    assert places[2] == pytest.approx((right, top), abs=0.1)
    assert places[0][1] == pytest.approx(bottom, abs=0.1)


@pytest.mark.parametrize("y", [0.0, 0.5])
def test_a_single_point_has_a_chart(y: float) -> None:
    (chart,) = parse(scatter([point(5, y)], [], "ms", "mIoU", "t", ("narrow",)))
    left, top, right, bottom = SIZES[1].area
    x, down = centre(next(chart.iter("a")))
    assert left <= x <= right
    assert top <= down <= bottom


@pytest.mark.parametrize("xs", [(5.0, 5.0), (1e-6, 1e6), (1e9, 2e9)])
@pytest.mark.parametrize("ys", [(0.7, 0.7 + 1e-12), (0.0, 0.0), (0.0, 1.0), (1e-9, 1e-9)])
def test_odd_values_have_a_chart(xs: tuple[float, float], ys: tuple[float, float]) -> None:
    points = [point(x, y) for x, y in zip(xs, ys, strict=True)]
    (chart,) = parse(scatter(points, [("measured", list(zip(xs, ys, strict=True)))], "ms", "mIoU", "t", ("narrow",)))
    left, top, right, bottom = SIZES[1].area
    for mark in chart.iter("a"):
        x, y = centre(mark)
        assert left - 0.1 <= x <= right + 0.1
        assert top - 0.1 <= y <= bottom + 0.1


def test_a_chart_needs_a_point() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        scatter([], [], "ms", "mIoU", "t")


def test_kinds_differ_in_shape() -> None:
    kinds = ("measured", "imported", "published", "estimated")
    points = [point(i + 1, 0.5, kind=kind) for i, kind in enumerate(kinds)]
    (chart,) = parse(scatter(points, [], "ms", "mIoU", "t", ("wide",)))
    shapes = {(mark.get("class") or "").split()[1]: list(mark)[-1] for mark in chart.iter("a")}
    assert set(shapes) == set(kinds)
    drawn = {kind: shape.tag + "".join(c for c in shape.get("d", "") if c.isalpha()) for kind, shape in shapes.items()}
    assert len(set(drawn.values())) == 4


def radius(mark: ElementTree.Element) -> float:
    return float(next(each for each in mark.iter("circle") if each.get("class") == "target").get("r", ""))


def test_what_a_finger_touches_ends_halfway_to_the_next_mark() -> None:
    points = [point(10, 0.5), point(10.5, 0.5), point(10.51, 0.5), point(20, 0.5), point(20, 0.6)]
    (chart,) = parse(scatter(points, [], "ms", "mIoU", "t", ("wide",)))
    marks = list(chart.iter("a"))
    apart = (centre(marks[1])[0] - centre(marks[0])[0]) / 2
    assert 3 < apart < 12
    assert [radius(mark) for mark in marks] == [pytest.approx(apart, abs=0.1), 3, 3, 12, 12]


def test_marks_of_other_origins_show_behind_a_measured_one_of_the_same_place() -> None:
    points = [point(10, 0.5, front=True), point(10, 0.5, kind="imported"), point(10, 0.5, kind="estimated", front=True)]
    (chart,) = parse(scatter(points, [], "ms", "mIoU", "t", ("wide",)))
    drawn = [(mark.get("class") or "").split()[1] for mark in chart.iter("a")]
    assert drawn == ["estimated", "imported", "measured"]
    square, circle = (list(mark)[-1] for mark in list(chart.iter("a"))[1:])
    side = float((square.get("d") or "").partition("h")[2].partition("v")[0])
    assert side / 2 * 2**0.5 > float(circle.get("r", "")) + 1, "the corners of a small square behind a large circle"


@pytest.mark.parametrize(
    ("largest", "ticks", "name"),
    [(10.0, ["0", "2", "4", "6", "8", "10"], "↑ GMACs"), (20.0, ["1", "2", "5", "10", "20"], "↑ GMACs, logarithmic")],
)
def test_sizes_far_apart_are_logarithmic(largest: float, ticks: list[str], name: str) -> None:
    (chart,) = parse(scatter([point(5, 1.0), point(6, largest)], [], "ms", "GMACs", "t", ("narrow",), zero=True))
    texts = [(each.get("class"), each.get("text-anchor"), each.text) for each in chart.iter("text")]
    assert [text for kind, anchor, text in texts if (kind, anchor) == ("tick", "end")] == ticks
    assert ("axis", None, name) in texts


def test_a_label_without_room_is_a_number_or_left_out() -> None:
    long = "a_network_whose_name_is_wider_than_the_chart_is"
    points = [point(5, 0.5, label=long, short="7", front=True), point(9, 0.6, label=long)]
    (chart,) = parse(scatter(points, [], "ms", "mIoU", "t", ("narrow",)))
    assert [each.text for each in chart.iter("text") if (each.get("class") or "").startswith("label")] == ["7"]


def test_labels_never_overlap_where_points_crowd() -> None:
    rng = random.Random(0)
    points = [
        point(rng.uniform(5, 9), rng.uniform(0.6, 0.65), network=f"{i}", label=f"some_network_{i}", front=i % 3 == 0)
        for i in range(60)
    ]
    for chart in parse(scatter(points, [], "ms", "mIoU", "t")):
        font = next(size.font for size in SIZES if size.name in (chart.get("class") or ""))
        boxes = []
        for text in chart.iter("text"):
            if (text.get("class") or "").startswith("label"):
                x, y, half = float(text.get("x", "")), float(text.get("y", "")), len(text.text or "") * font * 0.3
                boxes.append((x - half, y - font * 0.8, x + half, y + font * 0.2))
        assert len(boxes) >= 5
        assert [pair for pair in itertools.combinations(boxes, 2) if overlaps(*pair)] == []


def test_thinning_keeps_both_ends_and_extremes_keep_outliers() -> None:
    values = [1.0] * 1000
    values[417] = 9.0
    assert thin([1, 2, 3, 4, 5], 3) == [1, 3, 5]
    assert thin([1, 2], 3) == [1, 2]
    kept = extremes(values, 40)
    assert len(kept) <= 40
    assert (417, 9.0) in kept
    assert extremes([3.0, 1.0], 40) == [(0, 3.0), (1, 1.0)]


def test_spread_says_its_numbers_and_marks_beyond_the_axis_stay_on_it() -> None:
    marks = {"min": 10.0, "median": 12.0, "p90": 15.0, "p99": 19.0, "first": 400.0}
    (chart,) = parse(spread([10.0, 12.0, 15.0, 20.0], 10.0, 20.0, marks))
    assert chart.get("aria-label") == (
        "Spread of the runs: min 10 ms, median 12 ms, p90 15 ms, p99 19 ms, first 400 ms"
    )
    paths = {each.get("class"): each.get("d") for each in chart.iter("path")}
    assert paths["median"] == "M202 2V34"  # 4 + 0.2 * 992
    assert paths["first"] == "M996 4V32"
    assert paths["runs"] == "M4 10V26M202 10V26M500 10V26M996 10V26"
    box = next(chart.iter("rect"))
    assert (box.get("x"), box.get("width")) == ("4", "496")


def test_series_is_in_the_order_of_the_runs() -> None:
    (chart,) = parse(series([1.0, 3.0, 2.0], 1.0, 3.0, 2.0))
    paths = {each.get("class"): each.get("d") for each in chart.iter("path")}
    assert paths == {"line": "M0 56L500 4L1000 30", "middle": "M0 30H1000"}
    (chart,) = parse(series([5.0], 4.0, 6.0, None))
    assert [each.get("d") for each in chart.iter("path")] == ["M0 30L1000 30"]
