"""What ``mobileseg_lite_run --model`` (deploy/lite/cpp) printed on a board: a line of JSON for each run of it, with the
command before it or without.

Its times are from the input in memory to the output in memory, each run by itself. Nothing proves the labels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.devices.remote_runner import parse_runner_line, timing_sections
from paddle_mobileseg.benchmark.importers import texts
from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.benchmark.timing import Runs
from paddle_mobileseg.benchmark.validity import reasons

TOOL = "mobileseg_lite_run"
_COMMAND = rf"{TOOL} +--(?:model|input|shape|dtype|output|threads|warmup|repeats|power_mode) "
_LINE = r'^\s*\{"shape": *\['
SIGNS = (_COMMAND, _LINE)


def read(lines: Sequence[str]) -> list[Record]:
    """A record for each line of JSON, and for each command that gave none."""
    return [_record(run) for run in texts.runs(lines, _COMMAND, _LINE)]


def _record(lines: list[str]) -> Record:
    made = record.empty()
    made["command"] = texts.word(lines, rf"({texts.PROGRAM}{_COMMAND}.*)")
    made["backend"]["actual"] = "Paddle Lite light predictor"
    try:
        said = _said(lines)
    except (ValueError, texts.NoTimesError) as error:
        return texts.failed(made, str(error))
    told: dict[str, Any] = dict.fromkeys(("model", "input_shape", "threads", "power_mode", "warmup")) | said["settings"]
    made["model"].update(
        input_shape=told["input_shape"] if len(told["input_shape"] or ()) == 4 else None,
        files=[] if told["model"] is None else [texts.file_entry(told["model"])],
    )
    made["backend"].update(version=said["runtime"], threads=told["threads"], power_mode=told["power_mode"])
    if said["runtime"] is not None:
        made["toolchain"]["packages"] = {"paddle_lite": said["runtime"]}
    count = len(said["times_ms"])
    made["protocol"].update(warmup_runs=told["warmup"], min_runs=count, turns=[0] * count)
    made["input"]["count"] = 1
    sections = timing_sections([said])
    made["timing"], made["memory"] = sections["timing"], sections["memory"]
    runs = Runs(network=[round(time * 1e6) for time in said["times_ms"]], inputs=[0] * count)
    why = reasons(runs, Protocol(None, 0, 0.0, min_runs=1, min_s=0.0))
    return record.judge(made, why + texts.no_warmup(made))


def _said(lines: list[str]) -> dict[str, Any]:
    """The line of JSON; a terminal's narrow window may have made several of it.

    Raises:
        texts.NoTimesError: there is none that is whole.
        ValueError: its values make no sense.
    """
    start = next((number for number, line in enumerate(lines) if re.match(_LINE, line)), None)
    if start is None:
        raise texts.NoTimesError(texts.fault_in(lines))
    joined = ""
    for line in lines[start:]:
        joined += line
        if line.rstrip().endswith("}"):
            break
    try:
        json.loads(joined)
    except (ValueError, RecursionError):
        raise texts.NoTimesError("the text ends within the line of JSON; give all that the program printed") from None
    return parse_runner_line(joined)
