"""The proof of an export: the files just written against the trained network, hop by hop."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg.data.preprocess import Preprocess, TransInfo
from paddle_mobileseg.engine.inference import infer_labels
from paddle_mobileseg.export import bisect, parity
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec
from paddle_mobileseg.export.targets import TARGETS, Graphs, Target
from paddle_mobileseg.layers import eval_mode
from paddle_mobileseg.runtime.bundle import Bundle, load_bundle
from paddle_mobileseg.runtime.graph_input import GraphInput
from paddle_mobileseg.runtime.session import Session, backend_class

_LOGGER = logging.getLogger("paddle_mobileseg")
_THREADS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True)
class Proof:
    """What an export is proved on and with.

    Attributes:
        images: ``[H, W, 3]`` uint8 RGB.
        truth: for each image its true labels ``[H, W]``, or ``None``.
        transforms: of evaluation and prediction, at the size of the graph.
        tolerance: of every hop.
        arm_runner: command that runs ARM files; without it they are not run.
        bisect: whether to look for the layer when a hop fails.
    """

    images: list[np.ndarray]
    truth: list[np.ndarray | None]
    transforms: list[dict[str, Any]]
    tolerance: parity.Tolerance
    arm_runner: str | None = None
    bisect: bool = False


class Exact(DeployNetwork):
    """The trained network computed in float64, what comes before it included as the graph does it.

    Where its labels differ from the network's own in float32, rounding decides, and a file may decide either way.
    """

    def __init__(self, network: nn.Layer, spec: GraphSpec) -> None:
        super().__init__(copy.deepcopy(network), spec)
        self.network.to(dtype="float64")

    def _prepared(self, x: Tensor) -> Tensor:
        return super()._prepared(x).astype("float64")


def run_dynamic(reference: DeployNetwork, x: np.ndarray) -> np.ndarray:
    """What the network itself gives for a graph's input, in the graph's dtype.

    Raises:
        ValueError: it is not finite.
    """
    with paddle.no_grad(), eval_mode(reference):
        output = reference(paddle.to_tensor(x)).numpy()
    if not np.isfinite(output).all():
        raise ValueError(
            "the network's own output is not finite, so there is nothing to compare with; export another checkpoint"
        )
    return output.astype(reference.spec.output_dtype, copy=False)


def prove(
    folder: Path, reference: DeployNetwork, graphs: Graphs, formats: Sequence[str], proof: Proof, hint: str
) -> list[dict[str, Any]]:
    """Compare what was written with the trained network.

    ``dynamic->folded`` is what folding batch norms does; ``dynamic->BACKEND`` compares what a file gives for one input
    with the trained network. ``predict->BACKEND`` goes from end to end: the labels of evaluation and prediction (with
    the bundle's transforms) against those of :class:`Session`, at the images' own size. Both resize logits, so that the
    same tolerance holds, except where the graph gives labels: those can only be resized as they are (nearest), which
    moves boundaries whatever the graph's quality; it is measured. So is ``vim``, which differs from prediction wherever
    a class wins at full resolution only, and a graph that resizes images, which does not round to whole grey levels as
    OpenCV does. Where a hop fails, the network is computed in float64 too, and pixels at which
    float32 itself gives another label than float64 do not count against the file (see :class:`parity.ParityMeter`).

    Args:
        folder: the bundle, with a manifest that lacks ``parity``.
        reference: the trained network.
        graphs: what the files were made from.
        formats: names of :data:`TARGETS`.
        proof: images and limits.
        hint: the end of an error's message.

    Returns:
        the manifest's ``parity``.

    Raises:
        ParityError: naming the hop and, if asked for, the first layer that differs.
    """
    bundle = load_bundle(folder)
    runners = _sessions(folder, formats, proof.arm_runner)
    _LOGGER.info("comparing with the network on %d images: %s", len(proof.images), ", ".join(runners) or "the graph")
    rows = _compare(bundle, runners, reference, graphs, proof, None)
    if any(row["passed"] is False for row in rows):
        try:
            rows = _compare(bundle, runners, reference, graphs, proof, Exact(reference.network, reference.spec))
        except (ValueError, TypeError, RuntimeError) as error:
            _LOGGER.warning("the network cannot be computed in float64: %s", error)
    if any(row["passed"] is None and row["tolerance"] is not None for row in rows):
        _LOGGER.warning(
            "the network gives one class on all images, so equal labels prove nothing: give images with several "
            "classes (--calib_data), or export with --output_op none too"
        )
    _gate(rows, reference, graphs, GraphInput(bundle.deploy, bundle.about["input"]), proof, hint)
    return rows


def _compare(
    bundle: Bundle,
    runners: dict[str, Session],
    reference: DeployNetwork,
    graphs: Graphs,
    proof: Proof,
    exact: Exact | None,
) -> list[dict[str, Any]]:
    """All rows; with ``exact``, pixels at which rounding decides are told apart."""
    classes = (bundle.about["num_classes"], bundle.about["ignore_index"])
    folded = parity.ParityMeter("dynamic->folded", proof.tolerance)
    files = {name: parity.ParityMeter(f"dynamic->{name}", proof.tolerance) for name in runners}
    limit = _end_limit(bundle, proof)
    ends = {name: parity.ParityMeter(f"predict->{name}", limit, *classes) for name in runners}
    prepare = GraphInput(bundle.deploy, bundle.about["input"])
    network_input = Preprocess.from_transforms(proof.transforms)
    for image, truth in zip(proof.images, proof.truth, strict=True):
        batch = varied_batch(prepare(image)[0], prepare.shape[0])
        expected = run_dynamic(reference, batch)
        exactly = None if exact is None else run_dynamic(exact, batch)
        folded.add(expected, run_dynamic(graphs.deploy, batch), exact=exactly)
        x, trans_info = network_input(image)
        labels = _predicted(reference.network, x, trans_info)
        exact_labels = None if exact is None else _predicted(exact.network, x, trans_info)
        true_labels = None if truth is None else truth[None]
        for name, session in runners.items():
            files[name].add(expected, session.run_tensor(batch), exact=exactly)
            ends[name].add(labels, session.run(image)[None], true_labels, exact_labels)
    return [meter.result() for meter in (folded, *files.values(), *ends.values())]


def varied_batch(x: np.ndarray, size: int) -> np.ndarray:
    """A batch of different images from one: the image, mirrored, upside down, both, and again.

    Args:
        x: a graph's input of one image, or of its copies.
        size: of the graph's batch; -1, any, gives two.
    """
    height, width = (1, 2) if x.shape[3] == 3 and x.dtype == np.uint8 else (2, 3)
    one = x[:1]
    turned = [one, np.flip(one, width), np.flip(one, height), np.flip(one, (height, width))]
    return np.ascontiguousarray(np.concatenate([turned[i % 4] for i in range(2 if size == -1 else size)]))


def _predicted(network: nn.Layer, x: np.ndarray, trans_info: TransInfo) -> np.ndarray:
    """What prediction says of an image, ``[1, H, W]``."""
    dtype = str(next(iter(network.parameters())).dtype).removeprefix("paddle.")
    with eval_mode(network):
        return infer_labels(network, x[None].astype(dtype), trans_info)[None]


def _sessions(folder: Path, formats: Sequence[str], arm_runner: str | None) -> dict[str, Session]:
    """A session for each format that runs here, by the backend's name."""
    sessions = {}
    for name in formats:
        backend = TARGETS[name].backend
        if backend == "lite-arm":
            if arm_runner is None:
                continue
            sessions[backend] = Session(folder, backend, _THREADS, arm_runner=arm_runner)
        else:
            sessions[backend] = Session(folder, backend, _THREADS)
    return sessions


def _end_limit(bundle: Bundle, proof: Proof) -> parity.Tolerance | None:
    """The limit from end to end: none where labels are resized, VIM chooses the classes or the graph resizes, see
    :func:`prove`."""
    if bundle.output_op == "vim" or bundle.about["input"]["resize_hw"] is not None:
        return None
    if bundle.deploy["output_dtype"] != "int32":
        return proof.tolerance
    network_input = Preprocess.from_transforms(proof.transforms)
    for image in proof.images:
        x, trans_info = network_input(image)
        if any(step == "resize" and image.shape[:2] != x.shape[1:] for step, _ in trans_info):
            return None
    return proof.tolerance


def _gate(
    rows: list[dict[str, Any]],
    reference: DeployNetwork,
    graphs: Graphs,
    prepare: GraphInput,
    proof: Proof,
    hint: str,
) -> None:
    """Raise for the first row that failed, naming the hop between two neighbours that moved the labels."""
    failed = next((row for row in rows if row["passed"] is False), None)
    if failed is None:
        return
    target = next((t for t in TARGETS.values() if failed["stage"] == f"dynamic->{t.backend}"), None)
    said = [hint]
    if target is not None:
        batches = [varied_batch(prepare(image)[0], prepare.shape[0]) for image in proof.images]
        said.insert(0, _hop(target, reference, graphs, batches, proof.tolerance))
        if proof.bisect:
            _LOGGER.info("looking for the first layer that differs")
            options = {"arm_runner": proof.arm_runner} if target.backend == "lite-arm" else {}
            try:
                said.insert(1, bisect.first_difference(graphs, target, batches, proof.tolerance, options))
            except (ValueError, RuntimeError, OSError) as error:
                said.insert(1, f"The layer could not be found: {error}")
    parity.check(failed, " ".join(said))


def _hop(
    target: Target, reference: DeployNetwork, graphs: Graphs, batches: list[np.ndarray], tolerance: parity.Tolerance
) -> str:
    """Which step moved the labels: writing the Paddle graph, or what was made from it."""
    source = "paddle" if target.source == "current" else "paddle-legacy"
    if target.backend == source:
        return f"The hop is folded->{source}: the static graph itself differs."
    runner = backend_class(source)(getattr(graphs, target.source), _THREADS)
    meter = parity.ParityMeter(f"dynamic->{source}", tolerance)
    for batch in batches:
        meter.add(run_dynamic(reference, batch), runner.run(batch))
    row = meter.result()
    if row["passed"]:
        return f"The hop is {source}->{target.backend}: the static graph agrees ({row['label_agreement']:.4%})."
    return f"The hop is folded->{source}: the static graph differs already ({row['label_agreement']:.4%})."
