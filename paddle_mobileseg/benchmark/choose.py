"""Which network for a device and a budget: the Pareto list of accuracy against latency, from records.

Only records of one device are compared, and only accuracies on the same images of the same data set. What was measured,
imported and estimated, and accuracies measured and published, are in lists of their own. What is left out is said, with
the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from paddle_mobileseg.benchmark import estimate as estimating
from paddle_mobileseg.benchmark import identity, pareto, scores
from paddle_mobileseg.benchmark.record import Record, read_folder, refuse_to_replace
from paddle_mobileseg.files import write_json
from paddle_mobileseg.suggestion import did_you_mean

STATISTICS = ("median", "mean", "min", "p90", "p95", "p99", "max")
WHATS = ("frame", "network")
KINDS = ("measured", "imported", "estimated")


@dataclass(frozen=True)
class Limits:
    """What is asked for; ``None``: no limit.

    Attributes:
        max_latency_ms: of ``statistic`` of ``what``, milliseconds.
        max_size_mb: of all files that the backend needs, in 1,000,000 bytes.
        min_miou: share from 0 to 1; with ``classes`` of their mean IoU.
        classes: names whose mean IoU counts in place of the mIoU.
        statistic: of :data:`STATISTICS`.
        what: ``frame`` (camera frame to labels) or ``network``.
    """

    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    min_miou: float | None = None
    classes: tuple[str, ...] = ()
    statistic: str = "median"
    what: str = "frame"

    def __post_init__(self) -> None:
        for name in ("max_latency_ms", "max_size_mb"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; expected a number above 0")
        if self.min_miou is not None and not 0 <= self.min_miou <= 1:
            raise ValueError(f"min_miou is {self.min_miou}; expected a share from 0 to 1, such as 0.7 for 70 %")
        for name, known in (("statistic", STATISTICS), ("what", WHATS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} is {value!r}{did_you_mean(value, known)}; expected one of {', '.join(known)}")


@dataclass(frozen=True)
class Candidate:
    """A network in a setting.

    Attributes:
        name: network, backend, threads, size.
        latency_ms: milliseconds; of several repetitions the median.
        error: of an estimate, as a share; else ``None``.
        size_mb: of the files; ``None`` where it is not known.
        score: share from 0 to 1; ``None`` where no accuracy is known.
        about: of the score or the estimate, what should be known beside it.
        records: ids.
    """

    name: str
    latency_ms: float
    error: float | None
    size_mb: float | None
    score: float | None
    about: str
    records: list[str]


@dataclass(frozen=True)
class Front:
    """Candidates that may be compared, the fastest first; with scores only those that no other one beats.

    Attributes:
        latency: ``measured``, ``imported`` or ``estimated``.
        accuracy: what the score is, such as ``measured mIoU on camvid, 101 images``; ``None`` where it is not known.
    """

    latency: str
    accuracy: str | None
    candidates: list[Candidate]


@dataclass(frozen=True)
class LeftOut:
    """What is in no list; ``excess``: how many times the worst limit it is, where it missed one."""

    name: str
    reason: str
    excess: float | None = None


@dataclass(frozen=True)
class Choice:
    """The answer; ``fronts`` is empty where nothing keeps to the limits."""

    device: str
    limits: Limits
    fronts: list[Front]
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def nearest(self) -> list[LeftOut]:
        """Up to three that missed a limit by least."""
        missed = [each for each in self.left_out if each.excess is not None]
        return sorted(missed, key=lambda each: each.excess or 0.0)[:3]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def text(self) -> str:
        from paddle_mobileseg.benchmark.choice_text import text

        return text(self)


def choose(
    records: Sequence[Record], limits: Limits | None = None, *, device: str | None = None, estimate: bool = False
) -> Choice:
    """The Pareto lists of a device.

    Args:
        records: of any devices.
        limits: what is asked for.
        device: fingerprint, or part of the name, of the device; not needed where the records are of one only.
        estimate: also estimate networks that were measured on other devices only.

    Raises:
        ValueError: no records, no such device, or several and none is named; the message lists them.
    """
    limits = limits or Limits()
    target = _target(records, device)
    left_out: list[LeftOut] = []
    groups: dict[tuple[Hashable, ...], list[Record]] = defaultdict(list)
    for record in records:
        if why := _unfit(record, target, limits, estimate):
            left_out.append(LeftOut(identity.label(record), why))
        else:
            hashes = tuple(file["sha256"] for file in record["model"]["files"])
            what = (record["origin"]["kind"], hashes, *identity.measured(record).values())
            groups[what].append(record)
    names = identity.labels([group[0] for group in groups.values()])
    rows = [row for name, group in zip(names, groups.values(), strict=True) for row in _rows(name, group, limits)]
    if estimate:
        estimated, missing = _estimated(records, target, limits)
        rows += estimated
        left_out += missing
    fronts = _fronts(_within(rows, limits, left_out), left_out)
    name = next(identity.device_name(record) for record in records if identity.device_id(record) == target)
    return Choice(name, limits, fronts, left_out)


def run(
    paths: Sequence[str | Path],
    device_record: str | Path | None = None,
    device: str | None = None,
    limits: Limits | None = None,
    estimate: bool = False,
    json_path: str | Path | None = None,
) -> tuple[str, int]:
    """The command ``choose``.

    Args:
        paths: records, or folders of them.
        device_record: a record, or a folder of them, of the device to choose for; they count as records too.
        device: the device by its fingerprint or a part of its name.
        limits: what is asked for.
        estimate: see :func:`choose`.
        json_path: where to write the result as JSON.

    Returns:
        text to print, and the exit status: 1 where nothing keeps to the limits.

    Raises:
        FileNotFoundError: a path is not there.
        ValueError: see :func:`choose`; damaged records; both devices given.
        OSError: ``json_path`` cannot be written, or is a record.
    """
    refuse_to_replace(json_path)
    given = [*paths, *([] if device_record is None else [device_record])]
    records = read_folder(*given)
    if device_record is not None:
        if device is not None:
            raise ValueError("the device is given twice, by a record and by name; give one of them")
        device = _target(read_folder(device_record), None)
    choice = choose(records, limits, device=device, estimate=estimate)
    if json_path is not None:
        write_json(json_path, choice.as_json())
    return choice.text(), 0 if choice.fronts else 1


def _target(records: Sequence[Record], device: str | None) -> str:
    """The device's id."""
    names: dict[str, str] = {}
    for record in records:
        found = identity.device_id(record)
        if found is not None and record["origin"]["kind"] in ("measured", "imported"):
            names.setdefault(found, identity.device_name(record))
    if not names:
        raise ValueError(f"none of the {len(records)} record(s) names a device that was measured on; measure first")
    listed = "; ".join(sorted(name if found in name else f"{name} [{found}]" for found, name in names.items()))
    if device is None:
        if len(names) > 1:
            raise ValueError(f"the records are of {len(names)} devices, name one of them (--device-record): {listed}")
        return next(iter(names))
    if device in names:
        return device
    fitting = [found for found, name in names.items() if device.lower() in name.lower()]
    if len(fitting) != 1:
        raise ValueError(f"{len(fitting)} devices are called {device!r}; expected one of: {listed}")
    return fitting[0]


