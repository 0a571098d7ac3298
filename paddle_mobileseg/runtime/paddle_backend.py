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
_MOST_CHECKED = 4
_ERRORS = (RuntimeError, ValueError, OSError)  # RuntimeError is also Paddle's NotImplementedError


class PaddleBackend:
    """Runs Paddle's static graph, one run at a time, with oneDNN where that works.

    oneDNN gets the convolutions, with bias, batch normalisation and activation, and nothing else. Of what Paddle 3.3.1
    gives it beyond those, interpolation fails, and matrix products of convolutions' outputs are wrong without any error
    (docs/reference/backend_speed.md). The first result for each of the first few input shapes is compared with what
    Paddle gives without oneDNN. If a graph cannot be loaded or run with it, or gives other values, it runs without, and
    the log says so.

    Args:
        files: ``model.json`` or ``.pdmodel``, and the weights.
        threads: of the mathematics library.
        onednn: whether to try oneDNN.

    Attributes:
        onednn: whether it is in use.
        version: of PaddlePaddle.

    Raises:
        ValueError: Paddle cannot load the files.
    """

    def __init__(self, files: list[Path], threads: int, onednn: bool = True) -> None:
        if not isinstance(onednn, bool):
            raise ValueError(f"onednn is {onednn!r}; expected True or False")
        self._files, self._threads = files, threads
        self.version = paddle.__version__
        self._checked: set[tuple[int, ...]] = set()  # shapes whose first result was compared
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
        if not self.onednn or x.shape in self._checked or len(self._checked) == _MOST_CHECKED:
            return self._run(x)
        plain = PaddleBackend(self._files, self._threads, onednn=False)
        expected = plain.run(x)  # what fails without oneDNN too is not oneDNN's fault
        try:
            output = self._run(x)
            if not _is_close(output, expected):
                raise ValueError(f"it gives other values for an input of {list(x.shape)}")
        except _ERRORS as error:
            self._predictor, self._input, self._output = plain._predictor, plain._input, plain._output
            self.onednn = False
            self._report(error)
            return expected
        self._checked.add(x.shape)
        return output

    def _run(self, x: np.ndarray) -> np.ndarray:
        self.upload(x)
        self.compute()
        return self.download()

    def upload(self, x: np.ndarray) -> None:
        """First part of a run: copy the input. The parts compare nothing: :meth:`run` an input of this shape before."""
        self._input.reshape(x.shape)
        self._input.copy_from_cpu(x)

    def compute(self) -> None:
        """Second part: run the network."""
        self._predictor.run()

    def download(self) -> np.ndarray:
        """Last part: a copy of the output."""
        return self._output.copy_to_cpu()

    def describe(self) -> str:
        """What runs, for a record; whether with oneDNN is sure after the first :meth:`run`."""
        return f"Paddle Inference CPU {'with' if self.onednn else 'without'} oneDNN"

    def _report(self, error: Exception) -> None:
        _LOGGER.warning("%s runs without oneDNN, with which Paddle failed: %s", self._files[0].name, error)


def _is_close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for rounding, which random weights magnify; the faults seen are of a sixth of the values and more."""
    if found.dtype != np.float32:
        return bool((found == expected).mean() >= 0.98)
    return bool(np.abs(found - expected).max() <= 0.02 * max(float(np.abs(expected).max()), 1e-12))


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
