"""Export: one checkpoint to one bundle, proved before it takes its place."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

import paddle_mobileseg
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.data.synthetic import render_scene
from paddle_mobileseg.engine.checkpoint import Checkpoint
from paddle_mobileseg.engine.inference import infer_labels
from paddle_mobileseg.engine.opening import build_network, val_transforms
from paddle_mobileseg.export import onnx_convert, parity
from paddle_mobileseg.export.request import (
    BACKEND_OF,
    check_request,
    check_target,
    checked_shape,
    deploy_transforms,
    describe_normalization,
)
from paddle_mobileseg.export.static import GRAPH, INPUT_NAME, WEIGHTS, DeployNetwork, save_static
from paddle_mobileseg.files import atomic_path
from paddle_mobileseg.layers import eval_mode
from paddle_mobileseg.machine import package_versions
from paddle_mobileseg.models.complexity import count
from paddle_mobileseg.runtime.bundle import GOLDEN, Bundle, describe_files, load_bundle, write_manifest
from paddle_mobileseg.runtime.session import Session, available_backends

_LOGGER = logging.getLogger("paddle_mobileseg")

# Golden tensors of one bundle; logits of large images would fill a phone.
_MAX_GOLDEN_BYTES = 64 * 2**20
_DRAWN_IMAGES = 4
CONFIG = "config.yml"  # that the network was trained with
_OUTPUT_KINDS = {"none": "logits", "softmax": "probabilities", "argmax": "labels", "vim": "labels"}


def export_checkpoint(
    checkpoint: Checkpoint,
    save_dir: str | Path,
    output_op: str = "argmax",
    input_shape: Sequence[int | None] | None = None,
    formats: Sequence[str] = ("paddle", "onnx"),
    calib_images: Sequence[np.ndarray] | None = None,
    tolerance: parity.Tolerance | None = None,
    command: str | None = None,
) -> Bundle:
    """Write a bundle and prove that its files give what the checkpoint's network gives.

    Everything is written beside ``save_dir`` under a temporary name, and takes its place only if parity holds; a
    bundle that is there already is kept until then.

    Args:
        checkpoint: what to export.
        save_dir: the bundle's folder: new, empty, or a bundle to replace.
        output_op: what the graph gives: ``none`` (logits), ``softmax``, ``argmax`` or ``vim`` (int32 labels).
        input_shape: [N, C, H, W], -1 or ``None`` for any; ``None`` as a whole: all but the channels. With H and W
            fixed, images are resized to that size; otherwise they go through the configuration's
            ``export.transforms`` or, without those, evaluation's transforms.
        formats: some of ``paddle`` and ``onnx``.
        calib_images: ``[H, W, 3]`` uint8 RGB images for parity; by default those stored with the checkpoint, or
            synthetic street scenes where it has none.
        tolerance: of parity.
        command: that repeats the export, for the report.

    Returns:
        the bundle.

    Raises:
        ValueError: wrong arguments, no images, weights that are not finite, or a folder that is not to be replaced.
        ConversionError: (a ValueError) the ONNX converter failed.
        ParityError: (a ValueError) an exported file does not give the network's labels.
        ImportError: a backend that is needed for the proof is not installed.
        OSError: the folder cannot be written.
    """
    check_request(output_op, formats)
    shape = checked_shape(input_shape)
    target = Path(os.path.realpath(save_dir))
    check_target(target)
    _check_backends(formats)
    network = build_network(checkpoint)
    _check_finite(network)
    transforms = deploy_transforms(_transforms(checkpoint), shape)
    images = _images(checkpoint, calib_images)
    deploy = {
        **({"model": GRAPH, "params": WEIGHTS} if "paddle" in formats else {}),
        "transforms": transforms,
        "input_shape": shape,
        "output_op": output_op,
        "output_dtype": "float32" if output_op in ("none", "softmax") else "int32",
    }
    with atomic_path(target) as folder:
        folder.mkdir()
        about = _write_bundle(folder, checkpoint, network, deploy, formats, images, command)
        about["parity"] = _prove(folder, network, images, tolerance or parity.Tolerance(), Path(save_dir))
        write_manifest(folder, deploy, about)
    return load_bundle(save_dir)


def _check_backends(formats: Sequence[str]) -> None:
    for each in formats:
        if BACKEND_OF[each] not in available_backends():
            raise ImportError(
                f"format {each!r} is proved with {BACKEND_OF[each]}, which is not installed; "
                "install it, or leave out this format"
            )


def _check_finite(network: nn.Layer) -> None:
    for name, tensor in network.state_dict().items():
        if not np.isfinite(tensor.numpy()).all():
            raise ValueError(
                f"weight {name} of the checkpoint is not finite (did training diverge?); export another one"
            )


def _transforms(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """PaddleSeg's key ``export.transforms``, otherwise evaluation's transforms."""
    return checkpoint.config.export.get("transforms") or val_transforms(checkpoint.config)


def _images(checkpoint: Checkpoint, given: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    """Images for golden tensors and parity: those given, else those stored with the checkpoint, else drawn ones."""
    if given is not None:
        if len(given) == 0:
            raise ValueError("there are no images to prove the export on; give some with --calib_data")
        return list(given)
    if checkpoint.samples:
        return [read_image(image) for image, _ in checkpoint.samples]
    _LOGGER.warning(
        "no images come with %s: proving the export on synthetic street scenes; --calib_data takes your own",
        checkpoint.folder,
    )
    return [render_scene(seed)[0] for seed in range(_DRAWN_IMAGES)]


def _batch(x: np.ndarray, input_shape: Sequence[int]) -> np.ndarray:
    """A graph's input ``[N, C, H, W]`` of a preprocessed image: the image N times."""
    return np.repeat(x[None], max(input_shape[0], 1), axis=0)


