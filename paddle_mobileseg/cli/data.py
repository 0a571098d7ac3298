"""The commands about data sets: ``scenes``."""

from __future__ import annotations

import argparse
from typing import Any

from paddle_mobileseg.cli.common import command


def add_scenes(commands: Any) -> None:
    parser = command(commands, "scenes", _scenes, "write a data set of synthetic street scenes", False)
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--train", type=int, default=240, help="training images")
    parser.add_argument("--val", type=int, default=40, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other scenes")


def _scenes(args: argparse.Namespace) -> None:
    from paddle_mobileseg.data.synthetic import write_dataset

    write_dataset(args.output, train=args.train, val=args.val, seed=args.seed)
    print(f"scenes are in {args.output}")
