"""Colours for class indices: palettes, colour images, overlays, palette PNGs."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from paddle_mobileseg.files import atomic_path

if TYPE_CHECKING:
    from PIL import Image

VOID_COLOUR = (0, 0, 0)  # pixels without a class

# The colours of Cambridge's own CamVid labels, in the order of its 11-class form.
CAMVID = np.array(
    [
        (128, 128, 128),  # sky
        (128, 0, 0),  # building
        (192, 192, 128),  # pole
        (128, 64, 128),  # road
        (60, 40, 222),  # pavement
        (128, 128, 0),  # tree
        (192, 128, 128),  # sign_symbol
        (64, 64, 128),  # fence
        (64, 0, 128),  # car
        (64, 64, 0),  # pedestrian
        (0, 128, 192),  # bicyclist
    ],
    dtype=np.uint8,
)

# The colours of Cityscapes' own scripts, in the order of the train ids.
CITYSCAPES = np.array(
    [
        (128, 64, 128),  # road
        (244, 35, 232),  # sidewalk
        (70, 70, 70),  # building
        (102, 102, 156),  # wall
        (190, 153, 153),  # fence
        (153, 153, 153),  # pole
        (250, 170, 30),  # traffic light
        (220, 220, 0),  # traffic sign
        (107, 142, 35),  # vegetation
        (152, 251, 152),  # terrain
        (70, 130, 180),  # sky
        (220, 20, 60),  # person
        (255, 0, 0),  # rider
        (0, 0, 142),  # car
        (0, 0, 70),  # truck
        (0, 60, 100),  # bus
        (0, 80, 100),  # train
        (0, 0, 230),  # motorcycle
        (119, 11, 32),  # bicycle
    ],
    dtype=np.uint8,
)


def default_palette(n: int) -> np.ndarray:
    """``n`` different colours, none of them black; the same as PaddleSeg's ``visualize``.

    The scheme is Pascal VOC's: the bits of index + 1 are dealt to red, green and blue in turn, most
    significant colour bits first.

    Returns:
        uint8 [n, 3], RGB.
    """
    index = np.arange(1, n + 1)
    colours = np.zeros((n, 3), dtype=np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def check_palette(palette: object, num_classes: int) -> np.ndarray:
    """``palette`` as uint8 [num_classes, 3].

    Raises:
        ValueError: not ``num_classes`` RGB triples of whole numbers from 0 to 255.
    """
    try:
        colours = np.asarray(palette, dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a palette is a list of [red, green, blue], not {palette!r}") from error
    if colours.shape != (num_classes, 3) or colours.min() < 0 or colours.max() > 255:
        raise ValueError(
            f"expected a palette of {num_classes} colours [red, green, blue], each 0 to 255, "
            f"but got an array of shape {list(colours.shape)}"
        )
    return colours.astype(np.uint8)


def colorize(labels: np.ndarray, palette: np.ndarray, ignore_index: int = 255) -> np.ndarray:
    """Labels as a colour image; ``ignore_index`` becomes ``VOID_COLOUR``.

    Args:
        labels: integers [H, W].
        palette: uint8 [C, 3], RGB.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: a label is neither in 0..C-1 nor ``ignore_index``.
    """
    labels = np.asarray(labels)
    has_class = labels != ignore_index
    wrong = labels[has_class & ((labels < 0) | (labels >= len(palette)))]
    if wrong.size:
        raise ValueError(
            f"label {wrong[0]} has no colour: expected 0 to {len(palette) - 1}, or {ignore_index} for no class"
        )
    table = np.vstack([palette, [VOID_COLOUR]]).astype(np.uint8)
    return table[np.where(has_class, labels, len(palette))]


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float = 0.5, ignore_index: int = 255
) -> np.ndarray:
    """The image with the labels' colours laid over it; pixels of ``ignore_index`` keep the image's colour.

    Args:
        image: uint8 [H, W, 3], RGB.
        labels: integers [H, W].
        palette: uint8 [C, 3], RGB.
        alpha: weight of the label colours, 0 to 1.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: sizes differ, or a label has no colour.
    """
    if image.shape[:2] != labels.shape:
        raise ValueError(f"image {image.shape[:2]} and labels {labels.shape} (height, width) differ in size")
    mixed = cv2.addWeighted(image, 1 - alpha, colorize(labels, palette, ignore_index), alpha, 0)
    return np.where((labels == ignore_index)[:, :, None], image, mixed)


def write_label_png(path: str | os.PathLike[str], labels: np.ndarray, palette: np.ndarray) -> None:
    """Write class indices as an 8-bit palette PNG: viewers show colours, :func:`read_label` gives the indices back.

    The file appears whole or not at all. Missing parent folders are created.

    Args:
        labels: integers [H, W] from 0 to 255 (255: no class, shown in ``VOID_COLOUR`` unless the palette has it).
        palette: uint8 [C, 3], RGB, C <= 256.

    Raises:
        ValueError: labels are not a map of 0..255.
        OSError: the file cannot be written.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or labels.max() > 255:
        raise ValueError(f"{path}: a palette PNG holds labels [H, W] from 0 to 255, but got {_describe(labels)}")
    image = _palette_image(labels, palette)
    with atomic_path(Path(path)) as temporary:
        image.save(temporary, format="PNG")


def encode_label_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """The content of the file that :func:`write_label_png` writes.

    Raises:
        ValueError: a class above 255.
    """
    if labels.max(initial=0) > 255:
        raise ValueError(f"class {labels.max()} does not fit into a palette PNG, which holds 0 to 255")
    content = io.BytesIO()
    _palette_image(labels, palette).save(content, format="PNG")
    return content.getvalue()


def _palette_image(labels: np.ndarray, palette: np.ndarray) -> Image.Image:
    from PIL import Image

    colours = np.tile(np.array(VOID_COLOUR, dtype=np.uint8), (256, 1))
    colours[: len(palette)] = palette
    image = Image.fromarray(labels.astype(np.uint8))  # mode "L"; putpalette makes it "P"
    image.putpalette(colours.tobytes())
    return image


def _describe(labels: np.ndarray) -> str:
    values = f" from {labels.min()} to {labels.max()}" if labels.size else ""
    return f"shape {list(labels.shape)}{values}"
