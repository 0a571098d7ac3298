"""COCO's JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.config import load_config
from tests.data.test_import_shapes import counts_of, encoded
from tests.imported import box, coco, flat, imported, labels_of, noise, write_image, write_images, write_json

SIZE = (8, 12)
CATEGORIES = {7: "road", 3: "car", 90: "tree"}
CAR, ROAD, TREE = 1, 2, 3  # in the order of the ids, behind the background


def thing(category: int, segmentation: Any, image: int = 10, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


def import_things(tmp_path: Path, *things: dict[str, Any], **options: Any) -> np.ndarray:
    """The labels of an image with these annotations."""
    write_images(tmp_path / "images", {"a.jpg": SIZE})
    path = write_json(tmp_path / "coco.json", coco({"a.jpg": SIZE}, CATEGORIES, *things))
    imported(tmp_path / "out", tmp_path / "images", path, **options)
    return labels_of(tmp_path / "out")["a"]


def names(tmp_path: Path) -> list[str]:
    return load_config(tmp_path / "out" / "config.yml").train_dataset["class_names"]


def runs(mask: np.ndarray, compressed: bool) -> dict[str, Any]:
    counts = counts_of(mask)
    return {"size": list(mask.shape), "counts": encoded(counts) if compressed else counts}


def test_small_objects_lie_above_large_ones_and_crowds_lowest(tmp_path: Path) -> None:
    labels = import_things(
        tmp_path,
        thing(3, flat(box(2, 2, 5, 5))),
        thing(7, flat(box(0, 0, 10, 6))),
        thing(90, flat(box(4, 4, 6, 6)), iscrowd=1),  # smaller than the road, and below it all the same
        thing(90, flat(box(8, 4, 12, 8)), area=0.001),  # the area in the file is not used
    )
    expected = np.zeros(SIZE, dtype=np.uint8)
    expected[0:6, 0:10] = ROAD
    expected[4:8, 8:12] = TREE
    expected[2:5, 2:5] = CAR
    assert np.array_equal(labels, expected)
    assert names(tmp_path) == ["background", "car", "road", "tree"]


def test_an_object_of_several_polygons(tmp_path: Path) -> None:
    labels = import_things(
        tmp_path,
        thing(3, flat(box(0, 0, 2, 2), box(1, 1, 4, 4), box(9, 7, 99, 99))),  # 4 + 9 - 1 + 3 pixels
        thing(7, flat(box(0, 0, 4, 4))),  # 16 pixels: below the car
        thing(90, flat(box(3, 0, 4, 6), box(0, 5, 4, 6), box(3, 0, 4, 3))),  # 6 + 4 - 1 = 9 pixels: above it
    )
    expected = np.zeros(SIZE, dtype=np.uint8)
    expected[0:4, 0:4] = ROAD
    expected[0:2, 0:2] = expected[1:4, 1:4] = expected[7:8, 9:12] = CAR
    expected[0:6, 3:4] = expected[5:6, 0:4] = TREE
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_with_a_hole(tmp_path: Path, compressed: bool) -> None:
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[1:7, 2:11] = 1
    mask[3:5, 4:8] = 0
    labels = import_things(tmp_path, thing(3, runs(mask, compressed)), thing(7, flat(box(0, 0, 12, 8))))
    assert np.array_equal(labels, np.where(mask == 1, CAR, ROAD))


@pytest.mark.parametrize(
    ("options", "fill", "car", "class_names"),
    [
        ({"background": "ignore"}, 255, 0, ["car", "road", "tree"]),
        ({"classes": ["tree", "car"]}, 0, 2, ["background", "tree", "car"]),
        ({"classes": ["car"]}, 0, 1, ["background", "car"]),
        ({"classes": ["car", "background"]}, 1, 0, ["car", "background"]),
    ],
)
def test_classes_and_background(
    tmp_path: Path, options: dict[str, Any], fill: int, car: int, class_names: list[str]
) -> None:
    labels = import_things(tmp_path, thing(3, flat(box(0, 0, 3, 3))), **options)
    expected = np.full(SIZE, fill, dtype=np.uint8)
    expected[:3, :3] = car
    assert np.array_equal(labels, expected)
    assert names(tmp_path) == class_names


def test_images_without_annotation_are_background(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE, "b.jpg": SIZE})
    content = coco({"a.jpg": SIZE, "b.jpg": SIZE}, CATEGORIES, thing(3, flat(box(0, 0, 3, 3))))
    imported(tmp_path / "out", tmp_path / "images", write_json(tmp_path / "coco.json", content))
    assert not labels_of(tmp_path / "out")["b"].any()


def test_images_on_one_side_only(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE, "b.jpg": SIZE})
    content = coco({"a.jpg": SIZE, "gone.jpg": SIZE}, CATEGORIES, thing(3, flat(box(0, 0, 3, 3))))
    path = write_json(tmp_path / "coco.json", content)
    message = (
        r"1 image without a label \(b\.jpg\) and 1 label without an image \(gone\.jpg of coco\.json\), beside 1 pair"
    )
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "out", tmp_path / "images", path)
    imported(tmp_path / "out", tmp_path / "images", path, skip_unmatched=True)
    assert list(labels_of(tmp_path / "out")) == ["a"]


@pytest.mark.parametrize("file_name", ["train2017/a.jpg", "/data/coco/a.jpg", "..\\x\\a.jpg", "./a.jpg"])
def test_images_are_found_by_name(tmp_path: Path, file_name: str) -> None:
    write_images(tmp_path / "images", {"some where/a.jpg": SIZE})
    content = coco({file_name: SIZE}, CATEGORIES, thing(3, flat(box(0, 0, 3, 3))))
    imported(tmp_path / "out", tmp_path / "images", write_json(tmp_path / "coco.json", content))
    assert list(labels_of(tmp_path / "out")) == ["some where/a"]


@pytest.mark.parametrize("file_name", ["../secret.jpg", "../../secret.jpg", "a.jpg/../../secret.jpg", "..", ""])
def test_no_file_outside_the_images_is_read(tmp_path: Path, file_name: str) -> None:
    write_images(tmp_path, {"secret.jpg": SIZE, "images/a.jpg": SIZE})
    path = write_json(tmp_path / "coco.json", coco({file_name: SIZE}, CATEGORIES))
    with pytest.raises(ValueError, match="no image has a label"):
        imported(tmp_path / "out", tmp_path / "images", path)


def test_files_beside_their_images_keep_their_parts_and_share_their_classes(tmp_path: Path) -> None:
    """The layout of Roboflow: a JSON file in each of train, valid and test; ids differ from file to file."""
    for number, part in enumerate(("train", "valid", "test")):
        write_images(tmp_path / "all" / part, {"a.jpg": SIZE, f"{part}.jpg": SIZE})
        content = coco(
            {"a.jpg": SIZE, f"{part}.jpg": SIZE},
            {number: "car", number + 1: "road"} if number < 2 else {0: "road", 1: "car"},
            thing(number if number < 2 else 1, flat(box(0, 0, 3, 3 + number))),
        )
        write_json(tmp_path / "all" / part / "_annotations.coco.json", content)
    summary = imported(tmp_path / "out", tmp_path / "all", tmp_path / "all")
    assert summary.format == "coco"
    assert names(tmp_path) == ["background", "road", "car"]  # as in the first file, that of test
    labels = labels_of(tmp_path / "out")
    assert {name: int((label == 2).sum()) for name, label in labels.items()} == {
        "train/a": 9,
        "train/train": 0,
        "valid/a": 12,
        "valid/valid": 0,
    }
    assert (tmp_path / "out" / "test.txt").read_text().split("\n")[0] == "images/test/a.jpg labels/test/a.png"


def test_the_names_of_several_files_say_the_parts(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {f"{i}.jpg": SIZE for i in range(4)})
    for part, images in (("train2017", (0, 2, 3)), ("val2017", (1,))):
        content = coco({f"{i}.jpg": SIZE for i in images}, CATEGORIES, thing(3, flat(box(0, 0, 3, 3))))
        write_json(tmp_path / "annotations" / f"instances_{part}.json", content)
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "annotations", val=0.9)
    assert (tmp_path / "out" / "val.txt").read_text() == "images/1.jpg labels/1.png\n"


@pytest.mark.parametrize("listed_hw", [(16, 8), (8, 16), None])
def test_a_turned_photo(tmp_path: Path, listed_hw: tuple[int, int] | None) -> None:
    """EXIF orientation 6: the stored row 0 is the upright image's last column."""
    write_image(tmp_path / "images" / "a.jpg", noise(8, 16), orientation=6)
    content = coco({"a.jpg": listed_hw or (1, 1)}, CATEGORIES, thing(3, flat(box(0, 0, 5, 1))))
    if listed_hw is None:
        del content["images"][0]["height"]
    imported(tmp_path / "out", tmp_path / "images", write_json(tmp_path / "coco.json", content))
    expected = np.zeros((16, 8), dtype=np.uint8)
    expected[(slice(0, 5), 7) if listed_hw == (8, 16) else (0, slice(0, 5))] = CAR
    assert np.array_equal(labels_of(tmp_path / "out")["a"], expected)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "it has no segmentation, only a box"),
        ([], "it has no segmentation, only a box"),
        ({}, "it has no segmentation"),
        ("abc", "'segmentation' is \"abc\"; expected a list or an object"),
        (3, "'segmentation' is 3; expected a list or an object"),
        ([[]], "a polygon is a list"),
        ([[1, 2, 3, 4]], "of at least 6 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "of at least 6 numbers"),
        ([1, 2, 3, 4, 5, 6], "a polygon is a list"),
        ([[1, 2, 3, 4, 5, "6"]], "expected a list of points"),
        ([[1, 2, 3, 4, 5, None]], "expected a list of points"),
        ([[1, 2, 3, 4, 5, float("nan")]], "the coordinate nan lies beyond"),
        ([[1, 2, 3, 4, 5, -1e12]], "the coordinate -1000000000000.0 lies beyond"),
        ({"counts": [96]}, "'size' is missing"),
        ({"counts": [96], "size": [8, 12, 1]}, r"the size of its RLE is \[8, 12, 1\]"),
        ({"counts": [96], "size": [8.0, 12]}, "the size of its RLE is"),
        ({"counts": [96], "size": [12, 8]}, "its RLE is of 8 x 12 pixels, the image of 12 x 8"),
        ({"counts": 96, "size": [8, 12]}, "the counts of its RLE are 96"),
        ({"counts": [95], "size": [8, 12]}, "the counts of the RLE add up to 95"),
        ({"counts": [-4, 100], "size": [8, 12]}, "whole numbers from 0"),
        ({"counts": ["96"], "size": [8, 12]}, "whole numbers from 0"),
        ({"counts": "\x00", "size": [8, 12]}, "no part of COCO's compressed form"),
    ],
)
def test_objects_that_cannot_be_drawn(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"coco\.json, annotation 2 \(car\): .*{message}"):
        import_things(tmp_path, thing(7, flat(box(0, 0, 9, 9))), thing(3, segmentation, bbox=[0, 0, 3, 3]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": None}, "'annotations' is null; expected a list"),
        ({"categories": None}, "'categories' is null"),
        ({"categories": [{"id": 1}]}, "category 0: 'name' is missing; expected a text"),
        ({"categories": [{"id": "1", "name": "x"}]}, "category 0: 'id' is \"1\"; expected a whole number"),
        ({"categories": [{"id": 3, "name": "x"}, {"id": 3, "name": "y"}]}, "category 1: the id 3 is there twice"),
        ({"images": {}}, "'images' is {}; expected a list"),
        ({"images": [3]}, "image 0: expected an object"),
        ({"images": [{"id": 10, "file_name": 3}]}, "image 0: 'file_name' is 3; expected a text"),
        ({"images": [{"id": 10, "file_name": "a.jpg", "height": "8", "width": 12}]}, "'height' is \"8\""),
        (
            {"images": [{"id": 10, "file_name": "a.jpg", "height": 10**12, "width": 12}]},
            "drawn on an image of 12 x 10000",
        ),
        ({"images": [{"id": i, "file_name": "a.jpg"} for i in (10, 11)]}, r"the image a\.jpg is listed twice"),
        ({"annotations": [3]}, "annotation number 0: expected an object"),
        ({"annotations": [thing(3, [[1, 2, 3, 4, 5, 6]], image=99)]}, "no image has the id 99"),
        ({"annotations": [thing(99, [[1, 2, 3, 4, 5, 6]])]}, "no category has the id 99"),
        (
            {"annotations": [{"image_id": 10, "segments_info": [], "file_name": "a.png"}]},
            "panoptic annotations are not",
        ),
    ],
)
def test_files_that_are_not_as_they_should_be(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE})
    content = {**coco({"a.jpg": SIZE}, CATEGORIES, thing(3, flat(box(0, 0, 3, 3)))), **change}
    path = write_json(tmp_path / "coco.json", content)
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "out", tmp_path / "images", path, format="coco")


