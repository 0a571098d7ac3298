"""The dataset check: what is said of values and colours of labels, and of classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data.check import Split, check_dataset
from paddle_mobileseg.data.check.pair import PairReader
from paddle_mobileseg.data.check.summary import summary
from paddle_mobileseg.data.datasets import ADE20K
from paddle_mobileseg.data.palette import default_palette, write_label_png
from tests.defects import COUNTS, CROP, HEIGHT, WIDTH, Data, found, label_map, only, picture


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_values_out_of_range_are_counted(data: Data) -> None:
    for number, count in ((0, 7), (2, 4)):
        label = data.label("train", number)
        label[20, :count] = 9
        label[21, : count - 2] = 77
        data.save(f"labels/train{number}.png", label)
    finding = only(data.check())
    assert (finding.level, finding.code) == ("error", "label-values")
    assert (
        "9 (11 pixels of 2 labels), 77 (7 pixels of 2 labels); allowed are 0 to 2 and 255 (ignored)" in finding.message
    )
    assert finding.advice == "correct the label files, or num_classes and ignore_index in the config"
    assert [item.detail for item in finding.items] == [
        "9 in 7 pixels, 77 in 5 pixels",
        "9 in 4 pixels, 77 in 2 pixels",
    ]


def shifted(label: np.ndarray) -> np.ndarray:
    return np.where(label == 255, 255, label + 1).astype(np.uint8)


def zero_is_void(label: np.ndarray) -> np.ndarray:
    return np.where(label == 255, 0, label + 1).astype(np.uint8)


def gray_levels(label: np.ndarray) -> np.ndarray:
    return np.where(label == 255, 255, label * 85).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shifted, "0 does not occur: the labels look 1-based"),
        (zero_is_void, "either the labels are 1-based and 0 means no class"),
        (gray_levels, "only 4 values occur (0, 85, 170, 255): gray levels"),
    ],
)
def test_what_wrong_values_look_like(data: Data, change: Callable[[np.ndarray], np.ndarray], words: str) -> None:
    data.change_labels(change)
    findings = [f for f in data.check().findings if f.code == "label-values"]
    assert {f.splits for f in findings} == {("train",), ("val",)}
    assert all(words in f.advice for f in findings)


def test_two_classes_that_count_from_one(data: Data) -> None:
    data.change_labels(lambda label: np.where(label == 255, 255, label % 2 + 1).astype(np.uint8))
    findings = [f for f in data.check(num_classes=2).findings if f.code == "label-values"]
    assert [f.advice[:55] for f in findings] == ["the values run from 1 to 2 and 0 does not occur: the la"] * 2


@pytest.mark.parametrize("ignore_index", [255, 100])
def test_binary_masks(data: Data, ignore_index: int) -> None:
    data.change_labels(lambda label: np.where(label == 1, 255, 0).astype(np.uint8))
    checked = data.check(num_classes=2, ignore_index=ignore_index)
    if ignore_index == 255:
        assert found(checked)["error label-binary train"] == 0
        assert "label-binary" in summary(checked)
        assert "write 1 where there is 255" in next(f.advice for f in checked.findings if f.code == "label-binary")
    else:
        assert found(checked)["error label-values train"] == 5
        assert "0/255 masks" in next(f.advice for f in checked.findings if f.code == "label-values")


def test_labels_without_any_class(data: Data) -> None:
    data.save("labels/train4.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert found(data.check()) == {"warning label-ignored train": 1}
    for number in range(COUNTS["val"]):
        data.save(f"labels/val{number}.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert found(data.check())["error label-ignored val"] == 3


def test_colour_masks_are_explained(data: Data) -> None:
    palette = default_palette(3)
    for number in range(COUNTS["val"]):
        label = data.label("val", number)
        mask = palette[np.where(label == 255, 0, label)]
        mask[label == 255] = (0, 0, 0)
        data.save(f"labels/val{number}.png", mask)
    finding = only(data.check(class_names=["sky", "land", "sea"]))
    assert (finding.level, finding.code, len(finding.items)) == ("error", "label-colours", 3)
    assert "Together they have 4 colours; 3 of the configured palette (sky, land, sea)" in finding.message
    assert f"not in the palette: (0, 0, 0) {4 / (WIDTH * HEIGHT):.1%} of the pixels" in finding.message
    assert "mobileseg import-dataset" in finding.advice
    assert finding.items[0].detail == "RGB, 4 colours"


def test_gray_masks_in_three_channels(data: Data) -> None:
    data.change_labels(lambda label: np.repeat(label[:, :, None], 3, axis=2))
    findings = data.check().findings
    assert {f.code for f in findings} == {"label-colours"}
    assert "values 0, 1, 2, 255, all of them allowed: one channel of it is the label" in findings[0].message


@pytest.mark.parametrize("gray", [False, True])
def test_images_and_labels_exchanged(data: Data, gray: bool) -> None:
    for number in range(COUNTS["train"]):
        photo = picture(number)
        data.save(f"images/train{number}.png", photo[:, :, 0] if gray else photo)
    data.lists["train"] = [(label, image) for image, label in data.lists["train"]]
    finding = only(data.check())
    assert (finding.level, finding.code, len(finding.items)) == ("error", "swapped", COUNTS["train"])
    assert finding.items[0].image == data.path("labels/train0.png")
    assert finding.items[0].detail.startswith("the image has 4 colours, the label ")


def test_palette_labels_are_fine(data: Data) -> None:
    for split, count in COUNTS.items():
        for number in range(count):
            write_label_png(data.path(f"labels/{split}{number}.png"), label_map(number), default_palette(3))
    assert found(data.check(), notes=True) == {}


def test_palettes_that_differ_from_file_to_file(data: Data) -> None:
    colours = default_palette(3)
    for number in range(COUNTS["train"]):
        write_label_png(data.path(f"labels/train{number}.png"), label_map(number), np.roll(colours, number, axis=0))
    finding = only(data.check())
    assert (finding.level, finding.code) == ("warning", "palettes-differ")
    assert "3 indices in different colours, such as 0 in (128, 0, 0), (128, 128, 0), (0, 128, 0)" in finding.message


def test_a_palette_in_another_order(data: Data) -> None:
    palette = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    for number in range(COUNTS["train"]):
        label = data.path(f"labels/train{number}.png")
        write_label_png(label, label_map(number), np.array(palette, np.uint8)[[0, 2, 1]])
    finding = only(data.check(palette=palette, class_names=["a", "b", "c"]))
    assert (finding.level, finding.code) == ("warning", "palette-order")
    assert "2 indices in the configured colour of another class, such as 1 in that of class 2 (c)" in finding.message


def test_jpeg_labels(data: Data) -> None:
    data.lists["train"][0] = ("images/train0.png", "labels/train0.jpg")
    data.save("labels/train0.jpg", np.zeros((HEIGHT, WIDTH), np.uint8), quality=100)
    assert found(data.check()) == {"warning label-lossy train": 1}


def test_classes_that_do_not_occur(data: Data) -> None:
    for number in range(COUNTS["train"]):
        data.save(f"labels/train{number}.png", np.where(label_map(number) == 2, 0, label_map(number)).astype(np.uint8))
    for number in range(COUNTS["val"]):
        data.save(f"labels/val{number}.png", np.where(label_map(number) == 1, 0, label_map(number)).astype(np.uint8))
    checked = data.check(num_classes=5, class_names=["a", "b", "c", "d", "e"])
    messages = {f.code: f.message for f in checked.findings}
    assert messages["class-never"] == "classes 3 (d), 4 (e) never occur in the labels of train and val"
    assert messages["class-not-in-train"] == "class 2 (c) occurs in the labels of val, but not in those of train"
    assert messages["class-only-in-train"].startswith(
        "class 1 (b) occurs in the labels of train, but not in those of val"
    )
    assert checked.weights is not None and checked.weights[2:] == [1, 1, 1]


def test_class_zero_that_never_occurs_hints_at_labels_from_one(data: Data) -> None:
    data.change_labels(lambda label: np.where(label == 0, 1, label).astype(np.uint8))
    finding = only(data.check())
    assert finding.code == "class-never"
    assert "labels that count from 1 look like this" in finding.advice


def test_ade20k_counts_from_one(tmp_path: Path) -> None:
    for part in ("training", "validation"):
        for folder in ("images", "annotations"):
            (tmp_path / folder / part).mkdir(parents=True)
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[:10], label[10:20] = 1, 150
        if part == "validation":
            label[20:30, :3] = 151
        Image.fromarray(picture(len(part))).save(tmp_path / "images" / part / "a.jpg")
        Image.fromarray(label).save(tmp_path / "annotations" / part / "a.png")
    splits = [Split.of(name, ADE20K(CROP, str(tmp_path), name)) for name in ("train", "val")]
    checked = check_dataset(splits, num_workers=0)
    survey = checked.surveys["train"]
    assert (survey.class_pixels[0], survey.class_pixels[149], survey.ignored_pixels) == (480, 480, 16 * WIDTH)
    values = next(f for f in checked.findings if f.code == "label-values")
    assert values.splits == ("val",)
    assert "151 (30 pixels of 1 label); allowed are 1 to 150 and 0 (ignored)" in values.message


def test_16_bit_labels(data: Data) -> None:
    data.save("labels/train0.png", label_map(0).astype(np.uint16))
    assert found(data.check(), notes=True) == {}
    data.save("labels/train0.png", np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 20)
    finding = only(data.check())
    assert (finding.code, len(finding.items)) == ("label-values", 1)
    assert "these are no class indices" in finding.advice


def test_many_colours_are_not_told_one_by_one(data: Data) -> None:
    data.lists["train"][0] = ("images/train0.png", "labels/train0.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    data.save("images/train0.png", noise)
    data.save("labels/train0.jpg", noise, quality=50)
    finding = only(data.check())
    assert finding.code == "label-colours"
    assert "more than 256 colours" in finding.message


def test_values_are_counted_up_to_a_bound(tmp_path: Path) -> None:
    label = np.arange(200 * 300, dtype=np.int32).reshape(200, 300)
    Image.fromarray(label).save(tmp_path / "label.tif")
    facts = PairReader([(str(tmp_path / "label.tif"), str(tmp_path / "label.tif"))])(0).label
    assert facts is not None
    assert facts.has_more_values and len(facts.values) <= 5000


def test_classes_of_paddleseg_that_change_labels(data: Data) -> None:
    """Such a class makes 0/1 of 0/255 when it reads: what is stored is no error."""
    from paddleseg.datasets.supervisely import SUPERVISELY

    dataset = SUPERVISELY.__new__(SUPERVISELY)
    dataset.file_list = [[data.path(image), data.path(label)] for image, label in data.lists["train"]]
    dataset.num_classes, dataset.ignore_index = 2, 255
    data.change_labels(lambda label: np.where(label == 1, 200, 0).astype(np.uint8))
    finding = only(check_dataset([Split.of("train", dataset)], num_workers=0))
    assert (finding.level, finding.code) == ("warning", "label-values")
    assert "which may map these values" in finding.message
