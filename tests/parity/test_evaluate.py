"""Scores on CamVid's validation images equal PaddleSeg's own evaluate and an independent NumPy computation.

PaddleSeg reads and normalises the images itself. Its evaluate is patched as far as it needs to run on Paddle 3: sums
of a whole array are 0-D there, and it concatenates them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.data.datasets import Dataset
from paddle_mobileseg.data.transforms import Normalize
from paddle_mobileseg.engine import evaluate
from paddle_mobileseg.engine.inference import SlidingWindow
from tests.engine.conftest import scatter_weights

CLASSES = 11
WINDOW = SlidingWindow((256, 192), (160, 128))
# Name: our arguments, PaddleSeg's, and how far mIoU may be apart. Sums of several terms are rounded in another order.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "plain": ({}, {}, 1e-6),
    "flip and scales": (
        {"scales": [0.75, 1.0, 1.25], "flip": True},
        {"aug_eval": True, "scales": [0.75, 1.0, 1.25], "flip_horizontal": True},
        5e-6,
    ),
    "window": (
        {"window": WINDOW},
        {"is_slide": True, "crop_size": WINDOW.crop_wh, "stride": WINDOW.stride_wh},
        5e-6,
    ),
}


class OneDimensionalSums:
    """Paddle, but that the sum of a whole array has one dimension, as it had in Paddle 2."""

    def __getattr__(self, name: str) -> Any:
        return getattr(paddle, name)

    @staticmethod
    def sum(x: paddle.Tensor) -> paddle.Tensor:
        return paddle.sum(x).reshape([1])


@pytest.fixture(params=[8, pytest.param(101, marks=pytest.mark.slow)])
def images(request: pytest.FixtureRequest, shared_dir: Path, tmp_path: Path) -> Path:
    """A list of validation images that lie below ``shared_dir``."""
    lines = (shared_dir / "data" / "camvid" / "val.txt").read_text().splitlines()
    assert len(lines) == 101
    path = tmp_path / "val.txt"
    path.write_text("\n".join(lines[:: len(lines) // request.param][: request.param]))
    return path


@pytest.fixture
def ours(images: Path, shared_dir: Path) -> Dataset:
    root = str(shared_dir / "data" / "camvid")
    return Dataset("val", root, [Normalize()], CLASSES, val_path=str(images))


@pytest.fixture
def network(ours: Dataset) -> paddle.nn.Layer:
    network = networks.get("pp_mobileseg_tiny").build(CLASSES)
    network.eval()
    scatter_weights(network, [ours.sample(index, 0)["img"][None] for index in range(4)])
    return network


def paddlesegs_miou(network: paddle.nn.Layer, images: Path, root: Path, how: dict[str, Any]) -> float:
    from paddleseg.core import evaluate as theirs
    from paddleseg.datasets import Dataset as TheirDataset
    from paddleseg.transforms import Normalize as TheirNormalize

    dataset = TheirDataset("val", str(root), [TheirNormalize()], CLASSES, val_path=str(images))
    miou, *_ = theirs(network, dataset, print_detail=False, **how)
    return float(miou)


@pytest.mark.parametrize("way", WAYS)
def test_paddlesegs_evaluate(
    network: paddle.nn.Layer,
    ours: Dataset,
    images: Path,
    shared_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    pytest.importorskip("paddleseg")
    monkeypatch.setattr("paddleseg.utils.metrics.paddle", OneDimensionalSums())
    our_way, their_way, allowed = WAYS[way]
    expected = paddlesegs_miou(network, images, shared_dir / "data" / "camvid", their_way)
    result = evaluate(network, ours, **our_way)

    assert result.images == len(ours)
    assert 0.01 < expected < 0.9
    assert abs(result.scores.miou - expected) <= allowed


@pytest.mark.parametrize("way", WAYS)
def test_numpy(network: paddle.nn.Layer, ours: Dataset, way: str) -> None:
    our_way, _, allowed = WAYS[way]
    hits, unions = np.zeros(CLASSES), np.zeros(CLASSES)
    for index in range(len(ours)):
        sample = ours.sample(index, 0)
        labels = labels_in_numpy(network, sample["img"], **our_way)
        counted = sample["label"] != 255
        for c in range(CLASSES):
            predicted, labelled = (labels == c) & counted, sample["label"] == c
            hits[c] += (predicted & labelled).sum()
            unions[c] += (predicted | labelled).sum()
    result = evaluate(network, ours, **our_way)

    assert (unions > 0).sum() > 8
    assert abs(result.scores.miou - (hits / unions)[unions > 0].mean()) <= allowed
    np.testing.assert_allclose(result.scores.iou[unions > 0], (hits / unions)[unions > 0], atol=10 * allowed)


def labels_in_numpy(
    network: paddle.nn.Layer,
    image: np.ndarray,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    window: SlidingWindow | None = None,
) -> np.ndarray:
    """Everything but the network's own forward by plain NumPy in float64; ``image`` is ``[3, H, W]``."""

    def logits(x: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return network(paddle.to_tensor(np.ascontiguousarray(x[None], np.float32)))[0].numpy()[0].astype(float)

    def slid(x: np.ndarray) -> np.ndarray:
        assert window is not None
        total, times = np.zeros((CLASSES, *x.shape[1:])), np.zeros(x.shape[1:])
        for part in windows(x.shape[1], x.shape[2], window):
            total[(slice(None), *part)] += logits(x[(slice(None), *part)])
            times[part] += 1
        return total / times

    forward: Callable[[np.ndarray], np.ndarray] = logits if window is None else slid
    total = np.zeros((CLASSES, *image.shape[1:]))
    for scale, mirrored in itertools.product(scales, (False, True) if flip else (False,)):
        x = resized(image, [int(side * scale + 0.5) for side in image.shape[1:]])
        found = forward(x[:, :, ::-1])[:, :, ::-1] if mirrored else forward(x)
        total += resized(found, list(image.shape[1:]))
    return total.argmax(0)


def windows(height: int, width: int, window: SlidingWindow) -> Iterator[tuple[slice, slice]]:
    (crop_w, crop_h), (step_w, step_h) = window.crop_wh, window.stride_wh
    tops = [*range(0, height - crop_h, step_h), height - crop_h]
    lefts = [*range(0, width - crop_w, step_w), width - crop_w]
    for top, left in itertools.product(tops, lefts):
        yield slice(top, top + crop_h), slice(left, left + crop_w)


def resized(x: np.ndarray, size: list[int]) -> np.ndarray:
    """Bilinear with half-pixel centres, ``[C, h, w]`` to ``[C, *size]``."""
    for axis, new in zip((1, 2), size, strict=True):
        old = x.shape[axis]
        position = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, old - 1)
        share = (position - lower).reshape([-1 if each == axis else 1 for each in range(3)])
        x = (1 - share) * x.take(lower, axis) + share * x.take(upper, axis)
    return x
