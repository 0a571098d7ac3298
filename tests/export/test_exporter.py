from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
import yaml
from paddle import nn

from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.export import ConversionError, ParityError, Tolerance, exporter, onnx_convert, proof
from paddle_mobileseg.export.request import check_target, checked_shape, deploy_transforms, describe_normalization
from paddle_mobileseg.runtime import Session, load_bundle

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def export(checkpoint: Any, folder: Path, **arguments: Any) -> Any:
    return exporter.export_checkpoint(checkpoint, folder, **arguments)


def labels_of(network: nn.Layer, image: np.ndarray) -> np.ndarray:
    """What the network says, worked out without the package's preprocessing."""
    x = ((image / 255 - NORMALIZE["mean"]) / NORMALIZE["std"]).astype(np.float32).transpose(2, 0, 1)[None]
    network.eval()
    with paddle.no_grad():
        return network(paddle.to_tensor(x))[0].numpy().argmax(1)[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dynamic_bundle(checkpoint: Any, network: nn.Layer, tmp_path: Path) -> None:
    bundle = export(checkpoint, tmp_path / "out" / "bundle", command="mobileseg export x")
    folder = tmp_path / "out" / "bundle"
    assert {path.name for path in folder.parent.iterdir()} == {"bundle"}  # no temporary folder is left
    names = {"model.json", "model.pdiparams", "model.onnx", "golden.npz", "config.yml"}
    assert {path.name for path in folder.iterdir()} == {"deploy.yaml", "deploy.json", *names}

    written = yaml.safe_load((folder / "deploy.yaml").read_text())
    assert written["Deploy"] == {
        "model": "model.json",
        "params": "model.pdiparams",
        "transforms": [NORMALIZE],
        "input_shape": [-1, 3, -1, -1],
        "output_op": "argmax",
        "output_dtype": "int32",
    }
    about = written["Bundle"]
    expected = {
        "format": 1,
        "network": "TinyNetwork",
        "num_classes": 4,
        "class_names": ["road", "car", "sky", "no"],
        "palette": [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]],
        "ignore_index": 255,
        "output": {"kind": "labels", "dtype": "int32", "shape": [-1, -1, -1]},
        "num_parameters": (75 + 1) * 8 + 2 * 8 + (8 + 1) * 4,  # convolution, norm, head
        "macs": (75 * 8 + 8 * 4) * (72 // 4) * (96 // 4),
        "macs_size_hw": [72, 96],
        "metrics": {"miou": 0.5, "iou": {"road": 0.25, "no": None}},
        "source_checkpoint_sha256": "ab" * 32,
        "command": "mobileseg export x",
        "backends": {"paddle": ["model.json", "model.pdiparams"], "onnxruntime": ["model.onnx"]},
    }
    assert {key: about[key] for key in expected} == expected
    assert about["input"] == {
        "name": "x",
        "layout": "NCHW",
        "dtype": "float32",
        "channel_order": "RGB",
        "size_hw": "dynamic",
        "resize_hw": None,
        "range": [-2.5, 2.5],
        "normalization": {"scale": 255.0, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]},
    }
    assert about["versions"].keys() >= {"paddle_mobileseg", "python", "paddlepaddle", "paddle2onnx", "onnxruntime"}
    assert {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in contents(folder).items()
        if name not in ("deploy.yaml", "deploy.json")
    } == about["files"]
    assert [(row["stage"], row["images"], row["passed"]) for row in about["parity"]] == [
        ("dynamic->folded", 2, True),
        ("dynamic->paddle", 2, True),
        ("dynamic->onnxruntime", 2, True),
        ("predict->paddle", 2, True),
        ("predict->onnxruntime", 2, True),
    ]
    assert "dynamic->onnxruntime: labels agree on" in bundle.summary()

    for backend in ("paddle", "onnxruntime"):
        session = Session(folder, backend)
        for path, _ in checkpoint.samples:
            image = read_image(path)
            found = session.run(image)
            assert found.dtype == np.int32
            assert (found == labels_of(network, image)).mean() > 0.999
    golden = bundle.golden()
    assert [x.shape for x, _ in golden] == [(1, 3, 72, 96), (1, 3, 64, 80)]
    for (x, labels), (path, _) in zip(golden, checkpoint.samples, strict=True):
        assert (x.dtype, labels.dtype) == (np.float32, np.int32)
        assert np.array_equal(labels[0], labels_of(network, read_image(path)))


