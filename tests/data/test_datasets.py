"""Data sets: lists, layouts, checks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg import registry
from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data.datasets import ADE20K, CamVid, Cityscapes, Dataset, SyntheticScenes

AUGMENT = [T.ResizeStepScaling(0.5, 2.0, 0), T.RandomPaddingCrop([24, 16]), T.RandomDistort(), T.Normalize()]


def write_pair(root: Path, stem: str, label: np.ndarray | None = None, image_size: tuple[int, int] = (20, 30)) -> str:
    """An image and its label below ``root``; gives the line of the list."""
    rng = np.random.default_rng(len(stem))
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*image_size, 3), dtype=np.uint8)).save(root / "images" / f"{stem}.png")
    label = rng.integers(0, 3, image_size, dtype=np.uint8) if label is None else label
    Image.fromarray(label).save(root / "labels" / f"{stem}.png")
    return f"images/{stem}.png labels/{stem}.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three training and two validation pairs."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    (folder / "train.txt").write_text("\n".join(write_pair(folder, stem) for stem in ("a", "b", "c")))
    (folder / "val.txt").write_text("\n".join(write_pair(folder, stem) for stem in ("v", "w")))
    return folder


def make(root: Path, mode: str = "train", transforms: list | None = None, **arguments: Any) -> Dataset:
    arguments.setdefault("num_classes", 3)
    return Dataset(mode, str(root), AUGMENT if transforms is None else transforms, **arguments)


def test_default_lists(root: Path) -> None:
    train, val = make(root), make(root, "val")
    assert (len(train), len(val)) == (3, 2)
    assert train.file_list[1] == (str(root / "images/b.png"), str(root / "labels/b.png"))
    assert (train.num_classes, train.ignore_index, train.mode) == (3, 255, "train")
    assert train.class_names == ["class 0", "class 1", "class 2"]
    assert train.palette.shape == (3, 3) and train.palette.dtype == np.uint8


def test_samples(root: Path) -> None:
    sample = make(root).sample(0, seed=1)
    assert sample["img"].shape == (3, 16, 24) and sample["img"].dtype == np.float32
    assert sample["label"].shape == (16, 24) and sample["file"] == str(root / "images/a.png")
    sample = make(root, "val", [T.Resize([60, 40]), T.Normalize()]).sample(1, seed=1)
    assert sample["img"].shape == (3, 40, 60) and sample["label"].shape == (20, 30)
    assert sample["trans_info"] == [("resize", (20, 30))]


def test_a_sample_depends_on_its_seed_only(root: Path) -> None:
    dataset = make(root)
    first = dataset.sample(0, seed=5)
    random.seed(99)
    np.random.seed(99)
    expected = (random.random(), np.random.rand())
    random.seed(99)
    np.random.seed(99)
    again = dataset.sample(0, seed=5)
    assert (random.random(), np.random.rand()) == expected, "the global random state must be left alone"
    np.testing.assert_array_equal(first["img"], again["img"])
    np.testing.assert_array_equal(first["label"], again["label"])
    assert not np.array_equal(first["img"], dataset.sample(0, seed=6)["img"])


def test_items_as_paddleseg_expects_them(root: Path) -> None:
    item = make(root, "val", [T.Normalize()])[0]
    assert item["img"].shape == (3, 20, 30) and item["label"].shape == (1, 20, 30) and item["trans_info"] == []
    assert make(root)[0]["label"].shape == (16, 24)


def test_lists_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "lists").mkdir()
    (root / "train.txt").rename(root / "lists" / "some.txt")
    assert len(make(root, train_path="lists/some.txt")) == 3
    assert len(make(root, train_path=str(root / "lists/some.txt"))) == 3


def test_list_with_comments_blank_lines_and_windows_ends(root: Path) -> None:
    lines = (root / "train.txt").read_text().splitlines()
    text = "\ufeff# image label\r\n\r\n" + "\r\n  \r\n".join(lines) + " \r\n"
    (root / "train.txt").write_bytes(text.encode())
    assert make(root).file_list[2] == (str(root / "images/c.png"), str(root / "labels/c.png"))


def test_tab_separator_and_absolute_paths(root: Path) -> None:
    (root / "train.txt").write_text(f"{root}/images/a.png\t{root}/labels/a.png\n")
    assert len(make(root, separator="\t").sample(0, 0)["file"]) > 0


def test_names_with_spaces(root: Path) -> None:
    line = write_pair(root, "my first image")
    (root / "train.txt").write_text(line + "\n" + write_pair(root, "b"))
    assert make(root).file_list[0] == (str(root / "images/my first image.png"), str(root / "labels/my first image.png"))
    (root / "test.txt").write_text("images/my first image.png\nimages/b.png labels/b.png\nimages/a.png\n")
    files = make(root, "test", [T.Normalize()]).file_list
    assert [label and Path(label).name for _, label in files] == [None, "b.png", None]


def test_missing_label_column(root: Path) -> None:
    (root / "train.txt").write_text("images/a.png labels/a.png\n\nimages/b.png\n")
    with pytest.raises(ValueError, match=r"train\.txt, line 3: expected an image and a label with ' ' between"):
        make(root)


def test_test_mode_needs_no_labels(root: Path) -> None:
    (root / "test.txt").write_text("images/a.png\n")
    sample = make(root, "test", [T.Normalize()]).sample(0, 0)
    assert "label" not in sample and sample["img"].shape == (3, 20, 30)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_empty_list(root: Path, text: str) -> None:
    (root / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=r"train\.txt: the list is empty"):
        make(root)


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data set folder not found: .*nowhere.*nothing is downloaded"):
        make(root / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"list of train files not found: no\.txt or .*no\.txt"):
        make(root, train_path="no.txt")
    for stem in "abc":
        (root / "labels" / f"{stem}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"3 of 6 listed files do not exist: .*labels/a\.png"):
        make(root)
    with pytest.raises(ValueError, match="dataset_root is not set"):
        Dataset("train", "", [], 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "training"}, "mode must be one of train, val, test, but got 'training'"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": "3"}, "num_classes"),
        ({"ignore_index": 2}, r"ignore_index must be a whole number outside 0\.\.2"),
        ({"img_channels": 4}, "img_channels"),
        ({"separator": ""}, "separator"),
        ({"edge": True}, "edge"),
        ({"class_names": ["a", "b"]}, "num_classes is 3, but there are 2 class_names"),
        ({"palette": [[1, 2, 3]]}, "palette of 3 colours"),
        ({"transforms": [T.Padding([50, 50], label_padding_value=7)]}, "Padding pads labels with 7"),
    ],
)
def test_wrong_arguments(root: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(root, **arguments)


def test_label_value_out_of_range(root: Path) -> None:
    label = np.zeros((20, 30), np.uint8)
    label[0, :2] = 3
    label[1, 0] = 9
    (root / "train.txt").write_text(write_pair(root, "bad", label))
    with pytest.raises(ValueError, match=r"bad\.png: label value 3, 9 in 3 pixels; allowed are 0\.\.2 or 255"):
        make(root).sample(0, 0)


@pytest.mark.parametrize("ignore_index", [255, 254, -100, 65535])
def test_ignore_index(root: Path, ignore_index: int) -> None:
    label = np.zeros((20, 30), np.uint16 if ignore_index > 255 else np.uint8)
    label[0] = max(ignore_index, 2)
    (root / "train.txt").write_text(write_pair(root, "a", label))
    transforms = [T.RandomPaddingCrop([40, 40])]
    padded = make(root, transforms=transforms, ignore_index=ignore_index).sample(0, 0)["label"]
    assert set(np.unique(padded)) == {0, max(ignore_index, 2), ignore_index}


def test_16_bit_label_out_of_range(root: Path) -> None:
    (root / "train.txt").write_text(write_pair(root, "bad", np.full((20, 30), 300, np.uint16)))
    with pytest.raises(ValueError, match=r"bad\.png: label value 300 in 600 pixels"):
        make(root).sample(0, 0)


def test_image_and_label_of_different_sizes(root: Path) -> None:
    (root / "train.txt").write_text(write_pair(root, "bad", np.zeros((30, 20), np.uint8)))
    with pytest.raises(ValueError, match=r"images/bad\.png is 30 x 20 \(upright\), .*labels/bad\.png is 20 x 30"):
        make(root).sample(0, 0)


def test_errors_of_transforms_name_the_file(root: Path) -> None:
    with pytest.raises(ValueError, match=r"images/a\.png: Padding: the image is 30 x 20, larger than"):
        make(root, transforms=[T.Padding([10, 10])]).sample(0, 0)


def test_gray_images(root: Path) -> None:
    dataset = make(root, img_channels=1, transforms=[T.RandomPaddingCrop([16, 16]), T.RandomDistort(), T.Normalize()])
    assert dataset.sample(0, 0)["img"].shape == (1, 16, 16)


def test_class_names_of_the_folder(root: Path) -> None:
    (root / "labels.txt").write_text("road\nsky\n\ncar \n")
    assert make(root).class_names == ["road", "sky", "car"]
    assert make(root, num_classes=4).class_names[0] == "class 0"
    assert make(root, class_names=["x", "y", "z"], palette=[[1, 2, 3]] * 3).class_names == ["x", "y", "z"]


def test_ade20k_layout(tmp_path: Path) -> None:
    for part in ("training", "validation"):
        for kind, suffix in (("images", "jpg"), ("annotations", "png")):
            (tmp_path / kind / part).mkdir(parents=True)
            for stem in ("b", "a"):
                pixels = np.full((8, 8), {"a": 150, "b": 0}[stem], np.uint8)
                Image.fromarray(pixels).save(tmp_path / kind / part / f"{stem}.{suffix}")
    (tmp_path / "images/training/.DS_Store").touch()
    dataset = ADE20K([T.Normalize()], str(tmp_path), "val")
    assert [Path(image).name for image, _ in dataset.file_list] == ["a.jpg", "b.jpg"]
    assert np.unique(dataset.sample(0, 0)["label"]) == [149]
    assert np.unique(dataset.sample(1, 0)["label"]) == [255]
    assert (ADE20K.NUM_CLASSES, dataset.num_classes, len(dataset.class_names)) == (150, 150, 150)
    Image.fromarray(np.full((8, 8), 151, np.uint8)).save(tmp_path / "annotations/validation/a.png")
    with pytest.raises(ValueError, match=r"a\.png: label value 151 in 64 pixels; allowed are 0\.\.150"):
        dataset.sample(0, 0)
    (tmp_path / "annotations/training/a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 files have no image or label of the same name: .*a\.jpg"):
        ADE20K([], str(tmp_path))
    with pytest.raises(ValueError, match="train and val"):
        ADE20K([], str(tmp_path), "test")
    with pytest.raises(FileNotFoundError, match="images/training"):
        ADE20K([], str(tmp_path / "images"))


FRAMES = {
    "train": ("bremen/bremen_000001_000019", "aachen/aachen_000000_000019"),
    "val": ("lindau/lindau_000000_000019",),
}


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    """Three tiny frames in the layout of Cityscapes, among the other files that it has."""
    for part, frames in FRAMES.items():
        for number, frame in enumerate(frames):
            rng = np.random.default_rng(number)
            label = rng.integers(0, 19, (8, 16), dtype=np.uint8)
            label[0] = 255
            for name, pixels in (
                (f"leftImg8bit/{part}/{frame}_leftImg8bit.png", rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)),
                (f"gtFine/{part}/{frame}_gtFine_labelTrainIds.png", label),
                (f"gtFine/{part}/{frame}_gtFine_labelIds.png", label + 7),
                (f"gtFine/{part}/{frame}_gtFine_color.png", np.zeros((8, 16, 3), np.uint8)),
            ):
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def test_cityscapes_layout(cityscapes: Path) -> None:
    train = Cityscapes([T.Normalize()], str(cityscapes))
    assert train.file_list == [
        (f"{cityscapes}/leftImg8bit/train/{frame}_leftImg8bit.png", f"{cityscapes}/gtFine/train/{frame}{ending}")
        for frame, ending in zip(sorted(FRAMES["train"]), ["_gtFine_labelTrainIds.png"] * 2, strict=True)
    ]
    val = Cityscapes([T.Normalize()], str(cityscapes), mode="val")
    assert (len(train), len(val), val.num_classes, val.ignore_index, val.img_channels) == (2, 1, 19, 255, 3)
    assert (val.class_names[0], val.class_names[12], val.class_names[18]) == ("road", "rider", "bicycle")
    assert [tuple(val.palette[i]) for i in (0, 12, 18)] == [(128, 64, 128), (255, 0, 0), (119, 11, 32)]
    label = val.sample(0, 0)["label"]
    assert set(np.unique(label)) <= {*range(19), 255} and (label[0] == 255).all()
    assert len({tuple(colour) for colour in val.palette.tolist()}) == len(set(val.class_names)) == 19


@pytest.mark.parametrize("mode", ["train", "val"])
def test_cityscapes_is_paddlesegs(cityscapes: Path, mode: str) -> None:
    own = Cityscapes([T.Normalize()], str(cityscapes), mode)
    upstream = registry.upstream("Cityscapes")(
        transforms=[registry.upstream("Normalize")()], dataset_root=str(cityscapes), mode=mode
    )

    assert [list(pair) for pair in own.file_list] == upstream.file_list
    for index in range(len(own)):
        ours, theirs = own[index], upstream[index]
        np.testing.assert_array_equal(ours["img"], theirs["img"])
        np.testing.assert_array_equal(ours["label"], theirs["label"])


def test_cityscapes_names_what_has_no_partner(cityscapes: Path) -> None:
    labels = cityscapes / "gtFine/train"
    missing = labels / f"{FRAMES['train'][0]}_gtFine_labelTrainIds.png"
    missing.rename(cityscapes / "away.png")
    with pytest.raises(
        FileNotFoundError,
        match=r"1 of 2 images have no label, such as .*train/bremen/bremen_000001_000019_leftImg8bit\.png\. "
        r"There are their labelIds.*createTrainIdLabelImgs",
    ):
        Cityscapes([], str(cityscapes))
    (labels / f"{FRAMES['train'][0]}_gtFine_labelIds.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"000019_leftImg8bit\.png$"):
        Cityscapes([], str(cityscapes))

    (cityscapes / "away.png").rename(missing)
    (cityscapes / "leftImg8bit/train" / f"{FRAMES['train'][1]}_leftImg8bit.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 labels have no image, such as .*aachen.*labelTrainIds\.png"):
        Cityscapes([], str(cityscapes))


def test_cityscapes_folders_and_modes(cityscapes: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Cityscapes folder not found: .*leftImg8bit/test"):
        Cityscapes([], str(cityscapes), "test")
    (cityscapes / "leftImg8bit/val").rename(cityscapes / "leftImg8bit/test")
    assert [label for _, label in Cityscapes([], str(cityscapes), "test").file_list] == [None]
    with pytest.raises(FileNotFoundError, match=r"Cityscapes folder not found: .*leftImg8bit/val"):
        Cityscapes([], str(cityscapes), "val")
    with pytest.raises(ValueError, match="edge labels are not supported"):
        Cityscapes([], str(cityscapes), edge=True)
    (cityscapes / "leftImg8bit/test/lindau/lindau_000000_000019_leftImg8bit.png").unlink()
    with pytest.raises(ValueError, match="no images"):
        Cityscapes([], str(cityscapes), "test")


def test_cityscapes_label_ids_are_refused(cityscapes: Path) -> None:
    for path in (cityscapes / "gtFine/val/lindau").glob("*_labelIds.png"):
        path.replace(str(path).replace("labelIds", "labelTrainIds"))
    with pytest.raises(ValueError, match=r"labelTrainIds\.png: label value .*allowed are 0\.\.18 or 255"):
        Cityscapes([], str(cityscapes), "val").sample(0, 0)


def test_ade20k_is_paddlesegs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, stem in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        for kind, suffix, pixels in (
            ("images", "jpg", rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)),
            ("annotations", "png", np.resize(np.arange(151, dtype=np.uint8), (8, 16))),
        ):
            (tmp_path / kind / part).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / kind / part / f"{stem}.{suffix}")
    for mode in ("train", "val"):
        own = ADE20K([T.Normalize()], str(tmp_path), mode)
        upstream = registry.upstream("ADE20K")([registry.upstream("Normalize")()], str(tmp_path), mode)

        assert [list(pair) for pair in own.file_list] == upstream.file_list
        np.testing.assert_array_equal(own[0]["img"], upstream[0]["img"])
        np.testing.assert_array_equal(own[0]["label"], upstream[0]["label"])
        assert own[0]["label"].ravel()[:3].tolist() == [255, 0, 1]


def test_known_classes_must_match_the_folders(root: Path) -> None:
    (root / "labels.txt").write_text("road\nsky\ncar\n")
    for dataset in (CamVid, SyntheticScenes):
        with pytest.raises(ValueError, match=rf"classes road, sky, car, but {dataset.__name__} has .*type: Dataset"):
            dataset([], str(root))
    (root / "labels.txt").write_text("\n".join(SyntheticScenes.CLASS_NAMES))
    scenes = SyntheticScenes([], str(root), "val")
    assert len(scenes) == 2 and scenes.num_classes == SyntheticScenes.NUM_CLASSES == len(scenes.class_names)


def test_camvid(shared_dir: Path) -> None:
    train, val = (CamVid([T.Normalize()], str(shared_dir / "data/camvid"), mode) for mode in ("train", "val"))
    assert (len(train), len(val), train.num_classes) == (367, 101, 11)
    assert train.class_names == (shared_dir / "data/camvid/labels.txt").read_text().split()
    sample = val.sample(0, 0)
    assert sample["img"].shape == (3, 360, 480) and sample["label"].shape == (360, 480)
    assert set(np.unique(sample["label"])) <= {*range(11), 255}
