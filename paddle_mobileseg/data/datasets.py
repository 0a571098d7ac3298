"""Data sets: which files belong together, and how one pair becomes a sample.

Everything that can be known before training is checked when a data set is made: folder, list, every listed
file. What a file holds is checked when it is read. Nothing is ever downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg import registry
from paddle_mobileseg.data import class_names as names
from paddle_mobileseg.data import palette as palettes
from paddle_mobileseg.data import synthetic
from paddle_mobileseg.data.file_lists import FilePair, find_list, pair_folders, read_list
from paddle_mobileseg.data.reading import read_label
from paddle_mobileseg.data.sample import Transform
from paddle_mobileseg.data.segmentation_dataset import SegmentationDataset, check_mode


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
    FIRST_VALUE = 1  # of class 0 in label files, read by the dataset check; 0 has no class
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


@registry.register("datasets")
class Cityscapes(SegmentationDataset):
    """Cityscapes, 19 classes, in its own layout.

    ``leftImg8bit/{train,val,test}/CITY/*_leftImg8bit.png`` and ``gtFine/{train,val,test}/CITY/
    *_gtFine_labelTrainIds.png`` below ``dataset_root``, paired by name. The data set comes without the labelTrainIds
    files: its own scripts make them.

    Raises:
        FileNotFoundError: a folder is missing, an image has no label (in mode "test" it may have none) or a label no
            image.
        ValueError: a wrong argument or no images.
    """

    NUM_CLASSES = 19
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3
    CLASS_NAMES = names.CITYSCAPES
    PALETTE = palettes.CITYSCAPES

    def __init__(
        self, transforms: Sequence[Transform], dataset_root: str, mode: str = "train", edge: bool = False
    ) -> None:
        if edge:
            raise ValueError("edge labels are not supported: leave out edge or set it to False")
        mode = check_mode(mode)
        files = _cityscapes_pairs(check_root(dataset_root), mode)
        super().__init__(
            mode,
            files,
            transforms,
            self.NUM_CLASSES,
            self.IGNORE_INDEX,
            class_names=self.CLASS_NAMES,
            palette=self.PALETTE,
        )


def _cityscapes_pairs(root: Path, part: str) -> list[FilePair]:
    """(image, label or None) of a part, sorted by city and name."""
    folders = [root / "leftImg8bit" / part, root / "gtFine" / part]
    for folder in folders if part != "test" else folders[:1]:
        if not folder.is_dir():
            raise FileNotFoundError(f"Cityscapes folder not found: {folder}")
    images = _by_frame(folders[0], "_leftImg8bit.png")
    labels = _by_frame(folders[1], "_gtFine_labelTrainIds.png")
    without_label = [] if part == "test" else sorted(images.keys() - labels.keys())
    if without_label:
        message = f"{len(without_label)} of {len(images)} images have no label, such as {images[without_label[0]]}"
        if set(without_label) <= _by_frame(folders[1], "_gtFine_labelIds.png").keys():
            message += (
                ". There are their labelIds, but labelTrainIds (19 classes, 255 for void) are needed: "
                f"pip install cityscapesscripts, then CITYSCAPES_DATASET={root} "
                "python -m cityscapesscripts.preparation.createTrainIdLabelImgs"
            )
        raise FileNotFoundError(message)
    without_image = sorted(labels.keys() - images.keys())
    if without_image:
        raise FileNotFoundError(
            f"{len(without_image)} of {len(labels)} labels have no image, such as {labels[without_image[0]]}"
        )
    return [(images[frame], labels.get(frame)) for frame in sorted(images)]


def _by_frame(folder: Path, ending: str) -> dict[str, str]:
    """Path of each file ``CITY/FRAME<ending>`` below a folder, by "CITY/FRAME"."""
    return {str(path.relative_to(folder))[: -len(ending)]: str(path) for path in folder.glob(f"*/*{ending}")}


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
