"""From camera frames to labels through a bundle: what the measuring loop runs, on which images, and its parity."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.samples import golden_images
from paddle_mobileseg.data.input_files import find_images
from paddle_mobileseg.data.preprocess import TransInfo, resize_nearest
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.runtime.bundle import GOLDEN, Bundle
from paddle_mobileseg.runtime.session import Session, files_key, output_labels

MOST_IMAGES = 16  # of a folder; they stay in memory
RUNS_OF_IMAGE = 5  # fewer of each do not tell noise from what images differ by
TOLERANCE = 0.999  # share of labels, where the export states none

_RANDOM_HW = (512, 512)  # where a graph takes any size and there is no image
_LATE_S = 2.0  # how long an output that misses is looked at again
_IN_THIS_PROCESS = ("onnxruntime", "paddle", "paddle-legacy")  # and on its processor


class SessionPipeline:
    """A session as a :class:`paddle_mobileseg.benchmark.timing.Pipeline`.

    Where the graph has one size and the transforms do not bring an image to it, the image is resized before
    (bilinear), and the labels are taken back (nearest), as an application has to.

    Args:
        session: loaded.
        frame: one image, ``[H, W, 3]`` uint8 RGB; the others have its size.

    Attributes:
        backend: the session's.
        cpu_clock: nanoseconds of processor time of the process that computes; ``None`` where it is another kind of
            processor or not known.
    """

    def __init__(self, session: Session, frame: np.ndarray) -> None:
        self._session = session
        self.backend: Any = session.runner
        self.cpu_clock = _cpu_clock(session)
        self._resize_hw = _missing_resize(session, frame)

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, tuple[TransInfo, tuple[int, int]]]:
        height, width = image.shape[:2]
        if self._resize_hw is not None:
            image = cv2.resize(image, self._resize_hw[::-1], interpolation=cv2.INTER_LINEAR)
        x, trans_info = self._session.prepare(image)
        return x, (trans_info, (height, width))

    def finish(self, output: np.ndarray, info: tuple[TransInfo, tuple[int, int]]) -> np.ndarray:
        trans_info, (height, width) = info
        return resize_nearest(self._session.finish(output, trans_info), height, width)


def _missing_resize(session: Session, frame: np.ndarray) -> tuple[int, int] | None:
    try:
        session.prepare(frame)
    except ValueError:
        shape = session.bundle.input_shape
        height, width = shape[1:3] if session.bundle.about["input"].get("dtype") == "uint8" else shape[2:]
        if min(height, width) < 1:
            raise
        return height, width
    return None


def _cpu_clock(session: Session) -> Callable[[], int] | None:
    if session.backend in _IN_THIS_PROCESS:
        return time.process_time_ns
    pid = getattr(session.runner, "pid", None)
    if pid is None or not hasattr(time, "clock_gettime_ns"):
        return None
    clock = (~pid << 3) | 2  # as clock_getcpuclockid(3) of Linux: all threads of the process
    try:
        time.clock_gettime_ns(clock)
    except OSError:
        return None
    return lambda: time.clock_gettime_ns(clock)


@dataclass(frozen=True)
class Frames:
    """What is measured with.

    Attributes:
        kind: ``golden``, ``images`` or ``random``, as in a record.
        images: ``[H, W, 3]`` uint8 RGB of one size.
    """

    kind: str
    images: list[np.ndarray]

    @property
    def size_hw(self) -> list[int]:
        """Height and width of all."""
        return [int(side) for side in self.images[0].shape[:2]]


def load_frames(plan: Plan, bundle: Bundle, min_runs: int | None = None) -> Frames:
    """The plan's images; without any, those behind the bundle's golden inputs; without those, noise.

    Of a folder at most ``MOST_IMAGES`` are taken, and no more than ``min_runs`` runs meet ``RUNS_OF_IMAGE`` times each.
    Images are resized (bilinear) to ``plan.frame_hw``, or else to the first one's size: a camera has one.

    Raises:
        FileNotFoundError: no such image or folder.
        ValueError: no image in the folder, one that cannot be read, or a frame size out of range.
    """
    if plan.frame_hw is not None and not all(type(side) is int and 1 <= side <= 1 << 14 for side in plan.frame_hw):
        raise ValueError(f"frame_hw is {plan.frame_hw}; expected height and width in pixels, 1 to 16384")
    if plan.images is not None:
        most = MOST_IMAGES if min_runs is None else max(1, min(MOST_IMAGES, min_runs // RUNS_OF_IMAGE))
        kind, images = "images", [read_image(path) for path in _image_files(Path(plan.images), most)]
    elif GOLDEN in bundle.about["files"]:
        kind, images = "golden", golden_images(bundle)
        images = [image for image in images if image.shape == images[0].shape]
    else:
        kind, images = "random", [_noise(bundle)]
    size_hw = plan.frame_hw or images[0].shape[:2]
    return Frames(kind, [_resized(image, size_hw) for image in images])


def _image_files(source: Path, most: int) -> list[Path]:
    found = [file.path for file in find_images(source)]
    step = max(1, len(found) // most)
    return found[::step][:most]


def _noise(bundle: Bundle) -> np.ndarray:
    shape = bundle.input_shape
    sides = shape[1:3] if bundle.about["input"].get("dtype") == "uint8" else shape[2:]
    height, width = (side if side > 0 else usual for side, usual in zip(sides, _RANDOM_HW, strict=True))
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _resized(image: np.ndarray, size_hw: tuple[int, ...]) -> np.ndarray:
    if image.shape[:2] == tuple(size_hw):
        return image
    return cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class Parity:
    """Golden inputs through a backend: a record's section, and whether the outputs were late."""

    section: dict[str, Any]
    late: bool


