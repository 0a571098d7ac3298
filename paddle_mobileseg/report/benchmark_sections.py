"""Headline, and the charts of accuracy and size against latency, of the benchmark page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from paddle_mobileseg.benchmark import published
from paddle_mobileseg.benchmark.pareto import front
from paddle_mobileseg.report.benchmark_charts import MARKS, Point, scatter
from paddle_mobileseg.report.benchmark_entries import UNKNOWN_DEVICE, Entry, devices, fastest_first, own_entries
from paddle_mobileseg.report.number_text import ms_text, records_text

COLOURS = 8  # of series, in the style sheet
BACKENDS = ("paddle", "onnxruntime", "lite", "tensorrt", "lite-arm", "paddle-legacy")  # have always the same colour

MOST_OF_FRONT = 12  # of a front that are listed beside the chart

NO_NUMBERS = "its numbers are not usable"


def backend_colours(entries: Sequence[Entry]) -> dict[str, int]:
    """Number of the colour of each backend; those of ``BACKENDS`` keep theirs."""
    others = sorted({entry.backend for entry in entries} - set(BACKENDS))
    present = [name for name in BACKENDS if any(entry.backend == name for entry in entries)]
    known = {name: BACKENDS.index(name) for name in present}
    return known | {name: min(len(BACKENDS) + i, COLOURS - 1) for i, name in enumerate(others)}


def headline(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The cards: counts of what this page is made of."""
    own = own_entries(entries)
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
    own = own_entries(entries)
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


