"""Paddle Inference on the CPU."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from paddle_mobileseg.cpu import import_paddle

import_paddle()
import paddle  # noqa: E402
import paddle.inference  # noqa: E402

_LOGGER = logging.getLogger("paddle_mobileseg")
_ERRORS = (RuntimeError, ValueError, OSError)  # RuntimeError is also Paddle's NotImplementedError


class PaddleBackend:
    """Runs Paddle's static graph, one run at a time, with oneDNN where that works.

    Of a ``.json`` graph oneDNN gets what Paddle fuses (convolutions with bias and activation, matrix products), and not
    single operators: for interpolation Paddle 3.3.1 then fails with "not support ArrayAttribute<DoubleAttribute>". A
    ``.pdmodel`` graph has no such fault. If a graph cannot be loaded or run with oneDNN, it runs without, and the log
    says so.

    Args:
        files: ``model.json`` or ``.pdmodel``, and the weights.
        threads: of the mathematics library.
        onednn: whether to try oneDNN.

    Attributes:
        onednn: whether it is in use.

    Raises:
        ValueError: Paddle cannot load the files.
    """

    def __init__(self, files: list[Path], threads: int, onednn: bool = True) -> None:
        if not isinstance(onednn, bool):
            raise ValueError(f"onednn is {onednn!r}; expected True or False")
        self._files, self._threads = files, threads
        self._has_run = False
        try:
            self._load(onednn)
        except _ERRORS as error:
            try:
                if not onednn:
                    raise
                self._load(False)
            except _ERRORS:
                raise ValueError(f"Paddle Inference {paddle.__version__} cannot load {files[0]}: {error}") from error
            self._report(error)

    def _load(self, onednn: bool) -> None:
        graph, weights = self._files
        config = paddle.inference.Config(str(graph), str(weights))
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(self._threads)
        if onednn:
            config.enable_mkldnn()
            if graph.suffix == ".json":
                config.delete_pass("onednn_placement_pass")
        else:
            config.disable_mkldnn()
        self._predictor = paddle.inference.create_predictor(config)
        self.onednn = config.mkldnn_enabled()  # False where Paddle was built without
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, x: np.ndarray) -> np.ndarray:
        if self._has_run or not self.onednn:
            return self._run(x)
        try:
            output = self._run(x)
        except _ERRORS as error:
            self._load(False)
            output = self._run(x)
            self._report(error)
        self._has_run = True
        return output

    def _run(self, x: np.ndarray) -> np.ndarray:
        self._input.reshape(x.shape)
        self._input.copy_from_cpu(x)
        self._predictor.run()
        return self._output.copy_to_cpu()

    def _report(self, error: Exception) -> None:
        _LOGGER.warning("%s runs without oneDNN, with which Paddle failed: %s", self._files[0].name, error)
