"""A small data set to put defects into, for the tests of the dataset check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data.augment import RandomPaddingCrop
from paddle_mobileseg.data.check import Checked, Split, check_dataset
from paddle_mobileseg.data.check.findings import Finding
from paddle_mobileseg.data.datasets import Dataset
from paddle_mobileseg.data.file_lists import missing_files_allowed

COUNTS = {"train": 5, "val": 3}
WIDTH, HEIGHT = 48, 36
CROP = [RandomPaddingCrop([32, 32]), T.Normalize()]


def picture(seed: int, size_wh: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """Smooth colours that differ for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)


def label_map(seed: int, classes: int = 3) -> np.ndarray:
    """Blocks of all classes 0 .. classes - 1, and some ignored pixels."""
    blocks = np.random.default_rng(seed).permutation(np.arange(12) % classes).reshape(3, 4).astype(np.uint8)
    label = np.kron(blocks, np.ones((HEIGHT // 3, WIDTH // 4), np.uint8))
    label[0, :4] = 255
    return label


class Data:
    """A folder with a data set, to put defects into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lists = {s: [(f"images/{s}{i}.png", f"labels/{s}{i}.png") for i in range(n)] for s, n in COUNTS.items()}
        for split, pairs in self.lists.items():
            for number, (image, label) in enumerate(pairs):
                self.save(image, picture(100 * len(split) + number))
                self.save(label, label_map(number))

    def save(self, name: str, pixels: np.ndarray, **options: object) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(self.root / name, **options)

    def label(self, split: str, number: int) -> np.ndarray:
        return np.array(Image.open(self.root / self.lists[split][number][1]))

    def change_labels(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        for split, count in COUNTS.items():
            for number in range(count):
                self.save(self.lists[split][number][1], change(self.label(split, number)))

    def splits(self, num_classes: int = 3, transforms: list | None = None, **arguments: object) -> list[Split]:
        made = []
        for name, pairs in self.lists.items():
            (self.root / f"{name}.txt").write_text("".join(f"{image} {label}\n" for image, label in pairs))
            with missing_files_allowed():
                dataset = Dataset(
                    name, str(self.root), CROP if transforms is None else transforms, num_classes, **arguments
                )
            made.append(Split.of(name, dataset))
        return made

    def check(self, num_classes: int = 3, batch_size: int = 2, **arguments: object) -> Checked:
        return check_dataset(self.splits(num_classes, **arguments), num_workers=0, batch_size=batch_size)

    def path(self, name: str) -> str:
        return str(self.root / name)


def found(checked: Checked, notes: bool = False) -> dict[str, int]:
    """By ``level code splits``, the number of files."""
    return {
        f"{f.level} {f.code} {'+'.join(f.splits)}": len(f.items) for f in checked.findings if notes or f.level != "note"
    }


def only(checked: Checked) -> Finding:
    findings = [finding for finding in checked.findings if finding.level != "note"]
    assert len(findings) == 1, found(checked)
    return findings[0]
