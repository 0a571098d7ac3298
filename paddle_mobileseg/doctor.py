"""What is installed here and whether it works: the command ``mobileseg doctor``.

Packages are imported in processes of their own: one that is broken, or ends its process, is a line of the answer. So
this module itself needs the standard library only.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

from paddle_mobileseg import tables
from paddle_mobileseg.child_process import how_it_ended

_REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"  # in a checkout
_PYTHONS = ("3.10", "3.11", "3.12")
_TIMEOUT_S = 120.0
_AT_ONCE = 2  # imports take memory as well as time

# States of a check.
OK, UNTESTED, MISSING, BROKEN = "ok", "untested", "missing", "broken"

_TRAIN = "pip install 'paddle_mobileseg[train,cpu]' (gpu in place of cpu for a GPU build)"
_ONNX = "pip install 'paddle_mobileseg[onnx]'"


@dataclass(frozen=True)
class Check:
    """One line of the answer.

    Attributes:
        name: of what was looked for.
        state: ``ok``; ``untested``: it works, but the tests were run with another version; ``missing``; ``broken``: it
            is there and does not work.
        found: version and place, or how it failed.
        needed: the default path (train, export, run with ONNX Runtime) does not work without.
        tested_with: versions that the tests were run with, where they are pinned.
        hint: what to do, or what it is for.
    """

    name: str
    state: str
    found: str
    needed: bool
    tested_with: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class _Package:
    name: str  # of the distribution
    module: str
    needed: bool
    hint: str  # where it is missing
    version: str = "module.__version__"  # an expression


_PACKAGES = (
    _Package("numpy", "numpy", True, "pip install numpy"),
    _Package("opencv-python-headless", "cv2", True, "pip install opencv-python-headless"),
    _Package("paddlepaddle", "paddle", True, f"to train and export: {_TRAIN}"),
    _Package(
        "paddleseg",
        "paddleseg",
        True,
        "to train and export: pip install --no-deps paddleseg==2.8.0 (its own requirements do not fit together)",
    ),
    _Package("onnx", "onnx", True, f"to export ONNX: {_ONNX}"),
    _Package("onnxruntime", "onnxruntime", True, "to run bundles: pip install 'paddle_mobileseg[onnxruntime]'"),
    _Package("paddle2onnx", "paddle2onnx", True, f"to export ONNX: {_ONNX}"),
    _Package(
        "tensorrt",
        "tensorrt",
        False,
        "only for the backend tensorrt on an NVIDIA GPU: pip install 'paddle_mobileseg[tensorrt]'",
    ),
)


def examine() -> list[Check]:
    """Look at everything; takes some seconds, most of them for importing Paddle."""
    looks: list[Callable[[], Check]] = [_python]
    looks += [partial(_package, each) for each in _PACKAGES]
    looks += [_gpu, _paddle_lite, _arm_runner]
    looks += [
        partial(_program, "C++ compiler", ("c++", "g++", "clang++"), "only to build deploy/cpp: install g++ or clang"),
        partial(_program, "CMake", ("cmake",), "only to build deploy/cpp: install cmake"),
        partial(_program, "adb", ("adb",), "only for phones: install Android's platform tools"),
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda look: look(), looks))


def works(checks: Sequence[Check]) -> bool:
    """Whether all that the default path needs is there and works."""
    return all(check.state in (OK, UNTESTED) for check in checks if check.needed)


def record(checks: Sequence[Check]) -> dict[str, Any]:
    """The answer for programs."""
    return {"works": works(checks), "checks": [asdict(check) for check in checks]}


def page(checks: Sequence[Check]) -> str:
    """The answer for a terminal."""
    rows = [("", "state", "found", "note")]
    for check in checks:
        note = check.hint
        if check.state == UNTESTED:
            note = f"the tests were run with {' or '.join(check.tested_with)}"
        rows.append((check.name, check.state, check.found, note))
    lacking = [check.name for check in checks if check.needed and check.state not in (OK, UNTESTED)]
    end = "Training, export and ONNX Runtime work."
    if lacking:
        end = f"Training, export and ONNX Runtime need: {', '.join(lacking)}."
    return f"{tables.plain(rows)}\n\n{end}"


def _python() -> Check:
    version = platform.python_version()
    found = f"{version} ({sys.executable})"
    if version.startswith(tuple(f"{each}." for each in _PYTHONS)):
        return Check("Python", OK, found, True, _PYTHONS)
    return Check("Python", BROKEN, found, True, _PYTHONS, f"use Python {', '.join(_PYTHONS)}")


def _package(package: _Package) -> Check:
    tested = pinned(package.name)
    if importable(package.module) is False:
        return Check(package.name, MISSING, "", package.needed, tested, package.hint)
    version, failure = _import(package.module, package.version)
    if version is None:
        hint = f"it is installed but cannot be imported; install it again, or: {package.hint}"
        return Check(package.name, BROKEN, failure, package.needed, tested, hint)
    with contextlib.suppress(metadata.PackageNotFoundError):  # a module may say less, such as cv2
        version = metadata.version(package.name)
    state = UNTESTED if tested and version.partition("+")[0] not in tested else OK
    return Check(package.name, state, version, package.needed, tested)


def _gpu() -> Check:
    code = "f'{module.is_compiled_with_cuda():d} {module.device.cuda.device_count()}'"
    said, _ = _import("paddle", code) if importable("paddle") else (None, "")
    if said is None:
        return Check("GPU of Paddle", MISSING, "", False, (), "PaddlePaddle does not work, see above")
    with_cuda, count = said.split()
    if with_cuda == "0":
        hint = "training runs on the CPU; for NVIDIA GPUs install a GPU build as PaddlePaddle's instructions say"
        return Check("GPU of Paddle", MISSING, "CPU build", False, (), hint)
    if count == "0":
        hint = "training runs on the CPU; look at the driver with nvidia-smi"
        return Check("GPU of Paddle", MISSING, "GPU build, no device", False, (), hint)
    return Check("GPU of Paddle", OK, f"{count} device(s)", False)


def _paddle_lite() -> Check:
    name = "Paddle Lite"
    try:
        from paddle_mobileseg.runtime import lite_environment

        environment = lite_environment.find()
        if environment is None:
            return Check(
                name, MISSING, "", False, (), "only to export .nb files and run them here: mobileseg lite setup"
            )
        lite_environment.check(environment)
    except (ImportError, OSError) as error:
        return Check(name, BROKEN, _one_line(str(error)), False, (), "mobileseg lite setup --force")
    tested = (lite_environment.VERSION,)
    state = OK if environment.version in tested else UNTESTED
    return Check(name, state, f"{environment.version} ({environment.python})", False, tested)


def _arm_runner() -> Check:
    name = "ARM runner"
    try:
        from paddle_mobileseg.runtime import arm_runner

        command = arm_runner.default_command()
        if command is None:
            hint = f"only to run .nb files for ARM: name a program with {arm_runner.VARIABLE} (docs/learn/lite.md)"
            return Check(name, MISSING, "", False, (), hint)
        arm_runner.split_command(command)
    except (ImportError, OSError, ValueError) as error:
        return Check(name, BROKEN, _one_line(str(error)), False, (), "docs/learn/lite.md")
    return Check(name, OK, command, False)


def _program(name: str, commands: Sequence[str], hint: str) -> Check:
    path = next(filter(None, map(shutil.which, commands)), None)
    if path is None:
        return Check(name, MISSING, "", False, (), hint)
    said, failure = _run([path, "--version"])
    if said is None:
        return Check(name, BROKEN, failure, False, (), hint)
    return Check(name, OK, f"{_one_line(said)} ({path})", False)


def importable(module: str) -> bool:
    """Whether a module of that name is installed; it is not imported."""
    return util.find_spec(module) is not None


def pinned(name: str) -> tuple[str, ...]:
    """Versions of a package in the checkout's ``requirements``: more than one where Pythons differ, none elsewhere."""
    found: list[str] = []
    for path in sorted(_REQUIREMENTS.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        found += re.findall(rf"^{re.escape(name)}==([^\s;]+)", text, re.MULTILINE | re.IGNORECASE)
    return tuple(dict.fromkeys(found))


def _import(module: str, expression: str) -> tuple[str | None, str]:
    """What an expression about a module says, or ``None`` and why not."""
    code = f"import {module} as module; print(); print('answer:', {expression})"
    said, failure = _run([sys.executable, "-W", "ignore", "-c", code])
    if said is None:
        return None, failure
    return said.rpartition("answer: ")[2].strip(), ""


def _run(command: Sequence[str]) -> tuple[str | None, str]:
    """What a command prints, or ``None`` and the end of what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {_TIMEOUT_S:g} s"
    except OSError as error:
        return None, str(error)
    if done.returncode == 0:
        return done.stdout, ""
    if done.returncode < 0:
        return None, how_it_ended(done.returncode)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return None, lines[-1].strip() if lines else f"exit status {done.returncode}"


def _one_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else ""
