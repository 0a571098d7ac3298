"""``deploy/cpp``: built, and compared with Python's Session."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data.reading import read_image, read_label
from paddle_mobileseg.runtime import Session
from paddle_mobileseg.runtime.bundle import MANIFEST_JSON, load_bundle
from paddle_mobileseg.runtime.graph_input import GraphInput
from tests.deploy.cpp_build import NORMALIZE, PALETTE, call, make_bundle, scene, write_image, x86_programs


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return x86_programs(tmp_path_factory) / "onnxruntime" / "mobileseg_run"


def python_input(bundle: Path, image: np.ndarray) -> np.ndarray:
    manifest = load_bundle(bundle)
    return GraphInput(manifest.deploy, manifest.about["input"])(image)[0]


def assert_as_python(program: Path, bundle: Path, image: np.ndarray, folder: Path) -> None:
    """The same tensor goes into the network, bit for bit, and the same labels come out."""
    path = write_image(folder / "image.png", image)
    done = call(
        program, "--bundle", bundle, "--input", path, "--output", folder / "l.png", "--dump_input", folder / "x"
    )
    assert done.returncode == 0, done.stderr
    expected = python_input(bundle, image)
    got = np.fromfile(folder / "x", expected.dtype)
    assert got.size == expected.size
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    labels, wanted = read_label(folder / "l.png"), Session(bundle).run(image)
    assert labels.shape == wanted.shape == image.shape[:2]
    assert len(np.unique(wanted)) >= 2
    assert (labels == wanted).mean() >= 0.9999


TRANSFORMS = {
    "none": [],
    "normalize": [NORMALIZE],
    "normalize by one number": [{"type": "Normalize", "mean": [0.5], "std": 0.25}],
    "resize": [{"type": "Resize", "target_size": [64, 48]}, NORMALIZE],
    "keep_ratio": [{"type": "Resize", "target_size": [100, 64], "keep_ratio": True}, NORMALIZE],
    "size_divisor": [
        {"type": "Resize", "target_size": [90, 70], "keep_ratio": True, "size_divisor": 32, "interp": "LINEAR"},
        NORMALIZE,
    ],
    "by_long": [{"type": "ResizeByLong", "long_size": 77}, NORMALIZE],
    "by_short": [{"type": "ResizeByShort", "short_size": 51}, NORMALIZE],
    "by_short with max_size": [{"type": "ResizeByShort", "short_size": 64, "max_size": 80}, NORMALIZE],
    "limit_long down": [{"type": "LimitLong", "max_long": 60}, NORMALIZE],
    "limit_long up": [{"type": "LimitLong", "max_long": None, "min_long": 200}, NORMALIZE],
    "padding": [
        {"type": "ResizeByLong", "long_size": 64},
        {"type": "Padding", "target_size": [80, 96], "im_padding_value": 127.5},
        NORMALIZE,
    ],
    "padding of floats": [
        {"type": "ResizeByLong", "long_size": 64},
        NORMALIZE,
        {"type": "Padding", "target_size": [64, 64], "im_padding_value": [0.25, -1, 2]},
    ],
}


@pytest.mark.parametrize("size_hw", [(72, 96), (37, 131), (1, 40)], ids=str)
@pytest.mark.parametrize("transforms", TRANSFORMS)
def test_transforms_as_python(program: Path, tmp_path: Path, transforms: str, size_hw: tuple[int, int]) -> None:
    if size_hw == (1, 40) and "keep_ratio" in transforms:
        size_hw = (2, 40)
    bundle = make_bundle(tmp_path / "bundle", TRANSFORMS[transforms])
    assert_as_python(program, bundle, scene(*size_hw), tmp_path)


@pytest.mark.parametrize(
    ("from_hw", "to_hw"),
    [
        ((64, 96), (32, 48)),  # halved: a plain mean
        ((64, 96), (32, 96)),  # one side halved: not
        ((65, 97), (32, 48)),
        ((31, 47), (200, 301)),
        ((300, 203), (7, 5)),
        ((3, 2), (64, 64)),
        ((480, 640), (512, 512)),
        ((719, 1279), (512, 1024)),
    ],
    ids=str,
)
def test_resizing_is_that_of_opencv(
    program: Path, tmp_path: Path, from_hw: tuple[int, int], to_hw: tuple[int, int]
) -> None:
    bundle = make_bundle(tmp_path / "bundle", [{"type": "Resize", "target_size": [to_hw[1], to_hw[0]]}, NORMALIZE])
    image = np.random.default_rng(3).integers(0, 256, (*from_hw, 3)).astype(np.uint8)
    assert_as_python(program, bundle, image, tmp_path)


@pytest.mark.parametrize(("long_side", "short_side"), [(90, 45), (70, 35)])
def test_half_pixels_are_rounded_to_even_numbers(
    program: Path, tmp_path: Path, long_side: int, short_side: int
) -> None:
    """45 / 2 = 22.5 becomes 22, and 35 / 2 = 17.5 becomes 18, as Python rounds."""
    bundle = make_bundle(tmp_path / "bundle", [{"type": "ResizeByLong", "long_size": long_side // 2}, NORMALIZE])
    assert_as_python(program, bundle, scene(short_side, long_side), tmp_path)


RESIZE_AND_PAD = [
    {"type": "ResizeByLong", "long_size": 96},
    {"type": "Padding", "target_size": [96, 128]},
    NORMALIZE,
]


@pytest.mark.parametrize(
    ("output_op", "labels"), [("none", ""), ("softmax", ""), ("argmax", "int32"), ("argmax", "int64"), ("vim", "int32")]
)
def test_outputs_as_python(program: Path, tmp_path: Path, output_op: str, labels: str) -> None:
    bundle = make_bundle(tmp_path / "bundle", RESIZE_AND_PAD, output_op, labels=labels)
    assert_as_python(program, bundle, scene(150, 75), tmp_path)


def test_a_fixed_batch_is_filled(program: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", RESIZE_AND_PAD, "argmax", [2, 3, 128, 96])
    assert_as_python(program, bundle, scene(150, 75), tmp_path)


@pytest.mark.parametrize("resize_hw", [None, [40, 60]])
def test_uint8_input(program: Path, tmp_path: Path, resize_hw: Any) -> None:
    described = {"dtype": "uint8", "layout": "NHWC", "resize_hw": resize_hw}
    transforms = [] if resize_hw else [{"type": "Resize", "target_size": [64, 48]}]
    bundle = make_bundle(tmp_path / "bundle", transforms, "argmax", graph_input=described)
    assert_as_python(program, bundle, scene(72, 50), tmp_path)


def test_the_file_is_a_palette_png_with_the_bundles_colours(program: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", [NORMALIZE], "argmax")
    image = write_image(tmp_path / "image.png", scene(30, 45))
    target = tmp_path / "new" / "folder" / "labels.png"

    done = call(program, "--bundle", bundle, "--input", image, "--output", target, "--repeats", 3, "--threads", 2)

    assert done.returncode == 0, done.stderr
    assert "labels of 45 x 30 pixels" in done.stdout
    assert "of 3 runs, 2 threads" in done.stdout
    with Image.open(target) as png:
        assert png.mode == "P"
        assert png.getpalette()[:15] == [*np.ravel(PALETTE), 0, 0, 0]
    assert [path.name for path in target.parent.iterdir()] == ["labels.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(program: Path, tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "image.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene(20, 33)).save(path, exif=exif)
    bundle = make_bundle(tmp_path / "bundle", [])

    done = call(
        program, "--bundle", bundle, "--input", path, "--output", tmp_path / "l.png", "--dump_input", tmp_path / "x"
    )

    assert done.returncode == 0, done.stderr
    expected = read_image(path).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "x", np.float32).reshape(expected.shape), expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16", "1"])
def test_other_kinds_of_png(program: Path, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.png"
    picture = Image.fromarray(scene(20, 33))
    if mode == "I;16":
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (20, 33)).astype(np.uint16))
    elif mode == "RGBA":
        picture.putalpha(Image.fromarray(scene(20, 33, seed=1)[:, :, 0]))
    else:
        picture = picture.convert(mode)
    picture.save(path)
    bundle = make_bundle(tmp_path / "bundle", [])

    done = call(
        program, "--bundle", bundle, "--input", path, "--output", tmp_path / "l.png", "--dump_input", tmp_path / "x"
    )

    assert done.returncode == 0, done.stderr
    expected = read_image(path).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "x", np.float32).reshape(expected.shape), expected)


@pytest.mark.parametrize("orientation", [1, 6])
def test_jpeg(program: Path, tmp_path: Path, orientation: int) -> None:
    """Decoders round differently, so that a JPEG's pixels differ by a few levels and nothing else."""
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene(48, 80)).save(path, quality=95, subsampling=0, exif=exif)
    bundle = make_bundle(tmp_path / "bundle", [])

    done = call(
        program, "--bundle", bundle, "--input", path, "--output", tmp_path / "l.png", "--dump_input", tmp_path / "x"
    )

    assert done.returncode == 0, done.stderr
    expected = read_image(path).transpose(2, 0, 1).astype(np.float32)
    difference = np.abs(np.fromfile(tmp_path / "x", np.float32).reshape(expected.shape) - expected)
    assert difference.max() <= 4
    assert difference.mean() <= 0.5


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Path]:
    """Arguments that work, for tests that break one of them."""
    return {
        "--bundle": make_bundle(tmp_path / "bundle", [NORMALIZE], "argmax"),
        "--input": write_image(tmp_path / "image.png", scene(30, 45)),
        "--output": tmp_path / "labels.png",
    }


