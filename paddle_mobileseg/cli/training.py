"""The command ``train``."""

from __future__ import annotations

import argparse
from typing import Any

from paddle_mobileseg.cli.common import command, config_arguments, read_config


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
    parser.add_argument(
        "--do_eval", action="store_true", default=None, help="evaluate at every checkpoint and keep the best"
    )
    parser.add_argument("--use_vdl", action="store_true", default=None, help="write VisualDL logs")
    parser.add_argument("--use_ema", action="store_true", help="average the weights (decay 0.999 unless configured)")
    parser.add_argument("--resume_model", help="checkpoint folder to go on from")
    parser.add_argument(
        "--ignore_head",
        action="store_true",
        help="leave out the head's tensors of another shape in the weights of model.pretrained",
    )


def _train(args: argparse.Namespace) -> None:
    from paddle_mobileseg.engine import Trainer, TrainOptions
    from paddle_mobileseg.engine.interrupts import TrainingInterruptedError

    def given(*flags: str) -> dict[str, Any]:
        return {name: getattr(args, name) for name in flags if getattr(args, name) is not None}

    cfg = read_config(
        args,
        iters=args.iters,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        train_config=given("save_interval", "keep_checkpoint_max", "log_iters", "num_workers", "seed", "use_vdl"),
    )
    settings = {**cfg.train_config, **given("save_dir", "do_eval", "resume_model")}
    if args.use_ema:
        settings.setdefault("ema_decay", 0.999)
    try:
        Trainer(cfg, TrainOptions(command=args.command_line, ignore_head=args.ignore_head, **settings)).run()
    except TrainingInterruptedError as stop:
        raise KeyboardInterrupt(str(stop)) from None