def _write_bundle(
    folder: Path,
    checkpoint: Checkpoint,
    network: nn.Layer,
    deploy: dict[str, Any],
    formats: Sequence[str],
    images: list[np.ndarray],
    command: str | None,
) -> dict[str, Any]:
    """Write all files of a bundle; returns the manifest's section ``Bundle``, which lacks ``parity`` yet."""
    preprocess = Preprocess.from_transforms(deploy["transforms"])
    inputs = [_batch(preprocess(image)[0], deploy["input_shape"]) for image in images]
    backends = _write_graphs(network, folder, deploy["output_op"], deploy["input_shape"], formats)
    _write_golden(folder / GOLDEN, DeployNetwork(network, deploy["output_op"]), inputs)
    checkpoint.config.save(folder / CONFIG)
    about = _describe(checkpoint, network, deploy, inputs[0].shape[2:], command)
    about["backends"] = backends
    graph_files = sorted(name for names in backends.values() for name in names)
    about["files"] = describe_files(folder, [*graph_files, GOLDEN, CONFIG])
    write_manifest(folder, deploy, about)
    return about


def _write_graphs(
    network: nn.Layer, folder: Path, output_op: str, shape: Sequence[int], formats: Sequence[str]
) -> dict[str, list[str]]:
    """Write the files of all formats; returns the names of each backend's."""
    _LOGGER.info("writing the static graph")
    paddle_files = save_static(network, folder, output_op, shape)
    backends = {}
    if "onnx" in formats:
        _LOGGER.info("converting to ONNX")
        onnx_convert.convert(folder / GRAPH, folder / WEIGHTS, folder / onnx_convert.ONNX_FILE)
        backends[BACKEND_OF["onnx"]] = [onnx_convert.ONNX_FILE]
    if "paddle" in formats:
        backends[BACKEND_OF["paddle"]] = paddle_files
    else:
        for name in paddle_files:
            (folder / name).unlink()
    return backends


def _run_dynamic(reference: DeployNetwork, x: np.ndarray) -> np.ndarray:
    with paddle.no_grad(), eval_mode(reference):
        output = reference(paddle.to_tensor(x)).numpy()
    if not np.isfinite(output).all():
        raise ValueError(
            "the network's own output is not finite, so there is nothing to compare with; export another checkpoint"
        )
    return output


