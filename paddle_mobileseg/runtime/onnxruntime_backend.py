"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

_ERRORS_ONLY = 3
ort.disable_telemetry_events()  # its wheels carry some; a measurement talks to nobody


class OnnxRuntimeBackend:
    """Runs one ``.onnx`` file, one run at a time.

    Args:
        files: the ``.onnx`` file.
        threads: within operators; operators run one after the other.

    Raises:
        ValueError: ONNX Runtime cannot load the file.
    """

    def __init__(self, files: list[Path], threads: int) -> None:
        (path,) = files
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Its threads would go on spinning after a run and take cores from whatever runs next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its error classes share no base but Exception
            raise ValueError(f"ONNX Runtime {ort.__version__} cannot load {path}: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        self._binding: Any = None
        self._x: np.ndarray | None = None
        self.version = ort.__version__

    def run(self, x: np.ndarray) -> np.ndarray:
        try:
            return self._session.run(None, {self._input: x})[0]
        except Exception as error:  # as above
            raise self._failure(x, error) from error

    def upload(self, x: np.ndarray) -> None:
        """First part of what :meth:`run` does: bind the input, which ONNX Runtime reads where it lies (no copy)."""
        try:
            binding = self._session.io_binding()
            binding.bind_ortvalue_input(self._input, ort.OrtValue.ortvalue_from_numpy(x))
            binding.bind_output(self._output)
        except Exception as error:  # as above
            raise self._failure(x, error) from error
        self._binding, self._x = binding, x  # x: its memory must stay

    def compute(self) -> None:
        """Second part: run the network; it is done when this returns."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # as above
            assert self._x is not None
            raise self._failure(self._x, error) from error

    def download(self) -> np.ndarray:
        """Last part: the output, a new array."""
        (output,) = self._binding.get_outputs()
        self._binding = self._x = None
        return output.numpy()

    def describe(self) -> str:
        """What runs, for a record: with the execution provider that ONNX Runtime chose."""
        return f"onnxruntime {', '.join(self._session.get_providers())}"

    def _failure(self, x: np.ndarray, error: Exception) -> ValueError:
        return ValueError(f"ONNX Runtime {ort.__version__} cannot run an input of {list(x.shape)}: {error}")
