"""TensorRT inside Paddle Inference: subgraphs of the Paddle graph become TensorRT engines. Not run on a GPU yet.

Two routes, told by the graph's file:

- ``.json`` (Paddle 3): ``paddle.tensorrt.convert`` writes a program in which TensorRT's operators stand for subgraphs.
- ``.pdmodel`` (legacy): ``Config.enable_tensorrt_engine`` of Paddle Inference does it while loading.

Both need a PaddlePaddle built with CUDA and TensorRT; another is refused with the reason. Only graphs with float32
input are taken: the other runtimes, :mod:`paddle_mobileseg.runtime.tensorrt_backend` among them, take uint8 too.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.cpu import import_paddle
from paddle_mobileseg.runtime.tensorrt_profile import Profile, make_profile

import_paddle()
import paddle  # noqa: E402
import paddle.inference  # noqa: E402

_GPU_MEMORY_MB = 256  # that Paddle takes at first; it takes more as it needs it
_MIN_SUBGRAPH = 3  # operators; fewer are not worth an engine
_PRECISIONS = {"fp32": ("Float32", "FP32"), "fp16": ("Half", "FP16")}
_INPUT = "x"


class PaddleTensorRtBackend:
    """Runs Paddle's static graph with TensorRT inside, one run at a time. The engine is built at every start.

    Args:
        files: ``model.json`` and ``model.pdiparams``, or ``legacy.pdmodel`` and ``legacy.pdiparams``.
        threads: without effect; the GPU does the work.
        precision: ``fp32`` or ``fp16``.
        min_shape, opt_shape, max_shape: least, usual and largest shape of the input; one is enough for one size.
        workspace_gib: GPU memory that TensorRT may use beside inputs and outputs.
        device_id: number of the GPU. Paddle 3's route runs on number 0 only; ``CUDA_VISIBLE_DEVICES`` says which that
            is.

    Attributes:
        profile: shapes that the engine takes.
        version: of PaddlePaddle.

    Raises:
        ImportError: this PaddlePaddle has no TensorRT; the message says what is missing.
        OSError: there is no GPU of that number.
        ValueError: wrong arguments, or Paddle cannot load or convert the files.
    """

    def __init__(
        self,
        files: list[Path],
        threads: int = 1,
        precision: str = "fp32",
        min_shape: Sequence[int] | None = None,
        opt_shape: Sequence[int] | None = None,
        max_shape: Sequence[int] | None = None,
        workspace_gib: float = 1.0,
        device_id: int = 0,
    ) -> None:
        graph, weights = files
        if precision not in _PRECISIONS:
            raise ValueError(
                f"precision is {precision!r}; expected one of {', '.join(_PRECISIONS)} "
                "(for int8, use the backend tensorrt)"
            )
        if not isinstance(workspace_gib, int | float) or not workspace_gib > 0:
            raise ValueError(f"workspace_gib is {workspace_gib!r}; expected a number above 0")
        self._precision, self._device_id = precision, device_id
        self.version = paddle.__version__
        legacy = graph.suffix == ".pdmodel"
        if problems := missing(legacy):
            raise ImportError("TensorRT in Paddle Inference cannot run here: " + "; ".join(problems))
        if not legacy and device_id != 0:
            raise ValueError(
                f"device_id is {device_id}; paddle.tensorrt converts on GPU 0 only: leave device_id, and set "
                f"CUDA_VISIBLE_DEVICES={device_id}"
            )
        if device_id >= paddle.device.cuda.device_count():
            raise OSError(f"there is no GPU number {device_id}: Paddle sees {paddle.device.cuda.device_count()}")
        self.profile = make_profile([-1, -1, -1, -1], min_shape, opt_shape, max_shape)
        workspace = int(workspace_gib * 2**30)
        try:
            if legacy:
                config = _legacy_config(graph, weights, device_id, precision, self.profile, workspace)
            else:
                config = self._converted_config(graph, precision, workspace)
            self._predictor = paddle.inference.create_predictor(config)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise ValueError(f"Paddle {paddle.__version__} cannot run {graph} with TensorRT: {error}") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, x: np.ndarray) -> np.ndarray:
        """The graph's output; :class:`ValueError` for a shape beyond :attr:`profile`."""
        self.upload(x)
        self.compute()
        return self.download()

    def upload(self, x: np.ndarray) -> None:
        """First part of :meth:`run`: copy the input to the GPU."""
        self.profile.check(x.shape)
        self._input.reshape(x.shape)
        self._input.copy_from_cpu(x)
        self._wait()

    def compute(self) -> None:
        """Second part: run the network, and wait until the GPU is done."""
        self._predictor.run()
        self._wait()

    def download(self) -> np.ndarray:
        """Last part: a copy of the output."""
        return self._output.copy_to_cpu()

    def describe(self) -> str:
        """What runs, for a record."""
        return f"Paddle Inference TensorRT {self._precision}"

    def _wait(self) -> None:
        """Paddle's run() gives the GPU its work and may return before it is done."""
        paddle.device.synchronize(f"gpu:{self._device_id}")

    def _converted_config(self, graph: Path, precision: str, workspace: int) -> Any:
        """Convert the program, and a configuration that runs the result."""
        export = importlib.import_module("paddle.tensorrt.export")
        self._folder = tempfile.TemporaryDirectory()
        prefix = str(Path(self._folder.name) / "tensorrt")
        described = export.Input(
            min_input_shape=self.profile.least,
            optim_input_shape=self.profile.best,
            max_input_shape=self.profile.largest,
            name=_INPUT,
        )
        settings = export.TensorRTConfig(
            inputs=[described],
            min_subgraph_size=_MIN_SUBGRAPH,
            save_model_dir=prefix,
            precision_mode=export.PrecisionMode[_PRECISIONS[precision][1]],
            workspace_size=workspace,
        )
        export.convert(str(graph.with_suffix("")), settings)
        config = paddle.inference.Config(f"{prefix}.json", f"{prefix}.pdiparams")
        config.enable_use_gpu(_GPU_MEMORY_MB, 0)
        config.disable_glog_info()
        return config


