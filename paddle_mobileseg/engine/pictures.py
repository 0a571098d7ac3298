"""Label maps and images as the content of files, so that one process can make it and another write it."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from paddle_mobileseg.data.palette import VOID_COLOUR
from paddle_mobileseg.files import atomic_path

# What a file of a process's results is called below the output folder, and its content.
Encoded = tuple[str, bytes]


def encode_label_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """An 8-bit palette PNG, as :func:`paddle_mobileseg.data.palette.write_label_png` writes it.

    Args:
        labels: integers ``[H, W]`` from 0 to 255.
        palette: ``[C, 3]`` uint8 RGB; what it lacks is shown in black.

    Raises:
        ValueError: a class above 255.
    """
    if labels.max(initial=0) > 255:
        raise ValueError(f"class {labels.max()} does not fit into a palette PNG, which holds 0 to 255")
    colours = np.tile(np.array(VOID_COLOUR, np.uint8), (256, 1))
    colours[: len(palette)] = palette
    image = Image.fromarray(labels.astype(np.uint8))  # mode "L"; putpalette makes it "P"
    image.putpalette(colours.tobytes())
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()


def encode_jpeg(image: np.ndarray) -> bytes:
    """A JPEG of an RGB image ``[H, W, 3]`` uint8."""
    return cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def write_all(folder: Path, files: list[Encoded]) -> None:
    """Write files below a folder, each atomically.

    Raises:
        OSError: one cannot be written.
    """
    for name, content in files:
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
