"""Evaluation and prediction against plain NumPy and against PaddleSeg's own inference."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.engine import evaluate, load_checkpoint, predict
from paddle_mobileseg.engine.inference import infer_labels
from paddle_mobileseg.engine.opening import build_network, open_model
from paddle_mobileseg.engine.predictor import find_images
from paddle_mobileseg.engine.validation import validate

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def network(trained: Path) -> paddle.nn.Layer:
    return build_network(load_checkpoint(trained / "best_model"))


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
    np.testing.assert_array_equal(labels, expected.numpy()[0, 0])


def test_scores_equal_an_independent_computation(network: paddle.nn.Layer, config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    pairs = []
    result = evaluate(network, dataset, on_image=lambda _, sample, labels: pairs.append((labels, sample["label"])))

    assert result.images == len(pairs) == 5
    assert result.scores.miou == pytest.approx(miou_by_loops(pairs, 10), abs=1e-12)
    assert "mIoU" in result.table()


def test_evaluation_keeps_the_training_mode(network: paddle.nn.Layer, config_file: Path) -> None:
    network.train()
    evaluate(network, build.dataset(load_config(config_file), "val"))
    assert network.training
    network.eval()


def test_val_writes_scores_and_samples(trained: Path, tmp_path: Path) -> None:
    result = validate(load_checkpoint(trained / "best_model"), tmp_path, command="mobileseg val")
    record = json.loads((tmp_path / "val.json").read_text())

    assert record["miou"] == result.scores.miou
    assert record["images"] == 5
    assert record["command"] == "mobileseg val"
    samples = sorted(path.name for path in (tmp_path / "val_samples").iterdir())
    assert samples[:3] == ["000_image.jpg", "000_label.png", "000_prediction.png"]
    assert np.asarray(Image.open(tmp_path / "val_samples" / "000_prediction.png")).shape == (72, 96)


def test_prediction_on_a_folder_goes_on_past_bad_files(
    network: paddle.nn.Layer, trained: Path, scenes: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    image = cv2.imread(str(scenes / "images" / "val" / "0000.jpg"))
    cv2.imwrite(str(source / "a.png"), image)
    cv2.imwrite(str(source / "below" / "b.jpg"), image[:50, :61])
    (source / "broken.jpg").write_bytes(b"no image")
    checkpoint = load_checkpoint(trained / "best_model")
    preprocess = Preprocess.from_transforms(checkpoint.config.val_dataset["transforms"])

    failures = predict(network, preprocess, find_images(source), tmp_path / "out", checkpoint.palette)
    assert len(failures) == 1
    assert "broken.jpg" in failures[0]
    labels = Image.open(tmp_path / "out" / "pseudo_color_prediction" / "a.png")
    assert labels.mode == "P"
    tensor, trans_info = preprocess(image[:, :, ::-1])
    np.testing.assert_array_equal(np.asarray(labels), infer_labels(network, tensor[None], trans_info))
    assert cv2.imread(str(tmp_path / "out" / "added_prediction" / "below" / "b.jpg")).shape == (50, 61, 3)


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
