"""Transforms under PaddleSeg's names and arguments, and two of mmsegmentation's, on uint8 images.

A transform takes and returns a sample dict (see :mod:`paddle_mobileseg.data.sample`).
Sizes in arguments are [width, height]. Random numbers come from ``random`` and ``np.random``, drawn in the
order in which PaddleSeg 2.8.0 draws them: equal seeds give equal decisions. Differences on purpose:

- Images stay uint8, where PaddleSeg resizes float32: resized values are rounded, so they differ by at most 1
  level for linear interpolation. Padding with 127.5 therefore gives 128.
- Labels are padded with the data set's ``ignore_index`` unless ``label_padding_value`` says otherwise.
- ``RandomPaddingCrop`` with ``category_max_ratio`` crops the image (PaddleSeg returns the label in its place).
- ``ResizeByShort`` forgets the limit that ``max_size`` put on one image before the next, and draws from a
  list of sizes for every image.
- ``RandomDistort`` computes with OpenCV: each change is within 2 levels of Pillow's, except that hue is
  rounded elsewhere (below 2 levels on average, up to about 20 in single saturated pixels).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg import registry
from paddle_mobileseg.data.augment import (
    RandomHorizontalFlip,
    RandomPaddingCrop,
    RandomResize,
    RandomVerticalFlip,
    ResizeStepScaling,
)
from paddle_mobileseg.data.distort import PhotoMetricDistortion, RandomDistort
from paddle_mobileseg.data.sample import Sample, Transform, check_positive_int, checked_size, pad, resize, scale

__all__ = [
    "Compose",
    "LimitLong",
    "Normalize",
    "Padding",
    "PhotoMetricDistortion",
    "RandomDistort",
    "RandomHorizontalFlip",
    "RandomPaddingCrop",
    "RandomResize",
    "RandomVerticalFlip",
    "Resize",
    "ResizeByLong",
    "ResizeByShort",
    "ResizeStepScaling",
]

_INTERPOLATIONS = {
    "NEAREST": cv2.INTER_NEAREST,
    "LINEAR": cv2.INTER_LINEAR,
    "CUBIC": cv2.INTER_CUBIC,
    "AREA": cv2.INTER_AREA,
    "LANCZOS4": cv2.INTER_LANCZOS4,
}


class Compose:
    """Transforms one after the other, then [H, W, C] -> [C, H, W].

    Args:
        transforms: callables from sample to sample; may be empty.

    Raises:
        ValueError: not a list of callables.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        if not isinstance(transforms, (list, tuple)) or not all(callable(each) for each in transforms):
            raise ValueError(f"transforms must be a list of transforms, but got {transforms!r}")
        self.transforms = list(transforms)

    def apply(self, sample: Sample) -> Sample:
        """Run all transforms on a sample; its ``img`` becomes float32 [C, H, W], contiguous."""
        sample.setdefault("gt_fields", [])
        sample.setdefault("trans_info", [])
        for transform in self.transforms:
            sample = transform(sample)
        image = sample["img"]
        image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        sample["img"] = np.ascontiguousarray(image, dtype=np.float32)
        return sample


@registry.register("transforms")
class Resize:
    """Resize to a fixed size, or into it with the sides' ratio kept.

    Args:
        target_size: [width, height].
        keep_ratio: scale so that the long side is at most the longer, and the short side at most the shorter, of
            ``target_size``.
        size_divisor: then round both sides up to multiples of this (None: do not).
        interp: NEAREST, LINEAR, CUBIC, AREA, LANCZOS4, or RANDOM for one of them by chance. Labels: always nearest.

    Raises:
        ValueError: a wrong argument.
    """

    def __init__(
        self,
        target_size: Sequence[int] = (512, 512),
        keep_ratio: bool = False,
        size_divisor: int | None = None,
        interp: str = "LINEAR",
    ) -> None:
        self.target_size = checked_size("Resize: target_size", target_size)
        if interp != "RANDOM" and interp not in _INTERPOLATIONS:
            raise ValueError(f"Resize: interp must be RANDOM or one of {', '.join(_INTERPOLATIONS)}, not {interp!r}")
        if size_divisor is not None:
            check_positive_int("Resize: size_divisor", size_divisor)
        self.keep_ratio = keep_ratio
        self.size_divisor = size_divisor
        self.interp = interp

    def __call__(self, sample: Sample) -> Sample:
        interp = random.choice(list(_INTERPOLATIONS)) if self.interp == "RANDOM" else self.interp
        height, width = sample["img"].shape[:2]
        size = list(self.target_size)
        if self.keep_ratio:
            factor = min(max(size) / max(width, height), min(size) / min(width, height))
            size = [max(round(width * factor), 1), max(round(height * factor), 1)]
        if self.size_divisor:
            size = [math.ceil(side / self.size_divisor) * self.size_divisor for side in size]
        return resize(sample, (size[0], size[1]), _INTERPOLATIONS[interp])


@registry.register("transforms")
class ResizeByLong:
    """Scale so that the long side has ``long_size`` pixels."""

    def __init__(self, long_size: int) -> None:
        self.long_size = check_positive_int("ResizeByLong: long_size", long_size)

    def __call__(self, sample: Sample) -> Sample:
        return scale(sample, self.long_size / max(sample["img"].shape[:2]))


