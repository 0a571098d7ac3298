"""Times per operator and counts per layer as CSV and as text for a terminal."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paddle_mobileseg import tables
from paddle_mobileseg.benchmark.profiling.events import Operators, longest_first
from paddle_mobileseg.benchmark.profiling.layers import LayerRow
from paddle_mobileseg.files import write_text

TOP = 15
_BAR = 20  # characters of 100 %
_LONGEST_NAME = 60


def write_csv(rows: Sequence[Mapping[str, Any] | LayerRow], path: str | Path) -> Path:
    """Operators or layers as a CSV file with a header; shapes as ``1x3x128x128``, unknown ones empty. Atomic.

    Returns:
        the file; where one of this name with other content is there, that stays and this one gets a number.

    Raises:
        ValueError: no rows.
        OSError: the file cannot be written.
    """
    if not rows:
        raise ValueError(f"there are no rows to write to {path}")
    as_dicts = [asdict(row) if isinstance(row, LayerRow) else dict(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(as_dicts[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in as_dicts)
    path = target = Path(path)
    for number in itertools.count(2):
        if not target.exists() or target.read_bytes() == text.getvalue().encode():
            break
        target = path.with_name(f"{path.stem}-{number}{path.suffix}")
    write_text(target, text.getvalue())
    return target


def by_type(operators: Iterable[Mapping[str, Any]]) -> Operators:
    """Operators of one type as one row: ``{"name", "type", "ms", "calls"}``, both names the type; the longest first."""
    sums: dict[str, dict[str, Any]] = {}
    for each in operators:
        row = sums.setdefault(each["type"], {"name": each["type"], "type": each["type"], "ms": 0.0, "calls": 0})
        row["ms"] += each["ms"]
        row["calls"] += each["calls"]
    return longest_first(sums.values())


def operator_text(operators: Sequence[Mapping[str, Any]], top: int = TOP) -> str:
    """Two tables: times by type, and the ``top`` operators; shares are of all operators together."""
    whole = sum(each["ms"] for each in operators)
    types = by_type(operators)
    head = ("ms", "share", "", "calls")
    kinds = [("operator type", *head), *((each["type"], *_time_cells(each, whole)) for each in types[:top])]
    longest = longest_first(dict(each) for each in operators)
    single = [("operator", "type", *head)]
    single += [(_short(each["name"]), each["type"], *_time_cells(each, whole)) for each in longest[:top]]
    return "\n".join(
        [
            f"time by type of operator ({_of(len(types), top)}):",
            tables.plain(kinds),
            "",
            f"operators that take longest ({_of(len(operators), top)}):",
            tables.plain(single),
        ]
    )


def layer_text(rows: Sequence[LayerRow], top: int = TOP) -> str:
    """The ``top`` layers by MACs, and the sums of all."""
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    lines = [("layer", "type", "input", "output", "parameters", "MACs", "share", "")]
    for row in sorted(rows, key=lambda each: (-each.macs, each.name))[:top]:
        share = row.macs / macs if macs else 0.0
        shapes = (_cell(row.input_shape) or "-", _cell(row.output_shape) or "-")
        cells = (f"{row.parameters:,}", f"{row.macs:,}", f"{share:.1%}", _bar(share))
        lines.append((_short(row.name), row.type, *shapes, *cells))
    title = f"layers with the most multiply-accumulate operations ({_of(len(rows), top)}):"
    return f"{title}\n{tables.plain(lines)}\nall layers: {parameters:,} parameters, {macs:,} MACs"


def _time_cells(each: Mapping[str, Any], whole: float) -> tuple[str, ...]:
    share = each["ms"] / whole if whole else 0.0
    return f"{each['ms']:.3f}", f"{share:.1%}", _bar(share), str(each["calls"])


def _bar(share: float) -> str:
    return "#" * round(share * _BAR)


def _of(count: int, top: int) -> str:
    return f"{top} of {count}" if count > top else f"all {count}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "" if value is None else value
