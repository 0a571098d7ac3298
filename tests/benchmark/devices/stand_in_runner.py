#!/usr/bin/env python3
"""Does what ``mobileseg_lite_run --model`` does, without a network: it knows the right outputs of golden inputs.

    runner = stand_in_runner.make(tmp_path / "mobileseg_lite_run", [bundle / "golden.npz"], ms=5.0)

writes such a program for this machine's Python, for phones of ``fake_adb_server`` and for a local sshd: ``--runner``
takes it. Where the input is none of the golden ones the output is all zeros. It has a real runner's faults on request.
The program needs no NumPy, which takes a while to load.
"""

from __future__ import annotations

import argparse
import array
import base64
import hashlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = {}  # what make() was given; it puts the line of its own below this one
# <settings>
DEFAULTS: dict[str, Any] = {
    "golden": {},  # by the hash of an input's bytes: shape, type and bytes of its output
    "ms": 2.0,  # a run takes
    "first_ms": 0.0,  # and the first so much more
    "version": "v2.13-rc",  # of Paddle Lite; "" leaves the key out
    "wrong": 0.0,  # share of the output's values that are wrong
    "crash": "",  # name of the signal that it dies of, such as SIGSEGV
    "status": 0,  # exit status, with an error line where it is not 0
    "print": None,  # printed in place of the JSON line
    "hang_s": 0.0,  # before the end
}


def make(path: Path, golden: Sequence[Path], **settings: Any) -> Path:
    """Write the program with these settings (see ``DEFAULTS``) under this path; it is returned."""
    unknown = set(settings) - set(DEFAULTS)
    assert not unknown, f"unknown settings {unknown}"
    given = {**settings, "golden": outputs(golden)}
    source = Path(__file__).read_text(encoding="utf-8").partition("\n")[2]
    source = source.replace("# <settings>\n", f"SETTINGS = {given!r}\n", 1)
    path.write_text(f"#!{sys.executable} -IS\n{source}", encoding="utf-8")
    path.chmod(0o755)
    return path


def outputs(golden: Sequence[Path]) -> dict[str, tuple[list[int], str, str]]:
    """What the program knows of these files."""
    import numpy as np

    known = {}
    for path in golden:
        with np.load(path) as tensors:
            for name in (each for each in tensors.files if each.startswith("input_")):
                y = tensors[name.replace("input_", "output_")]
                text = base64.b64encode(y.tobytes()).decode()
                known[hashlib.sha256(tensors[name].tobytes()).hexdigest()] = (list(y.shape), y.dtype.name, text)
    return known


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("model", "input", "shape", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--dtype", default="float32", choices=("float32", "uint8"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1)
    modes = ("high", "low", "full", "no_bind", "rand_high", "rand_low")
    parser.add_argument("--power_mode", default="no_bind", choices=modes)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    settings = {**DEFAULTS, **SETTINGS}
    if not Path(args.model).is_file():
        return fail(f"no file {args.model}")
    shape = [int(side) for side in args.shape.split(",")]
    content = Path(args.input).read_bytes()
    expected = math.prod(shape) * (4 if args.dtype == "float32" else 1)
    if len(content) != expected:
        return fail(f"{args.input} has {len(content)} bytes; expected {expected}")
    shape, dtype, text = settings["golden"].get(
        hashlib.sha256(content).hexdigest(), ([shape[0], *shape[2:]], "int32", "")
    )
    output = array.array({"int32": "i", "int64": "q", "float32": "f"}[dtype])
    output.frombytes(base64.b64decode(text) or bytes(math.prod(shape) * output.itemsize))
    for place in range(round(settings["wrong"] * len(output))):
        output[place] += 1
    times = timed_runs(settings, args.warmup, args.repeats)
    time.sleep(settings["hang_s"])
    if settings["crash"]:
        os.kill(os.getpid(), getattr(signal, settings["crash"]))
    if settings["status"]:
        return fail("stand-in was told to fail", settings["status"])
    Path(args.output).write_bytes(output.tobytes())
    result = {
        "shape": shape,
        "dtype": dtype,
        "runtime": settings["version"],
        "times_ms": times,
    }
    if not settings["version"]:
        del result["runtime"]
    print(json.dumps(result) if settings["print"] is None else settings["print"])
    return 0


def timed_runs(settings: dict[str, Any], warmup: int, repeats: int) -> list[float]:
    """Milliseconds of the runs that count; the first of all takes longer."""
    times = []
    for number in range(warmup + repeats):
        start = time.perf_counter()
        time.sleep((settings["ms"] + (settings["first_ms"] if number == 0 else 0)) / 1000)
        times.append(round((time.perf_counter() - start) * 1000, 4))
    return times[warmup:]


def fail(message: str, status: int = 1) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