def refused(program: Path, arguments: dict[str, Any]) -> str:
    """The message; nothing was written."""
    output = Path(arguments.get("--output", "/"))
    done = call(program, *[word for pair in arguments.items() for word in pair])
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert not output.is_file()
    return done.stderr


def test_missing_things_are_named(program: Path, good: dict[str, Path]) -> None:
    assert "is no bundle" in refused(program, good | {"--bundle": Path("/nowhere")})
    assert "cannot read /nowhere.png" in refused(program, good | {"--input": Path("/nowhere.png")})
    assert "--output is missing" in refused(program, {k: v for k, v in good.items() if k != "--output"})
    assert "unknown argument '--outputs'" in refused(program, good | {"--outputs": 1})
    assert "--threads is '0'; expected a whole number of at least 1" in refused(program, good | {"--threads": 0})
    assert "--repeats is '2x'" in refused(program, good | {"--repeats": "2x"})


def test_a_changed_file_is_refused(program: Path, good: dict[str, Path]) -> None:
    graph = good["--bundle"] / "model.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "was changed: its sha256 is" in refused(program, good)
    graph.write_bytes(content[:-1])
    assert f"has {len(content) - 1} bytes" in refused(program, good)
    graph.unlink()
    assert "is missing; copy the whole bundle again" in refused(program, good)


