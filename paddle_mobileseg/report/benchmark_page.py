"""The benchmark page: what the records say, as one HTML file that needs no network, and no script to be read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddle_mobileseg import __version__
from paddle_mobileseg.benchmark import published
from paddle_mobileseg.benchmark.record import STAGES, refuse_to_replace
from paddle_mobileseg.files import write_text
from paddle_mobileseg.report import benchmark_provenance, benchmark_rows, benchmark_sections
from paddle_mobileseg.report.benchmark_entries import (
    STAGE_NAMES,
    Entry,
    clean_command,
    is_cut,
    make_entries,
    own_entries,
    read_records,
    same_networks,
    with_published_accuracy,
)
from paddle_mobileseg.report.benchmark_pictures import class_colours, comparisons, share_text
from paddle_mobileseg.report.html import template
from paddle_mobileseg.report.number_text import mb_text, ms_text, records_text


def write_benchmark_report(sources: Sequence[Path], out_html: Path, command: str | None = None) -> Path:
    """Write one HTML file about benchmark records. Only records and the pictures beside them are read.

    Published records of the same networks are shown beside them, told apart everywhere. A record that is damaged, or a
    picture that cannot be read, is named on the page and does not stop it.

    Args:
        sources: record files, or folders that are searched with all below them.
        out_html: the file to write; it is replaced as a whole.
        command: that repeats the page, to show at its end.

    Returns:
        ``out_html``.

    Raises:
        FileNotFoundError: a source is not there.
        ValueError: there is no usable record file in the sources.
        OSError: the page cannot be written, or would take the place of a record.
    """
    refuse_to_replace(out_html)
    unreadable: list[str] = []
    found = read_records(sources, unreadable)
    if not found:
        names = ", ".join(map(str, sources))
        if unreadable:
            more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
            raise ValueError(f"no benchmark record in {names} can be read: {unreadable[0]}{more}")
        raise ValueError(f"there is no benchmark record in {names}; `mobileseg benchmark --output FOLDER` makes them")
    beside = same_networks([record for record, _ in found], published.records())
    entries = with_published_accuracy(make_entries([*found, *((record, None) for record in beside)]))
    script = script_text()
    page = template("benchmark.html").render(
        **_view(entries, unreadable), script=script, script_hash=script_hash(script), command=clean_command(command)
    )
    write_text(out_html, page)
    return Path(out_html)


def script_text() -> str:
    """The page's script, which sorts, filters and moves the slider."""
    return template("benchmark_script.html").render()


def script_hash(script: str) -> str:
    """As a content security policy names a script: no other one runs, whatever a record holds."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _view(entries: Sequence[Entry], unreadable: Sequence[str]) -> dict[str, Any]:
    """Everything that the template shows."""
    own = own_entries(entries)
    colours = benchmark_sections.backend_colours(entries)
    pictures, picture_count = comparisons(own)
    dates = sorted(entry.record["created"][:10] for entry in own)
    return {
        "version": __version__,
        "title": _title(own),
        "dates": dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
        "entries": entries,
        "filters": _filters(entries),
        "cards": benchmark_sections.headline(entries),
        "notices": benchmark_sections.notices(entries),
        "problems": benchmark_sections.problems(entries),
        "unreadable": unreadable,
        "charts": benchmark_sections.accuracy_charts(entries, colours),
        "left_out": benchmark_sections.left_out(own),
        "size_charts": benchmark_sections.size_charts(entries, colours),
        "stages": benchmark_rows.stages(entries),
        "stage_names": [(stage, STAGE_NAMES[stage]) for stage in STAGES],
        "spreads": benchmark_rows.spreads(entries),
        "operators": benchmark_rows.operators(entries),
        "memory": benchmark_rows.memory(entries),
        "pictures": pictures,
        "picture_count": picture_count,
        "classes": benchmark_rows.classes(entries, class_colours(own)),
        "thermal": benchmark_rows.thermal(entries),
        "columns": benchmark_provenance.COLUMNS,
        "table": benchmark_provenance.table(entries),
        "provenance": benchmark_provenance.provenance(entries),
        "ms": ms_text,
        "mb": mb_text,
        "records_text": records_text,
        "is_cut": is_cut,
        "share_text": share_text,
    }


def _title(own: Sequence[Entry]) -> str:
    networks = sorted({entry.network for entry in own})
    places = sorted({entry.device for entry in own})
    what = networks[0] if len(networks) == 1 else f"{len(networks)} networks"
    return f"{what} on {places[0] if len(places) == 1 else f'{len(places)} devices'}"


def _filters(entries: Sequence[Entry]) -> list[tuple[str, str, list[str]]]:
    """(name, attribute, values) of the choices that narrow the page."""
    return [
        ("Device", "device", sorted({entry.device for entry in entries})),
        ("Network", "network", sorted({entry.network for entry in entries})),
        ("Backend", "backend", sorted({entry.backend for entry in entries})),
        ("Origin", "kind", sorted({entry.kind for entry in entries})),
    ]
