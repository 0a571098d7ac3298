"""Text of ncnn's ``benchncnn``: a line for each model.

Its times, milliseconds, are those of giving the input, running, and taking the output, to host memory on a GPU too. The
input is a constant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.importers import texts
from paddle_mobileseg.benchmark.record import Record

TOOL = "ncnn's benchncnn"
SIGNS = (r"\bmin = +\S+ +max = +\S+ +avg = +\S+", r"\bloop_count *= *\d+", r"\bbenchncnn\b")

_COMMAND = r"\bbenchncnn(?:\.exe)?(?: +-?\d+)+"
_ROW = re.compile(
    rf"^\s*(\S.*?)\s+min = +{texts.NUMBER}\s+max = +{texts.NUMBER}\s+avg = +{texts.NUMBER} *([a-zµμ]*)\s*$",
    re.IGNORECASE,
)


def read(lines: Sequence[str]) -> list[Record]:
    """A record for each line with times, and for each model whose file could not be read."""
    return [made for run in texts.runs(lines, _COMMAND, r"\bloop_count *=") for made in _records(run)]


def _records(lines: list[str]) -> list[Record]:
    made: list[Record] = []
    missing: set[str] = set()
    for line in lines:
        if fault := re.search(r"fopen (\S+) failed", line):
            missing.add(_name(fault[1]))
        elif row := _ROW.match(line):
            made.append(_record(lines, row, missing))
    seen = {each["model"]["network"] for each in made}
    for name in sorted(missing - seen):
        made.append(texts.failed(_described(lines, name), f"fopen {name}.param failed"))
    if not made:
        made.append(texts.failed(_described(lines, None), texts.fault_in(lines)))
    return made


def _record(lines: list[str], row: re.Match[str], missing: set[str]) -> Record:
    name = _name(row[1])
    made = _described(lines, name)
    try:
        if name in missing:
            raise texts.NoTimesError(f"fopen {name}.param failed; the times are of an empty network")
        low, high, mean = (texts.milliseconds(number, row[5] or "ms") for number in row.group(2, 3, 4))
        network = texts.statistics(made["protocol"]["min_runs"], min=low, max=high, mean=mean)
        made["timing"] = texts.timing(network)
    except texts.NoTimesError as error:
        return texts.failed(made, str(error))
    return texts.usable(made)


def _name(said: str) -> str:
    """A network's name: what a line calls it is a name, or the file that was given."""
    return str(texts.file_entry(said)["name"]).removesuffix(".param")


def _described(lines: list[str], name: str | None) -> Record:
    made = record.empty()
    made["command"] = texts.word(lines, rf"({texts.PROGRAM}benchncnn(?:\.exe)?(?: +-?\d+)+.*)")
    made["model"].update(network=name, format="ncnn")
    gpu = texts.whole(lines, r"\bgpu_device *= *(-?\d+)", least=-1)
    cooling = texts.whole(lines, r"\bcooling_down *= *(\d+)", least=0)
    made["backend"].update(
        actual=None if gpu is None else "ncnn CPU" if gpu == -1 else f"ncnn Vulkan, GPU {gpu}",
        threads=texts.whole(lines, r"\bnum_threads *= *(\d+)"),
        power_mode=texts.word(lines, r"\bpowersave *= *(\d+)"),
        options={} if cooling is None else {"cooling_down": cooling},
    )
    if gpu is not None and gpu >= 0:
        made["device"]["gpu"] = texts.word(lines, rf"^\s*\[{gpu} ([^\]]+)\]")
    made["input"]["kind"] = "random"
    made["protocol"]["min_runs"] = texts.whole(lines, r"\bloop_count *= *(\d+)")
    return made
