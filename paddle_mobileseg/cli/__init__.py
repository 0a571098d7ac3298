"""The command ``mobileseg``. ``tools/*.py`` are the same commands under PaddleSeg's names."""

from __future__ import annotations

import argparse
import io
import logging
import os
import shlex
import sys
from collections.abc import Sequence

from paddle_mobileseg.cli import benchmark, catalogue, common, data, doctor, export, infer, inference, lite, training
from paddle_mobileseg.cli.common import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, EXIT_USER_ERROR
from paddle_mobileseg.cli.missing import error_text
from paddle_mobileseg.cpu import import_paddle, keep_freed_memory, local_processes, use_all_cores


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: words behind the program's name; ``sys.argv`` by default.

    Returns:
        The exit status: 0, 1 after a user's mistake or a failed check, 130 after Ctrl-C.
    """
    args = _parser().parse_args(argv)
    args.command_line = _command_line(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    use_all_cores()
    keep_freed_memory()
    try:
        if args.needs_paddle:
            import_paddle()
            common.use_device(args.device)
        return args.run(args) or 0
    except KeyboardInterrupt as error:
        print(f"interrupted{': ' + str(error) if str(error) else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # who reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (ValueError, KeyError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        if args.debug:
            raise
        print(f"error: {error_text(error)}", file=sys.stderr)
        return EXIT_USER_ERROR


def _command_line(words: Sequence[str]) -> str:
    """What a user types to get the same again, for the record of a run; UTF-8, whatever names of files are."""
    words = [word.encode("utf-8", "backslashreplace").decode() for word in words]
    count = os.environ.get("PADDLE_TRAINERS_NUM", "")
    if not count.isdecimal() or int(count) < 2:  # what is no number is refused where processes meet
        return shlex.join(["mobileseg", *words])
    processes, local = int(count), local_processes()
    launch = ["python", "-m", "paddle.distributed.launch", "--nproc_per_node", str(local)]
    if processes > local:
        launch += ["--nnodes", str(processes // local), "--master", os.environ.get("PADDLE_MASTER", "HOST:PORT")]
    return shlex.join([*launch, f"tools/{words[0]}.py", *words[1:]])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mobileseg", description="Semantic segmentation for phones, with PaddlePaddle."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        data.add_scenes,
        data.add_import_dataset,
        data.add_check_dataset,
        training.add_train,
        inference.add_val,
        inference.add_predict,
        export.add_export,
        infer.add_infer,
        benchmark.add_benchmark,
        benchmark.add_import_benchmark,
        benchmark.add_compare,
        benchmark.add_choose,
        benchmark.add_report,
        catalogue.add_models,
        catalogue.add_weights,
        lite.add_lite,
        doctor.add_doctor,
    ):
        add(commands)
    return parser
