"""TensorRT inside Paddle: the refusal of the Paddle installed here, and what a Paddle with TensorRT would be told."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle", reason="this backend is PaddlePaddle's")

from paddle_mobileseg.runtime import available_backends, paddle_tensorrt  # noqa: E402
from paddle_mobileseg.runtime.paddle_tensorrt import PaddleTensorRtBackend, missing  # noqa: E402

SHAPES: dict[str, Any] = {"min_shape": [1, 3, 32, 64], "opt_shape": [1, 3, 64, 64], "max_shape": [2, 3, 128, 96]}
JSON = [Path("model.json"), Path("model.pdiparams")]
LEGACY = [Path("legacy.pdmodel"), Path("legacy.pdiparams")]


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="is about CPU builds, and this is a GPU build")
@pytest.mark.parametrize("files", [JSON, LEGACY])
def test_a_cpu_build_is_refused(files: list[Path]) -> None:
    with pytest.raises(ImportError, match=rf"this PaddlePaddle \({paddle.__version__}\) is a CPU build; install"):
        PaddleTensorRtBackend(files, opt_shape=[1, 3, 64, 64])
    assert not {"paddle-tensorrt", "paddle-legacy-tensorrt"} & set(available_backends())


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"precision is 'int8'; expected one of fp32, fp16 .*backend tensorrt"):
        PaddleTensorRtBackend(JSON, precision="int8")
    with pytest.raises(ValueError, match="workspace_gib is 0"):
        PaddleTensorRtBackend(JSON, workspace_gib=0)


class Config:
    """Notes what Paddle Inference is told; a keyword that its own Config has not is an error."""

    def __init__(self, graph: str, weights: str) -> None:
        self.told: dict[str, Any] = {"files": (graph, weights)}

    def enable_tensorrt_engine(self, **named: Any) -> None:
        self.__getattr__("enable_tensorrt_engine")(**named)

    def __getattr__(self, name: str) -> Any:
        known = set(re.findall(r"(\w+): ", getattr(paddle.inference.Config, name).__doc__))

        def note(*values: Any, **named: Any) -> None:
            assert set(named) <= known, set(named) - known
            self.told[name] = named or values

        return note


WAITS: list[str] = []  # devices that were waited for


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A Paddle that says it has CUDA and TensorRT, and one GPU."""
    made: list[Config] = []
    WAITS.clear()

    class Handle:
        def reshape(self, shape: Any) -> None:
            self.shape = shape

        def copy_from_cpu(self, x: np.ndarray) -> None:
            assert x.shape == self.shape

        def copy_to_cpu(self) -> np.ndarray:
            return np.array([7], np.int32)

    def create_predictor(config: Config) -> Any:
        made.append(config)
        handle = Handle()
        return SimpleNamespace(
            get_input_names=lambda: ["x"],
            get_output_names=lambda: ["y"],
            get_input_handle=lambda name: handle,
            get_output_handle=lambda name: handle,
            run=lambda: None,
        )

    inference = SimpleNamespace(
        Config=Config,
        PrecisionType=paddle.inference.PrecisionType,
        create_predictor=create_predictor,
        get_trt_compile_version=lambda: (10, 3, 0),
        get_trt_runtime_version=lambda: (10, 3, 0),
    )
    monkeypatch.setattr(
        paddle_tensorrt,
        "paddle",
        SimpleNamespace(
            __version__="3.3.1",
            inference=inference,
            is_compiled_with_cuda=lambda: True,
            device=SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 1), synchronize=WAITS.append),
        ),
    )
    return made


