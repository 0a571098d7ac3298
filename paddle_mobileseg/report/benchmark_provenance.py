"""The table of all records, and where each number comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import identity
from paddle_mobileseg.report.benchmark_entries import Entry, devices
from paddle_mobileseg.report.number_text import NOT_MEASURED, mb_text, ms_text, percent

NOT_RECORDED = "not recorded"

Rows = list[tuple[str, Any]]  # names and values

COLUMNS = (
    ("Network", "text"),
    ("Backend", "text"),
    ("Threads", ""),
    ("Median ms", ""),
    ("p90 ms", ""),
    ("p99 ms", ""),
    ("Frame ms", ""),
    ("First ms", ""),
    ("mIoU", ""),
    ("Labels equal", ""),
    ("Files MB", ""),
    ("Peak MB", ""),
    ("Input", ""),
    ("Precision", "text"),
    ("Status", "text"),
    ("Origin", "text"),
    ("Device", "text"),
    ("Date", "text"),
)


def table(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """A row for each record: cells of text and of what to sort by."""
    return [{"entry": entry, "cells": _cells(entry)} for entry in entries]


def _cells(entry: Entry) -> list[tuple[str, str]]:
    """(text, sort value) for the columns after the network's name; the value is empty where there is none."""
    record, model = entry.record, entry.record["model"]
    times = entry.summary("network") or {}
    first = ((record["timing"] or {}).get("first") or {}).get("network")
    parity, shape, threads = record["parity"], model["input_shape"], record["backend"]["threads"]
    agreement = None if parity is None else parity["label_agreement"]
    origin = entry.kind if entry.record["origin"]["importer"] is None else f"imported ({record['origin']['importer']})"
    miou = entry.miou
    cells: list[tuple[str, Any]] = [
        (entry.backend, entry.backend),
        (NOT_RECORDED if threads is None else str(threads), threads),
        (_figure(entry, "network"), entry.ms("network")),
        (ms_text(times.get("p90")), times.get("p90")),
        (ms_text(times.get("p99")), times.get("p99")),
        (_figure(entry, "frame"), entry.ms("frame")),
        (ms_text(first), first),
        ("random weights" if entry.random_weights else NOT_MEASURED if miou is None else f"{miou:.4f}", miou),
        (percent(agreement), agreement),
        (mb_text(entry.file_mb), entry.file_mb),
        (mb_text(entry.peak_mb), entry.peak_mb),
        (
            NOT_RECORDED if shape is None else identity.size(shape),
            None if shape is None else shape[1] * shape[2] * shape[3],
        ),
        (model["precision"] or NOT_RECORDED, model["precision"]),
        (record["status"], record["status"]),
        (origin, origin),
        (entry.device, entry.device),
        (date(record["created"]), record["created"]),
    ]
    return [(text, _sortable(value)) for text, value in cells]


