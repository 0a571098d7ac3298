"""Text of LiteRT's (TensorFlow Lite's) ``benchmark_model``.

Its times are microseconds, those of ``Invoke()`` alone: inputs are in place before, outputs are not read. ``First
inference`` is the first run of the warm-up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.importers import texts
from paddle_mobileseg.benchmark.record import Record

TOOL = "LiteRT's benchmark_model"
SIGNS = (
    r"inference timings in \w+:",
    r"\bbenchmark_(?:litert_)?model\b",
    r"^(?:INFO: )?STARTING!",
    r"\b(?:TensorFlow Lite|LiteRT)\b",
)

_LABEL = re.compile(r"^\s*(?:(?:INFO|WARNING|ERROR|VERBOSE): ?)")
_COMMAND = r"\bbenchmark_(?:litert_)?model +--"
# In the order of a run. An app's log has neither the command nor STARTING!.
_MARKS = (_COMMAND, r"STARTING!", r"Log parameter values verbosely", r"[Ii]nference timings in \w+:")
_SAME_MEAN = 1e-3  # six digits are printed
_MIB = 2**20


def read(lines: Sequence[str]) -> list[Record]:
    """A record for each run."""
    return [_record(run) for run in texts.runs(lines, *_MARKS)]


def _record(labelled: list[str]) -> Record:
    lines = [_LABEL.sub("", line) for line in labelled]
    made = record.empty()
    made["command"] = texts.word(lines, rf"({texts.PROGRAM}benchmark_(?:litert_)?model +--.*)")
    _describe(made, lines)
    try:
        made["timing"] = _times(lines)
    except texts.NoTimesError as error:
        return texts.failed(made, str(error))
    peak = texts.first(lines, rf"Overall peak memory footprint \(MB\) via periodic monitoring: {texts.NUMBER}")
    made["memory"]["peak_resident_bytes"] = texts.size_of(peak[1], _MIB) if peak else None
    return texts.usable(made)


def _describe(made: Record, lines: list[str]) -> None:
    graph = texts.word(lines, r"^Graph: \[(.+)\]") or texts.word(lines, r"^Loaded model (.+)")
    size = texts.first(lines, rf"^The input model file size \(MB\): {texts.NUMBER}")
    entry = None if graph is None else texts.file_entry(graph, texts.size_of(size[1], 1e6) if size else None)
    made["model"].update(format="tflite" if graph else None, files=[entry] if entry else [])
    delegate = texts.word(lines, r"^Explicitly applied (\w+) delegate") or texts.word(
        lines, r"^Created TensorFlow Lite (\w*) ?delegate"
    )
    threads = texts.whole(lines, r"^Num threads: \[(-?\d+)\]")
    made["backend"].update(
        actual=None if delegate is None else f"LiteRT {delegate} delegate",
        threads=threads or texts.whole(lines, r"^#threads used for CPU inference: \[(-?\d+)\]"),
    )
    asked = [
        match
        for line in lines
        if (
            match := re.match(
                rf"Running benchmark for at least (\d+) iterations and at least {texts.NUMBER} seconds", line
            )
        )
    ]
    if len(asked) >= 2:  # of warm-up, and of what counts
        made["protocol"].update(warmup_runs=int(asked[0][1]), warmup_s=max(0.0, float(asked[0][2])))
        made["protocol"].update(min_runs=int(asked[1][1]) or None, min_s=max(0.0, float(asked[1][2])))


def _times(lines: list[str]) -> dict[str, Any]:
    row = texts.first(lines, r"inference timings in (\w+): *(.*)")
    if row is None:
        raise texts.NoTimesError(texts.fault_in(lines))
    unit = row[1]
    said = {
        name.strip(): texts.milliseconds(number, unit)
        for name, number in re.findall(rf"([A-Za-z][\w ()]*?): *{texts.NUMBER}", row[2], re.IGNORECASE)
    }
    mean = next((said[name] for name in ("Inference (avg)", "Inference", "no stats") if name in said), None)
    if mean is None:
        raise texts.NoTimesError(f"there is no time of inference in {row[0]!r}; {texts.fault_in(lines)}")
    counts = [line for line in lines if re.match(r"\s*count=\d+ ", line)]
    measured = _statistics(counts[-1], unit) if counts else None
    if measured is None:
        measured = texts.statistics(mean=mean)
    elif abs(measured["mean"] - mean) > _SAME_MEAN * mean:
        raise texts.NoTimesError(
            f"the mean is {measured['mean']} ms in {counts[-1].strip()!r} and {mean} ms in {row[0]!r}; the text was "
            "cut off or put together"
        )
    return texts.timing(load=said.get("Init"), first_run=said.get("First inference"), compute=measured)


def _statistics(line: str, unit: str) -> dict[str, Any] | None:
    """Of ``count=50 first=1 curr=2 min=1 max=3 avg=2 std=1``, with newer versions' percentiles."""
    said = {name: number for name, number in re.findall(rf"(\w+)={texts.NUMBER}", line, re.IGNORECASE)}
    if "avg" not in said:  # one run, or all the same
        said |= {name: said["curr"] for name in ("min", "max", "avg") if "curr" in said}
    names = {"min": "min", "max": "max", "mean": "avg", "median": "median", "p90": "p90", "p95": "p95", "p99": "p99"}
    times = {ours: texts.milliseconds(said[theirs], unit) for ours, theirs in names.items() if theirs in said}
    spread = float(said["std"]) * texts.factor(unit) if "std" in said else None
    made = texts.statistics(int(said["count"]), std=spread, **times)
    return made if made is not None and made["mean"] is not None else None
