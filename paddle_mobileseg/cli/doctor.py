"""What works here and what does not: the command ``doctor``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from paddle_mobileseg.cli.common import EXIT_USER_ERROR, command


def add_doctor(commands: Any) -> None:
    text = "what is installed here, whether it works, and what to do about the rest"
    parser = command(commands, "doctor", _doctor, text, False)
    parser.add_argument("--json", action="store_true", help="for programs: one object with all checks")


def _doctor(args: argparse.Namespace) -> int:
    from paddle_mobileseg import doctor

    checks = doctor.examine()
    works = doctor.works(checks)
    print(json.dumps(doctor.record(checks), indent=1) if args.json else doctor.page(checks))
    return 0 if works else EXIT_USER_ERROR
