"""The interval covers the truth as often as it says, on series that drift and whose neighbours are alike."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_mobileseg.benchmark import bootstrap

SETTINGS = {"level": 0.95, "resamples": 400}


def correlated(rng: np.random.Generator, count: int, rho: float, spread: float) -> np.ndarray:
    """A series of first order with standard deviation ``spread``."""
    steps = rng.normal(0, spread * np.sqrt(1 - rho**2), count)
    series = np.empty(count)
    series[0] = rng.normal(0, spread)
    for i in range(1, count):
        series[i] = rho * series[i - 1] + steps[i]
    return series


def in_turns(rng: np.random.Generator, turns: int, ratio: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A and B of ``ratio``, 5 times each turn: 10 % of drift and slow periods of 5 % for both, 2 % of noise of its own
    for each, in which neighbours are alike, and now and then a slow run."""
    count = turns * 5
    both = np.repeat(correlated(rng, turns, 0.9, 0.05), 5) + np.linspace(0, rng.normal(0, 0.1), count)
    a, b = (np.exp(both + correlated(rng, count, 0.7, 0.02) + rng.exponential(0.02, count)) for _ in range(2))
    return 10 * a, 10 * ratio * b, np.repeat(np.arange(turns), 5)


@pytest.mark.parametrize("turns", [4, 10, 20])
def test_coverage_and_power_of_turns(turns: int) -> None:
    rng = np.random.default_rng(turns)
    covered, told_apart, found = [], [], []
    for seed in range(150):
        a, b, numbers = in_turns(rng, turns, 1.1)
        different = bootstrap.of_turns(a, numbers, b, numbers, seed=seed, **SETTINGS)
        a, b, numbers = in_turns(rng, turns, 1.0)
        same = bootstrap.of_turns(a, numbers, b, numbers, seed=seed, **SETTINGS)
        assert different.low is not None and different.high is not None and same.low is not None
        covered.append(different.low <= 1.1 <= different.high)
        found.append(different.low > 1.02)
        told_apart.append(same.low > 1.02 or same.high < 1 / 1.02)

    assert np.mean(covered) >= 0.9
    assert np.mean(told_apart) <= 0.05
    assert np.mean(found) >= (0.6 if turns == 4 else 0.95)


def test_shared_slow_periods_widen_nothing() -> None:
    rng = np.random.default_rng(0)
    together, apart = [], []
    for seed in range(20):
        a, b, numbers = in_turns(rng, 20, 1.1)
        together.append(bootstrap.of_turns(a, numbers, b, numbers, seed=seed, **SETTINGS))
        apart.append(bootstrap.of_runs([a], [b], seed=seed, **SETTINGS))
    widths = [np.median([each.high - each.low for each in kind if each.low is not None]) for kind in (together, apart)]

    assert widths[0] < 0.7 * widths[1]


def test_coverage_where_neighbouring_turns_are_alike() -> None:
    """Single turns, resampled, would cover the truth half of the time."""
    rng = np.random.default_rng(3)
    numbers = np.repeat(np.arange(60), 5)
    covered = []
    for seed in range(150):
        a, b = (np.exp(np.repeat(correlated(rng, 60, 0.8, 0.03), 5) + rng.normal(0, 0.005, 300)) for _ in range(2))
        interval = bootstrap.of_turns(a, numbers, 1.1 * b, numbers, seed=seed, **SETTINGS)
        covered.append(interval.low is not None and interval.low <= 1.1 <= interval.high)

    assert np.mean(covered) >= 0.85


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_coverage_without_turns(rho: float) -> None:
    rng = np.random.default_rng(1)
    covered = []
    for seed in range(150):
        a, b = (scale * np.exp(correlated(rng, 60, rho, 0.03)) for scale in (10, 11))
        interval = bootstrap.of_runs([a], [b], seed=seed, **SETTINGS)
        covered.append(interval.low is not None and interval.low <= 1.1 <= interval.high)

    assert np.mean(covered) >= 0.9


def test_repetitions_cover_how_much_runs_differ() -> None:
    rng = np.random.default_rng(2)
    runs = [[10 * level * np.exp(rng.normal(0, 0.01, 40)) for level in np.exp(rng.normal(0, 0.1, 6))] for _ in range(2)]
    one = bootstrap.of_runs(runs[0][:1], runs[1][:1], seed=0, **SETTINGS)
    six = bootstrap.of_runs(runs[0], runs[1], seed=0, **SETTINGS)

    assert six.high / six.low > 3 * (one.high / one.low - 1) + 1
    assert six.low < 1 < six.high


@pytest.mark.parametrize("repetitions", [(2, 2), (3, 3), (2, 5)])
def test_coverage_of_few_repetitions_that_differ(repetitions: tuple[int, int]) -> None:
    """Equal networks, of which each run is some 5 % off."""
    rng = np.random.default_rng(sum(repetitions))
    covered, false_alarms = [], []
    for seed in range(150):
        sides = [
            [10 * level * np.exp(rng.normal(0, 0.02, 20)) for level in np.exp(rng.normal(0, 0.05, count))]
            for count in repetitions
        ]
        interval = bootstrap.of_runs(sides[0], sides[1], seed=seed, **SETTINGS)
        assert interval.low is not None and interval.high is not None
        covered.append(interval.low <= 1 <= interval.high)
        false_alarms.append(interval.low > 1.05)

    assert np.mean(covered) >= 0.9
    assert np.mean(false_alarms) <= 0.025


def test_medians_and_turns_that_one_lacks() -> None:
    a, a_turns = [1.0, 2.0, 3.0, 100.0], [0, 0, 1, 2]
    b, b_turns = [2.0, 4.0, 6.0, 8.0], [0, 0, 1, 1]
    interval = bootstrap.of_turns(a, a_turns, b, b_turns, seed=0, **SETTINGS)

    assert interval == bootstrap.Interval(5.0 / 2.0, None, None, 2)  # turns 0 and 1; two are too few for an interval
    with pytest.raises(ValueError, match="no turn in common"):
        bootstrap.of_turns([1.0], [0], [1.0], [1], seed=0, **SETTINGS)


def test_weighted_medians_are_those_of_repeated_values() -> None:
    rng = np.random.default_rng(3)
    times = np.sort(rng.random(9))
    weights = rng.integers(0, 4, (50, 9))
    weights[:, 0] += 1
    expected = [np.median(np.repeat(times, each)) for each in weights]

    np.testing.assert_allclose(bootstrap._weighted_medians(times, weights), expected)


def test_students_quantiles() -> None:
    for freedom, expected in ((2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)):
        assert bootstrap._student(0.975, freedom) == pytest.approx(expected, rel=0.01)


def test_constant_times_give_a_point() -> None:
    interval = bootstrap.of_runs([[2.0] * 20], [[3.0] * 20], seed=0, **SETTINGS)

    assert (interval.ratio, interval.low, interval.high) == pytest.approx((1.5, 1.5, 1.5))
