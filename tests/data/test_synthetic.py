from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data import synthetic

# Least mean share of the pixels for each class over many scenes, and the part of the scenes that it must occur in.
LEAST_SHARE = {
    "sky": 0.05,
    "building": 0.1,
    "vegetation": 0.03,
    "road": 0.15,
    "sidewalk": 0.03,
    "car": 0.01,
    "person": 0.007,
    "pole": 0.007,
    "sign": 0.007,
    "lane_marking": 0.007,
}
SMALL = {"train": 3, "val": 2, "seed": 5, "size_hw": (64, 96), "progress": False}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "set"
    synthetic.write_dataset(folder, **SMALL)
    return folder


@pytest.fixture
def copy(complete, tmp_path):
    folder = tmp_path / "copy"
    for name, data in contents(complete).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_class_list_of_ten_and_a_palette_of_different_colours():
    assert len(synthetic.CLASS_NAMES) == 10
    assert synthetic.PALETTE.dtype == np.uint8
    assert synthetic.PALETTE.shape == (10, 3)
    assert len({tuple(colour) for colour in synthetic.PALETTE.tolist()}) == 10


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_scene():
    image, labels = synthetic.render_scene(11)
    again, labels_again = synthetic.render_scene(11)
    other, other_labels = synthetic.render_scene(12)
    assert image.dtype == labels.dtype == np.uint8
    assert image.shape == (360, 480, 3)
    assert labels.shape == (360, 480)
    assert image.tobytes() == again.tobytes()
    assert labels.tobytes() == labels_again.tobytes()
    assert (labels != other_labels).mean() > 0.1
    assert np.abs(image.astype(int) - other).mean() > 5


def test_a_scene_leaves_the_global_random_numbers_alone():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    synthetic.render_scene(1, (64, 64))
    assert np.random.rand() == expected


@pytest.mark.parametrize("size_hw", [(250, 333), (64, 64), (65, 301), (301, 65), (128, 1024)])
def test_odd_sizes(size_hw):
    for seed in range(6):
        image, labels = synthetic.render_scene(seed, size_hw)
        assert image.shape == (*size_hw, 3)
        assert labels.shape == size_hw
        assert labels.max() < len(synthetic.CLASS_NAMES)


def test_every_class_occurs_in_most_scenes_with_enough_pixels():
    shares = []
    for seed in range(30):
        labels = synthetic.render_scene(seed)[1]
        assert labels.max() < len(synthetic.CLASS_NAMES)
        shares.append(np.bincount(labels.ravel(), minlength=len(synthetic.CLASS_NAMES)) / labels.size)
    mean, occurs = np.mean(shares, axis=0), np.mean(np.array(shares) > 0.001, axis=0)
    for index, name in enumerate(synthetic.CLASS_NAMES):
        assert mean[index] >= LEAST_SHARE[name], name
        assert occurs[index] >= 0.7, name


def test_labels_lie_on_what_the_picture_shows():
    """Edges between classes are edges of the picture: the gradient there is well above that elsewhere."""
    for seed in range(4):
        image, labels = synthetic.render_scene(seed)
        smooth = cv2.GaussianBlur(image, (0, 0), 1.0).astype(float)
        steps = np.abs(np.diff(smooth, axis=1)).sum(axis=2)
        at_edges = np.diff(labels.astype(int), axis=1) != 0
        shifted = np.roll(at_edges, 12, axis=1) & ~at_edges
        assert steps[at_edges].mean() > 2 * steps[shifted].mean()


