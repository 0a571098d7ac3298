"""Prediction on image files: label PNGs with a palette, and overlays to look at."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from paddle import nn

from paddle_mobileseg.data.file_lists import read_list
from paddle_mobileseg.data.palette import overlay, write_label_png
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine.inference import infer_labels
from paddle_mobileseg.files import atomic_path, make_output_folder
from paddle_mobileseg.progress import progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LABELS, OVERLAYS = "pseudo_color_prediction", "added_prediction"


@dataclass(frozen=True)
class ImageFile:
    """An image to predict on: where it is, and its name below the output folder (without suffix)."""

    path: Path
    name: str


def find_images(source: str | Path) -> list[ImageFile]:
    """The images that a path means.

    Args:
        source: an image file, a folder (searched with everything below it), or a ``.txt`` list with an image a line
            (a data set's list with labels works too); relative lines are looked up beside the list.

    Returns:
        images with distinct names, none of which leads out of the output folder.

    Raises:
        FileNotFoundError: no such path.
        ValueError: no image in it.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"there is no {source}; expected an image, a folder of images or a .txt list of images")
    if source.is_dir():
        paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        found = [ImageFile(p, str(p.relative_to(source).with_suffix(""))) for p in paths]
    elif source.suffix.lower() == ".txt":
        listed = [Path(image) for image, _ in read_list(source, source.parent, needs_label=False)]
        found = [ImageFile(path, _name_below(path, source.parent)) for path in listed]
    else:
        found = [ImageFile(source, source.stem)]
    if not found:
        raise ValueError(f"{source} has no image in it; expected files ending in {', '.join(IMAGE_SUFFIXES)}")
    return _distinct(found)


def _name_below(path: Path, folder: Path) -> str:
    """A file's path from a folder without suffix; of one outside of it, without the steps up."""
    parts = [part for part in Path(os.path.relpath(path, folder)).parts if part != os.pardir]
    return str(Path(*parts).with_suffix("")) if parts else "image"


def _distinct(files: list[ImageFile]) -> list[ImageFile]:
    """Give files of one name names of their own: with the suffix (``a_jpg``, ``a_png``), then with a number."""
    counts = Counter(file.name for file in files)
    taken: set[str] = set()
    result = []
    for file in files:
        wanted = file.name + file.path.suffix.replace(".", "_") if counts[file.name] > 1 else file.name
        numbered = (f"{wanted}_{number}" for number in itertools.count(2))
        name = next(each for each in itertools.chain([wanted], numbered) if each not in taken)
        taken.add(name)
        result.append(ImageFile(file.path, name))
    return result


def predict(
    network: nn.Layer,
    preprocess: Preprocess,
    images: Sequence[ImageFile],
    save_dir: str | Path,
    palette: np.ndarray,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> list[str]:
    """Predict on images; one that cannot be read, or does not fit the network, is passed over and reported.

    Writes ``pseudo_color_prediction/NAME.png`` (8-bit palette PNG, class numbers) and ``added_prediction/NAME.jpg``
    (the image under the colours), each at the image's own size.

    Args:
        network: is put into eval mode.
        preprocess: the validation steps of the network's data.
        images: from :func:`find_images`.
        save_dir: output folder.
        palette: ``[C, 3]`` uint8.
        scales: factors of the input size to average over.
        flip: also average with the mirrored image.

    Returns:
        A line for each image that could not be predicted; empty if all went well.

    Raises:
        OSError: the output folder cannot be written.
    """
    folder = make_output_folder(save_dir)
    network.eval()
    failures = []
    for file in progress(images, total=len(images), name="predict"):
        try:
            image = _read(file.path)
            tensor, trans_info = preprocess(image)
            labels = infer_labels(network, tensor[np.newaxis], trans_info, scales, flip)
            write_label_png(folder / LABELS / f"{file.name}.png", labels, palette)
            write_jpeg(folder / OVERLAYS / f"{file.name}.jpg", overlay(image, labels, palette))
        except (ValueError, cv2.error) as error:
            text = " ".join(str(error).split())
            failures.append(text if text.startswith(str(file.path)) else f"{file.path}: {text}")
    return failures


def _read(path: Path) -> np.ndarray:
    """An image; ValueError also where the file cannot be opened, because others can be."""
    try:
        return read_image(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Write an RGB image ``[H, W, 3]`` uint8 as JPEG, atomically.

    Raises:
        OSError: it cannot be written.
    """
    coded = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(coded.tobytes())
