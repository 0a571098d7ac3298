"""The command val: what is evaluated how, what it writes, and when it fails."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.config import build
from paddle_mobileseg.engine import evaluate, load_checkpoint
from paddle_mobileseg.engine.evaluator import eval_settings
from paddle_mobileseg.engine.inference import SlidingWindow
from paddle_mobileseg.engine.opening import build_network
from paddle_mobileseg.engine.validation import validate
from paddle_mobileseg.export import export_checkpoint
from paddle_mobileseg.files import sha256

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


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
        ({"flip_vertical": True, "batch_size": 1}, {"scales": [1.0], "flip": False}),
        (
            {"aug_eval": True, "flip_vertical": True, "batch_size": 4},
            {"scales": [1.0], "flip": False, "flip_vertical": True, "batch_size": 4},
        ),
        ({"crop_size": [8, 4], "stride": [2, 3]}, {"scales": [1.0], "flip": False}),
        (
            {"is_slide": True, "crop_size": [8, 4], "stride": [2, 3]},
            {"scales": [1.0], "flip": False, "window": SlidingWindow((8, 4), (2, 3))},
        ),
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


def test_val_takes_paddlesegs_flags(run: Any, varied: Path, tmp_path: Path) -> None:
    window = ["--is_slide", "--crop_size", 64, 48, "--stride", 32, 40]
    flips = ["--aug_eval", "--scales", 1.5, "--flip_horizontal", "--flip_vertical"]
    status, printed, _ = run("val", "--model_path", varied, *flips, *window, "--batch_size", 2, "--save_dir", tmp_path)
    assert status == 0
    record = json.loads((tmp_path / "val.json").read_text())
    assert record["eval"] == {
        **{"scales": [1.5], "flip": True, "flip_vertical": True, "batch_size": 2},
        **{"crop_size": [64, 48], "stride": [32, 40]},
    }
    checkpoint = load_checkpoint(varied)
    how: dict[str, Any] = {"flip_vertical": True, "window": SlidingWindow((64, 48), (32, 40)), "batch_size": 2}
    direct = evaluate(build_network(checkpoint), build.dataset(checkpoint.config, "val"), [1.5], True, **how)
    assert record["miou"] == direct.scores.miou
    assert direct.summary() in printed
    from_file = [f"test_config={json.dumps({'is_slide': True, 'crop_size': [64, 48], 'stride': [32, 40]})}"]
    status, printed, _ = run("val", "--model_path", varied, "--opts", *from_file, "test_config.print_detail=False")
    assert status == 0
    slid = evaluate(build_network(checkpoint), build.dataset(checkpoint.config, "val"), window=how["window"])
    assert printed == slid.summary() + "\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--is_slide", "--crop_size", "8", "8"], "--is_slide needs --crop_size W H and --stride W H"),
        (
            ["--is_slide", "--crop_size", "8", "8", "--stride", "9", "8"],
            "stride [9, 8] is larger than crop_size [8, 8]",
        ),
        (["--stride", "9", "8"], "add --is_slide"),
        (["--batch_size", "0"], "--batch_size is 0; expected a whole number of at least 1"),
        (["--aug_eval", "--scales", "0"], "--scales is [0.0]; expected numbers above 0"),
        (["--backend", "paddle"], "--backend says what runs a bundle; name one with --bundle"),
    ],
)
def test_flags_that_cannot_be(run: Any, varied: Path, words: list[str], message: str) -> None:
    status, _, error = run("val", "--model_path", varied, *words)
    assert status == 1
    assert message in error


def test_an_expected_score_that_is_missed_fails(run: Any, varied: Path, tmp_path: Path) -> None:
    miou = validate(load_checkpoint(varied)).scores.miou

    def val(expected: dict[str, float], *words: object) -> tuple[int, str]:
        option = f"test_config={json.dumps({'expected': expected, 'print_detail': False})}"
        status, printed, error = run("val", "--model_path", varied, *words, "--opts", option)
        assert "mIoU" in printed
        return status, error

    assert val({"miou": miou + 0.009, "tolerance": 0.01})[0] == 0
    assert val({"miou": miou - 0.009, "tolerance": 0.01})[0] == 0
    status, error = val({"miou": miou + 0.011, "tolerance": 0.01}, "--save_dir", tmp_path)
    assert status == 1
    assert f"miou is {miou:.6f}, expected {miou + 0.011:g}, with a tolerance of 0.01" in error
    assert json.loads((tmp_path / "val.json").read_text())["expected"]["tolerance"] == 0.01
    assert val({"miou": miou - 0.011, "tolerance": 0.01})[0] == 1
    status, error = val({"miou": miou, "kappa": -1, "tolerance": 0.01})
    assert (status, "kappa is" in error, "miou is" in error) == (1, True, False)
    status, error = val({"miou": 0.999, "tolerance": 0.01}, "--aug_eval", "--scales", 1.5)
    assert (status, "expected is not compared" in error) == (0, True)
    assert val({"miou": 0.999, "tolerance": 0.01}, "--aug_eval", "--batch_size", 2)[0] == 1  # scale 1 and no flip


@pytest.mark.parametrize("output_op", ["argmax", "none"])
def test_a_bundle_is_evaluated_like_its_checkpoint(
    run: Any, varied: Path, config_file: Path, tmp_path: Path, output_op: str
) -> None:
    bundle = tmp_path / "bundle"
    export_checkpoint(load_checkpoint(varied), bundle, output_op=output_op, input_shape=[1, 3, 96, 128])
    own = validate(load_checkpoint(varied), tmp_path / "own")
    for words in (["--config", config_file], ["--model_path", varied, "--backend", "paddle"]):
        status, printed, error = run("val", "--bundle", bundle, *words, "--save_dir", tmp_path / "out")
        assert status == 0, error
        record = json.loads((tmp_path / "out" / "val.json").read_text())
        assert record["backend"] == ("onnxruntime" if words[0] == "--config" else "paddle")
        assert record["bundle_sha256"] == sha256(bundle / "deploy.yaml")
        assert record["checkpoint_sha256"] == load_checkpoint(varied).sha256
        assert record["images"] == 5
        # Labels cannot be resized as logits can: boundaries move.
        assert record["miou"] == pytest.approx(own.scores.miou, abs=0.05 if output_op == "argmax" else 1e-4)
        assert record["miou"] != own.scores.miou or output_op == "none"
        assert f"mIoU {record['miou']:.4f}" in printed
        assert len(list((tmp_path / "out" / "val_samples").iterdir())) == 15


def test_bundles_and_data_that_do_not_belong_together(
    run: Any, varied: Path, config_file: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    export_checkpoint(load_checkpoint(varied), bundle, formats=["onnx"])
    for words, message in (
        ([], "--bundle needs --config or --model_path"),
        (["--config", config_file, "--aug_eval"], "leave out --aug_eval"),
        (["--config", config_file, "--backend", "paddle"], "holds no files for the backend 'paddle'"),
    ):
        status, _, error = run("val", "--bundle", bundle, *words)
        assert (status, message in error) == (1, True), error
    (bundle / "deploy.json").unlink()
    manifest = bundle / "deploy.yaml"
    text = manifest.read_text()
    for old, new, message in (
        ("num_classes: 10", "num_classes: 11", "exported with num_classes 11, but the validation data have 10"),
        ("ignore_index: 255", "ignore_index: 254", "exported with ignore_index 254, but the validation data have 255"),
    ):
        assert old in text
        manifest.write_text(text.replace(old, new))
        status, _, error = run("val", "--bundle", bundle, "--config", config_file)
        assert (status, message in error) == (1, True), error
