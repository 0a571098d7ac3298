"""Trains with ``--resume auto`` in forked children that are killed, one after another; a last one comes to the end.

``python killed_training.py CONFIG FOLDER OPTIONS KILLS SEED`` (OPTIONS: JSON; of TrainOptions); see test_kill.py. What
came to the end before all kills were made is FOLDER_1, FOLDER_2, .... A child begins as a process that has imported
everything and computed nothing, so the fork is sound: there is one thread.
Prints a line of JSON for each child.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.symlink", "shutil.rmtree", "shutil.copyfile")


def main() -> int:
    from paddle_mobileseg.config import load_config
    from paddle_mobileseg.engine import Trainer, TrainOptions
    from paddle_mobileseg.engine.resuming import TrainingCompleteError

    config, folder, options, kills, seed = sys.argv[1:]
    draw = random.Random(int(seed))
    cfg, run = load_config(config), Path(folder)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with several threads cannot be forked"

    def train() -> None:
        try:
            Trainer(cfg, TrainOptions(folder, resume_model="auto", **json.loads(options))).run()
        except TrainingCompleteError:
            print("complete", file=sys.stderr)

    damaged: set[str] = set()
    number = ended = 0
    while number < int(kills):
        kind = ("call", "call", "checkpoint", "time")[number % 4]
        if number % 8 == 5:
            damaged = damage_newest(run)
        plan = draw.randrange(1, 160) if kind == "call" else draw.uniform(0, 1.5 if kind == "time" else 0.04)
        status = watched(train, run, kind, plan)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"kind": kind, "plan": plan, "killed": killed, "there": look(run, damaged)}), flush=True)
        number += killed
        if not killed:  # it came to the end before its time: put that aside, and begin anew
            if status or ended > 3 * int(kills):
                return os.waitstatus_to_exitcode(status) or 1
            ended += 1
            run.rename(f"{run}_{ended}")
            damaged = set()
    status = watched(train, run, "none", 0)
    print(json.dumps({"kind": "none", "killed": False, "there": look(run, set())}), flush=True)
    return os.waitstatus_to_exitcode(status)


def watched(train: Callable[[], None], run: Path, kind: str, plan: float) -> int:
    """Fork, train, and kill as planned: at the plan-th change of a file (``call``), so many seconds after a checkpoint
    has been begun (``checkpoint``) or after the start (``time``). Returns the child's status."""
    before = {path.name for path in run.glob(".iter_*")}
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if kind == "call":
                strike_at(int(plan), run)
            train()
            status = 0
        finally:
            os._exit(status)
    if kind == "time":
        time.sleep(plan)
    elif kind == "checkpoint":
        while (
            not {path.name for path in run.glob(".iter_*")} - before
            and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        ):
            time.sleep(0.001)
        time.sleep(plan)
    if kind in ("time", "checkpoint"):
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def strike_at(count: int, run: Path) -> None:
    """Kill this process just before the count-th thing that it does to a file of the run, or to the disk."""
    left = count

    def strike() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and str(arguments[0]).startswith(str(run)) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in EVENTS:
            strike()

    def fsync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        strike()
        real(descriptor)

    sys.addaudithook(hook)
    os.fsync = fsync


def look(run: Path, damaged: set[str]) -> dict[str, bool]:
    """The checkpoints that are to be seen, and whether they are whole; those damaged on purpose are left out."""
    return {path.name: is_whole(path) for path in sorted(run.glob("iter_*")) if path.name not in damaged}


def is_whole(folder: Path) -> bool:
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    return len(lines) >= 3 and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == recorded for recorded, name in lines
    )


def damage_newest(run: Path) -> set[str]:
    """Flip a bit of the newest checkpoint, where there are two, so that training comes to replace it."""
    found = sorted(run.glob("iter_*"))
    if len(found) < 2:
        return set()
    file = found[-1] / "training.pdopt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return {found[-1].name}


if __name__ == "__main__":
    sys.exit(main())
