"""Profiling in a child process, and what is written."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddle_mobileseg.benchmark import profiling
from paddle_mobileseg.benchmark.profiling import Profile, profile, profile_bundle, write_layers, write_profile
from paddle_mobileseg.runtime.arm_runner import VARIABLE
from paddle_mobileseg.runtime.bundle import MANIFEST, MANIFEST_JSON, describe_files, load_bundle


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, here and in children."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_bundle(bundle: Path, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    relative = os.path.relpath(bundle)
    found = profile(relative, "onnxruntime", threads=2, runs=3, warmup=1)

    assert [each["name"] for each in found.operators] == ["large", "top", "small"]
    assert [sorted(each) for each in found.operators] == [["calls", "ms", "name", "type"]] * 3
    assert (found.runs, found.input_shape) == (2, [1, 3, 384, 384])
    assert list(elsewhere.iterdir()) == list(temporary.iterdir()) == []


def test_what_is_said_of_a_profile(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    operators = [{"name": "a", "type": "Conv", "ms": 1.5, "calls": 1}]
    assert Profile(operators, 4, 2.0, 1.75, [1, 3, 8, 6]).summary() == (
        "means of 4 runs of 1x3x8x6; 2.00 ms each while profiled, of which operators explain 75.0%; "
        "1.75 ms without the profiler"
    )
    assert Profile(operators, 4, None).summary() == "means of 4 runs"
    with caplog.at_level("INFO", logger="paddle_mobileseg"):
        profile(bundle, "onnxruntime", runs=1)
    assert "bundle on onnxruntime: means of 1 run of 1x3x384x384; " in caplog.text


def test_the_record_takes_the_operators(bundle: Path) -> None:
    from paddle_mobileseg.benchmark import record

    operators = profile_bundle(bundle, "onnxruntime", runs=1, warmup=1)
    described = record.schema()["properties"]["operators"]
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(operators, described)
    assert [each["ms"] for each in operators] == sorted((each["ms"] for each in operators), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "onnx"}, "unknown backend 'onnx'"),
        ({"backend": "paddle"}, "holds no files for the backend 'paddle'"),
        ({"runs": 0}, "runs is 0; expected a whole number from 1"),
        ({"warmup": 0}, "warmup is 0"),
        ({"threads": True}, "threads is True"),
        ({"threads": 1.0}, "threads is 1.0"),
    ],
)
def test_bad_arguments(bundle: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile(bundle, **{"backend": "onnxruntime", **arguments})


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no bundle"):
        profile(tmp_path, "onnxruntime")


def edit(bundle: Path, **files: list[str]) -> None:
    """Let the manifest have files for other backends."""
    (bundle / MANIFEST_JSON).unlink()
    content = yaml.safe_load((bundle / MANIFEST).read_text())
    about = content["Bundle"]
    about["backends"] |= {backend.replace("_", "-"): names for backend, names in files.items()}
    names = {name for names in about["backends"].values() for name in names} | {"golden.npz"}
    about["files"] = describe_files(bundle, sorted(names))
    (bundle / MANIFEST).write_text(yaml.safe_dump(content))


def test_a_file_that_cannot_be_loaded(bundle: Path, temporary: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"no graph")
    edit(bundle)
    with pytest.raises(ValueError, match=r"ONNX Runtime .* cannot load"):
        profile(bundle, "onnxruntime")
    assert list(temporary.iterdir()) == []


def test_golden_tensors_that_are_missing(bundle: Path) -> None:
    (bundle / "golden.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"golden\.npz is missing"):
        profile(bundle, "onnxruntime")


@pytest.fixture
def arm(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Function: shell commands -> the bundle, with a runner for ARM that does them."""
    program = b"conv2d/def/4/1/1\0"
    head = (2).to_bytes(2, "little") + b"v2.13-rc".ljust(16, b"\0") + len(program).to_bytes(8, "little")
    (bundle / "model_arm.nb").write_bytes(head + program + bytes(12))
    edit(bundle, lite_arm=["model_arm.nb"])

    def make(commands: str) -> Path:
        runner = bundle / "runner.sh"
        runner.write_text(f"#!/bin/sh\n{commands}\n")
        runner.chmod(0o755)
        monkeypatch.setenv(VARIABLE, str(runner))
        return bundle

    return make


def test_a_crash(arm: Any, temporary: Path) -> None:
    bundle = arm("echo the last words >&2; kill -SEGV $PPID")
    with pytest.raises(ChildProcessError, match=r"profiling .* with lite-arm died of SIGSEGV\. Its last words"):
        profile(bundle, "lite-arm")
    assert list(temporary.iterdir()) == []


def test_too_slow(arm: Any, temporary: Path, tmp_path: Path) -> None:
    bundle = arm(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    with pytest.raises(TimeoutError, match="was not done after 4 s and was stopped"):
        profile(bundle, "lite-arm", timeout_s=4)
    assert list(temporary.iterdir()) == []
    process = Path("/proc") / (tmp_path / "pid").read_text().strip()
    for _ in range(100):
        if not process.exists():
            break
        time.sleep(0.1)
    assert not process.exists() or "Z" in (process / "stat").read_text().split()[2]


def test_errors_of_the_child_keep_their_kind(arm: Any) -> None:
    with pytest.raises(ChildProcessError, match=r"the ARM runner failed \(exit status 3\)"):
        profile(arm("exit 3"), "lite-arm")
    with pytest.raises(ValueError, match="built without the profiler"):
        profile(arm("echo '{}'"), "lite-arm")


def test_options_of_the_backend(arm: Any) -> None:
    with pytest.raises(FileNotFoundError, match="there is no program 'nowhere'"):
        profile(arm("exit 3"), "lite-arm", options={"arm_runner": "nowhere --fast"})


def test_layers_as_a_file(bundle: Path, tmp_path: Path) -> None:
    manifest = load_bundle(bundle)
    text = write_layers(manifest, tmp_path / "records", "topformer_tiny")
    path = tmp_path / "records" / f"{bundle.name}-layers.csv"

    assert text.startswith("layers with the most multiply-accumulate operations (15 of ")
    assert text.endswith(f"all of them: {path}")
    assert {int(row["macs"]) > 0 for row in csv.DictReader(path.read_text().splitlines())} == {True, False}
    assert "does not say of which network it is, besides Hand" in write_layers(manifest, tmp_path)
    with pytest.raises(KeyError, match="topformer_tny"):
        write_layers(manifest, tmp_path, "topformer_tny")


def test_what_a_record_holds_already(tmp_path: Path) -> None:
    operators = [{"name": "a", "type": "Conv", "ms": 1.0, "calls": 1}]
    text = write_profile(operators, tmp_path, "abc-2")
    assert "Conv           1.000  100.0%" in text
    assert (tmp_path / "abc-2-operators.csv").read_text() == "name,type,ms,calls\na,Conv,1.0,1\n"


def test_it_is_imported_without_paddle() -> None:
    """On machines that only run bundles."""
    import subprocess

    code = (
        "import sys; sys.modules.update(dict.fromkeys(['paddle', 'paddleseg', 'onnx', 'onnxruntime']))\n"
        "import paddle_mobileseg.benchmark.profiling, paddle_mobileseg.benchmark.profiling.lite"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(profiling.__file__).parents[3])
