"""Paddle Lite on an x86 CPU, in a child process of its own Python."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from paddle_mobileseg.child_process import how_it_ended, last_words
from paddle_mobileseg.runtime.lite_environment import LiteEnvironment, require
from paddle_mobileseg.runtime.lite_file import LiteFile, nb_header

_WORKER = Path(__file__).with_name("lite_worker.py")
_LOAD_TIMEOUT_S = 120.0
_LAST_BYTES = 8192
_T = TypeVar("_T")


class LiteBackend:
    """Runs a ``.nb`` file for x86, one run at a time.

    The network lives in a process of the environment that ``mobileseg lite setup`` makes, because Paddle Lite aborts on
    what it does not like. That process ends with this object, and also when this one's process is killed. A network
    whose process has died stays dead: later runs say why.

    Args:
        files: the ``.nb`` file.
        threads: of matrix products and of the operators that use OpenMP.
        timeout_s: a run that takes longer is stopped.

    Attributes:
        version: what the runtime calls itself, such as ``2.13-rc``.
        threads: of matrix products, as the runtime reports them.
        stages_ms: of the last run, ``host_to_device``, ``compute`` and ``device_to_host`` in milliseconds: the copies
            on both sides of the pipe, and the network in its process. What a run takes beyond them is the pipe's.
        pid: of the process with the network.

    Raises:
        ImportError: the environment is missing or damaged.
        FileNotFoundError: no such file.
        ValueError: the file is cut off, for another processor, or by another version of Paddle Lite, or Paddle Lite
            cannot load it.
        TimeoutError: loading took too long.
    """

    def __init__(self, files: list[Path], threads: int, timeout_s: float = 600.0) -> None:
        (path,) = files
        check_timeout(timeout_s)
        file = read_head(path, "x86")
        environment = require()
        check_version(path, file.version, environment.version)
        self._path = path
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._dead: str | None = None
        self._child = _Child(environment, path, threads)
        self._close = weakref.finalize(self, self._child.close)
        try:
            hello = self._child.answer(_LOAD_TIMEOUT_S)
        except ChildProcessError as error:
            self._close()
            raise ValueError(
                f"Paddle Lite {environment.version} cannot load {path}: {error}\nThe file is damaged, or holds "
                "operators that this Paddle Lite lacks; export again"
            ) from error
        except BaseException:
            self._close()
            raise
        self.version: str = hello["version"].lstrip("v")
        self.threads: int = hello["threads"]
        self.pid = self._child.pid
        self.stages_ms: dict[str, float] = {}
        self._dtype = np.dtype(hello["dtype"])
        self._shape: tuple[int, ...] = ()

    def run(self, x: np.ndarray) -> np.ndarray:
        """The network's output for ``x``: a new array.

        Args:
            x: ``[N, 3, H, W]`` float32, or ``[N, H, W, 3]`` uint8 where the graph has the preprocessing.

        Raises:
            ValueError: another type or shape; Paddle Lite itself would read beyond the tensor.
            ChildProcessError: the process with the network died, now or in an earlier run.
            TimeoutError: the run took longer than ``timeout_s``; the process was ended.
        """
        with self._lock:
            self.upload(x)
            self.compute()
            return self.download()

    def upload(self, x: np.ndarray) -> None:
        """First part of :meth:`run`: copy the input to where the process reads it. The parts are for one thread."""
        self._check(x)
        self._child.check_owner()
        self._shape = x.shape
        self._part(lambda: self._child.put(np.ascontiguousarray(x)))

    def compute(self) -> None:
        """Second part: the process reads the input, runs the network and writes the output."""
        self._part(lambda: self._child.compute(self._shape, self._timeout_s))

    def download(self) -> np.ndarray:
        """Last part: a copy of the output."""
        output = self._part(self._child.take)
        self.stages_ms = dict(self._child.stages_ms)
        return output

    def describe(self) -> str:
        """What runs, for a record."""
        return f"Paddle Lite {self.version} for x86, in a process of its own"

    def _part(self, function: Callable[[], _T]) -> _T:
        with self._lock:
            if self._dead is not None:
                raise ChildProcessError(f"{self._dead}\nThis network's process is gone; open the bundle again")
            try:
                return function()
            except (ChildProcessError, TimeoutError) as error:
                shape = list(self._shape)
                text = f"Paddle Lite {self.version} on {self._path.name} with an input of {shape}: {error}"
                if not self._child.alive:
                    self._dead = text
                    self._close()
                raise type(error)(text) from error
            except BaseException:  # Ctrl-C between request and answer: the next run would get this one's answer
                self._dead = "an earlier run was interrupted."
                self._close()
                raise

    def close(self) -> None:
        """End the child process; later runs raise ChildProcessError."""
        with self._lock:
            self._dead = self._dead or "the network was closed."
            self._close()

    def _check(self, x: np.ndarray) -> None:
        channels, layout = (1, "[N, 3, H, W]") if self._dtype == np.float32 else (3, "[N, H, W, 3]")
        if x.dtype != self._dtype or x.ndim != 4 or x.shape[channels] != 3 or 0 in x.shape:
            raise ValueError(
                f"{self._path.name} takes {self._dtype} {layout}, N, H and W above 0, but got {x.dtype} {list(x.shape)}"
            )


def check_timeout(timeout_s: Any) -> None:
    """ValueError for what is no number above 0."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not timeout_s > 0:
        raise ValueError(f"timeout_s is {timeout_s!r}; expected seconds above 0")


