"""Text of TensorRT's ``trtexec``, 8.x and 10.x.

Its Latency is H2D Latency + GPU Compute Time + D2H Latency of one query: ``timing.network`` and its stages. Without
data transfers (``--noDataTransfers``) there is the computation only. A percentile is a time that was measured, not
between two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.importers import texts
from paddle_mobileseg.benchmark.record import Record

TOOL = "TensorRT's trtexec"
SIGNS = (r"&&&& \w+ TensorRT\.trtexec", r"=== Performance summary ===", r"GPU Compute Time: min", r"\btrtexec +--")

_LABEL = re.compile(r"^\s*(?:\[[^\]]*\]\s*)+")  # [time] [severity]
_STAGES = {"host_to_device": "H2D Latency", "compute": "GPU Compute Time", "device_to_host": "D2H Latency"}
_NAMES = {"min": "min", "max": "max", "mean": "mean", "median": "median", "90%": "p90", "95%": "p95", "99%": "p99"}
_OPTIONS = ("Inference Streams", "Data transfers", "Spin-wait", "Multithreading", "CUDA Graph", "ExposeDMA")
_PRECISIONS = ("INT4", "FP8", "INT8", "BF16", "FP16", "FP32")  # the lowest that it may use comes first


def read(lines: Sequence[str]) -> list[Record]:
    """A record for each run."""
    return [_record(run) for run in texts.runs(lines, "&&&& RUNNING TensorRT.trtexec", "=== Performance summary ===")]


def _record(labelled: list[str]) -> Record:
    lines = [_LABEL.sub("", line) for line in labelled]
    made = record.empty()
    made["command"] = texts.word(lines, r"&&&& \w+ TensorRT\.trtexec [^#]*# *(.+)")
    engine = texts.word(lines, r"^Load engine: *(.+)")
    _describe(made, lines, engine)
    try:
        if any("&&&& FAILED TensorRT.trtexec" in line for line in lines):
            raise texts.NoTimesError(_errors(labelled) or "trtexec says FAILED")
        made["timing"] = _times(lines, loaded=engine is not None)
    except texts.NoTimesError as error:
        return texts.failed(made, str(error))
    ended = any("&&&& PASSED TensorRT.trtexec" in line for line in lines)
    if not ended and any("&&&& RUNNING TensorRT.trtexec" in line for line in lines):
        return texts.usable(made, ["the text has no line '&&&& PASSED': it was cut off, or trtexec was ended"])
    return texts.usable(made)


def _describe(made: Record, lines: list[str], engine: str | None) -> None:
    model = engine or texts.word(lines, r"^Model: *(.+)")
    shapes = [
        match[1] for line in lines if (match := re.search(r"input binding for .+ with dimensions ([\dx]+)", line, re.I))
    ]
    made["model"].update(
        format="tensorrt" if engine else "onnx" if model else None,
        precision=None if engine else _precision(texts.word(lines, r"^Precision: *(.+)")),
        files=[texts.file_entry(model)] if model else [],
        input_shape=texts.shape_of(shapes[0], "x") if len(shapes) == 1 else None,
    )
    made["backend"].update(
        actual="TensorRT",
        version=texts.word(lines, r"^TensorRT version: *(\S+)")
        or _version(texts.word(lines, r"\[TensorRT v([\d.]+)\]")),
        options={name: value for name in _OPTIONS if (value := texts.word(lines, rf"^{name}: *(.+)"))},
    )
    gpu = texts.word(lines, r"^Selected Device: *(.+)")
    made["device"].update(name=gpu, gpu=gpu)
    if any("Using random values for input" in line for line in lines):
        made["input"]["kind"] = "random"
    duration = texts.first(lines, rf"^Duration: *{texts.NUMBER}s \(\+ *{texts.NUMBER}ms warm up\)")
    made["protocol"].update(
        warmup_s=float(duration[2]) / 1e3 if duration else None,
        min_s=float(duration[1]) if duration else None,
        min_runs=texts.whole(lines, r"^Iterations: *(\d+)"),
    )


def _precision(text: str | None) -> str | None:
    """Of ``FP32+FP16`` the lowest; an engine that is loaded has the one that it was built with, which is not said."""
    return None if text is None else next((each.lower() for each in _PRECISIONS if each in text.upper()), None)


def _version(digits: str | None) -> str | None:
    """``8601`` is 8.6.1, ``100900`` is 10.9.0."""
    if digits is None or "." in digits:
        return digits
    number, step = int(digits), 10 if len(digits) < 6 else 100
    return f"{number // (step * 100)}.{number // 100 % step}.{number % 100}"


def _times(lines: list[str], loaded: bool) -> dict[str, Any]:
    count = texts.whole(lines, r"^Timing trace has (\d+) queries")
    network = _summary(lines, "Latency", count)
    stages = {stage: _summary(lines, name, count) for stage, name in _STAGES.items()}
    if network is None and stages["compute"] is None:
        raise texts.NoTimesError(texts.fault_in(lines))
    if network == stages["compute"]:
        network = None  # no data were transferred
    load = texts.first(lines, rf"^Engine deserialized in {texts.NUMBER} (\w+)") if loaded else None
    return texts.timing(network, texts.milliseconds(load[1], load[2]) if load else None, None, **stages)


def _summary(lines: list[str], name: str, count: int | None) -> dict[str, Any] | None:
    row = texts.word(lines, rf"^\s*{name}: *(min *=.+)")
    if row is None:
        return None
    times: dict[str, float | None] = {}
    for each in re.finditer(
        rf"(min|max|mean|median|percentile\(([\d.]+%)\)) *= *{texts.NUMBER} ?([a-zµμ]*)", row, re.I
    ):
        statistic = _NAMES.get(each[2] or each[1])
        if statistic is not None:
            times[statistic] = texts.milliseconds(each[3], each[4])
    return texts.statistics(count, **times)


def _errors(lines: list[str]) -> str:
    said = [_LABEL.sub("", line).strip() for line in lines if "[E]" in line]
    return "; ".join(said[:3])
