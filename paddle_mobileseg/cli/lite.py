"""Paddle Lite's environment: the command ``lite``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from paddle_mobileseg.cli.common import command


def add_lite(commands: Any) -> None:
    text = "Paddle Lite: its converter and x86 runtime, in an environment of their own"
    parser = commands.add_parser("lite", help=text, description=text)
    actions = parser.add_subparsers(metavar="COMMAND", required=True)
    setup = command(actions, "setup", _setup, "make the environment (once; 48 MB to download, 180 MB on disk)", False)
    setup.add_argument("--python", metavar="P", help="Python 3.8, 3.9 or 3.10 to make it with; else looked for")
    setup.add_argument("--force", action="store_true", help="make it again although there is one")


def _setup(args: argparse.Namespace) -> None:
    from paddle_mobileseg.runtime import lite_environment

    named = os.environ.get(lite_environment.VARIABLE)
    before = None if args.force else lite_environment.find()
    if before is not None:
        why = f"named by {lite_environment.VARIABLE}" if named else "--force makes it again"
        print(f"Paddle Lite {before.version} is there already: {before.python} ({why})")
        return
    print(f"Making an environment for Paddle Lite in {lite_environment.default_folder()}", flush=True)
    made = lite_environment.setup(args.python, args.force)
    print(f"Paddle Lite {made.version} is ready: {made.python}")
    if named:
        print(f"it is not used as long as {lite_environment.VARIABLE} is set to {named}")
