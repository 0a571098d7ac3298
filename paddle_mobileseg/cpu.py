"""Settings of the process that make Paddle faster on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Numbers of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def use_all_cores() -> None:
    """Let Paddle use every core that this process may, or its share of them in a launched job.

    Call it before Paddle is imported. ``OMP_NUM_THREADS`` wins.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // local_processes())))


def local_processes() -> int:
    """How many processes of a launched job run on this machine; 1 where there was no launch."""
    size = os.environ.get("PADDLE_LOCAL_SIZE", "")
    if size.isdecimal():
        return max(1, int(size))
    # `--backend gloo` makes the launcher say less.
    host = os.environ.get("PADDLE_CURRENT_ENDPOINT", "").rpartition(":")[0]
    endpoints = os.environ.get("PADDLE_TRAINER_ENDPOINTS", "").split(",")
    return max(1, sum(endpoint.rpartition(":")[0] == host for endpoint in endpoints))


def thread_map(function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """``list(map(function, *arguments))`` on as many threads as Paddle's operators may have.

    For work that NumPy does without the interpreter's lock.
    """
    words = re.findall(r"\d+", os.environ.get("OMP_NUM_THREADS", ""))
    threads = int(words[0]) if words else 1
    if threads < 2:
        return list(map(function, *arguments))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, *arguments))


def import_paddle() -> None:
    """Import Paddle without what it prints about ccache and threads, and with its C++ log at errors only.

    SIGTERM then does what it did before: Paddle's handler would print a C++ stack as if it were a crash.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        import paddle  # noqa: F401
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors instead of giving it back to the system after each operator.

    Paddle's CPU allocator asks malloc for every tensor; above 32 MB each one costs a system call and a page fault for
    every 4 kB, more than many operators themselves. Does nothing where the C library is another.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_freed_memory_back() -> None:
    """Undo :func:`keep_freed_memory` for the rest of the process: for images so large that memory is short.

    Freed tensors of different sizes leave gaps that the next ones do not fit into: the process grows by up to half of
    what it needs.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 65536)  # the defaults of glibc's manual
        library.mallopt(_M_TRIM_THRESHOLD, 128 * 1024)
        library.malloc_trim(0)
