"""Does an exported file give what the network gives? Figures, and the gate that they have to pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg.metrics.confusion import ConfusionMatrix
from paddle_mobileseg.runtime.session import output_labels

# Of a network's pixels; beyond it, float32 itself does not give the trained network's labels.
_MOST_UNDECIDED = 0.1


class ParityError(ValueError):
    """An exported file gives other labels or values than the network."""


@dataclass(frozen=True)
class Tolerance:
    """What a hop must reach.

    Attributes:
        label_agreement: least share of pixels with the same label.
        max_abs_diff: largest difference of logits or probabilities, as a share of the largest absolute value of the
            network's own; without effect where the graph gives labels.
    """

    label_agreement: float = 0.999
    max_abs_diff: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.label_agreement <= 1 or not self.max_abs_diff >= 0:
            raise ValueError(
                f"tolerance is label_agreement {self.label_agreement} and max_abs_diff {self.max_abs_diff}; "
                "expected a share from 0 to 1 and a number from 0"
            )


class ParityMeter:
    """Compares two sources of outputs, image by image.

    Args:
        stage: the hop, such as ``"dynamic->onnxruntime"``.
        tolerance: for :meth:`result`; ``None`` only measures.
        num_classes, ignore_index: for scores, where :meth:`add` gets the true labels.
    """

    def __init__(
        self, stage: str, tolerance: Tolerance | None, num_classes: int | None = None, ignore_index: int = 255
    ) -> None:
        self.stage = stage
        self.tolerance = tolerance
        self._scores = num_classes and [ConfusionMatrix(num_classes, ignore_index) for _ in range(2)]
        self._labelled = 0
        self._images = self._pixels = self._equal = self._boundary = self._boundary_equal = self._values = 0
        self._max_diff = self._sum_diff = self._scale = self._max_diff_exact = 0.0
        self._classes: set[int] = set()
        self._undecided: int | None = None
        self._decided_equal = 0

    def add(
        self,
        reference: np.ndarray,
        candidate: np.ndarray,
        truth: np.ndarray | None = None,
        exact: np.ndarray | None = None,
    ) -> None:
        """Count one image; a batch of copies of it counts as one.

        Args:
            reference: the network's output: float ``[N, C, H, W]`` or integer labels ``[N, H, W]``.
            candidate: the exported file's.
            truth: the true labels ``[N, H, W]``, if they are known, for the change of IoU.
            exact: what the network gives when it is computed in float64. Pixels whose label there is another than in
                ``reference`` are undecided: rounding chooses.

        Raises:
            ParityError: shapes or dtypes differ.
            ValueError: true labels of another size, or out of range.
        """
        if reference.shape != candidate.shape or reference.dtype != candidate.dtype:
            raise ParityError(
                f"{self.stage}: the exported file gives {candidate.dtype} {list(candidate.shape)}, "
                f"but the network {reference.dtype} {list(reference.shape)}"
            )
        expected, found = output_labels(reference), output_labels(candidate)
        equal = expected == found
        if truth is not None and self._scores:
            self._labelled += 1
            for scores, labels in zip(self._scores, (expected, found), strict=True):
                scores.update(labels, truth)
        self._classes.update(np.unique(expected).tolist())
        if exact is not None:
            decided = expected == output_labels(exact)
            self._undecided = (self._undecided or 0) + int((~decided).sum())
            self._decided_equal += int(equal[decided].sum())
            if reference.ndim == 4:
                difference = np.abs(exact - candidate).max()
                self._max_diff_exact = float(np.maximum(self._max_diff_exact, difference))
        boundary = class_boundary(expected)
        self._images += 1
        self._pixels += equal.size
        self._equal += int(equal.sum())
        self._boundary += int(boundary.sum())
        self._boundary_equal += int(equal[boundary].sum())
        if reference.ndim == 4:
            difference = np.abs(reference - candidate)
            self._values += difference.size
            self._sum_diff += float(difference.sum(dtype=np.float64))
            # np.maximum, unlike max, keeps a NaN, which then fails the gate.
            self._max_diff = float(np.maximum(self._max_diff, difference.max()))
            self._scale = max(self._scale, float(np.abs(reference).max()))

    def result(self) -> dict[str, Any]:
        """Figures and verdict, for the manifest.

        Returns:
            ``stage``; ``images``; ``label_agreement``, ``boundary_agreement`` (shares of pixels; ``None`` without any
            boundary); ``max_abs_diff``, ``mean_abs_diff`` (``None`` for labels); ``tolerance`` (least label agreement);
            ``max_abs_diff_limit`` (absolute; ``None`` for labels); ``classes`` (how many the network's labels have);
            ``passed``. Without a tolerance, ``tolerance``, ``max_abs_diff_limit`` and ``passed`` are ``None``; so is
            ``passed`` where a graph of labels was compared on one class only, which proves nothing.

            Where the network in float64 was given, also ``undecided`` (share of pixels) and ``decided_agreement``: a
            file that misses the tolerance only where rounding decides passes, if that is at most a tenth of the pixels.
            Where true labels were given, also ``labelled_images``, ``miou_change`` and ``iou_change`` (the file's less
            the network's; a list with ``None`` for classes that do not occur).

        Raises:
            ValueError: nothing was added.
        """
        if self._images == 0:
            raise ValueError(f"{self.stage}: there was no image to compare on")
        agreement = self._equal / self._pixels
        floats = self._values > 0
        blind = not floats and len(self._classes) == 1 and agreement == 1
        limit = self.tolerance.max_abs_diff * self._scale if self.tolerance and floats else None
        return {
            "stage": self.stage,
            "images": self._images,
            "label_agreement": agreement,
            "boundary_agreement": self._boundary_equal / self._boundary if self._boundary else None,
            "max_abs_diff": self._max_diff if floats else None,
            "mean_abs_diff": self._sum_diff / self._values if floats else None,
            "tolerance": self.tolerance.label_agreement if self.tolerance else None,
            "max_abs_diff_limit": limit,
            "classes": len(self._classes),
            "passed": None if self.tolerance is None or blind else self._passed(agreement, limit),
            **({} if self._undecided is None else self._decided()),
            **self._iou_change(),
        }

    def _passed(self, agreement: float, limit: float | None) -> bool:
        assert self.tolerance is not None
        least = self.tolerance.label_agreement
        if agreement >= least and (limit is None or self._max_diff <= limit):
            return True
        if self._undecided is None:
            return False
        decided = self._decided()
        return (
            decided["undecided"] <= _MOST_UNDECIDED
            and decided["decided_agreement"] >= least
            and (limit is None or self._max_diff_exact <= limit)
        )

    def _decided(self) -> dict[str, float]:
        assert self._undecided is not None
        decided = self._pixels - self._undecided
        return {
            "undecided": self._undecided / self._pixels,
            "decided_agreement": self._decided_equal / decided if decided else 0.0,
        }

    def _iou_change(self) -> dict[str, Any]:
        if not self._labelled or not self._scores:
            return {}
        before, after = (scores.scores() for scores in self._scores)
        change = after.iou - before.iou
        return {
            "labelled_images": self._labelled,
            "miou_change": _number(after.miou - before.miou),
            "iou_change": [_number(each) for each in change],
        }


def _number(value: float) -> float | None:
    """Rounded to what a table shows; ``None`` where undefined."""
    return round(float(value), 6) if np.isfinite(value) else None


def class_boundary(labels: np.ndarray) -> np.ndarray:
    """Pixels near a change of class.

    Args:
        labels: ``[N, H, W]`` integers.

    Returns:
        ``[N, H, W]`` bool: pixels with another class among their four neighbours, and the four neighbours of those.
    """
    edge = np.zeros(labels.shape, np.uint8)
    down, right = labels[:, 1:] != labels[:, :-1], labels[:, :, 1:] != labels[:, :, :-1]
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    edge[:, :, 1:] |= right
    edge[:, :, :-1] |= right
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.stack([cv2.dilate(each, cross) for each in edge]).astype(bool)


def check(result: dict[str, Any], hint: str = "") -> None:
    """Raise for a hop that did not pass; one that was only measured does.

    Args:
        result: of :meth:`ParityMeter.result`.
        hint: added to the message.

    Raises:
        ParityError: names the hop, its figures and what was needed.
    """
    if result["passed"] is not False:
        return
    boundary = result["boundary_agreement"]
    text = (
        f"{result['stage']}: labels agree on {result['label_agreement']:.4%} of the pixels of "
        f"{result['images']} image(s)"
        + ("" if boundary is None else f" ({boundary:.4%} at class boundaries)")
        + f"; needed are {result['tolerance']:.4%}."
    )
    if result["max_abs_diff"] is not None:
        text += f" Largest difference: {result['max_abs_diff']:.3g}, allowed: {result['max_abs_diff_limit']:.3g}."
    if "undecided" in result:
        text += (
            f" On {result['undecided']:.4%} of the pixels rounding decides (the network in float64 gives another "
            f"label); on the others {result['decided_agreement']:.4%} agree."
        )
    raise ParityError(
        f"{text} Pixels whose two best classes are nearly equal count as they come out; "
        f"an untrained network has many of them. {hint}".rstrip()
    )
