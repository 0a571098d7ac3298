"""What a bundle gives to a device: its ``.nb`` file, inputs as raw tensors, and the labels that they must have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark.pipeline import TOLERANCE, equal_labels
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.data.input_files import find_images
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.runtime.bundle import Bundle, load_bundle
from paddle_mobileseg.runtime.graph_input import GraphInput
from paddle_mobileseg.runtime.lite_backend import read_head
from paddle_mobileseg.runtime.session import output_labels

TARGETS = {"lite-arm": "arm", "lite": "x86"}  # backends that a device runs, and the processor of their files
_MOST_IMAGES = 8  # each is a process of its own on the device


@dataclass(frozen=True)
class Work:
    """One plan, read and checked on this side.

    Attributes:
        plan: what is to be measured.
        bundle: its bundle.
        model: the ``.nb`` file.
        version: of the converter that wrote it.
        target: ``arm`` or ``x86``.
        golden: inputs with the trained network's outputs.
        inputs: to measure with, all of one shape.
        kind: where they come from: ``golden`` or ``images``.
    """

    plan: Plan
    bundle: Bundle
    model: Path
    version: str
    target: str
    golden: list[tuple[np.ndarray, np.ndarray]]
    inputs: list[np.ndarray]
    kind: str


def read_work(plan: Plan) -> Work:
    """Read what a plan needs, before a device is asked for anything.

    Raises:
        FileNotFoundError, ValueError: a damaged bundle, one without a file for the backend or without golden inputs, a
            backend that devices do not run, options, images that are not there or of several sizes.
    """
    if plan.backend not in TARGETS:
        raise ValueError(
            f"the backend {plan.backend!r} does not run on a device, which has no Python for it; expected lite-arm "
            "(Paddle Lite's file for ARM), or lite for a device with an x86 processor"
        )
    if plan.options:
        raise ValueError(f"a device takes no options of the backend, but got {', '.join(plan.options)}; leave them out")
    bundle = load_bundle(plan.bundle)
    (model,) = bundle.files_of(plan.backend)
    bundle.verify([model])
    head = read_head(model, TARGETS[plan.backend])
    golden = bundle.golden()
    if not golden:
        raise ValueError(f"{plan.bundle} has no golden inputs to prove the device's labels with; export again")
    inputs = [x for x, _ in golden] if plan.images is None else _images(plan.images, bundle)
    if plan.images is None:
        inputs = [x for x in inputs if x.shape == inputs[0].shape]
    elif len({x.shape for x in inputs}) != 1:
        shapes = sorted({str(list(x.shape)) for x in inputs})
        raise ValueError(f"the images give inputs of several shapes, {', '.join(shapes)}; give images of one size")
    kind = "golden" if plan.images is None else "images"
    return Work(plan, bundle, model, head.version, TARGETS[plan.backend], golden, inputs, kind)


def _images(source: Path, bundle: Bundle) -> list[np.ndarray]:
    prepare = GraphInput(bundle.deploy, bundle.about["input"])
    inputs = [prepare(read_image(file.path))[0] for file in find_images(source)[:_MOST_IMAGES]]
    for x in inputs:
        prepare.check(x)
    return inputs


def write_tensor(folder: Path, x: np.ndarray, as_text: bool = False) -> Path:
    """A file called after the hash of a tensor: raw, C order, little-endian; or as text, a number a line."""
    raw = np.ascontiguousarray(x).astype(x.dtype.newbyteorder("<")).tobytes()
    digest = hashlib.sha256(raw + str(x.shape).encode()).hexdigest()[:16]
    path = folder / f"{digest}.{'txt' if as_text else 'bin'}"
    if as_text:
        path.write_text("\n".join(f"{value:.9g}" for value in x.ravel()) + "\n", encoding="ascii")
    else:
        path.write_bytes(raw)
    return path


def read_output(path: Path, said: dict[str, Any]) -> np.ndarray:
    """The output that a runner described.

    Raises:
        ValueError: another size, or values that are not finite.
    """
    dtype = np.dtype(said["dtype"])
    size = int(np.prod(said["shape"])) * dtype.itemsize
    if path.stat().st_size != size:
        raise ValueError(
            f"the runner wrote {path.stat().st_size} bytes of output; expected {size} for {dtype.name} {said['shape']}"
        )
    output = np.fromfile(path, dtype.newbyteorder("<")).astype(dtype).reshape(said["shape"])
    if not np.isfinite(output).all():
        raise ValueError("the device's output is not finite (NaN or infinite); is it a file of another precision?")
    return output


@dataclass
class Agreement:
    """Labels of a device against those of the trained network."""

    inputs: int = 0
    equal: int = 0
    pixels: int = 0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        """Count one input; outputs of another shape have no equal label."""
        self.inputs += 1
        self.pixels += output_labels(expected).size
        self.equal += equal_labels(found, expected)

    @property
    def share(self) -> float:
        return self.equal / self.pixels

    @property
    def passed(self) -> bool:
        return self.share >= TOLERANCE

    def section(self) -> dict[str, Any]:
        """The record's ``parity``."""
        return {
            "inputs": self.inputs,
            "label_agreement": self.share,
            "tolerance": TOLERANCE,
            "passed": self.passed,
        }


def class_count(output: np.ndarray, num_classes: int) -> int | None:
    """How many classes the labels of an output have; ``None`` where some are no classes."""
    labels = np.unique(output_labels(output))
    return None if labels[0] < 0 or labels[-1] >= num_classes else int(labels.size)
