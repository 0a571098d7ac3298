"""Images as the content of files, so that one process can make it and another write it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from paddle_mobileseg.files import atomic_path

# Folders below that of the results: label PNGs, and images under the colours.
LABELS, OVERLAYS = "pseudo_color_prediction", "added_prediction"

# What a file of a process's results is called below the output folder, and its content.
Encoded = tuple[str, bytes]


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
