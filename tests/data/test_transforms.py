"""Transforms: worked examples, and the same samples as PaddleSeg's from the same seeds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data.distort import brightness, contrast, hue, saturation, sharpness

SIZES = [(37, 53), (53, 37), (48, 48), (120, 33)]


def make_sample(height: int = 37, width: int = 53, **more: Any) -> dict[str, Any]:
    """A random smooth image with a random label in blocks."""
    rng = np.random.default_rng(height * 1000 + width)
    image = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    label = cv2.resize(rng.integers(0, 5, (9, 9), dtype=np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return {"img": image, "label": label, "gt_fields": ["label"], "trans_info": [], **more}


def upstream_sample(sample: dict[str, Any]) -> dict[str, Any]:
    """The same sample as PaddleSeg would read it: a float32 image."""
    copy = {key: value.copy() if hasattr(value, "copy") else value for key, value in sample.items()}
    return {**copy, "img": sample["img"].astype(np.float32)}


def seeded(transform: Callable[[dict[str, Any]], dict[str, Any]], sample: dict[str, Any], seed: int) -> dict[str, Any]:
    random.seed(seed)
    np.random.seed(seed)
    return transform(sample)


@pytest.fixture(scope="module")
def upstream() -> Callable[[str], Any]:
    """PaddleSeg's own transforms by name."""
    registry = pytest.importorskip("paddle_mobileseg.registry")
    return registry.upstream


DETERMINISTIC = [
    ("Resize", {"target_size": [64, 40]}),
    ("Resize", {"target_size": [64, 40], "keep_ratio": True}),
    ("Resize", {"target_size": [64, 40], "keep_ratio": True, "size_divisor": 32}),
    ("Resize", {"target_size": [30, 21], "size_divisor": 8, "interp": "NEAREST"}),
    ("Resize", {"target_size": [30, 21], "interp": "AREA"}),
    ("Resize", {"target_size": [70, 51], "interp": "CUBIC"}),
    ("ResizeByLong", {"long_size": 71}),
    ("ResizeByShort", {"short_size": 40}),
    ("ResizeByShort", {"short_size": 40, "max_size": 50}),
    ("LimitLong", {"max_long": 50}),
    ("LimitLong", {"min_long": 60}),
    ("LimitLong", {"max_long": 200}),
    ("Padding", {"target_size": [128, 130], "im_padding_value": 100}),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "arguments"), DETERMINISTIC)
def test_deterministic_transforms_equal_upstream(
    upstream: Callable[[str], Any], name: str, arguments: dict[str, Any], size: tuple[int, int]
) -> None:
    theirs = upstream(name)(**arguments)(upstream_sample(make_sample(*size)))
    ours = getattr(T, name)(**arguments)(make_sample(*size))
    assert ours["trans_info"] == theirs["trans_info"]
    np.testing.assert_array_equal(ours["label"], theirs["label"])
    assert ours["img"].dtype == np.uint8
    # uint8 against float32: half a level of rounding, another half from OpenCV's fixed-point weights
    assert np.abs(ours["img"] - np.clip(theirs["img"], 0, 255)).max() <= 1.01


