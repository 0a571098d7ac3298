"""The check as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from paddle_mobileseg import tables
from paddle_mobileseg.data.check.findings import LEVELS, Finding, plural, shown
from paddle_mobileseg.data.check.images import size_statistics
from paddle_mobileseg.data.check.labels import split_table
from paddle_mobileseg.data.check.run import Checked
from paddle_mobileseg.data.check.survey import Survey

EXAMPLES = 5  # files named for each finding


def summary(checked: Checked) -> str:
    """Splits, class histogram, findings with a few files each, suggested class weights, and the count of findings."""
    blocks = ["\n".join(split_line(survey) for survey in checked.surveys.values()), _histogram(checked)]
    blocks += ["\n".join(_finding_lines(finding)) for finding in checked.findings]
    if checked.loss_line is not None:
        blocks.append(
            "suggested class weights (median frequency balancing), to paste into the configuration where the loss is "
            f"cross entropy:\n{checked.loss_line}"
        )
    blocks.append(count_line(checked))
    return "\n\n".join(block for block in blocks if block)


def count_line(checked: Checked) -> str:
    """``1 error, 0 warnings, 2 notes``."""
    return ", ".join(plural(checked.count(level), level) for level in LEVELS)


def split_line(survey: Survey) -> str:
    """What was read of a split, and how large the images are."""
    split, sizes = survey.split, size_statistics(survey)
    parts = [plural(len(split.pairs), "pair"), f"{survey.read:,} images and {survey.labelled:,} label maps read"]
    if sizes and sizes["distinct"] == 1:
        parts.append(f"all {sizes['width']['min']} x {sizes['height']['min']}")
    elif sizes:
        width, height = sizes["width"], sizes["height"]
        parts.append(
            f"{sizes['distinct']} sizes from {width['min']} x {height['min']} to {width['max']} x {height['max']} "
            f"(median {width['median']} x {height['median']})"
        )
    pixels = int(survey.class_pixels.sum()) + survey.ignored_pixels + survey.wrong_pixels
    if pixels:
        parts.append(f"{survey.ignored_pixels / pixels:.1%} of the pixels ignored")
    return f"{split.name}: {', '.join(parts)}"


def _histogram(checked: Checked) -> str:
    judged = {name: survey for name, survey in checked.surveys.items() if survey.labelled}
    if not judged:
        return ""
    columns = [split_table(survey) for survey in judged.values()]
    rows = [["class", *(text for name in judged for text in (f"{name} pixels", "share", "images"))]]
    for cells in zip(*columns, strict=True):
        row = [f"{cells[0]['class']} {shown(str(cells[0]['name']))}"]
        for cell in cells:
            row += [f"{cell['pixels']:,}", f"{cell['share']:.2%}", f"{cell['images']:,}"]
        rows.append(row)
    return tables.plain(rows)


def _finding_lines(finding: Finding) -> Iterator[str]:
    where = f" ({', '.join(finding.splits)})" if finding.splits else ""
    yield f"{finding.level}: {finding.message} [{finding.code}]{where}"
    if finding.advice:
        yield f"  -> {finding.advice}"
    for item in finding.items[:EXAMPLES]:
        yield f"  {item.text()}"
    if len(finding.items) > EXAMPLES:
        yield f"  ... and {len(finding.items) - EXAMPLES:,} more"
