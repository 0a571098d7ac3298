"""The command ``infer``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from paddle_mobileseg.cli.common import EXIT_USER_ERROR, command


def add_infer(commands: Any) -> None:
    text = "label images and videos with an exported bundle; needs no PaddlePaddle but for its own backends"
    parser = command(commands, "infer", _infer, text, False)
    parser.add_argument("--bundle", required=True, help="bundle folder")
    parser.add_argument(
        "--backend",
        default="onnxruntime",
        help="what runs it: one that the bundle has files for, such as onnxruntime, paddle, tensorrt, lite",
    )
    parser.add_argument("--input", required=True, help="an image, a video, a folder of them, or a .txt list of images")
    parser.add_argument("--save_dir", default="output/result", help="output folder")
    parser.add_argument("--threads", type=int, help="of the network's operators (default: all cores)")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the colours in overlays, 0 to 1")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="for the backends that have both")
    parser.add_argument(
        "--options", nargs="+", default=[], metavar="KEY=VALUE", help="of the backend, such as precision=fp16"
    )


def _infer(args: argparse.Namespace) -> int:
    from paddle_mobileseg.runtime.inference import infer

    # FFmpeg's own messages name no file; ours do. -8 is its AV_LOG_QUIET.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    done = infer(_session(args), args.input, args.save_dir, args.alpha)
    images, videos = (
        f"{n} {kind}{'' if n == 1 else 's'}" for n, kind in zip(done[:2], ("image", "video"), strict=True)
    )
    what = f"{images} and {videos}, whose sound is not copied," if done.videos else images
    print(f"labelled {what} into {args.save_dir}")
    for line in done.failures:
        print(f"error: {line}", file=sys.stderr)
    return EXIT_USER_ERROR if done.failures else 0


def _session(args: argparse.Namespace) -> Any:
    from paddle_mobileseg.runtime import Session

    options = backend_options(args.options)
    if args.device is not None:
        options["device"] = args.device
    cores = re.match(r"\d+", os.environ["OMP_NUM_THREADS"])  # all, unless the user has set it; may be a list
    threads = args.threads if args.threads is not None else int(cores[0]) if cores else 1
    return Session(args.bundle, args.backend, threads, **options)


def backend_options(words: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words as arguments of a backend; ``true``, ``false`` and numbers become such values, the rest text.

    Raises:
        ValueError: a word without ``=`` or without a name before it.
    """
    import yaml

    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise ValueError(f"--options {word!r} is not understood; expected KEY=VALUE, such as precision=fp16")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        options[key] = value if isinstance(value, (bool, int, float)) else text
    return options
