from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from paddle_mobileseg.runtime import load_bundle
from paddle_mobileseg.runtime.bundle import write_manifest


def edit(folder: Path, section: str, **values: Any) -> None:
    """Change the manifest; ``...`` removes a key."""
    path = folder / "deploy.yaml"
    content = yaml.safe_load(path.read_text())
    content[section].update(values)
    content[section] = {key: value for key, value in content[section].items() if value is not ...}
    path.write_text(yaml.safe_dump(content))


def test_what_is_written_is_read(make_bundle: Any) -> None:
    folder = make_bundle(transforms=[{"type": "Normalize"}])
    bundle = load_bundle(str(folder))
    assert bundle.folder == folder
    assert bundle.output_op == "argmax"
    assert bundle.input_shape == [-1, 3, -1, -1]
    assert bundle.class_names == ["red", "green", "blue"]
    assert bundle.palette.dtype == np.uint8
    assert bundle.palette.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert bundle.files_of("onnxruntime") == [folder / "model.onnx"]
    assert bundle.about["format"] == 1
    bundle.verify()
    ((x, labels),) = bundle.golden()
    assert np.array_equal(x.argmax(1), labels)


def test_summary(make_bundle: Any) -> None:
    lines = load_bundle(make_bundle()).summary().splitlines()
    assert lines[0].endswith("bundle: Largest, output argmax, input [-1, 3, -1, -1]")
    assert [line.split()[0] for line in lines[1:3]] == ["model.onnx", "golden.npz"]
    assert lines[3] == (
        "  dynamic->onnxruntime: labels agree on 99.9900%, at class boundaries 75.0000%, max difference 0.062 "
        "(1 images)"
    )
    assert lines[4] == "  predict->onnxruntime: labels agree on 50.0000% (1 images; no limit)"


def test_changed_byte(make_bundle: Any) -> None:
    path = make_bundle() / "model.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    bundle = load_bundle(path.parent)
    with pytest.raises(ValueError, match=r"model\.onnx was changed: its sha256 is \w{64}, but \w{64} was exported"):
        bundle.verify()
    bundle.verify([bundle.folder / "golden.npz"])


def test_truncated_file(make_bundle: Any) -> None:
    path = make_bundle() / "golden.npz"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=rf"golden\.npz has {size - 7} bytes, but {size} were exported"):
        load_bundle(path.parent).golden()


def test_missing_file(make_bundle: Any) -> None:
    folder = make_bundle()
    (folder / "model.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.onnx is missing; copy the whole bundle again"):
        load_bundle(folder).verify()


def test_no_bundle(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"is no bundle: there is no .*deploy\.yaml"):
            load_bundle(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Deploy: [", "is damaged"),
        ("\x00", "is damaged"),
        ("", "has no section 'Deploy'"),
        ("- a", "has no section 'Deploy'"),
        ("Deploy: {transforms: [], input_shape: [1, 3, 2, 2], output_op: none}", "has no section 'Bundle'"),
    ],
)
def test_damaged_manifest(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "deploy.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("Bundle", {"format": 2}, "has format 2; this version reads format 1; update paddle_mobileseg"),
        ("Bundle", {"format": 0}, "has format 0; this version reads format 1; export again"),
        ("Bundle", {"format": True}, "has format True; this version reads format 1; export again"),
        ("Bundle", {"format": ...}, "has format None; this version reads format 1; export again"),
        ("Bundle", {"palette": ..., "class_names": ...}, "Bundle has no class_names, palette"),
        ("Bundle", {"files": {"../x": {}}}, r"names the file '\.\./x'"),
        ("Bundle", {"backends": {"lite": ["model.nb"]}}, r"names 'model\.nb', which Bundle\.files lacks"),
        ("Deploy", {"output_op": "max"}, "output_op is 'max'; expected one of none, softmax, argmax, vim"),
        ("Deploy", {"input_shape": [1, 3, 0, 5]}, r"input_shape is \[1, 3, 0, 5\]; expected \[N, C, H, W\]"),
        ("Deploy", {"transforms": ...}, "Deploy has no transforms"),
    ],
)
def test_wrong_manifest(make_bundle: Any, section: str, values: dict[str, Any], message: str) -> None:
    folder = make_bundle()
    edit(folder, section, **values)
    with pytest.raises(ValueError, match=message):
        load_bundle(folder)


def test_the_same_content_as_json(make_bundle: Any) -> None:
    folder = make_bundle(transforms=[{"type": "Normalize", "mean": [0.5, 0.25, 1e-7]}])
    content = json.loads((folder / "deploy.json").read_text(encoding="utf-8"))
    assert content == yaml.safe_load((folder / "deploy.yaml").read_text(encoding="utf-8"))
    assert list(content["Bundle"])[:2] == ["format", "network"]
    assert content["Deploy"]["transforms"][0]["mean"] == [0.5, 0.25, 1e-7]


def test_a_bundle_without_json_is_read(make_bundle: Any) -> None:
    folder = make_bundle()
    (folder / "deploy.json").unlink()
    bundle = load_bundle(folder)
    bundle.verify()
    assert bundle.targets == {}


@pytest.mark.parametrize(
    ("section", "values", "where"),
    [
        ("Bundle", {"palette": [[0, 0, 0]] * 3}, "Bundle.palette"),
        ("Bundle", {"new": 1}, "Bundle.new"),
        ("Bundle", {"parity": ...}, "Bundle"),
        ("Deploy", {"input_shape": [1, 3, -1, -1]}, "Deploy.input_shape"),
    ],
)
def test_manifests_that_differ(make_bundle: Any, section: str, values: dict[str, Any], where: str) -> None:
    folder = make_bundle()
    edit(folder, section, **values)
    with pytest.raises(ValueError, match=rf"deploy\.json and deploy\.yaml differ at {where}, so that one of them"):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"Deploy": {}'])
def test_damaged_json(make_bundle: Any, text: str) -> None:
    folder = make_bundle()
    (folder / "deploy.json").write_text(text)
    with pytest.raises(ValueError, match=r"deploy\.json is damaged .*copy the bundle again"):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"Deploy": 1, "Bundle": []}'])
def test_json_of_something_else(make_bundle: Any, text: str) -> None:
    folder = make_bundle()
    (folder / "deploy.json").write_text(text)
    with pytest.raises(ValueError, match=r"differ at Deploy, so"):
        load_bundle(folder)


def test_targets(make_bundle: Any) -> None:
    folder = make_bundle()
    bundle = load_bundle(folder)
    targets = {"onnx": {"operators": 2, "seconds": 0.5, "tools": {"onnx": "1.17.0"}}}
    write_manifest(folder, bundle.deploy, {**bundle.about, "targets": targets})
    assert load_bundle(folder).targets == targets


def test_numbers_that_json_lacks_are_not_written(make_bundle: Any) -> None:
    bundle = load_bundle(make_bundle())
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(bundle.folder, bundle.deploy, {**bundle.about, "metrics": {"miou": float("nan")}})
