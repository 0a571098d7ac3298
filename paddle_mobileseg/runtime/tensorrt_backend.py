"""TensorRT on an NVIDIA GPU, from a bundle's ONNX file. Built against the real API; not run on a GPU yet."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.files import sha256
from paddle_mobileseg.runtime.bundle import GOLDEN
from paddle_mobileseg.runtime.tensorrt_cache import EngineCache, default_folder
from paddle_mobileseg.runtime.tensorrt_cuda import Buffer, Device, has_driver
from paddle_mobileseg.runtime.tensorrt_engine import build, import_tensorrt, make_log, start
from paddle_mobileseg.runtime.tensorrt_graph import check_precision, write_typed
from paddle_mobileseg.runtime.tensorrt_profile import Profile

_LOGGER = logging.getLogger("paddle_mobileseg")


class TensorRtBackend:
    """Runs one ``.onnx`` file, one run at a time; builds an engine from it, or takes the one built before.

    Args:
        files: the ``.onnx`` file.
        threads: without effect; the GPU does the work.
        precision: ``fp32`` (without TF32), ``fp16``, or ``int8`` (convolutions).
        min_shape, opt_shape, max_shape: what the engine takes, for a graph that takes any size:
            see :func:`paddle_mobileseg.runtime.tensorrt_profile.make_profile`.
        workspace_gib: GPU memory that one operator may use beside its inputs and outputs.
        cache_dir: of engines; by default in the cache folder of this project.
        device_id: number of the GPU.
        calibration: inputs of the graph for int8; by default the golden ones of the bundle that the file lies in.

    Attributes:
        last_gpu_ms: what the last run took on the GPU, between two CUDA events round the network alone, without the
            copies of input and output; ``None`` before the first.
        profile: shapes that the engine takes.
        input_dtype: what the engine takes.
        from_cache: the engine was built before.
        version: of TensorRT.

    Raises:
        ImportError: tensorrt or cuda-python is missing or too old.
        OSError: no GPU or driver, not enough GPU memory, or a cache folder that cannot be written.
        ValueError: wrong arguments, or TensorRT cannot build an engine from the file.
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
        cache_dir: str | Path | None = None,
        device_id: int = 0,
        calibration: Sequence[np.ndarray] | None = None,
    ) -> None:
        (path,) = files
        self._input: Buffer | None = None
        self._output: Buffer | None = None
        self.last_gpu_ms: float | None = None
        check_precision(precision)
        if isinstance(workspace_gib, bool) or not isinstance(workspace_gib, int | float) or not workspace_gib > 0:
            raise ValueError(f"workspace_gib is {workspace_gib!r}; expected a number above 0")
        self._precision = precision
        self._trt = import_tensorrt()
        self.version: str = self._trt.__version__
        self._device = Device(device_id)
        self._log = make_log(self._trt)
        shapes = (min_shape, opt_shape, max_shape)
        inputs = _calibration(path, calibration) if precision == "int8" else []
        key = {
            "gpu": self._device.name,
            "compute_capability": self._device.compute_capability,
            "tensorrt": self._trt.__version__,
            "model_sha256": sha256(path),
            "precision": precision,
            "calibration_sha256": _digest(inputs),
            "shapes": [None if shape is None else list(shape) for shape in shapes],
            "workspace_gib": workspace_gib,
        }
        cache = EngineCache(Path(cache_dir) if cache_dir is not None else default_folder())
        self._runtime = start(self._trt, self._log, "Runtime")
        self.from_cache = True
        with cache.alone(key):
            plan = cache.load(key)
            engine = None if plan is None else self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                if plan is not None:
                    _LOGGER.warning("TensorRT refuses the cached engine (%s); building it again", self._log.last())
                self.from_cache = False
                plan = self._build(path, precision, inputs, shapes, int(workspace_gib * 2**30))
                engine = self._runtime.deserialize_cuda_engine(plan)
                if engine is None:
                    raise ValueError(f"TensorRT cannot load the engine that it built: {self._log.last()}")
                cache.store(key, plan)
        self._use(engine)

    def run(self, x: np.ndarray) -> np.ndarray:
        """The graph's output for an input of a shape within :attr:`profile`.

        Raises:
            ValueError: another shape or dtype.
            OSError: the GPU failed, or its memory is full.
        """
        self.upload(x)
        self.compute()
        return self.download()

    def upload(self, x: np.ndarray) -> None:
        """First part of :meth:`run`: copy the input to the GPU; it is there when this returns."""
        self.profile.check(x.shape)
        if x.dtype != self.input_dtype:
            raise ValueError(f"the input is {x.dtype}; this engine takes {self.input_dtype}")
        self._device.use()
        context, device = self._context, self._device
        if not context.set_input_shape(self._input_name, tuple(x.shape)):
            raise ValueError(f"TensorRT refuses an input of shape {list(x.shape)}: {self._log.last()}")
        self._input = _grown(device, self._input, x.nbytes)
        self._output = _grown(device, self._output, self._output_bytes())
        context.set_tensor_address(self._input_name, self._input.address)
        context.set_tensor_address(self._output_name, self._output.address)
        device.to_device(self._input, np.ascontiguousarray(x))
        device.wait()

    def compute(self) -> None:
        """Second part: run the network, and wait until the GPU is done."""
        device = self._device
        device.start_clock()
        started = self._context.execute_async_v3(int(device.stream))
        elapsed_ms = device.stop_clock()
        if not started:
            raise OSError(f"TensorRT could not run the network: {self._log.last()}")
        self.last_gpu_ms = elapsed_ms

    def download(self) -> np.ndarray:
        """Last part: a copy of the output."""
        assert self._output is not None
        # Where a shape follows from values (output vim), it is known only now.
        output = np.empty(tuple(self._context.get_tensor_shape(self._output_name)), self._output_dtype)
        self._device.to_host(output, self._output)
        return output

    def describe(self) -> str:
        """TensorRT's version, precision, GPU, and whether the engine was built before, for a line of a report."""
        built = "engine from the cache" if self.from_cache else "engine built now"
        gpu = f"{self._device.name} (compute capability {self._device.compute_capability})"
        return f"TensorRT {self._trt.__version__} {self._precision} on {gpu}, {built}"

    def _build(
        self, path: Path, precision: str, inputs: Sequence[np.ndarray], shapes: Any, workspace_bytes: int
    ) -> bytes:
        _LOGGER.info("building a TensorRT engine (%s); this takes minutes, once", precision)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            graph = path
            if precision != "fp32":
                graph = Path(folder) / path.name
                write_typed(path, graph, precision, inputs)
            plan = build(self._trt, self._log, graph, shapes, workspace_bytes)
        _LOGGER.info("built in %.0f s", time.perf_counter() - start)
        return plan

    def _use(self, engine: Any) -> None:
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        is_input = [engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT for name in names]
        self._input_name, self._output_name = names[is_input.index(True)], names[is_input.index(False)]
        self.input_dtype = np.dtype(self._trt.nptype(engine.get_tensor_dtype(self._input_name)))
        self._output_dtype = np.dtype(self._trt.nptype(engine.get_tensor_dtype(self._output_name)))
        self.profile = Profile(*(tuple(s) for s in engine.get_tensor_profile_shape(self._input_name, 0)))
        self._engine, self._context = engine, engine.create_execution_context()
        if self._context is None:
            raise OSError(f"not enough GPU memory for the network: {self._log.last()}; lower max_shape")

    def _output_bytes(self) -> int:
        """Memory for the output; an upper bound where its shape follows from values."""
        if missing := self._context.infer_shapes():
            raise ValueError(f"TensorRT does not know the shape of {missing}: {self._log.last()}")
        shape = tuple(self._context.get_tensor_shape(self._output_name))
        if min(shape) < 0:
            return self._context.get_max_output_size(self._output_name)
        return int(np.prod(shape)) * self._output_dtype.itemsize


