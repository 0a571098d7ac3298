"""Confusion matrix and the scores that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Scores in 0 .. 1. NaN where undefined: a class that occurs neither in the labels nor in the predictions, no
    pixel at all.

    Attributes:
        miou: mean of ``iou`` over the classes where it is defined.
        accuracy: share of counted pixels whose label is right.
        kappa: Cohen's kappa (at most 1, can be negative).
        dice: mean of ``dice_per_class`` where defined.
        iou: ``[C]`` intersection over union.
        dice_per_class: ``[C]`` twice the intersection over the sum of both areas.
        labelled: ``[C]`` int64, pixels of each class in the labels.
    """

    miou: float
    accuracy: float
    kappa: float
    dice: float
    iou: np.ndarray
    dice_per_class: np.ndarray
    labelled: np.ndarray


class ConfusionMatrix:
    """Counts of (label, prediction) pairs over any number of images.

    Args:
        num_classes: C; labels and predictions are 0 .. C - 1.
        ignore_index: label of pixels that do not count.

    Attributes:
        matrix: ``[C, C]`` int64; row = label, column = prediction.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = np.zeros((num_classes, num_classes), np.int64)

    def update(self, prediction: np.ndarray, label: np.ndarray) -> None:
        """Count one image or batch.

        Args:
            prediction: integer array of any shape, values 0 .. C - 1.
            label: integer array of the same shape, values 0 .. C - 1 or ``ignore_index``.

        Raises:
            ValueError: shapes differ or a value is out of range.
        """
        if prediction.shape != label.shape:
            raise ValueError(f"prediction has shape {prediction.shape}, label {label.shape}; expected the same")
        if prediction.size and (prediction.min() < 0 or prediction.max() >= self.num_classes):
            wrong = prediction.min() if prediction.min() < 0 else prediction.max()
            raise ValueError(f"prediction value {wrong} is out of range; expected 0 to {self.num_classes - 1}")
        if label.dtype == np.uint8 and self.num_classes <= 256:
            self._count_bytes(prediction, label)
            return
        counted = label != self.ignore_index
        label = label[counted].astype(np.int64)
        if label.size and (label.min() < 0 or label.max() >= self.num_classes):
            self._refuse(label.min() if label.min() < 0 else label.max())
        self.matrix += self._pairs(label * self.num_classes + prediction[counted], self.num_classes)

    def _count_bytes(self, prediction: np.ndarray, label: np.ndarray) -> None:
        """With a row for each of the 256 possible labels, none has to be looked for before counting."""
        codes = label.astype(np.uint16)
        codes *= np.uint16(self.num_classes)
        codes += prediction.astype(np.uint16)
        rows = self._pairs(codes, 256)
        if 0 <= self.ignore_index <= 255:
            rows[self.ignore_index] = 0
        wrong = np.flatnonzero(rows[self.num_classes :].any(axis=1))
        if wrong.size:
            self._refuse(self.num_classes + wrong[-1])
        self.matrix += rows[: self.num_classes]

    def _pairs(self, codes: np.ndarray, rows: int) -> np.ndarray:
        """How often each code ``label * C + prediction`` occurs, ``[rows, C]``."""
        counts = np.bincount(codes.reshape(-1), minlength=rows * self.num_classes)
        return counts.reshape(rows, self.num_classes)

    def _refuse(self, label: int) -> None:
        raise ValueError(f"label value {label} is out of range; expected 0 to {self.num_classes - 1}")

    def scores(self) -> Scores:
        """Scores of everything counted so far."""
        matrix = self.matrix.astype(np.float64)
        hit = np.diag(matrix)
        labelled, predicted, total = matrix.sum(1), matrix.sum(0), matrix.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = hit / (labelled + predicted - hit)
            dice = 2 * hit / (labelled + predicted)
            accuracy = hit.sum() / total
            chance = (labelled * predicted).sum() / total**2
            kappa = (accuracy - chance) / (1 - chance)
        defined = labelled + predicted > 0
        return Scores(
            miou=float(iou[defined].mean()) if defined.any() else float("nan"),
            accuracy=float(accuracy),
            kappa=float(kappa),
            dice=float(dice[defined].mean()) if defined.any() else float("nan"),
            iou=iou,
            dice_per_class=dice,
            labelled=self.matrix.sum(1),
        )
