"""Scores for benchmark records: which files they may come from, and what must not be taken for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from paddle_mobileseg.benchmark.accuracy import from_manifest, from_scores, of_plans
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.config import Config
from paddle_mobileseg.engine.validation import validate_bundle
from paddle_mobileseg.files import sha256
from paddle_mobileseg.runtime.bundle import Bundle, describe_files, load_bundle, write_manifest

CLASSES = ["sky", "road", "tree", "lane mark"]
IOU = {"sky": 0.9, "road": 0.6, "tree": 0.3, "lane mark": None}
CHECKPOINT = "5f2b9c01" * 8
CONFIG = {"val_dataset": {"type": "CamVid", "dataset_root": "data/camvid"}, "test_config": {"batch_size": 4}}


def make_bundle(folder: Path, config: dict[str, Any] | None = None, **about: Any) -> Bundle:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "config.yml").write_text(yaml.safe_dump(CONFIG if config is None else config))
    deploy = {"transforms": [], "input_shape": [1, 3, 4, 4], "output_op": "argmax"}
    described = {
        "network": "PPMobileSeg",
        "num_classes": len(CLASSES),
        "class_names": CLASSES,
        "palette": [[1, 2, 3]] * len(CLASSES),
        "input": {"layout": "NCHW", "dtype": "float32"},
        "backends": {"onnxruntime": ["model.onnx"]},
        "files": describe_files(folder, ["model.onnx", "config.yml"]),
        "source_checkpoint_sha256": CHECKPOINT,
    }
    write_manifest(folder, deploy, {**described, **about})
    return load_bundle(folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "bundle")


def scores(path: Path, **changes: Any) -> Path:
    """A ``val.json`` of a checkpoint; with ``bundle`` one of that bundle on ONNX Runtime."""
    content = {"miou": 0.6, "accuracy": 0.8, "kappa": 0.7, "iou": IOU, "images": 101, "dataset": "CamVid"}
    content |= {"backend": "dygraph", "checkpoint_sha256": CHECKPOINT, "date": "2026-01-02"}
    content |= {"eval": {"flip": False, "scales": [1.0]}, "command": "mobileseg val --model_path best_model"}
    if (bundle := changes.pop("bundle", None)) is not None:
        content |= {"backend": "onnxruntime", "bundle_sha256": sha256(bundle.folder / "deploy.yaml")}
    path = path / "val.json"
    path.write_text(json.dumps({key: value for key, value in {**content, **changes}.items() if value != "absent"}))
    return path


def test_scores_of_the_checkpoint_count_for_every_backend(tmp_path: Path, bundle: Bundle) -> None:
    for backend in ("onnxruntime", "lite-arm"):
        assert from_scores(scores(tmp_path), bundle, backend) == {
            "of": "checkpoint",
            "dataset": "CamVid",
            "images": 101,
            "miou": 0.6,
            "pixel_accuracy": 0.8,
            "iou": IOU,
            "source": "mobileseg val --model_path best_model, 2026-01-02",
        }


def test_scores_of_the_file_count_for_their_backend(tmp_path: Path, bundle: Bundle) -> None:
    path = scores(tmp_path, bundle=bundle)
    assert from_scores(path, bundle, "onnxruntime")["of"] == "exported file"
    with pytest.raises(
        ValueError, match=r"of the backend 'onnxruntime', but the record is of 'paddle'.*--backend paddle"
    ):
        from_scores(path, bundle, "paddle")


def test_scores_of_random_weights_exported_are_those_of_the_file(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "random", source_checkpoint_sha256=None)
    assert from_scores(scores(tmp_path, bundle=bundle), bundle, "onnxruntime")["miou"] == 0.6
    with pytest.raises(ValueError, match="made from none"):
        from_scores(scores(tmp_path, checkpoint_sha256=None), bundle, "onnxruntime")


class ZeroSession:
    """Labels every pixel with class 0."""

    backend = "onnxruntime"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def run(self, image: np.ndarray) -> np.ndarray:
        return np.zeros(image.shape[:2], np.int32)


def test_what_an_evaluation_writes_is_taken(tmp_path: Path, bundle: Bundle) -> None:
    data = tmp_path / "harbour"
    data.mkdir()
    label = np.full((4, 8), 255, np.uint8)
    label[:2, :6] = [[0, 0, 0, 1, 1, 2]] * 2  # of 12 pixels, 6 are class 0
    Image.fromarray(label).save(data / "label.png")
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(data / "image.png")
    (data / "val.txt").write_text("image.png label.png\nimage.png label.png\n")
    described = {"type": "Dataset", "dataset_root": str(data), "mode": "val", "transforms": []}
    described |= {"num_classes": len(CLASSES), "class_names": CLASSES}
    cfg = Config({"val_dataset": described, "model": {"num_classes": len(CLASSES)}})
    validate_bundle(ZeroSession(bundle), cfg, tmp_path / "evaluated", command="mobileseg val --bundle bundle")
    section = from_scores(tmp_path / "evaluated" / "val.json", bundle, "onnxruntime")
    assert section.pop("source").startswith("mobileseg val --bundle bundle, 20")
    assert section == {
        "of": "exported file",
        "dataset": "harbour",
        "images": 2,
        "miou": pytest.approx(0.5 / 3),
        "pixel_accuracy": 0.5,
        "iou": {"sky": 0.5, "road": 0.0, "tree": 0.0, "lane mark": None},
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"checkpoint_sha256": "0" * 64}, "another checkpoint .sha256 000000000000.* than .*bundle .5f2b9c015f2b"),
        ({"checkpoint_sha256": "absent"}, "another checkpoint .sha256 not noted"),
        ({"backend": "onnxruntime", "bundle_sha256": "0" * 64}, "another bundle .sha256 000000000000"),
        ({"backend": "onnxruntime"}, "another bundle .sha256 not noted"),
        ({"backend": "absent"}, "holds no scores"),
        ({"miou": "absent"}, "holds no scores"),
        ({"miou": float("nan")}, "NaN is no number"),
        ({"miou": 0.61}, "'miou' is 0.61, but the mean of 'iou' is 0.6"),
        ({"miou": None}, "'miou' is None, but the mean of 'iou' is 0.6"),
        ({"miou": 60.0, "iou": None}, "'miou' is 60.0; expected a number from 0 to 1"),
        ({"accuracy": "0.8"}, "'accuracy' is '0.8'"),
        ({"accuracy": True}, "'accuracy' is True"),
        ({"iou": {**IOU, "sky": -0.1}}, "'iou.sky' is -0.1"),
        ({"iou": {"sky": 0.6}}, r"'iou' has 1 classes \(sky, \.\.\.\), but .* has 4 \(sky, road, tree"),
        ({"iou": dict(reversed(IOU.items()))}, "in this order"),
        ({"iou": [0.6]}, r"'iou' has \[0.6\]"),
        ({"images": 0}, "'images' is 0"),
        ({"images": 1.5}, "'images' is 1.5"),
        ({"dataset": None}, "'dataset' is None"),
        ({"eval": "absent"}, "does not say how it was evaluated"),
        ({"eval": {"flip": True, "scales": [1.0]}}, "with flip, which costs more"),
        ({"eval": {"flip": False, "scales": [0.75, 1.0]}}, r"with scales \[0.75, 1.0\]"),
        ({"eval": {"scales": [1.0], "flip_vertical": True, "crop_size": [8, 8]}}, "with flip_vertical, crop_size"),
    ],
)
def test_scores_that_are_not_taken(tmp_path: Path, bundle: Bundle, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        from_scores(scores(tmp_path, **changes), bundle, "onnxruntime")
    assert "val.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"miou": Infinity, "backend": "dygraph"}'])
def test_damaged_files_are_named(tmp_path: Path, bundle: Bundle, text: str) -> None:
    path = tmp_path / "val.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"val\.json"):
        from_scores(path, bundle, "onnxruntime")
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(ValueError, match=r"val\.json is damaged"):
        from_scores(path, bundle, "onnxruntime")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="there are no scores"):
        from_scores(path, bundle, "onnxruntime")


def test_data_without_a_class_of_its_own_is_named_after_its_folder(tmp_path: Path, bundle: Bundle) -> None:
    path = scores(tmp_path, dataset="Dataset", dataset_folder="harbour")
    assert from_scores(path, bundle, "onnxruntime")["dataset"] == "harbour"
    assert from_scores(scores(tmp_path, dataset="Dataset"), bundle, "onnxruntime")["dataset"] == "Dataset"
    assert from_scores(scores(tmp_path, dataset_folder="x"), bundle, "onnxruntime")["dataset"] == "CamVid"
    config = {"val_dataset": {"type": "Dataset", "dataset_root": "data/harbour"}}
    section = from_manifest(make_bundle(tmp_path / "own", config, metrics={"miou": 0.6}))
    assert section is not None and section["dataset"] == "harbour"


def test_every_plan_gets_the_scores_of_its_own_bundle(tmp_path: Path) -> None:
    bundles = {name: make_bundle(tmp_path / name, source_checkpoint_sha256=name * 64) for name in "abc"}
    files = []
    for name, miou in (("a", 0.6), ("b", 0.9)):
        (tmp_path / f"of_{name}").mkdir()
        files.append(scores(tmp_path / f"of_{name}", checkpoint_sha256=name * 64, miou=miou, iou=None))
    (tmp_path / "of_file").mkdir()
    files.append(scores(tmp_path / "of_file", bundle=bundles["a"], miou=0.5, iou=None))
    plans = [Plan(bundle.folder, backend) for bundle in bundles.values() for backend in ("onnxruntime", "paddle")]
    found = [each and (each["miou"], each["of"]) for each in of_plans(files, plans)]
    assert found == [(0.5, "exported file"), (0.6, "checkpoint"), *[(0.9, "checkpoint")] * 2, None, None]
    with pytest.raises(ValueError, match=r"of_b/val\.json has scores of another checkpoint"):
        of_plans(files, plans[:2])
    with pytest.raises(ValueError, match="of the backend 'onnxruntime', which is not measured; measured are paddle"):
        of_plans(files[2:], [plans[1]])


def test_nothing_labelled_is_null(tmp_path: Path, bundle: Bundle) -> None:
    nothing = {"miou": None, "accuracy": None, "iou": dict.fromkeys(CLASSES)}
    section = from_scores(scores(tmp_path, **nothing), bundle, "onnxruntime")
    assert section["miou"] is None and section["pixel_accuracy"] is None
    assert section["iou"] == dict.fromkeys(CLASSES)


def test_the_manifest_carries_the_checkpoints_scores(tmp_path: Path, bundle: Bundle) -> None:
    assert from_manifest(bundle) is None
    metrics = {"miou": 0.6, "accuracy": 0.8, "iou": IOU, "images": 101}
    assert from_manifest(make_bundle(tmp_path / "scored", metrics=metrics)) == {
        "of": "checkpoint",
        "dataset": "CamVid",
        "images": 101,
        "miou": 0.6,
        "pixel_accuracy": 0.8,
        "iou": IOU,
        "source": "evaluation during training",
    }
    least = from_manifest(make_bundle(tmp_path / "least", metrics={"miou": 0.6}))
    assert least is not None and least["miou"] == 0.6
    assert least["images"] is None and least["iou"] is None and least["pixel_accuracy"] is None


@pytest.mark.parametrize(
    "config", [{}, {**CONFIG, "test_config": {"aug_eval": True}}, {**CONFIG, "test_config": {"is_slide": True}}]
)
def test_scores_of_the_manifest_that_cannot_be_compared_are_left_out(tmp_path: Path, config: dict[str, Any]) -> None:
    assert from_manifest(make_bundle(tmp_path / "scored", config, metrics={"miou": 0.6})) is None


def test_damaged_scores_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"deploy\.yaml: 'miou' is 61"):
        from_manifest(make_bundle(tmp_path / "per_cent", metrics={"miou": 61.0}))
    with pytest.raises(ValueError, match=r"deploy\.yaml: 'miou' is nan"):
        from_manifest(nan_in_manifest(tmp_path / "nan"))
    changed = make_bundle(tmp_path / "changed", metrics={"miou": 0.6})
    (changed.folder / "config.yml").write_text("val_dataset: {type: Other}\n")
    with pytest.raises(ValueError, match=r"config\.yml has \d+ bytes"):
        from_manifest(changed)


def nan_in_manifest(folder: Path) -> Bundle:
    bundle = make_bundle(folder, metrics={"miou": 0.6})
    return Bundle(bundle.folder, bundle.deploy, {**bundle.about, "metrics": {"miou": float("nan")}})
