"""Evaluation of a network on a labelled data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from paddle import nn

from paddle_mobileseg.config import Config
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.engine.inference import infer_labels
from paddle_mobileseg.layers import eval_mode
from paddle_mobileseg.metrics import ConfusionMatrix, Scores
from paddle_mobileseg.progress import progress


@dataclass(frozen=True)
class Evaluation:
    """Scores on a data set.

    Attributes:
        scores: see :class:`paddle_mobileseg.metrics.Scores`.
        class_names: names of the classes, in the order of the scores.
        images: how many were evaluated.
    """

    scores: Scores
    class_names: list[str]
    images: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: scores in 0 .. 1, ``None`` where undefined (a class that occurs nowhere)."""
        scores = self.scores
        return {
            **{name: _number(getattr(scores, name)) for name in ("miou", "accuracy", "kappa", "dice")},
            "iou": dict(zip(self.class_names, map(_number, scores.iou), strict=True)),
            "dice_per_class": dict(zip(self.class_names, map(_number, scores.dice_per_class), strict=True)),
            "images": self.images,
        }

    def table(self) -> str:
        """Scores as text, a line for each class."""
        from prettytable import PrettyTable

        table = PrettyTable(["class", "IoU", "dice"], align="r")
        table.align["class"] = "l"
        for name, iou, dice in zip(self.class_names, self.scores.iou, self.scores.dice_per_class, strict=True):
            table.add_row([name, *("absent" if math.isnan(v) else f"{v:.4f}" for v in (iou, dice))])
        s = self.scores
        means = f"mIoU {s.miou:.4f}   accuracy {s.accuracy:.4f}   kappa {s.kappa:.4f}   dice {s.dice:.4f}"
        return f"{table.get_string()}\n{means}   images {self.images}"


def evaluate(
    network: nn.Layer,
    dataset: Any,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    num_workers: int = 0,
    on_image: Callable[[int, dict[str, Any], np.ndarray], None] | None = None,
) -> Evaluation:
    """Evaluate on every image of a data set, at the labels' own size.

    Args:
        network: any segmentation network; its mode is put back afterwards.
        dataset: in mode ``val``.
        scales: factors of the input size to average over.
        flip: also average with the mirrored image.
        num_workers: processes that read images.
        on_image: called with (index, sample, labels ``[H, W]`` int32) for each image.

    Raises:
        ValueError: the data set is empty, or an image or label cannot be used; the message names the file.
    """
    if len(dataset) == 0:
        raise ValueError("the data set to evaluate on is empty; check its val_path and dataset_root")
    confusion = ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
    with eval_mode(network):
        samples = eval_samples(dataset, num_workers=num_workers)
        for index, sample in enumerate(progress(samples, total=len(dataset), name="evaluate")):
            if sample["label"] is None:
                raise ValueError(f"{sample['file']} has no label to compare with; evaluate on labelled images")
            labels = infer_labels(network, sample["img"], sample["trans_info"], scales, flip)
            confusion.update(labels, sample["label"])
            if on_image is not None:
                on_image(index, sample, labels)
    return Evaluation(confusion.scores(), list(dataset.class_names), len(dataset))


def eval_settings(cfg: Config) -> dict[str, Any]:
    """``scales`` and ``flip`` for :func:`evaluate`, as a configuration's ``test_config`` has them.

    As in PaddleSeg, scales and flipping count only with ``aug_eval: True``.
    """
    section = cfg.test_config
    if not section.get("aug_eval"):
        return {"scales": [1.0], "flip": False}
    scales = section.get("scales", 1.0)
    return {
        "scales": scales if isinstance(scales, list) else [scales],
        "flip": bool(section.get("flip_horizontal", False)),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
