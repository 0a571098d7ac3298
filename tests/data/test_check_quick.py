"""The sample of the dataset check that is taken when a training starts."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data.augment import RandomPaddingCrop
from paddle_mobileseg.data.check import quick
from paddle_mobileseg.data.check.pair import PairReader
from paddle_mobileseg.data.datasets import Dataset

TRANSFORMS = [RandomPaddingCrop([16, 16]), T.Normalize()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 5)):
        lines = []
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / f"{split}{number}.png")
            label = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24) % 3
            Image.fromarray(label).save(tmp_path / f"{split}{number}_l.png")
            lines.append(f"{split}{number}.png {split}{number}_l.png\n")
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    return tmp_path


def datasets(root: Path, num_classes: int = 3) -> dict[str, Dataset]:
    return {name: Dataset(name, str(root), TRANSFORMS, num_classes) for name in ("train", "val")}


def save_label(root: Path, name: str, label: np.ndarray) -> None:
    Image.fromarray(label.astype(np.uint8)).save(root / f"{name}_l.png")


def test_nothing_is_said_of_good_data(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    quick.check_sample(datasets(root), 4)
    assert caplog.records == []


def test_what_is_read_is_spread_evenly(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = PairReader.__call__
    monkeypatch.setattr(PairReader, "__call__", lambda self, at: read.append(at) or original(self, at))
    monkeypatch.setattr(quick, "PAIRS", 5)
    quick.check_sample({"train": datasets(root)["train"]}, 4)
    assert read == [0, 9, 19, 29, 39]


def test_it_stops_when_time_is_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = PairReader.__call__
    monkeypatch.setattr(PairReader, "__call__", lambda self, at: read.append(at) or original(self, at))
    monkeypatch.setattr(quick, "SECONDS", -1.0)
    quick.check_sample({"train": datasets(root)["train"]}, 4)
    assert len(read) == quick.LEAST


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train0.png", b"", "train data, in a sample read before training: 1 image cannot be read: "),
        ("val4.png", b"text", "val data, in a sample read before training: 1 image cannot be read: "),
        ("val2_l.png", b"", "val data, in a sample read before training: 1 label cannot be read: "),
    ],
)
def test_unreadable_files_end_the_training(root: Path, name: str, content: bytes, words: str) -> None:
    (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        quick.check_sample(datasets(root), 4)
    assert str(root / name) in str(error.value)
    assert "mobileseg check-dataset" in str(error.value)


def test_labels_that_do_not_fit_end_the_training(root: Path) -> None:
    save_label(root, "val1", np.full((20, 24), 7))
    with pytest.raises(ValueError, match=r"7 \(480 pixels of 1 label\); allowed are 0 to 2 and 255") as error:
        quick.check_sample(datasets(root), 4)
    assert str(root / "val1_l.png") in str(error.value)
    save_label(root, "val1", np.zeros((20, 23)))
    with pytest.raises(ValueError, match="image 24 x 20, label 23 x 20"):
        quick.check_sample(datasets(root), 4)
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(root / "val1_l.png")
    with pytest.raises(ValueError, match="1 label is a colour image"):
        quick.check_sample(datasets(root), 4)


def test_a_class_that_the_sample_of_train_lacks(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_label(root, "val0", np.full((20, 24), 3))
    quick.check_sample(datasets(root, 4), 4)
    assert [record.getMessage() for record in caplog.records] == [
        "warning: train, val: class 3 (class 3) occurs in the labels of val, but not in those of train "
        "(read: 32 of 40 labels of train and 5 of 5 labels of val; `mobileseg check-dataset` reads all)"
    ]


def test_many_classes_that_a_sample_lacks_say_nothing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_label(root, "val0", np.arange(480).reshape(20, 24) % 6)
    quick.check_sample(datasets(root, 6), 4)
    assert caplog.records == []


def test_a_class_that_train_lacks(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (root / "train.txt").read_text().splitlines()
    (root / "train.txt").write_text("\n".join(lines[:10]))
    save_label(root, "val0", np.full((20, 24), 3))
    quick.check_sample(datasets(root, 4), 4)
    assert [record.getMessage() for record in caplog.records] == [
        "warning: train, val: class 3 (class 3) occurs in the labels of val, but not in those of train"
    ]


def test_lists_are_looked_at_as_a_whole(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (root / "train.txt").read_text().splitlines()
    (root / "train.txt").write_text("\n".join([*lines, lines[33]]))
    (root / "val.txt").write_text((root / "val.txt").read_text() + lines[34])
    with caplog.at_level(logging.WARNING):
        quick.check_sample(datasets(root), 4)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "warning: train: 1 image is listed more than once",
        "warning: train, val: 1 image file is listed in train and in val",
    ]


def test_random_states_stay(root: Path) -> None:
    random.seed(5)
    np.random.seed(5)
    before = (random.getstate(), np.random.get_state()[1].tolist())
    quick.check_sample(datasets(root), 4)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_data_sets_without_files_are_left_out() -> None:
    quick.check_sample({"train": object()}, 4)