@pytest.mark.parametrize("output_op", ["none", "softmax", "vim"])
def test_fixed_size_resizes_images(checkpoint: Any, tmp_path: Path, output_op: str) -> None:
    bundle = export(checkpoint, tmp_path / "bundle", output_op=output_op, input_shape=[2, 3, 48, 64], formats=["onnx"])
    assert {path.name for path in bundle.folder.iterdir()} == {
        "model.onnx",
        "golden.npz",
        "deploy.yaml",
        "deploy.json",
        "config.yml",
    }
    assert "model" not in bundle.deploy
    assert bundle.deploy["transforms"] == [{"type": "Resize", "target_size": [64, 48]}, NORMALIZE]
    assert bundle.about["input"]["size_hw"] == [48, 64]
    assert bundle.about["macs_size_hw"] == [48, 64]
    kind, dtype, shape = {
        "none": ("logits", "float32", [2, 4, 48, 64]),
        "softmax": ("probabilities", "float32", [2, 4, 48, 64]),
        "vim": ("labels", "int32", [2, 48, 64]),
    }[output_op]
    assert bundle.about["output"] == {"kind": kind, "dtype": dtype, "shape": shape}
    _, parity, whole = bundle.about["parity"]
    assert (parity["max_abs_diff"] is None) == (output_op == "vim")
    session = Session(bundle.folder)
    check_whole(whole, checkpoint, session, output_op)
    assert session.run(read_image(checkpoint.samples[0][0])).shape == (72, 96)
    for x, expected in bundle.golden():
        found = session.run_tensor(x)
        assert found.shape == tuple(shape)
        assert np.abs(found - expected).max() <= (parity["max_abs_diff"] or 0) + 1e-6
    with pytest.raises(ValueError, match=r"no files for the backend 'paddle' \(it has files for: onnxruntime\)"):
        Session(bundle.folder, "paddle")


def check_whole(row: dict[str, Any], checkpoint: Any, session: Session, output_op: str) -> None:
    """The figures from end to end, against prediction's own way of taking logits back."""
    network = exporter.build_network(checkpoint)
    network.eval()
    pairs = []
    for path, _ in checkpoint.samples:
        image = read_image(path)
        x = cv2.resize(image, (64, 48)) / 255
        x = ((x - NORMALIZE["mean"]) / NORMALIZE["std"]).astype(np.float32).transpose(2, 0, 1)[None]
        with paddle.no_grad():
            logits = nn.functional.interpolate(network(paddle.to_tensor(x))[0], image.shape[:2], mode="bilinear")
        pairs.append((logits.numpy().argmax(1)[0], session.run(image)))
    equal = sum(int((a == b).sum()) for a, b in pairs) / sum(a.size for a, _ in pairs)
    assert row["stage"] == "predict->onnxruntime"
    assert row["label_agreement"] == pytest.approx(equal, abs=1e-3)
    if output_op == "vim":  # labels can only be resized as they are
        assert (row["tolerance"], row["passed"]) == (None, None)
        assert 0.9 < equal < 0.999
        assert row["boundary_agreement"] < equal
    else:
        assert (row["tolerance"], row["passed"]) == (0.999, True)
        assert equal >= 0.999


@pytest.mark.parametrize("image_size", [None, [40, 56]])
def test_a_graph_that_resizes_bytes(checkpoint: Any, tmp_path: Path, image_size: list[int] | None) -> None:
    bundle = export(
        checkpoint,
        tmp_path / "bundle",
        output_op="none",
        formats=["onnx"],
        input_format="uint8",
        input_shape=[1, 3, 48, 64],
        resize_in_graph=True,
        image_size=image_size,
    )
    height, width = image_size or (-1, -1)
    assert bundle.input_shape == [1, height, width, 3]
    assert bundle.deploy["transforms"] == ([] if image_size is None else [{"type": "Resize", "target_size": [56, 40]}])
    rows = {row["stage"]: row for row in bundle.about["parity"]}
    assert rows["dynamic->onnxruntime"]["passed"] is True
    assert rows["predict->onnxruntime"]["passed"] is None
    session = Session(bundle.folder)
    network = exporter.build_network(checkpoint)
    for path, _ in checkpoint.samples:
        image = read_image(path)
        seen = image if image_size is None else cv2.resize(image, (width, height))
        x = nn.functional.interpolate(
            paddle.to_tensor(seen.transpose(2, 0, 1)[None].astype("float32")), [48, 64], mode="bilinear"
        )
        mean, std = (paddle.to_tensor(NORMALIZE[key], "float32").reshape([1, 3, 1, 1]) for key in ("mean", "std"))
        network.eval()
        with paddle.no_grad():
            logits = nn.functional.interpolate(network((x / 255 - mean) / std)[0], image.shape[:2], mode="bilinear")
        assert (session.run(image) == logits.numpy().argmax(1)[0]).mean() > 0.998


def test_vim_is_only_measured_against_prediction(checkpoint: Any, tmp_path: Path) -> None:
    bundle = export(checkpoint, tmp_path / "bundle", output_op="vim", formats=["paddle"])
    rows = {row["stage"]: row for row in bundle.about["parity"]}
    assert rows["dynamic->paddle"]["passed"] is True
    assert (rows["predict->paddle"]["passed"], rows["predict->paddle"]["tolerance"]) == (None, None)


