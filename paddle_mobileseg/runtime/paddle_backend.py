"""Paddle Inference on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paddle_mobileseg.cpu import import_paddle

import_paddle()
import paddle  # noqa: E402
import paddle.inference  # noqa: E402


class PaddleBackend:
    """Runs Paddle's static graph, one run at a time.

    oneDNN, which Paddle switches on by default, is off: in Paddle 3.3.1 it cannot run interpolation.

    Args:
        files: ``model.json`` and ``model.pdiparams``.
        threads: of the mathematics library.

    Raises:
        ValueError: Paddle cannot load the files.
    """

    def __init__(self, files: list[Path], threads: int) -> None:
        graph, weights = files
        config = paddle.inference.Config(str(graph), str(weights))
        config.disable_gpu()
        config.disable_mkldnn()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads)
        try:
            self._predictor = paddle.inference.create_predictor(config)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"Paddle Inference {paddle.__version__} cannot load {graph}: {error}") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, x: np.ndarray) -> np.ndarray:
        self._input.reshape(x.shape)
        self._input.copy_from_cpu(x)
        self._predictor.run()
        return self._output.copy_to_cpu()
