"""Pictures of the report: what evaluation saved of some images, and where prediction and label disagree."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from paddle_mobileseg.data.palette import VOID_COLOUR, default_palette
from paddle_mobileseg.data.reading import read_image, read_label

SAMPLES_FOLDER = "val_samples"
IGNORED = 255  # in label files: pixels that do not count

RIGHT, WRONG, UNJUDGED = 0, 1, 2
# White, red, gray.
DISAGREEMENT_COLOURS = np.array([(255, 255, 255), (214, 39, 40), (150, 150, 150)], np.uint8)

_MAX_SIDE = 640  # pixels; larger pictures are made smaller
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """An image for the page: a data URI, its size in pixels, and a text for those who do not see it."""

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Strip:
    """One sample: pictures, share of judged pixels that are right (``None``: none judged), values present."""

    name: str
    image: Picture
    label: Picture | None
    prediction: Picture
    disagreement: Picture | None
    right: float | None
    values: set[int]


def disagreement(label: np.ndarray, prediction: np.ndarray, ignore: int = IGNORED) -> np.ndarray:
    """Where a prediction is right, wrong, or not judged because the label is ``ignore``.

    Args:
        label: integers [H, W].
        prediction: integers [H, W].

    Returns:
        uint8 [H, W] of ``RIGHT``, ``WRONG`` and ``UNJUDGED``.

    Raises:
        ValueError: sizes differ.
    """
    if label.shape != prediction.shape:
        raise ValueError(f"label {label.shape} and prediction {prediction.shape} (height, width) differ in size")
    outcome = np.where(label == prediction, RIGHT, WRONG)
    return np.where(label == ignore, UNJUDGED, outcome).astype(np.uint8)


def share_right(outcome: np.ndarray) -> float | None:
    """Share of ``RIGHT`` among the judged pixels of :func:`disagreement`'s result, 0 to 1; ``None`` without any."""
    judged = int((outcome != UNJUDGED).sum())
    return float((outcome == RIGHT).sum() / judged) if judged else None


def find_samples(run_folder: Path) -> list[str]:
    """Sorted numbers ("000", "001", ...) of the samples that evaluation saved."""
    ending = "_prediction.png"
    return sorted(path.name[: -len(ending)] for path in (run_folder / SAMPLES_FOLDER).glob(f"*{ending}"))


def choose(names: list[str], count: int) -> list[str]:
    """At most ``count`` of the names, evenly spread and first and last among them: not picked by quality."""
    if len(names) <= count:
        return names
    return [names[round(i)] for i in np.linspace(0, len(names) - 1, count)]


def read_strip(run_folder: Path, name: str, palette: np.ndarray | None, class_names: list[str]) -> Strip:
    """Read one saved sample and make its pictures.

    Args:
        run_folder: holds ``val_samples``.
        name: one of :func:`find_samples`.
        palette: uint8 [C, 3]; ``None`` for the default colours.
        class_names: for the texts; indices beyond them are shown as numbers.

    Raises:
        FileNotFoundError: there is no image for the prediction.
        ValueError: a file is damaged or the sizes differ; names the file.
    """
    folder = run_folder / SAMPLES_FOLDER
    image = read_image(next(iter(sorted(folder.glob(f"{name}_image.*"))), folder / f"{name}_image.jpg"))
    prediction = _read_indices(folder / f"{name}_prediction.png")
    label_file = folder / f"{name}_label.png"
    label = _read_indices(label_file) if label_file.is_file() else None
    values = set(np.unique(prediction).tolist())
    if label is None:
        shown_label = shown_difference = right = None
    else:
        try:
            outcome = disagreement(label, prediction)
        except ValueError as error:
            raise ValueError(f"{label_file}: {error}; evaluate again") from error
        right = share_right(outcome)
        values |= set(np.unique(label).tolist())
        shown_label = _label_picture(label, palette, f"Sample {name}, label: {_listing(label, class_names)}")
        text = f"Sample {name}, disagreement: " + (
            "no pixel judged" if right is None else f"{right:.1%} of judged pixels right"
        )
        shown_difference = _index_picture(outcome, DISAGREEMENT_COLOURS, text)
    return Strip(
        name=name,
        image=photo(image, f"Sample {name}, image"),
        label=shown_label,
        prediction=_label_picture(
            prediction, palette, f"Sample {name}, prediction: {_listing(prediction, class_names)}"
        ),
        disagreement=shown_difference,
        right=right,
        values=values,
    )


def _read_indices(path: Path) -> np.ndarray:
    labels = read_label(path)
    if labels.dtype != np.uint8:
        raise ValueError(f"{path}: expected an 8-bit label map, but got {labels.dtype}; evaluate again")
    return labels


def _listing(labels: np.ndarray, class_names: list[str]) -> str:
    """Names of the classes in a label map, the largest first."""
    values, counts = np.unique(labels[labels != IGNORED], return_counts=True)
    ordered = values[np.argsort(-counts, kind="stable")].tolist()
    return ", ".join(class_names[v] if v < len(class_names) else f"class {v}" for v in ordered) or "no class"


def _label_picture(labels: np.ndarray, palette: np.ndarray | None, alt: str) -> Picture:
    colours = default_palette(256)
    if palette is not None:
        colours[: len(palette)] = palette
    colours[IGNORED] = VOID_COLOUR
    return _index_picture(labels, colours, alt)


def _index_picture(indices: np.ndarray, colours: np.ndarray, alt: str) -> Picture:
    picture = Image.fromarray(indices)
    picture.putpalette(colours.astype(np.uint8).tobytes())
    picture = picture.resize(_fitting(picture.size), Image.Resampling.NEAREST)
    return _encode(picture, "PNG", alt, optimize=True)


def photo(image: np.ndarray, alt: str, max_side: int = _MAX_SIDE) -> Picture:
    """An image uint8 [H, W, 3] RGB as JPEG, made smaller where a side is longer than ``max_side`` pixels."""
    picture = Image.fromarray(image)
    picture = picture.resize(_fitting(picture.size, max_side), Image.Resampling.LANCZOS)
    return _encode(picture, "JPEG", alt, quality=_JPEG_QUALITY)


def drawing(image: np.ndarray, alt: str, max_side: int = _MAX_SIDE) -> Picture:
    """As :func:`photo`, as PNG with nearest neighbours: for colours that mean something."""
    picture = Image.fromarray(image)
    picture = picture.resize(_fitting(picture.size, max_side), Image.Resampling.NEAREST)
    return _encode(picture, "PNG", alt, optimize=True)


def _fitting(size: tuple[int, int], max_side: int = _MAX_SIDE) -> tuple[int, int]:
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _encode(picture: Image.Image, kind: str, alt: str, **options: int) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind.lower()};base64,{content}", *picture.size, alt)
