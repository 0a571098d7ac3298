"""What an import writes: parts, lists, configuration, and a folder that is complete or not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.importing import recipe
from paddle_mobileseg.data.importing.sources import natural_order
from paddle_mobileseg.engine import Trainer, TrainOptions
from tests.imported import box, imported, labelme, labels_of, noise, shape, write_image, write_images, write_json

Run = Callable[..., tuple[int, str, str]]


def write_pairs(folder: Path, names: list[str], size_hw: tuple[int, int] = (6, 8)) -> tuple[Path, Path]:
    """Images and masks of two classes."""
    for seed, name in enumerate(names):
        image = noise(*size_hw, seed)
        write_image(folder / "images" / f"{name}.jpg", image)
        write_image(folder / "masks" / f"{name}.png", (image[:, :, 0] > 127).astype(np.uint8))
    return folder / "images", folder / "masks"


def parts(folder: Path) -> dict[str, list[str]]:
    """Names of the images in each list."""
    lists = {path.stem: path.read_text().splitlines() for path in [*sorted(folder.glob("t*.txt")), folder / "val.txt"]}
    return {
        part: [line.split()[0].removeprefix("images/").removesuffix(".jpg") for line in lines]
        for part, lines in lists.items()
    }


# ---------------------------------------------------------------------------------------------------------------- parts
@pytest.mark.parametrize(
    ("count", "share", "expected"), [(2, 0.2, 1), (2, 0.9, 1), (3, 0.01, 1), (10, 0.25, 2), (10, 0.5, 5), (10, 0.99, 9)]
)
def test_a_share_of_the_images_validates(tmp_path: Path, count: int, share: float, expected: int) -> None:
    names = [f"frame{i}" for i in range(count)]
    imported(tmp_path / "out", *write_pairs(tmp_path, names), val=share)
    found = parts(tmp_path / "out")
    assert len(found["val"]) == expected
    assert sorted(found["train"] + found["val"], key=natural_order) == names
    assert found["train"] == sorted(found["train"], key=natural_order)


def test_the_division_follows_from_the_seed_alone(tmp_path: Path) -> None:
    names = [f"frame{i}" for i in range(20)]
    sources = write_pairs(tmp_path, names)
    found = [parts(imported(tmp_path / f"out{i}", *sources, val=0.3, seed=i // 2).folder) for i in range(4)]
    assert found[0] == found[1] != found[2] == found[3]
    # Files written in another order, and elsewhere, are divided alike.
    again = write_pairs(tmp_path / "again", names[::-1])
    assert parts(imported(tmp_path / "out", *again, val=0.3).folder) == found[0]


def test_one_image_cannot_validate_too(tmp_path: Path) -> None:
    sources = write_pairs(tmp_path, ["a"])
    with pytest.raises(ValueError, match=r"one image only.*--val 0"):
        imported(tmp_path / "out", *sources, val=0.2)
    imported(tmp_path / "out", *sources, val=0)
    cfg = load_config(tmp_path / "out" / "config.yml")
    assert cfg.batch_size == 1
    assert cfg.val_dataset == {}
    assert not (tmp_path / "out" / "val.txt").exists()


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_shares_that_are_none(tmp_path: Path, share: float) -> None:
    with pytest.raises(ValueError, match="expected a share of the images from 0 to below 1"):
        imported(tmp_path / "out", *write_pairs(tmp_path, ["a", "b"]), val=share)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train/a", "val/a", "val/b"], {"train": ["train/a"], "val": ["val/a", "val/b"]}),
        (["Training/a", "validation/b"], {"train": ["Training/a"], "val": ["validation/b"]}),
        (["train/a", "valid/b", "test/c"], {"train": ["train/a"], "val": ["valid/b"], "test": ["test/c"]}),
    ],
)
def test_folders_keep_their_parts(tmp_path: Path, names: list[str], expected: dict[str, list[str]]) -> None:
    imported(tmp_path / "out", *write_pairs(tmp_path, names), val=0.5)
    assert parts(tmp_path / "out") == expected


def test_test_images_stay_out_of_training_and_validation(tmp_path: Path) -> None:
    names = [f"train/{i}" for i in range(6)] + ["test/0", "test/1"]
    imported(tmp_path / "out", *write_pairs(tmp_path, names), val=0.5)
    found = parts(tmp_path / "out")
    assert found["test"] == ["test/0", "test/1"]
    assert sorted(found["train"] + found["val"]) == names[:6]
    assert len(found["val"]) == 3


def test_folders_that_some_images_are_not_in_do_not_decide(tmp_path: Path) -> None:
    names = ["train/a", "val/b", *(f"other/{i}" for i in range(6))]
    imported(tmp_path / "out", *write_pairs(tmp_path, names), val=0.5)
    assert len(parts(tmp_path / "out")["val"]) == 4


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("b\n", ["b"]),
        ("b.jpg\n# remark\n\nx y/c\n", ["b", "x y/c"]),
        ("images/b.jpg labels/b.png\nc.jpg\n", ["b", "x y/c"]),
        ("x y/c.jpg\tx y/c.png", ["x y/c"]),
    ],
)
def test_a_list_of_validation_images(tmp_path: Path, lines: str, expected: list[str]) -> None:
    sources = write_pairs(tmp_path, ["a", "b", "x y/c"])
    (tmp_path / "list.txt").write_text(lines)
    imported(tmp_path / "out", *sources, val_list=tmp_path / "list.txt")
    assert {name for name in labels_of(tmp_path / "out")} == {"a", "b", "x y/c"}
    listed = (tmp_path / "out" / "val.txt").read_text().splitlines()
    assert [line.split("\t") for line in listed] == [[f"images/{n}.jpg", f"labels/{n}.png"] for n in expected]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\nbb\n", "1 of its lines name no image, or more than one: bb; did you mean 'b'"),
        ("same\n", "name no image, or more than one: same"),
        ("", "the list is empty"),
        ("a\nb\nx/same\ny/same\n", "names all images; none is left to train on"),
        (None, "no such file"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, lines: str | None, message: str) -> None:
    sources = write_pairs(tmp_path, ["a", "b", "x/same", "y/same"])
    if lines is not None:
        (tmp_path / "list.txt").write_text(lines)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        imported(tmp_path / "out", *sources, val_list=tmp_path / "list.txt")


# -------------------------------------------------------------------------------------------------------------- folders
def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_must_be_new_or_empty_or_an_import(tmp_path: Path) -> None:
    sources = write_pairs(tmp_path, ["a", "b"])
    out = tmp_path / "out"
    out.mkdir()
    imported(out, *sources)
    before = contents(out)
    with pytest.raises(ValueError, match="holds an earlier import; replace it with --overwrite"):
        imported(out, *sources)
    assert contents(out) == before
    imported(out, *sources, overwrite=True, network="topformer_tiny")
    assert load_config(out / "config.yml").model["type"] == "TopFormer"
    assert {name for name in contents(out) if name != "config.yml" and name != "import.json"} == {
        name for name in before if name not in ("config.yml", "import.json")
    }
    (out / "run").mkdir()
    with pytest.raises(ValueError, match="holds 'run', which is no part of an import"):
        imported(out, *sources, overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"holds 'mine\.jpg', which is no part of an import"):
            imported(tmp_path / "photos", *sources, overwrite=overwrite)
    with pytest.raises(ValueError, match="is a file; choose another folder"):
        imported(tmp_path / "photos" / "mine.jpg", *sources)


@pytest.mark.parametrize("output", ["images", "images/out", "masks/out", "."])
def test_the_folder_must_not_overlap_with_what_is_imported(tmp_path: Path, output: str) -> None:
    sources = write_pairs(tmp_path, ["a", "b"])
    with pytest.raises(ValueError, match="lie within one another"):
        imported(tmp_path / output, *sources, overwrite=True)


def test_an_earlier_import_stays_when_the_next_one_fails(tmp_path: Path) -> None:
    images, masks = write_pairs(tmp_path, ["a", "b"])
    imported(tmp_path / "out", images, masks)
    before = contents(tmp_path / "out")
    (images / "b.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"b\.jpg: not an image file"):
        imported(tmp_path / "out", images, masks, overwrite=True)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "masks", "out"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write to .*file/deep: .*; choose another output folder"):
        imported(tmp_path / "file" / "deep" / "out", *write_pairs(tmp_path, ["a", "b"]))


def test_a_kill_leaves_nothing_that_stands_in_the_way(tmp_path: Path) -> None:
    images, masks = write_pairs(tmp_path, [f"{i}" for i in range(120)], (40, 50))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "paddle_mobileseg.cli", "import-dataset"]
    command += ["--images", str(images), "--labels", str(masks), "--output", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".out.*/out/labels/*.png")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert len(list(tmp_path.glob(".out.*"))) == 1
    for bystander in (".other.abcdefgh/other", ".out.abcdefgh/mine", ".out.old/out"):
        (tmp_path / bystander).mkdir(parents=True)
    imported(out, images, masks, val=0.2)
    assert len(labels_of(out)) == 120
    expected = [".other.abcdefgh", ".out.abcdefgh", ".out.old", "images", "masks", "out"]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected


def test_an_import_that_was_being_replaced_comes_back(tmp_path: Path) -> None:
    """A kill between the two renames leaves the new folder and the previous one, and none in place."""
    images, masks = write_pairs(tmp_path, ["a", "b"])
    imported(tmp_path / "out", images, masks)
    before = contents(tmp_path / "out")
    (tmp_path / ".out.abcd1234" / "out").mkdir(parents=True)
    (tmp_path / "out").rename(tmp_path / ".out.abcd1234" / "previous")
    with pytest.raises(ValueError, match="holds an earlier import"):
        imported(tmp_path / "out", images, masks)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "masks", "out"]


def test_links_in_place_of_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = write_pairs(tmp_path, ["a", "b"])
    imported(tmp_path / "out", images, masks, link=True)
    assert os.path.samefile(images / "a.jpg", tmp_path / "out" / "images" / "a.jpg")
    imported(tmp_path / "copies", images, masks)
    assert not os.path.samefile(images / "a.jpg", tmp_path / "copies" / "images" / "a.jpg")

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(OSError, match=r"cannot link .*a\.jpg .*: Invalid cross-device link; leave out --link"):
        imported(tmp_path / "linked", images, masks, link=True)
    assert not (tmp_path / "linked").exists()


@pytest.mark.parametrize("name", ["new\nline.jpg", "tab\t.jpg", os.fsdecode(b"latin\xe4.jpg")])
def test_names_that_no_list_can_hold(tmp_path: Path, name: str) -> None:
    images, masks = write_pairs(tmp_path, ["a", "b"])
    shutil.copy(images / "a.jpg", images / name)
    with pytest.raises(ValueError, match="cannot be listed in a text file; rename it") as error:
        imported(tmp_path / "out", images, masks, skip_unmatched=True)
    str(error.value).encode("utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "nowhere"}, "--images: folder not found: .*nowhere"),
        ({"labels": "nowhere"}, "--labels: no such folder or file: .*nowhere"),
        ({"format": "voc"}, "--format is 'voc'; expected one of masks, labelme, coco"),
        ({"background": "black"}, "--background is 'black'; expected one of class, ignore"),
        ({"network": "pp_mobileseg_tini"}, "did you mean 'pp_mobileseg_tiny'"),
        ({"classes": ["nowhere.txt"]}, "--classes: there is no file nowhere.txt"),
        ({"classes": ["some/where"]}, "--classes: there is no file some/where"),
        ({"classes": ["a", "a"]}, "the name a is there twice"),
        ({"classes": ["a", " "]}, "a class has no name"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    images, masks = write_pairs(tmp_path, ["a", "b"])
    paths = {"images": images, "labels": masks}
    paths |= {key: tmp_path / value for key, value in options.items() if key in paths}
    others = {key: value for key, value in options.items() if key not in paths}
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        imported(tmp_path / "out", **paths, **others)
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------------- configuration
@pytest.mark.parametrize(
    ("sizes_hw", "box_wh", "crop_wh", "uniform"),
    [
        ([(360, 480)] * 3, [480, 352], [480, 352], True),
        ([(480, 360)] * 3, [480, 352], [352, 480], True),
        ([(3000, 4000)], [640, 480], [640, 480], True),
        ([(3000, 4000), (4000, 3000)], [640, 480], [480, 480], False),
        ([(300, 400), (300, 420), (310, 410)], [416, 288], [416, 288], False),
        ([(20, 30)], [192, 128], [192, 128], True),
        ([(1, 1)], [128, 128], [128, 128], True),
        ([(10, 5000)], [640, 64], [640, 64], True),
    ],
)
def test_sizes(sizes_hw: list[tuple[int, int]], box_wh: list[int], crop_wh: list[int], uniform: bool) -> None:
    assert recipe.sizes_for(sizes_hw) == recipe.Sizes(box_wh, crop_wh, uniform)


@pytest.mark.parametrize(
    ("images", "batch_size", "iters"), [(1, 1, 300), (5, 2, 300), (32, 4, 480), (367, 8, 2752), (10**6, 8, 20_000)]
)
def test_batches_and_iterations(images: int, batch_size: int, iters: int) -> None:
    text = recipe.config_text(
        "/x", "pp_mobileseg_tiny", ["a", "b"], np.zeros((2, 3)), recipe.Sizes([64, 64], [64, 64], True), images, True
    )
    assert f"\nbatch_size: {batch_size} " in text
    assert f"\niters: {iters} " in text


@pytest.mark.parametrize(
    "network",
    ["pp_mobileseg_base", "mobileseg_litehrnet18", "pp_liteseg_stdc2", "topformer_small", "mobileseg_ghostnet"],
)
def test_every_family_has_a_configuration_that_fits_it(tmp_path: Path, network: str) -> None:
    imported(tmp_path / "out", *write_pairs(tmp_path, ["a", "b", "c"]), val=0.3, network=network)
    cfg = load_config(tmp_path / "out" / "config.yml")
    model = build.model(cfg)
    assert len(build.losses(cfg)) == model.num_train_logits
    assert model.num_classes == 2


def test_class_names_that_yaml_would_take_for_something_else(tmp_path: Path) -> None:
    names = ["no", "1.5", "a: b", "# c", "'", '"', "null", "{d}", "日本", "é\u2028f", "- f"]
    write_images(tmp_path / "images", {"a.jpg": (6, 8)})
    shapes = [shape(name, box(i, 0, i + 0.4, 1)) for i, name in enumerate(names)]
    write_json(tmp_path / "json" / "a.json", labelme("a.jpg", (6, 8), *shapes))
    imported(tmp_path / "out", tmp_path / "images", tmp_path / "json", classes=names)
    cfg = load_config(tmp_path / "out" / "config.yml")
    assert cfg.train_dataset["class_names"] == ["background", *names]


# ----------------------------------------------------------------------------------------------------------- end to end
@pytest.mark.parametrize("sizes_hw", [[(70, 100)], [(70, 100), (120, 90), (64, 64)]])
def test_an_import_trains_and_evaluates_at_once(tmp_path: Path, sizes_hw: list[tuple[int, int]], run: Run) -> None:
    for i in range(6):
        height, width = sizes_hw[i % len(sizes_hw)]
        write_image(tmp_path / "my images" / f"no {i}.jpg", noise(height, width, i))
        car = shape("car", box(5, 5, 40 + i, 50))
        hole = shape("__ignore__", box(10, 10, 20, 20))
        write_json(tmp_path / "my images" / f"no {i}.json", labelme(f"no {i}.jpg", (height, width), car, hole))
    folder = tmp_path / "my data"
    status, printed, error = run(
        "import-dataset", "--images", tmp_path / "my images", "--labels", tmp_path / "my images", "--output", folder
    )
    assert (status, error) == (0, "")
    assert "6 images, labels from labelme: 5 train, 1 val" in printed
    assert "validation images by chance, seed 0" in printed
    assert f"mobileseg train --config '{folder}/config.yml' --save_dir 'output/my data' --do_eval" in printed
    record = json.loads((folder / "import.json").read_text())
    assert (record["classes"], record["parts"]) == (["background", "car"], {"train": 5, "val": 1})

    cfg = load_config(folder / "config.yml", iters=2, train_config={"save_interval": 2, "log_iters": 1})
    sample = build.dataset(cfg, "train").sample(0, seed=1)
    width, height = cfg.train_dataset["transforms"][1]["crop_size"]
    assert sample["img"].shape == (3, height, width)
    assert sample["label"].shape == (height, width)
    assert set(np.unique(sample["label"])) <= {0, 1, 255}
    Trainer(cfg, TrainOptions(str(tmp_path / "run"), do_eval=True, **cfg.train_config)).run()
    assert (tmp_path / "run" / "best_model").is_dir()


def test_the_summary_counts_pixels(tmp_path: Path, run: Run) -> None:
    masks = {"a": [[0, 0, 1, 255]], "b": [[0, 1, 1, 1]], "c": [[3, 3, 3, 3]], "d": [[0, 0, 0, 0]]}
    for name, values in masks.items():
        write_image(tmp_path / "images" / f"{name}.jpg", noise(1, 4))
        write_image(tmp_path / "masks" / f"{name}.png", np.array(values, dtype=np.uint8))
    (tmp_path / "val.txt").write_text("c\nd\n")
    words = ["--images", tmp_path / "images", "--labels", tmp_path / "masks", "--val_list", tmp_path / "val.txt"]
    status, printed, _ = run("import-dataset", *words, "--output", tmp_path / "out")
    assert status == 0
    table = [line.split() for line in printed.splitlines() if line[:1].isdigit() and "%" in line]
    assert table == [
        ["0", "class", "0", "42.86", "%", "2", "50.00", "%", "1"],
        ["1", "class", "1", "57.14", "%", "2", "0.00", "%", "0"],
        ["2", "class", "2", "0.00", "%", "0", "0.00", "%", "0"],
        ["3", "class", "3", "0.00", "%", "0", "50.00", "%", "1"],
    ]
    assert "ignored: 6.25 % of all pixels" in printed
    assert "'class 2' never occurs" in printed
    assert "'class 3' does not occur in the training images" in printed
    assert f"validation images as listed in {tmp_path / 'val.txt'}" in printed


def test_mistakes_end_in_one_line(tmp_path: Path, run: Run) -> None:
    status, printed, error = run(
        "import-dataset", "--images", tmp_path / "x", "--labels", tmp_path / "y", "--output", tmp_path / "z"
    )
    assert (status, printed) == (1, "")
    assert error.startswith("error: --images: folder not found: ")
    assert error.count("\n") == 1