def missing(legacy: bool) -> list[str]:
    """What the installed PaddlePaddle lacks for a route; empty if nothing.

    Args:
        legacy: the route for ``.pdmodel``; otherwise that of Paddle 3 for ``.json``.
    """
    if not paddle.is_compiled_with_cuda():
        return [
            f"this PaddlePaddle ({paddle.__version__}) is a CPU build; install paddlepaddle-gpu with TensorRT, "
            "or use the backend tensorrt, which does not need Paddle"
        ]
    problems = []
    if tuple(paddle.inference.get_trt_compile_version()) == (0, 0, 0):
        problems.append(f"this PaddlePaddle ({paddle.__version__}) was built without TensorRT")
    elif tuple(paddle.inference.get_trt_runtime_version()) == (0, 0, 0):
        problems.append("TensorRT's library (libnvinfer.so) is not found; put its folder into LD_LIBRARY_PATH")
    if not legacy and importlib.util.find_spec("paddle.tensorrt") is None:
        problems.append("it has no module paddle.tensorrt (Paddle 3.0 or newer, built with TensorRT)")
    if not legacy and importlib.util.find_spec("tensorrt") is None:
        problems.append("paddle.tensorrt needs the Python package tensorrt, which is not installed")
    if legacy and not hasattr(paddle.inference.Config, "enable_tensorrt_engine"):
        problems.append("its Config has no enable_tensorrt_engine; use the file model.json")
    if not problems and paddle.device.cuda.device_count() == 0:
        problems.append("there is no NVIDIA GPU, or no driver for it (`nvidia-smi`)")
    return problems


def _legacy_config(graph: Path, weights: Path, device_id: int, precision: str, profile: Profile, workspace: int) -> Any:
    config = paddle.inference.Config(str(graph), str(weights))
    config.enable_use_gpu(_GPU_MEMORY_MB, device_id)
    config.disable_glog_info()
    config.enable_tensorrt_engine(
        workspace_size=workspace,
        max_batch_size=profile.largest[0],
        min_subgraph_size=_MIN_SUBGRAPH,
        precision_mode=getattr(paddle.inference.PrecisionType, _PRECISIONS[precision][0]),
        use_static=False,
        use_calib_mode=False,
    )
    config.set_trt_dynamic_shape_info(
        min_input_shape={_INPUT: list(profile.least)},
        max_input_shape={_INPUT: list(profile.largest)},
        optim_input_shape={_INPUT: list(profile.best)},
    )
    return config
