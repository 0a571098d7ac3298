"""Paddle Inference on the CPU."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.cpu import import_paddle

import_paddle()
import paddle  # noqa: E402
import paddle.inference  # noqa: E402

_LOGGER = logging.getLogger("paddle_mobileseg")
# Paddle's passes that give oneDNN the convolutions, of a .json graph and of a .pdmodel graph.
_PASSES = [
    "depthwise_conv_onednn_pass",
    "conv2d_bn_onednn_fuse_pass",
    "conv2d_bias_bn_onednn_fuse_pass",
    "conv2d_bias_fuse_pass",
]
_ACTIVATION_PASS = "conv_activation_onednn_fuse_pass"
_LEGACY_PASSES = {
    "onednn_placement_pass",
    "depthwise_conv_onednn_pass",
    "conv_bn_fuse_pass",
    "conv_eltwiseadd_bn_fuse_pass",
    "conv_bias_onednn_fuse_pass",
    _ACTIVATION_PASS,
}
_ERRORS = (RuntimeError, ValueError, OSError)  # RuntimeError is also Paddle's NotImplementedError


class PaddleBackend:
    """Runs Paddle's static graph, one run at a time, with oneDNN where that works.

    oneDNN gets the convolutions, with bias, batch normalisation and activation, and nothing else. Of what Paddle 3.3.1
    gives it beyond those, interpolation fails, and matrix products of convolutions' outputs are wrong without any error
    (docs/reference/backend_speed.md). If a graph cannot be loaded or run with oneDNN, it runs without, and the log says
    so.

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
            _enable_onednn(config, graph)
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


def _enable_onednn(config: Any, graph: Path) -> None:
    """oneDNN for the convolutions of the graph at ``graph``."""
    config.enable_mkldnn()
    if graph.suffix == ".json":
        # Where it fuses a leaky ReLU, Paddle 3.3.1 ends with a segmentation fault.
        leaky = b"leaky_relu" in graph.read_bytes()
        config.enable_custom_passes(_PASSES if leaky else [*_PASSES, _ACTIVATION_PASS], True)
        return
    config.set_mkldnn_op({"conv2d", "depthwise_conv2d", "fused_conv2d"})
    for each in set(config.pass_builder().all_passes()) - _LEGACY_PASSES:
        config.delete_pass(each)
