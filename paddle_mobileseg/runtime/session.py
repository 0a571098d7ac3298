"""One way to run a bundle, whatever the backend.

Example:
    >>> from paddle_mobileseg.data.reading import read_image
    >>> from paddle_mobileseg.runtime import Session
    >>> session = Session("output/bundle", backend="onnxruntime", threads=2)
    >>> labels = session.run(read_image("street.jpg"))  # int32 [H, W], the image's own size
    >>> session.bundle.class_names[labels[0, 0]]
    'sky'
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from paddle_mobileseg.data.preprocess import Preprocess, TransInfo
from paddle_mobileseg.runtime import arm_runner, lite_environment, tensorrt_backend
from paddle_mobileseg.runtime.bundle import load_bundle
from paddle_mobileseg.runtime.graph_input import GraphInput
from paddle_mobileseg.suggestion import did_you_mean


class Backend(Protocol):
    """What runs a graph.

    Args:
        files: those of the bundle that this backend runs; their hashes were checked.
        threads: of the network's operators.
        options: what only this backend knows, such as TensorRT's precision.
    """

    def __init__(self, files: list[Path], threads: int, **options: Any) -> None: ...

    def run(self, x: np.ndarray) -> np.ndarray:
        """Of the shape and dtype that the graph takes, contiguous, to an array that later runs leave alone."""
        ...


class _Entry(NamedTuple):
    module: str  # here; imported when the backend is asked for
    class_name: str
    files: str  # what `Bundle.backends` of the manifest calls the files that it runs
    package: str | None  # that must be installed
    available: Callable[[], bool] | None = None  # whether what it needs beside a package is here


_BACKENDS = {
    "onnxruntime": _Entry("onnxruntime_backend", "OnnxRuntimeBackend", "onnxruntime", "onnxruntime"),
    "paddle": _Entry("paddle_backend", "PaddleBackend", "paddle", "paddle"),
    "paddle-legacy": _Entry("paddle_backend", "PaddleBackend", "paddle-legacy", "paddle"),
    "lite": _Entry("lite_backend", "LiteBackend", "lite", None, lite_environment.available),
    "lite-arm": _Entry("arm_runner", "ArmRunner", "lite-arm", None, arm_runner.available),
    "tensorrt": _Entry("tensorrt_backend", "TensorRtBackend", "onnxruntime", None, tensorrt_backend.available),
    "paddle-tensorrt": _Entry(
        "paddle_tensorrt", "PaddleTensorRtBackend", "paddle", "paddle", tensorrt_backend.available_in_paddle
    ),
    "paddle-legacy-tensorrt": _Entry(
        "paddle_tensorrt", "PaddleTensorRtBackend", "paddle-legacy", "paddle", tensorrt_backend.available_in_paddle
    ),
}
BACKENDS = tuple(_BACKENDS)
MOST_THREADS = 256  # far more, and a runtime is busy with starting them


def available_backends() -> list[str]:
    """Names of the backends that can run here: the package is installed; for Paddle Lite, the environment or the ARM
    runner is there."""
    return [name for name, entry in _BACKENDS.items() if _is_available(entry)]


def _is_available(entry: _Entry) -> bool:
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        return False
    return entry.available is None or entry.available()


class Session:
    """A bundle, checked and loaded.

    Args:
        bundle_dir: the bundle's folder.
        backend: one of :data:`BACKENDS`.
        threads: of the network's operators, at least 1.
        options: of the backend; see its class.

    Attributes:
        bundle: the manifest.
        backend, threads: as given.
        runner: the backend, which :meth:`run_tensor` calls; ``load_s``: seconds that it took to load its files.

    Raises:
        FileNotFoundError: no bundle there, or a file of it is missing.
        ValueError: a damaged bundle, one without files for the backend, an unknown backend, or a file that it cannot
            load.
        ImportError: the backend's package is not installed.
    """

    def __init__(self, bundle_dir: str | Path, backend: str = "onnxruntime", threads: int = 1, **options: Any) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"threads is {threads!r}; expected a whole number from 1 to {MOST_THREADS}")
        self.backend = backend
        self.threads = threads
        self.bundle = load_bundle(bundle_dir)
        runner_class = backend_class(backend)
        check_options(backend, options)
        files = self.bundle.files_of(_BACKENDS[backend].files)
        self.bundle.verify(files)
        self._input = GraphInput(self.bundle.deploy, self.bundle.about["input"])
        start = time.perf_counter()
        self.runner = runner_class(files, threads, **options)
        self.load_s = time.perf_counter() - start

    def close(self) -> None:
        """Give back what the backend holds (Paddle Lite: a process); also at the end of a ``with`` block."""
        close = getattr(self.runner, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def run(self, image: np.ndarray) -> np.ndarray:
        """Labels of one image.

        Where the transforms resize the image, logits are resized back (bilinear) before the arg-max, as in evaluation
        and prediction. A graph that gives labels leaves no logits: its labels are resized (nearest), and differ from
        prediction's along class boundaries; the manifest's ``parity`` has how far (stage ``predict->...``).

        Args:
            image: ``[H, W, 3]`` uint8 RGB, as :func:`paddle_mobileseg.data.reading.read_image` gives it.

        Returns:
            ``[H, W]`` int32 classes, at the image's own size.

        Raises:
            ValueError: another dtype or shape, or a size that the graph does not take.
        """
        x, trans_info = self.prepare(image)
        return self.finish(self.runner.run(x), trans_info)

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, TransInfo]:
        """First part of :meth:`run`: the tensor that the graph takes, checked, and what :meth:`finish` needs."""
        x, trans_info = self._input(image)
        self._input.check(x)
        return x, trans_info

    def finish(self, outputs: np.ndarray, trans_info: TransInfo) -> np.ndarray:
        """Last part of :meth:`run`: labels of the image's size from the graph's output."""
        output = outputs[0]
        if output.ndim == 3:
            return restored_labels(output, trans_info, probabilities=self.bundle.output_op == "softmax")
        labels = Preprocess.restore(output.astype(np.int32, copy=False), trans_info)
        return np.ascontiguousarray(labels)

    def run_tensor(self, x: np.ndarray) -> np.ndarray:
        """The graph's raw output.

        Args:
            x: preprocessed, of the manifest's shape (-1 there: any): ``[N, 3, H, W]`` float32, or ``[N, H, W, 3]``
                uint8 where the graph normalises.

        Returns:
            logits or probabilities ``[N, classes, H, W]`` float32, or labels ``[N, H, W]`` int32.

        Raises:
            ValueError: another dtype or shape.
        """
        self._input.check(x)
        return self.runner.run(np.ascontiguousarray(x))


def output_labels(output: np.ndarray) -> np.ndarray:
    """``[N, H, W]`` int32 labels of a graph's output: as they are, or the arg-max of ``[N, classes, H, W]``."""
    return output.argmax(axis=1).astype(np.int32) if output.ndim == 4 else output.astype(np.int32, copy=False)


