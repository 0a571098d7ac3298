"""``deploy/lite/cpp`` with a library that stands for Paddle Lite; for this machine, and for ARM in an emulator."""

from __future__ import annotations

import json
import shlex
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.reading import read_label
from paddle_mobileseg.runtime.arm_runner import ArmRunner
from paddle_mobileseg.runtime.bundle import load_bundle
from paddle_mobileseg.runtime.graph_input import GraphInput
from tests.deploy.cpp_build import (
    NORMALIZE,
    REPOSITORY,
    build,
    call,
    fake_paddle_lite,
    make_bundle,
    need,
    scene,
    write_image,
    x86_programs,
)

ARM_ROOT = "/usr/aarch64-linux-gnu"  # of Debian's cross compiler: its C library


_BUILT: dict[str, list[str]] = {}


def arm_program(factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs the program for ARM in an emulator; built by the first who asks."""
    if "aarch64" not in _BUILT:
        _BUILT["aarch64"] = _build_for_arm(factory.mktemp("aarch64"))
    return _BUILT["aarch64"]


def _build_for_arm(folder: Path) -> list[str]:
    need("aarch64-linux-gnu-g++", "qemu-aarch64-static")
    lite = fake_paddle_lite(folder / "fake", "aarch64-linux-gnu-g++")
    toolchain = REPOSITORY / "deploy" / "lite" / "cpp" / "aarch64-linux.cmake"
    build(
        "deploy/lite/cpp", folder / "build", f"-DPADDLE_LITE_DIR={lite.parent}", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"
    )
    return ["qemu-aarch64-static", "-L", ARM_ROOT, str(folder / "build" / "mobileseg_lite_run")]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [str(x86_programs(tmp_path_factory) / "lite" / "mobileseg_lite_run")]


@pytest.fixture(scope="session", params=["x86", "aarch64"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The program's command, of this machine and of ARM."""
    if request.param == "aarch64":
        return arm_program(tmp_path_factory)
    return [str(x86_programs(tmp_path_factory) / "lite" / "mobileseg_lite_run")]


def lite_file(program: str, version: str = "v2.13-rc", form: int = 2) -> bytes:
    """A .nb file as :mod:`paddle_mobileseg.runtime.lite_file` describes it, with two tensors."""
    head = struct.pack("<H16sQ", form, version.encode(), len(program)) + program.encode()
    tensors = b"".join(struct.pack("<I", size) + bytes(size) for size in (12, 5))
    return head + struct.pack("<HHHHI", 0, 0, 6, 2, 12) + tensors


RESIZE_AND_PAD = [
    {"type": "ResizeByLong", "long_size": 61},
    {"type": "Padding", "target_size": [64, 96]},
    NORMALIZE,
]


@pytest.mark.parametrize("size_hw", [(72, 96), (131, 37), (30, 41)], ids=str)
@pytest.mark.parametrize("labels", ["int32", "int64"])
def test_a_bundle_as_python(either: list[str], tmp_path: Path, labels: str, size_hw: tuple[int, int]) -> None:
    by_short = [{"type": "ResizeByShort", "short_size": 50}, NORMALIZE]
    transforms = by_short if size_hw == (131, 37) else RESIZE_AND_PAD
    bundle = make_bundle(tmp_path / "bundle", transforms, "argmax", lite=lite_file(f"argmax {labels}"))
    image = scene(*size_hw)
    arguments = ["--bundle", bundle, "--input", write_image(tmp_path / "image.png", image)]

    done = call(*either, *arguments, "--output", tmp_path / "l.png", "--dump_input", tmp_path / "x")

    assert done.returncode == 0, done.stderr
    manifest = load_bundle(bundle)
    x, changes = GraphInput(manifest.deploy, manifest.about["input"])(image)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "x", np.float32).reshape(x.shape), x)
    expected = Preprocess.restore(x[0].argmax(0), changes)
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(read_label(tmp_path / "l.png"), expected)


def test_scores_as_python(either: list[str], tmp_path: Path) -> None:
    from paddle_mobileseg.runtime.session import restored_labels

    bundle = make_bundle(tmp_path / "bundle", RESIZE_AND_PAD, "none", lite=lite_file("identity"))
    image = scene(130, 77)
    arguments = ["--bundle", bundle, "--input", write_image(tmp_path / "image.png", image), "--threads", 2]

    done = call(*either, *arguments, "--power_mode", "high", "--output", tmp_path / "l.png")

    assert done.returncode == 0, done.stderr
    manifest = load_bundle(bundle)
    x, changes = GraphInput(manifest.deploy, manifest.about["input"])(image)
    expected = restored_labels(x[0], changes)
    assert (read_label(tmp_path / "l.png") == expected).mean() >= 0.9999


