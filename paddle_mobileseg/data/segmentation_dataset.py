"""What all data sets share: pairs of files become samples."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg.data import palette as palettes
from paddle_mobileseg.data.file_lists import FilePair, check_files
from paddle_mobileseg.data.reading import read_image, read_label
from paddle_mobileseg.data.sample import Sample, Transform
from paddle_mobileseg.data.transforms import Compose

MODES = ("train", "val", "test")


class SegmentationDataset:
    """Pairs of image and label files with the transforms that make samples of them.

    Attributes:
        mode: "train" (labels go through the transforms), "val" (labels stay as they are) or "test" (labels optional).
        file_list: (image path, label path or None), in the order of the indices.
        num_classes, ignore_index: labels are in 0..num_classes-1 or ``ignore_index``.
        class_names: list of num_classes names.
        palette: uint8 [num_classes, 3], RGB.
        img_channels: 3 (RGB) or 1 (gray).

    Args:
        class_names: default: "class 0", "class 1", ...
        palette: default: :func:`paddle_mobileseg.data.palette.default_palette`.

    Raises:
        ValueError: a wrong argument, or no files.
        FileNotFoundError: listed files are missing.
    """

    def __init__(
        self,
        mode: str,
        file_list: list[FilePair],
        transforms: Sequence[Transform],
        num_classes: int,
        ignore_index: int = 255,
        img_channels: int = 3,
        class_names: Sequence[str] | None = None,
        palette: Any = None,
    ) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"num_classes must be a whole number of at least 1, but got {num_classes!r}")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int) or 0 <= ignore_index < num_classes:
            raise ValueError(f"ignore_index must be a whole number outside 0..{num_classes - 1}, not {ignore_index!r}")
        if img_channels not in (1, 3):
            raise ValueError(f"img_channels must be 1 or 3, but got {img_channels!r}")
        self.mode = check_mode(mode)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.img_channels = img_channels
        self.class_names = [f"class {i}" for i in range(num_classes)] if class_names is None else list(class_names)
        if len(self.class_names) != num_classes:
            raise ValueError(f"num_classes is {num_classes}, but there are {len(self.class_names)} class_names")
        wanted = palettes.default_palette(num_classes) if palette is None else palette
        self.palette = palettes.check_palette(wanted, num_classes)
        self.transforms = Compose(transforms)
        self._check_padding()
        check_files(file_list)
        self.file_list = file_list

    def __len__(self) -> int:
        return len(self.file_list)

    def sample(self, index: int, seed: int) -> Sample:
        """Read one pair and apply the transforms.

        The same index and seed give the same sample, whatever was drawn before; the global random states are left
        as they were.

        Returns:
            dict with ``img`` float32 [C, h, w]; ``label`` uint8 or int32 [h, w] (in val mode [H, W], the file's own
            size; absent without a label file); ``trans_info``; ``file`` (path of the image); and the keys that
            transforms use.

        Raises:
            FileNotFoundError, ValueError: an unreadable file, a label out of range, different sizes of image and
                label, or a transform that cannot work on this image; the message names the file.
        """
        sample = self._read(index)
        with seeded(seed):
            try:
                return self.transforms.apply(sample)
            except (ValueError, cv2.error) as error:
                raise ValueError(f"{sample['file']}: {error}") from error

    def __getitem__(self, index: int) -> Sample:
        """A sample as PaddleSeg's own tools expect it: global random numbers, labels [1, H, W] in val mode."""
        sample = self.transforms.apply(self._read(index))
        if self.mode == "val":
            sample["label"] = sample["label"][None]
        return sample

    def _read(self, index: int) -> Sample:
        image_path, label_path = self.file_list[index]
        image = read_image(image_path)
        if self.img_channels == 1:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        sample: Sample = {"img": image, "file": image_path, "ignore_index": self.ignore_index, "trans_info": []}
        sample["gt_fields"] = ["label"] if self.mode == "train" else []
        if label_path is not None:
            sample["label"] = self._read_label(label_path)
            if sample["label"].shape != image.shape[:2]:
                (height, width), (label_height, label_width) = image.shape[:2], sample["label"].shape
                raise ValueError(
                    f"image and label differ in size: {image_path} is {width} x {height} (upright), "
                    f"{label_path} is {label_width} x {label_height}"
                )
        return sample

    def _read_label(self, path: str) -> np.ndarray:
        label = read_label(path)
        self._check_values(path, label, 0, self.num_classes - 1, self.ignore_index)
        return label if 0 <= self.ignore_index <= 255 else label.astype(np.int32)

    @staticmethod
    def _check_values(path: str, label: np.ndarray, lowest: int, highest: int, ignore_index: int | None) -> None:
        if label.dtype == np.uint8:
            allowed = np.zeros(256, dtype=bool)
            allowed[lowest : highest + 1] = True
            if ignore_index is not None and 0 <= ignore_index <= 255:
                allowed[ignore_index] = True
            good = allowed.take(label)
        else:
            good = (label >= lowest) & (label <= highest) | (label == ignore_index)
        if not good.all():
            wrong = np.unique(label[~good])
            shown = ", ".join(str(value) for value in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
            also = "" if ignore_index is None else f" or {ignore_index} (ignored)"
            raise ValueError(
                f"{path}: label value {shown} in {int((~good).sum())} pixels; allowed are {lowest}..{highest}{also}. "
                "Correct the label file, or num_classes and ignore_index in the config"
            )

    def _check_padding(self) -> None:
        """Padding with a value that is neither a class nor ignored would only fail inside the loss."""
        for transform in self.transforms.transforms:
            value = getattr(transform, "label_padding_value", None)
            if value is not None and value != self.ignore_index and not 0 <= value < self.num_classes:
                raise ValueError(
                    f"{type(transform).__name__} pads labels with {value}, which is neither a class "
                    f"(0..{self.num_classes - 1}) nor ignore_index {self.ignore_index}; set label_padding_value"
                )


def check_mode(mode: str) -> str:
    """``mode`` in lower case; ValueError if it is none of ``MODES``."""
    if not isinstance(mode, str) or mode.lower() not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, but got {mode!r}")
    return mode.lower()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with ``random`` and ``np.random`` seeded, and put their states back afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
