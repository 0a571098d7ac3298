"""What one pair of files is like: read completely, then boiled down to about a kilobyte.

This part runs in worker processes. It never raises for a bad file: the reason is in the facts.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from paddle_mobileseg.data.file_lists import FilePair
from paddle_mobileseg.data.reading import read_image, read_label

THUMB_SIDE = 32  # pixels of the gray thumbnail that near duplicates are judged by
MAX_VALUES = 4096  # distinct values or colours that are told apart in one file
FEW_COLOURS = 256  # a label map has no more; a photograph has thousands

_ORIENTATION_TAG = 0x0112
_BLOCK = 1 << 20  # pixels counted at once


@dataclass(frozen=True)
class ImageFacts:
    """One image file.

    Attributes:
        problem: why it cannot be read; empty where it can. The rest is meaningful then only.
        missing: there is no such file.
        size: (width, height) in pixels as trained, EXIF orientation applied.
        mode: Pillow's name of the pixel format stored, such as ``RGB``, ``L``, ``I;16``.
        orientation: EXIF orientation, 1 (upright) to 8.
        gray: red, green and blue are equal everywhere.
        brightest: largest of all samples after reading, 0 to 255.
        colours: distinct colours, ``FEW_COLOURS + 1`` where there are more than ``FEW_COLOURS``.
        digest: hash of size and pixels as read.
        thumb: gray uint8 ``[THUMB_SIDE, THUMB_SIDE]`` as bytes.
    """

    problem: str = ""
    missing: bool = False
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    orientation: int = 1
    gray: bool = False
    brightest: int = 0
    colours: int = 0
    digest: bytes = b""
    thumb: bytes = b""


@dataclass(frozen=True)
class LabelFacts:
    """One label file.

    Attributes:
        problem, missing: as in :class:`ImageFacts`; also a colour image has a problem (class indices are wanted).
        is_colour: a picture with several channels.
        size: (width, height) in pixels.
        mode, format: Pillow's names of the pixel format and the file format.
        values: pixels of each value stored (a palette file's indices); of a colour image those of each colour
            ``red << 16 | green << 8 | blue``.
        has_more_values: there are more than ``MAX_VALUES`` distinct ones, and only the first met are counted.
        index_colours: colour of each index that occurs, of a palette file.
        digest: hash of size and values.
    """

    problem: str = ""
    missing: bool = False
    is_colour: bool = False
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    format: str = ""
    values: dict[int, int] = field(default_factory=dict)
    has_more_values: bool = False
    index_colours: dict[int, int] = field(default_factory=dict)
    digest: bytes = b""


@dataclass(frozen=True)
class PairFacts:
    """An image and its label; ``label`` is ``None`` where the list names none."""

    image: ImageFacts
    label: LabelFacts | None


@dataclass(frozen=True)
class PairReader:
    """Callable from a position in ``pairs`` to :class:`PairFacts`; can be sent to worker processes."""

    pairs: list[FilePair]

    def __call__(self, position: int) -> PairFacts:
        image_path, label_path = self.pairs[position]
        return PairFacts(image_facts(image_path), None if label_path is None else label_facts(label_path))


def image_facts(path: str) -> ImageFacts:
    """Read an image as training does and describe it."""
    try:
        _check_is_file(path)
        image = read_image(path)
        mode, _, orientation = _header(path)
        height, width = image.shape[:2]
        red, green, blue = image[:, :, 0], image[:, :, 1], image[:, :, 2]
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return ImageFacts(
            size=(width, height),
            mode=mode,
            orientation=orientation,
            gray=bool(np.array_equal(red, green) and np.array_equal(green, blue)),
            brightest=int(image.max()),
            colours=len(_colour_counts(image, FEW_COLOURS)[0]),
            digest=_digest(image),
            thumb=cv2.resize(gray, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA).tobytes(),
        )
    except Exception as error:  # whatever a decoder does, the check goes on
        return ImageFacts(problem=_reason(path, error), missing=isinstance(error, FileNotFoundError))


def label_facts(path: str) -> LabelFacts:
    """Read a label as training does and describe it; a colour image is described by its colours."""
    mode = format_ = ""
    try:
        _check_is_file(path)
        mode, format_, _ = _header(path)
        label = read_label(path)
    except Exception as error:
        problem = _reason(path, error)
        if mode in ("", "1", "L", "P", "F") or mode.startswith("I"):
            return LabelFacts(problem, isinstance(error, FileNotFoundError), mode=mode, format=format_)
        return _colour_facts(path, problem, mode, format_)
    counts, more = _value_counts(label)
    height, width = label.shape
    return LabelFacts(
        size=(width, height),
        mode=mode,
        format=format_,
        values=counts,
        has_more_values=more,
        index_colours=_index_colours(path, counts) if mode == "P" else {},
        digest=_digest(label),
    )


def _colour_facts(path: str, problem: str, mode: str, format_: str) -> LabelFacts:
    try:
        image = read_image(path)
    except Exception as error:
        return LabelFacts(_reason(path, error), mode=mode, format=format_)
    counts, more = _colour_counts(image, MAX_VALUES)
    height, width = image.shape[:2]
    return LabelFacts(problem, False, True, (width, height), mode, format_, counts, more, {}, _digest(image))


def _reason(path: str, error: Exception) -> str:
    """The error's text without the path in front, which is shown beside it."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error).removeprefix(f"{path}: ").strip()
    return text or type(error).__name__


def _check_is_file(path: str) -> None:
    """Opening a named pipe would wait for ever."""
    os.stat(path)
    if not os.path.isfile(path):
        raise ValueError("a directory or a device, not a file")


def _header(path: str) -> tuple[str, str, int]:
    """(mode, format, EXIF orientation) as stored; pixels are not decoded."""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes, which the reader judges
        if os.fstat(file.fileno()).st_size == 0:
            return "", "", 1
        try:
            image = Image.open(file)
            mode, format_ = image.mode, image.format or ""
        except Exception:  # the reader says what is wrong
            return "", "", 1
        try:
            return mode, format_, int(image.getexif().get(_ORIENTATION_TAG, 1))
        except Exception:  # a broken EXIF block: the reader ignores it as well
            return mode, format_, 1


def _index_colours(path: str, counts: dict[int, int]) -> dict[int, int]:
    with Image.open(path) as image:
        triples = np.array(image.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
    return {
        index: int(red << 16 | green << 8 | blue)
        for index, (red, green, blue) in enumerate(triples.tolist())
        if index in counts
    }


def _value_counts(label: np.ndarray) -> tuple[dict[int, int], bool]:
    """Pixels of each value, and whether there were too many values to count all."""
    flat = label.ravel()
    blocks = (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
    if label.dtype == np.uint8:
        totals = sum((np.bincount(block, minlength=256) for block in blocks), np.zeros(256, np.int64))
        return {value: int(count) for value, count in enumerate(totals) if count}, False
    return _merged(blocks, MAX_VALUES)


def _colour_counts(image: np.ndarray, limit: int) -> tuple[dict[int, int], bool]:
    """Pixels of each colour of uint8 [H, W, 3], and whether counting stopped beyond ``limit`` colours."""
    flat = image.reshape(-1, 3)

    def packed(start: int, size: int) -> np.ndarray:
        block = flat[start : start + size].astype(np.int32)
        return block[:, 0] << 16 | block[:, 1] << 8 | block[:, 2]

    size = _BLOCK if limit > FEW_COLOURS else _BLOCK >> 5  # a photograph has that many in its first rows
    return _merged((packed(start, size) for start in range(0, len(flat), size)), limit)


def _merged(blocks: Iterable[np.ndarray], limit: int) -> tuple[dict[int, int], bool]:
    totals: Counter[int] = Counter()
    for block in blocks:
        values, counts = np.unique(block, return_counts=True)
        totals.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if len(totals) > limit:
            return dict(totals.most_common(limit + 1)), True
    return dict(totals), False


def _digest(pixels: np.ndarray) -> bytes:
    digest = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
