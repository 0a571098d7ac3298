"""Pictures that lie beside benchmark records: an image, the trained network's labels of it, and those of a file.

Files are called after their content, so that records share them: many have the same image and the same labels of the
trained network, and a good file gives those labels too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from paddle_mobileseg.data.palette import encode_label_png
from paddle_mobileseg.data.pictures import encode_jpeg, write_all
from paddle_mobileseg.data.preprocess import resize_nearest
from paddle_mobileseg.runtime.bundle import Bundle
from paddle_mobileseg.runtime.session import output_labels

FOLDER = "samples"
MAX_SAMPLES = 2
MAX_SIDE = 512  # pixels


def write_samples(
    folder: str | Path,
    images: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    palette: np.ndarray,
) -> list[dict[str, str]]:
    """Write pictures of the first ``MAX_SAMPLES`` images, made smaller where a side is above ``MAX_SIDE`` pixels.

    Args:
        folder: of the record.
        images: uint8 [H, W, 3] RGB.
        references: integers [h, w] from 0 to 255, the trained network's labels, one for each image. Labels of another
            size than their image (whose graph resizes it) are resized, nearest.
        labels: likewise those of the file, of the references' sizes.
        palette: uint8 [C, 3] RGB.

    Returns:
        the section ``samples`` of a record: ``image`` (JPEG), ``reference`` and ``labels`` (palette PNG), paths
        relative to ``folder``.

    Raises:
        ValueError: counts, sizes or types differ from the above, or a label is outside 0 to 255.
        OSError: a file cannot be written.
    """
    if not len(images) == len(references) == len(labels):
        raise ValueError(
            f"samples: got {len(images)} images, {len(references)} references and {len(labels)} labels; expected one "
            "of each for every image"
        )
    section = []
    for number in range(min(len(images), MAX_SAMPLES)):
        image, pair = images[number], (references[number], labels[number])
        _check(number, image, *pair)
        size_hw = _fitting(image.shape[:2])
        pictures = {
            "image": (encode_jpeg(_shrunk(image, size_hw)), "jpg"),
            **{
                name: (encode_label_png(resize_nearest(each, *size_hw), palette[:256]), "png")
                for name, each in zip(("reference", "labels"), pair, strict=True)
            },
        }
        section.append({name: _write(Path(folder), *picture) for name, picture in pictures.items()})
    return section


def golden_images(bundle: Bundle) -> list[np.ndarray]:
    """The images behind a bundle's golden inputs, as the graph gets them, uint8 [H, W, 3] RGB.

    Normalisation is undone as the manifest describes it, and rounded; of a batch the first is taken.

    Raises:
        FileNotFoundError, ValueError: as :meth:`paddle_mobileseg.runtime.bundle.Bundle.verify`.
    """
    return [_pixels(x[0], bundle.about["input"].get("normalization")) for x, _ in bundle.golden()]


def golden_labels(bundle: Bundle) -> list[np.ndarray]:
    """The trained network's labels of :func:`golden_images`, int32 [h, w].

    Raises:
        FileNotFoundError, ValueError: as :meth:`paddle_mobileseg.runtime.bundle.Bundle.verify`.
    """
    return [output_labels(y)[0] for _, y in bundle.golden()]


def _pixels(x: np.ndarray, normalization: dict[str, list[float]] | None) -> np.ndarray:
    if x.dtype == np.uint8:  # [H, W, 3], normalised by the graph
        return x
    values = x.transpose(1, 2, 0).astype(np.float64)
    if normalization is not None:
        values = (values * normalization["std"] + normalization["mean"]) * normalization["scale"]
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _check(number: int, image: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"sample {number}: expected an image uint8 [height, width, 3], but got {image.dtype} {list(image.shape)}"
        )
    for name, each in (("reference", reference), ("labels", labels)):
        if each.ndim != 2 or each.size == 0 or each.dtype.kind not in "iu" or each.min() < 0 or each.max() > 255:
            raise ValueError(
                f"sample {number}: expected {name} as integers [height, width] from 0 to 255, but got {each.dtype} "
                f"{list(each.shape)}" + (f" from {each.min()} to {each.max()}" if each.size else "")
            )
    if reference.shape != labels.shape:
        raise ValueError(
            f"sample {number}: reference {list(reference.shape)} and labels {list(labels.shape)} (height, width) "
            "differ in size"
        )


def _fitting(size_hw: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(size_hw))
    height, width = (max(1, round(side * scale)) for side in size_hw)
    return height, width


def _shrunk(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size_hw:
        return image
    return cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA)


def _write(folder: Path, content: bytes, ending: str) -> str:
    """Write one picture, if it is not there already; its name."""
    name = f"{FOLDER}/{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
    path = folder / name
    if not path.is_file() or path.read_bytes() != content:
        write_all(folder, [(name, content)])
    return name
