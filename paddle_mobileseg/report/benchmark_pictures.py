"""Pictures of the benchmark page: labels of the trained network, those of an exported file, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.report.benchmark_entries import Entry
from paddle_mobileseg.report.pictures import Picture, choose, photo

MOST = 8  # comparisons on a page
DIFFERENT = (255, 0, 200)  # colour of pixels whose labels differ

_ENDINGS = (".png", ".jpg", ".jpeg")
_LARGEST_FILE = 8_000_000  # bytes
_LARGEST_SIDE = 4096  # pixels
_OPACITY = 0.62
_DIMMED = 0.45


@dataclass(frozen=True)
class Comparison:
    """One sample of a record.

    Attributes:
        entry: the record.
        reference, labels, difference: of equal size; the labels lie over the image.
        share: of pixels that differ, 0 to 1.
        classes: (name, CSS colour) of the classes in the two, the largest first.
        problem: why there are no pictures.
    """

    entry: Entry
    reference: Picture | None = None
    labels: Picture | None = None
    difference: Picture | None = None
    share: float | None = None
    classes: tuple[tuple[str, str], ...] = ()
    problem: str | None = None


def comparisons(entries: Sequence[Entry]) -> tuple[list[Comparison], int]:
    """The first sample of some records, evenly spread over all networks and files, and how many there are in all."""
    distinct: dict[tuple[str | None, ...], Entry] = {}
    for entry in entries:
        model = entry.record["model"]
        if entry.record["samples"]:
            distinct.setdefault((entry.network, model["format"], model["precision"], model["bundle"]), entry)
    networks: dict[str, Entry] = {}
    for entry in distinct.values():
        networks.setdefault(entry.network, entry)
    source = networks if len(networks) >= MOST else distinct
    names = {str(entry.number): entry for entry in source.values()}
    chosen = choose(list(names), MOST)
    return [_comparison(names[name]) for name in chosen], len(distinct)


def class_colours(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """CSS colours of a network's classes, from the palettes of its label pictures."""
    colours: dict[str, list[str]] = {}
    for entry in entries:
        count = entry.record["model"]["num_classes"]
        if entry.network in colours or not count or count > 256 or not entry.record["samples"]:
            continue
        try:
            _, palette = _labels(entry, entry.record["samples"][0]["reference"])
        except (OSError, ValueError):
            continue
        colours[entry.network] = [_css(palette[i]) for i in range(count)]
    return colours


def _comparison(entry: Entry) -> Comparison:
    sample = entry.record["samples"][0]
    try:
        image = read_image(_path(entry, sample["image"]))
        reference, palette = _labels(entry, sample["reference"])
        labels, _ = _labels(entry, sample["labels"])
        if reference.shape != labels.shape:
            raise ValueError(f"the two label maps differ in size: {reference.shape} and {labels.shape}")
    except (OSError, ValueError) as error:
        return Comparison(entry, problem=f"{type(error).__name__}: {_without_folder(error, entry)}"[:200])
    if image.shape[:2] != labels.shape:
        image = cv2.resize(image, labels.shape[::-1], interpolation=cv2.INTER_AREA)
    different = reference != labels
    share = float(different.mean())
    return Comparison(
        entry=entry,
        reference=photo(_over(image, palette[reference]), f"{entry.network}: labels of the trained network"),
        labels=photo(_over(image, palette[labels]), f"{entry.name}: labels of the exported file"),
        difference=photo(_difference(image, different), f"{entry.name}: {share_text(share)}"),
        share=share,
        classes=_legend(entry, reference, labels, palette),
    )


def share_text(share: float) -> str:
    """The share of pixels that differ, in words; a few never become none."""
    if share == 0:
        return "all pixels have the same label"
    percent = f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.1f}"
    return f"{percent} % of the pixels have another label"


def _without_folder(error: Exception, entry: Entry) -> str:
    return str(error).replace(f"{entry.folder}/", "")


def _path(entry: Entry, name: str) -> Path:
    """The file that a record names, if it is a picture beside the record."""
    if entry.folder is None:
        raise ValueError("the record is not from a file")
    folder = entry.folder.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or path.suffix.lower() not in _ENDINGS:
        raise ValueError(f"{name!r} is no picture beside the record")
    if not path.is_file():
        raise FileNotFoundError(f"{name} is not there")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{name} is larger than {_LARGEST_FILE:,} bytes")
    with Image.open(path) as picture:
        if max(picture.size) > _LARGEST_SIDE:
            raise ValueError(f"{name} is larger than {_LARGEST_SIDE} pixels")
    return path


def _labels(entry: Entry, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Class indices uint8 [H, W] of a palette PNG, and its palette, uint8 [256, 3]."""
    with Image.open(_path(entry, name)) as picture:
        if picture.mode != "P":
            raise ValueError(f"{name} is not a palette PNG")
        palette = np.zeros((256, 3), np.uint8)
        stored = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        palette[: len(stored)] = stored
        return np.array(picture), palette


def _over(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return cv2.addWeighted(image, 1 - _OPACITY, colours, _OPACITY, 0)


def _difference(image: np.ndarray, different: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shown = (gray * _DIMMED + 255 * (1 - _DIMMED) * 0.25).astype(np.uint8)
    shown[different] = DIFFERENT
    return shown


def _legend(
    entry: Entry, reference: np.ndarray, labels: np.ndarray, palette: np.ndarray
) -> tuple[tuple[str, str], ...]:
    accuracy = entry.record["accuracy"]
    names = list((accuracy or {}).get("iou") or {})
    if len(names) != entry.record["model"]["num_classes"]:
        names = []
    counts = np.bincount(reference.ravel(), minlength=256) + np.bincount(labels.ravel(), minlength=256)
    present = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return tuple((names[i] if i < len(names) else f"class {i}", _css(palette[i])) for i in present[:24])


def _css(colour: np.ndarray) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)
