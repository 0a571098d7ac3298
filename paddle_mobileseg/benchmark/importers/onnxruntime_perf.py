"""Text of ``onnxruntime_perf_test``.

Its times are those of ``Session::Run`` with inputs in host memory, outputs too: all of ``timing.network``. Percentiles
are seconds, the average is milliseconds, both as the text says. A percentile is a time that was measured, not between
two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.importers import texts
from paddle_mobileseg.benchmark.record import Record

TOOL = "onnxruntime_perf_test"
SIGNS = (r"Session creation time cost:", r"Average (?:inference )?time cost", r"\bP\d+ Latency", r"onnxruntime")

_COMMAND = r"\bonnxruntime_perf_test(?:\.exe)? +\S"
_NAMES = {"Min": "min", "Max": "max", "P50": "median", "P90": "p90", "P95": "p95", "P99": "p99"}
_VALUED = ("m", "e", "b", "r", "t", "p", "x", "y", "T", "C", "i", "o", "c", "d", "S", "f", "F", "u", "R")  # options


def read(lines: Sequence[str]) -> list[Record]:
    """A record for each run."""
    marks = (
        _COMMAND,
        r"Setting intra_op_num_threads",
        r"Session creation time cost:",
        r"Average (?:inference )?time cost",
    )
    return [_record(run) for run in texts.runs(lines, *marks)]


def _record(lines: list[str]) -> Record:
    made = record.empty()
    command = made["command"] = texts.word(lines, rf"({texts.PROGRAM}onnxruntime_perf_test(?:\.exe)? +\S.*)")
    threads = texts.whole(lines, r"Setting intra_op_num_threads to (\d+)")
    provider = texts.word(lines, r"using (\w+ExecutionProvider)")
    options = _options(command)
    model = next((each for each in options.get("", []) if each.endswith((".onnx", ".ort"))), None)
    made["model"].update(format="onnx", files=[texts.file_entry(model)] if model else [])
    made["backend"].update(
        actual=None if provider is None else f"onnxruntime {provider}",
        threads=threads or _number(options, "x"),
        options={"execution_provider": options["e"][0]} if "e" in options else {},
    )
    at_once = _number(options, "c")
    if at_once is not None:
        made["backend"]["options"]["concurrent_runs"] = at_once
    if "t" not in options or options.get("m") == ["times"]:
        made["protocol"]["min_runs"] = _number(options, "r")
    try:
        made["timing"] = _times(lines)
    except texts.NoTimesError as error:
        return texts.failed(made, str(error))
    made["memory"]["peak_resident_bytes"] = texts.whole(lines, r"Peak working set size: *(\d+)")
    crowd = f"{at_once} runs at a time (-c): a run's time is not that of a network that runs alone"
    return texts.usable(made, [crowd] if at_once is not None and at_once > 1 else [])


def _options(command: str | None) -> dict[str, list[str]]:
    """Values of single-letter options, ``-c 4``, ``-c4`` or ``--c=4``; under ``""`` what belongs to none."""
    found: dict[str, list[str]] = {"": []}
    words = [] if command is None else command.split()[1:]
    name = ""
    for each in words:
        if match := re.fullmatch(r"--?([A-Za-z])(?:=(.+)|(\d+))?", each):
            name = match[1] if match[1] in _VALUED else ""
            if value := match[2] or match[3]:
                found.setdefault(name, []).append(value)
                name = ""
        else:
            found.setdefault(name, []).append(each)
            name = ""
    return found


def _number(options: dict[str, list[str]], name: str) -> int | None:
    value = options.get(name, [""])[0]
    return int(value) if value.isdecimal() and int(value) > 0 else None


def _times(lines: list[str]) -> dict[str, Any]:
    mean = _time(lines, r"Average (?:inference )?time cost(?: total)?")
    rows = [re.search(rf"\b(Min|Max|P\d+) Latency(?: is|:) *{texts.NUMBER} *([a-zµμ]+)", line, re.I) for line in lines]
    statistics = {_NAMES[row[1]]: texts.milliseconds(row[2], row[3]) for row in rows if row and row[1] in _NAMES}
    if mean is None and not statistics:
        raise texts.NoTimesError(texts.fault_in(lines))
    count = texts.whole(lines, r"(?:Total inference requests|Total iterations|Runs): *(\d+)")
    return texts.timing(
        texts.statistics(count, mean=mean, **statistics),
        load=_time(lines, "Session creation time cost"),
        first_run=_time(lines, "First inference time cost"),
    )


def _time(lines: list[str], name: str) -> float | None:
    row = texts.first(lines, rf"{name}: *{texts.NUMBER} *([a-zµμ]+)")
    return texts.milliseconds(row[1], row[2]) if row else None
