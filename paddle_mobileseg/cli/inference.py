"""The commands ``val`` and ``predict``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from paddle_mobileseg.cli.common import (
    EXIT_USER_ERROR,
    augmentation,
    command,
    config_arguments,
    inference_arguments,
    open_checkpoint,
    read_config,
)

_MODEL_PATH = "checkpoint folder, or weights: file, URL or name"


def add_val(commands: Any) -> None:
    parser = command(commands, "val", _val, "evaluate a network or a bundle on the validation data")
    config_arguments(parser, required=False)
    parser.add_argument("--model_path", help=_MODEL_PATH)
    parser.add_argument("--bundle", help="evaluate this bundle, on the data of --config or of --model_path")
    parser.add_argument(
        "--backend",
        help="what runs the bundle, such as paddle, lite or tensorrt (onnxruntime)",
    )
    inference_arguments(parser, "aug_eval")
    parser.add_argument("--num_workers", type=int, help="processes that read images (0)")
    parser.add_argument("--save_dir", help="write val.json and a few predictions here")


def _val(args: argparse.Namespace) -> None:
    from paddle_mobileseg.engine import parallel
    from paddle_mobileseg.engine.evaluator import eval_settings
    from paddle_mobileseg.engine.validation import check_expected

    if args.backend is not None and args.bundle is None:
        raise ValueError("--backend says what runs a bundle; name one with --bundle")
    ranks = parallel.join()
    with parallel.failing_together(ranks):
        cfg, result, settings = (_evaluated if args.bundle is None else _evaluated_bundle)(args, ranks)
    if ranks.number == 0:
        print(result.table() if cfg.test_config.get("print_detail", True) else result.summary())
    usual = {"flip_vertical": False, "window": None, **eval_settings(cfg)}
    if {**usual, **settings, "batch_size": 1} == {**usual, "batch_size": 1}:
        check_expected(result, cfg)
    elif "expected" in cfg.test_config and ranks.number == 0:
        print("test_config.expected is not compared: it is for what test_config says, not for this", file=sys.stderr)


def _evaluated(args: argparse.Namespace, ranks: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Configuration, evaluation, and what the command line has changed of how it is made."""
    from paddle_mobileseg.engine.validation import validate

    checkpoint = _opened(args, ranks)
    cfg = checkpoint.config
    settings = augmentation(args, cfg.test_config)
    how = {"num_workers": _num_workers(args, cfg), "command": args.command_line, "ranks": ranks}
    return cfg, validate(checkpoint, save_dir=args.save_dir, **how, **settings), settings


def _evaluated_bundle(args: argparse.Namespace, ranks: Any) -> tuple[Any, Any, dict[str, Any]]:
    from paddle_mobileseg.engine.validation import validate_bundle
    from paddle_mobileseg.runtime import Session

    if args.augmented or args.is_slide or args.batch_size is not None:
        raise ValueError(
            "a bundle labels single images as they are; leave out --aug_eval, --is_slide and --batch_size, or evaluate "
            "the checkpoint"
        )
    if args.config is None and args.model_path is None:
        raise ValueError("--bundle needs --config or --model_path, which say what data to evaluate it on")
    cfg = read_config(args) if args.config is not None else _opened(args, ranks).config
    session = Session(args.bundle, args.backend or "onnxruntime", int(os.environ.get("OMP_NUM_THREADS", "1")))
    how = {"num_workers": _num_workers(args, cfg), "command": args.command_line, "ranks": ranks}
    result = validate_bundle(session, cfg, save_dir=args.save_dir, **how)
    return cfg, result, {"scales": [1.0], "flip": False, "flip_vertical": False, "window": None}


def add_predict(commands: Any) -> None:
    parser = command(commands, "predict", _predict, "predict labels for images")
    config_arguments(parser, required=False)
    parser.add_argument("--model_path", required=True, help=_MODEL_PATH)
    inference_arguments(parser, "aug_pred")
    parser.add_argument("--image_path", required=True, help="an image, a folder, or a .txt list")
    parser.add_argument("--save_dir", default="output/result", help="output folder")
    parser.add_argument(
        "--custom_color",
        nargs="+",
        type=int,
        metavar="N",
        help="red, green and blue of the first class, the second, ...",
    )


def _predict(args: argparse.Namespace) -> int:
    from paddle_mobileseg.data.preprocess import Preprocess
    from paddle_mobileseg.engine import parallel
    from paddle_mobileseg.engine.evaluator import eval_settings
    from paddle_mobileseg.engine.opening import build_network, val_transforms
    from paddle_mobileseg.engine.predictor import find_images, predict, recoloured
    from paddle_mobileseg.files import make_output_folder

    ranks = parallel.join()
    with parallel.failing_together(ranks):
        images = find_images(args.image_path)
        checkpoint = _opened(args, ranks)
        cfg = checkpoint.config
        palette = recoloured(checkpoint.palette, args.custom_color or cfg.test_config.get("custom_color") or [])
        preprocess = Preprocess.from_transforms(val_transforms(cfg))
        if ranks.number == 0:
            cfg.save(make_output_folder(args.save_dir) / "predict_config.yml")
        settings = {**eval_settings(cfg), **augmentation(args, cfg.test_config)}
        failures = predict(
            build_network(checkpoint), preprocess, images, args.save_dir, palette, ranks=ranks, **settings
        )
    if ranks.number == 0:
        print(f"predicted {len(images) - len(failures)} of {len(images)} images into {args.save_dir}")
        for line in failures:
            print(f"error: {line}", file=sys.stderr)
    return EXIT_USER_ERROR if failures else 0


def _opened(args: argparse.Namespace, ranks: Any) -> Any:
    """The model of --model_path; a download is the first process's, and the others find it on the disk."""
    from paddle_mobileseg.engine import parallel

    if args.model_path is None:
        raise ValueError("what shall be evaluated? --model_path names a checkpoint, --bundle an exported one")
    if ranks.number != 0:
        parallel.wait_for_all(ranks)
    checkpoint = open_checkpoint(args)
    if ranks.number == 0:
        parallel.wait_for_all(ranks)
    return checkpoint


def _num_workers(args: argparse.Namespace, cfg: Any) -> int:
    return cfg.test_config.get("num_workers", 0) if args.num_workers is None else args.num_workers
