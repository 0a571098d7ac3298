"""docs/reference/models.md: every network with its size, published results, and our measurements, from records.

``python -m paddle_mobileseg.benchmark.model_table docs/reference/records --output docs/reference/models.md``
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from paddle_mobileseg import networks, tables
from paddle_mobileseg.benchmark import identity, published
from paddle_mobileseg.benchmark.record import Record, read_folder
from paddle_mobileseg.files import write_text

_PAGE = """# Networks: accuracy, latency, size

Written by `make docs` from the configurations, the catalogue of weights and the records in [records](records); do not
edit it here.

## Sizes and published results

Parameters and multiply-accumulate operations (MACs) are exact, for one image of the recipe's training size. mIoU and
latencies are the authors'; nothing of them was measured here. Latencies of different sources cannot be compared: other
devices, sizes and outputs.

{networks}

Published latencies; frames a second are converted to ms, and what a source does not say is called so:

{published}

{sources}

## Measured here

{conditions}

Median of the network alone, in ms: from the prepared tensor in memory to the whole output in memory. In brackets: the
whole frame, from camera image to labels of its size. `-`: not measured.

{measured}

{missing}

## Files

What the backends read, in MB (1,000,000 bytes). Paddle Lite's files for ARM are about as large as those for x86
([backends.md](backends.md) has both).