def _unfit(record: Record, target: str, limits: Limits, estimate: bool) -> str | None:
    """Why a record is in no list, limits apart."""
    kind = record["origin"]["kind"]
    if kind == "published":
        return "published latency: other conditions, not measured here"
    if identity.device_id(record) != target:
        return f"another device: {identity.device_name(record)}"
    if why := identity.why_unusable(record):
        return why
    if kind == "estimated" and not estimate:
        return "estimated; --estimate shows it"
    if _latency(record, limits) is None:
        other = next(what for what in WHATS if what != limits.what)
        has_other = ((record["timing"] or {}).get(other) or {}).get(limits.statistic) is not None
        return f"no {limits.statistic} of the {limits.what}" + (f"; it has one of the {other}" if has_other else "")
    return None


def _latency(record: Record, limits: Limits) -> float | None:
    summary = (record["timing"] or {}).get(limits.what)
    return None if summary is None else summary[limits.statistic]


_Row = tuple[str, scores.Score, Candidate]  # kind of the latency, kind of the accuracy, who


def _rows(name: str, group: Sequence[Record], limits: Limits) -> list[_Row]:
    """Repetitions of one measurement as candidates: one for each kind of accuracy that one of them has."""
    evaluated = [record for record in group if record["accuracy"] is not None] or group
    known = [scores.of(record, limits.classes) for record in evaluated]
    newest = {score.kind: score for score in known}
    if len(newest) > 1:
        newest.pop(None, None)
    return [_row(name, group, limits, score) for score in newest.values()]


