"""Headline, and the charts of accuracy and size against latency, of the benchmark page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from paddle_mobileseg.benchmark import identity
from paddle_mobileseg.benchmark.pareto import front
from paddle_mobileseg.report.benchmark_charts import MARKS, Point, scatter
from paddle_mobileseg.report.benchmark_entries import UNKNOWN_DEVICE, Entry, devices

COLOURS = 8  # of series, in the style sheet
BACKENDS = ("paddle", "onnxruntime", "lite", "tensorrt", "lite-arm", "paddle-legacy")  # have always the same colour

NO_NUMBERS = "its numbers are not usable"


def ms_text(value: float | None) -> str:
    """Milliseconds with three significant digits."""
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def mb_text(value: float | None) -> str:
    """1,000,000 bytes, with one decimal where there are few."""
    return "not measured" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def backend_colours(entries: Sequence[Entry]) -> dict[str, int]:
    """Number of the colour of each backend; those of ``BACKENDS`` keep theirs."""
    others = sorted({entry.backend for entry in entries} - set(BACKENDS))
    present = [name for name in BACKENDS if any(entry.backend == name for entry in entries)]
    known = {name: BACKENDS.index(name) for name in present}
    return known | {name: min(len(BACKENDS) + i, COLOURS - 1) for i, name in enumerate(others)}


def headline(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The cards: counts of what this page is made of."""
    own = [entry for entry in entries if entry.kind != "published"]
    kinds = Counter(entry.kind for entry in own)
    status = Counter(entry.record["status"] for entry in own)
    usable = [entry for entry in own if entry.latency_ms is not None]
    ranked = [entry for entry in usable if entry.kind == "measured"] or usable  # kinds are never mixed
    fastest = min(ranked, key=lambda entry: entry.latency_ms or 0.0, default=None)
    published = len(entries) - len(own)
    note = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))
    sets = sorted({entry.record["accuracy"]["dataset"] for entry in own if entry.miou is not None})
    unusable = any(entry.record["accuracy"] for entry in own if not entry.ok)
    cards: list[dict[str, Any]] = [
        {
            "name": "Records",
            "value": len(own),
            "note": note + (f"; beside them {published} published" if published else ""),
        },
        {
            "name": "Networks",
            "value": len({entry.network for entry in own}),
            "note": f"accuracy on {', '.join(sets[:3])}"
            if sets
            else f"accuracy {'of no usable record' if unusable else 'not measured'}",
        },
        {
            "name": "Devices",
            "value": len({entry.device for entry in own}),
            "note": ", ".join(sorted({entry.backend for entry in own})[:6]),
        },
        {
            "name": "Fastest network" + ("" if fastest is None or fastest.kind == "measured" else f", {fastest.kind}"),
            "value": None if fastest is None else ms_text(fastest.latency_ms),
            "unit": "ms",
            "note": "no usable record" if fastest is None else f"{fastest.network}, {fastest.short}; {fastest.device}",
            "href": None if fastest is None else f"#{fastest.anchor}",
        },
        {
            "name": "Not usable",
            "value": status["invalid"] + status["failed"],
            "note": f"{status['invalid']} invalid, {status['failed']} failed",
            "href": "#problems" if status["invalid"] + status["failed"] else None,
        },
    ]
    return [{"unit": "", "href": None} | card for card in cards]


def notices(entries: Sequence[Entry]) -> list[str]:
    """What a reader must know before the numbers."""
    own = [entry for entry in entries if entry.kind != "published"]
    found = []
    if count := sum(1 for entry in own if entry.random_weights):
        untrained = sorted({entry.network for entry in own if entry.random_weights})
        names = ", ".join(untrained[:12]) + (f" and {len(untrained) - 12} more" if len(untrained) > 12 else "")
        found.append(f"Random weights: accuracy means nothing. Their times do count. ({records_text(count)}: {names})")
    if noise := sum(1 for entry in own if entry.record["input"]["kind"] == "random"):
        found.append(f"{_were(noise)} measured with noise as input; the speed of VIM means nothing there.")
    if modified := sum(1 for entry in own if entry.record["tool"]["git_modified"]):
        found.append(f"{_were(modified)} measured with a tool whose source had changes that are in no commit.")
    return found


def _were(count: int) -> str:
    return "1 record was" if count == 1 else f"{count} records were"


