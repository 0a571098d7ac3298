"""Stages, spread, operators, memory, classes and temperatures of the benchmark page: a row for each record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from paddle_mobileseg.benchmark.record import STAGES
from paddle_mobileseg.report.benchmark_charts import series, spread
from paddle_mobileseg.report.benchmark_entries import STAGE_NAMES, Entry, devices, fastest_first
from paddle_mobileseg.report.number_text import NOT_MEASURED, mb_text

TOP_OPERATORS = 15
MOST_OPERATORS = 60  # records
FEW = 8  # rows of a device that need no folding
MOST_OPEN = 5  # of spreads and operators: shown of a device before the page folds the others

_RAW_POINTS = 12_000  # of all series of a page; few records get finer ones
_MOST_CLASSES = 160
_MOST_FILES = 4  # columns of a table of classes

Row = dict[str, Any]


def by_device(entries: Sequence[Entry], row: Callable[[Entry], Row], most: int = 40) -> list[dict[str, Any]]:
    """For each device the rows of the fastest record of each network, up to ``most``, and the rest, which is folded."""
    groups = []
    for device, group in devices(entries).items():
        first, rest = fastest_first(group)
        if len(group) <= FEW:
            first, rest = first + rest, []
        first, rest = first[:most], first[most:] + rest
        groups.append({"device": device, "first": [row(e) for e in first], "rest": [row(e) for e in rest]})
    return groups


def stages(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Stacked bars, to one scale for each device."""
    timed = [entry for entry in entries if entry.kind != "published" and _total(entry) > 0]
    scales = {device: max(map(_total, group)) for device, group in devices(timed).items()}
    return by_device(timed, lambda entry: _stage_row(entry, scales[entry.device]))


def _network_not_split(entry: Entry) -> bool:
    return entry.ms("compute") is None and entry.ms("network") is not None


def _total(entry: Entry) -> float:
    """Length of a record's bar, in ms."""
    parts = sum(entry.ms(stage) or 0.0 for stage in STAGES)
    if _network_not_split(entry):
        parts = (entry.ms("preprocess") or 0.0) + (entry.ms("network") or 0.0) + (entry.ms("postprocess") or 0.0)
    return max(parts, entry.ms("frame") or 0.0, entry.ms("network") or 0.0)


def _stage_row(entry: Entry, scale: float) -> Row:
    whole = _network_not_split(entry)
    hidden = ("host_to_device", "device_to_host") if whole else ()
    parts: list[Row] = []
    for stage in STAGES:
        value = entry.ms(stage)
        if value is not None and stage not in hidden:
            parts.append({"css": stage, "name": STAGE_NAMES[stage], "ms": value})
        elif stage == "compute" and whole:
            parts.append({"css": "unsplit", "name": "network, not split", "ms": entry.ms("network")})
    for part in parts:
        part["width"] = f"{100 * part['ms'] / scale:.2f}"
    camera = entry.record["input"]["frame_hw"] if entry.ms("frame") is not None else None
    return {
        "entry": entry,
        "camera": None if camera is None else f"{camera[1]}x{camera[0]}",
        "parts": parts,
        "missing": [STAGE_NAMES[stage] for stage in STAGES if entry.ms(stage) is None],
        "frame": entry.ms("frame"),
        "network": entry.ms("network"),
    }