RANDOM = [
    ("ResizeStepScaling", {"min_scale_factor": 0.5, "max_scale_factor": 2.0, "scale_step_size": 0.25}),
    ("ResizeStepScaling", {"min_scale_factor": 0.5, "max_scale_factor": 2.0, "scale_step_size": 0}),
    ("ResizeStepScaling", {"min_scale_factor": 1.5, "max_scale_factor": 1.5}),
    ("RandomPaddingCrop", {"crop_size": [30, 20]}),
    ("RandomPaddingCrop", {"crop_size": [64, 40], "im_padding_value": 90}),
    ("RandomPaddingCrop", {"crop_size": [20, 100], "im_padding_value": 90, "label_padding_value": 3}),
    ("RandomHorizontalFlip", {}),
    ("RandomVerticalFlip", {"prob": 0.5}),
    ("Resize", {"target_size": [64, 40], "interp": "RANDOM"}),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_random_transforms_draw_as_upstream(
    upstream: Callable[[str], Any], name: str, arguments: dict[str, Any], size: tuple[int, int]
) -> None:
    for seed in range(8):
        theirs = seeded(upstream(name)(**arguments), upstream_sample(make_sample(*size)), seed)
        ours = seeded(getattr(T, name)(**arguments), make_sample(*size), seed)
        np.testing.assert_array_equal(ours["label"], theirs["label"])
        assert np.abs(ours["img"] - np.clip(theirs["img"], 0, 255)).max() <= 1.01
        assert ours["trans_info"] == theirs["trans_info"]


def test_distort_draws_as_upstream(upstream: Callable[[str], Any]) -> None:
    arguments = {"brightness_range": 0.4, "contrast_range": 0.4, "saturation_range": 0.4, "sharpness_prob": 0.5}
    for seed in range(40):
        theirs = seeded(upstream("RandomDistort")(**arguments), upstream_sample(make_sample(48, 64)), seed)
        ours = seeded(T.RandomDistort(**arguments), make_sample(48, 64), seed)
        assert ours["img"].dtype == np.uint8
        difference = np.abs(ours["img"] - theirs["img"])
        # hue is quantised differently (cv2 and Pillow round in other places); later changes may double the difference
        assert difference.mean() <= 2 and difference.max() <= 24, seed


@pytest.mark.parametrize("strength", [0.5, 0.8, 1.0, 1.3, 1.5])
@pytest.mark.parametrize(("change", "enhancer"), [
    (brightness, "Brightness"), (contrast, "Contrast"), (saturation, "Color"), (sharpness, "Sharpness"),
])  # fmt: skip
def test_changes_equal_pillow(change: Callable[..., np.ndarray], enhancer: str, strength: float) -> None:
    from PIL import Image, ImageEnhance

    image = make_sample(48, 64)["img"]
    expected = np.asarray(getattr(ImageEnhance, enhancer)(Image.fromarray(image)).enhance(strength)).astype(int)
    assert np.abs(change(image, strength) - expected).max() <= 2
    gray = np.ascontiguousarray(image[:, :, 0])
    expected = np.asarray(getattr(ImageEnhance, enhancer)(Image.fromarray(gray)).enhance(strength)).astype(int)
    assert np.abs(change(gray, strength) - expected).max() <= 2


def test_brightness_by_hand() -> None:
    np.testing.assert_array_equal(brightness(np.array([[0, 100, 200]], np.uint8), 1.5), [[0, 150, 255]])


def test_contrast_by_hand() -> None:
    np.testing.assert_array_equal(contrast(np.array([[0, 100, 200]], np.uint8), 0.5), [[50, 100, 150]])


def test_hue_turns_the_colour_circle() -> None:
    pure = np.array([[[255, 0, 0]]], np.uint8)
    third = 256 / 3
    for turn, expected in ((third, (0, 255, 0)), (2 * third, (0, 0, 255)), (-third, (0, 0, 255)), (0, (255, 0, 0))):
        assert np.abs(hue(pure, turn)[0, 0].astype(int) - expected).max() <= 6
    gray = np.full((2, 2, 3), 90, np.uint8)
    np.testing.assert_array_equal(hue(gray, 18), gray)


def photometric_by_definition(image: np.ndarray, seed: int) -> np.ndarray:
    """mmsegmentation's PhotoMetricDistortion with its default strengths, step by step in floats."""
    np.random.seed(seed)

    def converted(values: np.ndarray, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
        return np.clip(values.astype(np.float32) * np.float32(alpha) + np.float32(beta), 0, 255).astype(np.uint8)

    def contrasted(values: np.ndarray) -> np.ndarray:
        return converted(values, alpha=np.random.uniform(0.5, 1.5)) if np.random.randint(2) else values

    if np.random.randint(2):
        image = converted(image, beta=np.random.uniform(-32, 32))
    second = np.random.randint(2) == 1
    image = contrasted(image) if second else image
    if np.random.randint(2):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[:, :, 1] = converted(hsv[:, :, 1], alpha=np.random.uniform(0.5, 1.5))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if np.random.randint(2):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + np.random.randint(-18, 18)) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return image if second else contrasted(image)


def test_photometric_distortion_is_mmsegmentations() -> None:
    changed = []
    for seed in range(40):
        sample = make_sample(24, 32)
        before = sample["img"].copy()
        result = seeded(T.PhotoMetricDistortion(), sample, seed)["img"]
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, photometric_by_definition(before, seed), err_msg=f"seed {seed}")
        changed.append(not np.array_equal(result, before))
    assert 30 < sum(changed) < 40  # 1 in 16 stays as it is


def test_photometric_distortion_takes_gray_images() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    results = [seeded(T.PhotoMetricDistortion(), {"img": gray.copy()}, seed)["img"] for seed in range(20)]
    assert {result.shape for result in results} == {(16, 16)}
    assert sum(np.array_equal(result, gray) for result in results) < 12


