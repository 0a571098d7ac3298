"""Export: one checkpoint to one bundle, proved before it takes its place."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

import paddle_mobileseg
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.reading import read_image, read_label
from paddle_mobileseg.data.synthetic import render_scene
from paddle_mobileseg.engine.checkpoint import Checkpoint
from paddle_mobileseg.engine.opening import build_network, val_transforms
from paddle_mobileseg.export.fold import folded
from paddle_mobileseg.export.proof import Proof, prove, run_dynamic
from paddle_mobileseg.export.request import Request, check_target, deploy_transforms, describe_normalization
from paddle_mobileseg.export.static import GRAPH, INPUT_NAME, WEIGHTS, DeployNetwork, GraphSpec
from paddle_mobileseg.export.targets import TARGETS, Graphs
from paddle_mobileseg.files import atomic_path
from paddle_mobileseg.machine import package_versions
from paddle_mobileseg.models.complexity import count
from paddle_mobileseg.runtime.bundle import GOLDEN, Bundle, describe_files, load_bundle, write_manifest
from paddle_mobileseg.runtime.graph_input import GraphInput
from paddle_mobileseg.weights.identify import identify

_LOGGER = logging.getLogger("paddle_mobileseg")

# Golden tensors of one bundle; logits of large images would fill a phone.
_MAX_GOLDEN_BYTES = 64 * 2**20
_DRAWN_IMAGES = 4
CONFIG = "config.yml"  # that the network was trained with
_OUTPUT_KINDS = {"none": "logits", "softmax": "probabilities", "argmax": "labels", "vim": "labels"}


def export_checkpoint(
    checkpoint: Checkpoint,
    save_dir: str | Path,
    calib_images: Sequence[np.ndarray] | None = None,
    calib_labels: Sequence[np.ndarray | None] | None = None,
    command: str | None = None,
    **request: Any,
) -> Bundle:
    """Write a bundle and prove that its files give what the checkpoint's network gives.

    Everything is written beside ``save_dir`` under a temporary name, and takes its place only if parity holds; a
    bundle that is there already is kept until then.

    Args:
        checkpoint: what to export.
        save_dir: the bundle's folder: new, empty, or a bundle to replace.
        calib_images: ``[H, W, 3]`` uint8 RGB images for parity; by default those stored with the checkpoint, or
            synthetic street scenes where it has none.
        calib_labels: their true labels ``[H, W]`` (``None`` for an image without), for the change of IoU.
        command: that repeats the export, for the report.
        request: what to export; arguments of :class:`~paddle_mobileseg.export.request.Request`.

    Returns:
        the bundle.

    Raises:
        ValueError: wrong arguments, no images, weights that are not finite, or a folder that is not to be replaced.
        ConversionError: (a ValueError) a converter failed.
        ParityError: (a ValueError) an exported file does not give the network's labels.
        ImportError: a backend that is needed for the proof is not installed.
        OSError: the folder cannot be written.
    """
    asked = Request(**request)
    target = Path(os.path.realpath(save_dir))
    check_target(target)
    _check_tools(asked.formats)
    network = build_network(checkpoint)
    _check_finite(network)
    full = deploy_transforms(_transforms(checkpoint), asked.shape)
    spec, transforms = asked.graph(full)
    images, truth = _images(checkpoint, calib_images, calib_labels)
    _check_truth(truth, checkpoint)
    deploy = {
        **({"model": GRAPH, "params": WEIGHTS} if "paddle" in asked.formats else {}),
        "transforms": transforms,
        "input_shape": spec.graph_shape,
        "output_op": spec.output_op,
        "output_dtype": spec.output_dtype,
    }
    reference = DeployNetwork(network, spec)
    proof = Proof(images, truth, full, asked.tolerance, asked.arm_runner, asked.bisect)
    with atomic_path(target) as folder, tempfile.TemporaryDirectory(prefix="mobileseg-export-") as work:
        folder.mkdir()
        graphs = Graphs(DeployNetwork(folded(network), spec), spec, Path(work), asked.lite_precision)
        about = _describe(checkpoint, network, spec, full, images[0], command)
        _write_bundle(folder, checkpoint, reference, graphs, deploy, about, asked.formats, images)
        about["parity"] = prove(
            folder, reference, graphs, asked.formats, proof, hint=f"Nothing was written to {save_dir}."
        )
        write_manifest(folder, deploy, about)
    return load_bundle(save_dir)


def _check_tools(formats: Sequence[str]) -> None:
    for each in formats:
        if missing := TARGETS[each].missing():
            raise ImportError(f"format {each!r} cannot be written here: {missing}; or leave out this format")


def _check_finite(network: nn.Layer) -> None:
    for name, tensor in network.state_dict().items():
        if not np.isfinite(tensor.numpy()).all():
            raise ValueError(
                f"weight {name} of the checkpoint is not finite (did training diverge?); export another one"
            )


def _transforms(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """PaddleSeg's key ``export.transforms``, otherwise evaluation's transforms."""
    return checkpoint.config.export.get("transforms") or val_transforms(checkpoint.config)


def _images(
    checkpoint: Checkpoint, given: Sequence[np.ndarray] | None, labels: Sequence[np.ndarray | None] | None
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Images for golden tensors and parity, with their labels: those given, else those stored with the checkpoint,
    else drawn ones."""
    if given is not None:
        if len(given) == 0:
            raise ValueError("there are no images to prove the export on; give some with --calib_data")
        return list(given), list(labels) if labels is not None else [None] * len(given)
    if checkpoint.samples:
        truth = [None if label is None else _read_truth(checkpoint, label) for _, label in checkpoint.samples]
        return [read_image(image) for image, _ in checkpoint.samples], truth
    _LOGGER.warning(
        "no images come with %s: proving the export on synthetic street scenes; --calib_data takes your own",
        checkpoint.folder,
    )
    return [render_scene(seed)[0] for seed in range(_DRAWN_IMAGES)], [None] * _DRAWN_IMAGES