@registry.register("transforms")
class ResizeByShort:
    """Scale so that the short side has ``short_size`` pixels.

    Args:
        short_size: pixels, or a list of sizes to draw from for every image.
        max_size: if the long side would exceed this, the short side is made smaller, rounded down to a whole pixel.
    """

    def __init__(self, short_size: int | Sequence[int], max_size: float = 1e10) -> None:
        sizes: Sequence[Any] = short_size if isinstance(short_size, (list, tuple)) else [short_size]
        if not sizes:
            raise ValueError("ResizeByShort: short_size is an empty list")
        self.short_sizes = [check_positive_int("ResizeByShort: short_size", size) for size in sizes]
        self.max_size = max_size

    def __call__(self, sample: Sample) -> Sample:
        size = self.short_sizes[0] if len(self.short_sizes) == 1 else random.choice(self.short_sizes)
        short, long = sorted(sample["img"].shape[:2])
        if size / short * long > self.max_size:
            size = max(int(self.max_size / long * short), 1)
        return scale(sample, size / short)


@registry.register("transforms")
class LimitLong:
    """Scale down where the long side exceeds ``max_long``, up where it is below ``min_long`` (None: no limit)."""

    def __init__(self, max_long: int | None = None, min_long: int | None = None) -> None:
        for name, value in (("max_long", max_long), ("min_long", min_long)):
            if value is not None:
                check_positive_int(f"LimitLong: {name}", value)
        if max_long is not None and min_long is not None and min_long > max_long:
            raise ValueError(f"LimitLong: min_long {min_long} is larger than max_long {max_long}")
        self.max_long = max_long
        self.min_long = min_long

    def __call__(self, sample: Sample) -> Sample:
        long = target = max(sample["img"].shape[:2])
        if self.max_long is not None and long > self.max_long:
            target = self.max_long
        elif self.min_long is not None and long < self.min_long:
            target = self.min_long
        return scale(sample, target / long)


@registry.register("transforms")
class Normalize:
    """``(img / 255 - mean) / std`` as float32, bit for bit PaddleSeg's.

    Args:
        mean, std: one number for all channels, or one for each.

    Raises:
        ValueError: other lengths, or a ``std`` that is not positive.
    """

    def __init__(self, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,)) -> None:
        self.mean = np.array(mean, dtype=np.float64).ravel()
        self.std = np.array(std, dtype=np.float64).ravel()
        if self.mean.size not in (1, 3) or self.std.size not in (1, 3):
            raise ValueError(f"Normalize: mean and std have 1 or 3 numbers, but got {mean} and {std}")
        if not (self.std > 0).all() or not np.isfinite(self.mean).all():
            raise ValueError(f"Normalize: std must be positive and mean finite, but got std {std}, mean {mean}")

    def __call__(self, sample: Sample) -> Sample:
        image = sample["img"]
        channels = 1 if image.ndim == 2 else image.shape[2]
        if max(self.mean.size, self.std.size) not in (1, channels):
            raise ValueError(f"Normalize: mean has {self.mean.size} numbers, but the image {channels} channels")
        if image.dtype != np.uint8:
            sample["img"] = self._normalized(np.asarray(image, dtype=np.float32))
            return sample
        table = self._normalized(np.repeat(np.arange(256, dtype=np.float32)[:, None], channels, axis=1))
        planes = np.empty((channels, *image.shape[:2]), dtype=np.float32)  # memory order of the final [C, H, W]
        for channel, plane in enumerate(cv2.split(image)):
            cv2.LUT(plane, np.ascontiguousarray(table[:, channel]), dst=planes[channel])
        sample["img"] = planes[0] if image.ndim == 2 else planes.transpose(1, 2, 0)
        return sample

    def _normalized(self, values: np.ndarray) -> np.ndarray:
        values = values / np.float32(255)
        values -= self.mean
        values /= self.std
        return values


@registry.register("transforms")
class Padding:
    """Pad at the right and at the bottom to a fixed size.

    Args:
        target_size: [width, height].
        im_padding_value: pixel value of padding.
        label_padding_value: label of padding; None: the data set's ``ignore_index``.

    Raises:
        ValueError: a wrong argument; when applied: the image is larger than ``target_size``.
    """

    def __init__(
        self, target_size: Sequence[int], im_padding_value: float = 127.5, label_padding_value: int | None = None
    ) -> None:
        self.target_size = checked_size("Padding: target_size", target_size)
        self.im_padding_value = im_padding_value
        self.label_padding_value = label_padding_value

    def __call__(self, sample: Sample) -> Sample:
        height, width = sample["img"].shape[:2]
        if width > self.target_size[0] or height > self.target_size[1]:
            raise ValueError(
                f"Padding: the image is {width} x {height}, larger than target_size {self.target_size[0]} x "
                f"{self.target_size[1]} (width x height); resize it first or choose a larger target_size"
            )
        sample["trans_info"].append(("padding", (height, width)))
        return pad(sample, self.target_size, self.im_padding_value, self.label_padding_value)
