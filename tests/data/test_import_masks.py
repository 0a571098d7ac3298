"""Masks as users have them: indices, palettes, colours, black and white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.config import build, load_config
from tests.imported import imported, labels_of, noise, write_image, write_images

RED, GREEN, BLACK, WHITE = (200, 10, 20), (10, 200, 20), (0, 0, 0), (255, 255, 255)


def array(*rows: object) -> np.ndarray:
    return np.array(rows, dtype=np.uint8)


def import_masks(tmp_path: Path, *masks: np.ndarray, palette: Any = None, **options: Any) -> list[np.ndarray]:
    """Import images with these masks, a.png and so on; the labels that come out."""
    for name, mask in zip("abcdef", masks, strict=False):
        write_image(tmp_path / "images" / f"{name}.jpg", noise(*mask.shape[:2]))
        write_image(tmp_path / "masks" / f"{name}.png", mask, palette)
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks", **options)
    return list(labels_of(tmp_path / "out").values())


def names(tmp_path: Path) -> list[str]:
    return load_config(tmp_path / "out" / "config.yml").train_dataset["class_names"]


def palette(tmp_path: Path) -> list[list[int]]:
    return load_config(tmp_path / "out" / "config.yml").train_dataset["palette"]


# --------------------------------------------------------------------------------------------------------------- values
@pytest.mark.parametrize(
    ("masks", "expected", "class_names"),
    [
        # As they are; 255 is ignored.
        ([array([0, 1], [2, 255])], [array([0, 1], [2, 255])], ["class 0", "class 1", "class 2"]),
        # A class that no mask has.
        ([array([0, 2]), array([2, 3])], [array([0, 2]), array([2, 3])], [f"class {i}" for i in range(4)]),
        # Black and white.
        ([array([0, 255]), array([255, 255])], [array([0, 1]), array([1, 1])], ["background", "foreground"]),
        ([array([255, 255]), array([0, 0])], [array([1, 1]), array([0, 0])], ["background", "foreground"]),
        # Counted from 1, with and without ignored pixels.
        ([array([1, 2]), array([3, 3])], [array([0, 1]), array([2, 2])], ["class 1", "class 2", "class 3"]),
        ([array([1, 2]), array([255, 2])], [array([0, 1]), array([255, 1])], ["class 1", "class 2"]),
    ],
)
def test_values(tmp_path: Path, masks: list[np.ndarray], expected: list[np.ndarray], class_names: list[str]) -> None:
    labels = import_masks(tmp_path, *masks)
    assert [each.tolist() for each in labels] == [each.tolist() for each in expected]
    assert names(tmp_path) == class_names


@pytest.mark.parametrize(
    ("values", "words", "background", "expected", "class_names"),
    [
        ([0, 1, 2], ["a", "b", "c", "d"], "class", [0, 1, 2], ["a", "b", "c", "d"]),
        # As many names as the largest value, and 0 never occurs.
        ([1, 2, 255], ["a", "b"], "class", [0, 1, 255], ["a", "b"]),
        ([1, 2], ["a", "b", "c"], "class", [1, 2], ["a", "b", "c"]),
        ([0, 255], ["road", "car"], "class", [0, 1], ["road", "car"]),
        ([0, 255], ["car"], "class", [0, 1], ["background", "car"]),
        ([0, 255], ["a", "b", "c"], "class", [0, 255], ["a", "b", "c"]),
        # Without the background.
        ([0, 1, 2], [], "ignore", [255, 0, 1], ["class 1", "class 2"]),
        ([0, 1, 2], ["a", "b"], "ignore", [255, 0, 1], ["a", "b"]),
        ([0, 1, 2], ["background", "a", "b"], "ignore", [255, 0, 1], ["a", "b"]),
        # A place in the list that is ignored; LabelMe's __ignore__ has none.
        ([0, 1, 2], ["ignore", "a", "b"], "class", [255, 0, 1], ["a", "b"]),
        ([0, 1, 2], ["a", "ignore", "b"], "class", [0, 255, 1], ["a", "b"]),
        ([0, 1, 255], ["__ignore__", "_background_", "b"], "class", [0, 1, 255], ["_background_", "b"]),
    ],
)
def test_values_with_names(
    tmp_path: Path, values: list[int], words: list[str], background: str, expected: list[int], class_names: list[str]
) -> None:
    (labels,) = import_masks(tmp_path, array(values), classes=words, background=background)
    assert labels.tolist() == [expected]
    assert names(tmp_path) == class_names


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA", "LA"])
def test_equal_masks_in_every_mode_give_equal_labels(tmp_path: Path, mode: str) -> None:
    mask = array([0, 1, 1], [1, 0, 1]) * (255 if mode == "1" else 1)
    image = Image.fromarray(mask.astype(np.uint16)) if mode == "I;16" else Image.fromarray(mask).convert(mode)
    if mode == "P":
        image = Image.fromarray(mask)
        image.putpalette([9, 9, 9, 1, 2, 3])
    assert image.mode == mode
    (tmp_path / "masks").mkdir()
    image.save(tmp_path / "masks" / "a.png")
    write_images(tmp_path / "images", {"a.jpg": (2, 3)})
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")
    assert labels_of(tmp_path / "out")["a"].tolist() == [[0, 1, 1], [1, 0, 1]]


def test_palette_pngs_give_their_indices_and_colours(tmp_path: Path) -> None:
    colours = [BLACK, RED, GREEN]
    labels = import_masks(tmp_path, array([0, 1, 2]), array([2, 2, 255]), palette=colours)
    assert [each.tolist() for each in labels] == [[[0, 1, 2]], [[2, 2, 255]]]
    assert palette(tmp_path) == [list(each) for each in colours]
    with Image.open(tmp_path / "out" / "labels" / "a.png") as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((1, 0)) == RED


def test_palettes_that_contradict_one_another_are_read_by_colour(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": (1, 3), "b.jpg": (1, 3)})
    write_image(tmp_path / "masks" / "a.png", array([0, 1, 2]), [BLACK, RED, GREEN])
    write_image(tmp_path / "masks" / "b.png", array([0, 1, 2]), [GREEN, BLACK, RED])
    summary = imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")
    assert [each.tolist() for each in labels_of(tmp_path / "out").values()] == [[[0, 2, 1]], [[1, 0, 2]]]
    assert "the masks' palettes contradict one another: read by colour" in summary.text()


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (array([0, 128]), {}, "the values 0, 128, which do not look like the indices"),
        (array([0, 50, 100, 150]), {}, "name v v v"),
        (np.array([[0, 300]], dtype=np.uint16), {}, r"a\.png: values up to 300"),
        (array([0, 1, 2]), {"classes": ["a", "b"]}, "the value 2, but --classes names 2, for the values 0 to 1"),
        (array([0, 3]), {"classes": ["a", "b"], "background": "ignore"}, "for the values 1 to 2"),
        (array([0, 0]), {}, "one class only"),
        (array([0, 1]), {"background": "ignore"}, "one class only"),
        (array([0, 1]), {"classes": [f"c{i}" for i in range(300)]}, "300 classes, but 8-bit labels hold 255"),
    ],
)
def test_values_that_are_no_classes(tmp_path: Path, mask: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_masks(tmp_path, mask, **options)
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------------------- colours
@pytest.mark.parametrize(
    "lines",
    [
        ["road 200 10 20", "light green 10 200 20", "ignore 0 0 0"],
        ["road\t200\t10\t20", "light green, 10, 200, 20", "", "# a remark", "ignore 0,0,0"],
        ["# label:color_rgb:parts:actions", "road:200,10,20::", "light green:10,200,20::", "ignore:0,0,0::"],
    ],
)
def test_colours_of_a_table(tmp_path: Path, lines: list[str]) -> None:
    table = tmp_path / "table.txt"
    table.write_text("\n".join(lines), encoding="utf-8-sig")
    (labels,) = import_masks(tmp_path, array([RED, GREEN], [BLACK, RED]), classes=[str(table)])
    assert labels.tolist() == [[0, 1], [255, 0]]
    assert names(tmp_path) == ["road", "light green"]
    assert palette(tmp_path) == [list(RED), list(GREEN)]


def test_a_class_of_several_colours_and_shades_of_grey(tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    table.write_text("a 50 50 50\nb 100 100 100\na 150 150 150\nbackground 0 0 0")
    (labels,) = import_masks(tmp_path, array([50, 100, 150, 0]), classes=[str(table)])
    assert labels.tolist() == [[0, 1, 0, 2]]
    assert names(tmp_path) == ["a", "b", "background"]


def test_colours_that_are_found(tmp_path: Path) -> None:
    labels = import_masks(tmp_path, array([RED, BLACK]), array([GREEN, RED]))
    assert [each.tolist() for each in labels] == [[[2, 0]], [[1, 2]]]
    assert names(tmp_path) == ["background", "rgb_10_200_20", "rgb_200_10_20"]
    # The written classes can be renamed and given again.
    written = tmp_path / "out" / "classes.txt"
    table = tmp_path / "table.txt"
    table.write_text(written.read_text().replace("rgb_10_200_20", "grass").replace("rgb_200_10_20", "flag"))
    imported(tmp_path / "again", tmp_path / "images", tmp_path / "masks", classes=[str(table)])
    again = labels_of(tmp_path / "again")
    assert [each.tolist() for each in again.values()] == [each.tolist() for each in labels]
    assert load_config(tmp_path / "again" / "config.yml").train_dataset["class_names"] == [
        "background",
        "grass",
        "flag",
    ]


@pytest.mark.parametrize("table", [None, "a 200 10 20\nb 10 200 20", "background 0 0 0\na 200 10 20\nb 10 200 20"])
def test_black_can_be_ignored(tmp_path: Path, table: str | None) -> None:
    if table is not None:
        (tmp_path / "table.txt").write_text(table)
    classes = [] if table is None else [str(tmp_path / "table.txt")]
    (labels,) = import_masks(tmp_path, array([RED, GREEN, BLACK]), classes=classes, background="ignore")
    assert labels.tolist() == [[0, 1, 255]] if table else [[1, 0, 255]]
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("road 200 10 20\ngrass 10 200 21", r"a\.png: 1 pixels have colours of no class: \(10, 200, 20\)"),
        ("road\ngrass", "the masks are told apart by colour, but --classes has no colours"),
        ("road 200 10 20\ngrass", "'grass' has no colour"),
        ("road 200 10 20\ngrass 200 10 20", r"the colour \(200, 10, 20\) is there twice"),
        ("road 200 10 20\ngrass 10 300 20", "line 2: colours are from 0 to 255"),
        ("road\nroad", "the name road is there twice"),
        ("\n# only a remark\n", "there is no class"),
        ("ignore 200 10 20\nignore 10 200 20", "there is no class"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, table: str | bytes, message: str) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(ValueError, match=message):
        import_masks(tmp_path, array([RED, GREEN]), classes=[str(path)])


def test_smoothed_edges_are_told_from_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"10\d\d colours, .*are edges smoothed"):
        import_masks(tmp_path, noise(32, 32))


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.png": (4, 4)})
    write_images(tmp_path / "masks", {"a.JPG": (4, 4)})
    with pytest.raises(ValueError, match=r"a\.JPG: JPEG changes the values"):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")


# ------------------------------------------------------------------------------------------------------------- matching
def test_names_with_blanks_umlauts_folders_and_upper_case(tmp_path: Path) -> None:
    stems = ["plain", "with two  blanks", "ü/日本　語", "A/B/c.d", "A/B/c", "#1", "images"]
    for index, stem in enumerate(stems):
        write_image(tmp_path / "images" / f"{stem}.{('jpg', 'PNG', 'JPeG')[index % 3]}", noise(2, 3, index))
        write_image(tmp_path / "masks" / f"{stem}.{('png', 'PNG')[index % 2]}", np.full((2, 3), index, np.uint8))
    (tmp_path / "images" / ".hidden.jpg").write_bytes(b"not looked at")
    (tmp_path / "masks" / "notes.txt").write_text("not looked at")
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks", val=0.3)
    labels = labels_of(tmp_path / "out")
    assert {name: int(label[0, 0]) for name, label in labels.items()} == {stem: i for i, stem in enumerate(stems)}
    for index, stem in enumerate(stems):
        suffix = ("jpg", "PNG", "JPeG")[index % 3]
        copy = tmp_path / "out" / "images" / f"{stem}.{suffix}"
        assert copy.read_bytes() == (tmp_path / "images" / f"{stem}.{suffix}").read_bytes()


def test_masks_beside_their_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "all", {"a.jpg": (1, 2), "b.png": (1, 2)})
    for name, mask in (("a_mask.png", array([0, 1])), ("b_mask.png", array([1, 1]))):
        write_image(folder / name, mask)
    with pytest.raises(ValueError, match="--label_suffix"):
        imported(tmp_path / "out", folder, folder)
    imported(tmp_path / "out", folder, folder, label_suffix="_mask")
    assert {name: each.tolist() for name, each in labels_of(tmp_path / "out").items()} == {"a": [[0, 1]], "b": [[1, 1]]}


def test_masks_in_a_folder_below_the_images(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.png": (1, 2)})
    write_image(tmp_path / "images" / "masks" / "a.png", array([0, 1]))
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "images" / "masks")
    assert list(labels_of(tmp_path / "out")) == ["a"]


def test_what_has_no_partner(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {f"{i}.jpg": (1, 2) for i in range(12)})
    for name in ("2", "11", "x"):
        write_image(tmp_path / "masks" / f"{name}.png", array([0, 1]))
    message = (
        r"10 images without a label \(0\.jpg, 1\.jpg, 3\.jpg, \.\.\.\) and 1 label without an image \(x\.png\), "
        r"beside 2 pairs; .*--skip_unmatched"
    )
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")
    summary = imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks", skip_unmatched=True)
    assert sorted(labels_of(tmp_path / "out")) == ["11", "2"]
    assert "left out: 10 image(s) without a label" in summary.text()
    assert "left out: 1 label(s) without an image" in summary.text()


@pytest.mark.parametrize(("images", "masks"), [(["a.jpg"], ["b.png"]), ([], ["b.png"]), (["a.jpg"], []), ([], [])])
def test_nothing_matches(tmp_path: Path, images: list[str], masks: list[str]) -> None:
    for folder, file_names in (("images", images), ("masks", masks)):
        (tmp_path / folder).mkdir()
        write_images(tmp_path / folder, dict.fromkeys(file_names, (2, 2)))
    with pytest.raises(ValueError, match="no image has a label"):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks", skip_unmatched=True)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_names_that_differ_in_their_ending_only(tmp_path: Path, folder: str) -> None:
    write_images(tmp_path / "images", {"a.jpg": (1, 2)})
    write_image(tmp_path / "masks" / "a.png", array([0, 1]))
    write_image(tmp_path / folder / "a.bmp", array([0, 1]))
    with pytest.raises(ValueError, match=rf"{folder}: a\.\w+ and a\.\w+ differ in their endings only"):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.jpg": (4, 6)})
    write_image(tmp_path / "masks" / "a.png", np.eye(5, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"a\.jpg is 6 x 4 \(upright\), .*a\.png is 5 x 5"):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")
    assert list(tmp_path.glob("*out*")) == list(tmp_path.glob(".out*")) == []


# Where the pixel stored at the top left belongs in the upright image, for the EXIF orientations of quarter turns.
CORNERS = {5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("drawn_upright", [True, False])
def test_photos_that_exif_turns(tmp_path: Path, orientation: int, drawn_upright: bool) -> None:
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[:8, :8] = 255  # the stored image's top left corner
    write_image(tmp_path / "images" / "a.png", pixels, orientation=orientation)
    mask = np.zeros((32, 16) if drawn_upright else (16, 32), dtype=np.uint8)
    corner = tuple(slice(None, 8) if place == 0 else slice(-8, None) for place in CORNERS[orientation])
    mask[corner if drawn_upright else np.s_[:8, :8]] = 1
    write_image(tmp_path / "masks" / "a.png", mask)
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")
    cfg = load_config(tmp_path / "out" / "config.yml")
    sample = build.component({**cfg.train_dataset, "transforms": []}).sample(0, 0)
    assert sample["label"].shape == (32, 16)
    assert np.array_equal(sample["label"] == 1, sample["img"][0] == 255)


@pytest.mark.parametrize(
    ("broken", "kept"), [("images/a.jpg", 300), ("masks/a.png", 200), ("masks/a.png", 30), ("masks/a.png", 0)]
)
def test_broken_pictures_are_named(tmp_path: Path, broken: str, kept: int) -> None:
    write_images(tmp_path / "images", {"a.jpg": (40, 60)})
    write_image(tmp_path / "masks" / "a.png", (noise(40, 60)[:, :, 0] > 99).astype(np.uint8))
    content = (tmp_path / broken).read_bytes()
    assert len(content) > kept
    (tmp_path / broken).write_bytes(content[:kept])
    with pytest.raises(ValueError, match=f"{broken}: corrupt or truncated"):
        imported(tmp_path / "out", tmp_path / "images", tmp_path / "masks")
