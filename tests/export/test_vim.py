"""Exported VIM gives exactly the arg-max over the interpolated logits of the classes that occur, by plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import Tensor, nn

from tests.exported import export_both

STRIDE = 8
TIE = 1e-5  # closer logits than this may come out either way


class Pixels(nn.Layer):
    """Logits are sums of a pixel's three values with random factors, so that the input decides which classes occur."""

    def __init__(self, factors: np.ndarray, align_corners: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, len(factors), 1, stride=STRIDE, bias_attr=False)
        self.conv.weight.set_value(factors.astype(np.float32)[:, :, None, None])
        self.align_corners = align_corners

    def low_logits(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def forward(self, x: Tensor) -> list[Tensor]:
        size = x.shape[2:]
        low = self.low_logits(x)
        return [nn.functional.interpolate(low, size, mode="bilinear", align_corners=self.align_corners)]


def weights(small: int, large: int, align_corners: bool) -> np.ndarray:
    """``[large, small]``: what each small pixel gives to each large one."""
    i = np.arange(large)
    place = i * (small - 1) / max(large - 1, 1) if align_corners else (i + 0.5) * small / large - 0.5
    place = np.clip(place, 0, small - 1)
    left = np.minimum(place.astype(int), max(small - 2, 0))
    result = np.zeros((large, small))
    result[i, left] += 1 - (place - left)
    result[i, np.minimum(left + 1, small - 1)] += place - left
    return result


def assert_restricted(labels: np.ndarray, low: np.ndarray, align_corners: bool) -> np.ndarray:
    """Checks ``[N, H, W]`` labels against ``[N, C, h, w]`` logits; returns the classes that occur in ``low``."""
    present = np.unique(low.argmax(1))
    rows, columns = (weights(low.shape[i + 1], labels.shape[i], align_corners) for i in (1, 2))
    up = np.einsum("Yy,ncyx,Xx->ncYX", rows, low[:, present].astype(np.float64), columns)
    best = up.max(1)
    assert set(np.unique(labels)) <= set(present)
    chosen = np.take_along_axis(up, np.searchsorted(present, labels)[:, None], 1)[:, 0]
    assert (best - chosen).max() < TIE
    second = np.sort(up, 1)[:, -2] if len(present) > 1 else best - 1
    clear = best - second > TIE
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], present[up.argmax(1)][clear])
    return present


ANY, FIXED = (1, 3, -1, -1), (-1, 3, 64, 88)


@pytest.mark.parametrize(
    ("classes", "size", "align_corners"),
    [(2, ANY, False), (19, FIXED, False), (150, FIXED, True), (150, ANY, True)],
)
def test_equals_plain_numpy(tmp_path: Path, classes: int, size: tuple[int, ...], align_corners: bool) -> None:
    rng = np.random.default_rng(classes)
    network = Pixels(rng.normal(size=(classes, 3)), align_corners)
    network.eval()
    batch, sizes = (2, [(64, 88)]) if size[0] == -1 else (1, [(64, 88), (41, 71)])
    for runner in export_both(network, tmp_path, "vim", list(size)):
        for hw in sizes:
            x = rng.normal(size=(batch, 3, *hw)).astype(np.float32)
            labels = runner.run(x)
            low = network.low_logits(paddle.to_tensor(x)).numpy()
            present = assert_restricted(labels, low, align_corners)
            assert 1 < len(present) <= classes
            assert labels.dtype == np.int32
            assert labels.shape == (batch, *hw)


def test_one_class_ties_and_all_classes(tmp_path: Path) -> None:
    factors = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])  # classes 1 and 2 are always equal
    network = Pixels(factors, align_corners=False)
    network.eval()
    images = np.zeros((3, 3, 48, 48), np.float32)
    images[0, 2] = 1  # class 3 alone
    images[1, 1] = 1  # 1 and 2 tie everywhere
    images[2] = np.random.default_rng(0).normal(size=(3, 48, 48))
    for runner in export_both(network, tmp_path, "vim", [-1, 3, -1, -1]):
        assert np.unique(runner.run(images[:1])).tolist() == [3]
        assert np.unique(runner.run(images[1:2])).tolist() == [1]
        assert np.unique(runner.run(images[:1] * 0)).tolist() == [0]  # all equal: the first
        low = network.low_logits(paddle.to_tensor(images)).numpy()
        assert assert_restricted(runner.run(images[2:]), low[2:], False).tolist() == [0, 1, 3]
        # in a batch, the classes of all images take part
        assert assert_restricted(runner.run(images), low, False).tolist() == [0, 1, 3]
