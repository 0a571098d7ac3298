"""``mobileseg check-dataset``: what it prints and writes, and the sample that ``mobileseg train`` takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from paddle_mobileseg.config import load_config
from paddle_mobileseg.data.synthetic import write_dataset

Run = Callable[..., tuple[int, str, str]]
NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_dataset(folder, train=4, val=3, size_hw=(72, 96), progress=False)
    return folder


@pytest.fixture
def scenes(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "scenes"))


@pytest.fixture
def config(scenes: Path, tmp_path: Path) -> Path:
    data = {"type": "SyntheticScenes", "dataset_root": str(scenes)}
    crop = {"type": "RandomPaddingCrop", "crop_size": [64, 64]}
    path = tmp_path / "tiny.yml"
    content = {
        "batch_size": 2,
        "iters": 1,
        "train_dataset": {**data, "mode": "train", "transforms": [crop, NORMALIZE]},
        "val_dataset": {**data, "mode": "val", "transforms": [NORMALIZE]},
        "model": {"type": "PPMobileSeg", "num_classes": 10, "backbone": {"type": "MobileSeg_Tiny"}},
        "optimizer": {"type": "AdamW"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def files(scenes: Path, split: str, number: int) -> tuple[Path, Path]:
    image, label = (scenes / f"{split}.txt").read_text().splitlines()[number].split()
    return scenes / image, scenes / label


def check(run: Run, config: Path, folder: Path, *words: object) -> tuple[int, str, dict]:
    status, out, err = run("check-dataset", "--config", config, "--save_dir", folder, "--num_workers", 0, *words)
    assert "Traceback" not in err
    return status, out, json.loads((folder / "check.json").read_text())


def codes(content: dict, level: str) -> list[str]:
    return [finding["code"] for finding in content["findings"] if finding["level"] == level]


def test_a_good_data_set(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    status, out, content = check(run, config, tmp_path / "check")
    assert status == 0
    assert content["counts"]["error"] == 0 and content["format"] == 1
    assert {name: part["pairs"] for name, part in content["splits"].items()} == {"train": 4, "val": 3}
    labels = [np.array(Image.open(files(scenes, "train", number)[1])) for number in range(4)]
    counted = [sum(int((label == c).sum()) for label in labels) for c in range(10)]
    classes = content["splits"]["train"]["classes"]
    assert [row["pixels"] for row in classes] == counted
    assert [row["share"] for row in classes] == pytest.approx([count / sum(counted) for count in counted])
    assert [row["name"] for row in classes][:2] == ["sky", "building"]
    assert "0 errors" in out and "train: 4 pairs, 4 images and 4 label maps read, all 96 x 72" in out
    assert (tmp_path / "check" / "check.html").is_file()


def test_the_suggested_weights_can_be_pasted(run: Run, config: Path, tmp_path: Path) -> None:
    _, out, content = check(run, config, tmp_path / "check")
    line = content["class_weights"]["yaml"]
    assert line in out.splitlines()
    changed = yaml.safe_load(config.read_text())
    del changed["loss"]
    pasted = tmp_path / "pasted.yml"
    pasted.write_text(yaml.safe_dump(changed) + line + "\n")
    loss = load_config(pasted).loss
    assert loss["types"][0]["weight"] == content["class_weights"]["weights"]
    assert len(loss["types"][0]["weight"]) == 10 and loss["coef"] == [1]


def test_every_defect_is_named_at_once(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    """One broken file does not keep the check from finding the rest."""
    files(scenes, "train", 0)[0].write_bytes(b"")
    files(scenes, "train", 1)[1].unlink()
    image, _ = files(scenes, "train", 2)
    shutil.copy(image, files(scenes, "val", 0)[0])
    label = np.array(Image.open(files(scenes, "val", 1)[1]))
    label[:2, :3] = 99
    Image.fromarray(label).save(files(scenes, "val", 1)[1])
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(files(scenes, "val", 2)[1])
    status, out, content = check(run, config, tmp_path / "check")
    assert status == 1
    assert sorted(codes(content, "error")) == [
        "duplicate-across",
        "file-missing",
        "image-unreadable",
        "label-values",
        "size-mismatch",
    ]
    wrong = next(finding for finding in content["findings"] if finding["code"] == "label-values")
    assert wrong["items"] == [{"label": str(files(scenes, "val", 1)[1]), "detail": "99 in 6 pixels"}]
    assert content["splits"]["val"]["pixels"]["no_class"] == 6
    assert "5 errors" in out
    for path in (files(scenes, "train", 0)[0], files(scenes, "train", 1)[1], files(scenes, "val", 1)[1]):
        assert str(path) in out


def test_one_split_that_cannot_be_opened(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    (scenes / "train.txt").write_text("image_without_label\n")
    status, out, content = check(run, config, tmp_path / "check")
    assert status == 1
    assert codes(content, "error") == ["not-opened"]
    assert "train.txt, line 1: expected an image and a label" in out
    assert list(content["splits"]) == ["val"]


def test_a_data_set_of_paddleseg(run: Run, config: Path, tmp_path: Path) -> None:
    root = tmp_path / "optic"
    root.mkdir()
    for split in ("train", "val"):
        noise = np.random.default_rng(len(split)).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{split}.png")
        label = np.zeros((20, 24), np.uint8)
        label[5:, 5:] = 1 if split == "train" else 9
        Image.fromarray(label).save(root / f"{split}_label.png")
        (root / f"{split}_list.txt").write_text(f"{split}.png {split}_label.png\n")
    content = yaml.safe_load(config.read_text())
    for split in ("train", "val"):
        transforms = content[f"{split}_dataset"]["transforms"]
        content[f"{split}_dataset"] = {
            "type": "OpticDiscSeg",
            "dataset_root": str(root),
            "mode": split,
            "transforms": transforms,
        }
    content["model"]["num_classes"] = 2
    config.write_text(yaml.safe_dump(content))
    status, out, found = check(run, config, tmp_path / "check")
    assert (status, codes(found, "error")) == (1, ["label-values"])
    assert "9 (285 pixels of 1 label); allowed are 0 to 1 and 255 (ignored)" in out
    assert [row["pixels"] for row in found["splits"]["train"]["classes"]] == [195, 285]

    (root / "val_list.txt").write_text("val.png\n")
    status, out, found = check(run, config, tmp_path / "check")
    assert (status, codes(found, "error")) == (1, ["not-opened"])


def test_only_the_splits_asked_for(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    files(scenes, "train", 0)[0].write_bytes(b"")
    status, _, content = check(run, config, tmp_path / "check", "--splits", "val")
    assert (status, list(content["splits"])) == (0, ["val"])
    assert content["class_weights"]["weights"] is None


def test_a_folder_that_cannot_be_written(run: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = run("check-dataset", "--config", config, "--save_dir", tmp_path / "file")
    assert status == 1
    assert err.startswith("error: cannot write to") and "Traceback" not in err


def test_a_wrong_number_of_workers(run: Run, config: Path, tmp_path: Path) -> None:
    status, _, err = run("check-dataset", "--config", config, "--save_dir", tmp_path / "x", "--num_workers", -1)
    assert (status, err) == (1, "error: num_workers must be a whole number of at least 0, but got -1\n")


def test_names_that_are_not_used(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    (scenes / "labels.txt").write_text("one\ntwo\n")
    content = yaml.safe_load(config.read_text())
    for split in ("train", "val"):
        content[f"{split}_dataset"].update(type="Dataset", num_classes=10)
    config.write_text(yaml.safe_dump(content))
    status, out, found = check(run, config, tmp_path / "check")
    assert status == 0
    assert "has 2 names, but num_classes is 10: the names are not used [class-names]" in out
    assert codes(found, "warning")[0] == "class-names"


def test_training_does_not_start_on_broken_data(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    path = files(scenes, "val", 2)[1]
    path.write_bytes(path.read_bytes()[:100])
    status, _, err = run("train", "--config", config, "--save_dir", tmp_path / "run")
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 1 and len(lines) == 1 and "Traceback" not in err
    assert lines[0].startswith("error: val data, in a sample read before training: 1 label cannot be read")
    assert str(path) in lines[0]
    assert not list((tmp_path / "run").glob("iter_*"))


def test_training_warns_of_a_class_that_only_val_has(
    run: Run, config: Path, scenes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        label = np.array(Image.open(files(scenes, "train", number)[1]))
        Image.fromarray(np.where(label == 0, 255, label).astype(np.uint8)).save(files(scenes, "train", number)[1])
    status, _, _ = run("train", "--config", config, "--save_dir", tmp_path / "run")
    assert status == 0
    text = "class 0 (sky) occurs in the labels of val, but not in those of train"
    assert any(text in record.getMessage() for record in caplog.records)
