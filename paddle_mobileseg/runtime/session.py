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
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from paddle_mobileseg.data.preprocess import Preprocess, TransInfo
from paddle_mobileseg.runtime.bundle import load_bundle


class Backend(Protocol):
    """What runs a graph.

    Args:
        files: those of the bundle that this backend runs; their hashes were checked.
        threads: of the network's operators.
        options: what only this backend knows, such as TensorRT's precision.
    """

    def __init__(self, files: list[Path], threads: int, **options: Any) -> None: ...

    def run(self, x: np.ndarray) -> np.ndarray:
        """float32 NCHW, contiguous, of a size that the graph takes, to an array that later runs leave alone."""
        ...


class _Entry(NamedTuple):
    module: str  # here; imported when the backend is asked for
    class_name: str
    files: str  # what `Bundle.backends` of the manifest calls the files that it runs
    package: str | None  # that must be installed


_BACKENDS = {
    "onnxruntime": _Entry("onnxruntime_backend", "OnnxRuntimeBackend", "onnxruntime", "onnxruntime"),
    "paddle": _Entry("paddle_backend", "PaddleBackend", "paddle", "paddle"),
    "paddle-legacy": _Entry("paddle_backend", "PaddleBackend", "paddle-legacy", "paddle"),
}
BACKENDS = tuple(_BACKENDS)


def available_backends() -> list[str]:
    """Names of the backends whose package is installed."""
    return [
        name
        for name, entry in _BACKENDS.items()
        if entry.package is None or importlib.util.find_spec(entry.package) is not None
    ]


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

    Raises:
        FileNotFoundError: no bundle there, or a file of it is missing.
        ValueError: a damaged bundle, one without files for the backend, an unknown backend, or a file that it cannot
            load.
        ImportError: the backend's package is not installed.
    """

    def __init__(self, bundle_dir: str | Path, backend: str = "onnxruntime", threads: int = 1, **options: Any) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads is {threads!r}; expected a whole number of at least 1")
        self.backend = backend
        self.threads = threads
        self.bundle = load_bundle(bundle_dir)
        runner_class = _backend_class(backend)
        files = self.bundle.files_of(_BACKENDS[backend].files)
        self.bundle.verify(files)
        self._preprocess = Preprocess.from_transforms(self.bundle.deploy["transforms"])
        self._runner = runner_class(files, threads, **options)

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
        x, trans_info = self._preprocess(image)
        batch = np.repeat(x[None], max(self.bundle.input_shape[0], 1), axis=0)
        output = self.run_tensor(batch)[0]
        if output.ndim == 3:
            return restored_labels(output, trans_info, probabilities=self.bundle.output_op == "softmax")
        labels = self._preprocess.restore(output.astype(np.int32, copy=False), trans_info)
        return np.ascontiguousarray(labels)

    def run_tensor(self, x: np.ndarray) -> np.ndarray:
        """The graph's raw output.

        Args:
            x: ``[N, C, H, W]`` float32, preprocessed, of the shape in the manifest (-1 there: any).

        Returns:
            logits or probabilities ``[N, classes, H, W]`` float32, or labels ``[N, H, W]`` int32.

        Raises:
            ValueError: another dtype or shape.
        """
        _check_input(x, self.bundle.input_shape)
        return self._runner.run(np.ascontiguousarray(x))


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


def _backend_class(name: str) -> type[Backend]:
    if name not in _BACKENDS:
        raise ValueError(f"unknown backend {name!r}; expected one of {', '.join(_BACKENDS)}")
    entry = _BACKENDS[name]
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        raise ImportError(
            f"backend {name!r} needs the package {entry.package!r}, which is not installed; "
            "install it or use another backend"
        )
    return getattr(importlib.import_module(f"paddle_mobileseg.runtime.{entry.module}"), entry.class_name)


def _check_input(x: Any, expected: list[int]) -> None:
    shape = ", ".join("any" if n == -1 else str(n) for n in expected)
    wanted = f"expected a float32 array [N, C, H, W] = [{shape}]"
    if not isinstance(x, np.ndarray):
        raise ValueError(f"{wanted}, but got {type(x).__name__}")
    fits = x.ndim == 4 and all(n > 0 and want in (-1, n) for n, want in zip(x.shape, expected, strict=True))
    if x.dtype != np.float32 or not fits:
        raise ValueError(f"{wanted}, but got {x.dtype} {list(x.shape)}")