def with_converter(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``paddle.tensorrt.export`` with the signatures of Paddle 3.3's."""
    export = ModuleType("paddle.tensorrt.export")

    def input_(
        warmup_data=None,
        min_input_shape=None,
        max_input_shape=None,
        optim_input_shape=None,
        input_data_type="float32",
        input_range=None,
        name=None,
    ):
        return {"name": name, "shapes": [min_input_shape, optim_input_shape, max_input_shape]}

    def config(
        inputs,
        min_subgraph_size=3,
        save_model_dir=None,
        disable_ops=None,
        precision_mode=None,
        ops_run_float=None,
        optimization_level=3,
        disable_passes=(),
        workspace_size=1 << 30,
        refit_params_path=None,
    ):
        return inspect.currentframe().f_locals  # type: ignore[union-attr]

    def convert(model_path, config):
        export.told = (model_path, config)  # type: ignore[attr-defined]

    export.Input, export.TensorRTConfig, export.convert = input_, config, convert  # type: ignore[attr-defined]
    export.PrecisionMode = {"FP32": "mode 32", "FP16": "mode 16"}  # type: ignore[attr-defined]
    for name, module in (("paddle.tensorrt", ModuleType("paddle.tensorrt")), ("paddle.tensorrt.export", export)):
        monkeypatch.setitem(sys.modules, name, module)
        module.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
    tensorrt = ModuleType("tensorrt")
    tensorrt.__spec__ = SimpleNamespace(name="tensorrt")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    return export


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "Float32"), ("fp16", "Half")])
def test_the_legacy_route(gpu_build: list[Config], precision: str, expected: str) -> None:
    backend = PaddleTensorRtBackend(LEGACY, precision=precision, workspace_gib=0.5, **SHAPES)
    (config,) = gpu_build
    assert config.told["files"] == ("legacy.pdmodel", "legacy.pdiparams")
    assert config.told["enable_use_gpu"][1] == 0
    engine = config.told["enable_tensorrt_engine"]
    assert engine["workspace_size"] == 2**29
    assert engine["max_batch_size"] == 2
    assert engine["precision_mode"] == getattr(paddle.inference.PrecisionType, expected)
    assert config.told["set_trt_dynamic_shape_info"] == {
        "min_input_shape": {"x": [1, 3, 32, 64]},
        "optim_input_shape": {"x": [1, 3, 64, 64]},
        "max_input_shape": {"x": [2, 3, 128, 96]},
    }
    assert backend.run(np.zeros((2, 3, 128, 96), np.float32)).tolist() == [7]
    with pytest.raises(ValueError, match=r"takes \[1, 3, 32, 64\] to \[2, 3, 128, 96\]"):
        backend.run(np.zeros((1, 3, 31, 64), np.float32))


def test_the_route_of_paddle_3(gpu_build: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    export: Any = with_converter(monkeypatch)
    backend = PaddleTensorRtBackend(
        [Path("bundle/model.json"), Path("bundle/model.pdiparams")], precision="fp16", **SHAPES
    )
    (config,) = gpu_build
    path, told = export.told
    assert path == "bundle/model"
    assert told["precision_mode"] == "mode 16"
    assert told["workspace_size"] == 2**30
    assert told["inputs"] == [{"name": "x", "shapes": [(1, 3, 32, 64), (1, 3, 64, 64), (2, 3, 128, 96)]}]
    assert config.told["files"] == (f"{told['save_model_dir']}.json", f"{told['save_model_dir']}.pdiparams")
    assert Path(told["save_model_dir"]).parent.is_dir()  # as long as the backend lives
    del backend
    assert "enable_tensorrt_engine" not in config.told
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES=1"):
        PaddleTensorRtBackend(JSON, device_id=1, **SHAPES)


def test_each_part_waits_for_the_gpu(gpu_build: list[Config], tmp_path: Path) -> None:
    files = [tmp_path / "legacy.pdmodel", tmp_path / "legacy.pdiparams"]
    backend = PaddleTensorRtBackend(files, opt_shape=[1, 3, 4, 6], device_id=0)
    backend.upload(np.zeros((1, 3, 4, 6), np.float32))
    assert WAITS == ["gpu:0"]
    backend.compute()
    assert WAITS == ["gpu:0", "gpu:0"]
    assert np.array_equal(backend.download(), [7])
    assert backend.describe() == "Paddle Inference TensorRT fp32"


def test_what_is_missing_is_named(gpu_build: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(legacy=True) == []
    with pytest.raises(OSError, match="no GPU number 1: Paddle sees 1"):
        PaddleTensorRtBackend(LEGACY, device_id=1, **SHAPES)
    with pytest.raises(ValueError, match="min_shape="):
        PaddleTensorRtBackend(LEGACY)
    problems = " ".join(missing(legacy=False))
    assert "no module paddle.tensorrt" in problems
    assert "needs the Python package tensorrt" in problems
    fake: Any = paddle_tensorrt.paddle
    monkeypatch.setattr(fake.device.cuda, "device_count", lambda: 0)
    assert missing(legacy=True) == ["there is no NVIDIA GPU, or no driver for it (`nvidia-smi`)"]
    monkeypatch.setattr(fake.inference, "get_trt_runtime_version", lambda: (0, 0, 0))
    assert "LD_LIBRARY_PATH" in missing(legacy=True)[0]
    monkeypatch.setattr(fake.inference, "get_trt_compile_version", lambda: (0, 0, 0))
    assert missing(legacy=True) == ["this PaddlePaddle (3.3.1) was built without TensorRT"]
