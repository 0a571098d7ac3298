"""The page about a data set: what ``mobileseg check-dataset`` found, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg import __version__
from paddle_mobileseg.data.check import Checked, Split
from paddle_mobileseg.data.check import duplicates as rules
from paddle_mobileseg.data.check.balance import METHOD
from paddle_mobileseg.data.check.findings import LEVELS, Finding, Item, shown
from paddle_mobileseg.data.check.images import size_statistics
from paddle_mobileseg.data.check.labels import split_table
from paddle_mobileseg.data.check.survey import Survey
from paddle_mobileseg.data.palette import VOID_COLOUR
from paddle_mobileseg.data.reading import read_image, read_label
from paddle_mobileseg.files import write_text
from paddle_mobileseg.report.html import template
from paddle_mobileseg.report.pictures import Picture, drawing, photo
from paddle_mobileseg.report.sections import css_colour

WRONG_COLOUR = (255, 0, 255)  # of label values that are no class

_SIDE = 280  # pixels of the longer side of a picture
_PICTURED = 4  # files shown in pictures for each finding
_NAMED = 50  # files named for each finding
_DIMMED = 0.4  # brightness of what is not the class shown

# Findings whose files cannot be shown, or of which one sees nothing wrong.
_NOT_PICTURED = (
    "file-missing", "image-unreadable", "label-unreadable", "listed-twice", "listed-across", "image-alpha",
    "image-16-bit",
)  # fmt: skip


def write_page(checked: Checked, path: str | Path, command: str = "", subtitle: str = "") -> None:
    """Write one HTML file that needs no network and no script; a few of the data set's files are read again for it.

    Args:
        command: the command line, to show at the end.
        subtitle: which data set it is.

    Raises:
        OSError: the page cannot be written.
    """
    splits = [survey.split for survey in checked.surveys.values()]
    view = {
        "version": __version__,
        "subtitle": shown(subtitle),
        "levels": [{"name": level, "count": checked.count(level)} for level in LEVELS],
        "splits": [_split_view(survey) for survey in checked.surveys.values()],
        "findings": [_finding_view(finding, splits) for finding in checked.findings],
        "classes": _class_rows(checked.surveys),
        "samples": _samples(checked.surveys),
        "loss_line": checked.loss_line,
        "method": METHOD,
        "near": {
            "bits": rules.HASH_BITS,
            "mean": f"{rules.MEAN_DIFFERENCE:g}",
            "largest": rules.LARGEST_DIFFERENCE,
            "correlation": f"{rules.CORRELATION:g}",
        },
        "command": shown(command),
    }
    write_text(path, template("dataset.html").render(view))


def _split_view(survey: Survey) -> dict[str, Any]:
    pixels = int(survey.class_pixels.sum()) + survey.ignored_pixels + survey.wrong_pixels
    return {
        "name": survey.split.name,
        "pairs": len(survey.split.pairs),
        "read": survey.read,
        "labelled": survey.labelled,
        "ignored": survey.ignored_pixels / pixels if pixels else None,
        "wrong": survey.wrong_pixels / pixels if pixels else None,
        "sizes": size_statistics(survey),
        "modes": ", ".join(f"{mode} {count:,}" for mode, count in survey.modes.most_common()),
    }


def _class_rows(surveys: dict[str, Survey]) -> list[dict[str, Any]]:
    """A row for each class, with a cell for each split; bars are relative to the most frequent class."""
    judged = {name: survey for name, survey in surveys.items() if survey.labelled}
    tables = {name: split_table(survey) for name, survey in judged.items()}
    if not tables:
        return []
    largest = max(cell["share"] for cells in tables.values() for cell in cells) or 1.0
    split = next(iter(judged.values())).split
    return [
        {
            "name": f"{number} {shown(name)}",
            "colour": css_colour(split.palette, number),
            "cells": [
                {"split": name, "width": f"{100 * cells[number]['share'] / largest:.2f}", **cells[number]}
                for name, cells in tables.items()
            ],
        }
        for number, name in enumerate(split.class_names)
    ]


def _finding_view(finding: Finding, splits: Sequence[Split]) -> dict[str, Any]:
    items = finding.items if finding.code not in _NOT_PICTURED else ()
    split = next((s for s in splits if s.name in finding.splits), splits[0] if splits else None)
    pictured = [_pictures(item, split) for item in items[:_PICTURED] if split is not None]
    return {
        "level": finding.level,
        "code": finding.code,
        "splits": ", ".join(finding.splits),
        "message": finding.message,
        "advice": finding.advice,
        "count": len(finding.items),
        "lines": [item.text() for item in finding.items[:_NAMED]],
        "rest": max(len(finding.items) - _NAMED, 0),
        "pictures": [figure for figures in pictured for figure in figures],
    }


def _pictures(item: Item, split: Split) -> list[dict[str, Any]]:
    """A picture, or ``None``, with a caption for each file of an item."""
    figures = []
    for path, is_label in ((item.image, False), (item.label, True), (item.other, False)):
        if path is not None:
            name = f"{'label ' if is_label else ''}{Path(shown(path)).name}"
            figures.append({"picture": _picture(path, is_label, split, name), "caption": name})
    return figures


def _picture(path: str, is_label: bool, split: Split, alt: str) -> Picture | None:
    """The picture of a file, or ``None`` where it cannot be read."""
    try:
        if is_label:
            try:
                return drawing(label_colours(read_label(path), split), alt, _SIDE)
            except ValueError:
                return drawing(read_image(path), alt, _SIDE)  # a colour image
        return photo(read_image(path), alt, _SIDE)
    except Exception:  # such files are what the page is about
        return None


def label_colours(label: np.ndarray, split: Split) -> np.ndarray:
    """Labels [H, W] as stored, in the classes' colours; ignored pixels black, values that are no class magenta.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    number = label.astype(np.int64) - split.first
    good = (number >= 0) & (number < split.num_classes)
    colours = np.vstack([split.palette, [WRONG_COLOUR], [VOID_COLOUR]]).astype(np.uint8)
    indices = np.where(good, number, split.num_classes)
    if split.ignored is not None:
        indices[label == split.ignored] = split.num_classes + 1
    return colours[indices]