{files}
"""


def markdown(records: Sequence[Record]) -> str:
    """The page.

    Args:
        records: of one device, measured in one way; published ones are not needed.

    Raises:
        ValueError: no records, records of several devices, of one network in several sizes, or of one network, backend
            and number of threads measured in several ways; the message lists them.
    """
    own = [record for record in records if record["origin"]["kind"] == "measured"]
    _check(own)
    usable = [record for record in own if identity.why_unusable(record) is None]
    rows, sources = _published()
    return _PAGE.format(
        networks=tables.markdown(_networks()),
        published=tables.markdown(rows),
        sources=sources,
        conditions=_conditions(own),
        measured=tables.markdown(_measured(usable)),
        missing=_missing(own),
        files=tables.markdown(_files(own)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The page as a file."""
    parser = argparse.ArgumentParser(description=markdown.__doc__.splitlines()[0] if markdown.__doc__ else None)
    parser.add_argument("records", nargs="+", type=Path, help="records, or folders of them")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write")
    args = parser.parse_args(arguments)
    try:
        write_text(args.output, markdown(read_folder(*args.records)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _check(records: Sequence[Record]) -> None:
    if not records:
        raise ValueError("no measured records; make them with `mobileseg benchmark --networks all --output DIR`")
    devices = {identity.device_id(record): identity.device_name(record) for record in records}
    if len(devices) > 1:
        raise ValueError(
            f"the records are of {len(devices)} devices: {'; '.join(sorted(devices.values()))}; a table is of one"
        )
    sizes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if (shape := record["model"]["input_shape"]) is not None:
            sizes[identity.network(record)].add(identity.size(shape))
    if several := {name: found for name, found in sizes.items() if len(found) > 1}:
        name, found = next(iter(several.items()))
        raise ValueError(f"{name} was measured in several sizes: {', '.join(sorted(found))}; a table has one for each")
    _check_repetitions(records)


def _check_repetitions(records: Sequence[Record]) -> None:
    """What shares a cell must have been measured in one way: the median of others would be of nothing."""
    first: dict[Hashable, Record] = {}
    for record in records:
        if identity.why_unusable(record) is not None:
            continue
        other = first.setdefault((identity.network(record), _column(record)), record)
        one, two = identity.measured(other), identity.measured(record)
        if differing := [name for name in one if one[name] != two[name]]:
            raise ValueError(
                f"{identity.label(record)} was measured in two ways, which differ in {', '.join(differing)} "
                f"({other['id']} and {record['id']}); a table has one number for each: give the records of one"
            )


def _networks() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("network", "parameters", "MACs", "at (W x H)", "published mIoU, %")]
    for name in networks.names():
        each = networks.get(name)
        found = published.accuracy(name, each.num_classes)
        score = "-" if found is None else f"{found['miou'] * 100:.2f} ({found['dataset']}; {found['source']})"
        height, width = each.size_hw
        rows.append((name, f"{each.parameters:,}", f"{each.macs:,}", f"{width}x{height}", score))
    return rows


def _published() -> tuple[list[tuple[str, ...]], str]:
    """Table of the latencies, and the list of sources that its numbers in brackets stand for."""
    rows: list[tuple[str, ...]] = [("network", "published ms", "conditions", "source")]
    sources: list[str] = []
    for record in sorted(published.records(), key=lambda each: each["model"]["network"]):
        source = published.source(record)
        if source not in sources:
            sources.append(source)
        figure = published.figure(record)
        number = "-" if figure is None else f"{figure[1]:.1f}"
        conditions = "no latency published" if figure is None else published.conditions(record)
        rows.append((record["model"]["network"], number, conditions, f"[{sources.index(source) + 1}]"))
    return rows, _bullets(f"[{number}] {source}" for number, source in enumerate(sources, 1))


def _conditions(records: Sequence[Record]) -> str:
    device = records[0]["device"]
    dates = sorted(record["created"][:10] for record in records)
    commits = {str(record["tool"]["git_commit"])[:7] for record in records if record["tool"]["git_commit"]}
    packages = {f"{name} {number}" for record in records for name, number in record["toolchain"]["packages"].items()}
    facts = {
        "machine": [
            device["cpu"] or device["name"],
            device["logical_cores"] and f"{device['logical_cores']} logical cores",
            device["memory_gib"] and f"{device['memory_gib']} GiB",
            device["os"],
        ],
        "dates (UTC)": dates[:1] if dates[0] == dates[-1] else [f"{dates[0]} to {dates[-1]}"],
        "preset": _values(record["protocol"]["preset"] or "changed" for record in records),
        "threads": _values(record["backend"]["threads"] for record in records),
        "output": _values(record["model"]["output_op"] for record in records),
        "weights": _values(record["model"]["weights"] for record in records),
        "input": _values(record["input"]["kind"] for record in records),
        "frame (W x H)": _values(identity.size([1, 3, *hw]) for r in records if (hw := r["input"]["frame_hw"])),
        "backends": _values(
            each["actual"] and f"{each['actual']} {each['version'] or ''}".strip() for each in _backends(records)
        ),
        "packages": sorted(packages),
        "paddle_mobileseg": [", ".join(_values(record["tool"]["version"] for record in records)), *sorted(commits)],
    }
    return _bullets(f"{name}: {', '.join(filter(None, values))}" for name, values in facts.items() if any(values))


def _measured(records: Sequence[Record]) -> list[tuple[str, ...]]:
    columns = sorted({_column(record) for record in records})
    rows: list[tuple[str, ...]] = [("network", "input (W x H)", *(_column_name(column, records) for column in columns))]
    for name in _names(records):
        own = [record for record in records if identity.network(record) == name]
        cells = [_cell([record for record in own if _column(record) == column]) for column in columns]
        shape = next((record["model"]["input_shape"] for record in own if record["model"]["input_shape"]), None)
        rows.append((name, "-" if shape is None else identity.size(shape), *cells))
    return rows


def _cell(repetitions: Sequence[Record]) -> str:
    """Median of the repetitions' medians: of the network, and in brackets of the frame."""
    numbers = []
    for what in ("network", "frame"):
        found = [(record["timing"] or {}).get(what) for record in repetitions]
        known = [each["median"] for each in found if each is not None and each["median"] is not None]
        numbers.append(f"{median(known):.1f}" if known else "-")
    return numbers[0] if numbers[1] == "-" else f"{numbers[0]} ({numbers[1]})"


def _files(records: Sequence[Record]) -> list[tuple[str, ...]]:
    formats = sorted({record["model"]["format"] for record in records if record["model"]["format"]})
    suffixes = {
        "onnx": "ONNX",
        "lite-x86": ".nb (x86)",
        "lite-arm": ".nb (ARM)",
        "paddle": "Paddle",
        "paddle-legacy": "Paddle, legacy",
    }
    rows: list[tuple[str, ...]] = [("network", *(suffixes.get(each, each) for each in formats))]
    for name in _names(records):
        cells = []
        for wanted in formats:
            fitting = [r for r in records if identity.network(r) == name and r["model"]["format"] == wanted]
            sizes = {size for record in fitting if (size := identity.file_bytes(record)) is not None}
            cells.append(" / ".join(f"{size / 1e6:.2f}" for size in sorted(sizes)) or "-")
        rows.append((name, *cells))
    return rows


def _missing(records: Sequence[Record]) -> str:
    good = {(identity.network(record), _column(record)) for record in records if identity.why_unusable(record) is None}
    lines = []
    for record in records:
        why = identity.why_unusable(record)
        if why and (identity.network(record), _column(record)) not in good:
            lines.append(f"{identity.label(record)}: {' '.join(why.split())[:300]}")
    lines += [f"{name}: not measured" for name in networks.names() if name not in _names(records)]
    tried = {(identity.network(record), _column(record)) for record in records}
    for column in {column for _, column in tried}:
        absent = [name for name in _names(records) if (name, column) not in tried]
        lines += [f"{name} {_column_name(column, records)}: not measured" for name in absent]
    return "Where a number is missing:\n\n" + _bullets(sorted(set(lines))) if lines else "No number is missing."


def _names(records: Sequence[Record]) -> list[str]:
    return sorted({identity.network(record) for record in records})


def _column(record: Record) -> tuple[str, int]:
    return record["backend"]["requested"], record["backend"]["threads"] or 0


def _column_name(column: tuple[str, int], records: Sequence[Record]) -> str:
    backend, threads = column
    if len({_column(record)[1] for record in records}) == 1 or threads == 0:
        return backend
    return f"{backend}, {identity.threads_text(threads)}"


def _backends(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [record["backend"] for record in records]


def _values(values: Iterable[Any]) -> list[str]:
    return sorted({str(value) for value in values if value is not None})


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
