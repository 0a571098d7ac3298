"""Random geometry: scaling, cropping, mirroring. (Colour: :mod:`paddle_mobileseg.data.distort`.)"""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np

from paddle_mobileseg import registry
from paddle_mobileseg.data.sample import Sample, check_positive_int, checked_size, pad, resize


@registry.register("transforms")
class ResizeStepScaling:
    """Scale by a random factor; the change is part of the augmentation and not recorded in ``trans_info``.

    Args:
        min_scale_factor, max_scale_factor: range of the factor.
        scale_step_size: the factor is drawn from equally spaced values about this far apart; 0: any value.

    Raises:
        ValueError: the range is empty or not positive, or the step is negative.
    """

    def __init__(
        self, min_scale_factor: float = 0.75, max_scale_factor: float = 1.25, scale_step_size: float = 0.25
    ) -> None:
        if not 0 < min_scale_factor <= max_scale_factor:
            raise ValueError(
                f"ResizeStepScaling: expected 0 < min_scale_factor <= max_scale_factor, "
                f"but got {min_scale_factor} and {max_scale_factor}"
            )
        if scale_step_size < 0:
            raise ValueError(f"ResizeStepScaling: scale_step_size must not be negative, but got {scale_step_size}")
        self.min_scale_factor = min_scale_factor
        self.max_scale_factor = max_scale_factor
        self.scale_step_size = scale_step_size

    def __call__(self, sample: Sample) -> Sample:
        height, width = sample["img"].shape[:2]
        factor = self._draw()
        size = (max(round(factor * width), 1), max(round(factor * height), 1))
        return resize(sample, size, cv2.INTER_LINEAR, record=False)

    def _draw(self) -> float:
        low, high = self.min_scale_factor, self.max_scale_factor
        if low == high:
            return low
        if self.scale_step_size == 0:
            return float(np.random.uniform(low, high))
        factors = np.linspace(low, high, int((high - low) / self.scale_step_size + 1)).tolist()
        np.random.shuffle(factors)  # the first of a shuffled list, as PaddleSeg draws it
        return factors[0]


@registry.register("transforms")
class RandomResize:
    """Resize into a box with the sides' ratio kept, then by a random factor, as mmsegmentation does.

    The change is part of the augmentation and not recorded in ``trans_info``.

    Args:
        scale: box [long side, short side] in pixels, which fits upright and lying images alike.
        ratio_range: lowest and highest factor of the box; any factor between is as likely.

    Raises:
        ValueError: no such box, or a range that is empty or not positive.
    """

    def __init__(self, scale: Sequence[int], ratio_range: Sequence[float]) -> None:
        self.short, self.long = sorted(checked_size("RandomResize: scale", scale))
        if len(ratio_range) != 2 or not 0 < ratio_range[0] <= ratio_range[1]:
            raise ValueError(f"RandomResize: expected a ratio_range [lowest, highest] above 0, but got {ratio_range!r}")
        self.ratio_range = tuple(ratio_range)

    def __call__(self, sample: Sample) -> Sample:
        low, high = self.ratio_range
        ratio = np.random.random_sample() * (high - low) + low
        short, long = sorted(sample["img"].shape[:2])
        factor = min(int(self.long * ratio) / long, int(self.short * ratio) / short)
        height, width = (max(int(side * factor + 0.5), 1) for side in sample["img"].shape[:2])
        return resize(sample, (width, height), cv2.INTER_LINEAR, record=False)


@registry.register("transforms")
class RandomPaddingCrop:
    """Cut out a random window; smaller images are first padded at the right and at the bottom.

    Args:
        crop_size: [width, height].
        im_padding_value: pixel value of padding, for all channels or one for each.
        label_padding_value: label of padding; None: the data set's ``ignore_index``.
        category_max_ratio: below 1, windows are drawn again (up to ``loop_times`` times) while they have fewer
            than two classes or one class covers this share of the labelled pixels.
        ignore_index: pixels of this label do not count for that; None: the data set's.
        loop_times: the number of such attempts; the window drawn after the last one is taken as it is.

    Raises:
        ValueError: a wrong argument.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        im_padding_value: float | Sequence[float] = 127.5,
        label_padding_value: int | None = None,
        category_max_ratio: float = 1.0,
        ignore_index: int | None = None,
        loop_times: int = 10,
    ) -> None:
        self.crop_size = checked_size("RandomPaddingCrop: crop_size", crop_size)
        if category_max_ratio <= 0:
            raise ValueError(f"RandomPaddingCrop: category_max_ratio must be positive, but got {category_max_ratio}")
        self.loop_times = check_positive_int("RandomPaddingCrop: loop_times", loop_times)
        self.im_padding_value = im_padding_value
        self.label_padding_value = label_padding_value
        self.category_max_ratio = category_max_ratio
        self.ignore_index = ignore_index

    def __call__(self, sample: Sample) -> Sample:
        height, width = sample["img"].shape[:2]
        crop_width, crop_height = self.crop_size
        if (width, height) == self.crop_size:
            return sample
        size = (max(width, crop_width), max(height, crop_height))
        sample = pad(sample, size, self.im_padding_value, self.label_padding_value)
        window = self._draw_window(size)
        if self.category_max_ratio < 1.0 and "label" in sample:
            for _ in range(self.loop_times):
                if self._is_mixed(sample["label"][window], sample):
                    break
                window = self._draw_window(size)
        for key in ("img", *sample.get("gt_fields", ())):
            sample[key] = sample[key][window]
        return sample

    def _draw_window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        top = np.random.randint(0, size[1] - self.crop_size[1] + 1)
        left = np.random.randint(0, size[0] - self.crop_size[0] + 1)
        return slice(top, top + self.crop_size[1]), slice(left, left + self.crop_size[0])

    def _is_mixed(self, label: np.ndarray, sample: Sample) -> bool:
        ignore_index = sample.get("ignore_index", 255) if self.ignore_index is None else self.ignore_index
        _, counts = np.unique(label[label != ignore_index], return_counts=True)
        return len(counts) > 1 and counts.max() / counts.sum() < self.category_max_ratio


@registry.register("transforms")
class RandomHorizontalFlip:
    """Mirror left and right with probability ``prob``."""

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, sample: Sample) -> Sample:
        if random.random() < self.prob:
            for key in ("img", *sample.get("gt_fields", ())):
                sample[key] = cv2.flip(sample[key], 1)
        return sample


@registry.register("transforms")
class RandomVerticalFlip:
    """Mirror top and bottom with probability ``prob``."""

    def __init__(self, prob: float = 0.1) -> None:
        self.prob = prob

    def __call__(self, sample: Sample) -> Sample:
        if random.random() < self.prob:
            for key in ("img", *sample.get("gt_fields", ())):
                sample[key] = cv2.flip(sample[key], 0)
        return sample
