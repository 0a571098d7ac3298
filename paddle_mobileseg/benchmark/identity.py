"""What a record is of, in a form to compare and in words: device, what was measured, size of the files."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any

from paddle_mobileseg.benchmark.record import Record


def device_id(record: Record) -> str | None:
    """Equal for records of one device: its fingerprint, or without one its names; ``None`` where nothing is known."""
    device = record["device"]
    if device["fingerprint"] is not None:
        return device["fingerprint"]
    names = [device[key] for key in ("name", "soc", "cpu", "gpu")]
    return None if not any(names) else " / ".join(str(name) for name in names if name)


def device_name(record: Record) -> str:
    """The device in words, with the beginning of its fingerprint."""
    device = record["device"]
    name = device["name"] or device["cpu"] or device["soc"] or f"unknown {device['kind']} device"
    cores = "" if device["logical_cores"] is None else f", {device['logical_cores']} cores"
    print_ = "" if device["fingerprint"] is None else f" [{device['fingerprint']}]"
    return f"{name}{cores}{print_}"


def network(record: Record) -> str:
    """The network's name, or the bundle's."""
    model = record["model"]
    return model["network"] or model["bundle"] or "unknown network"


def measured(record: Record) -> dict[str, Hashable]:
    """What was measured, apart from the device and the weights: records that agree in all of it are repetitions."""
    model, backend, given = record["model"], record["backend"], record["input"]
    return {
        "network": network(record),
        "format": model["format"],
        "precision": model["precision"],
        "input shape": _tuple(model["input_shape"]),
        "input type": model["input_dtype"],
        "output": model["output_op"],
        "classes": model["num_classes"],
        "backend": backend["requested"],
        "threads": backend["threads"],
        "cores": _tuple(backend["affinity"]),
        "power mode": backend["power_mode"],
        "options": json.dumps(backend["options"], sort_keys=True),
        "frame size": _tuple(given["frame_hw"]),
        "input": given["kind"],
        "classes present": _tuple(given["classes_present"]) if model["output_op"] == "vim" else None,
        "preset": record["protocol"]["preset"],
        "warm-up runs": record["protocol"]["warmup_runs"],
    }


def label(record: Record) -> str:
    """Such as ``pp_mobileseg_tiny onnxruntime 1 thread 512x512 argmax``."""
    model, backend = record["model"], record["backend"]
    shape, threads = model["input_shape"], backend["threads"]
    precision = model["precision"] if model["precision"] not in (None, "fp32") else None
    parts = [
        network(record),
        backend["requested"],
        None if threads is None else threads_text(threads),
        None if shape is None else size(shape),
        model["output_op"],
        precision,
    ]
    return " ".join(part for part in parts if part)


def labels(records: Sequence[Record]) -> list[str]:
    """A label for each record; those that would be the same get what else was measured differently too, or the bundle's
    name, or the record's id."""
    names = _with_differences([label(record) for record in records], [measured(record) for record in records])
    for more in (lambda record: record["model"]["bundle"], lambda record: record["id"]):
        longer = [f"{name} ({more(record)})" for name, record in zip(names, records, strict=True)]
        if len(set(longer)) > len(set(names)):
            names = [more_ if names.count(name) > 1 else name for name, more_ in zip(names, longer, strict=True)]
    return names


def _with_differences(names: Sequence[str], settings: Sequence[dict[str, Hashable]]) -> list[str]:
    """Names of which those that are alike have behind them the settings in which they differ."""
    alike: dict[str, list[dict[str, Hashable]]] = {}
    for name, own in zip(names, settings, strict=True):
        alike.setdefault(name, []).append(own)
    differ = {name: [k for k in group[0] if len({own[k] for own in group}) > 1] for name, group in alike.items()}
    found = []
    for name, own in zip(names, settings, strict=True):
        more = ", ".join(f"{key} {shown(own[key])}" for key in differ[name])
        found.append(f"{name} ({more})" if more else name)
    return found


def shown(value: Any) -> str:
    """A value of :func:`measured` in words."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "not known" if value is None else str(value)


def size(shape: Sequence[int]) -> str:
    """Width x height of an input, which may be NCHW or NHWC."""
    height, width = shape[1:3] if shape[3] == 3 and shape[1] != 3 else shape[2:]
    return f"{width}x{height}"


def threads_text(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'' if count == 1 else 's'}"


def figure(summary: dict[str, Any] | None) -> tuple[str, float] | None:
    """The number to go by in a record's summary of times: ``median``, or ``mean`` or ``min`` where a source has no
    better one, and its milliseconds; ``None`` where it has none of them."""
    names = ("median", "mean", "min")
    return next(((name, summary[name]) for name in names if summary[name] is not None), None) if summary else None


def file_bytes(record: Record) -> int | None:
    """Size of the model's files together; ``None`` where one is not known."""
    sizes = [file["bytes"] for file in record["model"]["files"]]
    return None if not sizes or None in sizes else sum(sizes)


def why_unusable(record: Record) -> str | None:
    """Why a record's numbers must not be used, or ``None``."""
    if record["status"] == "failed":
        return f"failed: {(record['error'] or {}).get('message', 'no reason given')}"
    if record["status"] == "invalid":
        first = [reason.partition(";")[0] for reason in record["validity"]["reasons"]]  # behind it: what is allowed
        return f"invalid: {'; '.join(first) or 'no reason given'}"
    return None


def _tuple(value: Any) -> tuple[Any, ...] | None:
    return None if value is None else tuple(value)