def spreads(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Spread and order of the runs of each record."""
    timed = [e for e in entries if e.kind != "published" and _spread_part(e) is not None]
    points = max(24, min(160, _RAW_POINTS // max(len(timed), 1)))
    return by_device(timed, lambda entry: _spread_row(entry, points), MOST_OPEN)


def _spread_part(entry: Entry) -> str | None:
    """What to show the spread of: the network, or else the whole frame; ``None`` where single numbers are known."""
    for part in ("network", "frame"):
        times = entry.summary(part)
        if times and (times["raw"] or (times["min"] and times["median"])):
            return part
    return None


def _spread_row(entry: Entry, points: int) -> Row:
    part = _spread_part(entry) or "network"
    times = entry.summary(part) or {}
    raw = times["raw"] or []
    first = ((entry.record["timing"] or {}).get("first") or {}).get("network") if part == "network" else None
    low, high = _axis([each for each in (times["min"], times["median"], times["mean"], *raw) if each], times)
    if first is not None and first <= high + (high - low):
        low, high = min(low, first), max(high, first)
    marks = {"min": times["min"], "median": times["median"], "p90": times["p90"], "p99": times["p99"], "first": first}
    return {
        "entry": entry,
        "of": "" if part == "network" else "whole frame",
        "times": times,
        "first": first,
        "first_outside": first is not None and not low <= first <= high,
        "spread": spread(raw, low, high, marks, points // 2),
        "series": series(raw, low, high, times["median"], points) if raw else None,
        "drift": drift(raw),
        "low": low,
        "high": high,
    }


def _axis(known: Sequence[float], times: dict[str, Any]) -> tuple[float, float]:
    """Ends that hold nearly all runs: single ones far outside would press the others together."""
    low = min(known)
    most = max(known)
    if times["p99"] is not None:
        most = min(most, times["p99"] + 1.5 * (times["p99"] - low))
        most = max(most, times["p99"])
    return (low, most) if most > low * 1.0001 else (low * 0.99, low * 1.01)


def drift(raw: Sequence[float]) -> float | None:
    """By which share the median of the last third is above that of the first third; ``None`` below 12 runs."""
    if len(raw) < 12:
        return None
    third = len(raw) // 3
    return median(raw[-third:]) / median(raw[:third]) - 1


def operators(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The longest operators and the types of each record that has them.

    Where more than ``MOST_OPERATORS`` records have them, those of the fastest record of each network on each device.
    """
    known = [entry for entry in entries if entry.record["operators"]]
    if len(known) > MOST_OPERATORS:  # the page stays small
        known = [entry for group in devices(known).values() for entry in fastest_first(group)[0]][:MOST_OPERATORS]
    groups = by_device(known, lambda entry: _operator_row(entry, entry.record["operators"]), MOST_OPEN)
    if groups:
        groups[0]["first"][0]["open"] = True
    return groups


def _operator_row(entry: Entry, parts: Sequence[dict[str, Any]]) -> Row:
    total = sum(part["ms"] for part in parts) or 1.0
    ordered = sorted(parts, key=lambda part: -part["ms"])
    top, rest = ordered[:TOP_OPERATORS], ordered[TOP_OPERATORS:]
    shown: list[Row] = [
        {"name": part["name"], "type": part["type"], "ms": part["ms"], "calls": part["calls"]} for part in top
    ]
    if rest:
        shown.append({"name": f"{len(rest)} others", "type": "", "ms": sum(p["ms"] for p in rest), "calls": None})
    times: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for part in parts:
        times[part["type"]] += part["ms"]
        calls[part["type"]] += part["calls"]
    kinds: list[Row] = [
        {"name": name, "type": "", "ms": value, "calls": calls[name]} for name, value in times.most_common()
    ]
    if len(kinds) > TOP_OPERATORS:
        others = kinds[TOP_OPERATORS:]
        summed = {"name": f"{len(others)} other types", "type": "", "ms": sum(k["ms"] for k in others), "calls": None}
        kinds = [*kinds[:TOP_OPERATORS], summed]
    for rows in (shown, kinds):
        longest = max(row["ms"] for row in rows) or 1.0
        for row in rows:
            row["width"] = f"{100 * row['ms'] / longest:.1f}"
            row["share"] = f"{100 * row['ms'] / total:.1f}"
    return {"entry": entry, "operators": shown, "types": kinds, "total": total, "count": len(parts), "open": False}


def memory(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """File sizes and peak resident memory, each to one scale for all devices."""
    known = [
        e
        for e in entries
        if e.record["status"] != "failed"
        and e.kind != "published"
        and (e.file_mb is not None or any(size is not None for size in e.record["memory"].values()))
    ]
    files = max((entry.file_mb or 0.0 for entry in known), default=0.0) or 1.0
    peaks = max((entry.peak_mb or 0.0 for entry in known), default=0.0) or 1.0
    return by_device(known, lambda entry: _memory_row(entry, files, peaks))


def _memory_row(entry: Entry, files: float, peaks: float) -> Row:
    before = entry.record["memory"]["before_load_bytes"]
    device = entry.record["memory"]["device_peak_bytes"]
    return {
        "entry": entry,
        "bars": [
            {"name": "files", "value": mb_text(entry.file_mb), "width": _width(entry.file_mb, files), "css": "files"},
            {
                "name": "peak resident memory",
                "value": mb_text(entry.peak_mb),
                "width": _width(entry.peak_mb, peaks),
                "css": "peak",
            },
        ],
        "before": None if before is None else mb_text(before / 1e6),
        "device": None if device is None else mb_text(device / 1e6),
    }


def _width(value: float | None, largest: float) -> str | None:
    return None if value is None else f"{100 * value / largest:.2f}"


def classes(entries: Sequence[Entry], colours: dict[str, list[str]]) -> list[dict[str, Any]]:
    """For each checkpoint and the images of a data set the IoU by class: that of the checkpoint and those of the files
    exported from it.

    Args:
        colours: CSS colours of the classes by network, where pictures have them.
    """
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        accuracy, checkpoint = entry.record["accuracy"], entry.record["model"]["source_checkpoint_sha256"]
        if accuracy and accuracy["iou"] and entry.miou is not None and accuracy["of"] != "published":
            what = entry.network, accuracy["dataset"], checkpoint, accuracy["images"]
            groups.setdefault(what, []).append(entry)
    several = {what[:2] for what, count in Counter(what[:2] for what in groups).items() if count > 1}
    return [_class_table(group, colours.get(what[0]), what[:2] in several) for what, group in groups.items()]


def _class_table(group: Sequence[Entry], colours: list[str] | None, several: bool) -> dict[str, Any]:
    """``several``: whether the network has other tables of the same data set, so that the heading tells them apart.

    What is not known to be of one checkpoint and of equally many images is not compared.
    """
    columns: dict[tuple[Any, ...], Entry] = {}
    for entry in sorted(group, key=lambda e: e.record["accuracy"]["of"] != "checkpoint"):
        accuracy = entry.record["accuracy"]
        columns.setdefault((accuracy["of"], tuple(accuracy["iou"].items())), entry)
    shown = list(columns.values())[:_MOST_FILES]
    sha256, accuracy = group[0].record["model"]["source_checkpoint_sha256"], shown[0].record["accuracy"]
    known = sha256 is not None and accuracy["images"] is not None
    checkpoint = accuracy if accuracy["of"] == "checkpoint" and known else None
    names = list(dict.fromkeys(name for entry in shown for name in entry.record["accuracy"]["iou"]))
    rows = []
    for number, name in enumerate(names[:_MOST_CLASSES]):
        values = [entry.record["accuracy"]["iou"].get(name) for entry in shown]
        reference = checkpoint["iou"].get(name) if checkpoint else None
        change = values[-1] - reference if reference is not None and values[-1] is not None else None
        colour = colours[number] if colours and len(colours) == len(names) else None
        rows.append({"name": name, "colour": colour, "scores": values, "reference": reference, "change": change})
    return {
        "network": group[0].network,
        "dataset": accuracy["dataset"],
        "images": accuracy["images"],
        "from": ("from an unknown checkpoint" if sha256 is None else f"checkpoint {sha256[:8]}") if several else None,
        "numbers": [entry.number for entry in group],
        "columns": [{"entry": entry, "of": _column_name(entry), "miou": entry.miou} for entry in shown],
        "changes": checkpoint is not None and len(shown) > 1,
        "rows": rows,
        "hidden": len(names) - len(rows),
        "more": len(columns) - len(shown),
        "checkpoint": checkpoint is not None,
    }


def _column_name(entry: Entry) -> str:
    if entry.record["accuracy"]["of"] == "checkpoint":
        return "checkpoint"
    return f"exported file, {entry.backend}" + (f", {p}" if (p := entry.record["model"]["precision"]) else "")


def thermal(entries: Sequence[Entry]) -> dict[str, Any]:
    """Temperature, frequency and governor of the records that have them, and how many have not."""
    own = [entry for entry in entries if entry.kind != "published" and entry.record["timing"] is not None]
    rows = [row for row in map(_thermal_row, own) if row is not None]
    return {"rows": rows, "without": len(own) - len(rows)}


def _thermal_row(entry: Entry) -> Row | None:
    states = entry.record["thermal"]
    phases = [[states["before"]], states["during"], [states["after"]]]
    known = [[state for state in phase if state is not None] for phase in phases]
    if not any(state["temperature_c"] or state["frequency_mhz"] or state["governor"] for p in known for state in p):
        return None
    governors = sorted({name for phase in known for state in phase for name in state["governor"].values()})
    throttled = [state["throttled"] for phase in known for state in phase if state["throttled"] is not None]
    battery = [state["battery_percent"] for phase in known for state in phase if state["battery_percent"] is not None]
    return {
        "entry": entry,
        "temperature": [_hottest(phase) for phase in known],
        "frequency": [_frequencies(phase) for phase in known],
        "governor": ", ".join(governors[:3]) or "not recorded",
        "throttled": ("yes" if any(throttled) else "no") if throttled else "not recorded",
        "battery": f"{battery[0]:g} to {battery[-1]:g} %" if battery else "not recorded",
    }


def _hottest(phase: Sequence[dict[str, Any]]) -> str:
    values = [value for state in phase for value in state["temperature_c"].values()]
    return f"{max(values):.1f} °C" if values else NOT_MEASURED


def _frequencies(phase: Sequence[dict[str, Any]]) -> str:
    values = [value for state in phase for value in state["frequency_mhz"].values()]
    if not values:
        return NOT_MEASURED
    low, high = min(values), max(values)
    return f"{low:,.0f} MHz" if low == high else f"{low:,.0f} to {high:,.0f} MHz"
