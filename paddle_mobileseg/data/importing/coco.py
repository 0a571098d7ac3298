"""Labels as COCO's JSON: objects as polygons or run lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from paddle_mobileseg.data.importing import shapes
from paddle_mobileseg.data.importing.class_table import Row, ShapeClasses
from paddle_mobileseg.data.importing.records import points_of, read_json, shown, value_of
from paddle_mobileseg.data.importing.sources import (
    ImageNames,
    Picture,
    Source,
    find_files,
    part_called,
)
from paddle_mobileseg.data.reading import IMAGE_SUFFIXES
from paddle_mobileseg.progress import progress


@dataclass(frozen=True)
class _Object:
    """An annotation: an object as polygons, or as run lengths with the size (height, width) that they are of."""

    name: str
    is_crowd: bool
    polygons: list[np.ndarray]
    counts: list[int] | str | None
    size_hw: tuple[int, int]
    place: str

    def region(self, size_hw: tuple[int, int]) -> shapes.Region:
        if self.counts is None:
            return shapes.union([shapes.polygon(points, size_hw) for points in self.polygons])
        if self.size_hw != size_hw:
            raise ValueError(
                f"{self.place}: its RLE is of {self.size_hw[1]} x {self.size_hw[0]} pixels, "
                f"the image of {size_hw[1]} x {size_hw[0]}"
            )
        try:
            counts = shapes.unpack_counts(self.counts) if isinstance(self.counts, str) else self.counts
            return shapes.run_lengths(counts, size_hw)
        except ValueError as error:
            raise ValueError(f"{self.place}: {error}") from error


@dataclass
class _Listed:
    """An image as a COCO file lists it; ``part`` as the file's name says it."""

    file_name: str
    size_hw: tuple[int, int] | None
    path: Path
    part: str | None
    objects: list[_Object] = field(default_factory=list)

    def named(self) -> Iterator[tuple[str, str]]:
        return ((each.name, each.place) for each in self.objects)

    def draw(self, classes: ShapeClasses, picture: Picture) -> np.ndarray:
        size_hw = picture.size_hw
        if self.size_hw is not None:
            size_hw = picture.canvas_hw(*self.size_hw, f"{self.path}, {self.file_name}")
        drawn = [(thing, thing.region(size_hw)) for thing in self.objects]
        drawn.sort(key=lambda each: (not each[0].is_crowd, -each[1].area))
        canvas = np.full(size_hw, classes.fill, dtype=np.uint8)
        for thing, region in drawn:
            region.paint(canvas, classes.index(thing.name, thing.place))
        return canvas


def is_coco(content: Any) -> bool:
    """Whether the content of a JSON file looks like COCO's (also its panoptic form, which is then refused)."""
    return isinstance(content, dict) and "images" in content and "annotations" in content


def read_coco(images: Path, labels: Path, rows: Sequence[Row] = (), ignore_background: bool = False) -> Source:
    """Read a COCO file, or all below a folder. In each image crowds lie lowest, then large objects below small ones.

    The image of an entry is the one that ``file_name`` names below ``images`` (or below the JSON file's subfolder
    there), or the only one of that last name. The classes are the categories in the order of their ids.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: broken JSON, panoptic files, boxes without outline, and what else cannot be understood; named.
    """
    files = find_files(images, IMAGE_SUFFIXES)
    known = ImageNames(files)
    jsons = {labels.name: labels} if labels.is_file() else {n: labels / n for n in find_files(labels, (".json",))}
    if not jsons:
        raise FileNotFoundError(f"{labels}: no .json file in this folder")
    categories: dict[str, None] = {}
    listed: dict[str, _Listed] = {}
    without_image = []
    for name, path in progress(jsons.items(), len(jsons), "reading COCO files"):
        for image in _read(path, _part(name) if len(jsons) > 1 else None, categories):
            file = known.find(PurePosixPath(name).parent, image.file_name)
            if file is None:
                without_image.append(f"{image.file_name} of {path.name}")
            elif file in listed:
                raise ValueError(f"the image {file} is listed twice, in {listed[file].path} and in {path}")
            else:
                listed[file] = image
    classes = ShapeClasses.of(rows or [Row(name) for name in categories], (), ignore_background)
    return classes.source(images, files, listed, without_image)


