"""Preprocessing of deployed networks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.data.preprocess import Preprocess, resize_nearest

NORMALIZE = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def image(height: int = 36, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_normalize_only() -> None:
    x, trans_info = Preprocess.from_transforms([NORMALIZE])(image())
    assert x.dtype == np.float32 and x.flags.c_contiguous and trans_info == []
    expected = (image() / 255 - NORMALIZE["mean"]) / NORMALIZE["std"]
    np.testing.assert_allclose(x, expected.transpose(2, 0, 1), atol=1e-6)


def test_steps_are_recorded_and_undone() -> None:
    steps = [
        {"type": "Resize", "target_size": [32, 32], "keep_ratio": True, "size_divisor": 16},
        {"type": "Padding", "target_size": [64, 64]},
        NORMALIZE,
    ]
    preprocess = Preprocess.from_transforms(steps)
    given = image()
    x, trans_info = preprocess(given)
    assert x.shape == (3, 64, 64)
    assert trans_info == [("resize", (36, 48)), ("padding", (32, 32))]
    np.testing.assert_array_equal(given, image())
    labels = np.zeros((64, 64), np.int32)
    labels[:32, 16:32] = 7  # the right half of the image
    labels[32:] = labels[:, 32:] = 99  # padding
    restored = preprocess.restore(labels, trans_info)
    assert restored.shape == (36, 48) and restored.dtype == np.int32
    assert (restored[:, :24] == 0).all() and (restored[:, 24:] == 7).all()


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "ResizeByLong", "long_size": 40},
        {"type": "ResizeByShort", "short_size": 40},
        {"type": "LimitLong", "max_long": 40},
    ],
)
def test_labels_come_back_at_the_images_size(spec: dict[str, Any]) -> None:
    preprocess = Preprocess.from_transforms([spec, NORMALIZE])
    x, trans_info = preprocess(image(37, 53))
    assert preprocess.restore(np.zeros(x.shape[1:], np.uint8), trans_info).shape == (37, 53)


def test_trans_info_read_from_json_works() -> None:
    restored = Preprocess.restore(np.arange(4, dtype=np.int64).reshape(2, 2), [["resize", [4, 4]]])  # type: ignore[list-item]
    np.testing.assert_array_equal(restored, [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])


def test_resize_nearest() -> None:
    np.testing.assert_array_equal(resize_nearest(np.array([[0, 1, 2, 3, 4]]), 2, 3), [[0, 1, 3], [0, 1, 3]])


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([{"type": "RandomHorizontalFlip"}], "'RandomHorizontalFlip' cannot be part of deployment"),
        ([{"type": "RandomBlur"}], "'RandomBlur' cannot be part of deployment"),
        ([NORMALIZE, {"type": "Resise"}], "'Resise' cannot be"),
        ([{"target_size": [5, 5]}], "None cannot be"),
        (["Resize"], "None cannot be"),
        ({"type": "Resize"}, "must be a list"),
        ([{"type": "Resize", "interp": "RANDOM"}], "is random"),
        ([{"type": "ResizeByShort", "short_size": [400, 500]}], "is random"),
        ([{"type": "Resize", "size": [5, 5]}], "'Resize': .*unexpected keyword argument 'size'"),
        ([{"type": "Resize", "target_size": 5}], "target_size"),
    ],
)
def test_refused_specs(specs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess.from_transforms(specs)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), "a.jpg"],
)
def test_refused_images(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an image as uint8 \[height, width, 3\]"):
        Preprocess.from_transforms([NORMALIZE])(wrong)


def test_empty_image() -> None:
    with pytest.raises(ValueError, match="empty"):
        Preprocess.from_transforms([NORMALIZE])(np.zeros((0, 4, 3), np.uint8))


def test_restore_refuses_wrong_labels_and_steps() -> None:
    with pytest.raises(ValueError, match=r"\[height, width\], but got \[1, 4, 4\]"):
        Preprocess.restore(np.zeros((1, 4, 4), np.int32), [])
    with pytest.raises(ValueError, match="'flip'"):
        Preprocess.restore(np.zeros((4, 4), np.int32), [("flip", (4, 4))])


def test_needs_neither_paddle_nor_pillow() -> None:
    code = (
        "import sys; import paddle_mobileseg.data.preprocess; "
        "print([name for name in ('paddle', 'paddleseg', 'PIL', 'scipy') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_reading_data_does_not_import_paddle() -> None:
    code = (
        "import sys; import paddle_mobileseg.data.loader; print('paddle' in sys.modules or 'paddleseg' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
