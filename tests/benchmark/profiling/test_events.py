"""Sums of made-up events."""

from __future__ import annotations

import time

import pytest

from paddle_mobileseg.benchmark.profiling.events import Event, Profile, Span, plain_ms, profile_of

RUNS = [Span(100, 100), Span(700, 101), Span(300, 90), Span(500, 150)]


def test_means_over_the_faster_runs_of_what_is_inside_them() -> None:
    events = [
        Event("a", "Conv", 20, 50),  # warm-up
        Event("a", "Conv", 100, 30),
        Event("b", "Add", 140, 10),
        Event("b", "Add", 160, 10),
        Event("c", "Conv", 250, 30),  # between the runs
        Event("b", "Add", 300, 5),
        Event("b", "Add", 310, 5),
        Event("a", "Conv", 320, 50),
        Event("a", "Conv", 390, 50),  # behind the second
        Event("a", "Conv", 510, 120),  # in slower runs
        Event("b", "Add", 700, 100),
    ]
    profile = profile_of(events, RUNS)

    assert profile.operators == [
        {"name": "a", "type": "Conv", "ms": pytest.approx(0.040), "calls": 1},
        {"name": "b", "type": "Add", "ms": pytest.approx(0.015), "calls": 2},
    ]
    assert (profile.runs, profile.run_ms) == (2, pytest.approx(0.095))
    assert profile.explained == pytest.approx(0.055 / 0.095)
    assert Profile.from_json(profile.to_json()) == profile


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (2, 1), (3, 2), (20, 10)])
def test_half_of_the_runs(count: int, kept: int) -> None:
    spans = [Span(1000 * i, 500 - i) for i in range(count)]
    profile = profile_of([Event("a", "Conv", span.start_us, span.duration_us) for span in spans], spans)
    fastest = sorted(500 - i for i in range(count))[:kept]
    assert (profile.runs, profile.explained) == (kept, pytest.approx(1))
    assert profile.operators[0]["ms"] == pytest.approx(sum(fastest) / kept / 1000)


def test_runs_without_profiler(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.010, 1.0, 1.090, 2.0, 2.030, 3.0, 3.040])  # seconds at begin and end of four runs
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert plain_ms(lambda: None, 4) == pytest.approx((10 + 30) / 2)


def test_what_runs_inside_another_is_part_of_it() -> None:
    events = [
        Event("body", "Conv", 110, 20),
        Event("branch", "If", 105, 50),
        Event("body", "Add", 130, 25),  # ends with it
        Event("next", "Add", 155, 1),
        Event("elsewhere", "Mul", 110, 20, thread="2"),
    ]
    assert [(each["name"], each["ms"]) for each in profile_of(events, RUNS[:1]).operators] == [
        ("branch", 0.05),
        ("elsewhere", 0.02),
        ("next", 0.001),
    ]


def test_an_operator_of_no_measurable_time_is_there() -> None:
    """In whole microseconds it begins when its successor does, and is not inside it."""
    events = [Event("nothing", "Reshape", 110, 0), Event("next", "Conv", 110, 7)]
    assert {each["name"]: each["ms"] for each in profile_of(events, RUNS[:1]).operators} == {
        "next": 0.007,
        "nothing": 0,
    }


def test_one_name_with_two_types_is_two_operators() -> None:
    events = [Event("x", "Conv", 110, 5), Event("x", "Cast", 120, 5)]
    assert [each["type"] for each in profile_of(events, RUNS[:1]).operators] == ["Conv", "Cast"]


@pytest.mark.parametrize(("events", "spans"), [([], RUNS), ([Event("a", "Conv", 20, 50)], RUNS), ([], [])])
def test_runs_without_operators(events: list[Event], spans: list[Span]) -> None:
    with pytest.raises(ValueError, match=rf"trace of {len(spans)} runs has no operators"):
        profile_of(events, spans)
