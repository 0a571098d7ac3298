"""The sample dict that transforms pass on, and the steps that they share.

It is PaddleSeg's, so that its other transforms mix with ours:

- ``img``: uint8 [H, W, 3] RGB (or [H, W] gray); float32 after :class:`Normalize`.
- ``label``: integers [H, W], where there is one.
- ``gt_fields``: the keys that are resized, cropped and flipped with the image (``["label"]`` in training).
- ``trans_info``: list of ``("resize" | "padding", (height, width))``, the size before each such step.
- ``ignore_index``: the label of padding, for transforms that were not told another; 255 where absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2

Sample = dict[str, Any]
Transform = Callable[[Sample], Sample]


def scale(sample: Sample, factor: float) -> Sample:
    """Resize image and labels by a factor, to whole pixels."""
    height, width = sample["img"].shape[:2]
    return resize(sample, (max(round(width * factor), 1), max(round(height * factor), 1)), cv2.INTER_LINEAR)


def resize(sample: Sample, size: tuple[int, int], interpolation: int, record: bool = True) -> Sample:
    """Resize image and labels to (width, height)."""
    height, width = sample["img"].shape[:2]
    if record:
        sample["trans_info"].append(("resize", (height, width)))
    if size != (width, height):
        sample["img"] = cv2.resize(sample["img"], size, interpolation=interpolation)
        for key in sample.get("gt_fields", ()):
            sample[key] = cv2.resize(sample[key], size, interpolation=cv2.INTER_NEAREST)
    return sample


def pad(sample: Sample, size: tuple[int, int], image_value: float | Sequence[float], label_value: int | None) -> Sample:
    """Pad image and labels at the right and bottom to (width, height); an image value may be one for each channel."""
    height, width = sample["img"].shape[:2]
    right, bottom = size[0] - width, size[1] - height
    if right == 0 and bottom == 0:
        return sample
    if label_value is None:
        label_value = sample.get("ignore_index", 255)
    colour = (image_value,) * 4 if isinstance(image_value, (int, float)) else tuple(image_value)
    values = [("img", colour), *((key, label_value) for key in sample.get("gt_fields", ()))]
    for key, value in values:
        sample[key] = cv2.copyMakeBorder(sample[key], 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=value)
    return sample


def checked_size(name: str, size: Sequence[int]) -> tuple[int, int]:
    """``size`` as a tuple; ValueError with the argument's ``name`` if it is not two positive whole numbers."""
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise ValueError(f"{name} must be [width, height], but got {size!r}")
    return check_positive_int(name, size[0]), check_positive_int(name, size[1])


def check_positive_int(name: str, value: Any) -> int:
    """``value``; ValueError with the argument's ``name`` if it is no positive whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, but got {value!r}")
    return value
