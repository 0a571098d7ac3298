"""Text of Paddle Lite's ``benchmark_bin``: 2.10 and later (lite/api/tools/benchmark), the log of earlier ones
(lite/api/benchmark.cc), and the tables that ``benchmark.sh`` made of those, a line for each model.

Its times are those of ``predictor->Run()`` alone: inputs are in place before, outputs are read after. ``first`` is the
first run, which is one of the warm-up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.importers import texts
from paddle_mobileseg.benchmark.record import Record

TOOL = "Paddle Lite's benchmark_bin"
SIGNS = (
    r"={5,} (?:Opt|Device|Model|Runtime|Backend|Perf) Info ={5,}",
    r"\bbenchmark_bin\b",
    r"optimized_model_file",
    r"-+Summary information-+",
    r"^PaddleLite Benchmark",
    r"\bmin = +\S+ +max = +\S+ +average = +\S+",
)

_HEADERS = ("Opt", "Device", "Model", "Runtime", "Backend", "Accurancy", "Perf")
_COMMAND = r"^[^=]*\bbenchmark_bin +--"
_MIB = 2**20

# Tables of benchmark.sh: what holds for the lines below, and the lines.
_SETTINGS = re.compile(r"\s*Threads=(\d+) Warmup=(\d+) Repeats=(\d+)")
_ROWS = (
    re.compile(
        rf"\s*(\S+)\s+min = +{texts.NUMBER}\s+max = +{texts.NUMBER}\s+average = +{texts.NUMBER}\s*$", re.IGNORECASE
    ),
    re.compile(rf"\s*-- (\S+)\s+avg = +(){texts.NUMBER}() ms\s*$", re.IGNORECASE),
)


def read(lines: Sequence[str]) -> list[Record]:
    """A record for each run; ``--result_path`` appends runs to one file."""
    if any(row.match(line) for row in _ROWS for line in lines):
        return _table(lines)
    marks = [_COMMAND, "-+Summary information-+", *(rf"={{5,}} {each} Info ={{5,}}" for each in _HEADERS)]
    return [_record(run) for run in texts.runs(lines, *marks)]


def _record(lines: list[str]) -> Record:
    made = record.empty()
    made["command"] = texts.word(lines, rf"({texts.PROGRAM}benchmark_bin +--.*)")
    _describe(made, lines)
    try:
        made["timing"], peak = _times(lines, made["protocol"]["min_runs"])
    except texts.NoTimesError as error:
        return texts.failed(made, str(error))
    made["memory"]["peak_resident_bytes"] = peak
    return texts.usable(made)


def _describe(made: Record, lines: list[str]) -> None:
    backend = texts.word(lines, r"^backend: *(.+)")
    gpu = backend is not None and "opencl" in backend
    model = texts.word(lines, r"^(?:optimized_model_file|model_path): *(.+)")
    made["model"].update(
        format=None if backend is None else "lite-x86" if "x86" in backend else "lite-arm",
        precision=texts.word(lines, rf"^{'gpu' if gpu else 'cpu'} precision: *(.+)"),
        files=[] if model is None else [texts.file_entry(model)],
        input_shape=texts.shape_of(texts.word(lines, r"^input_shape: *(.+?);?$"), ","),
    )
    made["backend"].update(
        actual=None if backend is None else f"Paddle Lite {backend}",
        version=texts.word(lines, r"^benchmark_bin version: *(.+)"),
        threads=texts.whole(lines, r"^threads: *(.+)"),
        power_mode=texts.word(lines, r"^power_mode: *(.+)"),
    )
    made["protocol"].update(
        warmup_runs=texts.whole(lines, r"^warmup: *(.+)", least=0), min_runs=texts.whole(lines, r"^repeats: *(.+)")
    )
    if texts.word(lines, r"^input_data_path: *(.+)") == "All 1.f":
        made["input"]["kind"] = "random"
    _device(made, lines)


def _device(made: Record, lines: list[str]) -> None:
    brand, name = texts.word(lines, r"^Brand: *(.+)"), texts.word(lines, r"^Model: *(.+)")
    release = texts.word(lines, r"^Android Version: *(.+)")
    sdk = texts.whole(lines, r"^Android API Level: *(.+)")
    if name is not None:
        known = brand is None or name.lower().startswith(brand.lower())
        made["device"]["name"] = name if known else f"{brand} {name}"
    if release is not None and sdk is not None:
        made["device"].update(android={"release": release, "sdk": sdk}, os=f"Android {release}")


def _times(lines: list[str], repeats: int | None) -> tuple[dict[str, Any], int | None]:
    """The record's ``timing``, and the peak of memory in bytes."""
    if mean := texts.word(lines, rf"^latency\(ms\): *{texts.NUMBER}"):
        return texts.timing(compute=texts.statistics(repeats, mean=texts.milliseconds(mean, "ms"))), None
    times: dict[str, float | None] = {}
    peak, unit, part = None, "", ""
    for line in lines:
        if header := re.match(r"\s*(Time|Memory Usage) ?\(unit: *(\S+?)\)", line):
            part, unit = header[1], header[2]
        elif part and (row := re.match(rf"\s*(\w+)\s*=\s*{texts.NUMBER}", line, re.IGNORECASE)):
            if part == "Time":
                times[row[1]] = texts.milliseconds(row[2], unit)
            elif row[1] == "peak" and unit == "MB":
                peak = texts.size_of(row[2], _MIB)
    if missing := {"min", "max", "avg"} - set(times):
        at = f"'{', '.join(sorted(missing))}' missing below 'Perf Info': " if times else ""
        raise texts.NoTimesError(at + texts.fault_in(lines))
    compute = texts.statistics(repeats, min=times["min"], max=times["max"], mean=times["avg"])
    return texts.timing(load=times.get("init"), first_run=times.get("first"), compute=compute), peak


def _table(lines: Sequence[str]) -> list[Record]:
    """Some versions call the longest time min and the shortest max."""
    made: list[Record] = []
    threads, warmup, repeats = None, None, None
    for line in lines:
        if settings := _SETTINGS.match(line):
            threads, warmup, repeats = (int(each) for each in settings.groups())
        row = next((match for each in _ROWS if (match := each.match(line))), None)
        if row is None:
            continue
        each = record.empty()
        each["model"]["network"] = row[1]
        each["backend"].update(actual="Paddle Lite", threads=threads or None)
        each["protocol"].update(warmup_runs=warmup, min_runs=repeats or None)
        try:
            each["timing"] = texts.timing(compute=_row_statistics(row, repeats or None))
            made.append(texts.usable(each))
        except texts.NoTimesError as error:
            made.append(texts.failed(each, str(error)))
    return made


def _row_statistics(row: re.Match[str], repeats: int | None) -> dict[str, Any] | None:
    times = [texts.milliseconds(each, "ms") for each in row.groups()[1:] if each]
    if len(times) == 1:
        return texts.statistics(repeats, mean=times[0])
    *ends, mean = times
    low, high = sorted(ends, key=lambda each: each or 0.0)
    return texts.statistics(repeats, min=low, max=high, mean=mean)