def _row(name: str, group: Sequence[Record], limits: Limits, score: scores.Score) -> _Row:
    times = [time for record in group if (time := _latency(record, limits)) is not None]
    repeated = f"{len(group)} repetitions" if len(group) > 1 else ""
    frame_hw = group[0]["input"]["frame_hw"]  # of which networks of one list may have got different ones
    frame = f"frame {identity.size([1, 3, *frame_hw])}" if limits.what == "frame" and frame_hw else ""
    return (
        group[0]["origin"]["kind"],
        score,
        Candidate(
            name,
            median(times),
            None,
            _megabytes(group[-1]),
            score.value,
            "; ".join(filter(None, [score.note, frame, repeated])),
            [record["id"] for record in group],
        ),
    )


def _estimated(records: Sequence[Record], target: str, limits: Limits) -> tuple[list[_Row], list[LeftOut]]:
    usable = [r for r in records if r["origin"]["kind"] == "measured" and identity.why_unusable(r) is None]
    made, missing = estimating.estimates(usable, target, lambda record: _latency(record, limits))
    rows: list[_Row] = []
    for each in made:
        score, like = scores.of(each.source, limits.classes), each.like
        same_files = like["model"]["format"] == each.source["model"]["format"]
        name = identity.label({**each.source, "backend": like["backend"]}) + " (estimated)"
        about = f"estimated from {each.anchors} networks measured on both, and on {identity.device_name(each.source)}"
        rows.append(
            (
                "estimated",
                score,
                Candidate(
                    name,
                    each.latency_ms,
                    each.error,
                    _megabytes(each.source) if same_files else None,
                    score.value,
                    "; ".join(filter(None, [score.note, about])),
                    [each.source["id"]],
                ),
            )
        )
    return rows, [LeftOut(identity.label(record), why) for record, why in missing]


def _megabytes(record: Record) -> float | None:
    size = identity.file_bytes(record)
    return None if size is None else size / 1e6


def _within(rows: Sequence[_Row], limits: Limits, left_out: list[LeftOut]) -> list[_Row]:
    """Those that keep to the limits; the others go to ``left_out`` with all their reasons."""
    kept = []
    for row in rows:
        _, score, candidate = row
        reasons, excesses = [] if score.why_not is None else [score.why_not], []
        for value, limit, unit, word in (
            (candidate.latency_ms, limits.max_latency_ms, "ms", "slow"),
            (candidate.size_mb, limits.max_size_mb, "MB", "large"),
        ):
            if limit is None:
                continue
            if value is None:
                reasons.append("size not known")
            elif value > limit:
                reasons.append(f"too {word}: {value:.4g} {unit}, limit {limit:g}")
                excesses.append(value / limit)
        if limits.min_miou is not None and score.why_not is None:
            if score.value is None:
                reasons.append("accuracy not known")
            elif score.of_all_classes and limits.classes:
                reasons.append(f"IoU of {', '.join(limits.classes)} not known, only the mIoU of all classes")
            elif score.value < limits.min_miou:
                reasons.append(f"not accurate enough: {score.value:.4f}, limit {limits.min_miou:g}")
                excesses.append(limits.min_miou / score.value if score.value else float("inf"))
        if not reasons:
            kept.append(row)
        else:
            missed = max(excesses) if len(excesses) == len(reasons) and max(excesses) != float("inf") else None
            left_out.append(LeftOut(candidate.name, "; ".join(reasons), missed))
    return kept


def _fronts(rows: Sequence[_Row], left_out: list[LeftOut]) -> list[Front]:
    groups: dict[tuple[int, str | None], list[Candidate]] = defaultdict(list)
    for kind, score, candidate in rows:
        groups[KINDS.index(kind), score.kind].append(candidate)
    fronts = []
    for (number, accuracy), group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or "~")):
        if accuracy is None:
            fronts.append(Front(KINDS[number], None, sorted(group, key=lambda each: each.latency_ms)))
            continue
        chosen = [group[i] for i in pareto.front([(each.latency_ms, each.score or 0.0) for each in group])]
        fronts.append(Front(KINDS[number], accuracy, chosen))
        for each in group:
            if each not in chosen:
                better = next(
                    c for c in chosen if c.latency_ms <= each.latency_ms and (c.score or 0) >= (each.score or 0)
                )
                left_out.append(LeftOut(each.name, f"beaten by {better.name}"))
    return fronts
