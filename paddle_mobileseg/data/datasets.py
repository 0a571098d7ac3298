"""Data sets: which files belong together, and how one pair becomes a sample.

Everything that can be known before training is checked when a data set is made: folder, list, every listed
file. What a file holds is checked when it is read. Nothing is ever downloaded.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg import registry
from paddle_mobileseg.data import class_names as names
from paddle_mobileseg.data import palette as palettes
from paddle_mobileseg.data import synthetic
from paddle_mobileseg.data.file_lists import FilePair, check_files, find_list, pair_folders, read_list
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


@registry.register("datasets")
class Dataset(SegmentationDataset):
    """Images and labels named in a text file, one "image label" pair a line, relative to ``dataset_root``.

    Empty lines and lines that start with # are skipped.

    Args:
        mode: "train", "val" or "test"; chooses the list.
        transforms: callables from sample to sample.
        train_path, val_path, test_path: the list file, as given or below ``dataset_root``; default: train.txt,
            val.txt, test.txt there.
        separator: what stands between image and label.
        edge: PaddleSeg's edge labels; only False.
        class_names, palette: default: the lines of labels.txt in ``dataset_root`` where it has ``num_classes`` of
            them, otherwise "class 0", ...; generated colours.

    Raises:
        FileNotFoundError: no such folder, list or listed file.
        ValueError: a line without a label (train, val), an empty list, or a wrong argument.
    """

    def __init__(
        self,
        mode: str,
        dataset_root: str,
        transforms: Sequence[Transform],
        num_classes: int,
        img_channels: int = 3,
        train_path: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        separator: str = " ",
        ignore_index: int = 255,
        edge: bool = False,
        class_names: Sequence[str] | None = None,
        palette: Any = None,
    ) -> None:
        if edge:
            raise ValueError("edge labels are not supported: leave out edge or set it to False")
        mode = check_mode(mode)
        root = check_root(dataset_root)
        given = {"train": train_path, "val": val_path, "test": test_path}[mode]
        files = read_list(find_list(root, given, mode), root, separator, needs_label=mode != "test")
        if class_names is None:
            found = read_class_names(root)
            class_names = found if len(found) == num_classes else None
        super().__init__(mode, files, transforms, num_classes, ignore_index, img_channels, class_names, palette)


class FixedClassesDataset(Dataset):
    """List files (see :class:`Dataset`) of a data set whose classes are known.

    Raises:
        ValueError: also where ``dataset_root`` has a labels.txt with other classes.
    """

    NUM_CLASSES: int
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3
    CLASS_NAMES: tuple[str, ...]
    PALETTE: np.ndarray

    def __init__(
        self,
        transforms: Sequence[Transform],
        dataset_root: str,
        mode: str = "train",
        train_path: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        separator: str = " ",
        edge: bool = False,
    ) -> None:
        found = read_class_names(check_root(dataset_root))
        if found and [_letters(name) for name in found] != [_letters(name) for name in self.CLASS_NAMES]:
            raise ValueError(
                f"labels.txt in {dataset_root} has the classes {', '.join(found)}, but {type(self).__name__} has "
                f"{', '.join(self.CLASS_NAMES)}; use type: Dataset for other classes"
            )
        super().__init__(
            mode,
            dataset_root,
            transforms,
            self.NUM_CLASSES,
            train_path=train_path,
            val_path=val_path,
            test_path=test_path,
            separator=separator,
            edge=edge,
            class_names=self.CLASS_NAMES,
            palette=self.PALETTE,
        )


@registry.register("datasets")
class CamVid(FixedClassesDataset):
    """CamVid road scenes in the 11-class form; void is 255."""

    NUM_CLASSES = 11
    CLASS_NAMES = names.CAMVID
    PALETTE = palettes.CAMVID


@registry.register("datasets")
class SyntheticScenes(FixedClassesDataset):
    """Generated street scenes: a folder written by :mod:`paddle_mobileseg.data.synthetic`."""

    NUM_CLASSES = len(synthetic.CLASS_NAMES)
    CLASS_NAMES = synthetic.CLASS_NAMES
    PALETTE = synthetic.PALETTE


@registry.register("datasets")
class ADE20K(SegmentationDataset):
    """The ADE20K scene parsing benchmark, 150 classes, in its own layout.

    ``images/{training,validation}/*.jpg`` and ``annotations/{training,validation}/*.png`` below
    ``dataset_root``. Label files hold 0 for "other" and 1..150; samples hold 255 and 0..149.

    Raises:
        FileNotFoundError: a folder is missing, or an image has no label or a label no image.
        ValueError: a wrong argument or no images.
    """

    NUM_CLASSES = 150
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3
    CLASS_NAMES = names.ADE20K

    def __init__(
        self, transforms: Sequence[Transform], dataset_root: str, mode: str = "train", edge: bool = False
    ) -> None:
        if edge:
            raise ValueError("edge labels are not supported: leave out edge or set it to False")
        if check_mode(mode) == "test":
            raise ValueError("ADE20K has the modes train and val; for images without labels use type: Dataset")
        root = check_root(dataset_root)
        part = {"train": "training", "val": "validation"}[mode.lower()]
        files = pair_folders(root / "images" / part, root / "annotations" / part)
        super().__init__(mode, files, transforms, self.NUM_CLASSES, self.IGNORE_INDEX, class_names=self.CLASS_NAMES)

    def _read_label(self, path: str) -> np.ndarray:
        label = read_label(path)
        self._check_values(path, label, 0, self.NUM_CLASSES, None)
        return np.where(label == 0, self.IGNORE_INDEX, label.astype(np.int32) - 1).astype(np.uint8)


def check_mode(mode: str) -> str:
    """``mode`` in lower case; ValueError if it is none of ``MODES``."""
    if not isinstance(mode, str) or mode.lower() not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, but got {mode!r}")
    return mode.lower()


def check_root(dataset_root: str | os.PathLike[str] | None) -> Path:
    """``dataset_root`` as a path; ValueError if it is missing from the config, FileNotFoundError if not a folder."""
    if not dataset_root:
        raise ValueError("dataset_root is not set: give the folder of the data set (--data_root or the config)")
    if not Path(dataset_root).is_dir():
        raise FileNotFoundError(
            f"data set folder not found: {dataset_root}. Set dataset_root (or --data_root) to the folder that "
            "holds the data; nothing is downloaded"
        )
    return Path(dataset_root)


def read_class_names(root: Path) -> list[str]:
    """The lines of labels.txt in a data set folder; empty without that file."""
    path = root / "labels.txt"
    lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip()]


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


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
