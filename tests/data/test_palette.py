"""Colours of class indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data import class_names
from paddle_mobileseg.data.palette import CAMVID, check_palette, colorize, default_palette, overlay, write_label_png
from paddle_mobileseg.data.reading import read_image, read_label

PALETTE = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)


def test_default_palette_is_pascal_vocs_without_black() -> None:
    expected = [[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128], [128, 128, 128]]
    np.testing.assert_array_equal(default_palette(7), expected)


@pytest.mark.parametrize("count", [1, 150, 255])
def test_default_palette_has_different_colours(count: int) -> None:
    palette = default_palette(count)
    assert palette.dtype == np.uint8 and palette.shape == (count, 3)
    assert len({tuple(colour) for colour in palette.tolist()} - {(0, 0, 0)}) == count


def test_class_names() -> None:
    assert len(class_names.CAMVID) == len(CAMVID) == 11
    assert len(class_names.ADE20K) == len(set(class_names.ADE20K)) == 150
    chosen = {
        0: "wall",
        2: "sky",
        12: "person",
        20: "car",
        75: "swivel chair",
        100: "poster",
        127: "bicycle",
        149: "flag",
    }
    assert {index: class_names.ADE20K[index] for index in chosen} == chosen


def test_colorize() -> None:
    colours = colorize(np.array([[0, 1, 255]]), PALETTE)
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(colours, [[[255, 0, 0], [0, 255, 0], [0, 0, 0]]])


@pytest.mark.parametrize("wrong", [2, -1, 254])
def test_colorize_refuses_unknown_labels(wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"label {wrong} has no colour: expected 0 to 1, or 255"):
        colorize(np.array([[0, wrong]]), PALETTE)


def test_overlay() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    mixed = overlay(image, np.array([[0, 1, 255]]), PALETTE, alpha=0.2)
    np.testing.assert_array_equal(mixed, [[[131, 80, 80], [80, 131, 80], [100, 100, 100]]])
    with pytest.raises(ValueError, match="differ in size"):
        overlay(image, np.zeros((2, 2), int), PALETTE)


def test_label_png_shows_colours_and_keeps_indices(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 255], [1, 1, 0]], np.int32)
    path = tmp_path / "new folder" / "a.png"
    write_label_png(path, labels, PALETTE)
    np.testing.assert_array_equal(read_label(path), labels)
    np.testing.assert_array_equal(read_image(path), colorize(labels, PALETTE))
    assert Image.open(path).mode == "P"
    assert [each.name for each in path.parent.iterdir()] == ["a.png"]


def test_label_png_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(self: Image.Image, file: Path, **_: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    path = tmp_path / "a.png"
    write_label_png(path, np.array([[1]]), PALETTE)
    monkeypatch.setattr(Image.Image, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        write_label_png(path, np.array([[0]]), PALETTE)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(read_label(path), [[1]])


@pytest.mark.parametrize(
    "labels", [np.array([[256]]), np.array([[-1]]), np.zeros((2, 2, 1), int), np.zeros((0, 4), int)]
)
def test_label_png_refuses_what_it_cannot_hold(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a\.png: a palette PNG holds labels"):
        write_label_png(tmp_path / "a.png", labels, PALETTE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("palette", [[[1, 2, 3]], [[0, 0, 0], [0, 0, 256]], "red", [[1, 2], [3, 4]]])
def test_check_palette(palette: object) -> None:
    with pytest.raises(ValueError, match="palette"):
        check_palette(palette, 2)
    np.testing.assert_array_equal(check_palette([[255, 0, 0], [0, 255, 0]], 2), PALETTE)
