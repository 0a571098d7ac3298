"""Backends of known cost, to measure the measurement with, on a virtual clock or a real one.

``python -m tests.benchmark.synthetic`` is the worker process of :mod:`paddle_mobileseg.benchmark.worker` in which the
backend ``onnxruntime`` is :class:`Synthetic`: the plan's options say what it does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark import worker
from paddle_mobileseg.runtime import session
from tests.handmade import write_bundle

MODULE = "tests.benchmark.synthetic"
SIZE_HW = (24, 32)
MS = 1_000_000  # nanoseconds


def answer(x: np.ndarray) -> np.ndarray:
    """int32 ``[N, H, W]``: the channel with the largest value of ``[N, 3, H, W]``."""
    return x.argmax(1).astype(np.int32)


def images(count: int = 2, size_hw: tuple[int, int] = SIZE_HW) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8) for seed in range(count)]


class VirtualClock:
    """Time that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0
        self.cpu = 0
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now

    def read_cpu(self) -> int:
        return self.cpu

    def work(self, ms: float, cpu_share: float = 1.0) -> None:
        self.now += round(ms * MS)
        self.cpu += round(ms * cpu_share * MS)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * 1e9)


class Whole:
    """A run at once, of the times given in turn (the last goes on), on a virtual clock.

    Attributes:
        calls: number of runs.
    """

    def __init__(self, clock: VirtualClock, *compute_ms: float, first_ms: float = 0.0, cpu_share: Any = None) -> None:
        self.calls = 0
        self._clock, self._times, self._first = clock, compute_ms, first_ms
        self._cpu_share = cpu_share or (lambda call: 1.0)

    def run(self, x: np.ndarray) -> np.ndarray:
        self._work()
        return answer(x)

    def _work(self) -> None:
        ms = self._times[min(self.calls, len(self._times) - 1)] + (self._first if self.calls == 0 else 0.0)
        self._clock.work(ms, self._cpu_share(self.calls))
        self.calls += 1


class Staged(Whole):
    """The same in stages; copies take ``upload_ms`` and ``download_ms``."""

    upload_ms, download_ms = 1.0, 3.0

    def upload(self, x: np.ndarray) -> None:
        self._clock.work(self.upload_ms)
        self._x = x

    def compute(self) -> None:
        self._work()

    def download(self) -> np.ndarray:
        self._clock.work(self.download_ms)
        return answer(self._x)


class FakePipeline:
    """``prepare`` takes 2 ms and ``finish`` 4 ms of a virtual clock; nothing without one."""

    def __init__(
        self, backend: Any, clock: VirtualClock | None = None, cpu_clock: Callable[[], int] | None = None
    ) -> None:
        self.backend, self._clock, self.cpu_clock = backend, clock, cpu_clock

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, None]:
        if self._clock is not None:
            self._clock.work(2.0)
        return np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32)), None

    def finish(self, output: np.ndarray, info: None) -> np.ndarray:
        if self._clock is not None:
            self._clock.work(4.0)
        return output[0]


def busy(ms: float) -> None:
    """Use the processor for so long by the wall clock."""
    end = time.perf_counter() + ms / 1000
    while time.perf_counter() < end:
        pass


class Lazy:
    """An array that is computed when it is read."""

    def __init__(self, x: np.ndarray, ms: float) -> None:
        self._x, self._ms = x, ms

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        busy(self._ms)
        return answer(self._x)


class Synthetic:
    """Does what ``kind`` says, for real.

    Args:
        kind: ``busy`` or ``sleep`` for ``ms``; ``late``: gives an array at once that a thread fills after ``ms``;
            ``late-reused``: the same array each time; ``late-scores``: late, float ``[N, 3, H, W]``; ``lazy``: an
            object that computes when it is read; ``reused``: one array, overwritten by each run; ``random``: others
            each time; ``wrong``: labels that are not right; ``crash``, ``killed``, ``hang``, ``late``: after ``after``
            runs; ``exit``: ends without a word; ``print``: to stdout, below Python.
        spike_run, spike_bytes: the run that fills so much memory and gives it back.
        load_bytes: memory that is filled while loading, and kept.
        first_ms: that the first run takes more.
        pid_file: gets this process's number.
    """

    version = "1.0"

    def __init__(
        self,
        files: Sequence[Path],
        threads: int,
        kind: str = "busy",
        ms: float = 1.0,
        after: int = 0,
        load_bytes: int = 0,
        first_ms: float = 0.0,
        pid_file: str | None = None,
        spike_run: int = 0,
        spike_bytes: int = 0,
    ) -> None:
        self._spike = (spike_run, spike_bytes)
        self.kind, self.ms, self.after, self._first = kind, ms, after, first_ms
        self.calls = 0
        self.marked = False  # whether somebody wrote into the array of `reused`
        self._kept = np.ones(load_bytes, np.uint8)
        self._reused: np.ndarray | None = None
        if pid_file is not None:
            Path(pid_file).write_text(str(os.getpid()))

    def describe(self) -> str:
        return f"synthetic {self.kind}"

    def run(self, x: np.ndarray) -> Any:
        self.calls += 1
        if self.calls == 1:
            busy(self._first)
        if self.calls == self._spike[0]:
            np.ones(self._spike[1], np.uint8)
        if self.kind in ("crash", "killed", "exit", "hang") and self.calls > self.after:
            self._end()
        if self.kind == "print":
            os.write(1, b'{"ok": "no answer"}\n')
        if self.kind.startswith("late"):
            return self._late(x)
        if self.kind == "lazy":
            return Lazy(x, self.ms)
        (time.sleep if self.kind == "sleep" else lambda s: busy(1000 * s))(self.ms / 1000)
        if self.kind == "random":
            return np.random.default_rng(self.calls).integers(0, 3, (1, *x.shape[2:]), np.int32)
        if self.kind == "reused":
            self.marked |= self._reused is not None and int(self._reused.max()) > 2
            self._reused = answer(x) if self._reused is None else self._reused
            self._reused[...] = answer(x)
            return self._reused
        return answer(x) if self.kind != "wrong" else np.zeros_like(answer(x))

    def _end(self) -> None:
        if self.kind == "crash":
            os.write(2, b"terrible news\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "exit":
            os._exit(3)
        time.sleep(600)

    def _late(self, x: np.ndarray) -> np.ndarray:
        result = answer(x)
        if self.kind == "late-scores":
            result = np.ascontiguousarray(x)
        given = np.zeros_like(result) if self._reused is None or self.kind != "late-reused" else self._reused
        self._reused = given
        if self.calls <= self.after:
            given[...] = result
            return given
        threading.Timer(self.ms / 1000, lambda: np.copyto(given, result)).start()
        return given


def make_bundle(folder: Path) -> Path:
    """A bundle whose graph gives :func:`answer`, with two golden inputs."""
    inputs = [image.transpose(2, 0, 1)[None].astype(np.float32) for image in images()]
    return write_bundle(folder, input_shape=[1, 3, *SIZE_HW], inputs=inputs)


def main() -> None:
    real = session.backend_class
    fake = {"onnxruntime": Synthetic}
    for module in (session, worker):
        module.backend_class = lambda name: fake.get(name) or real(name)  # type: ignore[attr-defined]
    worker.main()


if __name__ == "__main__":
    main()
