"""The TensorRT backend against a stand-in for NVIDIA's packages: what is tested is our side. No GPU was used."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.runtime import Session, available_backends
from paddle_mobileseg.runtime.tensorrt_backend import TensorRtBackend, missing

FAKE = Path(__file__).parent / "fake_nvidia"
NAMES = ("tensorrt", "cuda", "cuda.bindings", "cuda.bindings.runtime")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """The modules ``tensorrt`` and ``cuda.bindings.runtime``, fresh; gone afterwards, whatever a test did to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKE))
        patch.setenv("MOBILESEG_CACHE", str(tmp_path / "cache"))
        for name in NAMES:
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module("tensorrt"), importlib.import_module("cuda.bindings.runtime")
        for name in NAMES:
            sys.modules.pop(name, None)


def image() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((4, 6), np.int32)
    labels[1:, :3], labels[:2, 4:] = 1, 2
    return (np.eye(3, dtype=np.uint8)[labels] * 200).astype(np.uint8), labels


def described(bundle: Path, **options: Any) -> dict[str, Any]:
    return TensorRtBackend([bundle / "model.onnx"], **options)._engine.described


def test_labels(make_bundle: Any, fake: Any) -> None:
    picture, labels = image()
    session = Session(make_bundle(input_shape=[1, 3, 4, 6]), "tensorrt")
    for _ in range(2):
        assert np.array_equal(session.run(picture), labels)


def test_each_part_waits_for_the_gpu(make_bundle: Any, fake: Any) -> None:
    backend = TensorRtBackend([make_bundle() / "model.onnx"], opt_shape=[1, 3, 4, 6])
    x = np.random.default_rng(0).random((1, 3, 4, 6), np.float32)
    calls = fake[1].calls
    expected = backend.run(x)
    for part, done in (
        (lambda: backend.upload(x), ["copy", "wait"]),
        (backend.compute, ["record", "record", "synchronize"]),
    ):
        calls.clear()
        part()
        assert calls == done
    calls.clear()
    assert np.array_equal(backend.download(), expected)
    assert calls == ["copy", "wait"]
    assert backend.version == fake[0].__version__


def test_outputs_are_left_alone_by_later_runs_of_other_sizes(make_bundle: Any, fake: Any) -> None:
    session = Session(make_bundle(), "tensorrt", min_shape=[1, 3, 1, 1], max_shape=[2, 3, 64, 64])
    rng = np.random.default_rng(0)
    inputs = [rng.random((n, 3, h, w), np.float32) for n, h, w in [(1, 5, 7), (2, 64, 64), (1, 3, 2)]]
    outputs = [session.run_tensor(x) for x in inputs]
    for x, output in zip(inputs, outputs, strict=True):
        assert output.dtype == np.int32
        assert np.array_equal(output, x.argmax(axis=1))


def test_a_shape_that_is_known_after_the_run_only(make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake[0].IExecutionContext, "unknown", True)
    x = np.random.default_rng(0).random((1, 3, 9, 5), np.float32)
    session = Session(make_bundle(), "tensorrt", opt_shape=[1, 3, 9, 5])
    assert np.array_equal(session.run_tensor(x), x.argmax(axis=1))


def test_the_clock_is_read_when_the_gpu_is_done(make_bundle: Any, fake: Any) -> None:
    backend = TensorRtBackend([make_bundle() / "model.onnx"], opt_shape=[1, 3, 4, 6])
    assert backend.last_gpu_ms is None
    fake[1].calls.clear()
    backend.run(np.zeros((1, 3, 4, 6), np.float32))
    assert fake[1].calls == ["copy", "wait", "record", "record", "synchronize", "copy", "wait"]
    assert backend.last_gpu_ms is not None
    assert backend.last_gpu_ms >= 0


def test_memory_is_given_back(make_bundle: Any, fake: Any) -> None:
    backend = TensorRtBackend([make_bundle() / "model.onnx"], max_shape=[1, 3, 64, 64], min_shape=[1, 3, 4, 4])
    for size in (4, 64, 16):
        backend.run(np.zeros((1, 3, size, size), np.float32))
        gc.collect()
        assert len(fake[1].blocks) == 2  # those of smaller inputs are gone
    del backend
    gc.collect()
    assert fake[1].blocks == {}


def test_what_the_builder_is_told(make_bundle: Any, fake: Any) -> None:
    shapes = {"min_shape": [1, 3, 2, 2], "opt_shape": [1, 3, 4, 4], "max_shape": [2, 3, 8, 8]}
    engine = described(make_bundle(), workspace_gib=0.5, **shapes)
    assert engine["shapes"] == {"x": list(shapes.values())}
    assert engine["workspace"] == 2**29
    assert engine["flags"] == 0  # TF32, which keeps ten bits of a float32, is off
    assert engine["network_flags"] == 1 << 0  # strongly typed


