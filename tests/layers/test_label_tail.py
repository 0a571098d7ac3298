"""Labels from small logits equal the arg-max of logits upsampled by an independent float64 interpolation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import Tensor, nn

from paddle_mobileseg.export.onnx_convert import convert
from paddle_mobileseg.layers import interpolated_labels, valid_interpolate
from paddle_mobileseg.layers.label_tail import labels_by_tiles
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend


def upsampled(logits: np.ndarray, size_hw: tuple[int, int], align_corners: bool) -> np.ndarray:
    """``[N, C, H, W]`` float64 by the definition, one axis after the other."""
    values = logits.astype(np.float64)
    for axis, large in ((2, size_hw[0]), (3, size_hw[1])):
        small = values.shape[axis]
        index = np.arange(large)
        place = index * (small - 1) / max(large - 1, 1) if align_corners else (index + 0.5) * small / large - 0.5
        place = place.clip(0, small - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, small - 1)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def assert_labels(found: np.ndarray, values: np.ndarray) -> None:
    """``found`` is the arg-max of ``values`` wherever two classes do not tie."""
    assert found.shape == (values.shape[0], *values.shape[2:])
    ordered = np.sort(values, axis=1)
    clear = np.ones(found.shape, bool) if values.shape[1] == 1 else ordered[:, -1] - ordered[:, -2] > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], values.argmax(1)[clear])


SIZES = [
    ((8, 8), (64, 64)),
    ((6, 5), (48, 40)),
    ((7, 9), (50, 71)),  # no whole factor
    ((16, 12), (16, 12)),  # the same size
    ((9, 20), (4, 7)),  # smaller
    ((1, 1), (5, 3)),
    ((2, 30), (3, 2)),
]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("small", "large"), SIZES)
@pytest.mark.parametrize(("batch", "classes"), [(1, 19), (3, 2)])
@pytest.mark.parametrize("function", [interpolated_labels, labels_by_tiles])
def test_labels_are_the_arg_max_of_interpolated_logits(
    function: object, batch: int, classes: int, small: tuple[int, int], large: tuple[int, int], align_corners: bool
) -> None:
    logits = np.random.default_rng(classes).normal(size=(batch, classes, *small)).astype(np.float32)
    labels = function(paddle.to_tensor(logits), list(large), align_corners)  # type: ignore[operator]

    assert labels.dtype == paddle.int32
    assert_labels(labels.numpy(), upsampled(logits, large, align_corners))


@pytest.mark.parametrize("function", [interpolated_labels, labels_by_tiles])
def test_the_first_of_equal_classes_wins(function: object) -> None:
    labels = function(paddle.zeros([1, 4, 3, 3]), [9, 9])  # type: ignore[operator]

    assert labels.numpy().tolist() == np.zeros((1, 9, 9)).tolist()


class Tail(nn.Layer):
    """A tail as a network, with a weight because Paddle does not save a graph without one."""

    def __init__(self, valid: bool, size_hw: tuple[int, int] | None) -> None:
        super().__init__()
        self.valid, self.size_hw = valid, size_hw
        self.zero = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: Tensor) -> Tensor:
        size_hw = [8 * x.shape[2], 8 * x.shape[3]] if self.size_hw is None else list(self.size_hw)
        tail = valid_interpolate if self.valid else interpolated_labels
        return tail(x + self.zero, size_hw)


@pytest.mark.parametrize("valid", [False, True], ids=["argmax", "vim"])
@pytest.mark.parametrize(
    ("spec", "size_hw"),
    [([1, 5, 6, 7], (48, 56)), ([-1, 5, 6, 7], (45, 50)), ([-1, 5, -1, -1], None)],
    ids=["fixed", "any batch", "any size"],
)
def test_graphs_give_the_same(tmp_path: Path, valid: bool, spec: list[int], size_hw: tuple[int, int] | None) -> None:
    network = Tail(valid, size_hw)
    network.eval()
    static = paddle.jit.to_static(network, input_spec=[paddle.static.InputSpec(spec, "float32", "x")], full_graph=True)
    paddle.jit.save(static, str(tmp_path / "model"))
    graph = (tmp_path / "model.json").read_text()
    tiles = size_hw is not None
    assert ("bilinear_interp" in graph) is not tiles
    assert ("matmul" in graph) is tiles

    files = [tmp_path / "model.json", tmp_path / "model.pdiparams"]
    convert(*files, tmp_path / "model.onnx")
    for runner in (PaddleBackend(files, 1), OnnxRuntimeBackend([tmp_path / "model.onnx"], 1)):
        for batch in {max(spec[0], 1), 1 if spec[0] == 1 else 3}:
            logits = np.random.default_rng(batch).normal(size=(batch, 5, 6, 7)).astype(np.float32)
            labels = runner.run(logits)
            assert labels.dtype == np.int32
            assert_labels(labels, upsampled(logits, size_hw or (48, 56), False))
