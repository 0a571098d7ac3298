"""Times per operator of Paddle Lite, which has them only where it was built with its profiler.

A library built with ``--with_profile=ON`` prints tables (``lite/core/profile/profiler.cc``): after each run one of
every operator, when the predictor ends one of the kernels. The wheel ``paddlelite`` for x86 is built without.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark.profiling.events import Operators, Profile, longest_first
from paddle_mobileseg.child_process import how_it_ended, last_words
from paddle_mobileseg.runtime import lite_environment
from paddle_mobileseg.runtime.arm_runner import VARIABLE, default_command, split_command
from paddle_mobileseg.runtime.lite_backend import read_head

_TITLE = re.compile(r"===== (Detailed|Concise) (Create|Dispatch) Profiler Summary: .*, Exclude \d+ warm-ups =====")
_NUMBER = r"(?:\d+\.\d+|-?nan|-?inf)"
# Operator's type, its place, what is between (kernel, remark and shapes may be missing); average, least, most, in
# detailed tables the last; share; more columns.
_ROW = re.compile(
    rf"(?P<type>\S+)\s+(?P<place>\S+)\s+(?P<about>.*?)\s*(?P<average>{_NUMBER})\s+{_NUMBER}\s+{_NUMBER}\s+"
    rf"(?:{_NUMBER}\s+)?(?P<percent>{_NUMBER})%(?P<rest>.*)"
)
_ROUNDING = 0.006  # of a percentage with two decimals
_WITHOUT = (
    "its Paddle Lite was built without the profiler; build it with --with_profile=ON (Paddle Lite's "
    "lite/tools/build_*.sh)"
)


def parse(text: str) -> Operators:
    """The operators in what a program with Paddle Lite's profiler printed.

    The last detailed table counts (a row is an operator); without one, the concise table (a row is a kernel with all
    operators that it ran). Both are means over the runs behind the warm-up that the table's title names. Where OpenCL
    is in the table too, the times are still those of the host.

    Args:
        text: output and error output of the program; other lines may be in it.

    Returns:
        as a record's ``operators``.

    Raises:
        ValueError: there is no such table, a row of it cannot be read, or rows are missing: the shares do not make
            100 %.
    """
    tables: dict[str, list[str]] = {}
    rows: list[str] | None = None
    for line in text.splitlines():
        if title := _TITLE.search(line):
            rows = [] if title[2] == "Dispatch" else None
            if rows is not None:
                tables[title[1]] = rows
        elif rows is not None and (line.startswith("OperatorType") or "%" in line):
            rows.append(line.strip())
        else:
            rows = None
    lines = tables.get("Detailed") or tables.get("Concise")
    if not lines:
        raise ValueError(
            "there is no table `===== Detailed Dispatch Profiler Summary` or `===== Concise Dispatch Profiler Summary` "
            f"in what the program printed: {_WITHOUT}"
        )
    return longest_first(_numbered(_read_table(lines)))


def _read_table(lines: list[str]) -> Operators:
    header, *rows = lines
    columns = header.split()
    if columns[:1] != ["OperatorType"] or not rows:
        raise ValueError(f"a table of Paddle Lite's profiler is cut off: it begins with {header[:100]!r}")
    # Behind the share: GOPs, then the calls. Tables of before Paddle Lite 2.7 have neither.
    operators, percent = [], 0.0
    for row in rows:
        match = _ROW.fullmatch(row)
        rest = match["rest"].split() if match else []
        if match is None or not np.isfinite(float(match["average"])) or ("CalledTimes" in columns and len(rest) < 2):
            raise ValueError(f"a row of Paddle Lite's profiler cannot be read: {row[:200]!r}")
        about = [word for word in match["about"].split() if word not in ("N/A", "NotImpl")]
        operators.append(
            {
                "name": " ".join([match["type"], *about]),
                "type": match["type"],
                "ms": float(match["average"]),
                "calls": int(rest[1]) if "CalledTimes" in columns else 1,
            }
        )
        percent += float(match["percent"])
    if percent > 0 and not abs(percent - 100) <= 0.01 + _ROUNDING * len(rows):
        raise ValueError(
            f"the table of Paddle Lite's profiler has {len(rows)} rows that make {percent:.2f} % of the time; expected "
            "100 %: the text was cut off"
        )
    return operators


def _numbered(operators: Operators) -> Operators:
    """Those that look alike get their place among their like behind the name."""
    names = [each["name"] for each in operators]
    for i, each in enumerate(operators):
        if names.count(each["name"]) > 1:
            operators[i] = {**each, "name": f"{each['name']} .{names[:i].count(each['name'])}"}
    return operators


def measure_x86(*_: Any, **__: Any) -> Profile:
    """No times: the wheel has no profiler.

    Raises:
        ValueError: always.
        ImportError: there is no Paddle Lite.
    """
    lite_environment.require()
    raise ValueError(
        f"times per operator are not offered for Paddle Lite on x86: {lite_environment.REQUIREMENT} was built "
        "without the profiler (LITE_WITH_PROFILE). The tables of a build with it are read from what a runner prints "
        "(backend lite-arm)"
    )


def measure_arm(
    files: list[Path],
    x: np.ndarray,
    threads: int,
    runs: int,
    warmup: int,
    folder: Path,
    arm_runner: str | None = None,
    **_: Any,
) -> Profile:
    """Profile a program that runs ``.nb`` files, which gets ``--warmup`` and ``--repeats`` too.

    Args:
        files: the ``.nb`` file.
        x: of the shape and type that the graph takes.
        folder: for the tensors.
        arm_runner: its command; ``MOBILESEG_ARM_RUNNER`` by default.

    Raises:
        ImportError: no program is named.
        ValueError: its Paddle Lite was built without the profiler.
        ChildProcessError: it failed.
    """
    command = arm_runner or default_command()
    if command is None:
        raise ImportError(f"a .nb for ARM needs a program that runs it; name it with {VARIABLE}")
    (path,) = files
    read_head(path, "arm")
    source = folder / "input.bin"
    x.astype(x.dtype.newbyteorder("<")).tofile(source)
    words = [*split_command(command), "--model", str(path.absolute()), "--input", str(source)]
    words += ["--shape", ",".join(map(str, x.shape)), "--dtype", x.dtype.name, "--output", str(folder / "output.bin")]
    words += ["--threads", str(threads), "--warmup", str(warmup), "--repeats", str(runs)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        how = how_it_ended(done.returncode)
        raise ChildProcessError(f"the ARM runner {how}. Its last words:\n  " + last_words(done.stdout + done.stderr))
    return Profile(parse(f"{done.stdout}\n{done.stderr}"), runs, None)
