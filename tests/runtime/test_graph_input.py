from __future__ import annotations

import cv2
import numpy as np
import pytest

from paddle_mobileseg.runtime.graph_input import GraphInput

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
RESIZE = {"type": "Resize", "target_size": [24, 16]}
BYTES = {"dtype": "uint8", "layout": "NHWC"}


def test_bytes_are_resized_and_not_normalised() -> None:
    make = GraphInput({"transforms": [RESIZE], "input_shape": [2, 16, 24, 3]}, BYTES)
    x, trans_info = make(IMAGE)
    expected = cv2.resize(IMAGE, (24, 16), interpolation=cv2.INTER_LINEAR)
    assert x.dtype == np.uint8
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, [expected, expected])
    assert trans_info == [("resize", (20, 30))]
    make.check(x)


def test_a_graph_that_resizes_gets_the_image_as_it_is() -> None:
    make = GraphInput({"transforms": [], "input_shape": [-1, -1, -1, 3]}, {**BYTES, "resize_hw": [16, 24]})
    x, trans_info = make(IMAGE)
    np.testing.assert_array_equal(x, IMAGE[None])
    assert trans_info == [("resize", (20, 30))]  # labels come at 16 x 24 and go back to the image's size


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 16, 24, 3), np.float32),
        np.zeros((1, 3, 16, 24), np.uint8),
        np.zeros((1, 0, 24, 3), np.uint8),
        np.zeros((16, 24, 3), np.uint8),
    ],
)
def test_tensors_that_the_graph_does_not_take(x: np.ndarray) -> None:
    make = GraphInput({"transforms": [], "input_shape": [-1, -1, -1, 3]}, BYTES)
    with pytest.raises(ValueError, match=r"expected a uint8 array \[N, H, W, C\] = \[any, any, any, 3\], but got"):
        make.check(x)
