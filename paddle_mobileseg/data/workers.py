"""Computing items in other processes, in order, without ever hanging.

Each worker is a fresh Python process (not a fork: the parent may hold OpenMP and OpenCV threads) that gets the
task through its standard input and computes every n-th item. It writes them to its own pipe, and the pipe
holds it back until they are wanted. The parent reads the pipes in turn, which keeps the order. A worker that
dies closes its pipe, a parent that dies closes all of them: both sides notice at once.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from paddle_mobileseg.cpu import keep_freed_memory

Task = Callable[[int], Any]

_PIPE_BYTES = 2**20  # the most that Linux allows everyone; with its default of 2**16, batches take half as long again

_CHILD = "from paddle_mobileseg.data import workers; workers.main()"

_NOT_SENDABLE = (
    "the data set or a transform cannot be rebuilt in a worker process (define it in a module that can be imported, "
    "without lambdas, or use num_workers 0)"
)


def ordered_map(task: Task, first: int, last: int, num_workers: int) -> Generator[Any, None, None]:
    """Yield task(first), ..., task(last - 1).

    Args:
        task: picklable with ``num_workers`` > 0, and made of importable parts (not defined in ``__main__``).
        num_workers: processes that compute; 0: compute here, when the item is asked for.

    Raises:
        ValueError: ``num_workers`` is no whole number >= 0, or the task cannot be sent to another process.
        ChildProcessError: a worker died.
        Exception: whatever the task raises, in this process and in the item's turn.
    """
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise ValueError(f"num_workers must be a whole number of at least 0, but got {num_workers!r}")
    if num_workers == 0 or first >= last:
        return (task(position) for position in range(first, last))
    return _from_workers(_pickled(task), first, last, min(num_workers, last - first))


def _from_workers(task: bytes, first: int, last: int, count: int) -> Generator[Any, None, None]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(_start())
        for number, process in enumerate(processes):
            _send_job(process, task, range(first + number, last, count))
        for position in range(first, last):
            yield _receive(processes[(position - first) % count])
    finally:
        for process in processes:
            _stop(process)


def main() -> None:
    """What a worker process runs: read the job, compute, write (item, None, "") or (None, error, traceback)."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get among the results
    with suppress(BrokenPipeError):  # the parent has enough
        try:
            positions = pickle.load(sys.stdin.buffer)
            task = pickle.load(sys.stdin.buffer)
            _limit_threads()
            keep_freed_memory()
        except Exception as error:
            _write(results, None, ValueError(f"{_NOT_SENDABLE}: {error}"), traceback.format_exc())
            return
        for position in positions:
            try:
                item = task(position)
            except Exception as error:
                _write(results, None, error, traceback.format_exc())
                return
            _write(results, item, None, "")


def _pickled(task: Task) -> bytes:
    try:
        return pickle.dumps(task, protocol=5)
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError and what __reduce__ raises
        raise ValueError(f"{_NOT_SENDABLE}: {error}") from error


def _start() -> subprocess.Popen[bytes]:
    search_path = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = dict(os.environ, PYTHONPATH=search_path, PYTHONSAFEPATH="1")
    environment.setdefault("PYTHONWARNINGS", "ignore:No ccache found")  # where a transform of PaddleSeg imports Paddle
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C goes to the parent only, which ends its workers
    )
    assert process.stdout is not None
    with suppress(ImportError, AttributeError, OSError):  # not Linux, or this user has many large pipes already
        import fcntl

        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return process


def _send_job(process: subprocess.Popen[bytes], task: bytes, positions: range) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # a worker that is dead already is reported when its result is read
        process.stdin.write(pickle.dumps(positions) + task)
        process.stdin.close()


def _receive(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    try:
        item, error, trace = pickle.load(process.stdout)
    except (EOFError, pickle.UnpicklingError) as broken:
        raise ChildProcessError(f"data worker {process.pid} {_end_of(process)}; try fewer workers") from broken
    if error is not None:
        raise error from RuntimeError(f"in a data worker:\n{trace}")
    return item


def _end_of(process: subprocess.Popen[bytes]) -> str:
    process.kill()  # its pipe is closed, so it is ending or beyond help
    status = process.wait()
    if status < 0:
        return f"was ended by {signal.Signals(-status).name} (often: out of memory)"
    return f"stopped with exit status {status} (see its messages above)"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


def _write(results: Any, item: Any, error: Exception | None, trace: str) -> None:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception class that does not survive pickling: its text does
        error = RuntimeError(f"{type(error).__name__}: {error}")
    pickle.dump((item, error, trace), results, protocol=5)
    results.flush()


def _limit_threads() -> None:
    """One thread a worker: the workers are the parallelism."""
    import cv2

    cv2.setNumThreads(0)
