from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.files import sha256
from paddle_mobileseg.runtime import Session, available_backends, load_bundle
from paddle_mobileseg.runtime import session as session_module
from paddle_mobileseg.runtime.bundle import describe_files, write_manifest


def blocks(height: int = 12, width: int = 18) -> tuple[np.ndarray, np.ndarray]:
    """An image of three pure colours in rectangles with odd borders, and its labels."""
    labels = np.zeros((height, width), np.int32)
    labels[5:, :7] = 1
    labels[:4, 10:] = 2
    return (np.eye(3, dtype=np.uint8)[labels] * 200).astype(np.uint8), labels


@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
@pytest.mark.parametrize("transforms", [(), ({"type": "Normalize"},), ({"type": "Padding", "target_size": [32, 24]},)])
def test_labels_at_the_images_own_size(make_bundle: Any, output_op: str, transforms: Any) -> None:
    image, labels = blocks()
    found = Session(make_bundle(output_op, transforms=transforms)).run(image)
    assert found.dtype == np.int32
    assert found.flags.c_contiguous
    assert np.array_equal(found, labels)


def test_resized_images_come_back(make_bundle: Any) -> None:
    image, labels = blocks()
    resize = {"type": "Resize", "target_size": [36, 24], "interp": "NEAREST"}
    session = Session(make_bundle(input_shape=[1, 3, 24, 36], transforms=[resize]))
    assert np.array_equal(session.run(image), labels)
    image, labels = blocks(24, 18)
    assert np.array_equal(session.run(image), labels)


def bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[C, h, w]`` to ``[C, height, width]`` by the definition: centres of pixels at i + 0.5, edges repeated."""
    for axis, size in ((1, height), (2, width)):
        old = values.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(place).astype(int)
        shape = [1, 1, 1]
        shape[axis] = size
        weight = (place - low).reshape(shape)
        values = values.take(low, axis) * (1 - weight) + values.take(np.minimum(low + 1, old - 1), axis) * weight
    return values


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("size", [(31, 40), (12, 9), (6, 24)])
def test_values_are_resized_before_the_arg_max(size: tuple[int, int], probabilities: bool) -> None:
    logits = (4 * np.random.default_rng(0).normal(size=(5, 13, 18))).astype(np.float32)
    given = np.exp(logits) / np.exp(logits).sum(0) if probabilities else logits
    trans_info = [("resize", size), ("padding", (12, 17))]
    expected = bilinear(logits[:, :12, :17], *size)
    second, first = np.sort(expected, axis=0)[-2:]
    clear = first - second > 1e-3
    assert clear.mean() > 0.99

    found = session_module.restored_labels(given, trans_info, probabilities)
    assert found.dtype == np.int32
    assert found.shape == size
    assert np.array_equal(found[clear], expected.argmax(0)[clear])
    nearest = Preprocess.restore(logits.argmax(0), trans_info)
    assert (nearest[clear] != expected.argmax(0)[clear]).any()


def test_each_class_is_resized_as_evaluation_does() -> None:
    paddle = pytest.importorskip("paddle", reason="the reference is Paddle's interpolation")
    values = np.random.default_rng(0).normal(size=(1, 1, 21, 32)).astype(np.float32)
    for size in [(40, 61), (21, 90), (16, 24), (7, 11)]:
        expected = paddle.nn.functional.interpolate(paddle.to_tensor(values), size, mode="bilinear").numpy()[0, 0]
        found = session_module._restored(values[0, 0], [("resize", size)])
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_first_of_equal_classes_wins() -> None:
    scores = np.zeros((3, 2, 2), np.float32)
    scores[1:, 0, 0] = 1
    assert session_module.restored_labels(scores, []).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("output_op", ["none", "softmax"])
def test_run_resizes_the_values_of_a_graph(make_bundle: Any, output_op: str) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0], image[:, 4:, 2] = 100, 255  # halved and doubled again, the border is a slope
    image[:, 3, 2] = 255
    resize = {"type": "Resize", "target_size": [4, 8]}
    session = Session(make_bundle(output_op, [1, 3, 8, 4], [resize]))
    x, trans_info = Preprocess.from_transforms([resize])(image)
    values = np.log(np.maximum(x, np.finfo(np.float32).tiny)) if output_op == "softmax" else x
    expected = bilinear(values, 8, 8).argmax(0)
    assert np.array_equal(session.run(image), expected)
    assert not np.array_equal(Preprocess.restore(x.argmax(0), trans_info), expected)


def test_fixed_batch(make_bundle: Any) -> None:
    image, labels = blocks()
    session = Session(make_bundle(input_shape=[4, 3, 12, 18]))
    assert np.array_equal(session.run(image), labels)
    assert session.run_tensor(np.zeros((4, 3, 12, 18), np.float32)).shape == (4, 12, 18)


def test_run_tensor_gives_the_raw_output(make_bundle: Any) -> None:
    session = Session(make_bundle("none"))
    x = np.random.default_rng(0).random((2, 3, 5, 7), np.float32)
    first = session.run_tensor(x)
    assert np.array_equal(first, x)
    session.run_tensor(np.zeros_like(x))
    assert np.array_equal(first, x)  # a later run leaves it alone
    assert np.array_equal(session.run_tensor(x[:, :, :, ::-1]), x[:, :, :, ::-1])  # memory in another order


def test_golden_tensors(make_bundle: Any) -> None:
    session = Session(make_bundle(), threads=2)
    assert (session.backend, session.threads) == ("onnxruntime", 2)
    for x, labels in session.bundle.golden():
        assert np.array_equal(session.run_tensor(x), labels)


@pytest.mark.parametrize(
    ("x", "got"),
    [
        ([[1.0]], "list"),
        (np.zeros((1, 3, 12, 18)), r"float64 \[1, 3, 12, 18\]"),
        (np.zeros((3, 12, 18), np.float32), r"float32 \[3, 12, 18\]"),
        (np.zeros((1, 4, 12, 18), np.float32), r"float32 \[1, 4, 12, 18\]"),
        (np.zeros((1, 3, 12, 19), np.float32), r"float32 \[1, 3, 12, 19\]"),
        (np.zeros((0, 3, 12, 18), np.float32), r"float32 \[0, 3, 12, 18\]"),
    ],
)
def test_wrong_tensor(make_bundle: Any, x: Any, got: str) -> None:
    session = Session(make_bundle(input_shape=[-1, 3, 12, 18]))
    with pytest.raises(
        ValueError, match=rf"expected a float32 array \[N, C, H, W\] = \[any, 3, 12, 18\], but got {got}"
    ):
        session.run_tensor(x)


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32), "a.png"])
def test_wrong_image(make_bundle: Any, image: Any) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[height, width, 3\] in RGB order, but got"):
        Session(make_bundle()).run(image)


@pytest.mark.parametrize("threads", [0, -1, 257, 1.0, True, "2"])
def test_wrong_threads(make_bundle: Any, threads: Any) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 1 to 256"):
        Session(make_bundle(), threads=threads)


def test_options_are_those_of_the_backend(make_bundle: Any) -> None:
    bundle = make_bundle()
    with pytest.raises(ValueError, match="backend 'onnxruntime' has no option 'precision'; it has none"):
        Session(bundle, precision="fp16")
    with pytest.raises(ValueError, match=r"'tensorrt' has no option 'precison'.*did you mean 'precision'"):
        Session(bundle, "tensorrt", precison="fp16")


def test_a_session_can_be_closed(make_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    with Session(make_bundle()) as session:
        monkeypatch.setattr(type(session.runner), "close", lambda self: closed.append(1), raising=False)
        assert closed == []
    assert closed == [1]


def test_unknown_backend(make_bundle: Any) -> None:
    with pytest.raises(ValueError, match="unknown backend 'tensorflow'; expected one of onnxruntime, paddle"):
        Session(make_bundle(), "tensorflow")


def test_backend_without_files(make_bundle: Any) -> None:
    with pytest.raises(ValueError, match=r"no files for the backend 'paddle' \(it has files for: onnxruntime\)"):
        Session(make_bundle(), "paddle")


def test_backend_that_is_not_installed(make_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILESEG_CACHE", "/nonexistent")
    monkeypatch.delenv("MOBILESEG_LITE_PYTHON", raising=False)
    monkeypatch.delenv("MOBILESEG_ARM_RUNNER", raising=False)
    assert available_backends() == ["onnxruntime", "paddle", "paddle-legacy"]
    monkeypatch.setattr(session_module.importlib.util, "find_spec", lambda name: None)
    assert available_backends() == []
    with pytest.raises(
        ImportError, match="backend 'onnxruntime' needs the package 'onnxruntime', which is not installed"
    ):
        Session(make_bundle())


def test_changed_file_is_not_run(make_bundle: Any) -> None:
    folder = make_bundle()
    (folder / "model.onnx").write_bytes(b"\x00" * (folder / "model.onnx").stat().st_size)
    with pytest.raises(ValueError, match=r"model\.onnx was changed"):
        Session(folder)


def test_file_that_the_backend_cannot_load(make_bundle: Any) -> None:
    folder = make_bundle()
    (folder / "model.onnx").write_bytes(b"no graph at all")
    bundle = load_bundle(folder)
    about = {**bundle.about, "files": describe_files(folder, bundle.about["files"])}
    assert about["files"]["model.onnx"]["sha256"] == sha256(folder / "model.onnx")
    write_manifest(folder, bundle.deploy, about)
    with pytest.raises(ValueError, match=r"ONNX Runtime [\d.]+ cannot load .*model\.onnx"):
        Session(folder)


def test_onnxruntime_needs_no_paddle(make_bundle: Any) -> None:
    code = """
import sys
for name in ("paddle", "paddleseg"):
    sys.modules[name] = None  # importing it raises
import numpy as np
from paddle_mobileseg.runtime import Session
print(Session(sys.argv[1]).run(np.full((4, 5, 3), [1, 2, 3], np.uint8)).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code, str(make_bundle())], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == str([[2] * 5] * 4)
