"""Running a ``.nb`` for ARM by a program that the user names: on a board, on a phone, or emulated.

The program is called once a run, as

    CMD --model FILE.nb --input IN.bin --shape 1,3,256,256 --dtype float32 --output OUT.bin --threads 1

It reads the tensor from IN.bin (raw, C order, little-endian; ``float32`` or ``uint8``), runs the network, writes its
first output to OUT.bin in the same way, prints one line of JSON to stdout,
``{"shape": [1, 256, 256], "dtype": "int32", "runtime": "2.13-rc", "times_ms": [48.5]}`` (``runtime``, Paddle Lite's
version, and ``times_ms``, from the input in its memory to the output there, may be missing), and exits with status 0.
For measurements it also gets ``--warmup 1``: a run before the one that counts. Where the line has ``threads`` and
``warmup``, what it ran with, they must be what it was told. ``mobileseg_lite_run`` of ``deploy/lite/cpp`` is such a
program; CMD may have words before it, such as ``qemu-aarch64 -L /usr/aarch64-linux-gnu ./mobileseg_lite_run``, or be a
script that copies the files to a board and back.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.child_process import run_to_end
from paddle_mobileseg.runtime.lite_backend import check_timeout, check_version, read_head

VARIABLE = "MOBILESEG_ARM_RUNNER"
_DTYPES = ("float32", "int32", "int64", "uint8")


def default_command() -> str | None:
    """The command in ``MOBILESEG_ARM_RUNNER``, if any."""
    return os.environ.get(VARIABLE) or None


def available() -> bool:
    """Whether a command is in ``MOBILESEG_ARM_RUNNER``; whether it runs is seen when it does."""
    return default_command() is not None


def split_command(command: str) -> list[str]:
    """The words of a runner's command, as a shell reads them; the program is there and may be run.

    Raises:
        ValueError: no words, or a quote that is not closed.
        FileNotFoundError: no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"arm_runner {command!r} cannot be read as a command: {error}") from error
    if not words:
        raise ValueError("arm_runner is empty; expected the command of a program that runs .nb files, with its words")
    if shutil.which(words[0]) is None:
        raise FileNotFoundError(f"arm_runner {command!r}: there is no program {words[0]!r} that may be run")
    return words


class ArmRunner:
    """Runs a ``.nb`` file for ARM.

    Args:
        files: the ``.nb`` file.
        threads: passed on.
        arm_runner: the command; ``MOBILESEG_ARM_RUNNER`` by default.
        timeout_s: a run that takes longer is stopped.
        warmup: runs that the program makes before each one; above 0, it is told so by ``--warmup``.

    Attributes:
        version: of Paddle Lite, as the last run said, or ``None``.
        stages_ms: ``network`` and ``compute`` (not told apart) of the last run in milliseconds, as the program gave it,
            which starts and loads the file for each run; ``None`` where it gave none.

    Raises:
        ImportError: no command is given.
        ValueError, FileNotFoundError: as :func:`split_command`; the file is missing, cut off, or not for ARM.
    """

    def __init__(
        self,
        files: list[Path],
        threads: int,
        arm_runner: str | None = None,
        timeout_s: float = 600.0,
        warmup: int = 0,
    ) -> None:
        (path,) = files
        command = default_command() if arm_runner is None else arm_runner
        if command is None:
            raise ImportError(
                "a .nb for ARM needs a program that runs it: give its command (--arm_runner, arm_runner=..., or "
                f"{VARIABLE}); docs/learn/lite.md says what it must do"
            )
        check_timeout(timeout_s)
        if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
            raise ValueError(f"warmup is {warmup!r}; expected a whole number from 0")
        self._file_version = read_head(path, "arm").version
        self._command = split_command(command)
        self._path = path.absolute()
        self._settings = {"threads": threads, **({"warmup": warmup} if warmup else {})}
        self._timeout_s = timeout_s
        self.version: str | None = None
        self.stages_ms: dict[str, float] | None = None

    def run(self, x: np.ndarray) -> np.ndarray:
        """The network's output for ``x``: a new array.

        Args:
            x: ``[N, 3, H, W]`` float32, or ``[N, H, W, 3]`` uint8 where the graph has the preprocessing.

        Raises:
            ValueError: another type or shape, or the program has another version of Paddle Lite than the file.
            ChildProcessError: the program failed, or what it gave is not what it said.
            TimeoutError: it took longer than ``timeout_s``.
        """
        if x.dtype not in (np.float32, np.uint8) or x.ndim != 4 or 0 in x.shape:
            raise ValueError(f"expected a float32 or uint8 array of 4 dimensions, but got {x.dtype} {list(x.shape)}")
        with tempfile.TemporaryDirectory(prefix="arm-runner-") as folder:
            source, target = Path(folder) / "input.bin", Path(folder) / "output.bin"
            x.astype(x.dtype.newbyteorder("<")).tofile(source)
            words = ["--model", str(self._path), "--input", str(source), "--shape", ",".join(map(str, x.shape))]
            words += ["--dtype", x.dtype.name, "--output", str(target)]
            words += [word for name, value in self._settings.items() for word in (f"--{name}", str(value))]
            shape, dtype = self._meaning(run_to_end([*self._command, *words], self._timeout_s, self._name))
            size = int(np.prod(shape)) * dtype.itemsize
            got = target.stat().st_size if target.is_file() else None
            if got != size:
                held = "wrote no output" if got is None else f"wrote {got} bytes of output"
                raise self._failure(f"{held}; expected {size} for {dtype.name} {shape}")
            return np.fromfile(target, dtype.newbyteorder("<")).astype(dtype).reshape(shape)

    def _meaning(self, said: str) -> tuple[list[int], np.dtype[Any]]:
        """Shape and type of the output in the last line that the program printed."""
        line = said.strip().rpartition("\n")[2]
        try:
            message = json.loads(line)
            shape, dtype, version = message["shape"], message["dtype"], message.get("runtime")
            if dtype not in _DTYPES or not all(type(n) is int and n > 0 for n in shape):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._failure(
                f'printed {line[:200]!r}; expected a line such as {{"shape": [1, 256, 256], "dtype": "int32"}}, the '
                f"type one of {', '.join(_DTYPES)}"
            ) from None
        for name, told in self._settings.items():
            if message.get(name) not in (None, told):
                raise self._failure(
                    f"ran with {name} {message[name]!r}, but was told {told}; does it pass on all that it is given?"
                )
        self.stages_ms = self._times(message.get("times_ms"))
        if version is not None:
            self.version = str(version).lstrip("v")
            check_version(self._path, self._file_version, self.version)
        return shape, np.dtype(dtype)

    def _times(self, times_ms: Any) -> dict[str, float] | None:
        if times_ms is None:
            return None
        if not isinstance(times_ms, list) or not all(
            type(each) in (int, float) and 0 < each < math.inf for each in times_ms
        ):
            raise self._failure(f"gave times_ms {times_ms!r}; expected a list of milliseconds above 0")
        return dict.fromkeys(("network", "compute"), float(times_ms[-1])) if times_ms else None

    def describe(self) -> str:
        """What runs, for a record."""
        own = "its own times, without starting and loading" if self.stages_ms else "with starting and loading each run"
        return f"Paddle Lite for ARM, by {Path(self._command[-1]).name} ({own})"

    @property
    def _name(self) -> str:
        return f"the ARM runner `{shlex.join(self._command)}`"

    def _failure(self, what: str) -> ChildProcessError:
        return ChildProcessError(f"{self._name} {what}")