def test_of_equal_scores_the_first_class_is_taken(program: list[str], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", [], "none", lite=lite_file("identity"))
    image = np.full((8, 9, 3), 100, np.uint8)
    image[:, 4:, 1:] = 200  # green and blue are equal, and larger than red

    done = call(
        *program,
        "--bundle",
        bundle,
        "--input",
        write_image(tmp_path / "image.png", image),
        "--output",
        tmp_path / "l.png",
    )

    assert done.returncode == 0, done.stderr
    assert read_label(tmp_path / "l.png").tolist() == [[0] * 4 + [1] * 5] * 8


def test_uint8_input(either: list[str], tmp_path: Path) -> None:
    transforms = [{"type": "Resize", "target_size": [50, 40]}]
    described = {"dtype": "uint8", "layout": "NHWC"}
    bundle = make_bundle(
        tmp_path / "bundle", transforms, "argmax", graph_input=described, lite=lite_file("argmax uint8")
    )
    image = scene(72, 96)
    arguments = ["--bundle", bundle, "--input", write_image(tmp_path / "image.png", image)]

    done = call(*either, *arguments, "--output", tmp_path / "l.png")

    assert done.returncode == 0, done.stderr
    manifest = load_bundle(bundle)
    x, changes = GraphInput(manifest.deploy, manifest.about["input"])(image)
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(read_label(tmp_path / "l.png"), Preprocess.restore(x[0].argmax(2), changes))


@pytest.mark.parametrize("labels", ["int32", "int64"])
def test_pythons_arm_runner(either: list[str], tmp_path: Path, labels: str) -> None:
    """The raw interface, called as ``--arm_runner`` calls it."""
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file(f"argmax {labels}"))
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)

    runner = ArmRunner([model], 1, arm_runner=shlex.join(either))
    output = runner.run(x)

    assert output.dtype == labels
    np.testing.assert_array_equal(output, x.argmax(1))
    assert runner.version == "2.13-rc"


def raw(nb_file: Path, x: np.ndarray, target: Path, **more: Any) -> list[Any]:
    source = target.with_name("input.bin")
    x.tofile(source)
    words: dict[str, Any] = {"model": nb_file, "input": source, "output": target, "dtype": x.dtype.name}
    words = {**words, "shape": ",".join(map(str, x.shape)), **more}
    return [word for name, value in words.items() for word in (f"--{name}", value)]


def test_raw_tensors(program: list[str], tmp_path: Path) -> None:
    model, target = tmp_path / "model.nb", tmp_path / "out" / "output.bin"
    model.write_bytes(lite_file("identity"))
    target.parent.mkdir()
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 6)).astype(np.float32)

    done = call(*program, *raw(model, x, target, warmup=2, repeats=3))

    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    parts = [said.pop(name) for name in ("upload_ms", "compute_ms", "download_ms")]
    for whole, *each in zip(said.pop("times_ms"), *parts, strict=True):
        assert min(each) >= 0
        assert 0 < sum(each) <= whole
    assert len(parts[0]) == 3
    assert said.pop("load_ms") > 0
    assert said.pop("first_ms") > 0
    assert said.pop("peak_rss_bytes") >= said.pop("before_load_bytes") > 100_000
    told = {"model": "model.nb", "input_shape": [1, 3, 4, 6], "threads": 1, "power_mode": "no_bind", "warmup": 2}
    assert said == {"shape": [1, 3, 4, 6], "dtype": "float32", "runtime": "v2.13-rc", **told}
    np.testing.assert_array_equal(np.fromfile(target, np.float32).reshape(x.shape), x)


@pytest.mark.parametrize(("mode", "number"), [("high", 0), ("low", 1), ("full", 2), ("no_bind", 3), ("rand_low", 5)])
def test_settings_reach_paddle_lite(program: list[str], tmp_path: Path, mode: str, number: int) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("settings"))
    x = np.zeros((1, 2), np.uint8)

    done = call(*program, *raw(model, x, tmp_path / "o", threads=4, power_mode=mode))

    assert done.returncode == 0, done.stderr
    assert np.fromfile(tmp_path / "o", np.int32).tolist() == [4, number]