def _samples(surveys: dict[str, Survey]) -> list[dict[str, Any]]:
    """For each class a few images with this class in its colour and the rest dimmed; of train where it occurs there."""
    judged = [survey for survey in surveys.values() if survey.class_images.any()]
    if not judged:
        return []
    split = judged[0].split
    most = 3 if split.num_classes <= 20 else 2 if split.num_classes <= 60 else 1
    rows = []
    for number, name in enumerate(split.class_names):
        survey = next((each for each in judged if each.class_images[number]), None)
        figures = [] if survey is None else _class_figures(survey, number, most)
        rows.append(
            {"name": f"{number} {shown(name)}", "colour": css_colour(split.palette, number), "figures": figures}
        )
    return rows


def _class_figures(survey: Survey, number: int, most: int) -> list[dict[str, Any]]:
    figures = []
    for _, (index, pixels) in sorted(survey.examples[number].items())[:most]:
        image, label = survey.split.pairs[index]
        name = Path(shown(image)).name
        alt = f"{name}: class {shown(survey.split.class_names[number])}"
        try:
            assert label is not None
            picture = photo(highlight(read_image(image), read_label(label), survey.split, number), alt, _SIDE)
        except Exception:  # an image that differs in size from its label, or is gone by now
            picture = None
        figures.append({"picture": picture, "caption": f"{name}, {survey.split.name}, {pixels:,} pixels"})
    return figures


def highlight(image: np.ndarray, label: np.ndarray, split: Split, number: int) -> np.ndarray:
    """One class of an image in its colour, mixed with the image, with a white outline; the rest gray and dark.

    Args:
        image: uint8 [H, W, 3], RGB.
        label: integers [H, W] as stored.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: sizes differ.
    """
    if image.shape[:2] != label.shape:
        raise ValueError(f"image {image.shape[:2]} and label {label.shape} (height, width) differ in size")
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colour = np.broadcast_to(split.palette[number], image.shape)
    chosen = label == number + split.first
    result = np.where(chosen[:, :, None], (0.35 * image + 0.65 * colour), gray * _DIMMED).astype(np.uint8)
    width = max(max(label.shape) // _SIDE, 1)  # still seen when made smaller
    outline = cv2.morphologyEx(chosen.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((width + 1, width + 1), np.uint8))
    result[outline > 0] = 255
    return result
