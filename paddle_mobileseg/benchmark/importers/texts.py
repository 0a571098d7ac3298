"""What the importers share: text as it comes from terminals and logs, numbers with units, several runs in one text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.benchmark.validity import too_few

NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)\b)"
PROGRAM = r"(?<![^\s$#>])[^\s$#>]*"  # its folder, without what a shell puts in front of a command

_MS = {"s": 1e3, "sec": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "usec": 1e-3, "ns": 1e-6}
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_PREFIXES = re.compile(
    r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d+\s+\d+\s+\d+ [VDIWEF] [^:]*: ?"  # adb logcat
    r"|[VDIWEF]/[^(]*\(\s*\d+\): ?"  # adb logcat -v brief
    r"|\[[VDIWEF] [^\]]*\] ?"  # Paddle Lite's own log
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,0-9]*(?:Z|[+-]\d\d:?\d\d)? +)+"  # time stamps of logs
)
_FAULT = re.compile(
    r"\berror\b|\[E:|fail(?:ed|ure)|\bfatal\b|\babort|segmentation fault|terminate called|not exist|illegal instruction"
    r"|\bkilled\b|exception|cannot|could not|no such file",
    re.IGNORECASE,
)


class NoTimesError(Exception):
    """The run that a text is of gave no times; the message says why."""


def lines_of(text: str) -> list[str]:
    """Lines without colours, line ends of any system, and what logs put in front."""
    lines = _ESCAPE.sub("", text.lstrip("\ufeff")).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [_PREFIXES.sub("", line, count=1) for line in lines]


def runs(lines: Sequence[str], *marks: str) -> list[list[str]]:
    """Split a text at the runs of a tool.

    Args:
        marks: patterns of lines that each run has at most once, in their order: where one comes that is not after the
            previous one, another run begins.
    """
    patterns = [re.compile(mark) for mark in marks]
    found: list[list[str]] = [[]]
    last = -1
    for line in lines:
        rank = next((i for i, pattern in enumerate(patterns) if pattern.search(line)), None)
        if rank is not None:
            if rank <= last:
                found.append([])
            last = rank
        found[-1].append(line)
    return found


def first(lines: Iterable[str], pattern: str) -> re.Match[str] | None:
    """The first match of a pattern in any of the lines."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return next((match for line in lines if (match := compiled.search(line))), None)


def word(lines: Iterable[str], pattern: str) -> str | None:
    """The first group of the first match, stripped; ``None`` where there is none or it is empty."""
    match = first(lines, pattern)
    return match[1].strip() or None if match else None


def whole(lines: Iterable[str], pattern: str, least: int = 1) -> int | None:
    """As :func:`word`, a whole number of at least ``least``."""
    text = word(lines, pattern)
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) and int(text) >= least else None


def factor(unit: str) -> float:
    """Milliseconds in a unit of time.

    Raises:
        ValueError: it is none.
    """
    if unit.lower() not in _MS:
        raise ValueError(f"times have the unit {unit!r}, expected one of {', '.join(_MS)}; give the tool's own text")
    return _MS[unit.lower()]


def milliseconds(number: str, unit: str) -> float | None:
    """A time in ms; ``None`` for zero, which says no more than that it was not measured.

    Raises:
        NoTimesError: not finite, or negative.
        ValueError: not a unit of time.
    """
    value = float(number) * factor(unit)
    if not math.isfinite(value) or value < 0:
        raise NoTimesError(f"a time is {number} {unit}")
    return value or None


def statistics(count: int | None = None, **times: float | None) -> dict[str, Any] | None:
    """A summary; ``None`` where it would say nothing."""
    return record.summary(count=count, **times) if any(each is not None for each in times.values()) else None


def timing(
    network: dict[str, Any] | None = None,
    load: float | None = None,
    first_run: float | None = None,
    **stages: dict[str, Any] | None,
) -> dict[str, Any]:
    """The record's ``timing``.

    Raises:
        NoTimesError: there are no summaries.
    """
    if network is None and not any(stages.values()):
        raise NoTimesError("all times are 0, less than the text has digits for")
    known_first = load is not None or first_run is not None
    return {
        "unit": "ms",
        "first": {"load": load, "network": first_run} if known_first else None,
        "network": network,
        "frame": None,
        "stages": {**dict.fromkeys(record.STAGES), **stages},
    }


def file_entry(path: str, size: int | None = None) -> dict[str, Any]:
    """One of the record's ``model.files``: a name without its folder, as either system writes it."""
    name = PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name
    return {"name": name or path, "bytes": size, "sha256": None}


def size_of(number: str, unit: float) -> int | None:
    """Bytes of a number of units; ``None`` for zero and what is no number."""
    value = float(number) * unit
    return round(value) or None if math.isfinite(value) and value > 0 else None


def shape_of(text: str | None, separator: str) -> list[int] | None:
    """``"1x3x224x224"`` as a list; ``None`` for other than four sides of at least 1."""
    sides = [] if text is None else text.strip().split(separator)
    if len(sides) != 4 or not all(side.strip().isdecimal() and int(side) > 0 for side in sides):
        return None
    return [int(side) for side in sides]


def fault_in(lines: Sequence[str]) -> str:
    """What a text without times says about it."""
    said = [line.strip() for line in lines if line.strip()]
    fault = next((line for line in said if _FAULT.search(line)), None)
    return fault or f"the text ends before the times; its last line is {said[-1] if said else ''!r}"


def failed(made: Record, message: str) -> Record:
    """Make a record one of a failure."""
    return record.fail(made, "NoTimes", "measure", message)


def usable(made: Record, why: Sequence[str] = ()) -> Record:
    """Make a record one whose times may be used, unless it says itself that there were too few runs or no warm-up.

    Args:
        made: with its ``protocol`` and ``timing``.
        why: further reasons against it.
    """
    return record.judge(made, [*why, *_too_short(made), *no_warmup(made)])


def _too_short(made: Record) -> list[str]:
    timing = made["timing"]
    count = next(each["count"] for each in (timing["network"], *timing["stages"].values()) if each is not None)
    return [] if count is None else too_few(count)


def no_warmup(made: Record) -> list[str]:
    """The reason against a record that says of its warm-up, which is runs or seconds, that there was none."""
    said = [each for each in (made["protocol"]["warmup_runs"], made["protocol"]["warmup_s"]) if each is not None]
    if not said or any(said):
        return []
    return ["no warm-up: the first run of the process is one of those that count"]