def test_a_category_that_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"annotation 1 \(car\): 'car' is not among the classes"):
        import_things(tmp_path, thing(3, flat(box(0, 0, 3, 3))), classes=["road", "tree"])


def test_too_many_categories(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE})
    content = coco({"a.jpg": SIZE}, {i: f"class {i}" for i in range(300)})
    with pytest.raises(ValueError, match="there are 301 classes, but 8-bit labels hold 255"):
        imported(tmp_path / "out", tmp_path / "images", write_json(tmp_path / "coco.json", content))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"x.json": {"hello": 1}}, r"x\.json: neither LabelMe's JSON \('shapes'\) nor COCO's"),
        ({"x.json": coco({}, {}), "a.png": None}, "JSON files and pictures .*--format"),
    ],
)
def test_labels_that_are_not_recognised(tmp_path: Path, labels: dict[str, Any], message: str) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE})
    for name, content in labels.items():
        if content is None:
            write_image(tmp_path / "labels" / name, noise(*SIZE))
        else:
            write_json(tmp_path / "labels" / name, content)
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "labels")


def test_the_file_alone_is_recognised(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE})
    path = tmp_path / "labels.JSON"
    path.write_text(json.dumps(coco({"a.jpg": SIZE}, CATEGORIES)), encoding="utf-8-sig")
    assert imported(tmp_path / "out", tmp_path / "images", path).format == "coco"
    with pytest.raises(ValueError, match="neither a folder nor a JSON file"):
        imported(tmp_path / "out2", tmp_path / "images", tmp_path / "images" / "a.jpg")
    with pytest.raises(ValueError, match="is a file; labelme labels are a folder"):
        imported(tmp_path / "out2", tmp_path / "images", path, format="labelme")
