"""Ratio of the medians of two measurements, with a bootstrap confidence interval that knows that times are a series.

Neighbouring times are alike (frequency, temperature, other work), so single times cannot be resampled: blocks of them
are. Where two measurements took turns, the blocks are turns, and both get the same ones, so that a slow period of the
machine is in both or in neither. Where they did not, blocks of neighbouring times of each are resampled.

Few blocks make the plain percentile interval too narrow; it is widened about the estimate, in logarithms, as Student's
t is wider than the normal distribution. The method of moving blocks: Kuensch, Annals of Statistics 17, 1989; their
length for a series of first order: Carlstein, Annals of Statistics 14, 1986.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

MIN_BLOCKS = 4  # fewer say next to nothing about how much blocks differ
_CHUNK = 2_000_000  # numbers at once


@dataclass(frozen=True)
class Interval:
    """B / A.

    Attributes:
        ratio: of the medians.
        low, high: confidence interval; ``None`` with fewer than ``MIN_BLOCKS`` blocks.
        blocks: independent pieces that the interval rests on.
    """

    ratio: float
    low: float | None
    high: float | None
    blocks: int


def of_turns(
    a: Sequence[float],
    a_turns: Sequence[int],
    b: Sequence[float],
    b_turns: Sequence[int],
    *,
    seed: int,
    level: float,
    resamples: int,
) -> Interval:
    """Of two measurements that took turns: for each time the number of its turn; turns that only one has are left out.

    Raises:
        ValueError: no turn in common.
    """  # fmt: skip
    common = np.intersect1d(a_turns, b_turns)
    if common.size == 0:
        raise ValueError("the two have no turn in common")
    series = [_Series.of(times, turns, common) for times, turns in ((a, a_turns), (b, b_turns))]
    length = _block_length(np.log(series[1].medians() / series[0].medians()))
    drawn = _multiplicities(np.random.default_rng(seed), common.size, length, resamples)
    a_medians, b_medians = (each.resampled(drawn) for each in series)
    return _interval(series[0].overall, series[1].overall, a_medians, b_medians, common.size / length, level)


def of_runs(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], *, seed: int, level: float, resamples: int
) -> Interval:
    """Of measurements at different times: one or several runs of each, pooled.

    Several runs of one are resampled too. With several of both, the runs and not their blocks are the pieces that the
    interval rests on, so it also covers how much runs differ. With one run of a side it does not: what changed on the
    machine between the runs looks like a difference.
    """
    rng = np.random.default_rng(seed)
    sides = [_pooled(rng, runs, resamples) for runs in (a, b)]
    repetitions = (len(a), len(b)) if min(len(a), len(b)) > 1 else None
    blocks = min(sides[0][2], sides[1][2])
    return _interval(sides[0][0], sides[1][0], sides[0][1], sides[1][1], blocks, level, repetitions)


@dataclass(frozen=True)
class _Series:
    """Times in ascending order, and the unit (turn, or place in the series) that each belongs to."""

    times: np.ndarray
    units: np.ndarray

    @classmethod
    def of(cls, times: Sequence[float] | np.ndarray, turns: Sequence[int] | np.ndarray, common: np.ndarray) -> _Series:
        values, numbers = np.asarray(times, float), np.asarray(turns)
        kept = np.isin(numbers, common)
        values, units = values[kept], np.searchsorted(common, numbers[kept])
        order = np.argsort(values, kind="stable")
        return cls(values[order], units[order])

    def medians(self) -> np.ndarray:
        """Of each unit."""
        return np.array([np.median(self.times[self.units == unit]) for unit in range(int(self.units.max()) + 1)])

    @property
    def overall(self) -> float:
        return float(np.median(self.times))

    def resampled(self, drawn: np.ndarray) -> np.ndarray:
        """Median of each resample; ``drawn[i, unit]``: how often the unit is in resample i."""
        rows = max(1, _CHUNK // self.times.size)
        parts = (drawn[i : i + rows, self.units] for i in range(0, len(drawn), rows))
        return np.concatenate([_weighted_medians(self.times, weights) for weights in parts])


def _weighted_medians(times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Medians of ascending ``times``, each as often in row i as ``weights[i]`` says."""
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1:]
    lower = (2 * reached >= total).argmax(axis=1)
    upper = (2 * reached > total).argmax(axis=1)
    return (times[lower] + times[upper]) / 2


def _pooled(
    rng: np.random.Generator, runs: Sequence[Sequence[float]], resamples: int
) -> tuple[float, np.ndarray, float]:
    """Median of all times of the runs, that of each resample, and the number of blocks."""
    lengths = [_block_length(np.log(run)) for run in runs]
    times = np.concatenate([np.asarray(run, float) for run in runs])
    series = _Series.of(times, np.arange(times.size), np.arange(times.size))
    rows = max(1, _CHUNK // times.size)
    medians = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        chosen = _multiplicities(rng, len(runs), 1, count)
        blocks = [_multiplicities(rng, len(run), length, count) for run, length in zip(runs, lengths, strict=True)]
        drawn = [each * chosen[:, number : number + 1] for number, each in enumerate(blocks)]
        medians.append(series.resampled(np.concatenate(drawn, axis=1)))
    independent = sum(len(run) / length for run, length in zip(runs, lengths, strict=True))
    return series.overall, np.concatenate(medians), independent


def _multiplicities(rng: np.random.Generator, count: int, length: int, resamples: int) -> np.ndarray:
    """How often each of ``count`` units is in each resample, made of blocks of ``length`` (the end joins the start)."""
    starts = rng.integers(0, count, (resamples, math.ceil(count / length)))
    units = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :count] % count
    flat = (units + count * np.arange(resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=count * resamples).reshape(resamples, count).astype(np.int32)


def _block_length(series: np.ndarray) -> int:
    """Carlstein's length from the correlation of neighbours, at most a quarter of the series."""
    count = series.size
    away = series - series.mean()
    power = float((away**2).sum())
    if count < 2 * MIN_BLOCKS or power == 0:
        return 1
    rho = min(max(float((away[1:] * away[:-1]).sum()) / power + 1 / count, 0.0), 0.97)
    length = math.ceil((math.sqrt(6) * rho / (1 - rho**2)) ** (2 / 3) * count ** (1 / 3))
    return min(max(length, 1), count // MIN_BLOCKS)


def _interval(
    a: float,
    b: float,
    a_medians: np.ndarray,
    b_medians: np.ndarray,
    blocks: float,
    level: float,
    repetitions: tuple[int, int] | None = None,
) -> Interval:
    pieces = int(blocks + 1e-9)
    if pieces < MIN_BLOCKS:
        return Interval(b / a, None, None, pieces)
    freedom = pieces - 1
    if repetitions is not None:
        pieces, freedom = min(pieces, *repetitions), min(freedom, sum(repetitions) - 2)
    centre = math.log(b / a)
    tail = (1 - level) / 2
    low, high = np.quantile(np.log(b_medians / a_medians), [tail, 1 - tail]) - centre
    wider = _student(1 - tail, freedom) / NormalDist().inv_cdf(1 - tail) * math.sqrt(pieces / (pieces - 1))
    return Interval(b / a, math.exp(centre + min(low, 0.0) * wider), math.exp(centre + max(high, 0.0) * wider), pieces)


def _student(share: float, freedom: int) -> float:
    """Quantile of Student's t, from 2 degrees of freedom (Cornish and Fisher's expansion: within 1 % at 95 %)."""
    if freedom == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
