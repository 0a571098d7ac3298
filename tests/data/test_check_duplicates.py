"""The dataset check: pictures that occur twice, lists that name files twice, labels of other images."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data.check import Checked, Split, check_dataset
from paddle_mobileseg.data.check.duplicates import difference_hash
from paddle_mobileseg.data.palette import default_palette

SIZE = (96, 72)


def picture(seed: int, size_wh: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture with large and small structure, another for each seed."""
    rng = np.random.default_rng(seed)
    large = cv2.resize(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(rng.integers(0, 60, (36, 48, 3), dtype=np.uint8), size_wh, interpolation=cv2.INTER_LINEAR)
    return np.clip(large.astype(int) + small - 30, 0, 255).astype(np.uint8)


class Folder:
    """Images and labels, and lists of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pairs: dict[str, list[tuple[str, str]]] = {"train": [], "val": []}
        for split, count in (("train", 6), ("val", 4)):
            for number in range(count):
                self.add(split, f"{split}{number}.png", picture(len(split) * 100 + number))

    def add(self, split: str, name: str, image: np.ndarray, label: int = 0, **options: object) -> None:
        path, label_path = self.root / name, self.root / f"{Path(name).stem}_label.png"
        Image.fromarray(image).save(path, **options)
        classes = np.indices(image.shape[:2]).sum(0) // 8 % 2 if label == 0 else np.zeros(image.shape[:2])
        Image.fromarray(classes.astype(np.uint8)).save(label_path)
        self.pairs[split].append((str(path), str(label_path)))

    def check(self) -> Checked:
        palette = default_palette(2)
        return check_dataset([Split(n, pairs, ["a", "b"], palette) for n, pairs in self.pairs.items()], num_workers=0)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def found(checked: Checked) -> dict[str, int]:
    return {f"{f.level} {f.code} {'+'.join(f.splits)}".strip(): len(f.items) for f in checked.findings}


def names(checked: Checked, code: str) -> list[tuple[str, str]]:
    finding = next(f for f in checked.findings if f.code == code)
    return [(os.path.basename(item.image or ""), os.path.basename(item.other or "")) for item in finding.items]


def test_different_pictures(folder: Folder) -> None:
    assert found(folder.check()) == {}


def test_copies_of_training_images_in_val(folder: Folder) -> None:
    (folder.root / "copy.png").write_bytes((folder.root / "train2.png").read_bytes())
    folder.add("val", "copy.png", picture(502))
    folder.add("val", "other_format.bmp", picture(503))
    checked = folder.check()
    assert found(checked) == {"error duplicate-across train+val": 2}
    assert names(checked, "duplicate-across") == [("train2.png", "copy.png"), ("train3.png", "other_format.bmp")]


@pytest.mark.parametrize(
    ("name", "scale", "options"),
    [
        ("again.jpg", 1, {"quality": 90}),
        ("again.jpg", 1, {"quality": 40}),
        ("again.webp", 1, {"quality": 60}),
        ("again.png", 0.5, {}),
        ("again.png", 2, {}),
        ("again.jpg", 0.75, {"quality": 85}),
    ],
)
def test_copies_compressed_or_resized_again(folder: Folder, name: str, scale: float, options: dict[str, int]) -> None:
    image = Image.fromarray(picture(501)).resize((int(SIZE[0] * scale), int(SIZE[1] * scale)), Image.Resampling.BICUBIC)
    folder.add("val", name, np.array(image), **options)
    checked = folder.check()
    assert found(checked) == {"warning near-duplicate-across train+val": 1}
    assert names(checked, "near-duplicate-across") == [("train1.png", name)]


def test_near_copies_within_a_split_are_a_note(folder: Folder) -> None:
    folder.add("train", "again.jpg", picture(501), quality=80)
    assert found(folder.check()) == {"note near-duplicate-within train": 1}


def test_a_moving_camera_gives_no_duplicates(folder: Folder) -> None:
    scene = picture(0, (4 * SIZE[0], 4 * SIZE[1]))
    for number in range(6):
        left = 40 + 3 * number
        view = cv2.resize(scene[40:280, left : left + 320], SIZE, interpolation=cv2.INTER_AREA)
        folder.add("train" if number % 2 else "val", f"frame{number}.png", view)
    assert found(folder.check()) == {}


def test_a_small_thing_that_moves_is_another_picture(folder: Folder) -> None:
    for number in range(3):
        view = picture(0)
        view[30:40, 20 * number + 10 : 20 * number + 20] = (255, 255, 255)
        folder.add("val" if number else "train", f"frame{number}.png", view)
    assert found(folder.check()) == {}


def test_flat_pictures_are_no_near_duplicates(folder: Folder) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        dark = rng.integers(0, 4, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        folder.add("val" if number % 2 else "train", f"dark{number}.png", dark)
    assert found(folder.check()) == {}


def test_copies_within_a_split_and_their_labels(folder: Folder) -> None:
    folder.add("val", "same_label.png", picture(300))
    assert found(folder.check()) == {"warning duplicate-within val": 1}
    folder.add("val", "other_label.png", picture(301), label=1)
    checked = folder.check()
    assert found(checked) == {"warning duplicate-within val": 2, "warning duplicate-other-label": 1}
    assert names(checked, "duplicate-other-label") == [("val1.png", "other_label.png")]


def test_lists_that_name_files_twice(folder: Folder) -> None:
    train, val = folder.pairs["train"], folder.pairs["val"]
    train.append((os.path.join(os.path.dirname(train[0][0]), ".", "train0.png"), train[0][1]))
    val.append(train[1])
    val[0] = (val[0][0], val[1][1])
    checked = folder.check()
    assert found(checked) == {
        "warning listed-twice train": 1,
        "error listed-across train+val": 1,
        "warning label-shared val": 1,
    }


def test_lists_out_of_step(folder: Folder) -> None:
    images, labels = zip(*folder.pairs["train"], strict=True)
    folder.pairs["train"] = list(zip(images, labels[1:] + labels[:1], strict=True))
    finding = next(iter(folder.check().findings))
    assert (finding.level, finding.code, len(finding.items)) == ("warning", "name-mismatch", 6)
    assert finding.items[0].detail == "by name its label is train0_label.png"


def test_names_that_do_not_tell(folder: Folder) -> None:
    """Image and label numbered differently: no label belongs by name to another image."""
    for number, (image, label) in enumerate(folder.pairs["train"]):
        os.rename(label, folder.root / f"annotation_{number + 50}.png")
        folder.pairs["train"][number] = (image, str(folder.root / f"annotation_{number + 50}.png"))
    assert found(folder.check()) == {}


def test_difference_hash_is_the_sign_of_horizontal_steps() -> None:
    rising = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    thumbs = np.array([rising, rising[:, ::-1], np.where(np.arange(32)[:, None] < 16, rising, rising[:, ::-1])])
    assert [int(each) for each in np.bitwise_count(difference_hash(thumbs))] == [0, 64, 32]