def missing(device_id: int = 0) -> list[str]:
    """What this machine lacks to run TensorRT: sentences that name the package, driver or GPU; empty if nothing."""
    problems = []
    for attempt in (import_tensorrt, lambda: Device(device_id)):
        try:
            attempt()
        except (ImportError, OSError) as error:
            problems.append(str(error))
    # Without cuda-python, only whether there is a driver can be found out.
    if importlib.util.find_spec("cuda") is None and not has_driver():
        problems.append("no NVIDIA driver is installed (there is no libcuda.so.1), or there is no GPU")
    return problems


def available() -> bool:
    """Whether TensorRT can run here; without the package, nothing is imported to find out."""
    return importlib.util.find_spec("tensorrt") is not None and not missing()


def available_in_paddle() -> bool:
    """Whether PaddlePaddle's TensorRT may run here: a GPU build is installed (Paddle is not imported), and
    :func:`available`."""
    try:
        metadata.version("paddlepaddle-gpu")
    except metadata.PackageNotFoundError:
        return False
    return available()


def _grown(device: Device, buffer: Buffer | None, num_bytes: int) -> Buffer:
    return buffer if buffer is not None and buffer.num_bytes >= num_bytes else device.allocate(num_bytes)


def _calibration(path: Path, given: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    """Inputs for int8: those given, else the golden ones beside the file, else none."""
    if given is not None:
        return list(given)
    golden = path.with_name(GOLDEN)
    if not golden.is_file():
        return []
    with np.load(golden) as tensors:
        return [tensors[name] for name in sorted(tensors.files) if name.startswith("input_")]


def _digest(inputs: Sequence[np.ndarray]) -> str | None:
    digest = hashlib.sha256()
    for x in inputs:
        digest.update(repr((x.shape, x.dtype.str)).encode() + np.ascontiguousarray(x).tobytes())
    return digest.hexdigest() if inputs else None
