"""deploy/python/infer_onnx_trt.py as a user runs it: without a GPU, and with a stand-in for NVIDIA's packages."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "deploy" / "python" / "infer_onnx_trt.py"
FAKE = REPOSITORY / "tests" / "runtime" / "fake_nvidia"
NO_TENSORRT = importlib.util.find_spec("tensorrt") is None


def run(folder: Path, *words: str, fake: bool = True, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MOBILESEG_CACHE": str(folder / "cache"), "PYTHONPATH": str(FAKE) if fake else ""}
    return subprocess.run(
        [sys.executable, *python, str(SCRIPT), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def load() -> Any:
    spec = importlib.util.spec_from_file_location("infer_onnx_trt", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_needs_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "--help", fake=False, python=("-S", "-I"))  # no installed package can be imported
    assert done.returncode == 0, done.stderr
    for flag in ("--config", "--model_path", "--onnx_model_path", "--save_dir", "--width", "--height", "--bundle"):
        assert flag in done.stdout


@pytest.mark.skipif(not NO_TENSORRT, reason="is about machines without TensorRT, and this one has it")
@pytest.mark.parametrize("source", ["--bundle", "--model_path", "--onnx_model_path"])
def test_what_is_missing_is_named_before_anything_starts(tmp_path: Path, source: str) -> None:
    done = run(tmp_path, source, "nothing-here", fake=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "TensorRT cannot run on this machine" in done.stderr
    assert "the package tensorrt is not installed" in done.stderr
    assert "cuda-python" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bundle(make_bundle: Any, tmp_path: Path) -> None:
    words = ["--bundle", str(make_bundle(input_shape=[1, 3, 4, 6])), "--warmup", "1", "--repeats", "3"]
    for built in ("engine built now", "engine from the cache"):
        done = run(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(
            rf"TensorRT 11\.4\.0\.106 fp32 on Fake GPU \(compute capability 8\.6\), {built}, input \[1, 3, 4, 6\]: "
            r"labels agree with ONNX Runtime on 100\.0000% \(1 inputs\); GPU [\d.]+ ms, 90 % below [\d.]+ ms "
            r"\(CUDA events, 3 runs after 1\)\n",
            done.stdout,
        )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_onnx_file_at_a_size(make_bundle: Any, tmp_path: Path, precision: str) -> None:
    words = ["--onnx_model_path", str(make_bundle() / "model.onnx"), "--width", "10", "--height", "8"]
    done = run(tmp_path, *words, "--precision", precision, "--repeats", "2", "--warmup", "0")
    assert done.returncode == 0, done.stderr
    assert f"{precision} on Fake GPU" in done.stdout
    assert "input [1, 3, 8, 10]" in done.stdout


def test_other_labels_fail(make_bundle: Any, tmp_path: Path) -> None:
    liar = tmp_path / "fake"
    (liar / "cuda").mkdir(parents=True)
    (liar / "cuda" / "bindings").symlink_to(FAKE / "cuda" / "bindings")
    text = (FAKE / "tensorrt.py").read_text(encoding="utf-8")
    (liar / "tensorrt.py").write_text(text.replace("output.tobytes()", "(2 - output).tobytes()"), encoding="utf-8")
    environment = {**os.environ, "MOBILESEG_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(liar)}
    words = ["--bundle", str(make_bundle(input_shape=[1, 3, 4, 6])), "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert re.search(r"error: labels agree on \d+\.\d+%; needed are 99\.9000%", done.stderr)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "give one of"),
        (["--bundle", "a", "--model_path", "b"], "give one of"),
        (["--config", "a.yml"], "--config needs --model_path"),
        (["--bundle", "a", "--width", "64"], "give both --width and --height"),
        (["--bundle", "a", "--width", "0", "--height", "64"], "--width is 0"),
        (["--bundle", "a", "--repeats", "0"], "--repeats is 0"),
        (["--bundle", "a", "--warmup", "-1"], "--warmup is -1"),
        (["--bundle", "a", "--least_agreement", "99.9"], "--least_agreement is 99.9"),
        (["--bundle", "nowhere"], "nowhere is no bundle"),
        (["--onnx_model_path", "nowhere.onnx"], "there is no file nowhere.onnx"),
        (["--bundle", "a", "--device_id", "3"], "there is no GPU number 3"),
    ],
)
def test_mistakes(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FAKE))
    try:
        assert load().main(words) == 1
    finally:
        for name in ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime"):
            sys.modules.pop(name, None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "graph", "expected"),
    [
        ([], [1, 3, 64, 96], [[1, 3, 64, 96]] * 3),
        ([], [-1, 3, -1, -1], [[1, 3, 512, 1024]] * 3),
        ([], [1, 64, 96, 3], [[1, 64, 96, 3]] * 3),
        (["--width", "96", "--height", "64"], [-1, 3, -1, -1], [[1, 3, 64, 96]] * 3),
        (["--width", "96", "--height", "64"], [2, -1, -1, 3], [[2, 64, 96, 3]] * 3),
        (
            ["--min_size", "32", "64", "--max_size", "128", "96"],
            [1, 3, -1, -1],
            [[1, 3, 64, 32], [1, 3, 96, 128], [1, 3, 96, 128]],
        ),
        (
            ["--min_size", "32", "64", "--max_size", "128", "96", "--width", "64", "--height", "80"],
            [1, 3, -1, -1],
            [[1, 3, 64, 32], [1, 3, 80, 64], [1, 3, 96, 128]],
        ),
    ],
)
def test_shapes(words: list[str], graph: list[int], expected: list[list[int]]) -> None:
    script = load()
    found = script.shapes(script.arguments(words), graph)
    assert found == dict(zip(("min_shape", "opt_shape", "max_shape"), expected, strict=True))


def test_a_size_that_a_fixed_graph_does_not_take(make_bundle: Any, tmp_path: Path) -> None:
    words = ["--bundle", str(make_bundle(input_shape=[1, 3, 4, 6])), "--width", "8", "--height", "8"]
    done = run(tmp_path, *words)
    assert done.returncode == 1
    assert "[1, 3, 8, 8]" in done.stderr
    assert "[1, 3, 4, 6]" in done.stderr


def test_inputs_to_compare_on() -> None:
    script = load()
    golden = [np.ones((1, 3, 4, 6), np.float32), np.ones((1, 3, 8, 8), np.float32)]
    (found,) = script.examples(golden, [1, 3, 8, 8], np.float32)
    assert found is golden[1]
    (drawn,) = script.examples(golden, [1, 3, 5, 5], np.float32)
    assert drawn.shape == (1, 3, 5, 5)
    assert drawn.dtype == np.float32
    (pixels,) = script.examples([], [1, 32, 32, 3], np.uint8)
    assert pixels.dtype == np.uint8
    assert pixels.max() > 200


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--input_shape 1 3 512 1024"),
        (["--width", "96", "--height", "64", "--output_op", "vim"], "--output_op vim --input_shape 1 3 64 96"),
        (["--max_size", "96", "64"], "--input_shape 1 3 -1 -1"),
        (["--config", "a.yml", "--calib_data", "images"], "--config a.yml --calib_data images"),
    ],
)
def test_a_network_is_exported(words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from paddle_mobileseg import cli

    asked: list[str] = []
    monkeypatch.setattr(cli, "main", lambda argv: asked.extend(argv) or 5)
    script = load()
    assert script.export(script.arguments(["--model_path", "best", *words])) == 5
    assert asked[:3] == ["export", "--model_path", "best"]
    assert expected in " ".join(asked)
    cli._parser().parse_args(asked)  # the command has these flags


def test_from_a_checkpoint_to_the_line(varied: Any, tmp_path: Path) -> None:
    words = ["--model_path", str(varied), "--width", "96", "--height", "64", "--warmup", "0", "--repeats", "1"]
    done = run(tmp_path, *words, "--save_dir", str(tmp_path / "bundle"))
    assert done.returncode == 0, done.stderr
    assert "input [1, 3, 64, 96]: labels agree with ONNX Runtime on 100.0000%" in done.stdout
    assert (tmp_path / "bundle" / "model.onnx").is_file()