def restored_labels(scores: np.ndarray, trans_info: TransInfo, probabilities: bool = False) -> np.ndarray:
    """Take scores back to the image's own size and give the class with the largest, one class at a time for memory.

    Args:
        scores: ``[C, h, w]`` float32.
        trans_info: what preprocessing did to the size.
        probabilities: scores are a softmax. Their logarithms are resized: logits less a value that all classes of a
            pixel share, so that the labels are those of resized logits.

    Returns:
        ``[H, W]`` int32.
    """
    height, width = trans_info[0][1] if trans_info else scores.shape[1:]
    best = np.full((height, width), -np.inf, np.float32)
    labels = np.zeros((height, width), np.int32)
    for number, score in enumerate(scores):
        if probabilities:
            score = np.log(np.maximum(score, np.finfo(np.float32).tiny))
        restored = _restored(score, trans_info)
        labels[restored > best] = number
        np.maximum(best, restored, out=best)
    return labels


def _restored(score: np.ndarray, trans_info: TransInfo) -> np.ndarray:
    """``[h, w]`` float32 before preprocessing changed the size: cropped, resized by half-pixel bilinear
    interpolation."""
    for step, (height, width) in reversed(trans_info):
        if step == "padding":
            score = score[:height, :width]
        else:
            score = cv2.resize(score, (width, height), interpolation=cv2.INTER_LINEAR)
    return score


def files_key(backend: str) -> str:
    """What ``Bundle.backends`` of a manifest calls the files that a backend runs.

    Raises:
        ValueError: unknown name.
    """
    if backend not in _BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; expected one of {', '.join(_BACKENDS)}")
    return _BACKENDS[backend].files


def backend_class(name: str) -> type[Backend]:
    """The class behind a name of :data:`BACKENDS`.

    Raises:
        ValueError: unknown name.
        ImportError: its package is not installed.
    """
    files_key(name)
    entry = _BACKENDS[name]
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        raise ImportError(
            f"backend {name!r} needs the package {entry.package!r}, which is not installed; "
            "install it or use another backend"
        )
    return getattr(importlib.import_module(f"paddle_mobileseg.runtime.{entry.module}"), entry.class_name)


def check_options(backend: str, options: Mapping[str, Any]) -> None:
    """Whether a backend knows these options.

    Raises:
        ValueError: unknown backend, or an option that it does not have.
        ImportError: there are options, and its package is not installed.
    """
    if not options:
        return
    known = list(inspect.signature(backend_class(backend)).parameters)[2:]  # behind files and threads
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"backend {backend!r} has no option {unknown[0]!r}{did_you_mean(unknown[0], known)}; it has "
            f"{', '.join(known) or 'none'}"
        )