def _sortable(value: Any) -> str:
    """What the page's script sorts by."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _figure(entry: Entry, part: str) -> str:
    """A time in ms, and which statistic it is where it is not the median."""
    statistic = entry.statistic(part)
    return ms_text(entry.ms(part)) + ("" if statistic in (None, "median") else f" {statistic}")


def date(created: str) -> str:
    """``2026-11-21 10:15 UTC``."""
    return f"{created[:10]} {created[11:16]} UTC"


def provenance(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """By device everything that the records say of how they were made. What all say of the device is there once."""
    groups = []
    for device, group in devices(entries).items():
        same = all(_device(entry) == _device(group[0]) for entry in group)
        groups.append(
            {
                "device": device,
                "about": _known(_device(group[0])) if same else None,
                "records": [_provenance(entry, [] if same else _device(entry)) for entry in group],
            }
        )
    return groups


def _known(rows: Rows) -> dict[str, Any]:
    """Rows that have a value, and the names of those that have none."""
    return {
        "rows": [(name, value) for name, value in rows if value not in (None, "")],
        "missing": [name for name, value in rows if value in (None, "")],
    }


def _provenance(entry: Entry, device: Rows) -> dict[str, Any]:
    return _known([*_tool(entry), *device, *_backend(entry), *_what(entry), *_numbers(entry)]) | {
        "entry": entry,
        "files": entry.record["model"]["files"][:20],
        "command": entry.record["command"],
        "reasons": entry.reasons,
    }


def _listing(values: dict[str, Any]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in list(values.items())[:40])
    return text if len(text) <= 900 else text[:899] + "…"


def _tool(entry: Entry) -> Rows:
    record = entry.record
    tool, origin, chain = record["tool"], record["origin"], record["toolchain"]
    commit = tool["git_commit"]
    modified = {True: " with changes", False: "", None: ""}[tool["git_modified"]]
    return [
        ("record", record["id"]),
        ("key", record["key"]),
        ("date", date(record["created"])),
        ("origin", _listing({"": entry.kind, **({"by": origin["importer"]} if origin["importer"] else {})}).strip()),
        ("source", origin["source"]),
        ("source's sha256", origin["source_sha256"]),
        ("tool", " ".join(filter(None, [tool["name"], tool["version"]]))),
        ("git commit", None if commit is None else commit + modified),
        ("Python", chain["python"]),
        ("packages", _listing(chain["packages"])),
        ("exported with", _listing(chain["export_tools"])),
    ]


def _device(entry: Entry) -> Rows:
    device = entry.record["device"]
    memory, android = device["memory_gib"], device["android"]
    return [
        ("device", f"{entry.device} ({device['kind']})"),
        ("SoC", device["soc"]),
        ("processor", device["cpu"]),
        ("GPU", device["gpu"]),
        ("logical cores", device["logical_cores"]),
        ("memory", None if memory is None else f"{memory:g} GiB"),
        ("system", device["os"]),
        ("ABI", device["abi"]),
        ("Android", None if android is None else f"{android['release']} (SDK {android['sdk']})"),
        ("device's fingerprint", device["fingerprint"]),
    ]


def _backend(entry: Entry) -> Rows:
    backend = entry.record["backend"]
    return [
        ("backend asked for", backend["requested"]),
        ("backend that ran", backend["actual"]),
        ("backend's version", backend["version"]),
        ("threads", backend["threads"]),
        ("affinity", None if backend["affinity"] is None else ", ".join(map(str, backend["affinity"][:64]))),
        ("power mode", backend["power_mode"]),
        ("options", _listing(backend["options"])),
    ]


def _what(entry: Entry) -> Rows:
    record = entry.record
    model, given, protocol = record["model"], record["input"], record["protocol"]
    shape, frame, macs, at = model["input_shape"], given["frame_hw"], model["macs"], model["macs_size_hw"]
    present = given["classes_present"]
    kind = f"{given['kind']}, {given['count']}" if given["count"] is not None else given["kind"]
    return [
        ("bundle", model["bundle"]),
        ("weights", model["weights"]),
        ("checkpoint's sha256", model["source_checkpoint_sha256"]),
        ("format", model["format"]),
        ("precision", model["precision"]),
        ("parameters", None if model["parameters"] is None else f"{model['parameters']:,}"),
        ("MACs", None if macs is None else f"{macs:,}" + ("" if at is None else f" at {at[1]}x{at[0]}")),
        ("classes", model["num_classes"]),
        ("input tensor", None if shape is None else f"{model['input_dtype'] or ''} {shape}".strip()),
        ("output", model["output_op"]),
        ("inputs", kind),
        ("classes present", None if not present else f"{min(present)} to {max(present)}"),
        ("camera frame", None if frame is None else f"{frame[1]}x{frame[0]}"),
        ("protocol", protocol["preset"]),
        ("warm-up", _limits(protocol["warmup_runs"], protocol["warmup_s"])),
        ("at least", _limits(protocol["min_runs"], protocol["min_s"])),
        ("measured in turns with", protocol["group"]),
    ]


def _limits(runs: int | None, seconds: float | None) -> str | None:
    parts = [None if runs is None else f"{runs} runs", None if seconds is None else f"{seconds:g} s"]
    return " and ".join(part for part in parts if part) or None


def _numbers(entry: Entry) -> Rows:
    record = entry.record
    parity, accuracy, stand_in, memory = record["parity"], record["accuracy"], entry.stand_in, record["memory"]
    load = ((record["timing"] or {}).get("first") or {}).get("load")
    return [
        ("network, ms", _times(entry.summary("network"))),
        ("whole frame, ms", _times(entry.summary("frame"))),
        ("loading", None if load is None else f"{ms_text(load)} ms"),
        (
            "parity on the device",
            None
            if parity is None
            else f"{percent(parity['label_agreement'])} of labels equal on {parity['inputs']} inputs, "
            f"{'passed' if parity['passed'] else 'failed'} (tolerance {parity['tolerance']:g})",
        ),
        ("accuracy", None if accuracy is None else _accuracy(accuracy, entry.random_weights)),
        ("accuracy's source", None if accuracy is None else accuracy["source"]),
        *(() if stand_in is None else _published(stand_in)),
        ("peak resident memory", _megabytes(memory["peak_resident_bytes"])),
        ("resident memory before loading", _megabytes(memory["before_load_bytes"])),
        ("peak memory of the GPU", _megabytes(memory["device_peak_bytes"])),
    ]


def _published(stand_in: dict[str, Any]) -> Rows:
    """Of the accuracy that stands in for one that the record lacks."""
    return [
        ("accuracy in the chart, published", _accuracy(stand_in, False)),
        ("its source", f"{stand_in['source']}; of the authors' weights"),
    ]


def _megabytes(count: int | None) -> str | None:
    return None if count is None else f"{mb_text(count / 1e6)} MB"


def _times(times: dict[str, Any] | None) -> str | None:
    if times is None:
        return None
    names = ("min", "mean", "median", "p90", "p95", "p99", "max", "std")
    known = [f"{name} {times[name]:.4g}" for name in names if times[name] is not None]
    return ", ".join([*known, *([f"{times['count']} runs"] if times["count"] else [])])


def _accuracy(accuracy: dict[str, Any], random_weights: bool) -> str:
    if random_weights:
        return "random weights: accuracy means nothing"
    miou, images = accuracy["miou"], accuracy["images"]
    of = "" if accuracy["of"] == "published" else f" of the {accuracy['of']}"
    return (
        f"mIoU {NOT_MEASURED if miou is None else f'{miou:.4f}'}{of} on {accuracy['dataset']}"
        f"{'' if images is None else f', {images} images'}"
    )