@pytest.mark.parametrize(
    ("image_hw", "ratio", "expected_hw"),
    [
        ((400, 600), 1.0, (512, 768)),  # the short side becomes 512
        ((600, 400), 1.0, (768, 512)),
        ((400, 600), 0.5, (256, 384)),
        ((400, 600), 0.7, (358, 537)),  # int(512 * 0.7) = 358
        ((100, 1000), 1.0, (205, 2048)),  # the long side may not exceed 2048
        ((512, 683), 2.0, (1024, 1366)),
    ],
)
def test_random_resize_by_hand(image_hw: tuple[int, int], ratio: float, expected_hw: tuple[int, int]) -> None:
    sample = T.RandomResize([2048, 512], [ratio, ratio])(make_sample(*image_hw))
    assert sample["img"].shape[:2] == sample["label"].shape == expected_hw
    assert sample["trans_info"] == []
    assert set(np.unique(sample["label"])) <= set(range(5))


def test_random_resize_draws_from_the_whole_range() -> None:
    transform = T.RandomResize([200, 50], [0.5, 2.0])
    short = [min(seeded(transform, make_sample(40, 60), seed)["img"].shape[:2]) for seed in range(200)]
    assert 25 <= min(short) <= 27 and 97 <= max(short) <= 100
    assert abs(np.mean(short) - 62.5) < 5


def test_padding_with_a_colour() -> None:
    sample = T.RandomPaddingCrop([8, 8], im_padding_value=[124, 116, 104])(make_sample(8, 5))
    assert sample["img"][:, 5:].reshape(-1, 3).tolist() == [[124, 116, 104]] * 24


def test_distort_takes_gray_and_float_images() -> None:
    gray = make_sample()["img"][:, :, 0]
    for seed in range(10):
        assert seeded(T.RandomDistort(sharpness_prob=1), {"img": gray}, seed)["img"].shape == gray.shape
    sample = seeded(T.RandomDistort(), {"img": make_sample()["img"].astype(np.float32)}, 0)
    assert sample["img"].dtype == np.uint8


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.5,)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_normalize_equals_upstream(upstream: Callable[[str], Any], mean: tuple, std: tuple, dtype: type) -> None:
    every_value = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3) % 256
    ours = T.Normalize(mean, std)({"img": every_value.astype(dtype)})["img"]
    theirs = upstream("Normalize")(mean, std)({"img": every_value.astype(np.float32)})["img"]
    assert ours.dtype == np.float32 and ours.shape == (16, 16, 3)
    np.testing.assert_array_equal(ours, theirs)


def test_normalize_by_hand_and_on_views() -> None:
    image = np.array([[[0, 255, 51], [255, 0, 102]]], np.uint8)
    expected = [[[1, -1, -0.2], [-1, 1, -0.6]]]
    np.testing.assert_allclose(T.Normalize()({"img": image[:, ::-1]})["img"], expected, atol=1e-6)
    gray = T.Normalize()({"img": image[:, :, 0]})["img"]
    np.testing.assert_allclose(gray, [[-1, 1]], atol=1e-6)


def test_normalize_checks_channels() -> None:
    with pytest.raises(ValueError, match="3 numbers, but the image 1 channels"):
        T.Normalize([0.5] * 3, [0.5] * 3)({"img": np.zeros((2, 2), np.uint8)})


def test_crop_with_category_max_ratio_gives_mixed_windows() -> None:
    label = np.zeros((100, 100), np.uint8)
    label[:, 50:] = 1
    label[:10] = 255
    image = np.dstack([label] * 3)
    crop = T.RandomPaddingCrop([20, 20], category_max_ratio=0.75, loop_times=200)
    for seed in range(20):
        sample = seeded(crop, {"img": image, "label": label, "gt_fields": ["label"], "trans_info": []}, seed)
        assert sample["img"].shape == (20, 20, 3)
        np.testing.assert_array_equal(sample["img"][:, :, 0], sample["label"])
        counts = np.bincount(sample["label"][sample["label"] != 255], minlength=2)
        assert counts.max() / counts.sum() < 0.75


def test_crop_takes_the_last_window_where_none_is_mixed() -> None:
    crop = T.RandomPaddingCrop([4, 4], category_max_ratio=0.5, loop_times=3)
    sample = {"img": np.ones((9, 9, 3), np.uint8), "label": np.ones((9, 9), np.uint8), "gt_fields": ["label"]}
    assert crop(sample)["label"].shape == (4, 4)


def test_labels_are_padded_with_the_data_sets_ignore_index() -> None:
    for transform in (T.Padding([60, 60]), T.RandomPaddingCrop([60, 60])):
        sample = transform(make_sample(37, 53, ignore_index=254))
        assert (sample["label"][37:] == 254).all() and (sample["label"][:, 53:] == 254).all()
        assert (sample["img"][37:] == 128).all()
        sample = transform(make_sample(37, 53))
        assert (sample["label"][37:] == 255).all()
    sample = T.Padding([60, 60], label_padding_value=4)(make_sample(37, 53, ignore_index=254))
    assert (sample["label"][37:] == 4).all()