def records_text(count: int) -> str:
    """``1 record``, ``2 records``."""
    return f"{count} record{'' if count == 1 else 's'}"


def problems(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Invalid and failed records with their reasons, the failed ones first."""
    wrong = [entry for entry in entries if not entry.ok]
    return [
        {"entry": entry, "status": entry.record["status"], "reasons": entry.reasons or ["no reason is recorded"]}
        for entry in sorted(wrong, key=lambda entry: entry.record["status"])
    ]


def accuracy_charts(entries: Sequence[Entry], colours: dict[str, int]) -> list[dict[str, Any]]:
    """A chart for each device and data set, those with measured points first. Latencies with an accuracy that the
    network's authors published have charts of their own, behind those whose records have both."""
    groups: dict[tuple[bool, str, str], list[Entry]] = {}
    for entry in entries:
        if why_not_in_chart(entry) is None:
            dataset = _accuracy(entry)["dataset"].casefold()
            groups.setdefault((entry.stand_in is not None, entry.device, dataset), []).append(entry)
    ordered = sorted(
        groups.values(),
        key=lambda group: (min(list(MARKS).index(e.kind) for e in group), group[0].stand_in is not None),
    )
    return [_accuracy_chart(group, colours) for group in ordered]


def _accuracy(entry: Entry) -> dict[str, Any]:
    """Of a record that is in a chart."""
    return entry.stand_in or entry.record["accuracy"]


def why_not_in_chart(entry: Entry) -> str | None:
    """Why a record is not in a chart of accuracy against latency; ``None`` if it is."""
    if not entry.ok:
        return NO_NUMBERS
    if entry.miou is None and entry.stand_in is None:
        return "random weights: accuracy means nothing" if entry.random_weights else "accuracy not measured"
    if entry.latency_ms is None:
        return "time of the network not measured"
    return "device not recorded" if entry.device == UNKNOWN_DEVICE else None


def left_out(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Records that have usable numbers but no place in a chart of accuracy against latency, by reason."""
    reasons: dict[str, list[Entry]] = {}
    for entry in entries:
        reason = why_not_in_chart(entry)
        if reason is not None and reason != NO_NUMBERS:
            reasons.setdefault(reason, []).append(entry)
    return [{"reason": reason, "entries": group} for reason, group in reasons.items()]


def _accuracy_chart(group: Sequence[Entry], colours: dict[str, int]) -> dict[str, Any]:
    best: set[int] = set()
    fronts = []
    for kind in MARKS:
        of_kind = [entry for entry in group if entry.kind == kind]
        places = [(entry.latency_ms or 0.0, _accuracy(entry)["miou"] or 0.0) for entry in of_kind]
        chosen = front(places)
        fronts.append((kind, [places[i] for i in chosen]))
        best |= {of_kind[i].number for i in chosen}
    device, dataset, stand_in = group[0].device, _accuracy(group[0])["dataset"], group[0].stand_in is not None
    points = _points(group, colours, lambda entry: _accuracy(entry)["miou"], lambda value: f"mIoU {value:.4f}", best)
    title = f"mIoU on {dataset} against latency on {device}: {records_text(len(group))}, {len(best)} of them on a front"
    chosen_entries = sorted((entry for entry in group if entry.number in best), key=lambda e: e.latency_ms or 0.0)
    kinds = [kind for kind in MARKS if any(entry.kind == kind for entry in group)]
    only_published = kinds == ["published"]
    return {
        "device": device,
        "dataset": dataset,
        "svg": scatter(
            points, fronts, "network, ms", "mIoU", title, ("narrow",) if only_published else ("wide", "narrow")
        ),
        "fronts": [
            (kind, [(e, _without_size(e, group), _accuracy(e)["miou"]) for e in chosen_entries if e.kind == kind])
            for kind in kinds
        ],
        "stand_in": stand_in,
        "count": len(group),
        "kinds": kinds,
        "only_published": only_published,
        "backends": _legend(group, colours),
        "hollow": any(not _accuracy_measured(entry) and entry.kind != "published" for entry in group),
        "notes": comparability(group, of_accuracy=not stand_in),
    }


def size_charts(entries: Sequence[Entry], colours: dict[str, int]) -> list[dict[str, Any]]:
    """For each device that was measured: latency against MACs and against the files' size."""
    usable = [e for e in entries if e.latency_ms is not None and e.kind != "published" and e.device != UNKNOWN_DEVICE]
    found = []
    for device, group in devices(usable).items():
        charts = []
        for heading, name, of, text in (
            ("Multiply-accumulates", "GMACs", _gmacs, lambda value: f"{value:.3g} G MACs"),
            ("Files", "MB", lambda entry: entry.file_mb, lambda value: f"{value:.3g} MB"),
        ):
            shown = [entry for entry in group if of(entry) is not None]
            if shown:
                points = _points(shown, colours, of, text, set())
                title = f"{name} against latency on {device}: {records_text(len(shown))}"
                charts.append(
                    {"name": heading, "svg": scatter(points, [], "network, ms", name, title, ("narrow",), True)}
                )
        if charts:
            notes = comparability(group, of_accuracy=False)
            found.append({"device": device, "charts": charts, "backends": _legend(group, colours), "notes": notes})
    return found


def _gmacs(entry: Entry) -> float | None:
    macs = entry.record["model"]["macs"]
    return None if macs is None else macs / 1e9


def _accuracy_measured(entry: Entry) -> bool:
    accuracy = entry.stand_in or entry.record["accuracy"]
    return accuracy is None or accuracy["of"] != "published"


def _points(
    group: Sequence[Entry],
    colours: dict[str, int],
    of: Callable[[Entry], float | None],
    text: Callable[[Any], str],
    best: Iterable[int],
) -> list[Point]:
    """Points of a chart; each network is labelled once for each value, at its fastest point."""
    best, points, labelled = set(best), [], set()
    for entry in sorted(group, key=lambda entry: (entry.number not in best, entry.latency_ms or 0.0)):
        value = of(entry) or 0.0
        name = entry.network if len(entry.network) <= 26 else entry.network[:25] + "…"
        first = (entry.network, round(value, 3)) not in labelled
        labelled.add((entry.network, round(value, 3)))
        statistic = entry.statistic("network")
        about = "" if statistic == "median" else f" ({statistic})"
        points.append(
            Point(
                x=entry.latency_ms or 0.0,
                y=value,
                label=name if first else "",
                title=f"{entry.name}: {ms_text(entry.latency_ms)} ms{about}, {text(value)}; {entry.kind}",
                href=f"#{entry.anchor}",
                kind=entry.kind,
                solid=_accuracy_measured(entry),
                colour=colours[entry.backend],
                front=entry.number in best,
                number=entry.number,
            )
        )
    return points


def _without_size(entry: Entry, group: Sequence[Entry]) -> str:
    """A record's setting, without the input's size where it is the same for the whole group."""
    if len({str(each.record["model"]["input_shape"]) for each in group}) > 1:
        return entry.short
    return ", ".join(part for part in entry.short.split(", ") if "x" not in part or not part[0].isdigit())


def _legend(group: Sequence[Entry], colours: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, colours[name]) for name in {entry.backend for entry in group}), key=lambda item: item[1])


def comparability(group: Sequence[Entry], of_accuracy: bool = True) -> list[str]:
    """In what the records of a chart (of accuracy) differ, so that they are not simply comparable."""
    shapes = Counter(
        "unknown" if shape is None else identity.size(shape)
        for shape in (entry.record["model"]["input_shape"] for entry in group)
    )
    outputs = Counter(entry.record["model"]["output_op"] or "unknown" for entry in group)
    counts = Counter(
        "unknown" if images is None else str(images)
        for images in (
            entry.record["accuracy"]["images"] for entry in group if of_accuracy and entry.record["accuracy"]
        )
    )
    threads = Counter(str(entry.record["backend"]["threads"] or "unknown") for entry in group)
    precisions = Counter(entry.record["model"]["precision"] or "unknown" for entry in group)
    statistics = Counter(entry.statistic("network") or "unknown" for entry in group)
    found = []
    for name, counter in (
        ("input sizes", shapes),
        ("numbers of threads", threads),
        ("precisions", precisions),
        ("outputs", outputs),
        ("images evaluated", counts),
        ("statistics", statistics),
    ):
        if len(counter) > 1:
            found.append(f"different {name}: " + ", ".join(f"{key} ({n})" for key, n in counter.most_common(6)))
    return found
