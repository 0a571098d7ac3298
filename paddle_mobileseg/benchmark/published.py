"""What the networks' authors have published, as records: ``origin.kind`` is ``published``.

Latencies are in ``published.yml`` with their conditions, accuracies in the catalogue of weights. What the authors do
not say is ``null``. Nothing of it was measured by this project.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.benchmark import identity
from paddle_mobileseg.benchmark import record as records_format
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.weights import catalog

TABLES = Path(__file__).with_name("published.yml")
_CONVERTED = " Converted from "
WRITTEN = "2026-11-21T00:00:00Z"  # when published.yml was


def records() -> list[Record]:
    """Every published latency, in the order of ``published.yml``, with the accuracy published for it; ``timing`` is
    ``null`` where a network has only an accuracy.

    Accuracies are shares from 0 to 1, of the same trained file where it is known; see each record's
    ``accuracy.source`` for the size that they were evaluated at. Frames a second are converted to milliseconds.
    """
    tables = yaml.safe_load(TABLES.read_text(encoding="utf-8"))["tables"]
    return [_record(table, row) for table in tables for row in table["rows"]]


def accuracy(network: str, num_classes: int | None) -> dict[str, Any] | None:
    """The published accuracy of a network, as a record's ``accuracy``; ``None`` where there is none.

    Args:
        network: a name of :mod:`paddle_mobileseg.networks`.
        num_classes: of the file in question: it decides which data set the accuracy may be of.
    """
    for entry in catalog.entries().values():
        if entry.network == network and entry.num_classes == num_classes and "miou" in entry.metrics:
            return _of_entry(entry)
    return None


def figure(record: Record, what: str = "network") -> tuple[str, float] | None:
    """The number that a published record has: which statistic (``"min"`` or ``"mean"``), and its milliseconds."""
    return identity.figure((record["timing"] or {}).get(what))


def source(record: Record) -> str:
    """The source of a published record and its note, without how its number was converted."""
    return (record["origin"]["source"] or "").partition(_CONVERTED)[0]


def conditions(record: Record) -> str:
    """The conditions of a published latency, in a few words; what is not said is called so."""
    model, device, threads = record["model"], record["device"], record["backend"]["threads"]
    shape, output, found = model["input_shape"], model["output_op"], figure(record)
    soc = f" ({device['soc']})" if device["soc"] not in (None, device["name"]) else ""
    parts = [f"{device['name']}{soc}", str(record["backend"]["actual"])]
    parts.append("size not said" if shape is None else f"{shape[3]}x{shape[2]}")
    if device["gpu"] is None:
        parts.append("threads not said" if threads is None else identity.threads_text(threads))
    parts.append(model["precision"] or "precision not said")
    parts.append("output not said" if output is None else f"with {output}")
    return ", ".join(parts if found is None else [*parts, found[0]])


def _record(table: dict[str, Any], row: dict[str, Any]) -> Record:
    made = records_format.empty()
    shape, fps = row["input_shape"], row.get("fps")
    notes = [
        table["source"],
        table.get("note"),
        None if fps is None else f"{_CONVERTED.strip()} {fps} frames a second.",
    ]
    where = str(table["device"]["name"] or "accuracy").replace(" ", "_")
    made["id"] = "-".join(["published", row["network"], where, _size(row)])
    made["created"] = WRITTEN
    made["origin"].update(kind="published", source=" ".join(f"{note.rstrip('.')}." for note in notes if note))
    made["tool"]["name"] = table["backend"]
    made["status"], made["error"] = "ok", None
    made["validity"] = {"valid": True, "reasons": []}
    made["accuracy"] = _accuracy(row)
    made["model"].update(
        network=row["network"],
        weights="trained",
        format=table["format"],
        precision=table["precision"],
        input_shape=shape,
        output_op=row.get("output_op"),
    )
    made["device"].update(copy.deepcopy(table["device"]), kind="other")
    made["backend"].update(
        requested=table["backend"], actual=table["backend"], version=table.get("version"), threads=table["threads"]
    )
    made["input"]["kind"] = "unknown"
    made["protocol"].update(warmup_runs=table.get("warmup_runs"), min_runs=table.get("runs"))
    ms = row.get("ms") if fps is None else 1000 / fps
    made["timing"] = None if ms is None else _timing(table["statistic"], ms)
    return made


def _timing(statistic: str, milliseconds: float) -> dict[str, Any]:
    return {
        "unit": "ms",
        "first": None,
        "network": records_format.summary(**{statistic: milliseconds}),
        "frame": None,
        "stages": dict.fromkeys(records_format.STAGES),
    }


def _size(row: dict[str, Any]) -> str:
    shape = row["input_shape"]
    return str(row.get("weights")) if shape is None else f"{shape[3]}x{shape[2]}"


def _accuracy(row: dict[str, Any]) -> dict[str, Any]:
    if "weights" in row:
        return _of_entry(catalog.get(row["weights"]))
    return _section(row["dataset"], row["miou"], "published beside the latency")


def _of_entry(entry: catalog.Entry) -> dict[str, Any]:
    return _section(entry.dataset, entry.metrics["miou"], f"{entry.name}, evaluated at {entry.test_size}")


def _section(dataset: str, percent: float, source: str) -> dict[str, Any]:
    return {
        "of": "published",
        "dataset": dataset,
        "images": None,
        "miou": round(percent / 100, 6),
        "pixel_accuracy": None,
        "iou": None,
        "source": source,
    }