def check_parity(session: Session, sleep: Callable[[float], object] = time.sleep) -> Parity | None:
    """Labels of the bundle's golden inputs against the trained network's; ``None`` where the bundle has none.

    What must be reached is the export's tolerance. Where the export found pixels whose label rounding decides (the
    network in float64 gives another), these may differ.

    Raises:
        FileNotFoundError, ValueError: the golden tensors are missing or damaged.
    """
    bundle = session.bundle
    if GOLDEN not in bundle.about["files"]:
        return None
    least = _tolerance(bundle, session.backend)
    pairs, pixels, equal, late, patient = bundle.golden(), 0, 0, False, True
    for x, expected in pairs:
        output = np.asarray(session.run_tensor(x))
        found = equal_labels(output, expected)
        waited = 0.0
        while patient and found < least * output_labels(expected).size and waited < _LATE_S:
            sleep(0.05)
            waited += 0.05
            again = equal_labels(output, expected)
            late, found = late or again > found, max(found, again)
        patient = patient and (late or waited == 0)  # what is wrong and stays wrong need not be waited for again
        equal += found
        pixels += output_labels(expected).size
    agreement = equal / pixels
    section = {
        "inputs": len(pairs),
        "label_agreement": agreement,
        "tolerance": least,
        "passed": agreement >= least,
    }
    return Parity(section, late)


def equal_labels(output: np.ndarray, expected: np.ndarray) -> int:
    """Pixels; those of another shape are all wrong."""
    if output.shape != expected.shape:
        return 0
    return int((output_labels(output) == output_labels(expected)).sum())


def _tolerance(bundle: Bundle, backend: str) -> float:
    hop = f"->{files_key(backend)}"
    parity = bundle.about.get("parity", [])
    rows = [row for row in parity if row["stage"].endswith(hop) and row.get("tolerance") is not None]
    least = min((row["tolerance"] for row in rows), default=TOLERANCE)
    undecided = max((row.get("undecided") or 0.0 for row in rows), default=0.0)
    return float(least * (1 - undecided))
