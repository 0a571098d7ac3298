"""What was imported, for people."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from paddle_mobileseg import tables
from paddle_mobileseg.data.importing.recipe import Sizes
from paddle_mobileseg.data.importing.sources import IGNORED


@dataclass
class Part:
    """Training, validation or test images.

    Attributes:
        classes: number of classes.
        pixels: int64 [256], pixels by label.
        occurs: int64 [256], images by label.
        sizes_hw: of each image.
    """

    classes: int
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(IGNORED + 1, dtype=np.int64))
    occurs: np.ndarray = field(default_factory=lambda: np.zeros(IGNORED + 1, dtype=np.int64))
    sizes_hw: list[tuple[int, int]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return len(self.sizes_hw)

    def add(self, size_hw: tuple[int, int], pixels: np.ndarray) -> None:
        """Count an image with its pixels by label."""
        self.pixels += pixels
        self.occurs += pixels > 0
        self.sizes_hw.append(size_hw)

    def share(self, label: int) -> float:
        """Share of the pixels that have a class."""
        labelled = int(self.pixels[: self.classes].sum())
        return float(self.pixels[label] / labelled) if labelled else 0.0


@dataclass(frozen=True)
class Summary:
    """An import.

    Attributes:
        folder: of the data set.
        format: of the labels.
        parts: train, val, test, as far as there are any.
        division: a sentence about how the parts came about.
        notes: more sentences.
        sizes: that the configuration trains at.
    """

    folder: Path
    format: str
    class_names: list[str]
    parts: dict[str, Part]
    division: str
    notes: list[str]
    sizes: Sizes

    def text(self) -> str:
        """Counts, classes with their share of the labelled pixels, and what to run next."""
        counts = ", ".join(f"{part.images} {name}" for name, part in self.parts.items())
        lines = [f"{sum(part.images for part in self.parts.values())} images, labels from {self.format}: {counts}"]
        lines += [f"({sentence})" for sentence in (self.division, *self.notes)]
        return "\n".join([*lines, "", tables.plain(self._rows()), *self._remarks(), "", *self._next()])

    def _rows(self) -> list[list[str]]:
        rows = [["class", "name", *(f"{column} {name}" for name in self.parts for column in ("pixels", "images"))]]
        for label, name in enumerate(self.class_names):
            row = [str(label), name]
            for part in self.parts.values():
                row += [f"{100 * part.share(label):.2f} %", str(part.occurs[label])]
            rows.append(row)
        return rows

    def _remarks(self) -> list[str]:
        ignored = sum(int(part.pixels[IGNORED]) for part in self.parts.values())
        everything = sum(int(part.pixels.sum()) for part in self.parts.values())
        lines = [f"ignored: {100 * ignored / everything:.2f} % of all pixels"] if ignored else []
        train = self.parts["train"]
        for label, name in enumerate(self.class_names):
            if not any(part.occurs[label] for part in self.parts.values()):
                lines.append(f"{name!r} never occurs")
            elif not train.occurs[label]:
                lines.append(f"{name!r} does not occur in the training images; another --seed may help")
        return lines

    def _next(self) -> list[str]:
        config = shlex.quote(str(self.folder / "config.yml"))
        save_dir = shlex.quote(f"output/{self.folder.name}")
        evaluates = " --do_eval" if "val" in self.parts else ""
        return [
            f"The data set is in {self.folder}. Next:",
            f"  mobileseg check-dataset --config {config}",
            f"  mobileseg train --config {config} --save_dir {save_dir}{evaluates}",
        ]