def test_tensorrt_10_still_has_a_flag_for_the_batch(
    make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import enum

    flags = enum.IntEnum("NetworkDefinitionCreationFlag", {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1})
    monkeypatch.setattr(fake[0], "NetworkDefinitionCreationFlag", flags)
    assert described(make_bundle(), opt_shape=[1, 3, 4, 4])["network_flags"] == 0b11


def test_an_engine_is_built_once(make_bundle: Any, fake: Any) -> None:
    files = [make_bundle() / "model.onnx"]
    first = TensorRtBackend(files, opt_shape=[1, 3, 4, 6])
    second = TensorRtBackend(files, opt_shape=[1, 3, 4, 6])
    assert (first.from_cache, second.from_cache, fake[0].built) == (False, True, 1)
    assert second.profile == first.profile
    x = np.random.default_rng(0).random((1, 3, 4, 6), np.float32)
    assert np.array_equal(second.run(x), x.argmax(axis=1))


def test_another_gpu_version_model_shape_or_precision_is_another_engine(
    make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt, cuda = fake
    path = make_bundle() / "model.onnx"
    options: dict[str, Any] = {"opt_shape": [1, 3, 4, 6]}

    def builds(**changed: Any) -> bool:
        return not TensorRtBackend([path], **{**options, **changed}).from_cache

    assert builds()
    assert not builds()
    assert builds(opt_shape=[1, 3, 8, 6])
    assert builds(precision="fp16")
    assert builds(workspace_gib=2)
    assert builds(cache_dir=tmp_path / "other")
    gpu = cuda.cudaGetDeviceProperties
    for name, value in (("name", b"Other GPU"), ("minor", 9)):
        _, properties = gpu(0)
        setattr(properties, name, value)
        monkeypatch.setattr(cuda, "cudaGetDeviceProperties", lambda _, p=properties: (cuda.OK, p))
        assert builds()
    monkeypatch.setattr(cuda, "cudaGetDeviceProperties", gpu)
    assert not builds()
    monkeypatch.setattr(trt, "__version__", "11.5.0")
    assert builds()
    path.write_bytes(path.read_bytes() + b"\x32\x00")  # an empty doc string: the same graph, another file
    assert builds()


@pytest.mark.parametrize("stale", [False, True])
def test_a_damaged_or_stale_engine_is_built_again(make_bundle: Any, fake: Any, tmp_path: Path, stale: bool) -> None:
    files = [make_bundle() / "model.onnx"]
    TensorRtBackend(files, opt_shape=[1, 3, 4, 6], cache_dir=tmp_path / "engines")
    (path,) = (tmp_path / "engines").glob("*.engine")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    if stale:  # whole, but TensorRT itself refuses it
        import hashlib
        import json

        key = json.loads(whole.partition(b"\n")[0])["key"]
        header = {"key": key, "sha256": hashlib.sha256(b"old").hexdigest()}
        path.write_bytes(json.dumps(header).encode() + b"\nold")
    again = TensorRtBackend(files, opt_shape=[1, 3, 4, 6], cache_dir=tmp_path / "engines")
    assert not again.from_cache
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "min_shape="),
        ({"precision": "bf16"}, "expected one of fp32, fp16, int8"),
        ({"workspace_gib": 0}, "workspace_gib is 0"),
        ({"workspace_gib": "1"}, "workspace_gib is '1'"),
        ({"device_id": -1}, "device_id is -1"),
        ({"opt_shape": [1, 1, 4, 4]}, r"the graph takes \[any, 3, any, any\]"),
    ],
)
def test_wrong_options(make_bundle: Any, fake: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Session(make_bundle(), "tensorrt", **options)
    assert fake[0].built == 0


def test_inputs_beyond_the_profile(make_bundle: Any, fake: Any) -> None:
    session = Session(make_bundle(), "tensorrt", min_shape=[1, 3, 4, 4], max_shape=[1, 3, 8, 8])
    with pytest.raises(ValueError, match=r"takes \[1, 3, 4, 4\] to \[1, 3, 8, 8\]"):
        session.run_tensor(np.zeros((1, 3, 9, 8), np.float32))
    with pytest.raises(ValueError, match="float64"):
        session.runner.run(np.zeros((1, 3, 8, 8)))


def test_a_file_that_tensorrt_cannot_read(fake: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"TensorRT 11.4.0.106 cannot read model.onnx: Conv 'conv.0': no such"):
        TensorRtBackend([tmp_path / "model.onnx"])
    assert list((tmp_path / "cache").rglob("*.engine")) == []


def test_an_engine_that_tensorrt_cannot_build(make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake[0], "fail_to_build", True)
    with pytest.raises(ValueError, match=r"cannot build an engine from model\.onnx: Could not find any implementation"):
        Session(make_bundle(), "tensorrt", opt_shape=[1, 3, 4, 6])


def test_full_gpu_memory(make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(make_bundle(), "tensorrt", opt_shape=[1, 3, 64, 64])
    monkeypatch.setattr(fake[1], "MEMORY", 1000)
    with pytest.raises(OSError, match=r"out of memory \(cudaMalloc"):
        session.run_tensor(np.zeros((1, 3, 64, 64), np.float32))


def test_no_gpu(make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tensorrt" in available_backends()
    assert missing() == []
    bundle = make_bundle()
    with pytest.raises(OSError, match="no GPU number 1: CUDA sees 1"):
        Session(bundle, "tensorrt", device_id=1, opt_shape=[1, 3, 4, 6])
    monkeypatch.setattr(fake[1], "DEVICES", 0)
    with pytest.raises(OSError, match="no usable NVIDIA GPU: CUDA: CUDA driver version is insufficient"):
        Session(bundle, "tensorrt", opt_shape=[1, 3, 4, 6])
    assert "tensorrt" not in available_backends()
    assert len(missing()) == 1


def test_an_old_tensorrt(make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake[0], "NetworkDefinitionCreationFlag", type("Flag", (), {"EXPLICIT_BATCH": 0}))
    monkeypatch.setattr(fake[0], "__version__", "8.6.1")
    with pytest.raises(ImportError, match=r"TensorRT 8\.6\.1 lacks strongly typed networks.* install TensorRT 10"):
        Session(make_bundle(), "tensorrt", opt_shape=[1, 3, 4, 6])


@pytest.mark.parametrize("hidden", ["tensorrt", "cuda.bindings.runtime"])
def test_missing_packages_are_named(make_bundle: Any, fake: Any, hidden: str) -> None:
    package = {"tensorrt": "tensorrt-cu12", "cuda.bindings.runtime": "cuda-python>=12.6"}[hidden]
    bundle = make_bundle()
    with pytest.MonkeyPatch.context() as patch:  # undone before the stand-ins are taken away
        patch.setitem(sys.modules, hidden, None)
        with pytest.raises(ImportError, match=f"pip install .*{package}"):
            Session(bundle, "tensorrt", opt_shape=[1, 3, 4, 6])
        (problem,) = missing()
        assert package in problem


@pytest.mark.parametrize("what", ["Builder", "Runtime"])
def test_a_tensorrt_that_does_not_start(
    make_bundle: Any, fake: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def nothing(logger: Any) -> None:  # what the bindings of 10.16 and 11.4 do without a GPU
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(fake[0], what, nothing)
    with pytest.raises(OSError, match=r"TensorRT 11\.4\.0\.106 cannot start: .*factory function returned nullptr"):
        Session(make_bundle(), "tensorrt", opt_shape=[1, 3, 4, 6])


def test_int8_is_calibrated_on_the_golden_inputs(fake: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the graph of this test is made with the package onnx")
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("ArgMax", ["c"], ["best"], axis=1, keepdims=0),
            helper.make_node("Cast", ["best"], ["y"], to=TensorProto.INT32),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 6])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 4, 6])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    with pytest.raises(ValueError, match="needs inputs to calibrate with"):
        TensorRtBackend([path], precision="int8")
    golden = np.random.default_rng(1).normal(size=(2, 1, 3, 4, 6)).astype(np.float32)
    np.savez(tmp_path / "golden.npz", input_0=golden[0], output_0=golden[0], input_1=golden[1], output_1=golden[1])

    def scale(**options: Any) -> float:
        model = onnx.load_from_string(bytes.fromhex(described(tmp_path, precision="int8", **options)["model"]))
        (found,) = (each for each in model.graph.initializer if each.name == "x_scale")
        return float(numpy_helper.to_array(found))

    assert scale() == pytest.approx(np.abs(golden).max() / 127)
    assert scale(calibration=[golden[0] / 8]) == pytest.approx(np.abs(golden[0]).max() / 8 / 127)
    backend = TensorRtBackend([path], precision="int8")
    expected = np.einsum("oc,nchw->nohw", weights[:, :, 0, 0], golden[0]).argmax(axis=1)
    assert (backend.run(golden[0]) == expected).mean() > 0.9
