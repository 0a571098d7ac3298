"""The dataset check: each defect gives its finding, with the files concerned, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data.augment import RandomPaddingCrop, ResizeStepScaling
from paddle_mobileseg.data.check import Split, check_dataset
from paddle_mobileseg.data.check import run as check_run
from paddle_mobileseg.data.check.pair import PairFacts, PairReader
from paddle_mobileseg.data.check.summary import summary
from paddle_mobileseg.data.datasets import CamVid
from paddle_mobileseg.data.palette import CAMVID, default_palette
from tests.defects import COUNTS, CROP, HEIGHT, WIDTH, Data, found, label_map, only, picture


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_a_good_data_set_has_no_findings(data: Data) -> None:
    checked = data.check()
    assert found(checked, notes=True) == {}
    assert {name: (s.read, s.labelled) for name, s in checked.surveys.items()} == {"train": (5, 5), "val": (3, 3)}


def test_histogram_and_weights_against_numpy(data: Data) -> None:
    one_class = np.zeros((HEIGHT, WIDTH), np.uint8)
    one_class[:, :5] = 2
    data.save("labels/train3.png", one_class)
    labels = [data.label("train", number) for number in range(COUNTS["train"])]
    checked = data.check()
    survey = checked.surveys["train"]
    pixels = [sum(int((label == c).sum()) for label in labels) for c in range(3)]
    where = [sum(int((label != 255).sum()) for label in labels if (label == c).any()) for c in range(3)]
    frequency = np.array(pixels) / np.array(where)
    assert survey.class_pixels.tolist() == pixels
    assert survey.class_images.tolist() == [5, 4, 5]
    assert survey.ignored_pixels == 16
    assert checked.weights == pytest.approx(np.median(frequency) / frequency, rel=6e-3)
    assert where[1] < where[0]


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"no image" * 20), "not an image file"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "corrupt or truncated"),
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: (path.unlink(), path.mkdir()), "directory"),
    ],
    ids=["empty", "text", "truncated", "missing", "folder"],
)
@pytest.mark.parametrize("kind", ["image", "label"])
def test_unreadable_files(data: Data, kind: str, break_it: Callable[[Path], object], problem: str) -> None:
    if kind == "image":
        data.lists["train"][1] = ("images/train1.jpg", "labels/train1.png")
        data.save("images/train1.jpg", picture(1), quality=90)
    name = data.lists["train"][1][0 if kind == "image" else 1]
    break_it(data.root / name)
    checked = data.check()
    finding = only(checked)
    missing = problem == "there is no such file"
    assert (finding.level, finding.code) == ("error", "file-missing" if missing else f"{kind}-unreadable")
    assert len(finding.items) == 1
    assert (finding.items[0].image or finding.items[0].label) == data.path(name)
    assert problem in finding.items[0].detail.lower()
    survey = checked.surveys["train"]
    assert (survey.read, survey.labelled) == ((4, 5) if kind == "image" else (5, 4))


def test_a_named_pipe_does_not_stop_the_check(data: Data) -> None:
    for name in data.lists["train"][2]:
        (data.root / name).unlink()
        os.mkfifo(data.root / name)
    assert found(data.check()) == {"error image-unreadable train": 1, "error label-unreadable train": 1}


def test_sizes_differ_between_image_and_label(data: Data) -> None:
    data.save("labels/val0.png", label_map(0)[:-1])
    data.save("labels/val1.png", np.ascontiguousarray(label_map(1).T))
    finding = only(data.check())
    assert (finding.level, finding.code, finding.splits) == ("error", "size-mismatch", ("val",))
    assert [item.detail for item in finding.items] == [
        "image 48 x 36, label 48 x 35",
        "image 48 x 36, label 36 x 48 (width and height are exchanged: turn the label)",
    ]


def test_16_bit_gray_alpha_blank_and_turned_images(data: Data) -> None:
    deep = np.linspace(0, 4095, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH)
    data.save("images/train0.png", deep)
    data.save("images/train1.png", np.repeat(picture(1)[:, :, :1], 3, axis=2))
    data.save("images/train2.png", np.dstack([picture(2), np.full((HEIGHT, WIDTH), 200, np.uint8)]))
    data.save("images/train3.png", np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    data.lists["train"][4] = ("images/train4.jpg", "labels/train4.png")
    data.save("images/train4.jpg", np.ascontiguousarray(picture(4, (HEIGHT, WIDTH))), exif=exif)
    assert found(data.check(), notes=True) == {
        "warning image-dark train": 1,
        "warning image-blank train": 1,
        "note image-16-bit train": 1,
        "note image-alpha train": 1,
        "note image-exif train": 1,
        "note image-gray train": 3,
    }


def test_crop_and_batches_against_image_sizes(data: Data) -> None:
    data.save("images/train0.png", picture(0, (40, 30)))
    data.save("labels/train0.png", label_map(0)[:30, :40])
    finding = only(data.check(transforms=[T.Normalize()]))
    assert (finding.level, finding.code) == ("error", "sizes-differ")
    assert found(data.check(transforms=[T.Normalize()], batch_size=1)) == {}
    transforms = [ResizeStepScaling(0.5, 1.5, 0), RandomPaddingCrop([64, 50])]
    checked = data.check(transforms=transforms)
    assert only(checked).message.startswith("1 of 5 images are smaller than the crop of 64 x 50")
    assert found(data.check(transforms=[ResizeStepScaling(0.5, 2, 0), RandomPaddingCrop([64, 50])]), notes=True) == {
        "note crop-padded train": 0
    }
    sizes = checked.as_dict()["splits"]["train"]["sizes"]
    assert sizes["width"] == {"min": 40, "median": 48, "max": 48} and sizes["distinct"] == 2
    assert sizes["commonest"][0] == {"size_wh": [48, 36], "images": 4}


def test_workers_give_the_same(data: Data) -> None:
    (data.root / "images/train1.png").write_bytes(b"broken")
    here = check_dataset(data.splits(), num_workers=0)
    there = check_dataset(data.splits(), num_workers=2)
    assert here.as_dict() == there.as_dict()


class Deadly(PairReader):
    """Dies at the pair of a name, as a decoder with a fault would."""

    def __call__(self, position: int) -> PairFacts:
        if "train2" in self.pairs[position][0]:
            os._exit(3)
        return super().__call__(position)


def test_a_file_that_kills_its_reader(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_run, "PairReader", Deadly)
    monkeypatch.setattr("sys.path", [str(Path(__file__).parents[2]), *__import__("sys").path])
    checked = check_dataset(data.splits(), num_workers=2)
    finding = only(checked)
    assert (finding.code, finding.items[0].image) == ("image-unreadable", data.path("images/train2.png"))
    assert "exit status 3" in finding.items[0].detail
    assert checked.surveys["train"].read == 4 and checked.surveys["val"].read == 3


def test_odd_file_names(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["images/<b>&amp;.png", "images/ä\x1b[31m.png", os.fsdecode(b"images/\xff.png")]
    for number, name in enumerate(names):
        (data.root / name).write_bytes(b"broken")
        data.lists["train"][number] = (name, data.lists["train"][number][1])
    pairs = [(data.path(image), data.path(label)) for image, label in data.lists["train"]]
    split = Split("train", pairs, ["a", "b", "c"], default_palette(3))
    checked = check_dataset([split], num_workers=0)
    print(summary(checked))
    shown = capsys.readouterr().out
    assert "<b>&amp;.png" in shown and "\x1b" not in shown and "\ufffd.png" in shown
    checked.save(data.root / "check.json")
    content = json.loads((data.root / "check.json").read_text())
    assert [item["image"] for item in content["findings"][0]["items"]] == [data.path(name) for name in names]


def test_data_sets_without_a_list_of_files() -> None:
    with pytest.raises(ValueError, match="object has no file_list"):
        Split.of("train", object())


def test_camvid(shared_dir: Path) -> None:
    root = shared_dir / "data" / "camvid"
    splits = [Split.of(name, CamVid(CROP, str(root), name)) for name in ("train", "val")]
    checked = check_dataset(splits)
    assert found(checked, notes=True) == {}
    assert [len(split.pairs) for split in splits] == [367, 101]
    for split in splits:
        pixels, images = np.zeros(256, np.int64), np.zeros(256, np.int64)
        for _, path in split.pairs:
            label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            pixels += np.bincount(label.ravel(), minlength=256)
            images += [bool((label == value).any()) for value in range(11)] + [0] * 245
        survey = checked.surveys[split.name]
        assert survey.class_pixels.tolist() == pixels[:11].tolist()
        assert survey.class_images.tolist() == images[:11].tolist()
        assert survey.ignored_pixels == pixels[255] and pixels[11:255].sum() == 0
        assert survey.sizes == {(480, 360): len(split.pairs)}
    assert np.array_equal(splits[0].palette, CAMVID)
