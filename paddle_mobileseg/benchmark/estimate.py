"""Latencies of networks that were not measured on a device, from another device that they were measured on.

Networks that were measured on both say by which factor the devices differ; the factor is their geometric mean. How far
off it is, leaving one network out says: each of them is estimated from the others, and the largest error is the one
that is stated. Networks of other kinds than these may be further off.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from paddle_mobileseg.benchmark import identity
from paddle_mobileseg.benchmark.record import Record

MIN_ANCHORS = 3

_Setting = tuple[Hashable, ...]  # device, backend and how it ran
_Work = tuple[Hashable, ...]  # network and what it was given


@dataclass(frozen=True)
class Estimate:
    """A latency that was not measured.

    Attributes:
        source: the record of another device that it is computed from.
        like: a record of the device, with the backend and threads that the estimate is for.
        latency_ms: milliseconds.
        error: largest error of leaving one network out, as a share: the truth is expected within a factor 1 + error.
        anchors: networks that were measured on both devices.
    """

    source: Record
    like: Record
    latency_ms: float
    error: float
    anchors: int


def estimates(
    records: Sequence[Record], target: str, latency_ms: Callable[[Record], float | None]
) -> tuple[list[Estimate], list[tuple[Record, str]]]:
    """Estimate what was measured on other devices only.

    Args:
        records: measured ones that may be used, of the target and of other devices.
        target: the device, as :func:`paddle_mobileseg.benchmark.identity.device_id` gives it.
        latency_ms: the time of a record that counts.

    Returns:
        estimates, the smallest error for each network and backend, and the records that none could be made of, with the
        reason.
    """
    found: dict[_Setting, dict[_Work, Record]] = defaultdict(dict)
    for record in records:
        if latency_ms(record) is not None and identity.device_id(record) is not None:
            found[_setting(record)].setdefault(_work(record), record)
    own = {setting: works for setting, works in found.items() if setting[0] == target}
    others = {setting: works for setting, works in found.items() if setting[0] != target}
    known = {work[0] for works in own.values() for work in works}
    made, missing = [], []
    for work, sources in _sources(others).items():
        if work[0] in known:
            continue
        best = [_best(work, works, [others[setting] for setting in sources], latency_ms) for works in own.values()]
        good = [each for each in best if isinstance(each, Estimate)]
        made += good
        if not good:
            most = max((each for each in best if isinstance(each, int)), default=0)
            why = f"no estimate: {most} network(s) measured on both devices alike, and {MIN_ANCHORS} are needed"
            missing.append((others[sources[0]][work], why))
    return made, missing


def _best(
    work: _Work,
    own: dict[_Work, Record],
    sources: Sequence[dict[_Work, Record]],
    latency_ms: Callable[[Record], float | None],
) -> Estimate | int:
    """The estimate from the source with the smallest error, or the largest number of anchors where all have too few."""
    made, most = [], 0
    for source in sources:
        common = [other for other in own if other in source]
        count = len({other[0] for other in common})
        most = max(most, count)
        if count < MIN_ANCHORS:
            continue
        logs = _factors(common, own, source, latency_ms)
        factor = math.exp(sum(logs) / len(logs))
        value = (latency_ms(source[work]) or 1.0) * factor
        made.append(Estimate(source[work], own[common[0]], value, _left_out_error(logs), count))
    return min(made, key=lambda each: each.error) if made else most


def _factors(
    common: Sequence[_Work],
    own: dict[_Work, Record],
    source: dict[_Work, Record],
    latency_ms: Callable[[Record], float | None],
) -> list[float]:
    """Logarithm of the factor between the devices for each network (of several sizes of one the mean)."""
    logs: dict[Hashable, list[float]] = defaultdict(list)
    for work in common:
        here, there = latency_ms(own[work]), latency_ms(source[work])
        if here is not None and there is not None:
            logs[work[0]].append(math.log(here / there))
    return [sum(each) / len(each) for each in logs.values()]


def _left_out_error(logs: Sequence[float]) -> float:
    """Largest error of estimating each from the mean of the others, as a share."""
    total, others = sum(logs), len(logs) - 1
    return math.exp(max(abs(log - (total - log) / others) for log in logs)) - 1


def _sources(others: dict[_Setting, dict[_Work, Record]]) -> dict[_Work, list[_Setting]]:
    sources: dict[_Work, list[_Setting]] = defaultdict(list)
    for setting, works in others.items():
        for work in works:
            sources[work].append(setting)
    return sources


def _setting(record: Record) -> _Setting:
    backend, model = record["backend"], record["model"]
    options = json.dumps([backend["options"], backend["affinity"], backend["power_mode"]], sort_keys=True)
    how = (backend["requested"], backend["threads"], options, model["format"], model["precision"])
    return (identity.device_id(record), *how)


def _work(record: Record) -> _Work:
    model = record["model"]
    shapes = [tuple(shape or ()) for shape in (model["input_shape"], record["input"]["frame_hw"])]
    return (identity.network(record), *shapes, model["output_op"], model["num_classes"])
