"""The command ``export``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddle_mobileseg import tables
from paddle_mobileseg.cli.common import command, config_arguments, open_checkpoint

if TYPE_CHECKING:
    import numpy as np

    from paddle_mobileseg.engine.checkpoint import Checkpoint
    from paddle_mobileseg.runtime import Bundle

_FORMATS = ("paddle", "paddle-legacy", "onnx", "lite-x86", "lite-arm")
_MOST_IMAGES = 8


def add_export(commands: Any) -> None:
    parser = command(
        commands, "export", _export, "export a network to a bundle and prove that it gives the same labels"
    )
    config_arguments(parser, required=False)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model_path", help="checkpoint folder, or weights: file, URL or name")
    model.add_argument("--network", help="a network of `mobileseg models` with random weights, to try a device with")
    parser.add_argument("--save_dir", default="output/inference_model", help="bundle folder to write")
    parser.add_argument(
        "--output_op", choices=("none", "softmax", "argmax", "vim"), default="argmax", help="what the graph gives"
    )
    parser.add_argument("--input_shape", nargs="+", type=int, help="N C H W, -1 for any (default: -1 3 -1 -1)")
    parser.add_argument(
        "--input_format",
        choices=("float32", "uint8"),
        default="float32",
        help="what the graph takes: normalised NCHW, or RGB bytes NHWC with the normalisation in the graph",
    )
    parser.add_argument("--resize_in_graph", action="store_true", help="with uint8: the graph resizes images too")
    parser.add_argument(
        "--image_size", nargs=2, type=int, metavar=("H", "W"), help="size of the images to be resized (default: any)"
    )
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--formats", nargs="+", choices=_FORMATS, default=["paddle", "onnx"], help="files to write")
    files.add_argument("--all", action="store_true", dest="every", help="all files that can be written on this machine")
    parser.add_argument(
        "--lite_precision",
        choices=("fp32", "fp16", "int8-weights", "int16-weights"),
        default="fp32",
        help="of Paddle Lite's files: fp16 computes in half precision (ARM only), int*-weights store smaller weights",
    )
    parser.add_argument("--calib_data", help="images for the parity check (default: those stored with the checkpoint)")
    parser.add_argument("--calib_labels", help="folder with their labels, <name>.png, for the change of IoU")
    parser.add_argument("--tolerance", type=float, default=0.999, help="least share of equal labels")
    parser.add_argument("--arm_runner", metavar="CMD", help="command that runs ARM files, so that they are proved too")
    parser.add_argument("--bisect", action="store_true", help="after a failure, find the first layer that differs")


def _export(args: argparse.Namespace) -> None:
    from paddle_mobileseg.export import Tolerance, export_checkpoint
    from paddle_mobileseg.export.exporter import size_in_network
    from paddle_mobileseg.export.request import Request
    from paddle_mobileseg.export.targets import TARGETS, unavailable

    request: dict[str, Any] = {
        "output_op": args.output_op,
        "input_shape": args.input_shape,
        "input_format": args.input_format,
        "resize_in_graph": args.resize_in_graph,
        "image_size": args.image_size,
        "lite_precision": args.lite_precision,
        "tolerance": Tolerance(label_agreement=args.tolerance),
        "arm_runner": args.arm_runner,
        "bisect": args.bisect,
    }
    checkpoint = _untrained(args) if args.network else open_checkpoint(args)
    if args.every and args.input_shape is None:
        request["input_shape"] = [1, 3, *size_in_network(checkpoint)]
        print(f"for one size, which Paddle Lite needs: --input_shape {' '.join(map(str, request['input_shape']))}")
    missing = unavailable(Request(**request).is_open) if args.every else {}
    formats = [name for name in TARGETS if name not in missing] if args.every else args.formats
    images, labels = _calibration(args)
    bundle = export_checkpoint(
        checkpoint,
        args.save_dir,
        calib_images=images,
        calib_labels=labels,
        command=args.command_line,
        formats=formats,
        **request,
    )
    print(bundle.summary())
    print(tables.plain(_target_rows(bundle, missing)))


def _untrained(args: argparse.Namespace) -> Checkpoint:
    from paddle_mobileseg.export.untrained import untrained_checkpoint

    if args.config or args.data_root or args.opts:
        raise ValueError("--network needs no --config, --data_root or --opts, which are for trained weights")
    return untrained_checkpoint(args.network)


def _calibration(args: argparse.Namespace) -> tuple[list[np.ndarray] | None, list[np.ndarray | None] | None]:
    """The images of --calib_data, and their labels where --calib_labels has them."""
    from paddle_mobileseg.data.input_files import find_images
    from paddle_mobileseg.data.reading import read_image, read_label

    if args.calib_data is None:
        if args.calib_labels is not None:
            raise ValueError("--calib_labels has labels for the images of --calib_data, which is missing")
        return None, None
    files = find_images(args.calib_data)[:_MOST_IMAGES]
    images = [read_image(file.path) for file in files]
    if args.calib_labels is None:
        return images, None
    folder = Path(args.calib_labels)
    paths = [folder / f"{file.name}.png" for file in files]
    if not any(path.is_file() for path in paths):
        raise FileNotFoundError(f"there is no label for any image: expected files such as {paths[0]}")
    labels = [read_label(path) if path.is_file() else None for path in paths]
    for path, image, label in zip(paths, images, labels, strict=True):
        if label is not None and label.shape != image.shape[:2]:
            (height, width), (own_height, own_width) = label.shape, image.shape[:2]
            raise ValueError(f"{path} is {width} x {height}, but its image is {own_width} x {own_height}")
    return images, labels


def _target_rows(bundle: Bundle, missing: Mapping[str, str]) -> list[tuple[str, ...]]:
    """A row for each file that a bundle holds for a runtime, and one for each that could not be written here."""
    rows: list[tuple[str, ...]] = [("target", "file", "MB", "ops", "labels equal", "as predict", "seconds", "")]
    parity = {row["stage"]: row for row in bundle.about["parity"]}
    for name, entry in bundle.about["targets"].items():
        backend = _backend(bundle, entry)
        row, end = (parity.get(f"{start}->{backend}") for start in ("dynamic", "predict"))
        for number, file in enumerate(entry["files"]):
            size = f"{bundle.about['files'][file]['bytes'] / 1e6:.2f}"
            if number:
                rows.append(("", file, size, "", "", "", "", ""))
                continue
            equal, whole = ("not run" if each is None else f"{each['label_agreement']:.4%}" for each in (row, end))
            said = "no ARM runner here; its operators were checked (--arm_runner runs it)" if row is None else ""
            rows.append((name, file, size, str(entry["operators"]), equal, whole, f"{entry['seconds']:.1f}", said))
    return rows + [(name, "", "", "", "", "", "", f"not written: {why}") for name, why in missing.items()]


def _backend(bundle: Bundle, entry: dict[str, Any]) -> str:
    return next(name for name, files in bundle.about["backends"].items() if files == entry["files"])
