"""The commands ``val`` and ``predict``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from paddle_mobileseg.cli.common import (
    EXIT_USER_ERROR,
    augmentation,
    command,
    config_arguments,
    inference_arguments,
    open_checkpoint,
)


def add_val(commands: Any) -> None:
    parser = command(commands, "val", _val, "evaluate a network on the validation data")
    config_arguments(parser, required=False)
    inference_arguments(parser, "aug_eval")
    parser.add_argument("--num_workers", type=int, help="processes that read images (0)")
    parser.add_argument("--save_dir", help="write val.json and a few predictions here")


def _val(args: argparse.Namespace) -> None:
    from paddle_mobileseg.engine.validation import validate

    checkpoint = open_checkpoint(args)
    workers = checkpoint.config.test_config.get("num_workers", 0) if args.num_workers is None else args.num_workers
    result = validate(
        checkpoint,
        save_dir=args.save_dir,
        num_workers=workers,
        command=args.command_line,
        **augmentation(args),
    )
    print(result.table())


def add_predict(commands: Any) -> None:
    parser = command(commands, "predict", _predict, "predict labels for images")
    config_arguments(parser, required=False)
    inference_arguments(parser, "aug_pred")
    parser.add_argument("--image_path", required=True, help="an image, a folder, or a .txt list")
    parser.add_argument("--save_dir", default="output/result", help="output folder")


def _predict(args: argparse.Namespace) -> int:
    from paddle_mobileseg.data.preprocess import Preprocess
    from paddle_mobileseg.engine.opening import build_network, val_transforms
    from paddle_mobileseg.engine.predictor import find_images, predict
    from paddle_mobileseg.files import make_output_folder

    images = find_images(args.image_path)
    checkpoint = open_checkpoint(args)
    preprocess = Preprocess.from_transforms(val_transforms(checkpoint.config))
    checkpoint.config.save(make_output_folder(args.save_dir) / "predict_config.yml")
    failures = predict(
        build_network(checkpoint), preprocess, images, args.save_dir, checkpoint.palette, **augmentation(args)
    )
    print(f"predicted {len(images) - len(failures)} of {len(images)} images into {args.save_dir}")
    for line in failures:
        print(f"error: {line}", file=sys.stderr)
    return EXIT_USER_ERROR if failures else 0
