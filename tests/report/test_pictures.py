from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.report.pictures import choose, disagreement, find_samples, read_strip, share_right


def test_disagreement_of_a_small_array() -> None:
    label = np.array([[0, 1, 255], [2, 2, 255]], np.uint8)
    prediction = np.array([[0, 2, 0], [2, 255, 255]], np.uint8)
    outcome = disagreement(label, prediction)
    np.testing.assert_array_equal(outcome, [[0, 1, 2], [0, 1, 2]])  # right, wrong, not judged
    assert outcome.dtype == np.uint8
    assert share_right(outcome) == 0.5
    assert share_right(np.full((2, 2), 2)) is None
    with pytest.raises(ValueError, match=r"\(2, 3\) and prediction \(2, 2\)"):
        disagreement(label, prediction[:, :2])


def test_choice_is_spread_evenly() -> None:
    names = [f"{i:03d}" for i in range(11)]
    assert choose(names, 6) == ["000", "002", "004", "006", "008", "010"]
    assert choose(names[:3], 6) == names[:3]


def decode(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def save(folder, name: str, values: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(folder / name)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "val_samples"


def test_strip_shows_colours_of_classes_and_outcome(tmp_path, folder) -> None:
    palette = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    save(folder, "004_image.png", np.full((2, 2, 3), 90, np.uint8))
    save(folder, "004_label.png", np.array([[0, 1], [1, 255]], np.uint8))
    save(folder, "004_prediction.png", np.array([[0, 0], [1, 1]], np.uint8))
    assert find_samples(tmp_path) == ["004"]
    strip = read_strip(tmp_path, "004", palette, ["road", "tree"])
    assert strip.label is not None and strip.disagreement is not None
    np.testing.assert_array_equal(
        decode(strip.label.uri), [[[10, 20, 30], [200, 100, 50]], [[200, 100, 50], [0, 0, 0]]]
    )
    np.testing.assert_array_equal(decode(strip.disagreement.uri)[1], [[255, 255, 255], [150, 150, 150]])
    np.testing.assert_array_equal(decode(strip.disagreement.uri)[0], [[255, 255, 255], [214, 39, 40]])
    assert strip.right == pytest.approx(2 / 3)
    assert strip.values == {0, 1, 255}
    assert strip.label.alt == "Sample 004, label: tree, road"
    assert strip.image.uri.startswith("data:image/jpeg;base64,")
    assert strip.prediction.uri.startswith("data:image/png;base64,")


def test_palette_pngs_are_read_as_indices(tmp_path, folder) -> None:
    labels = Image.fromarray(np.array([[0, 1]], np.uint8))
    labels.putpalette([9, 9, 9, 8, 8, 8])
    folder.mkdir()
    labels.save(folder / "000_prediction.png")
    labels.save(folder / "000_label.png")
    save(folder, "000_image.png", np.zeros((1, 2, 3), np.uint8))
    assert read_strip(tmp_path, "000", None, []).right == 1.0


def test_large_pictures_are_made_smaller(tmp_path, folder) -> None:
    save(folder, "000_image.png", np.zeros((300, 1280, 3), np.uint8))
    save(folder, "000_prediction.png", np.zeros((300, 1280), np.uint8))
    strip = read_strip(tmp_path, "000", None, ["a"])
    assert (strip.image.width, strip.image.height) == (640, 150)
    assert decode(strip.prediction.uri).shape == (150, 640, 3)
    assert strip.label is None and strip.disagreement is None and strip.right is None


def test_image_may_be_a_jpeg(tmp_path, folder) -> None:
    save(folder, "000_image.jpg", np.full((8, 8, 3), 90, np.uint8))
    save(folder, "000_prediction.png", np.zeros((8, 8), np.uint8))
    np.testing.assert_allclose(decode(read_strip(tmp_path, "000", None, ["a"]).image.uri), 90, atol=2)


def test_damaged_samples_are_named(tmp_path, folder) -> None:
    save(folder, "000_image.png", np.zeros((2, 2, 3), np.uint8))
    save(folder, "000_prediction.png", np.zeros((2, 2), np.uint8))
    save(folder, "000_label.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"000_label\.png.*differ in size"):
        read_strip(tmp_path, "000", None, [])
    save(folder, "000_label.png", np.full((2, 2), 300, np.uint16))
    with pytest.raises(ValueError, match=r"000_label\.png.*8-bit"):
        read_strip(tmp_path, "000", None, [])
    (folder / "000_image.png").unlink()
    with pytest.raises(FileNotFoundError, match="000_image"):
        read_strip(tmp_path, "000", None, [])