def edit_manifest(bundle: Path, section: str, key: str, value: Any) -> None:
    """In place; ``...`` removes the key."""
    path = bundle / MANIFEST_JSON
    content = json.loads(path.read_text())
    if value is ...:
        del content[section][key]
    else:
        content[section][key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "Bundle",
            "backends",
            {"paddle": ["model.onnx"]},
            "no file for the backend 'onnxruntime' (it has files for: paddle",
        ),
        ("Bundle", "backends", {"onnxruntime": ["other.onnx"]}, "Bundle.files lacks"),
        ("Bundle", "backends", {"onnxruntime": [7]}, "expected a text"),
        ("Bundle", "format", 2, "Bundle.format is 2; expected 1"),
        ("Bundle", "files", {"../model.onnx": {}}, "expected names of files in the bundle's own folder"),
        ("Bundle", "files", {"model.onnx": {"sha256": "", "bytes": "many"}}, "is damaged"),
        ("Bundle", "palette", [[0, 0, 256]], "each 0 to 255"),
        ("Bundle", "input", {"dtype": "float16"}, "expected float32 or uint8"),
        ("Bundle", "input", {"channel_order": "BGR"}, "expected RGB"),
        ("Bundle", "input", {"dtype": "uint8"}, "but the manifest's transforms normalise"),
        ("Deploy", "input_shape", [1, 3, 0, 4], "expected a whole number from 1 to 16777216"),
        (
            "Deploy",
            "input_shape",
            [1, 3, 32, 64],
            "= [1, 3, 32, 64], but the manifest's transforms make [1, 3, 30, 45]",
        ),
        ("Deploy", "output_op", "logits", "expected none, softmax, argmax or vim"),
        ("Deploy", "transforms", ..., "Deploy has no transforms"),
        ("Deploy", "transforms", {}, "expected a list"),
        ("Deploy", "transforms", [{"type": "RandomResize"}], "transform 'RandomResize' cannot be part of deployment"),
        ("Deploy", "transforms", [{"type": "Resize", "interp": "CUBIC"}], 'interp is "CUBIC"; expected LINEAR'),
        ("Deploy", "transforms", [{"type": "Resize", "target_size": [5, 0]}], "target_size is 0; expected a whole"),
        ("Deploy", "transforms", [{"type": "ResizeByShort", "short_size": 16777216}], "make the image too large"),
        ("Deploy", "transforms", [{"type": "Resize", "size": [5, 5]}], "does not know the argument 'size'"),
        ("Deploy", "transforms", [{"type": "ResizeByShort", "short_size": [5, 6]}], "short_size is [5,6]"),
        ("Deploy", "transforms", [{"type": "Normalize", "std": [0]}], "std is [0]; expected positive numbers"),
        ("Deploy", "transforms", [{"type": "Padding", "target_size": [45, 29]}], "larger than target_size 45 x 29"),
    ],
)
def test_what_the_manifest_says_is_checked(
    program: Path, good: dict[str, Path], section: str, key: str, value: Any, message: str
) -> None:
    edit_manifest(good["--bundle"], section, key, value)
    assert message in refused(program, good)