def problems(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Invalid and failed records with their reasons, the failed ones first."""
    wrong = [entry for entry in entries if not entry.ok]
    return [
        {"entry": entry, "status": entry.record["status"], "reasons": entry.reasons or ["no reason is recorded"]}
        for entry in sorted(wrong, key=lambda entry: entry.record["status"])
    ]


def accuracy_charts(entries: Sequence[Entry], colours: dict[str, int]) -> list[dict[str, Any]]:
    """A chart for each device and data set, those with measured points first. Latencies with an accuracy that the
    network's authors published have charts of their own, behind those whose records have both; see also ``_parts``."""
    groups: dict[tuple[bool, str, str], list[Entry]] = {}
    for entry in entries:
        if why_not_in_chart(entry) is None:
            dataset = _accuracy(entry)["dataset"].casefold()
            groups.setdefault((entry.stand_in is not None, entry.device, dataset), []).append(entry)
    ordered = sorted(
        groups.values(),
        key=lambda group: (min(list(MARKS).index(e.kind) for e in group), group[0].stand_in is not None),
    )
    return [_accuracy_chart(part, size, colours) for group in ordered for size, part in _parts(group)]


def _parts(group: Sequence[Entry]) -> list[tuple[str | None, list[Entry]]]:
    """Records that may have one front, with the size of their input where that keeps them apart.

    A published accuracy, and that of a checkpoint, may be of another size than the latency. It counts among records of
    one size only: else the smallest input, which is the fastest, would keep the accuracy of the largest.
    """
    sizes = {e.input_size for e in group if e.kind != "published" and _accuracy(e)["of"] != "exported file"}
    if group[0].stand_in is None and len(sizes) < 2:
        return [(None, list(group))]
    parts: dict[str | None, list[Entry]] = {}
    for entry in group:
        parts.setdefault(entry.input_size, []).append(entry)
    return list(parts.items())


def _accuracy(entry: Entry) -> dict[str, Any]:
    """Of a record that is in a chart."""
    return entry.shown_accuracy or {}


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


def _accuracy_chart(group: Sequence[Entry], size: str | None, colours: dict[str, int]) -> dict[str, Any]:
    lines: list[tuple[str, list[tuple[float, float]]]] = []
    fronts: list[dict[str, Any]] = []
    best: list[int] = []
    for kind in (kind for kind in MARKS if any(entry.kind == kind for entry in group)):
        of_kind = [entry for entry in group if entry.kind == kind]
        places = [(entry.latency_ms or 0.0, _accuracy(entry)["miou"] or 0.0) for entry in of_kind]
        chosen = front(places)
        lines.append((kind, [places[i] for i in chosen]))
        rows = [_front_row(of_kind[i], group, len(best) + place) for place, i in enumerate(chosen[:MOST_OF_FRONT], 1)]
        fronts.append({"kind": kind, "count": len(of_kind), "rows": rows, "more": len(chosen) - len(rows)})
        best += [of_kind[i].number for i in chosen]
    device, dataset = group[0].device, _accuracy(group[0])["dataset"]
    only_published = [each["kind"] for each in fronts] == ["published"]
    numbers = {} if only_published else {row["entry"].number: row["place"] for each in fronts for row in each["rows"]}
    points = _points(
        group, colours, lambda entry: _accuracy(entry)["miou"], lambda value: f"mIoU {value:.4f}", best, numbers
    )
    title = f"mIoU on {dataset} against latency on {device}: {records_text(len(group))}, {len(best)} of them on a front"
    sizes = ("narrow",) if only_published else ("wide", "narrow")
    return {
        "device": device,
        "dataset": dataset,
        "size": size,
        "svg": scatter(points, lines, "network, ms", "mIoU", title, sizes),
        "fronts": fronts,
        "stand_in": group[0].stand_in is not None,
        "kinds": [each["kind"] for each in fronts],
        "only_published": only_published,
        "backends": _legend(group, colours),
        "hollow": any(not _accuracy_measured(entry) and entry.kind != "published" for entry in group),
        "notes": comparability(group, of_accuracy=True),
        "sources": _published_tables(group),
    }


def _front_row(entry: Entry, group: Sequence[Entry], place: int) -> dict[str, Any]:
    """A line of the list beside a chart; ``place`` is also written at the mark where the name has no room."""
    accuracy = _accuracy(entry)
    return {
        "place": place,
        "entry": entry,
        "setting": _without_size(entry, group),
        "miou": accuracy["miou"],
        "source": None if _accuracy_measured(entry) else accuracy["source"],
    }


def _published_tables(group: Sequence[Entry]) -> list[str]:
    """Where the published latencies of a chart are from, and what is to be known of them."""
    sources = (published.source(entry.record) for entry in group if entry.kind == "published")
    return list(dict.fromkeys(filter(None, sources)))


def size_charts(entries: Sequence[Entry], colours: dict[str, int]) -> list[dict[str, Any]]:
    """For each device: latency against MACs and against the files' size, of all but what was published."""
    usable = [e for e in entries if e.latency_ms is not None and e.kind != "published" and e.device != UNKNOWN_DEVICE]
    found = []
    for device, group in devices(usable).items():
        charts = []
        leaders, _ = fastest_first(group)
        places = {entry.network: place for place, entry in enumerate(leaders, 1)}
        numbers = {entry.number: places[entry.network] for entry in group}
        for heading, name, of, text in (
            ("Multiply-accumulates", "GMACs", _gmacs, lambda value: f"{value:.3g} G MACs"),
            ("Files", "MB", lambda entry: entry.file_mb, lambda value: f"{value:.3g} MB"),
        ):
            shown = [entry for entry in group if of(entry) is not None]
            if shown:
                points = [replace(point, solid=True) for point in _points(shown, colours, of, text, (), numbers)]
                title = f"{name} against latency on {device}: {records_text(len(shown))}"
                svg = scatter(points, [], "network, ms", name, title, ("narrow",), True)
                charts.append({"name": heading, "svg": svg})
        if charts:
            found.append(
                {
                    "device": device,
                    "charts": charts,
                    "networks": [
                        (places[leader.network], leader, [e.number for e in group if e.network == leader.network])
                        for leader in leaders
                    ],
                    "kinds": [kind for kind in MARKS if any(entry.kind == kind for entry in group)],
                    "backends": _legend(group, colours),
                    "notes": comparability(group, of_accuracy=False),
                }
            )
    return found


def _gmacs(entry: Entry) -> float | None:
    macs = entry.record["model"]["macs"]
    return None if macs is None else macs / 1e9


def _accuracy_measured(entry: Entry) -> bool:
    accuracy = entry.shown_accuracy
    return accuracy is None or accuracy["of"] != "published"


def _points(
    group: Sequence[Entry],
    colours: dict[str, int],
    of: Callable[[Entry], float | None],
    text: Callable[[Any], str],
    best: Collection[int],
    places: dict[int, int],
) -> list[Point]:
    """Points of a chart; each network is labelled once for each value and origin, at its fastest point. Without room
    for that there is a number at the points of a front, and at the fastest point of each other network.

    Args:
        best: numbers of the records on a front.
        places: of records by their number, in the list beside the chart.
    """
    points, labelled, numbered = [], set(), set()
    for entry in sorted(group, key=lambda entry: (entry.number not in best, entry.latency_ms or 0.0)):
        value = of(entry) or 0.0
        name = entry.network if len(entry.network) <= 26 else entry.network[:25] + "…"
        first = (entry.network, round(value, 3), entry.kind) not in labelled
        labelled.add((entry.network, round(value, 3), entry.kind))
        place = "" if entry.number not in best and entry.network in numbered else str(places.get(entry.number, ""))
        numbered.add(entry.network)
        statistic = entry.statistic("network")
        about = "" if statistic == "median" else f" ({statistic})"
        points.append(
            Point(
                x=entry.latency_ms or 0.0,
                y=value,
                network=entry.network,
                label=name if first else "",
                short=place,
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


def _evaluated_at(accuracy: dict[str, Any]) -> str:
    """The size that the source of a published accuracy names."""
    return (accuracy["source"] or "").partition("evaluated at ")[2] or "not said"


def _legend(group: Sequence[Entry], colours: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, colours[name]) for name in {entry.backend for entry in group}), key=lambda item: item[1])


def comparability(group: Sequence[Entry], of_accuracy: bool = True) -> list[str]:
    """In what the records of a chart (of accuracy) differ, so that they are not simply comparable."""
    shapes = Counter(entry.input_size for entry in group)
    outputs = Counter(entry.record["model"]["output_op"] or "unknown" for entry in group)
    accuracies = [accuracy for entry in group if of_accuracy and (accuracy := entry.shown_accuracy)]
    counts = Counter("unknown" if each["images"] is None else str(each["images"]) for each in accuracies)
    evaluated = Counter(_evaluated_at(each) for each in accuracies if each["of"] == "published")
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
        ("sizes at which mIoU was evaluated", evaluated),
        ("statistics", statistics),
    ):
        if len(counter) > 1:
            found.append(f"different {name}: " + ", ".join(f"{key} ({n})" for key, n in counter.most_common(6)))
    return found