def test_float64_tells_where_rounding_decides(
    checkpoint: Any, network: nn.Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 the network gives other labels than its files do, in float64 theirs: in a few pixels, or in all."""
    low_logits = type(network).low_logits

    def imprecise(self: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
        logits = low_logits(self, x)
        if self is not network or not paddle.in_dynamic_mode():
            return logits
        return paddle.concat([-logits[:, :, :wrong_rows], logits[:, :, wrong_rows:]], axis=2)

    monkeypatch.setattr(type(network), "low_logits", imprecise)
    wrong_rows = 1
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"])
    for row in bundle.about["parity"]:
        assert row["passed"] is True
        assert 0.9 < row["label_agreement"] < 0.999 <= row["decided_agreement"]
        assert 0 < row["undecided"] < 0.1
    wrong_rows = 9
    with pytest.raises(ParityError, match=r"rounding decides .*on the others 100\.0000% agree"):
        export(checkpoint, tmp_path / "bundle", formats=["paddle"])


def test_one_class_proves_nothing(
    checkpoint: Any, network: nn.Layer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network.head.bias.set_value(np.array([1000, 0, 0, 0], np.float32))
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"])
    assert [(row["passed"], row["classes"]) for row in bundle.about["parity"]] == [(None, 1)] * 3
    assert "one class on all images" in caplog.text
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"], output_op="none")
    assert bundle.about["parity"][1]["passed"] is True  # values were compared


def test_every_image_of_a_batch_counts(checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Session.run_tensor
    monkeypatch.setattr(Session, "run_tensor", lambda self, x: np.repeat(run(self, x)[:1], len(x), axis=0))
    for shape in ([2, 3, 48, 64], [-1, 3, 48, 64]):
        with pytest.raises(ParityError, match=r"^dynamic->paddle"):
            export(checkpoint, tmp_path / "bundle", formats=["paddle"], input_shape=shape)


def test_a_session_that_restores_wrongly_is_no_bundle(
    checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "run", lambda _, image: np.zeros(image.shape[:2], np.int32))
    with pytest.raises(ParityError, match="predict->paddle: labels agree on"):
        export(checkpoint, tmp_path / "bundle", output_op="none", formats=["paddle"])


def test_transforms_for_export_take_the_place_of_evaluations(checkpoint: Any, tmp_path: Path) -> None:
    steps = [{"type": "Resize", "target_size": [32, 48]}, NORMALIZE]
    checkpoint.config.export = {"transforms": steps}
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"])
    assert bundle.deploy["transforms"] == steps
    assert bundle.golden()[0][0].shape == (1, 3, 48, 32)


def test_images_given_take_the_place_of_those_stored(checkpoint: Any, make_scene: Any, tmp_path: Path) -> None:
    images = [make_scene(seed, 40, 56) for seed in range(3)]
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"], calib_images=images)
    assert [row["images"] for row in bundle.about["parity"]] == [3, 3, 3]
    assert bundle.golden()[0][0].shape == (1, 3, 40, 56)


def test_golden_tensors_stay_small(checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "_MAX_GOLDEN_BYTES", 1)
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"])
    assert len(bundle.golden()) == 1
    assert bundle.about["parity"][0]["images"] == 2


def test_a_bundle_is_replaced_only_by_one_that_passed(
    checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    export(checkpoint, folder, formats=["paddle"])
    before = contents(folder)

    run = proof.run_dynamic
    monkeypatch.setattr(proof, "run_dynamic", lambda network, x: 3 - run(network, x))
    with pytest.raises(ParityError) as caught:
        export(checkpoint, folder, formats=["paddle"])
    assert str(caught.value).startswith("dynamic->paddle: labels agree on ")
    assert str(caught.value).endswith(f"Nothing was written to {folder}.")
    assert contents(folder) == before
    monkeypatch.setattr(proof, "run_dynamic", run)

    with monkeypatch.context() as patch:
        patch.setattr(onnx_convert.child, "run", crash)
        with pytest.raises(ConversionError, match="SIGABRT"):
            export(checkpoint, folder)
    assert contents(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "image_0.png", "image_1.png"}

    export(checkpoint, folder, output_op="softmax", formats=["paddle"])
    assert load_bundle(folder).output_op == "softmax"


def crash(*_: Any) -> None:
    raise ConversionError(f"conversion died of {signal.SIGABRT.name}")


def test_tolerance_of_values_gates_too(checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = proof.run_dynamic
    monkeypatch.setattr(proof, "run_dynamic", lambda network, x: run(network, x) * 1.01)
    with pytest.raises(ParityError, match=r"labels agree on 100\.0000%.*Largest difference"):
        export(checkpoint, tmp_path / "bundle", output_op="none", formats=["paddle"])
    bundle = export(
        checkpoint, tmp_path / "bundle", output_op="none", formats=["paddle"], tolerance=Tolerance(max_abs_diff=0.02)
    )
    assert bundle.about["parity"][0]["passed"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_op": "labels"}, "output_op is 'labels'; expected one of none, softmax, argmax, vim"),
        ({"formats": ["paddle", "ncnn"]}, "expected some of paddle, paddle-legacy, onnx, lite-x86, lite-arm"),
        ({"formats": []}, "expected some of paddle, paddle-legacy, onnx, lite-x86, lite-arm"),
        ({"formats": "onnx"}, "expected some of paddle, paddle-legacy, onnx, lite-x86, lite-arm"),
        ({"input_shape": [1, 4, 32, 32]}, "expected 3 channels"),
        ({"calib_images": []}, "no images to prove the export on"),
        ({"calib_images": [np.zeros((8, 8, 4), np.uint8)]}, r"uint8 \[height, width, 3\]"),
    ],
)
def test_wrong_arguments(checkpoint: Any, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export(checkpoint, tmp_path / "bundle", **arguments)
    assert not (tmp_path / "bundle").exists()


def test_weights_without_images_are_proved_on_drawn_scenes(checkpoint: Any, tmp_path: Path) -> None:
    checkpoint.samples = []
    bundle = export(checkpoint, tmp_path / "bundle", formats=["paddle"])

    assert bundle.about["parity"][0]["images"] == 4
    assert bundle.golden()[0][0].shape == (1, 3, 360, 480)


def test_weights_that_are_not_finite(checkpoint: Any, network: nn.Layer, tmp_path: Path) -> None:
    network.head.bias.set_value(np.array([0, np.nan, 0, 0], np.float32))
    with pytest.raises(ValueError, match=r"weight head\.bias .* not finite"):
        export(checkpoint, tmp_path / "bundle")


def test_checkpoint_without_transforms(checkpoint: Any, tmp_path: Path) -> None:
    checkpoint.config.val_dataset = {}
    with pytest.raises(ValueError, match=r"no val_dataset\.transforms"):
        export(checkpoint, tmp_path / "bundle")


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path) -> None:
    check_target(tmp_path / "new")
    check_target(tmp_path)
    (tmp_path / "deploy.yaml").write_text("Bundle: {files: {model.onnx: {}}}")
    (tmp_path / "model.onnx").touch()
    check_target(tmp_path)
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ValueError, match=r"holds 'holiday\.jpg', which is no part of a bundle"):
        check_target(tmp_path)
    (tmp_path / "holiday.jpg").unlink()
    (tmp_path / "deploy.yaml").write_text("Deploy: {}")  # PaddleSeg's own export
    with pytest.raises(ValueError, match=r"holds 'deploy\.yaml'"):
        check_target(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        check_target(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [-1, 3, -1, -1]),
        ([1, 3, 512, 256], [1, 3, 512, 256]),
        ([None, None, None, None], [-1, 3, -1, -1]),
        ((-1, 3, 64, 64), [-1, 3, 64, 64]),
    ],
)
def test_input_shape(given: Any, expected: list[int]) -> None:
    assert checked_shape(given) == expected


@pytest.mark.parametrize("wrong", [[3, 512, 512], [1, 3, 0, 512], [1, 3, 64.0, 64], [True, 3, 64, 64], [1, 3, -1, 64]])
def test_wrong_input_shape(wrong: list[Any]) -> None:
    with pytest.raises(ValueError, match="input_shape is"):
        checked_shape(wrong)


def test_transforms_of_a_fixed_size() -> None:
    by_long = [{"type": "ResizeByLong", "long_size": 64}, {"type": "Padding", "target_size": [64, 48]}, NORMALIZE]
    resized = [{"type": "Resize", "target_size": [64, 48]}, NORMALIZE]
    assert deploy_transforms(by_long, [1, 3, -1, -1]) == by_long
    assert deploy_transforms(by_long, [1, 3, 48, 64]) == by_long  # it is that size already, without distortion
    assert deploy_transforms(by_long, [1, 3, 64, 64]) == [{"type": "Resize", "target_size": [64, 64]}, NORMALIZE]
    assert deploy_transforms(resized, [1, 3, 48, 64]) == resized
    kept = [{"type": "Resize", "target_size": [64, 48], "keep_ratio": True}, NORMALIZE]
    assert deploy_transforms(kept, [1, 3, 48, 64]) == resized


def test_normalization() -> None:
    assert describe_normalization([{"type": "Normalize"}]) == {
        "range": [-1.0, 1.0],
        "normalization": {"scale": 255.0, "mean": [0.5], "std": [0.5]},
    }
    assert describe_normalization([]) == {"range": [0.0, 255.0], "normalization": None}
