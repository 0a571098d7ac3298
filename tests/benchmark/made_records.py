"""Benchmark records for tests, valid against the schema, without measuring anything."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.record import Record

_numbers = itertools.count(1)


def made(
    network: str = "topformer_tiny",
    times: Sequence[float] | float = 10.0,
    *,
    frame: Sequence[float] | float | None = None,
    turns: Sequence[int] | None = None,
    group: str | None = None,
    device: str = "0123456789ab",
    **changes: Any,
) -> Record:
    """A measured record. ``times`` in ms: one, or one for each run. ``changes``: ``section__field=value``."""
    number = next(_numbers)
    record = records.empty()
    record.update(id=f"r{number}", created=f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z", status="ok")
    record["validity"] = {"valid": True, "reasons": []}
    record["model"].update(
        network=network,
        bundle=network,
        weights="trained",
        format="onnx",
        precision="fp32",
        num_classes=7,
        input_shape=[1, 3, 64, 96],
        input_dtype="float32",
        output_op="argmax",
        files=[{"name": "model.onnx", "bytes": 5_000_000, "sha256": "0" * 64}],
    )
    record["device"].update(name=f"Device {device[:2]}", cpu="Some CPU", logical_cores=2, fingerprint=device)
    record["backend"].update(requested="onnxruntime", actual="onnxruntime CPU", version="1.0", threads=1)
    record["input"].update(kind="golden", count=2, frame_hw=[480, 640])
    record["protocol"].update(preset="quick", warmup_runs=3, group=group, turns=None if turns is None else list(turns))
    record["timing"] = {
        "unit": "ms",
        "first": None,
        "network": records.summarize(_series(times)),
        "frame": None if frame is None else records.summarize(_series(frame)),
        "stages": dict.fromkeys(records.STAGES),
    }
    for path, value in changes.items():
        section, _, name = path.partition("__")
        if name:
            record[section][name] = value
        else:
            record[section] = value
    records.validate(record)
    return record


def failed(like: Record, message: str = "it fell over") -> Record:
    """A failure of the same."""
    record = copy.deepcopy(like)
    record.update(
        id=f"r{next(_numbers)}",
        status="failed",
        timing=None,
        validity={"valid": False, "reasons": []},
        error={"kind": "RuntimeError", "stage": None, "message": message},
    )
    records.validate(record)
    return record


def invalid(like: Record, reason: str = "too noisy") -> Record:
    """The same, but its numbers must not be used."""
    record = copy.deepcopy(like)
    record.update(id=f"r{next(_numbers)}", status="invalid", validity={"valid": False, "reasons": [reason]})
    records.validate(record)
    return record


def accuracy(
    miou: float | None = 0.7, dataset: str = "camvid", of: str = "exported file", images: int | None = 101, **iou: Any
) -> dict[str, Any]:
    """A record's accuracy; ``iou`` by class."""
    return {
        "of": of,
        "dataset": dataset,
        "images": images,
        "miou": miou,
        "pixel_accuracy": None,
        "iou": iou or None,
        "source": "val.json",
    }


def _series(times: Sequence[float] | float) -> list[float]:
    return [float(times)] * 20 if isinstance(times, int | float) else [float(time) for time in times]
