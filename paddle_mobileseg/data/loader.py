"""Batches for training and single samples for evaluation, as NumPy arrays.

What a batch holds is a function of the seed and its position in the data alone: not of the number of workers, nor of
where training was interrupted. Errors come out in the calling process, for any number of workers.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_mobileseg.data.segmentation_dataset import seeded
from paddle_mobileseg.data.workers import ordered_map

Batch = dict[str, Any]


@dataclass(frozen=True)
class Cursor:
    """A position in the endless shuffled training data, the same one for any batch size and number of processes.

    Attributes:
        epoch: from 0; each is shuffled anew.
        offset: images of that epoch that have been taken by all processes together.
    """

    epoch: int = 0
    offset: int = 0

    def after(self, batches: int, batch_images: int, images: int) -> Cursor:
        """Where the data stands when so many batches have been taken from here.

        What remains of an epoch below one batch is left out.

        Args:
            batches: at least 0.
            batch_images: of all processes together, at most ``images``.
            images: in the data set.
        """
        left = max(images - self.offset, 0) // batch_images
        if batches < left:
            return Cursor(self.epoch, self.offset + batches * batch_images)
        epochs, rest = divmod(batches - left, images // batch_images)
        return Cursor(self.epoch + 1 + epochs, rest * batch_images)


def train_batches(
    dataset: Any,
    batch_size: int,
    count: int,
    seed: int,
    start: Cursor | None = None,
    num_workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> Generator[Batch, None, None]:
    """Batches of an endless training run, from a position in the data on.

    Every epoch is shuffled anew, from (seed, epoch); what remains of it below one batch is left out. Every
    image's augmentation depends on (seed, epoch, its index) only.

    Args:
        dataset: of this project, or any of PaddleSeg's.
        batch_size: images a batch.
        count: how many batches to give.
        start: the position of the first one; by default the beginning. Batch ``n`` is at
            ``start.after(n, batch_size * ranks, len(dataset))``.
        num_workers: processes that read and transform; 0: none but this one.
        rank, ranks: give only the rank-th of so many equal shares of batches of ``batch_size * ranks`` images.

    Yields:
        ``img`` float32 [N, C, H, W]; ``label`` int64 [N, H, W]; ``files``: list of N image paths.

    Raises:
        ValueError: at once: a wrong argument, or a data set smaller than one batch; later: a file that cannot be
            used (named), or images of different sizes after the transforms.
        ChildProcessError: a worker died.
    """
    start = start or Cursor()
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("count", count, 0),
        ("start.epoch", start.epoch, 0),
        ("start.offset", start.offset, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, but got {value!r}")
    if len(dataset) < batch_size * ranks:
        share = f" ({batch_size} for each of {ranks} processes)" if ranks > 1 else ""
        advice = (["set batch_size lower"] if batch_size > 1 else []) + (["start fewer processes"] if ranks > 1 else [])
        raise ValueError(
            f"the training data has {len(dataset)} image{'s' if len(dataset) != 1 else ''}, fewer than one batch of "
            f"{batch_size * ranks}{share}: {', '.join(advice)}, or add images"
        )
    return ordered_map(_TrainBatch(dataset, batch_size, seed, start, rank, ranks), 0, count, num_workers)


def eval_samples(
    dataset: Any, num_workers: int = 0, indices: Sequence[int] | None = None
) -> Generator[Batch, None, None]:
    """Samples of a data set, one by one: those with these indices, or all in order.

    Yields:
        ``img`` float32 [1, C, h, w]; ``label`` integers [H, W] at the original size (None without a label file);
        ``trans_info``: list of ("resize" | "padding", (height, width)); ``file``: the image's path.

    Raises:
        ValueError: a file that cannot be used (named).
        ChildProcessError: a worker died.
    """
    chosen = range(len(dataset)) if indices is None else indices
    return ordered_map(_EvalSample(dataset, chosen), 0, len(chosen), num_workers)


def draw_sample(dataset: Any, index: int, seed: int) -> dict[str, Any]:
    """One sample of a data set of this project, or of PaddleSeg's in the same form: reproducible, errors named.

    Returns:
        dict with ``img`` float32 [C, H, W], ``label`` integers [H, W] (where there is one), ``trans_info``, ``file``.

    Raises:
        ValueError: the data set could not give this sample.
    """
    if hasattr(dataset, "sample"):
        return dataset.sample(index, seed)
    files = getattr(dataset, "file_list", None)
    file = str(files[index][0]) if files else f"sample {index}"
    with seeded(seed):
        try:
            sample = dict(dataset[index])
        except Exception as error:  # upstream fails in many ways, none of which names the file
            raise ValueError(f"{file}: {type(dataset).__name__} cannot read it: {error}") from error
    if sample.get("label") is not None:
        label = np.asarray(sample["label"])
        sample["label"] = label[0] if label.ndim == 3 else label
    return {**sample, "img": np.asarray(sample["img"], dtype=np.float32), "file": file}


@dataclass(frozen=True)
class _TrainBatch:
    """Number of a batch, from ``start`` -> batch."""

    dataset: Any
    batch_size: int
    seed: int
    start: Cursor
    rank: int
    ranks: int

    def __call__(self, number: int) -> Batch:
        at = self.start.after(number, self.batch_size * self.ranks, len(self.dataset))
        order = np.random.default_rng(_entropy(self.seed, at.epoch)).permutation(len(self.dataset))
        first = at.offset + self.rank * self.batch_size
        chosen = order[first : first + self.batch_size].tolist()
        samples = [draw_sample(self.dataset, i, _sample_seed(self.seed, at.epoch, i)) for i in chosen]
        return _collate(samples)


@dataclass(frozen=True)
class _EvalSample:
    """Position among the indices -> sample."""

    dataset: Any
    indices: Sequence[int]

    def __call__(self, position: int) -> Batch:
        index = self.indices[position]
        sample = draw_sample(self.dataset, index, _sample_seed(0, 0, index))
        return {
            "img": sample["img"][None],
            "label": sample.get("label"),
            "trans_info": sample["trans_info"],
            "file": sample["file"],
        }


def _collate(samples: list[dict[str, Any]]) -> Batch:
    first = samples[0]
    for sample in samples:
        if sample.get("label") is None:
            raise ValueError(f"{sample['file']}: no label; training needs one for every image")
        if sample["img"].shape != first["img"].shape or sample["label"].shape != first["img"].shape[1:]:
            raise ValueError(
                f"after the transforms, {sample['file']} has image {list(sample['img'].shape)} and label "
                f"{list(sample['label'].shape)}, {first['file']} image {list(first['img'].shape)}: a batch needs one "
                "size; end the train transforms with RandomPaddingCrop or Resize (and use mode: train)"
            )
    return {
        "img": np.stack([sample["img"] for sample in samples]),
        "label": np.stack([sample["label"] for sample in samples]).astype(np.int64),
        "files": [sample["file"] for sample in samples],
    }


def _entropy(*numbers: int) -> list[int]:
    return [number % 2**64 for number in numbers]  # SeedSequence takes no negative numbers


def _sample_seed(seed: int, epoch: int, index: int) -> int:
    return int(np.random.SeedSequence(_entropy(seed, epoch, index)).generate_state(1)[0])
