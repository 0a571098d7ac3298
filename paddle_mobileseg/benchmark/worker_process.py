"""The parent's end of a worker: starting it, asking it, and saying how it died."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from paddle_mobileseg.child_process import how_it_ended, importing_environment, last_words

_LAST_BYTES = 8192


class WorkerError(Exception):
    """A plan cannot be measured, or not to the end.

    Attributes:
        kind, stage, message: as in a record's ``error``.
    """

    def __init__(self, kind: str, stage: str | None, message: str) -> None:
        super().__init__(message)
        self.kind, self.stage, self.message = kind, stage, message


class WorkerProcess:
    """A process that runs a module such as :mod:`paddle_mobileseg.benchmark.worker`.

    Args:
        module: its name.
        threads: of mathematics libraries (``OMP_NUM_THREADS``).

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, module: str, threads: int) -> None:
        self._stage: str | None = "start"
        self._unread = bytearray()
        # Not a pipe: one that nobody reads would stop the process.
        self._words = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            bufsize=0,
            env=importing_environment(OMP_NUM_THREADS=str(threads)),
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """What the worker answers.

        Raises:
            WorkerError: it says so, died, or took longer than ``timeout_s`` and was killed.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._death() from None
        deadline = time.monotonic() + timeout_s
        while True:
            message = self._message(deadline, timeout_s)
            if "stage" in message:
                self._stage = message["stage"]
            elif "error" in message:
                error = message["error"]
                raise WorkerError(error["kind"], error["stage"], error["message"])
            else:
                return message["ok"]

    def close(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._words):
            if file is not None:
                file.close()

    def _message(self, deadline: float, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not waiting.select(max(0.0, deadline - time.monotonic())):
                    self._process.kill()
                    raise WorkerError("timeout", self._stage, f"{self._stage}: not done after {timeout_s:g} s; ended")
                chunk = os.read(self._process.stdout.fileno(), 1 << 20)
                if not chunk:
                    raise self._death()
                self._unread += chunk
        line, _, rest = bytes(self._unread).partition(b"\n")
        self._unread = bytearray(rest)
        return json.loads(line)

    def _death(self) -> WorkerError:
        status = self._process.wait()
        how = how_it_ended(status)
        if status == -signal.SIGKILL:
            how += ", perhaps because memory was full"
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - _LAST_BYTES))
        words = last_words(self._words.read().decode(errors="replace"))
        return WorkerError("crash", self._stage, f"{self._stage}: the process {how}. Its last words:\n  {words}")