def test_no_class_is_told_by_its_colour_alone():
    """The colours of the classes overlap: the nearest class mean is wrong for a good part of the pixels."""
    pixels, classes = [], []
    for seed in range(12):
        image, labels = synthetic.render_scene(seed)
        pixels.append(image[::5, ::5].reshape(-1, 3).astype(float))
        classes.append(labels[::5, ::5].ravel())
    rgb, index = np.concatenate(pixels), np.concatenate(classes)
    means = np.array([rgb[index == k].mean(axis=0) for k in range(len(synthetic.CLASS_NAMES))])
    nearest = ((rgb[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    right = [(nearest[index == k] == k).mean() for k in range(len(synthetic.CLASS_NAMES))]
    assert max(right) < 0.9
    assert np.mean(right) < 0.5


@pytest.mark.parametrize(("seed", "size_hw", "words"), [(-1, (64, 64), "-1"), (0, (63, 480), "63")])
def test_bad_arguments_of_a_scene(seed, size_hw, words):
    with pytest.raises(ValueError, match=words):
        synthetic.render_scene(seed, size_hw)


def test_train_and_val_seeds_never_meet():
    seeds = [
        synthetic.scene_seed(seed, split, index)
        for seed in range(3)
        for split in ("train", "val")
        for index in (0, 1, 240, synthetic.MAX_SCENES - 1)
    ]
    assert len(set(seeds)) == len(seeds)


def test_dataset_folder(complete):
    lines = {split: (complete / f"{split}.txt").read_text().splitlines() for split in ("train", "val")}
    assert lines["train"] == [f"images/train/{i:04d}.jpg labels/train/{i:04d}.png" for i in range(3)]
    assert lines["val"] == [f"images/val/{i:04d}.jpg labels/val/{i:04d}.png" for i in range(2)]
    assert (complete / "labels.txt").read_text().splitlines() == list(synthetic.CLASS_NAMES)
    settings = {"generator": synthetic.GENERATOR_VERSION, "seed": 5, "size_hw": [64, 96], "train": 3, "val": 2}
    assert json.loads((complete / "scenes.json").read_text()) == settings
    assert len(contents(complete)) == 2 * 5 + 4


def test_files_hold_the_scenes_of_their_seeds(complete):
    for split, count in (("train", 3), ("val", 2)):
        for index in range(count):
            image, labels = synthetic.render_scene(synthetic.scene_seed(5, split, index), (64, 96))
            written = Image.open(complete / f"labels/{split}/{index:04d}.png")
            assert written.mode == "P"
            np.testing.assert_array_equal(np.asarray(written), labels)
            stored = cv2.imread(str(complete / f"images/{split}/{index:04d}.jpg"))[..., ::-1]
            assert stored.shape == image.shape
            assert np.abs(stored.astype(int) - image).mean() < 6


def test_train_and_val_pictures_differ(complete):
    images = [data for name, data in contents(complete).items() if name.endswith(".jpg")]
    assert len(set(images)) == 5


def test_a_complete_folder_is_reused(copy, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    monkeypatch.setattr(synthetic, "render_scene", lambda *_: pytest.fail("drawn again"))
    synthetic.write_dataset(copy, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_an_interrupted_writing_is_completed(complete, tmp_path, monkeypatch):
    folder, drawn = tmp_path / "set", []
    render = synthetic.render_scene

    def break_off(seed, size_hw):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(seed)
        return render(seed, size_hw)

    monkeypatch.setattr(synthetic, "render_scene", break_off)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_dataset(folder, **SMALL)
    assert not (folder / "scenes.json").exists()
    monkeypatch.setattr(synthetic, "render_scene", render)
    synthetic.write_dataset(folder, **SMALL)
    assert contents(folder) == contents(complete)


@pytest.mark.parametrize("name", ["images/train/0001.jpg", "labels/val/0000.png", "val.txt", "labels.txt"])
def test_a_missing_file_of_a_complete_folder_is_added(complete, copy, name):
    (copy / name).unlink()
    synthetic.write_dataset(copy, **SMALL)
    assert contents(copy) == contents(complete)


@pytest.mark.parametrize("change", [{"train": 4}, {"seed": 6}, {"size_hw": (96, 64)}])
def test_scenes_of_other_settings_are_refused(copy, change):
    before = contents(copy)
    with pytest.raises(ValueError, match="other settings"):
        synthetic.write_dataset(copy, **{**SMALL, **change})
    assert contents(copy) == before


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        synthetic.write_dataset(tmp_path, **SMALL)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_damaged_settings_file_is_refused(copy):
    (copy / "scenes.json").write_text("{")
    with pytest.raises(ValueError, match=r"scenes\.json"):
        synthetic.write_dataset(copy, **SMALL)


def test_a_root_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ValueError, match="not a folder"):
        synthetic.write_dataset(path, **SMALL)


@pytest.mark.parametrize("change", [{"train": 0}, {"val": 0}, {"seed": -1}, {"size_hw": (10, 480)}, {"train": 10**7}])
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, change):
    with pytest.raises(ValueError, match="expected"):
        synthetic.write_dataset(tmp_path / "set", **{**SMALL, **change})
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("wanted", [True, False])
def test_progress_is_told_where_it_is_wanted(tmp_path, monkeypatch, wanted):
    told = []
    monkeypatch.setattr(synthetic, "shown", lambda items, total, name: told.append((total, name)) or items)
    synthetic.write_dataset(tmp_path / "set", **{**SMALL, "progress": wanted})
    assert told == ([(5, "drawing scenes")] if wanted else [])


def test_a_picture_is_never_half_written(copy, monkeypatch):
    """What breaks while a file is written leaves no file, not under another name either."""
    before = set(contents(copy))
    (copy / "images/val/0001.jpg").unlink()

    def break_off(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", break_off)
    with pytest.raises(OSError, match="disk full"):
        synthetic.write_dataset(copy, **SMALL)
    assert set(contents(copy)) == before - {"images/val/0001.jpg"}
