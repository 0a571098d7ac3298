from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark import describe, record
from paddle_mobileseg.runtime.bundle import Bundle

SHA = "0123456789abcdef" * 4
FILES = {
    "model.json": {"sha256": "a" * 64, "bytes": 10},
    "model.pdiparams": {"sha256": "b" * 64, "bytes": 20},
    "model.onnx": {"sha256": "c" * 64, "bytes": 30},
    "model_arm.nb": {"sha256": "d" * 64, "bytes": 40},
}


def bundle(folder: Path, **about: Any) -> Bundle:
    """A manifest without its files."""
    made = {
        "network": "PPMobileSeg",
        "architecture": "pp_mobileseg_tiny",
        "weights": "trained",
        "num_classes": 150,
        "input": {"dtype": "float32"},
        "output": {"dtype": "int32"},
        "num_parameters": 1492298,
        "macs": 44728448,
        "macs_size_hw": [128, 128],
        "source_checkpoint_sha256": SHA,
        "versions": {"python": "3.11.7", "paddlepaddle": "3.3.1", "onnx": None},
        "backends": {
            "paddle": ["model.json", "model.pdiparams"],
            "onnxruntime": ["model.onnx"],
            "lite-arm": ["model_arm.nb"],
        },
        "targets": {
            "onnx": {"precision": "fp32", "tools": {"opset": 13, "paddle2onnx": "2.1.0"}},
            "lite-arm": {"precision": "int8-weights", "tools": {"paddlelite opt": "2.13-rc"}},
        },
        "files": FILES,
    }
    return Bundle(folder, {"input_shape": [1, 3, 128, 128], "output_op": "argmax"}, made | about)


def test_model_of_a_bundle(tmp_path: Path):
    made = describe.model_section(bundle(tmp_path / "net"), "onnxruntime", (1, 3, 128, 128))
    assert made == {
        "network": "pp_mobileseg_tiny",
        "bundle": "net",
        "weights": "trained",
        "source_checkpoint_sha256": SHA,
        "format": "onnx",
        "precision": "fp32",
        "files": [{"name": "model.onnx", "bytes": 30, "sha256": "c" * 64}],
        "parameters": 1492298,
        "macs": 44728448,
        "macs_size_hw": [128, 128],
        "num_classes": 150,
        "input_shape": [1, 3, 128, 128],
        "input_dtype": "float32",
        "output_op": "argmax",
        "output_dtype": "int32",
    }


@pytest.mark.parametrize(
    ("backend", "form", "precision", "names"),
    [
        ("paddle", "paddle", None, ["model.json", "model.pdiparams"]),
        ("paddle-tensorrt", "paddle", "fp32", ["model.json", "model.pdiparams"]),
        ("tensorrt", "onnx", "fp32", ["model.onnx"]),
        ("lite-arm", "lite-arm", "int8-weights", ["model_arm.nb"]),
    ],
)
def test_files_are_those_that_the_backend_runs(
    tmp_path: Path, backend: str, form: str, precision: str | None, names: list[str]
):
    made = describe.model_section(bundle(tmp_path), backend, None)
    assert (made["format"], made["precision"]) == (form, precision)
    assert [each["name"] for each in made["files"]] == names


def test_tensorrt_computes_in_the_precision_that_was_asked_for(tmp_path: Path):
    for backend in ("tensorrt", "paddle-tensorrt"):
        made = describe.model_section(bundle(tmp_path / backend), backend, None, {"precision": "fp16"})
        assert made["precision"] == "fp16"


def test_open_sides_are_not_known_until_they_are_measured(tmp_path: Path):
    opened = bundle(tmp_path)
    opened.deploy["input_shape"] = [1, 3, -1, -1]
    assert describe.model_section(opened, "onnxruntime", None)["input_shape"] is None
    assert describe.model_section(opened, "onnxruntime", (1, 3, 64, 96))["input_shape"] == [1, 3, 64, 96]


@pytest.mark.parametrize(
    ("about", "weights", "checkpoint"),
    [
        ({"weights": "random", "source_checkpoint_sha256": None}, "random", None),
        ({"weights": None, "source_checkpoint_sha256": SHA}, "trained", SHA),  # bundles older than `weights`
        ({"weights": None, "source_checkpoint_sha256": ""}, "random", None),
        ({"weights": None, "source_checkpoint_sha256": None}, None, None),
    ],
)
def test_weights(tmp_path: Path, about: dict[str, Any], weights: str | None, checkpoint: str | None):
    made = describe.model_section(bundle(tmp_path, **about), "onnxruntime", None)
    assert (made["weights"], made["source_checkpoint_sha256"]) == (weights, checkpoint)


def test_network_outside_the_list_has_its_class_name(tmp_path: Path):
    made = describe.model_section(bundle(tmp_path, architecture=None), "onnxruntime", None)
    assert made["network"] == "PPMobileSeg"


def test_backend_without_files(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no files for the backend 'lite'"):
        describe.model_section(bundle(tmp_path), "lite", None)
    with pytest.raises(ValueError, match="unknown backend 'onnx'"):
        describe.model_section(bundle(tmp_path), "onnx", None)


def test_toolchain(tmp_path: Path):
    made = describe.toolchain(bundle(tmp_path))
    assert made["export_tools"] == {
        "python": "3.11.7",
        "paddlepaddle": "3.3.1",
        "opset": "13",
        "paddle2onnx": "2.1.0",
        "paddlelite opt": "2.13-rc",
    }
    assert made["packages"]["numpy"] and re.fullmatch(r"3\.\d+\.\d+", made["python"])
    assert describe.toolchain()["export_tools"] == {}


def test_fingerprint_tells_devices_apart():
    some = describe.fingerprint("CPU", 8, 23.5, "x86_64", None)
    assert re.fullmatch("[0-9a-f]{12}", some)
    assert describe.fingerprint("CPU", 8, 23.9, "x86_64", None) == some  # what a kernel keeps for itself varies
    for other in (
        ("CPU 2", 8, 23.5, "x86_64", None),
        ("CPU", 4, 23.5, "x86_64", None),
        ("CPU", 8, 31.3, "x86_64", None),
    ):
        assert describe.fingerprint(*other) != some
    assert describe.fingerprint("CPU", 8, 23.5, "x86_64", "GPU") != some


def test_a_record_of_this_machine_is_valid_and_names_no_computer(tmp_path: Path):
    import getpass
    import platform

    made = record.empty()
    made["model"] = describe.model_section(bundle(tmp_path), "onnxruntime", None)
    made["toolchain"] = describe.toolchain(bundle(tmp_path))
    made["device"] = describe.local_device()
    made["tool"] = describe.tool_section()
    made["error"] = {"kind": "x", "stage": None, "message": "m"}
    record.validate(made)
    assert made["device"]["kind"] == "local" and made["device"]["name"]
    assert made["device"]["fingerprint"] == describe.local_device()["fingerprint"]
    text = json.dumps({name: made[name] for name in ("device", "tool", "toolchain")})
    assert f'"{platform.node()}"' not in text and f'"{getpass.getuser()}"' not in text