def _part(name: str) -> str | None:
    """What the name of a JSON file says, such as ``instances_val2017.json`` or ``train/_annotations.coco.json``."""
    return next((part for part in map(part_called, re.split(r"[^a-zA-Z]+", name)) if part), None)


def _read(path: Path, part: str | None, categories: dict[str, None]) -> list[_Listed]:
    """The images of a file with their objects; the names of its categories are added to ``categories``."""
    content = read_json(path)
    if not is_coco(content):
        raise ValueError(f"{path}: not a COCO file: it has no 'images' and 'annotations'")
    names: dict[Any, str] = {}
    for index, each in enumerate(value_of(content, "categories", list, str(path))):
        place = f"{path}, category {index}"
        names[_new_id(each, names, place)] = value_of(each, "name", str, place).strip()
    categories.update(dict.fromkeys(names[number] for number in sorted(names)))
    images: dict[Any, _Listed] = {}
    for index, each in enumerate(value_of(content, "images", list, str(path))):
        place = f"{path}, image {index}"
        size_hw = None
        if _has(each, "height") and _has(each, "width"):
            size_hw = (value_of(each, "height", int, place), value_of(each, "width", int, place))
        images[_new_id(each, images, place)] = _Listed(value_of(each, "file_name", str, place), size_hw, path, part)
    for index, each in enumerate(value_of(content, "annotations", list, str(path))):
        place = f"{path}, annotation {each['id']}" if _has(each, "id") else f"{path}, annotation number {index}"
        if _has(each, "segments_info"):
            raise ValueError(f"{path}: panoptic annotations are not supported; give the instances, or masks of indices")
        image_id, category_id = value_of(each, "image_id", int, place), value_of(each, "category_id", int, place)
        if image_id not in images:
            raise ValueError(f"{place}: no image has the id {image_id}")
        if category_id not in names:
            raise ValueError(f"{place}: no category has the id {category_id}")
        images[image_id].objects.append(_read_object(each, names[category_id], place))
    return list(images.values())


def _has(record: Any, key: str) -> bool:
    return isinstance(record, dict) and record.get(key) is not None


def _new_id(record: Any, known: dict[Any, Any], place: str) -> int:
    number = value_of(record, "id", int, place)
    if number in known:
        raise ValueError(f"{place}: the id {number} is there twice")
    return number


def _read_object(record: dict[str, Any], name: str, place: str) -> _Object:
    is_crowd = bool(record.get("iscrowd"))
    place = f"{place} ({name})"
    if not record.get("segmentation"):
        box = ", only a box" if record.get("bbox") else ""
        raise ValueError(f"{place}: it has no segmentation{box}; outline the object, or remove it")
    segmentation = value_of(record, "segmentation", (dict, list), place)
    if isinstance(segmentation, list):
        return _Object(name, is_crowd, [_polygon(each, place) for each in segmentation], None, (0, 0), place)
    size, counts = value_of(segmentation, "size", list, place), segmentation.get("counts")
    if len(size) != 2 or not all(type(side) is int for side in size):
        raise ValueError(f"{place}: the size of its RLE is {shown(size)}; expected [height, width]")
    if not isinstance(counts, (list, str)):
        raise ValueError(f"{place}: the counts of its RLE are {shown(counts)}; expected a list of numbers or a text")
    return _Object(name, is_crowd, [], counts, (size[0], size[1]), place)


def _polygon(values: Any, place: str) -> np.ndarray:
    if not isinstance(values, list) or len(values) < 6 or len(values) % 2:
        raise ValueError(f"{place}: a polygon is a list [x, y, x, y, ...] of at least 6 numbers, got {shown(values)}")
    return points_of([values[i : i + 2] for i in range(0, len(values), 2)], place)
