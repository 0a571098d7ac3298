"""Prediction on image files: label PNGs with a palette, and overlays to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from paddle import nn

from paddle_mobileseg.data.palette import overlay, write_label_png
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine.inference import infer_labels
from paddle_mobileseg.engine.progress import progress
from paddle_mobileseg.files import atomic_path, make_output_folder

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
        source: an image file, a folder (searched with everything below it), or a ``.txt`` list with an image a line,
        as the
            first word (a data set's list works); relative lines are looked up beside the list.

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
        lines = [line.split()[0] for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [ImageFile(source.parent / line, str(Path(line).with_suffix("")).lstrip("./")) for line in lines]
    else:
        found = [ImageFile(source, source.stem)]
    if not found:
        raise ValueError(f"{source} has no image in it; expected files ending in {', '.join(IMAGE_SUFFIXES)}")
    return _distinct(found)


def _distinct(files: list[ImageFile]) -> list[ImageFile]:
    """Give files whose names differ in the suffix only (``a.jpg``, ``a.png``) names that keep it."""
    names = [file.name for file in files]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    return [ImageFile(f.path, f.name + f.path.suffix.replace(".", "_")) if f.name in twice else f for f in files]


def predict(
    network: nn.Layer,
    preprocess: Preprocess,
    images: Sequence[ImageFile],
    save_dir: str | Path,
    palette: np.ndarray,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> list[str]:
    """Predict on images; what cannot be read is passed over and reported.

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
            image = read_image(file.path)
        except (ValueError, OSError) as error:
            failures.append(str(error))
            continue
        tensor, trans_info = preprocess(image)
        labels = infer_labels(network, tensor[np.newaxis], trans_info, scales, flip)
        write_label_png(folder / LABELS / f"{file.name}.png", labels, palette)
        write_jpeg(folder / OVERLAYS / f"{file.name}.jpg", overlay(image, labels, palette))
    return failures


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Write an RGB image ``[H, W, 3]`` uint8 as JPEG, atomically.

    Raises:
        OSError: it cannot be written.
    """
    coded = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(coded.tobytes())
