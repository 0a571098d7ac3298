"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

_ERRORS_ONLY = 3


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

    def run(self, x: np.ndarray) -> np.ndarray:
        try:
            return self._session.run(None, {self._input: x})[0]
        except Exception as error:  # as above
            raise ValueError(
                f"ONNX Runtime {ort.__version__} cannot run an input of {list(x.shape)}: {error}"
            ) from error
