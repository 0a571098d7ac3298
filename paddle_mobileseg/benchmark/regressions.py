"""Records against a stored baseline: has something become slower than is allowed?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paddle_mobileseg import tables
from paddle_mobileseg.benchmark import bootstrap, identity
from paddle_mobileseg.benchmark.compare import CANNOT_TELL, MAX_RATIO, RESAMPLES, WHATS, median_ms, raw_ms
from paddle_mobileseg.benchmark.record import Record

FAILED, FINE = "slower", "fine"

_Key = tuple[Hashable, ...]


@dataclass(frozen=True)
class Regression:
    """One thing that was measured now and in the baseline.

    Attributes:
        what: it is.
        baseline_ms, now_ms: medians of all repetitions together, in milliseconds.
        baseline_runs, now_runs: repetitions.
        ratio: ``now_ms / baseline_ms``, with its confidence interval ``low`` to ``high``.
        verdict: ``slower`` (the whole interval is above the limit: a regression), ``fine`` (none of it is) or
            ``cannot tell``.
        reason: of a verdict that is not the interval's.
    """

    what: str
    baseline_ms: float | None
    now_ms: float | None
    baseline_runs: int
    now_runs: int
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    reason: str | None = None


@dataclass(frozen=True)
class Regressions:
    """All of them, the failed first."""

    max_ratio: float
    level: float
    checked: list[Regression]
    only_now: list[str]
    only_in_baseline: list[str]
    failed_only_now: list[str]  # with the reason

    @property
    def failed(self) -> list[Regression]:
        return [each for each in self.checked if each.verdict == FAILED]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def text(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("", "baseline ms", "now ms", "ratio", f"{self.level:.0%} interval", "runs", "verdict")
        ]
        for each in self.checked:
            interval = "-" if each.low is None or each.high is None else f"{each.low:.3f} to {each.high:.3f}"
            numbers = ["-" if n is None else f"{n:.2f}" for n in (each.baseline_ms, each.now_ms)]
            ratio = "-" if each.ratio is None else f"{each.ratio:.3f}"
            verdict = each.verdict + (f": {each.reason}" if each.reason else "")
            rows.append((each.what, *numbers, ratio, interval, f"{each.baseline_runs}, {each.now_runs}", verdict))
        counts = {word: sum(each.verdict == word for each in self.checked) for word in (FAILED, CANNOT_TELL, FINE)}
        total = ", ".join(f"{count} {word}" for word, count in counts.items())
        lines = [
            tables.plain(rows),
            f"{len(self.checked)} checked against {self.max_ratio:g} times the baseline: {total}",
        ]
        lines += [f"not in the baseline: {name}" for name in self.only_now]
        lines += [f"in the baseline, not measured now: {name}" for name in self.only_in_baseline]
        lines += [f"failed, not in the baseline: {each}" for each in self.failed_only_now]
        return "\n".join(lines)


def regressions(
    records: Sequence[Record],
    baseline: Sequence[Record],
    max_ratio: float = MAX_RATIO,
    *,
    what: str = "network",
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Regressions:
    """Check records against a baseline.

    Records belong together where they agree in the device and in all of
    :func:`paddle_mobileseg.benchmark.identity.measured`; the files themselves may have changed. Repetitions are pooled.
    A failure to run what the baseline has a number of is a regression, unless it was measured again later; an invalid
    record gives "cannot tell". Records that are in the baseline too do not count as measured now.

    Args:
        records: measured now.
        baseline: measured before.
        max_ratio: the largest allowed ratio of the medians, 1 or more.
        what: ``network`` or ``frame``.

    Raises:
        ValueError: nothing in the records is in the baseline, or an argument is out of range.
    """
    if not (math.isfinite(max_ratio) and max_ratio >= 1):
        raise ValueError(f"max_ratio is {max_ratio}; expected 1 or more, such as 1.05")
    if what not in WHATS:
        raise ValueError(f"what is {what!r}; expected one of {', '.join(WHATS)}")
    # A folder may lie in the other: what is compared with itself, or pooled with what it is compared with, is as fast.
    stored = {record["id"] for record in baseline if record["id"] is not None}
    records = [record for record in records if record["id"] not in stored]
    now = _grouped(record for record in records if record["status"] != "failed")
    before = _grouped(record for record in baseline if _usable(record, what))
    failures = [record for record in records if record["status"] == "failed" and not _mended(record, now)]
    old = [_like(record, before) for record in failures]
    broken = [(record, found) for record, found in zip(failures, old, strict=True) if found]
    common = [key for key in now if key in before]
    if not common and not broken:
        raise ValueError(_nothing(records, baseline, before))
    checked = [_broken(record, len(found)) for record, found in broken]
    groups = now | before
    names = dict(zip(groups, identity.labels([group[0] for group in groups.values()]), strict=True))
    checked += [_check(names[key], now[key], before[key], max_ratio, what, level, seed, resamples) for key in common]
    order = {FAILED: 0, CANNOT_TELL: 1, FINE: 2}
    return Regressions(
        max_ratio,
        level,
        sorted(checked, key=lambda each: order[each.verdict]),
        sorted(names[key] for key in now if key not in before),
        sorted(names[key] for key in before if key not in now),
        [f"{identity.label(record)}: {_why(record)}" for record, found in zip(failures, old, strict=True) if not found],
    )


def _check(
    name: str,
    now: list[Record],
    before: list[Record],
    max_ratio: float,
    what: str,
    level: float,
    seed: int,
    resamples: int,
) -> Regression:
    usable = [record for record in now if _usable(record, what)]
    if not usable:
        why = identity.why_unusable(now[0]) or f"no time of the {what}"
        return Regression(name, None, None, len(before), len(now), None, None, None, CANNOT_TELL, why)
    raws = [[raw_ms(record, what) for record in side] for side in (before, usable)]
    sides = [[raw for raw in side if raw is not None] for side in raws]
    if not all(sides):
        old, new = median_ms(before[0], what), median_ms(usable[0], what)
        ratio = None if old is None or new is None else new / old
        why = "statistics only, without the single times"
        return Regression(name, old, new, len(before), len(usable), ratio, None, None, CANNOT_TELL, why)
    interval = bootstrap.of_runs(sides[0], sides[1], seed=seed, level=level, resamples=resamples)
    old, new = _median(sides[0]), _median(sides[1])
    verdict = CANNOT_TELL
    reason: str | None = None
    if interval.low is None or interval.high is None:
        reason = "too few runs"
    elif interval.low > max_ratio:
        verdict = FAILED
    elif interval.high <= max_ratio:
        verdict = FINE
    counts = (len(sides[0]), len(sides[1]))
    return Regression(name, old, new, *counts, interval.ratio, interval.low, interval.high, verdict, reason)


def _broken(record: Record, runs_before: int) -> Regression:
    return Regression(identity.label(record), None, None, runs_before, 1, None, None, None, FAILED, _why(record))


def _why(failure: Record) -> str:
    return " ".join((identity.why_unusable(failure) or "").split())


def _mended(failure: Record, now: dict[_Key, list[Record]]) -> bool:
    """Whether what failed was measured again later."""
    return any(record["created"] > failure["created"] for record in _like(failure, now))


def _like(failure: Record, groups: dict[_Key, list[Record]]) -> list[Record]:
    """Records of what failed: those that agree in all that is known of the failure, which may be little."""
    known = {name: value for name, value in identity.measured(failure).items() if value not in (None, "unknown")}
    if not failure["backend"]["options"]:
        known.pop("options")  # none, or not known
    return [
        record
        for group in groups.values()
        for record in group
        if identity.device_id(record) == identity.device_id(failure)
        and known.items() <= identity.measured(record).items()
    ]


def _usable(record: Record, what: str) -> bool:
    if record["origin"]["kind"] not in ("measured", "imported"):
        return False
    return identity.why_unusable(record) is None and median_ms(record, what) is not None


def _grouped(records: Any) -> dict[_Key, list[Record]]:
    groups: dict[_Key, list[Record]] = defaultdict(list)
    for record in records:
        key = (identity.device_id(record), *identity.measured(record).values())
        groups[key].append(record)
    return dict(groups)


def _median(runs: Sequence[Sequence[float]]) -> float:
    times = sorted(time for run in runs for time in run)
    return (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2


def _nothing(records: Sequence[Record], baseline: Sequence[Record], before: dict[_Key, list[Record]]) -> str:
    message = (
        f"nothing was checked: none of the {len(records)} record(s) is among the {len(before)} things that "
        f"the baseline of {len(baseline)} record(s) has numbers of"
    )
    unusable = [why for record in baseline if (why := identity.why_unusable(record))]
    if not before and unusable:
        return f"{message} (its first record is {unusable[0]}); measure the baseline again"
    if not records or not before:
        return f"{message}; measure again, or give other folders"
    record = records[0]
    names = list(identity.measured(record))

    def differences(key: _Key) -> list[str]:
        own = (identity.device_id(record), *identity.measured(record).values())
        return [name for name, a, b in zip(["device", *names], own, key, strict=True) if a != b]

    nearest = min(map(differences, before), key=len)
    return f"{message}. The nearest to {identity.label(record)} differs in {', '.join(nearest)}; measure both alike"
