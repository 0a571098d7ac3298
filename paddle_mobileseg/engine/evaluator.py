"""Evaluation of a network, or of anything that gives labels, on a labelled data set."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from paddle import nn

from paddle_mobileseg.config import Config
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.inference import SlidingWindow, infer_batch
from paddle_mobileseg.engine.parallel import Ranks
from paddle_mobileseg.engine.sharing import ALONE, Shares
from paddle_mobileseg.layers import eval_mode
from paddle_mobileseg.metrics import ConfusionMatrix, Scores
from paddle_mobileseg.progress import progress

OnImage = Callable[[int, dict[str, Any], np.ndarray], None]
Labeller = Callable[[Sequence[dict[str, Any]]], Sequence[np.ndarray]]


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
            "labelled_pixels": dict(zip(self.class_names, map(int, scores.labelled), strict=True)),
            "images": self.images,
        }

    def table(self) -> str:
        """Scores as text, a line for each class; a class without a pixel in the labels is marked.

        It is ``absent`` where it is not predicted either, and does not count; where it is predicted its IoU is 0.
        """
        from prettytable import PrettyTable

        table = PrettyTable(["class", "IoU", "dice"], align="r")
        table.align["class"] = "l"
        scores = self.scores
        for name, iou, dice, labelled in zip(
            self.class_names, scores.iou, scores.dice_per_class, scores.labelled, strict=True
        ):
            note = " (not in the labels)" if not labelled and not math.isnan(iou) else ""
            table.add_row([name + note, *("absent" if math.isnan(v) else f"{v:.4f}" for v in (iou, dice))])
        return f"{table.get_string()}\n{self.summary()}"

    def summary(self) -> str:
        """The means, on one line."""
        s = self.scores
        means = f"mIoU {s.miou:.4f}   accuracy {s.accuracy:.4f}   kappa {s.kappa:.4f}   dice {s.dice:.4f}"
        return f"{means}   images {self.images}"


def evaluate(
    network: nn.Layer,
    dataset: Any,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    num_workers: int = 0,
    on_image: OnImage | None = None,
    *,
    flip_vertical: bool = False,
    window: SlidingWindow | None = None,
    batch_size: int = 1,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Evaluate a network on every image of a data set, at the labels' own size.

    Args:
        network: any segmentation network; its mode is put back afterwards.
        dataset: in mode ``val``.
        scales: factors of the input size to average over.
        flip: also average with the horizontally mirrored image.
        flip_vertical: also with the vertically mirrored one, and with both where both are asked for.
        window: look at every image through a sliding window.
        num_workers: processes that read images.
        on_image, batch_size, ranks: as in :func:`evaluate_labels`. Of a batch, images of equal size go through the
            network together.

    Raises:
        ValueError: as :func:`evaluate_labels`, or the network's logits are not finite.
    """

    def label(samples: Sequence[dict[str, Any]]) -> Sequence[np.ndarray]:
        labels: list[np.ndarray] = [np.empty(0)] * len(samples)
        for shape in dict.fromkeys(sample["img"].shape for sample in samples):
            members = [n for n, sample in enumerate(samples) if sample["img"].shape == shape]
            images = samples[members[0]]["img"]  # not copied where there is one: it may be large
            if len(members) > 1:
                images = np.concatenate([samples[n]["img"] for n in members])
            trans_infos = [samples[n]["trans_info"] for n in members]
            try:
                found = infer_batch(network, images, trans_infos, scales, flip, flip_vertical, window)
            except ValueError as error:
                raise ValueError(f"{', '.join(samples[n]['file'] for n in members)}: {error}") from error
            for n, each in zip(members, found, strict=True):
                labels[n] = each
        return labels

    with eval_mode(network):
        return evaluate_labels(label, dataset, num_workers, on_image, batch_size, ranks)


def evaluate_labels(
    label: Labeller,
    dataset: Any,
    num_workers: int = 0,
    on_image: OnImage | None = None,
    batch_size: int = 1,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Evaluate whatever gives labels on every image of a data set.

    Args:
        label: gets up to ``batch_size`` consecutive samples (``img`` float32 ``[1, C, h, w]``, ``label``,
            ``trans_info``, ``file``) and gives labels ``[H, W]``, of each label map's own size.
        dataset: in mode ``val``.
        num_workers: processes that read images.
        on_image: called with (index, sample, labels) for each image, in the process that evaluated it; the first
            process evaluates the first 4 images.
        batch_size: images that are given to ``label`` together.
        ranks: of this process, where several share the images out; all must call this, and all get the whole result,
            which is that of a single process.

    Raises:
        ValueError: the data set is empty, or an image or label cannot be used; the message names the file. In all
            processes, whichever met it.
    """
    if len(dataset) == 0:
        raise ValueError("the data set to evaluate on is empty; check its val_path and dataset_root")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; expected a whole number of at least 1")
    ranks = ranks or ALONE
    shares = Shares(len(dataset), batch_size, ranks)
    confusion = ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
    samples = eval_samples(dataset, num_workers, shares.indices)

    def results() -> Iterator[None]:
        chunks = shares.chunks
        shown = progress(chunks, total=len(chunks), name="evaluate") if ranks.number == 0 else chunks
        for chunk in shown:
            group = [_labelled(next(samples)) for _ in chunk]
            for index, sample, labels in zip(chunk, group, label(group), strict=True):
                try:
                    confusion.update(labels, sample["label"])
                except ValueError as error:
                    raise ValueError(f"{sample['file']}: {error}") from error
                if on_image is not None:
                    on_image(index, sample, labels)
            yield None

    with contextlib.closing(samples):
        for _ in shares.rounds(results()):
            pass
    confusion.matrix = sum(parallel.gather(confusion.matrix, ranks))
    return Evaluation(confusion.scores(), list(dataset.class_names), len(dataset))


def eval_settings(cfg: Config) -> dict[str, Any]:
    """Arguments for :func:`evaluate`, as a configuration's ``test_config`` has them.

    As in PaddleSeg, scales and flipping count only with ``aug_eval: True``, and a sliding window with ``is_slide:
    True``. ``scales`` and ``flip`` are always there; of the rest what differs from :func:`evaluate`'s defaults.
    """
    section = cfg.test_config
    settings: dict[str, Any] = {"scales": [1.0], "flip": False}
    if section.get("aug_eval"):
        scales = section.get("scales", 1.0)
        settings["scales"] = scales if isinstance(scales, list) else [scales]
        settings["flip"] = bool(section.get("flip_horizontal", False))
        if section.get("flip_vertical"):
            settings["flip_vertical"] = True
    if section.get("is_slide"):
        settings["window"] = SlidingWindow(tuple(section["crop_size"]), tuple(section["stride"]))
    if section.get("batch_size", 1) != 1:
        settings["batch_size"] = section["batch_size"]
    return settings


def _labelled(sample: dict[str, Any]) -> dict[str, Any]:
    if sample["label"] is None:
        raise ValueError(f"{sample['file']} has no label to compare with; evaluate on labelled images")
    return sample


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
