"""Rules about label files: their values, their colours, and which classes occur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paddle_mobileseg.data.check.findings import ERROR, NOTE, WARNING, Finding, Item, listed, plural, shown
from paddle_mobileseg.data.check.pair import FEW_COLOURS
from paddle_mobileseg.data.check.survey import Survey

CONVERT = (
    "`mobileseg import-dataset --images IMAGES --labels MASKS --output FOLDER` makes class indices of colours or gray "
    "levels"
)


def label_findings(survey: Survey) -> Iterator[Finding]:
    """What is wrong with the labels of one split."""
    yield from _values(survey)
    yield from _binary(survey)
    yield from _colours(survey)
    yield from _ignored(survey)
    yield from _palettes(survey)
    lossy = survey.found["label-lossy"]
    if lossy:
        yield _finding(
            survey,
            WARNING,
            "label-lossy",
            f"{plural(len(lossy), 'label is', 'labels are')} stored as JPEG, which changes values along every edge",
            "make them again as PNG from their source; the values in a JPEG cannot be trusted",
            lossy,
        )


def _finding(
    survey: Survey, level: str, code: str, message: str, advice: str = "", items: Sequence[Item] = ()
) -> Finding:
    return Finding(level, code, (survey.split.name,), message, advice, items)


def _values(survey: Survey) -> Iterator[Finding]:
    items, split = survey.found["label-values"], survey.split
    if not items:
        return
    wrong = sorted(value for value in survey.value_pixels if value != split.ignored and split.class_of(value) is None)
    parts = [f"{v} ({survey.value_pixels[v]:,} pixels of {plural(survey.value_labels[v], 'label')})" for v in wrong]
    message = (
        f"{plural(len(items), 'label holds', 'labels hold')} values that are no class: {listed(parts)}; "
        f"allowed are {split.allowed}"
    )
    if split.changes_labels:
        message += ". The data set's class reads labels with code of its own, which may map these values"
    level = WARNING if split.changes_labels else ERROR
    yield _finding(survey, level, "label-values", message, _values_advice(survey, wrong), items)


def _values_advice(survey: Survey, wrong: list[int]) -> str:
    """What the wrong values look like."""
    split = survey.split
    values = sorted(survey.value_pixels)
    used = [value for value in values if value != split.ignored]
    if not wrong:
        return "these are no class indices"
    if split.first == 0 and wrong == [split.num_classes] and len(used) > 1 + (0 in used):
        if 0 not in used:
            return (
                f"the values run from {used[0]} to {used[-1]} and 0 does not occur: the labels look 1-based; subtract "
                "1, so that the first class is 0"
            )
        return (
            f"the values run from 0 to {split.num_classes}: either the labels are 1-based and 0 means no class "
            f"(as in ADE20K's files): subtract 1 and make 0 to {split.ignored}; or 0 is a class of its own: set "
            f"num_classes to {split.num_classes + 1}"
        )
    if set(values) <= {0, 255}:
        return "the labels look like 0/255 masks: write class indices (255 becomes 1); " + CONVERT
    if split.num_classes == 19 and used[-1] <= 33 and len(used) > 3:
        return "the labels look like Cityscapes' labelIds; labelTrainIds are needed"
    if 2 * len(wrong) >= len(used) > 1 and len(values) <= split.num_classes + 1 and used[-1] > 2 * split.num_classes:
        return f"only {len(values)} values occur ({listed([str(v) for v in values], 12)}): gray levels; {CONVERT}"
    if len(values) > FEW_COLOURS:
        return f"more than {FEW_COLOURS} values occur: these are no class indices"
    return "correct the label files, or num_classes and ignore_index in the config"


def _binary(survey: Survey) -> Iterator[Finding]:
    values = set(survey.value_pixels)
    if 255 not in values or not values <= {0, 255} or survey.split.ignored != 255 or survey.split.num_classes < 2:
        return
    if 0 not in values or survey.split.changes_labels:
        return  # labels without any class are another finding
    pixels = survey.value_pixels[255]
    yield _finding(
        survey,
        ERROR,
        "label-binary",
        f"all {plural(survey.labelled, 'label')} hold only 0 and 255 ({pixels:,} pixels): 0/255 masks; 255 is the "
        "ignored value, so only class 0 would be learnt",
        f"write 1 where there is 255; {CONVERT}",
    )


def _colours(survey: Survey) -> Iterator[Finding]:
    swapped, items = survey.found["swapped"], survey.found["label-colours"]
    if swapped:
        yield _finding(
            survey,
            ERROR,
            "swapped",
            f"in {plural(len(swapped), 'pair')} image and label look exchanged: what is listed as the label is a "
            "photograph, what is listed as the image has few colours",
            "the list's lines are: image, separator, label",
            swapped,
        )
    if items:
        message = f"{plural(len(items), 'label is a colour image', 'labels are colour images')}, not class indices"
        level = WARNING if survey.split.changes_labels else ERROR
        yield _finding(survey, level, "label-colours", f"{message}. {_explained(survey)}", CONVERT, items)


def _explained(survey: Survey) -> str:
    """What the colours of colour masks are."""
    split, colours = survey.split, survey.colours
    if survey.gray_masks == survey.colour_masks:
        grays = sorted(colour & 255 for colour in colours)
        fits = all(value == split.ignored or split.class_of(value) is not None for value in grays)
        then = "all of them allowed: one channel of it is the label" if fits else "not all of them class indices"
        return f"Red, green and blue are equal: values {listed([str(each) for each in grays])}, {then}"
    if len(colours) > FEW_COLOURS:
        return f"They have more than {FEW_COLOURS} colours: smoothed edges, JPEG, or no masks at all"
    total = sum(colours.values())
    classes = {int(r) << 16 | int(g) << 8 | int(b): number for number, (r, g, b) in enumerate(split.palette)}
    known = [split.class_names[classes[c]] for c in sorted(classes, key=lambda c: classes[c]) if c in colours]
    other = [(c, pixels) for c, pixels in colours.most_common() if c not in classes]
    who = "It has" if survey.colour_masks == 1 else "Together they have"
    text = f"{who} {plural(len(colours), 'colour')}"
    if known:
        text += f"; {len(known)} of the configured palette ({listed(known)})"
    if other:
        parts = [f"{rgb(colour)} {pixels / total:.1%} of the pixels" for colour, pixels in other]
        text += f"; not in the palette: {listed(parts)}"
    return text


def rgb(colour: int) -> str:
    """``(128, 64, 0)`` of a packed colour."""
    return f"({colour >> 16}, {colour >> 8 & 255}, {colour & 255})"


def _ignored(survey: Survey) -> Iterator[Finding]:
    items, split = survey.found["label-ignored"], survey.split
    if not items:
        return
    if len(items) == survey.labelled:
        message = f"no label has a pixel with a class: all are {split.ignored}"
        yield _finding(survey, ERROR, "label-ignored", message, "nothing can be learnt or judged", items)
        return
    message = f"{plural(len(items), 'label has', 'labels have')} no pixel with a class: all are {split.ignored}"
    yield _finding(survey, WARNING, "label-ignored", message, "leave these pairs out: they teach nothing", items)


def _palettes(survey: Survey) -> Iterator[Finding]:
    """Palette files: the index counts, whatever its colour; colours that disagree hint at wrong indices."""
    split = survey.split
    differing = {value: found for value, found in survey.index_colours.items() if len(found) > 1}
    if differing:
        value, found = min(differing.items())
        items = [survey.item(index, f"{value} is {rgb(colour)}", image=False) for colour, index in found.items()]
        yield _finding(
            survey,
            WARNING,
            "palettes-differ",
            f"palette labels show {plural(len(differing), 'index', 'indices')} in different colours, such as {value} "
            f"in {listed([rgb(colour) for colour in found], 3)}: an index may mean another class in each file",
            "a program that chooses a palette for each file writes such labels. Indices count, colours do not; "
            "write all files with one palette",
            items,
        )
    elif split.has_own_palette:
        yield from _palette_order(survey)


def _palette_order(survey: Survey) -> Iterator[Finding]:
    split = survey.split
    classes = {int(r) << 16 | int(g) << 8 | int(b): number for number, (r, g, b) in enumerate(split.palette)}
    colours = {v: next(iter(found)) for v, found in survey.index_colours.items() if v != split.ignored}
    moved = {v: classes[c] for v, c in colours.items() if c in classes and classes[c] != split.class_of(v)}
    if len(moved) < 2 or any(c not in classes for v, c in colours.items() if split.class_of(v) is not None):
        return
    value, number = min(moved.items())
    yield _finding(
        survey,
        WARNING,
        "palette-order",
        f"palette labels show {len(moved)} indices in the configured colour of another class, such as {value} "
        f"in that of class {number} ({split.class_names[number]})",
        "indices count, colours do not: compare the order of the classes in the labels with that in the config",
        [survey.item(next(iter(survey.index_colours[value].values())), image=False)],
    )


def class_findings(surveys: dict[str, Survey], sample: str = "") -> Iterator[Finding]:
    """Classes that do not occur where they should.

    Args:
        surveys: by split.
        sample: what was read, where that is not all; classes that occur nowhere are no finding then.
    """
    judged = {n: s for n, s in surveys.items() if s.class_images.any() and not s.split.changes_labels}
    if not judged:
        return
    names = next(iter(judged.values())).split.class_names
    some = f" (read: {sample}; `mobileseg check-dataset` reads all)" if sample else ""
    never = ~np.any([survey.class_images > 0 for survey in judged.values()], axis=0)
    if never.any() and not sample:
        yield Finding(
            WARNING,
            "class-never",
            tuple(judged),
            f"{_named(names, never, 'never ')} in the labels of {' and '.join(judged)}",
            "where the order or the number of the classes is not what the labels hold, correct the config or labels.txt"
            + _shift_hint(judged),
        )
    if "train" not in judged or len(judged) == 1:
        return
    train = judged["train"].class_images > 0
    for name, survey in judged.items():
        if name == "train":
            continue
        new, gone = (survey.class_images > 0) & ~train, train & ~(survey.class_images > 0)
        if new.any():
            numbers = np.flatnonzero(new).tolist()
            items = [survey.item(survey.examples[n][min(survey.examples[n])][0], names[n]) for n in numbers]
            text = f"{_named(names, new)} in the labels of {name}, but not in those of train{some}"
            advice = "" if sample else "it cannot be learnt: move images from one list to the other"
            yield Finding(WARNING, "class-not-in-train", ("train", name), text, advice, items)
        if gone.any() and not sample:
            text = f"{_named(names, gone)} in the labels of train, but not in those of {name}: not judged there"
            yield Finding(NOTE, "class-only-in-train", ("train", name), text)


def _named(names: Sequence[str], chosen: np.ndarray, how: str = "") -> str:
    parts = [f"{number} ({shown(names[number])})" for number in np.flatnonzero(chosen).tolist()]
    one = len(parts) == 1
    return f"{'class' if one else 'classes'} {listed(parts, 20)} {how}{'occurs' if one else 'occur'}"


def _shift_hint(judged: dict[str, Survey]) -> str:
    first = all(survey.split.first == 0 and not survey.class_images[0] for survey in judged.values())
    last = any(survey.class_images[-1] for survey in judged.values())
    return ". Class 0 is among them: labels that count from 1 look like this" if first and last else ""


def split_table(survey: Survey) -> list[dict[str, Any]]:
    """Histogram of a split: for each class its pixels, its share of all pixels with a class, and its labels."""
    total = max(int(survey.class_pixels.sum()), 1)
    return [
        {
            "class": number,
            "name": name,
            "pixels": int(survey.class_pixels[number]),
            "share": float(survey.class_pixels[number] / total),
            "images": int(survey.class_images[number]),
        }
        for number, name in enumerate(survey.split.class_names)
    ]