def _write_golden(path: Path, reference: DeployNetwork, inputs: list[np.ndarray]) -> None:
    tensors: dict[str, np.ndarray] = {}
    for i, x in enumerate(inputs):
        pair = {f"input_{i}": x, f"output_{i}": _run_dynamic(reference, x)}
        if tensors and sum(a.nbytes for a in (*tensors.values(), *pair.values())) > _MAX_GOLDEN_BYTES:
            break
        tensors.update(pair)
    np.savez_compressed(path, allow_pickle=False, **tensors)


def _prove(
    folder: Path, network: nn.Layer, images: list[np.ndarray], tolerance: parity.Tolerance, save_dir: Path
) -> list[dict[str, Any]]:
    """Compare every backend with the network; returns the manifest's ``parity``.

    ``dynamic->BACKEND`` compares what the graph gives for one input. ``predict->BACKEND`` goes from end to end: the
    labels of evaluation and prediction (with the bundle's transforms) against those of :class:`Session`, at the
    images' own size. Both resize logits, so that the same tolerance holds, except where the graph gives labels: those
    can only be resized as they are (nearest), which moves boundaries whatever the graph's quality; it is measured.
    """
    bundle = load_bundle(folder)
    names = sorted(bundle.about["backends"], key=list(BACKEND_OF.values()).index)
    _LOGGER.info("comparing with the network on %d images: %s", len(images), ", ".join(names))
    sessions = {name: Session(folder, backend=name, threads=os.cpu_count() or 1) for name in names}
    graphs = {name: parity.ParityMeter(f"dynamic->{name}", tolerance) for name in names}
    preprocessed = [Preprocess.from_transforms(bundle.deploy["transforms"])(image) for image in images]
    resized = any(
        step == "resize" and image.shape[:2] != x.shape[1:]
        for image, (x, trans_info) in zip(images, preprocessed, strict=True)
        for step, _ in trans_info
    )
    limit = None if resized and bundle.deploy["output_dtype"] == "int32" else tolerance
    whole = {name: parity.ParityMeter(f"predict->{name}", limit) for name in names}
    reference = DeployNetwork(network, bundle.output_op)
    for image, (x, trans_info) in zip(images, preprocessed, strict=True):
        batch = _batch(x, bundle.input_shape)
        expected = _run_dynamic(reference, batch)
        with eval_mode(network):
            labels = infer_labels(network, x[None], trans_info)
        for name, session in sessions.items():
            graphs[name].add(expected, session.run_tensor(batch))
            whole[name].add(labels[None], session.run(image)[None])
    results = [meter.result() for meter in (*graphs.values(), *whole.values())]
    for result in results:
        parity.check(result, hint=f"Nothing was written to {save_dir}.")
    return results


def _describe(
    checkpoint: Checkpoint, network: nn.Layer, deploy: dict[str, Any], sample_hw: Sequence[int], command: str | None
) -> dict[str, Any]:
    """The section ``Bundle`` of the manifest, less backends, files and parity."""
    num_classes = checkpoint.config.num_classes
    shape = deploy["input_shape"]
    labels = deploy["output_dtype"] == "int32"
    size_hw = shape[2:] if shape[2] != -1 else list(sample_hw)
    num_parameters, macs = count(network, size_hw)
    return {
        "network": checkpoint.config.model["type"],
        "num_classes": num_classes,
        "class_names": list(checkpoint.class_names),
        "palette": np.asarray(checkpoint.palette).tolist(),
        "ignore_index": checkpoint.ignore_index,
        "input": {
            "name": INPUT_NAME,
            "layout": "NCHW",
            "dtype": "float32",
            "channel_order": "RGB",
            "size_hw": shape[2:] if shape[2] != -1 else "dynamic",
            **describe_normalization(deploy["transforms"]),
        },
        "output": {
            "kind": _OUTPUT_KINDS[deploy["output_op"]],
            "dtype": deploy["output_dtype"],
            "shape": [shape[0], *([] if labels else [num_classes]), *shape[2:]],
        },
        "num_parameters": num_parameters,
        "macs": macs,
        "macs_size_hw": size_hw,
        "metrics": checkpoint.metrics,
        "source_checkpoint_sha256": checkpoint.sha256,
        "command": command,
        "versions": {
            "python": platform.python_version(),
            **package_versions(),
            "paddle_mobileseg": paddle_mobileseg.__version__,
        },
    }