def refused(program: list[str], arguments: list[Any], **options: Any) -> str:
    done = call(*program, *arguments, **options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"shape": "1,3,4"}, "has 288 bytes; expected 48 for float32 [1, 3, 4]"),
        ({"shape": "1,3,,6"}, "a side of --shape is ''"),
        ({"shape": "1,3,-4,6"}, "a side of --shape is '-4'"),
        ({"shape": "2000000000,2000000000,2000000000"}, "fit into memory"),
        ({"dtype": "float64"}, "--dtype is 'float64'; expected float32 or uint8"),
        ({"dtype": "uint8"}, "expected 72 for uint8"),
        ({"power_mode": "fast"}, "--power_mode is 'fast'; expected one of high, low, full, no_bind, rand_high"),
        ({"bundle": "x"}, "--bundle and --model exclude each other"),
        ({"threads": "two"}, "--threads is 'two'"),
        ({"model": "/nowhere.nb"}, "cannot read /nowhere.nb"),
        ({"input": "/nowhere.bin"}, "cannot read /nowhere.bin"),
        ({"output": "/proc/self/out.bin"}, "cannot write /proc/self/out.bin"),
    ],
)
def test_wrong_arguments(program: list[str], tmp_path: Path, more: dict[str, Any], message: str) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("identity"))
    x = np.zeros((1, 3, 4, 6), np.float32)
    assert message in refused(program, raw(model, x, tmp_path / "o", **more))


def test_half_precision_outputs_are_refused(program: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("half"))
    message = refused(program, raw(model, np.zeros((1, 2), np.float32), tmp_path / "o"))
    assert "Paddle Lite's precision 5; expected float32, int32 or int64" in message


def test_files_that_are_not_whole(program: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model.nb"
    content = lite_file("identity")
    arguments = raw(model, np.zeros((1, 2), np.float32), tmp_path / "o")
    for length in range(len(content)):
        model.write_bytes(content[:length])
        assert f"{model}: it is cut off" in refused(program, arguments)
    model.write_bytes(lite_file("identity", form=1))
    assert "no Paddle Lite file of format 2 (it begins with 1)" in refused(program, arguments)


@pytest.mark.parametrize("library", ["v2.13-rc", "2.13-rc0", "2.13-rc"])
def test_one_release_has_several_spellings(program: list[str], tmp_path: Path, library: str) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("identity"))
    arguments = raw(model, np.zeros((1, 2), np.float32), tmp_path / "o")
    done = call(*program, *arguments, env={"FAKE_LITE_VERSION": library})
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["runtime"] == library


def test_another_release_is_refused(program: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("identity", version="v2.12"))
    arguments = raw(model, np.zeros((1, 2), np.float32), tmp_path / "o")
    message = refused(program, arguments)
    assert f"{model} was converted by Paddle Lite v2.12, but the library is v2.13-rc; build with the release v2.12" in (
        message
    )
    assert not (tmp_path / "o").exists()


def test_a_library_of_a_branch_runs_with_a_warning(program: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("identity"))
    arguments = raw(model, np.zeros((1, 2), np.float32), tmp_path / "o")
    done = call(*program, *arguments, env={"FAKE_LITE_VERSION": 'develop("1a2b3c4")'})
    assert done.returncode == 0
    assert "warning" in done.stderr
    assert json.loads(done.stdout)["runtime"] == 'develop("1a2b3c4")'


def test_a_death_inside_paddle_lite_is_told_by_pythons_runner(program: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model.nb"
    model.write_bytes(lite_file("abort"))
    with pytest.raises(ChildProcessError, match="SIGABRT"):
        ArmRunner([model], 1, arm_runner=shlex.join(program)).run(np.zeros((1, 3, 2, 2), np.float32))


def test_a_bundle_without_a_file_for_arm(program: list[str], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", [], "argmax")
    image = write_image(tmp_path / "image.png", scene(20, 30))
    arguments = ["--bundle", bundle, "--input", image, "--output", tmp_path / "l.png"]
    message = refused(program, arguments)
    assert "holds no file for the backend 'lite-arm' (it has files for: onnxruntime)" in message
    assert "--warmup needs --model" in refused(program, [*arguments, "--warmup", 1])


def test_a_changed_file_is_refused(program: list[str], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", [], "argmax", lite=lite_file("argmax int32"))
    (bundle / "model_arm.nb").write_bytes(lite_file("argmax int64"))
    image = write_image(tmp_path / "image.png", scene(20, 30))
    message = refused(program, ["--bundle", bundle, "--input", image, "--output", tmp_path / "l.png"])
    assert "was changed: its sha256 is" in message


def test_the_message_without_paddle_lite(tmp_path: Path) -> None:
    need()
    done = call("cmake", "-S", REPOSITORY / "deploy" / "lite" / "cpp", "-B", tmp_path, "-DPADDLE_LITE_DIR=/nowhere")
    assert done.returncode != 0
    assert "PADDLE_LITE_DIR is '/nowhere'; expected the folder cxx" in " ".join(done.stderr.split())