def test_val_labels_stay_as_they_are() -> None:
    sample = make_sample(37, 53, gt_fields=[])
    for transform in (T.Resize([64, 64]), T.Padding([70, 70])):
        sample = transform(sample)
    assert sample["label"].shape == (37, 53) and sample["img"].shape == (70, 70, 3)
    assert sample["trans_info"] == [("resize", (37, 53)), ("padding", (64, 64))]


def test_resize_by_short_does_not_remember_earlier_images() -> None:
    transform = T.ResizeByShort(40, max_size=50)
    assert transform(make_sample(120, 33))["img"].shape[:2] == (47, 13)
    assert transform(make_sample(48, 48))["img"].shape[:2] == (40, 40)


def test_resize_by_short_draws_from_a_list() -> None:
    transform = T.ResizeByShort([20, 30])
    assert {seeded(transform, make_sample(48, 48), seed)["img"].shape[0] for seed in range(20)} == {20, 30}


def test_compose_gives_contiguous_chw() -> None:
    sample = T.Compose([T.RandomHorizontalFlip(1.0), T.Normalize()]).apply({"img": make_sample()["img"]})
    assert sample["img"].shape == (3, 37, 53) and sample["img"].dtype == np.float32
    assert sample["img"].flags.c_contiguous and sample["trans_info"] == []
    assert T.Compose([]).apply({"img": np.ones((4, 5), np.uint8)})["img"].shape == (1, 4, 5)


def test_mixes_with_upstream_transforms(upstream: Callable[[str], Any]) -> None:
    steps = [T.ResizeStepScaling(), upstream("RandomBlur")(prob=1.0), T.RandomDistort(), T.RandomPaddingCrop([32, 32])]
    sample = T.Compose([*steps, upstream("RandomRotation")(), T.Normalize()]).apply(make_sample())
    assert sample["img"].shape[1:] == sample["label"].shape and np.isfinite(sample["img"]).all()


def test_one_pixel_images_survive() -> None:
    for transform in (T.ResizeByShort(1), T.ResizeByLong(1), T.ResizeStepScaling(0.1, 0.2), T.Resize([8, 8])):
        assert min(transform(make_sample(1, 90))["img"].shape[:2]) >= 1


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Resize", {"target_size": 512}, r"target_size must be \[width, height\], but got 512"),
        ("Resize", {"target_size": [512]}, r"\[width, height\]"),
        ("Resize", {"target_size": [512, 0]}, "at least 1, but got 0"),
        ("Resize", {"target_size": [512, 51.5]}, r"51\.5"),
        ("Resize", {"interp": "BEST"}, "'BEST'"),
        ("Resize", {"size_divisor": 0}, "size_divisor"),
        ("ResizeByLong", {"long_size": "500"}, "'500'"),
        ("ResizeByShort", {"short_size": []}, "empty"),
        ("ResizeByShort", {"short_size": 1.5}, "short_size"),
        ("LimitLong", {"max_long": 5, "min_long": 6}, "min_long 6 is larger than max_long 5"),
        ("LimitLong", {"max_long": 5.5}, "max_long"),
        ("ResizeStepScaling", {"min_scale_factor": 2, "max_scale_factor": 1}, "2 and 1"),
        ("ResizeStepScaling", {"min_scale_factor": 0}, "0 <"),
        ("ResizeStepScaling", {"scale_step_size": -1}, "negative"),
        ("RandomResize", {"scale": 512, "ratio_range": [0.5, 2]}, "scale"),
        ("RandomResize", {"scale": [2048, 512], "ratio_range": [2, 0.5]}, r"\[2, 0\.5\]"),
        ("RandomPaddingCrop", {"crop_size": 512}, "crop_size"),
        ("RandomPaddingCrop", {"category_max_ratio": 0}, "category_max_ratio"),
        ("RandomPaddingCrop", {"loop_times": 0}, "loop_times"),
        ("Normalize", {"std": [0.5, 0, 0.5]}, "std must be positive"),
        ("Normalize", {"mean": [0.5, 0.5]}, "1 or 3 numbers"),
        ("Padding", {"target_size": [5, -1]}, "target_size"),
    ],
)
def test_wrong_arguments(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(T, name)(**arguments)


def test_padding_refuses_larger_images() -> None:
    with pytest.raises(ValueError, match="53 x 37, larger than target_size 60 x 30"):
        T.Padding([60, 30])(make_sample(37, 53))


def test_compose_refuses_what_is_no_list_of_transforms() -> None:
    for wrong in (None, {"type": "Resize"}, [{"type": "Resize"}]):
        with pytest.raises(ValueError, match="list of transforms"):
            T.Compose(wrong)  # type: ignore[arg-type]
