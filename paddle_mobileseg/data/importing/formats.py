"""Which kind of label a folder or file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paddle_mobileseg.data.importing.class_table import Row
from paddle_mobileseg.data.importing.coco import is_coco, read_coco
from paddle_mobileseg.data.importing.labelme import is_labelme, read_labelme
from paddle_mobileseg.data.importing.masks import read_masks
from paddle_mobileseg.data.importing.records import read_json
from paddle_mobileseg.data.importing.sources import Source, find_files, first
from paddle_mobileseg.data.reading import IMAGE_SUFFIXES

FORMATS = ("masks", "labelme", "coco")


def read(
    name: str | None, images: Path, labels: Path, rows: Sequence[Row], ignore_background: bool, label_suffix: str
) -> tuple[str, Source]:
    """The name of the format, and what it gives.

    Raises:
        FileNotFoundError: images or labels do not exist.
        ValueError: an unknown format, or labels that are of none.
    """
    if not images.is_dir():
        raise FileNotFoundError(f"--images: folder not found: {images}")
    if not labels.exists():
        raise FileNotFoundError(f"--labels: no such folder or file: {labels}")
    name = recognise(images, labels) if name is None else name
    if name not in FORMATS:
        raise ValueError(f"--format is {name!r}; expected one of {', '.join(FORMATS)}")
    if label_suffix and name != "masks":
        raise ValueError(f"--label_suffix is about masks; the labels are {name}")
    if labels.is_file() and name != "coco":
        raise ValueError(f"--labels: {labels} is a file; {name} labels are a folder of files")
    if name == "masks":
        return name, read_masks(images, labels, rows, ignore_background, label_suffix)
    return name, (read_labelme if name == "labelme" else read_coco)(images, labels, rows, ignore_background)


def recognise(images: Path, labels: Path) -> str:
    """The format of labels: a JSON file with shapes is LabelMe's, one with annotations COCO's; pictures are masks.

    Raises:
        ValueError: neither, or JSON files beside pictures that are not the images.
    """
    if labels.is_file() and labels.suffix.lower() != ".json":
        raise ValueError(f"--labels: {labels} is neither a folder nor a JSON file")
    jsons = [labels] if labels.is_file() else [labels / name for name in find_files(labels, (".json",))]
    pictures = find_files(labels, IMAGE_SUFFIXES, leave_out=images) if labels.is_dir() and labels != images else []
    found = next((kind for kind in map(_kind, jsons) if kind), None)
    if found and pictures:
        raise ValueError(
            f"{labels} holds JSON files and pictures ({first(pictures, 1)}); say with --format which are the labels"
        )
    if found or (jsons and not pictures and labels != images):
        if found is None:
            raise ValueError(f"{jsons[0]}: neither LabelMe's JSON ('shapes') nor COCO's ('images' and 'annotations')")
        return found
    return "masks"


def _kind(path: Path) -> str | None:
    content = read_json(path)
    return "labelme" if is_labelme(content) else "coco" if is_coco(content) else None
