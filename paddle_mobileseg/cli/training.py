"""The command ``train``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from paddle_mobileseg.cli.common import command, config_arguments, read_config

# Flags that take the place of the same key of train_config.
_OF_TRAIN_CONFIG = (
    "save_interval", "keep_checkpoint_max", "log_iters", "num_workers", "seed", "use_vdl", "early_stop",
    "precision", "amp_level", "accumulate", "channels_last", "freeze_backbone",
)  # fmt: skip


def add_train(commands: Any) -> None:
    parser = command(commands, "train", _train, "train a network")
    config_arguments(parser, required=True)
    parser.add_argument("--iters", type=int, help="iterations, in place of the configuration's")
    parser.add_argument("--batch_size", type=int, help="images a step, in place of the configuration's")
    parser.add_argument("--learning_rate", type=float, help="in place of the configuration's")
    parser.add_argument("--save_dir", help="folder for checkpoints and logs (output)")
    parser.add_argument("--save_interval", type=int, help="iterations between checkpoints (1000)")
    parser.add_argument("--keep_checkpoint_max", type=int, help="checkpoints to keep beside the best (5)")
    parser.add_argument("--log_iters", type=int, help="iterations between lines of the log (10)")
    parser.add_argument("--num_workers", type=int, help="processes that prepare batches (0)")
    parser.add_argument("--seed", type=int, help="of everything random (0)")
    _switch(parser, "do_eval", "evaluate at every checkpoint and keep the best")
    parser.add_argument("--early_stop", type=int, metavar="N", help="end after N evaluations in a row without gain")
    _switch(parser, "use_vdl", "write VisualDL logs")
    _add_how(parser)
    _add_start(parser)


def _add_how(parser: argparse.ArgumentParser) -> None:
    """How the steps are computed."""
    parser.add_argument("--use_ema", action="store_true", help="average the weights (decay 0.999 unless configured)")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), help="of the computation on a GPU (fp32)")
    parser.add_argument("--amp_level", choices=("O1", "O2"), help="of fp16 and bf16: O2 has more operators in it (O1)")
    parser.add_argument("--accumulate", type=int, metavar="N", help="batches whose gradients make one iteration (1)")
    _switch(parser, "to_static", "train the network as Paddle's static graph")
    _switch(parser, "channels_last", "let Paddle choose channels-last layouts (GPU, with fp16)")
    _switch(parser, "freeze_backbone", "leave the backbone's weights and statistics as they are")
    parser.add_argument(
        "--dry_run", action="store_true", help="make a few steps, say what the training needs, and write nothing"
    )


def _add_start(parser: argparse.ArgumentParser) -> None:
    """What training begins from."""
    parser.add_argument(
        "--resume",
        "--resume_model",
        dest="resume_model",
        metavar="PATH|auto",
        help="checkpoint folder to go on from; auto: the newest whole one in --save_dir",
    )
    parser.add_argument(
        "--allow_changes", action="store_true", help="resume although the configuration has been changed"
    )
    parser.add_argument(
        "--ignore_head",
        action="store_true",
        help="leave out the head's tensors of another shape in the weights of model.pretrained",
    )


def _switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.add_argument(f"--{name}", action="store_true", default=None, help=text)


def _train(args: argparse.Namespace) -> None:
    from paddle_mobileseg.engine import Trainer, TrainOptions
    from paddle_mobileseg.engine.interrupts import TrainingInterruptedError
    from paddle_mobileseg.engine.resuming import TrainingCompleteError

    def given(*flags: str) -> dict[str, Any]:
        return {name: getattr(args, name) for name in flags if getattr(args, name) is not None}

    if args.to_static:
        args.opts = [*args.opts, "to_static_training=True"]
    cfg = read_config(
        args,
        iters=args.iters,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        train_config=given(*_OF_TRAIN_CONFIG),
    )
    how = ("save_dir", "do_eval", "resume_model", "ignore_head", "allow_changes", "dry_run")
    settings = {**cfg.train_config, **given(*how)}
    if args.use_ema:
        settings.setdefault("ema_decay", 0.999)
    settings["to_static"] = cfg.data.get("to_static_training", False)
    options = TrainOptions(command=args.command_line, **settings)
    try:
        Trainer(cfg, options).run()
    except TrainingCompleteError as done:  # not an error: `until mobileseg train ... --resume auto; do :; done` ends
        print(done, file=sys.stderr)
    except TrainingInterruptedError as stop:
        raise KeyboardInterrupt(str(stop)) from None
