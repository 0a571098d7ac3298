"""What the tests of the import share: images and labels as users have them, and what an import made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.importing import ImportOptions, import_dataset
from paddle_mobileseg.data.importing.summary import Summary


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An image, uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_image(path: Path, pixels: np.ndarray, palette: object = None, orientation: int | None = None) -> Path:
    """Write an image; with a palette [N, 3] the pixels are its indices, with an orientation EXIF has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(np.resize(np.asarray(palette, dtype=np.uint8), (256, 3)).tobytes())  # of all 8 bits
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def write_images(folder: Path, sizes_hw: Mapping[str, tuple[int, int]]) -> Path:
    """Write noise under every name."""
    for seed, (name, size_hw) in enumerate(sizes_hw.items()):
        write_image(folder / name, noise(*size_hw, seed))
    return folder


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def shape(label: str, points: object, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    """A shape of LabelMe."""
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """The corners of an upright rectangle."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def labelme(image: str, size_hw: tuple[int, int] | None, *shapes: dict[str, Any]) -> dict[str, Any]:
    """A file of LabelMe."""
    size = {} if size_hw is None else {"imageHeight": size_hw[0], "imageWidth": size_hw[1]}
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": "not read",
        **size,
    }


def coco(
    images: Mapping[str, tuple[int, int]], categories: Mapping[int, str], *annotations: dict[str, Any]
) -> dict[str, Any]:
    """A file of COCO; the images' ids count from 10 and the annotations' from 1."""
    listed = [{"id": 10 + i, "file_name": n, "height": h, "width": w} for i, (n, (h, w)) in enumerate(images.items())]
    return {
        "info": {},
        "images": listed,
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in categories.items()],
        "annotations": [{"id": 1 + i, "iscrowd": 0, **each} for i, each in enumerate(annotations)],
    }


def flat(*polygons: list[list[float]]) -> list[list[float]]:
    """Polygons as COCO writes them."""
    return [[number for point in polygon for number in point] for polygon in polygons]


def imported(folder: Path, images: Path, labels: Path, **options: Any) -> Summary:
    """Import into ``folder``; without validation images unless told otherwise, for few images."""
    return import_dataset(ImportOptions(images, labels, folder, **{"val": 0, **options}))


def labels_of(folder: Path) -> dict[str, np.ndarray]:
    """The written labels by their path below labels/ without suffix, as a data set of the written configuration reads
    them."""
    cfg = load_config(folder / "config.yml")
    found = {}
    for split in ("train", "val"):
        if f"{split}_dataset" not in cfg.data:
            continue
        spec = {**cfg.data[f"{split}_dataset"], "transforms": []}
        dataset = build.component(spec)
        for index, (_, label) in enumerate(dataset.file_list):
            name = Path(label).relative_to(folder / "labels").with_suffix("").as_posix()
            found[name] = dataset.sample(index, 0)["label"]
    return found
