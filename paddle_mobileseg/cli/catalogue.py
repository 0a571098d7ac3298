"""What there is: the commands ``models`` and ``weights``."""

from __future__ import annotations

import argparse
from typing import Any

from paddle_mobileseg.cli.common import command


def add_models(commands: Any) -> None:
    parser = command(commands, "models", _models, "list the networks: size, work, published accuracy")
    parser.add_argument("--markdown", action="store_true", help="as the page docs/reference/networks.md")


def _models(args: argparse.Namespace) -> None:
    from paddle_mobileseg import networks, tables

    print(networks.reference_page() if args.markdown else tables.plain(networks.table()))


def add_weights(commands: Any) -> None:
    from paddle_mobileseg.weights.commands import add_commands

    text = "published weights: list, download, convert"
    parser = commands.add_parser("weights", help=text, description=text)
    add_commands(parser.add_subparsers(metavar="COMMAND", required=True), command)
