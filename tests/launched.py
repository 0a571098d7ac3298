"""Jobs of several processes, started as a user starts them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LIMIT_S = 300


class Launcher:
    """``python -m paddle.distributed.launch`` in a process group of its own.

    Args:
        folder: receives ``log/workerlog.N`` and what the launcher prints.
        words: the script and its arguments.
        processes: to start.
        options: more for the launcher.
        prefix: a command that runs it, such as ``ip netns exec NAME``.
        environment: variables to add.
    """

    def __init__(
        self,
        folder: Path,
        words: Sequence[object],
        processes: int = 2,
        options: Sequence[object] = (),
        prefix: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.logs = folder / "log"
        self._output = folder / "launcher.txt"
        launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", processes, "--log_dir", self.logs, *options]
        with open(self._output, "wb") as file:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *map(str, [*launch, *words])],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
                start_new_session=True,
            )

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(LIMIT_S)

    def log(self, rank: int) -> str:
        """What the rank-th process of this launcher has printed."""
        path = self.logs / f"workerlog.{rank}"
        return path.read_text(errors="replace") if path.is_file() else ""

    def printed(self) -> str:
        """What the launcher has printed, and the end of every process's log: for a test's message."""
        logs = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.logs.glob("workerlog.*")
        ]
        return "\n".join([self._output.read_text(errors="replace")[-3000:], *sorted(logs)])

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when something has happened; the launcher's end before that is an error."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert self.process.poll() is None, self.printed()
            assert time.monotonic() < end, self.printed()
            time.sleep(0.1)

    def pids(self) -> list[int]:
        """Of its processes, in order of rank."""
        numbered = {}
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                environ = dict(each.partition(b"=")[::2] for each in path.read_bytes().split(b"\0"))
                # Data workers are in sessions of their own; what a process has started itself is not a rank.
                if environ.get(b"PADDLE_LOG_DIR") == str(self.logs).encode() and _parent(path) == self.process.pid:
                    numbered[int(environ[b"PADDLE_TRAINER_ID"])] = int(path.parent.name)
        return [numbered[rank] for rank in sorted(numbered)]

    def end(self) -> None:
        """Kill what is left."""
        for pid in [*self.pids(), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.process.wait()


def _parent(environ: Path) -> int:
    return int((environ.parent / "stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def launched(folder: Path, *words: object, **settings: object) -> Iterator[Launcher]:
    """A job on one machine; killed at the end of the block if it still runs."""
    launcher = Launcher(folder, words, **settings)  # type: ignore[arg-type]
    try:
        yield launcher
    finally:
        launcher.end()


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
