"""Evaluation and prediction against plain NumPy and against PaddleSeg's own inference."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.datasets import Dataset
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.transforms import Normalize
from paddle_mobileseg.engine import evaluate, inference, load_checkpoint, opening, predict, predictor
from paddle_mobileseg.engine.evaluator import eval_settings
from paddle_mobileseg.engine.inference import infer_labels, restore_size
from paddle_mobileseg.engine.opening import build_network, open_model, val_transforms
from paddle_mobileseg.engine.predictor import find_images
from paddle_mobileseg.engine.validation import validate

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def network(varied: Path) -> paddle.nn.Layer:
    return build_network(load_checkpoint(varied))


def miou_by_loops(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> float:
    ious = []
    for c in range(classes):
        inter = sum(int(((p == c) & (t == c) & (t != 255)).sum()) for p, t in pairs)
        union = sum(int((((p == c) | (t == c)) & (t != 255)).sum()) for p, t in pairs)
        if union:
            ious.append(inter / union)
    return float(np.mean(ious))


@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((1.0,), True), ((0.75, 1.0, 1.25), True)])
def test_labels_equal_paddlesegs_inference(
    network: paddle.nn.Layer, config_file: Path, scales: tuple[float, ...], flip: bool
) -> None:
    from paddleseg.core import infer

    sample = next(iter(eval_samples(build.dataset(load_config(config_file), "val"))))
    labels = infer_labels(network, sample["img"], sample["trans_info"], scales, flip)
    with paddle.no_grad():
        expected, _ = infer.aug_inference(
            network, paddle.to_tensor(sample["img"]), sample["trans_info"], list(scales), flip_horizontal=flip
        )

    assert labels.shape == sample["label"].shape
    assert len(np.unique(labels)) > 3
    np.testing.assert_array_equal(labels, expected.numpy()[0, 0])


@pytest.mark.parametrize("budget", [1, 72 * 96 * 3, 72 * 96 * 9])
def test_labels_of_large_photos_are_found_some_classes_at_a_time(
    network: paddle.nn.Layer, config_file: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    sample = next(iter(eval_samples(build.dataset(load_config(config_file), "val"))))
    trans_info = [("resize", (72, 96)), ("padding", (95, 120))]
    whole = infer_labels(network, sample["img"], trans_info)
    assert len(np.unique(whole)) > 3
    sizes = []

    def restore(logits: paddle.Tensor, trans_info: inference.TransInfo) -> paddle.Tensor:
        sizes.append(logits.shape[1])
        return restore_size(logits, trans_info)

    monkeypatch.setattr(inference, "_MAX_RESTORED", budget)
    monkeypatch.setattr(inference, "restore_size", restore)
    labels = infer_labels(network, sample["img"], trans_info)
    np.testing.assert_array_equal(labels, whole)
    assert labels.dtype == whole.dtype
    assert sizes == {1: [1] * 10, 72 * 96 * 3: [3, 3, 3, 1], 72 * 96 * 9: [9, 1]}[budget]


def test_scores_equal_an_independent_computation(network: paddle.nn.Layer, config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    pairs = []
    result = evaluate(network, dataset, on_image=lambda _, sample, labels: pairs.append((labels, sample["label"])))

    assert result.images == len(pairs) == 5
    assert all(len(np.unique(labels)) > 3 for labels, _ in pairs)
    assert result.scores.miou == pytest.approx(miou_by_loops(pairs, 10), abs=1e-12)
    assert "mIoU" in result.table()


def test_evaluation_keeps_the_training_mode(network: paddle.nn.Layer, config_file: Path) -> None:
    network.train()
    evaluate(network, build.dataset(load_config(config_file), "val"))
    assert network.training
    network.eval()


def test_val_writes_scores_and_samples(varied: Path, tmp_path: Path) -> None:
    result = validate(load_checkpoint(varied), tmp_path, command="mobileseg val")
    record = json.loads((tmp_path / "val.json").read_text())

    assert record["miou"] == result.scores.miou
    assert record["images"] == 5
    assert record["command"] == "mobileseg val"
    samples = sorted(path.name for path in (tmp_path / "val_samples").iterdir())
    assert samples[:3] == ["000_image.jpg", "000_label.png", "000_prediction.png"]
    assert np.asarray(Image.open(tmp_path / "val_samples" / "000_prediction.png")).shape == (72, 96)
    assert record["eval"] == {"flip": False, "scales": [1.0]}
    assert len(np.unique(np.asarray(Image.open(tmp_path / "val_samples" / "000_prediction.png")))) > 3


def test_val_obeys_the_configurations_test_config(varied: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(varied)
    section = {"aug_eval": True, "scales": [0.75, 1.25], "flip_horizontal": True}
    config = checkpoint.config.with_changes([f"test_config={json.dumps(section)}"])
    assert eval_settings(config) == {"scales": [0.75, 1.25], "flip": True}
    averaged = validate(dataclasses.replace(checkpoint, config=config), tmp_path)
    assert json.loads((tmp_path / "val.json").read_text())["eval"] == {"flip": True, "scales": [0.75, 1.25]}
    network, dataset = build_network(checkpoint), build.dataset(config, "val")
    assert averaged.scores.miou == evaluate(network, dataset, [0.75, 1.25], True).scores.miou
    plain = validate(dataclasses.replace(checkpoint, config=config), scales=[1.0], flip=False)
    assert plain.scores.miou == evaluate(network, dataset).scores.miou != averaged.scores.miou


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, {"scales": [1.0], "flip": False}),
        ({"scales": [0.5], "flip_horizontal": True}, {"scales": [1.0], "flip": False}),
        ({"aug_eval": True, "scales": 0.5}, {"scales": [0.5], "flip": False}),
    ],
)
def test_test_config(section: dict[str, Any], expected: dict[str, Any]) -> None:
    assert eval_settings(SimpleNamespace(test_config=section)) == expected


def test_saved_labels_have_255_for_what_the_data_set_ignores(varied: Path, scenes: Path, tmp_path: Path) -> None:
    labels = np.asarray(Image.open(scenes / "labels" / "val" / "0000.png")).copy()
    labels[:20] = 254
    Image.fromarray(labels).save(tmp_path / "label.png")
    (tmp_path / "val.txt").write_text(f"{scenes}/images/val/0000.jpg label.png\n")
    checkpoint = load_checkpoint(varied)
    section = {**checkpoint.config.val_dataset, "type": "Dataset", "dataset_root": str(tmp_path), "ignore_index": 254}
    data = {"val_dataset": section}
    config = SimpleNamespace(
        **data, data=data, test_config={}, num_classes=10, model=checkpoint.config.model, save=lambda path: None
    )
    config.val_dataset["transforms"] = [NORMALIZE]
    config.val_dataset["num_classes"] = 10
    validate(dataclasses.replace(checkpoint, config=config), tmp_path / "out")
    saved = np.asarray(Image.open(tmp_path / "out" / "val_samples" / "000_label.png"))
    np.testing.assert_array_equal(saved, np.where(labels == 254, 255, labels))


def test_images_without_labels_cannot_be_evaluated(network: paddle.nn.Layer, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{scenes}/images/val/0003.jpg\n")
    dataset = Dataset("test", str(tmp_path), [Normalize()], 10, test_path="list.txt")
    with pytest.raises(ValueError, match=r"0003\.jpg has no label"):
        evaluate(network, dataset)


def test_prediction_on_a_folder_goes_on_past_bad_files(
    network: paddle.nn.Layer, varied: Path, scenes: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    image = cv2.imread(str(scenes / "images" / "val" / "0000.jpg"))
    cv2.imwrite(str(source / "a.png"), image)
    cv2.imwrite(str(source / "below" / "b.jpg"), image[:50, :61])
    (source / "broken.jpg").write_bytes(b"no image")
    checkpoint = load_checkpoint(varied)
    preprocess = Preprocess.from_transforms(checkpoint.config.val_dataset["transforms"])

    failures = predict(network, preprocess, find_images(source), tmp_path / "out", checkpoint.palette)
    assert len(failures) == 1
    assert "broken.jpg" in failures[0]
    labels = Image.open(tmp_path / "out" / "pseudo_color_prediction" / "a.png")
    assert labels.mode == "P"
    assert len(np.unique(np.asarray(labels))) > 3
    tensor, trans_info = preprocess(image[:, :, ::-1])
    np.testing.assert_array_equal(np.asarray(labels), infer_labels(network, tensor[None], trans_info))
    assert cv2.imread(str(tmp_path / "out" / "added_prediction" / "below" / "b.jpg")).shape == (50, 61, 3)


def test_an_image_that_does_not_fit_is_passed_over(
    network: paddle.nn.Layer, varied: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [predictor.ImageFile(scenes / "images" / "val" / f"{i:04d}.jpg", str(i)) for i in range(4)]
    files.append(predictor.ImageFile(tmp_path / "gone.jpg", "gone"))
    inner = Preprocess.from_transforms(val_transforms(load_checkpoint(varied).config))
    errors = {0: ValueError("larger than the padding"), 2: cv2.error("assertion failed")}
    calls = iter(range(4))

    def preprocess(image: np.ndarray) -> Any:
        error = errors.get(next(calls))
        if error is not None:
            raise error
        return inner(image)

    failures = predict(network, preprocess, files, tmp_path / "out", np.zeros((10, 3), np.uint8))
    assert failures[0] == f"{files[0].path}: larger than the padding"
    assert failures[1].startswith(f"{files[2].path}: ")
    assert failures[2] == f"{files[4].path}: No such file or directory"
    assert {path.name for path in (tmp_path / "out" / predictor.LABELS).iterdir()} == {"1.png", "3.png"}

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(predictor, "write_label_png", full)
    with pytest.raises(OSError, match="no space left"):
        predict(network, inner, files[1:2], tmp_path / "out", np.zeros((10, 3), np.uint8))


def test_a_list_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    for name in ("a/x.jpg", "../a/x.jpg", ".hidden.jpg", "my photo.jpg", "y.png"):
        (folder / name).touch()
    lines = [
        "# images",
        "a/x.jpg",
        "../a/x.jpg",
        "a/../../evil.jpg",
        ".hidden.jpg",
        "my photo.jpg",
        "y.png labels/y.png",
    ]
    (folder / "list.txt").write_text("\n".join([*lines, "", f"{folder}/a/x.jpg", ".."]))
    found = find_images(folder / "list.txt")
    assert [file.name for file in found] == [
        *("a/x_jpg", "a/x_jpg_2", "evil", ".hidden", "my photo", "y", "a/x_jpg_3", "image")
    ]
    wanted = ["a/x.jpg", "../a/x.jpg", "../evil.jpg", ".hidden.jpg", "my photo.jpg", "y.png", "a/x.jpg", "."]
    assert [file.path.resolve() for file in found[:-1]] == [(folder / name).resolve() for name in wanted[:-1]]


def test_numbers_do_not_meet_names_that_are_there(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.png", "x_jpg.png"):
        (tmp_path / name).touch()
    names = [file.name for file in find_images(tmp_path)]
    assert len(set(names)) == 3
    assert set(names) == {"x_jpg", "x_png", "x_jpg_2"}


def test_what_image_path_means(scenes: Path, tmp_path: Path) -> None:
    assert len(find_images(scenes / "images" / "val")) == 5
    assert [file.path.name for file in find_images(scenes / "val.txt")] == [f"{i:04d}.jpg" for i in range(5)]
    for name in ("x.jpg", "x.png"):
        (tmp_path / name).touch()
    assert sorted(file.name for file in find_images(tmp_path)) == ["x_jpg", "x_png"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in it"):
        find_images(tmp_path / "empty")


def test_a_bare_weights_file_needs_a_configuration(trained: Path, config_file: Path, tmp_path: Path) -> None:
    bare = tmp_path / "model.pdparams"
    bare.write_bytes((trained / "best_model" / "model.pdparams").read_bytes())
    with pytest.raises(ValueError, match="--config"):
        open_model(bare)
    opened = open_model(bare, load_config(config_file))

    assert opened.class_names == load_checkpoint(trained / "best_model").class_names
    assert opened.sha256 == load_checkpoint(trained / "best_model").sha256
    build_network(opened)
    wrong = load_config(config_file, overrides=["model.backbone.type=MobileSeg_Base"])
    with pytest.raises(ValueError, match="does not fit PPMobileSeg"):
        build_network(open_model(bare, wrong))


def test_a_url_is_downloaded_once_and_only_with_a_configuration(
    trained: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def locate(url: str) -> Path:
        asked.append(url)
        return kept

    kept = config_file.parent / "0123-model.pdparams"
    kept.write_bytes((trained / "best_model" / "model.pdparams").read_bytes())
    monkeypatch.setattr(opening, "locate", locate)
    url = "https://example.org/weights/model.pdparams"
    with pytest.raises(ValueError, match=rf"{url} holds weights only.*--config"):
        open_model(url)
    assert asked == []
    opened = open_model(url, load_config(config_file))
    assert asked == [url]
    assert opened.sha256 == load_checkpoint(trained / "best_model").sha256


def test_a_link_that_leads_nowhere_is_told_as_one(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "best_model").symlink_to(os.readlink(trained / "best_model"))
    for path in (tmp_path / "best_model", tmp_path / "best_model" / "model.pdparams"):
        with pytest.raises(FileNotFoundError, match=r"best_model is a link to iter_\d, which is not there.*cp -rL"):
            open_model(path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*elsewhere; expected a checkpoint folder such as"):
        open_model(tmp_path / "elsewhere")


def test_transforms_of_a_configuration_without_validation_data() -> None:
    with pytest.raises(ValueError, match=r"no val_dataset\.transforms.*add them"):
        val_transforms(SimpleNamespace(val_dataset={}))


def test_classes_are_known_without_the_data(trained: Path, config_file: Path, tmp_path: Path) -> None:
    bare = tmp_path / "model.pdparams"
    bare.write_bytes((trained / "best_model" / "model.pdparams").read_bytes())
    opened = open_model(bare, load_config(config_file, data_root=str(tmp_path / "gone")))
    stored = load_checkpoint(trained / "best_model")
    assert opened.class_names == stored.class_names
    np.testing.assert_array_equal(opened.palette, stored.palette)
    assert opened.ignore_index == 255

    absent = {"type": "ADE20K", "dataset_root": str(tmp_path / "gone")}
    names, palette, _ = opening._classes(SimpleNamespace(data={}, val_dataset=absent, num_classes=150))
    assert (names[0], names[149], len(palette)) == ("wall", "flag", 150)


def test_paddlesegs_own_data_set(scenes: Path, tmp_path: Path) -> None:
    lines = (scenes / "val.txt").read_text().splitlines()
    (tmp_path / "val_list.txt").write_text("".join(f"{scenes}/{a} {scenes}/{b}\n" for a, b in map(str.split, lines)))
    section = {"type": "OpticDiscSeg", "dataset_root": str(tmp_path), "transforms": [NORMALIZE]}
    cfg = SimpleNamespace(data={"val_dataset": section}, val_dataset=section, num_classes=2)
    dataset = build.dataset(cfg, "val")

    assert type(dataset).__module__.startswith("paddleseg.")
    assert dataset.class_names == ["class 0", "class 1"]
    assert dataset.palette.shape == (2, 3)
    sample = next(iter(eval_samples(dataset)))
    assert sample["img"].shape == (1, 3, 72, 96)
    np.testing.assert_array_equal(sample["label"], np.asarray(Image.open(scenes / lines[0].split()[1])))
