"""LabelMe's JSON files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.config import load_config
from tests.imported import box, imported, labelme, labels_of, noise, shape, write_image, write_images, write_json

SIZE = (8, 12)


def import_shapes(
    tmp_path: Path, *shapes: dict[str, Any], size_hw: tuple[int, int] = SIZE, **options: Any
) -> np.ndarray:
    """The labels of an image with these shapes."""
    write_images(tmp_path / "images", {"a.jpg": size_hw})
    write_json(tmp_path / "json" / "a.json", labelme("a.jpg", size_hw, *shapes))
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "json", **options)
    return labels_of(tmp_path / "out")["a"]


def names(tmp_path: Path) -> list[str]:
    return load_config(tmp_path / "out" / "config.yml").train_dataset["class_names"]


def area(*boxes: tuple[int, int, int, int, int], fill: int = 0) -> np.ndarray:
    """Labels with boxes (left, top, right, bottom, label) laid one over the other."""
    labels = np.full(SIZE, fill, dtype=np.uint8)
    for left, top, right, bottom, label in boxes:
        labels[top:bottom, left:right] = label
    return labels


def png(mask: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_later_shapes_lie_above_earlier_ones(tmp_path: Path) -> None:
    labels = import_shapes(
        tmp_path,
        shape("road", box(1, 1, 9, 7), group_id=1),
        shape("car", [[4, 2], [12, 5]], "rectangle", group_id=1),
        shape("road", [[11, 6], [10, 4]], "rectangle"),
        shape("mark", box(2.5, 2.5, 3.5, 6.5), None),  # files of early versions have no type
    )
    # Alphabetical, behind the background: car, mark, road.
    expected = area((1, 1, 9, 7, 3), (4, 2, 12, 5, 1), (10, 4, 11, 6, 3), (2, 2, 3, 6, 2))
    assert np.array_equal(labels, expected)
    assert names(tmp_path) == ["background", "car", "mark", "road"]


def test_circles_masks_and_turned_rectangles(tmp_path: Path) -> None:
    mask = np.array([[255, 0, 255], [0, 255, 0]], dtype=np.uint8)
    labels = import_shapes(
        tmp_path,
        shape("a", [[3, 3], [3, 5]], "circle"),
        shape("b", [[8, 6], [10, 7]], "mask", mask=png(mask)),
        shape("b", [[9, 0], [11, 2], [9, 4], [7, 2]], "oriented_rectangle"),
    )
    expected = area()
    expected[1:5, 2:4] = expected[2:4, 1:5] = 1  # the four corners of the 4 x 4 are 2.12 away from the centre
    expected[6:8, 8:11][mask > 0] = 2
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    expected[np.abs(x - 9) + np.abs(y - 2) < 2] = 2
    on_the_edge = np.abs(np.abs(x - 9) + np.abs(y - 2) - 2) < 1e-9
    assert np.array_equal(labels[~on_the_edge], expected[~on_the_edge])
    assert on_the_edge.sum() == 8


@pytest.mark.parametrize(
    ("options", "fill", "car", "class_names"),
    [
        ({}, 0, 1, ["background", "car", "tree"]),
        ({"background": "ignore"}, 255, 0, ["car", "tree"]),
        ({"classes": ["tree", "car"]}, 0, 2, ["background", "tree", "car"]),
        ({"classes": ["tree", "background", "car"]}, 1, 2, ["tree", "background", "car"]),
        ({"classes": ["__ignore__", "_background_", "tree", "car"]}, 0, 2, ["_background_", "tree", "car"]),
        ({"classes": ["tree", "car"], "background": "ignore"}, 255, 1, ["tree", "car"]),
    ],
)
def test_classes_and_background(
    tmp_path: Path, options: dict[str, Any], fill: int, car: int, class_names: list[str]
) -> None:
    tree = class_names.index("tree")
    labels = import_shapes(
        tmp_path,
        shape("car", box(0, 0, 5, 5)),
        shape(" tree ", box(6, 0, 9, 5)),
        shape("_background_", box(1, 1, 2, 2)),
        shape("ignore", box(2, 2, 3, 3)),
        shape("__ignore__", box(3, 3, 4, 4)),
        **options,
    )
    boxes = ((0, 0, 5, 5, car), (6, 0, 9, 5, tree), (1, 1, 2, 2, fill), (2, 2, 3, 3, 255), (3, 3, 4, 4, 255))
    assert np.array_equal(labels, area(*boxes, fill=fill))
    assert names(tmp_path) == class_names


def test_an_image_without_shapes_is_background(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE, "b.jpg": SIZE})
    write_json(tmp_path / "json" / "a.json", labelme("a.jpg", SIZE, shape("car", box(0, 0, 5, 5))))
    write_json(tmp_path / "json" / "b.json", labelme("b.jpg", SIZE))
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "json")
    assert not labels_of(tmp_path / "out")["b"].any()


@pytest.mark.parametrize(
    ("json_name", "image_path", "image"),
    [
        ("x.json", "a.jpg", "a.jpg"),
        ("x.json", "../images/a.jpg", "a.jpg"),
        ("x.json", "..\\images\\a.jpg", "a.jpg"),
        ("x.json", "C:\\data\\a.jpg", "a.jpg"),
        ("x.json", "/somewhere/else/a.jpg", "a.jpg"),
        ("a.json", "renamed since.jpg", "a.jpg"),
        ("a.json", None, "a.jpg"),
        ("a.json", "", "a.jpg"),
        ("deep/er/a.json", "a.jpg", "deep/er/a.jpg"),
        ("flat.json", "c.jpg", "deep/c.jpg"),
        ("deep/er/flat.json", "c.jpg", "deep/c.jpg"),
    ],
)
def test_images_are_found_by_name(tmp_path: Path, json_name: str, image_path: str | None, image: str) -> None:
    write_images(tmp_path / "images", dict.fromkeys(["a.jpg", "b.jpg", "deep/er/a.jpg", "deep/c.jpg"], SIZE))
    content = labelme("", SIZE, shape("car", box(0, 0, 5, 5)))
    content["imagePath"] = image_path
    write_json(tmp_path / "json" / json_name, content)
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "json", skip_unmatched=True)
    assert list(labels_of(tmp_path / "out")) == [image.removesuffix(".jpg")]


@pytest.mark.parametrize(
    "path", ["../../secret.jpg", "../secret.jpg", "/etc/secret.jpg", "..", "a.jpg/../../secret.jpg"]
)
def test_no_file_outside_the_images_is_read(tmp_path: Path, path: str) -> None:
    write_images(tmp_path, {"secret.jpg": SIZE, "images/a.jpg": SIZE})
    write_json(tmp_path / "json" / "x.json", labelme(path, SIZE, shape("car", box(0, 0, 5, 5))))
    with pytest.raises(
        ValueError, match=r"no image has a label: 1 image without a label \(a.jpg\) and 1 label without"
    ):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "json")


def test_images_beside_their_files(tmp_path: Path) -> None:
    write_images(tmp_path / "all", {"a.jpg": SIZE, "b.JPG": SIZE})
    for name in ("a.jpg", "b.JPG"):
        write_json((tmp_path / "all" / name).with_suffix(".json"), labelme(name, None, shape("car", box(0, 0, 5, 5))))
    assert imported(tmp_path / "out", tmp_path / "all", tmp_path / "all").format == "labelme"
    assert sorted(labels_of(tmp_path / "out")) == ["a", "b"]


def test_two_files_for_one_image(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE, "b.jpg": SIZE})
    for name in ("a", "b"):
        write_json(tmp_path / "json" / f"{name}.json", labelme("a.jpg", SIZE, shape("car", box(0, 0, 5, 5))))
    with pytest.raises(ValueError, match=r"a\.json and .*b\.json are both about the image a\.jpg"):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "json")


@pytest.mark.parametrize("drawn_hw", [(16, 8), (8, 16), None])
def test_a_turned_photo(tmp_path: Path, drawn_hw: tuple[int, int] | None) -> None:
    """EXIF orientation 6: the stored row 0 is the upright image's last column."""
    write_image(tmp_path / "images" / "a.jpg", noise(8, 16), orientation=6)
    write_json(tmp_path / "json" / "a.json", labelme("a.jpg", drawn_hw, shape("car", box(0, 0, 5, 1))))
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "json")
    expected = np.zeros((16, 8), dtype=np.uint8)
    if drawn_hw == (8, 16):  # drawn on the image as stored
        expected[0:5, 7] = 1
    else:
        expected[0, 0:5] = 1
    assert np.array_equal(labels_of(tmp_path / "out")["a"], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "'label' is null; expected a text"),
        ({"label": 3}, "'label' is 3; expected a text"),
        ({"label": "  "}, "its label is empty"),
        ({"points": None}, r"expected a list of points \[x, y\], got null"),
        ({"points": "abc"}, r"expected a list of points"),
        ({"points": [["1", "2"], ["3", "4"], ["5", "6"]]}, "expected a list of points"),
        ({"points": [[1, 2], [3], [5, 6]]}, "expected a list of points"),
        ({"points": [[1, 2, 3], [3, 4, 5], [5, 6, 7]]}, "expected a list of points"),
        ({"points": [[True, False], [True, True], [False, True]]}, "expected a list of points"),
        ({"points": []}, "expected a list of points"),
        ({"points": [[1, 2], [3, 4]]}, "a polygon has 3 or more points, this one 2"),
        ({"points": [[1, 2], [3, float("nan")], [5, 6]]}, "the coordinate nan lies beyond any image"),
        ({"points": [[1, 2], [3, float("-inf")], [5, 6]]}, "the coordinate -inf lies beyond any image"),
        ({"points": [[1, 2], [3, 1e300], [5, 6]]}, r"the coordinate 1e\+300 lies beyond any image"),
        ({"points": [[1, 2], [3, 10**400], [5, 6]]}, "expected a list of points"),
        ({"shape_type": "rectangle"}, "a rectangle has 2 points, this one 3"),
        ({"shape_type": "circle"}, "a circle has 2 points, this one 3"),
        ({"shape_type": "line"}, "shape_type 'line' has no area"),
        ({"shape_type": "linestrip"}, "shape_type 'linestrip' has no area"),
        ({"shape_type": "point"}, "shape_type 'point' has no area"),
        ({"shape_type": "points"}, "shape_type 'points' has no area"),
        ({"shape_type": "blob"}, "unknown shape_type 'blob'; known are polygon, rectangle"),
        ({"shape_type": ["polygon"]}, "'shape_type' is .*; expected a text"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]]}, "'mask' is missing"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "!"}, "its mask cannot be read"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "aGVsbG8="}, "its mask cannot be read"),
        (
            {"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": png(np.ones((3, 2), np.uint8))},
            "it is 2 x 3, its box 2 x 2",
        ),
    ],
)
def test_shapes_that_cannot_be_drawn(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    good = shape("tree", box(0, 0, 3, 3))
    bad = {**shape("car", [[1, 2], [3, 4], [5, 6]]), **change}
    with pytest.raises(ValueError, match=rf"a\.json, shape 1.*: .*{message}"):
        import_shapes(tmp_path, good, bad)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.json, line 1: broken JSON"),
        ('{"shapes": [', r"a\.json, line 1: broken JSON"),
        ('{\n"shapes": [}\n', r"a\.json, line 2: broken JSON"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"),
        ("[" * 100_000, "JSON that cannot be read"),
        ("[]", r"a\.json: not a LabelMe file"),
        ("3", r"a\.json: not a LabelMe file"),
        ('{"shapes": {}}', "'shapes' is {}; expected a list"),
        ('{"shapes": [3]}', "shape 0: expected an object with 'label', got 3"),
        ('{"shapes": [], "imagePath": 3}', "'imagePath' is 3; expected a text"),
        ('{"shapes": [], "imageHeight": 8.5, "imageWidth": 12}', "'imageHeight' is 8.5; expected a whole number"),
        ('{"shapes": [], "imageHeight": true, "imageWidth": 12}', "'imageHeight' is true; expected a whole number"),
        (
            json.dumps({"shapes": [shape("car", box(0, 0, 2, 2))], "imageHeight": 1000, "imageWidth": 12}),
            r"a\.json: it was drawn on an image of 12 x 1000, but .*a\.jpg is 12 x 8",
        ),
    ],
)
def test_files_that_are_not_labelmes(tmp_path: Path, content: str | bytes, message: str) -> None:
    write_images(tmp_path / "images", {"a.jpg": SIZE})
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "json", format="labelme")


def test_a_label_that_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"a\.json, shape 0 \(caar\): 'caar' is not among the classes; did you mean 'car'\?"
    ):
        import_shapes(tmp_path, shape("caar", box(0, 0, 3, 3)), classes=["road", "car"])


def test_one_label_and_an_ignored_background_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one class only: car"):
        import_shapes(tmp_path, shape("car", box(0, 0, 3, 3)), background="ignore")
