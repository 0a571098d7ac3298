"""Safe decoding of images and label maps.

A file either gives a complete array or a ``ValueError`` that names it and says what is wrong; the size is
taken from the header and judged before any pixel is decoded. Missing files stay ``FileNotFoundError``.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

# Of the files that are taken for images where a folder is searched.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MAX_PIXELS = 100_000_000  # larger images are refused: 300 MB as RGB

# Only formats with a decoder inside Pillow: others (EPS, ...) would start external programs.
Image.init()
_SUPPORTED = ("JPEG", "MPO", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000")
_FORMATS = tuple(name for name in _SUPPORTED if name in Image.OPEN)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as 8-bit RGB.

    EXIF orientation is applied, an alpha channel is dropped (as PaddleSeg's reader does), gray, palette and
    CMYK become RGB, of 16-bit samples the high byte is kept, of an animation the first frame.

    Returns:
        uint8 [H, W, 3], RGB, writeable.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, corrupt, truncated, or more than ``MAX_PIXELS`` pixels; names the file.
    """
    image = _decode(path)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return np.repeat(_to_8_bit(path, np.asarray(image))[:, :, None], 3, axis=2)
    try:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except ValueError as error:
        raise ValueError(f"{path}: an image of mode {image.mode} cannot be read as RGB; convert it first") from error


def read_label(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a label map: one class index a pixel, exactly as stored.

    A palette PNG gives its indices, not its colours; gray PNGs of 1, 2, 4 and 8 bits give the stored numbers.

    Returns:
        uint8 [H, W]; int32 [H, W] for files of 16 or 32 bits.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable as in :func:`read_image`, or not a single-channel map; names the file.
    """
    image = _decode(path, upright=False)
    values = np.array(image)
    if image.mode == "1":
        return values.astype(np.uint8)
    if image.mode == "L":
        step = _gray_step(path, image)
        return values if step == 1 else values // step
    if image.mode == "P":
        return values
    if image.mode == "I" or image.mode.startswith("I;"):
        return values.astype(np.int32)
    raise ValueError(
        f"{path}: a label file has one channel whose values are class indices, but this one is {image.mode}. "
        "Colours must be converted to class indices first (8-bit gray or palette PNG)"
    )


def _decode(path: str | os.PathLike[str], upright: bool = True) -> Image.Image:
    """Open, check the size, decode completely; Pillow's many kinds of errors become one that names the file."""
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about sizes and metadata; sizes are judged below
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(f"{path}: the file is empty")
        try:
            image = Image.open(file, formats=_FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"it has {width} x {height} pixels")
            image.load()
            return _turned_upright(image) if upright else image
        except Image.DecompressionBombError as error:
            raise ValueError(
                f"{path}: too large: {error}; at most {MAX_PIXELS // 1_000_000} million pixels are read"
            ) from error
        except Image.UnidentifiedImageError as error:
            raise ValueError(f"{path}: not an image file of a supported format ({', '.join(_FORMATS)})") from error
        except Exception as error:  # the decoders raise OSError, SyntaxError, struct.error, zlib.error and others
            raise ValueError(f"{path}: corrupt or truncated image: {error}") from error


def _turned_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels; OpenCV ignores it as well
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_8_bit(path: str | os.PathLike[str], values: np.ndarray) -> np.ndarray:
    """High byte of 16-bit samples (Pillow also delivers them as 32-bit integers)."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"{path}: samples of type {values.dtype} from {values.min()} to {values.max()} have no known brightness "
            "range; convert the image to 8 or 16 bits"
        )
    return (values >> 8).astype(np.uint8)


def _gray_step(path: str | os.PathLike[str], image: Image.Image) -> int:
    """The factor by which Pillow stretches gray PNGs of 2 and 4 bits to the range 0..255."""
    if image.format != "PNG":
        return 1
    with Path(path).open("rb") as file:
        bit_depth = file.read(25)[24]  # 8 bytes signature, 8 chunk header, 4 width, 4 height
    return {2: 85, 4: 17}.get(bit_depth, 1)
