"""The report: what the other commands wrote, as one HTML page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from paddle_mobileseg import __version__
from paddle_mobileseg.benchmark.record import refuse_to_replace
from paddle_mobileseg.data.palette import VOID_COLOUR, check_palette
from paddle_mobileseg.files import write_text
from paddle_mobileseg.report import measurements, sections
from paddle_mobileseg.report.benchmark_entries import Entry
from paddle_mobileseg.report.number_text import NOT_MEASURED, percent
from paddle_mobileseg.report.pictures import (
    DISAGREEMENT_COLOURS,
    IGNORED,
    RIGHT,
    UNJUDGED,
    WRONG,
    Strip,
    choose,
    find_samples,
    read_strip,
)
from paddle_mobileseg.report.reading import BundleFiles, RunFiles, number, read_bundle, read_records, read_run

MAX_STRIPS = 6


def write_report(
    run_dir: str | Path,
    out_html: str | Path,
    bundle_dirs: Sequence[str | Path] = (),
    records: Sequence[str | Path] = (),
) -> Path:
    """Write one HTML file about a trained network. Files are read, nothing is computed again.

    Of the run folder are read, as far as they exist: ``log.jsonl``, ``config.yml``, ``environment.json``, ``val.json``,
    ``best_model/checkpoint.json`` and in ``val_samples`` the files ``NNN_image.jpg`` (or ``.png``), ``NNN_label.png``
    and ``NNN_prediction.png`` (8-bit class indices, 255 = not judged). Whatever is missing is shown as missing, with
    the command that makes it.

    Args:
        run_dir: the ``--save_dir`` of a training.
        out_html: the file to write; it is replaced as a whole.
        bundle_dirs: exported networks, each with its ``deploy.yaml``.
        records: benchmark records, or folders of them. Shown are those of the bundles (without bundles: of the run); a
            file that is no record is named on the page.

    Returns:
        ``out_html``.

    Raises:
        FileNotFoundError: no run folder, one without log and evaluation, or a bundle, record or folder of records that
            is not there.
        ValueError: a damaged file; the message names it.
        OSError: the page cannot be written, or would take the place of a record.
    """
    refuse_to_replace(out_html)
    run = read_run(run_dir)
    bundles = [read_bundle(folder) for folder in bundle_dirs]
    entries, said = read_records(run, bundles, records)
    page = template("template.html").render(
        {
            **_view(run, bundles, entries),
            "notices": sections.notices(run, bundles) + said,
            "commands": sections.commands(run, bundles, entries, [str(path) for path in records], str(out_html)),
        }
    )
    write_text(out_html, page)
    return Path(out_html)


def template(name: str) -> jinja2.Template:
    """A template of this package; what it shows is escaped, and a value that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("paddle_mobileseg.report", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(fixed=_fixed, percent=percent, short=_short, tolerance=_tolerance, noted=_noted)
    return environment.get_template(name)


def _fixed(value: float | None, digits: int = 1, missing: str = NOT_MEASURED) -> str:
    """A number with a fixed count of decimals."""
    return missing if value is None else f"{value:.{digits}f}"


def _short(value: float | None) -> str:
    """Three significant digits."""
    return NOT_MEASURED if value is None else f"{value:.3g}"


def _tolerance(value: Any) -> str:
    """A tolerance: a number, or several by name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(number(part))}" for name, part in value.items())
    return _short(number(value))


def _noted(value: Any) -> Any:
    """What a record says about how it was made."""
    return "not recorded" if value is None else value


def _view(run: RunFiles, bundles: list[BundleFiles], entries: list[Entry]) -> dict[str, Any]:
    """What the template shows of the files."""
    config = _parsed_config(run)
    names, palette = _classes(run, bundles)
    samples = find_samples(run.folder)
    strips = [read_strip(run.folder, name, palette, names) for name in choose(samples, MAX_STRIPS)]
    return {
        "title": sections.title(run, config, bundles),
        "dataset": sections.dataset(run, config),
        "version": __version__,
        "cards": sections.headline(run, bundles, entries),
        "charts": sections.charts(run),
        "training": sections.training_summary(run),
        "classes": sections.class_rows(run, names, palette),
        "class_curves": sections.class_curves(run, names, palette),
        "scores": sections.scores(run),
        "strips": strips,
        "samples_total": len(samples),
        "outcomes": [
            {"name": name, "colour": sections.css_colour(DISAGREEMENT_COLOURS, value)}
            for name, value in (("right", RIGHT), ("wrong", WRONG), ("ignored", UNJUDGED))
        ],
        "legend": _legend(strips, names, palette),
        "parity": sections.parity_rows(bundles),
        "files": sections.file_rows(bundles),
        "latency": measurements.latency_rows(entries),
        "without_numbers": measurements.without_numbers(entries),
        "machines": measurements.machines(run, entries),
        "config": run.config,
        "hint": sections.hints(run, bundles),
    }


def _parsed_config(run: RunFiles) -> dict[str, Any]:
    """The configuration as a dict; empty when there is none."""
    stored = (run.checkpoint or run.scores or {}).get("config")
    if isinstance(stored, dict):
        return stored
    try:
        content = yaml.safe_load(run.config or "{}")
    except yaml.YAMLError as error:
        raise ValueError(f"{run.folder / 'config.yml'} is damaged: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def _classes(run: RunFiles, bundles: list[BundleFiles]) -> tuple[list[str], np.ndarray | None]:
    """Class names and palette, from the checkpoint or else from a bundle; the names else from the scores."""
    for source in (run.checkpoint, *(bundle.about for bundle in bundles)):
        if source and source.get("class_names") and source.get("palette"):
            names = [str(name) for name in source["class_names"]]
            return names, check_palette(source["palette"], len(names))
    return list((run.scores or {}).get("iou") or {}), None


def _legend(strips: list[Strip], names: list[str], palette: np.ndarray | None) -> list[dict[str, str]]:
    """Name and CSS colour of each value that occurs in the strips."""
    present = set().union(*(strip.values for strip in strips))
    entries = [
        {"name": names[i] if i < len(names) else f"class {i}", "colour": sections.css_colour(palette, i)}
        for i in sorted(present - {IGNORED})
    ]
    if IGNORED in present:
        entries.append({"name": "no label", "colour": sections.css_colour(np.array([VOID_COLOUR]), 0)})
    return entries