def read_head(path: Path, target: str) -> LiteFile:
    """The head of a file that is whole and for ``x86`` or ``arm``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as :func:`paddle_mobileseg.runtime.lite_file.nb_header`, or a file for another processor.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; export with format lite-{target}")
    file = nb_header(path)
    if file.target not in (target, "host"):
        raise ValueError(f"{path} is for {file.target}, expected one for {target}; export with format lite-{target}")
    return file


def check_version(path: Path, file: str, runtime: str) -> None:
    """ValueError where a file and the Paddle Lite that is to run it are not of one version.

    Paddle Lite itself would only warn, and may then compute anything.
    """
    if file != runtime:
        raise ValueError(
            f"{path} was converted by Paddle Lite {file}, and the Paddle Lite here is {runtime}; get version {file}, "
            f"or convert the file again with opt {runtime}"
        )


class _Child:
    """The process, and the memory that it shares with this one."""

    def __init__(self, environment: LiteEnvironment, path: Path, threads: int) -> None:
        self._owner = os.getpid()
        self._source = os.memfd_create("input")
        self._target = os.memfd_create("output")
        # Appended to, so that the child can empty it. Not a pipe: one that nobody reads would stop the child.
        self._words = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 - closed with the process
        self._unread = b""
        self._answer: dict[str, Any] = {}  # to the last request
        shared = (self._source, self._target)
        command = [environment.python, "-I", _WORKER, path, threads, *shared]
        try:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                pass_fds=shared,
                bufsize=0,
                # Threads that wait for work stop to spin after a millisecond: what runs next needs the core.
                env={**os.environ, "OMP_NUM_THREADS": str(threads), "KMP_BLOCKTIME": "1"},
            )
        except OSError as error:
            self._free()
            raise ImportError(
                f"cannot start {environment.python} ({error.strerror or error}); run `mobileseg lite setup --force`"
            ) from error

        self.pid = self._process.pid
        self.stages_ms: dict[str, float] = {}  # of the last run

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def check_owner(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("this network belongs to the process that opened it; open the bundle in each process")

    def put(self, x: np.ndarray) -> None:
        start = time.perf_counter()
        _write(self._source, x)
        self.stages_ms = {"host_to_device": 1000 * (time.perf_counter() - start)}

    def compute(self, shape: tuple[int, ...], timeout_s: float) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"shape": shape}).encode() + b"\n")
        except BrokenPipeError:
            raise ChildProcessError(self._how_it_died()) from None
        self._answer = self.answer(timeout_s)
        read, ran, wrote = self._answer["ms"]
        self.stages_ms["host_to_device"] = self.stages_ms.get("host_to_device", 0.0) + read
        self.stages_ms |= {"compute": ran, "device_to_host": wrote}

    def take(self) -> np.ndarray:
        start = time.perf_counter()
        output = np.empty(self._answer["shape"], self._answer["dtype"])
        if output.nbytes != self._answer["bytes"]:
            raise ChildProcessError(f"it gave {self._answer['bytes']} bytes for {output.dtype} {list(output.shape)}")
        _read(self._target, output)
        self.stages_ms["device_to_host"] += 1000 * (time.perf_counter() - start)
        return output

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """The next message; a process that is too slow is ended."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        waiting = select.poll()  # select itself fails above the 1024th file
        waiting.register(self._process.stdout, select.POLLIN)
        while b"\n" not in self._unread:
            if not waiting.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
                self._process.kill()
                self._process.wait()
                raise TimeoutError(f"Paddle Lite gave no answer within {timeout_s:g} s and was stopped")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise ChildProcessError(self._how_it_died())
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        message = json.loads(line)
        if "missing" in message:
            raise ImportError(
                f"the Paddle Lite environment is damaged ({message['missing']}); run `mobileseg lite setup --force`"
            )
        if "error" in message:
            raise ChildProcessError(message["error"])
        return message

    def _how_it_died(self) -> str:
        how = how_it_ended(self._process.wait())
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - _LAST_BYTES))
        return f"its process {how}. Its last words:\n  " + last_words(self._words.read().decode(errors="replace"))

    def close(self) -> None:
        if os.getpid() != self._owner:  # a fork of the process that owns it
            return
        self._process.kill()
        self._process.wait()
        self._free()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _free(self) -> None:
        os.close(self._source)
        os.close(self._target)
        self._words.close()


def _write(descriptor: int, array: np.ndarray) -> None:
    view, done = array.data.cast("B"), 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], done)


def _read(descriptor: int, array: np.ndarray) -> None:
    view, done = array.data.cast("B"), 0
    while done < len(view):
        got = os.preadv(descriptor, [view[done:]], done)
        if got == 0:
            raise ChildProcessError(f"it gave {done} bytes of output; expected {len(view)}")
        done += got