def _read_truth(checkpoint: Checkpoint, path: Path) -> np.ndarray | None:
    """A label file of the checkpoint's; ``None`` where its values are not classes of this network."""
    label = read_label(path)
    if checkpoint.config.val_dataset.get("type") == "ADE20K":
        label = label - np.uint8(1)  # its files count from 1; 0, which does not count, becomes 255
    counted = label[label != checkpoint.ignore_index]
    return label if not counted.size or counted.max() < checkpoint.config.num_classes else None


def _check_truth(truth: list[np.ndarray | None], checkpoint: Checkpoint) -> None:
    for number, label in enumerate(truth):
        counted = np.array(0) if label is None else label[label != checkpoint.ignore_index]
        if counted.size and not 0 <= counted.min() <= counted.max() < checkpoint.config.num_classes:
            raise ValueError(
                f"label {number} of the calibration images has the value {counted.max()}; expected 0 to "
                f"{checkpoint.config.num_classes - 1}, or {checkpoint.ignore_index} for what does not count"
            )


def _write_bundle(
    folder: Path,
    checkpoint: Checkpoint,
    reference: DeployNetwork,
    graphs: Graphs,
    deploy: dict[str, Any],
    about: dict[str, Any],
    formats: Sequence[str],
    images: list[np.ndarray],
) -> None:
    """Write all files of a bundle, and add to ``about`` what is known of them: backends, targets, files."""
    prepare = GraphInput(deploy, about["input"])
    inputs = [prepare(image)[0] for image in images]
    about["backends"], about["targets"] = {}, {}
    for name in (each for each in TARGETS if each in formats):
        _LOGGER.info("writing %s", name)
        written = TARGETS[name].write(graphs, folder)
        about["backends"][TARGETS[name].backend] = written.files
        about["targets"][name] = written.entry()
    _write_golden(folder / GOLDEN, reference, inputs)
    checkpoint.config.save(folder / CONFIG)
    graph_files = sorted(name for names in about["backends"].values() for name in names)
    about["files"] = describe_files(folder, [*graph_files, GOLDEN, CONFIG])
    write_manifest(folder, deploy, about)


def _write_golden(path: Path, reference: DeployNetwork, inputs: list[np.ndarray]) -> None:
    tensors: dict[str, np.ndarray] = {}
    for i, x in enumerate(inputs):
        pair = {f"input_{i}": x, f"output_{i}": run_dynamic(reference, x)}
        if tensors and sum(a.nbytes for a in (*tensors.values(), *pair.values())) > _MAX_GOLDEN_BYTES:
            break
        tensors.update(pair)
    np.savez_compressed(path, allow_pickle=False, **tensors)


def _describe(
    checkpoint: Checkpoint,
    network: nn.Layer,
    spec: GraphSpec,
    transforms: list[dict[str, Any]],
    image: np.ndarray,
    command: str | None,
) -> dict[str, Any]:
    """The section ``Bundle`` of the manifest, less backends, targets, files and parity."""
    num_classes = checkpoint.config.num_classes
    labels = spec.output_dtype == "int32"
    fixed = spec.network_hw[0] != -1
    size_hw = spec.network_hw if fixed else _size_of(transforms, image)
    num_parameters, macs = count(network, size_hw)
    return {
        "network": checkpoint.config.model["type"],
        "architecture": _architecture(checkpoint),
        "weights": "trained" if checkpoint.sha256 else "random",
        "num_classes": num_classes,
        "class_names": list(checkpoint.class_names),
        "palette": np.asarray(checkpoint.palette).tolist(),
        "ignore_index": checkpoint.ignore_index,
        "input": {
            "name": INPUT_NAME,
            "layout": spec.layout,
            "dtype": spec.input_format,
            "channel_order": "RGB",
            "size_hw": list(spec.input_shape[2:]) if spec.input_shape[2] != -1 else "dynamic",
            "resize_hw": None if spec.resize_hw is None else list(spec.resize_hw),
            **describe_normalization(transforms if spec.input_format == "float32" else []),
        },
        "output": {
            "kind": _OUTPUT_KINDS[spec.output_op],
            "dtype": spec.output_dtype,
            "shape": [spec.input_shape[0], *([] if labels else [num_classes]), *spec.network_hw],
        },
        "num_parameters": num_parameters,
        "macs": macs,
        "macs_size_hw": size_hw,
        "metrics": checkpoint.metrics,
        "source_checkpoint_sha256": checkpoint.sha256 or None,
        "command": command,
        "versions": {
            "python": platform.python_version(),
            **package_versions(),
            "paddle_mobileseg": paddle_mobileseg.__version__,
        },
    }


def _architecture(checkpoint: Checkpoint) -> str | None:
    """Its name in the list of networks, whatever a configuration calls its parts; ``None`` for any other."""
    match = identify(checkpoint.weights)
    return match.names[0] if match.share == 1 and not match.is_backbone else None


def size_in_network(checkpoint: Checkpoint) -> list[int]:
    """Height and width that the network gets of the first image stored with a checkpoint, or drawn."""
    return _size_of(_transforms(checkpoint), _images(checkpoint, None, None)[0][0])


def _size_of(transforms: list[dict[str, Any]], image: np.ndarray) -> list[int]:
    """Height and width that the network gets of an image."""
    return list(Preprocess.from_transforms(transforms)(image)[0].shape[1:])