def test_a_manifest_that_is_no_json(program: Path, good: dict[str, Path]) -> None:
    (good["--bundle"] / MANIFEST_JSON).write_text('{"Deploy": ')
    assert "deploy.json is damaged" in refused(program, good)
    (good["--bundle"] / MANIFEST_JSON).write_text("[]")
    assert "the manifest has no Deploy" in refused(program, good)


def test_a_graph_that_cannot_be_loaded(program: Path, good: dict[str, Path]) -> None:
    from paddle_mobileseg.runtime.bundle import describe_files

    (good["--bundle"] / "model.onnx").write_bytes(b"no graph")
    edit_manifest(good["--bundle"], "Bundle", "files", describe_files(good["--bundle"], ["model.onnx"]))
    message = refused(program, good)
    assert "ONNX Runtime 1." in message
    assert "cannot load" in message


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_corrupt_images(program: Path, good: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    Image.fromarray(scene(64, 80)).save(path)
    content = path.read_bytes()
    for length in (0, 3, 20, len(content) // 2, len(content) - 4):
        path.write_bytes(content[:length])
        assert str(path) in refused(program, good | {"--input": path})
    path.write_bytes(b"GIF89a" + content)
    assert "not a JPEG or PNG file" in refused(program, good | {"--input": path})


def test_a_png_with_one_wrong_byte(program: Path, good: dict[str, Path]) -> None:
    content = bytearray(good["--input"].read_bytes())
    content[len(content) // 2] ^= 16
    good["--input"].write_bytes(content)
    assert "the checksum of a chunk is wrong" in refused(program, good)


def test_outputs_that_cannot_be_written(program: Path, good: dict[str, Path], tmp_path: Path) -> None:
    assert "is a folder" in refused(program, good | {"--output": tmp_path})
    assert "cannot write" in refused(program, good | {"--output": good["--input"] / "labels.png"})
    if os.path.exists("/proc/self"):  # nobody can make files there, not even root
        assert "cannot write" in refused(program, good | {"--output": Path("/proc/self/labels.png")})


def test_an_output_in_the_working_folder(program: Path, good: dict[str, Path], tmp_path: Path) -> None:
    words = [word for pair in (good | {"--output": Path("here.png")}).items() for word in pair]
    done = call(program, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_label(tmp_path / "here.png").shape == (30, 45)


def test_what_was_there_stays_after_a_failure(program: Path, good: dict[str, Path]) -> None:
    good["--output"].write_bytes(b"before")
    (good["--bundle"] / "model.onnx").unlink()
    done = call(program, *[word for pair in good.items() for word in pair])
    assert done.returncode == 1
    assert good["--output"].read_bytes() == b"before"


def test_more_classes_than_a_png_holds(program: Path, tmp_path: Path) -> None:
    import onnx

    from paddle_mobileseg.runtime.bundle import describe_files

    bundle = make_bundle(tmp_path / "bundle", [], "argmax")
    model = onnx.load(bundle / "model.onnx")
    node = onnx.helper.make_node("Mul", ["best", "thousand"], ["more"])
    model.graph.node.insert(2, node)
    model.graph.node[3].input[0] = "more"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1000, np.int64), "thousand"))
    onnx.save(model, bundle / "model.onnx")
    edit_manifest(bundle, "Bundle", "files", describe_files(bundle, ["model.onnx"]))
    image = write_image(tmp_path / "image.png", scene(30, 45))
    message = refused(program, {"--bundle": bundle, "--input": image, "--output": tmp_path / "l.png"})
    assert "holds classes 0 to 255, but the labels go from 0 to 3000" in message
