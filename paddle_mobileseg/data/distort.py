"""Random changes of colour and sharpness."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg import registry

_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green, blue: ITU-R BT.601


@registry.register("transforms")
class RandomDistort:
    """Change brightness, contrast, saturation, sharpness and hue, each by chance, in random order.

    Args:
        brightness_range, contrast_range, saturation_range, sharpness_range: the strength is drawn from
            1 - range to 1 + range; 1 leaves the image as it is.
        hue_range: the hue is turned by -range to range, in 256ths of the colour circle.
        *_prob: probability of each change.
    """

    def __init__(
        self,
        brightness_range: float = 0.5,
        brightness_prob: float = 0.5,
        contrast_range: float = 0.5,
        contrast_prob: float = 0.5,
        saturation_range: float = 0.5,
        saturation_prob: float = 0.5,
        hue_range: float = 18,
        hue_prob: float = 0.5,
        sharpness_range: float = 0.5,
        sharpness_prob: float = 0,
    ) -> None:
        # (change, lowest and highest strength, probability), in PaddleSeg's order before shuffling
        self.changes = [
            (brightness, 1 - brightness_range, 1 + brightness_range, brightness_prob),
            (contrast, 1 - contrast_range, 1 + contrast_range, contrast_prob),
            (saturation, 1 - saturation_range, 1 + saturation_range, saturation_prob),
            (sharpness, 1 - sharpness_range, 1 + sharpness_range, sharpness_prob),
            (hue, -hue_range, hue_range, hue_prob),
        ]

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        image = np.ascontiguousarray(sample["img"], dtype=np.uint8)
        changes = self.changes[:] if image.ndim == 3 else self.changes[:-1]
        random.shuffle(changes)
        for change, low, high, probability in changes:
            if np.random.uniform(0, 1) < probability:
                image = change(image, np.random.uniform(low, high))
        sample["img"] = image
        return sample


@registry.register("transforms")
class PhotoMetricDistortion:
    """Change brightness, contrast, saturation and hue, each with probability 0.5, as mmsegmentation does.

    Its contrast multiplies values; it comes second or last. Random numbers are drawn in mmsegmentation's order.

    Args:
        brightness_delta: values are raised by -delta to delta levels.
        contrast_range: lowest and highest factor of the values.
        saturation_range: lowest and highest factor of the saturation (of HSV).
        hue_delta: the hue is turned by -delta to delta - 1 180ths of the colour circle.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] = (0.5, 1.5),
        hue_delta: int = 18,
    ) -> None:
        self.brightness_delta = brightness_delta
        self.lowest_contrast, self.highest_contrast = contrast_range
        self.lowest_saturation, self.highest_saturation = saturation_range
        self.hue_delta = hue_delta

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        image = np.ascontiguousarray(sample["img"], dtype=np.uint8)
        if np.random.randint(2):
            image = _mapped(image, np.arange(256) + np.random.uniform(-self.brightness_delta, self.brightness_delta))
        contrast_is_second = np.random.randint(2)
        if contrast_is_second:
            image = self._contrast(image)
        if image.ndim == 3:
            image = self._hue(self._saturation(image))
        sample["img"] = image if contrast_is_second else self._contrast(image)
        return sample

    def _contrast(self, image: np.ndarray) -> np.ndarray:
        if np.random.randint(2):
            return _mapped(image, np.arange(256) * np.random.uniform(self.lowest_contrast, self.highest_contrast))
        return image

    def _saturation(self, image: np.ndarray) -> np.ndarray:
        if np.random.randint(2):
            factor = np.random.uniform(self.lowest_saturation, self.highest_saturation)
            return _mapped_hsv(image, 1, np.arange(256) * factor)
        return image

    def _hue(self, image: np.ndarray) -> np.ndarray:
        if np.random.randint(2):
            return _mapped_hsv(image, 0, (np.arange(256) + np.random.randint(-self.hue_delta, self.hue_delta)) % 180)
        return image


def brightness(image: np.ndarray, strength: float) -> np.ndarray:
    """Scale all values. uint8 [H, W, 3] or [H, W] in and out, as for the other changes."""
    return _mapped(image, np.arange(256) * strength)


def contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Move values away from (strength > 1) or towards the mean brightness of the image."""
    channel_means = np.array(cv2.mean(image)[:3])
    mean = int((channel_means @ _LUMA if image.ndim == 3 else channel_means[0]) + 0.5)
    return _mapped(image, mean + (np.arange(256) - mean) * strength)


def saturation(image: np.ndarray, strength: float) -> np.ndarray:
    """Move colours away from (strength > 1) or towards gray."""
    if image.ndim == 2:
        return image
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, strength, gray, 1 - strength, 0)


def sharpness(image: np.ndarray, strength: float) -> np.ndarray:
    """Move away from (strength > 1) or towards a smoothed image; the outermost pixels stay as they are."""
    smooth = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = smooth * (1 - strength)
    kernel[1, 1] += strength
    changed = image.copy()
    changed[1:-1, 1:-1] = cv2.filter2D(image, -1, kernel)[1:-1, 1:-1]
    return changed


def hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue by ``turn`` 256ths of the colour circle."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    table = np.repeat(np.arange(256)[:, None], 3, axis=1)
    table[:, 0] = (table[:, 0] + turn).astype(np.int64) % 256
    return cv2.cvtColor(cv2.LUT(hsv, table[None].astype(np.uint8)), cv2.COLOR_HSV2RGB_FULL)


def _mapped_hsv(image: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    """An RGB image with one channel of its HSV (hue from 0 to 179) looked up in a table."""
    tables = np.repeat(np.arange(256.0)[:, None], 3, axis=1)
    tables[:, channel] = table
    return cv2.cvtColor(_mapped(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables[None]), cv2.COLOR_HSV2RGB)


def _mapped(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    return cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))
