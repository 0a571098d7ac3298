"""Benchmark records on the page of a run: latencies, what has none, and the machines."""

from __future__ import annotations

from typing import Any

from paddle_mobileseg.benchmark import identity
from paddle_mobileseg.report.benchmark_entries import Entry
from paddle_mobileseg.report.reading import RunFiles, number

_OWN = ("measured", "imported")  # not published or estimated
_FROM_DESCRIPTION = ("cpu", "logical_cores", "memory_gib", "os")


def latency_rows(entries: list[Entry]) -> list[dict[str, Any]]:
    """A row for each record whose numbers may be used, the fastest first; times in ms, memory in 10^6 bytes."""
    rows = [_latency_row(entry) for entry in entries if entry.ok]
    return sorted(rows, key=lambda row: float("inf") if row["ms"] is None else row["ms"])


def _latency_row(entry: Entry) -> dict[str, Any]:
    record = entry.record
    network, frame = (entry.summary(part) or {} for part in ("network", "frame"))
    first = (record["timing"] or {}).get("first") or {}
    frame_hw, noise = record["input"]["frame_hw"], record["input"]["kind"] == "random"
    precision = record["model"]["precision"]
    return {
        "backend": entry.backend + (f", {precision}" if precision not in (None, "fp32") else ""),
        "kind": entry.kind,
        "threads": record["backend"]["threads"],
        "device": entry.device,
        "size": size_text(record["model"]["input_shape"]) + (", noise" if noise else ""),
        "ms": entry.ms("network"),
        "statistic": entry.statistic("network"),  # some tools give no median
        **{key: network.get(key) for key in ("p90", "min", "count")},
        "first": first.get("network"),
        "frame": frame.get("median"),
        "frame_size": "" if frame_hw is None else f"{frame_hw[1]}×{frame_hw[0]}",
        "peak_mb": entry.peak_mb,
        "bundle": record["model"]["bundle"],
    }


def latency_card(entries: list[Entry]) -> tuple[str | None, str]:
    """Milliseconds of the fastest valid measurement, as text, and of what it is; ``None`` without any."""
    usable = [row for row in latency_rows(entries) if row["kind"] in _OWN and row["ms"] is not None]
    if not usable:
        return None, ""
    best = usable[0]
    count = best["threads"]
    threads = "threads not recorded" if count is None else identity.threads_text(count)
    statistic = [] if best["statistic"] == "median" else [best["statistic"]]
    return f"{best['ms']:.1f}", ", ".join([best["backend"], threads, best["size"], best["device"], *statistic])


def without_numbers(entries: list[Entry]) -> list[dict[str, Any]]:
    """What failed, and what was measured but must not be used: ``what``, ``status`` and ``reasons``."""
    return [
        {
            "what": ", ".join(filter(None, (entry.setting, entry.device, entry.record["model"]["bundle"]))),
            "status": "failed" if entry.record["status"] == "failed" else "not valid",
            "reasons": entry.reasons,
        }
        for entry in entries
        if not entry.ok
    ]


def size_text(shape: Any) -> str:
    """``640×480`` (width × height) of [N, C, H, W] or, of bytes, [N, H, W, 3]; with the batch if it is not 1."""
    if not isinstance(shape, list) or len(shape) != 4:
        return "unknown size"
    return identity.size(shape).replace("x", "×") + (f", batch {shape[0]}" if shape[0] != 1 else "")


def machines(run: RunFiles, entries: list[Entry]) -> list[dict[str, Any]]:
    """Where training and measurements ran: ``roles`` and ``rows`` of (name, text); the same machine is listed once."""
    described = []
    if run.environment:
        described.append(("Training", _machine_rows(run.environment), run.environment.get("date")))
    described += [("Latency", *_described(entry.record)) for entry in entries if entry.kind in _OWN]
    found: list[dict[str, Any]] = []
    for role, rows, date in described:
        same = next((each for each in found if each["rows"] == rows), None)
        if same is None:
            found.append(same := {"rows": rows, "dates": {}})
        same["dates"].setdefault(role, []).append(_date_text(date))
    return [
        {
            "roles": ", ".join(each["dates"]).capitalize(),
            "rows": each["rows"] + [(f"{role} on", _span(dates)) for role, dates in each["dates"].items()],
        }
        for each in found
    ]


def _described(record: dict[str, Any]) -> tuple[list[tuple[str, str]], str | None]:
    """Rows on a record's device and versions, and its date. What only some devices have comes first."""
    device, toolchain, tool = record["device"], record["toolchain"], record["tool"]
    android = device["android"]
    special = (
        ("Device", None if device["kind"] == "local" else device["name"]),
        ("Chip", device["soc"]),
        ("Processor type", None if device["kind"] == "local" else device["abi"]),
        ("Android", None if android is None else f"{android['release']} (SDK {android['sdk']})"),
        ("GPU", device["gpu"]),
    )
    machine = {key: device[key] for key in _FROM_DESCRIPTION} | {key: toolchain[key] for key in ("python", "packages")}
    machine |= {key: tool[key] for key in ("git_commit", "git_modified")}
    return [(name, value) for name, value in special if value is not None] + _machine_rows(machine), record["created"]


def _machine_rows(machine: dict[str, Any]) -> list[tuple[str, str]]:
    memory = number(machine.get("memory_gib"))
    commit = machine.get("git_commit")
    packages = machine.get("packages")
    rows = [
        ("Processor", machine.get("cpu")),
        ("Logical cores", machine.get("logical_cores")),
        ("Memory", None if memory is None else f"{memory:.1f} GiB"),
        ("System", machine.get("os")),
        ("Python", machine.get("python")),
        *(packages.items() if isinstance(packages, dict) else ()),
        ("Commit", f"{commit[:12]}{', with changes' if machine.get('git_modified') else ''}" if commit else None),
    ]
    return [(name, "not recorded" if value is None else str(value)) for name, value in rows]


def _date_text(date: Any) -> str:
    return (
        "not recorded" if date is None else str(date).replace("T", " ").replace("+00:00", " UTC").replace("Z", " UTC")
    )


def _span(dates: list[str]) -> str:
    """The first and the last of several dates."""
    first, last = min(dates), max(dates)
    return first if first == last else f"{first} to {last}"
