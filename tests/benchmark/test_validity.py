"""Reasons against a measurement, on times made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.benchmark.protocol import protocol
from paddle_mobileseg.benchmark.timing import Runs
from paddle_mobileseg.benchmark.validity import reasons, relative_times, tick

RULES = protocol("quick", max_noise=0.5, max_drift=0.2, min_cpu_share=0.8, max_steal=0.1, min_ticks=100)


def runs(times: Any, inputs: Any = None, cpu: Any = ()) -> Runs:
    return Runs(network=list(times), inputs=list(inputs or [0] * len(times)), cpu=list(cpu))


def test_a_calm_measurement_is_valid() -> None:
    assert reasons(runs([1000, 1010] * 10), RULES, steal=0.0, tick_ns=1.0) == []


@pytest.mark.parametrize(
    ("count", "changed", "message"),
    [
        (19, {}, "too short: 19 timed runs; at least 20 are needed"),
        (3, {"min_runs": 3}, "too short: 3 timed runs; at least 10 are needed"),
        (0, {}, "too short: 0 timed runs; at least 20 are needed"),
        (20, {"min_s": 3.0}, "too short: 2e-05 s of timed runs; at least 3 s are needed"),
    ],
)
def test_too_short(count: int, changed: dict[str, Any], message: str) -> None:
    assert reasons(runs([1000] * count), protocol("quick", **changed))[0] == message


def test_too_noisy() -> None:
    few_spikes = [1000] * 19 + [9000]
    assert reasons(runs(few_spikes), RULES) == []
    noisy = [1000, 1000, 1000, 1800] * 5
    (reason,) = reasons(runs(noisy), RULES)
    assert reason.startswith("too noisy: (p90 - p10) / median is 0.80; at most 0.5 is allowed")
    assert reasons(runs(noisy), protocol("quick", max_noise=0.8)) == []


def test_inputs_that_take_longer_are_no_noise() -> None:
    times, inputs = [1000, 3000] * 10, [0, 1] * 10
    assert relative_times(runs(times, inputs)).tolist() == [1.0] * 20
    assert reasons(runs(times, inputs), RULES) == []
    assert len(reasons(runs(times), RULES)) == 1


@pytest.mark.parametrize(("later", "ratio"), [(1250, "1.25"), (790, "0.79")])
def test_drifting(later: int, ratio: str) -> None:
    (reason,) = reasons(runs([1000] * 10 + [later] * 10), RULES)
    assert reason.startswith(f"drifting: the second half of the runs took {ratio} times the first half's median")
    assert reasons(runs([1000] * 10 + [1000 + (later - 1000) // 2] * 10), RULES) == []


def test_preempted() -> None:
    (reason,) = reasons(runs([1000] * 20, cpu=[790] * 20), RULES)
    assert reason.startswith("preempted: the network had a processor for 79% of its time; at least 80% is needed")
    assert reasons(runs([1000] * 20, cpu=[810] * 20), RULES) == []
    assert reasons(runs([1000] * 20, cpu=[1900] * 20), RULES) == []  # two threads
    (reason,) = reasons(runs([1000] * 20, cpu=[1400] * 20), RULES, waited=0.3)  # of two threads
    assert reason.startswith("preempted: the network's threads waited for a processor in 30% of the time in which")
    assert reasons(runs([1000] * 20), RULES, waited=0.19) == []
    (reason,) = reasons(runs([1000] * 20), RULES, steal=0.125)
    assert reason == "preempted: the host gave 12% of the processors' time to others; at most 10% is allowed"


def test_clock_too_coarse() -> None:
    (reason,) = reasons(runs([900] * 20), RULES, tick_ns=10.0)
    assert reason == "clock too coarse: the median of 900 ns is 90.0 of its steps; at least 100 are needed"
    assert reasons(runs([1000] * 20), RULES, tick_ns=10.0) == []


def test_the_clocks_step_is_seen() -> None:
    now = iter(np.repeat(np.arange(0, 40, 4), 3).tolist())
    assert tick(lambda: next(now), 30) == 4.0
    assert tick(lambda: 7, 5) == 1e9
    assert 0 < tick() < 1e6


def test_problems_of_outputs_are_reasons() -> None:
    late = runs([1000] * 20)
    late.problems.append("output late: not there")
    assert reasons(late, RULES) == ["output late: not there"]
