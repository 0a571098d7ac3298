"""Labels as LabelMe's JSON files, one an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from paddle_mobileseg.data.importing import shapes
from paddle_mobileseg.data.importing.class_table import Row, ShapeClasses
from paddle_mobileseg.data.importing.records import points_of, read_json, value_of
from paddle_mobileseg.data.importing.sources import (
    ImageNames,
    Picture,
    Source,
    find_files,
)
from paddle_mobileseg.data.reading import IMAGE_SUFFIXES
from paddle_mobileseg.progress import progress

# Shape type: how many points it has at least and at most.
_POINTS = {"polygon": (3, None), "rectangle": (2, 4), "oriented_rectangle": (4, 4), "circle": (2, 2), "mask": (2, 2)}
_WITHOUT_AREA = ("line", "linestrip", "point", "points")


@dataclass(frozen=True)
class _Shape:
    """A checked shape; ``mask`` for those of type mask."""

    label: str
    kind: str
    points: np.ndarray
    mask: np.ndarray | None
    place: str

    def region(self, size_hw: tuple[int, int]) -> shapes.Region:
        if self.mask is not None:
            left, top = np.floor(self.points[0]).astype(int).tolist()
            return shapes.bitmap(self.mask, top, left, size_hw)
        if self.kind == "rectangle" and len(self.points) == 2:
            return shapes.rectangle(self.points, size_hw)
        return shapes.circle(self.points, size_hw) if self.kind == "circle" else shapes.polygon(self.points, size_hw)


@dataclass(frozen=True)
class _Annotation:
    path: Path
    image: str
    size_hw: tuple[int, int] | None
    shapes: list[_Shape]
    part: str | None = None

    def named(self) -> Iterator[tuple[str, str]]:
        return ((each.label, each.place) for each in self.shapes)

    def draw(self, classes: ShapeClasses, picture: Picture) -> np.ndarray:
        size_hw = picture.size_hw
        if self.size_hw is not None:
            size_hw = picture.canvas_hw(*self.size_hw, str(self.path))
        canvas = np.full(size_hw, classes.fill, dtype=np.uint8)
        for shape in self.shapes:
            shape.region(size_hw).paint(canvas, classes.index(shape.label, shape.place))
        return canvas


def is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and "shapes" in content


def read_labelme(images: Path, labels: Path, rows: Sequence[Row] = (), ignore_background: bool = False) -> Source:
    """Read all LabelMe files below a folder; later shapes lie above earlier ones.

    The image of a file is the one that ``imagePath`` names, by its last name alone, or else the one called like the
    JSON file: in the same subfolder of ``images``, or the only one of that name. ``imageData`` and ``group_id`` are not
    used.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: broken JSON, a shape that has no area or is not as it should be, two files for one image; named.
    """
    files = find_files(images, IMAGE_SUFFIXES)
    known = ImageNames(files)
    names = find_files(labels, (".json",))
    annotations: dict[str, _Annotation] = {}
    without_image = []
    for name in progress(names, len(names), "reading LabelMe files"):
        annotation = _read(labels / name)
        parent = PurePosixPath(name).parent
        image = known.find(parent, annotation.image, PurePosixPath(name).stem)
        if image is None:
            without_image.append(name)
        elif image in annotations:
            raise ValueError(
                f"{annotations[image].path} and {annotation.path} are both about the image {image}; remove one of them"
            )
        else:
            annotations[image] = annotation
    found = {shape.label for annotation in annotations.values() for shape in annotation.shapes}
    classes = ShapeClasses.of(rows, found, ignore_background)
    return classes.source(images, files, annotations, without_image)


def _read(path: Path) -> _Annotation:
    content = read_json(path)
    place = str(path)
    if not is_labelme(content):
        raise ValueError(f"{path}: not a LabelMe file: it has no 'shapes'")
    size_hw = None
    if content.get("imageHeight") is not None and content.get("imageWidth") is not None:
        size_hw = (value_of(content, "imageHeight", int, place), value_of(content, "imageWidth", int, place))
    image = value_of(content, "imagePath", str, place) if content.get("imagePath") is not None else ""
    listed = value_of(content, "shapes", list, place)
    return _Annotation(
        path, image, size_hw, [_read_shape(shape, f"{path}, shape {i}") for i, shape in enumerate(listed)]
    )


def _read_shape(shape: Any, place: str) -> _Shape:
    label = value_of(shape, "label", str, place).strip()
    if not label:
        raise ValueError(f"{place}: its label is empty")
    kind = "polygon"  # files of early versions have no others
    if shape.get("shape_type") is not None:
        kind = value_of(shape, "shape_type", str, place)
    place = f"{place} ({label})"
    if kind in _WITHOUT_AREA:
        raise ValueError(f"{place}: shape_type {kind!r} has no area; draw a polygon in its place, or remove it")
    if kind not in _POINTS:
        raise ValueError(f"{place}: unknown shape_type {kind!r}; known are {', '.join(_POINTS)}")
    points = points_of(shape.get("points"), place)
    least, most = _POINTS[kind]
    if len(points) < least or (most is not None and len(points) > most) or (kind == "rectangle" and len(points) == 3):
        raise ValueError(
            f"{place}: a {kind} has {least}{' or more' if most is None else ''} points, this one {len(points)}"
        )
    return _Shape(label, kind, points, _read_mask(shape, points, place) if kind == "mask" else None, place)


def _read_mask(shape: dict[str, Any], points: np.ndarray, place: str) -> np.ndarray:
    """The picture of a shape of type mask: bool, as large as the box of its two points, both included."""
    from PIL import Image

    width, height = (np.floor(points[1]) - np.floor(points[0]) + 1).astype(int).tolist()
    text = value_of(shape, "mask", str, place)
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if image.size != (width, height):
                raise ValueError(f"it is {image.size[0]} x {image.size[1]}, its box {width} x {height}")
            return np.array(image.convert("L")) > 0
    except Exception as error:  # decoders raise errors of many kinds
        raise ValueError(f"{place}: its mask cannot be read: {error}") from error
