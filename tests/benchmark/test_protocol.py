"""What the presets promise, and overrides."""

from __future__ import annotations

from typing import Any

import pytest

from paddle_mobileseg.benchmark.protocol import PRESETS, protocol


@pytest.mark.parametrize(
    ("name", "warmup", "least", "enough", "not_enough"),
    [
        ("paddle-lite", (10, 0), (50, 0), [(50, 0.001)], [(49, 100)]),
        ("mlperf", (10, 1), (1024, 60), [(1024, 60)], [(1023, 61), (5000, 59.9)]),
        ("trtexec", (1, 0.2), (10, 3), [(10, 3), (500, 3.1)], [(9, 10), (500, 2.9)]),
        ("quick", (3, 0), (20, 0), [(20, 0.001)], [(19, 100)]),
    ],
)
def test_presets(name: str, warmup: Any, least: Any, enough: list[Any], not_enough: list[Any]) -> None:
    rules = protocol(name)
    assert rules is PRESETS[name] or rules == PRESETS[name]
    assert rules.preset == name
    assert (rules.warmup_runs, rules.warmup_s) == warmup
    assert (rules.min_runs, rules.min_s) == least
    assert all(rules.done(*each) for each in enough)
    assert not any(rules.done(*each) for each in not_enough)


def test_long_measurements_have_twenty_turns() -> None:
    assert protocol("mlperf").turn_s == 3.0
    assert protocol("quick").turn_s == 0.0


def test_overrides_take_the_presets_name_away_where_it_would_lie() -> None:
    changed = protocol("mlperf", min_runs=5, max_noise=0.9, min_s=None)
    assert (changed.preset, changed.min_runs, changed.min_s, changed.max_noise) == (None, 5, 60.0, 0.9)
    assert protocol("mlperf", max_noise=0.9, min_runs=1024).preset == "mlperf"


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("quik", {}, "unknown preset 'quik'; did you mean 'quick'\\?; expected one of paddle-lite"),
        ("quick", {"repeats": 3}, "a protocol has no 'repeats'"),
        ("quick", {"preset": "mlperf"}, "a protocol has no 'preset'"),
        ("quick", {"min_runs": 0}, "min_runs is 0; expected a whole number from 1"),
        ("quick", {"min_runs": 2.5}, "min_runs is 2.5"),
        ("quick", {"min_runs": True}, "min_runs is True"),
        ("quick", {"warmup_runs": -1}, "warmup_runs is -1; expected a whole number from 0"),
        ("quick", {"min_s": float("nan")}, "min_s is nan; expected a finite number from 0"),
        ("quick", {"min_s": float("inf")}, "min_s is inf"),
        ("quick", {"pause_s": "1"}, "pause_s is '1'"),
        ("quick", {"max_noise": -0.1}, "max_noise is -0.1"),
        ("quick", {"turn_runs": 0}, "turn_runs is 0"),
    ],
)
def test_wrong_values_are_named(name: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol(name, **overrides)
