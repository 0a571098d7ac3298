"""Cores: processes that share them, and work spread over threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from paddle_mobileseg.cpu import local_processes, thread_map


@pytest.mark.parametrize(("setting", "threads"), [("1", 1), ("3", 3), ("2,4", 2), ("", 1)])
def test_thread_map_is_map_on_as_many_threads_as_omp_has(
    monkeypatch: pytest.MonkeyPatch, setting: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    together = threading.Barrier(threads)

    def work(a: int, b: int) -> tuple[int, int]:
        together.wait(timeout=30)  # goes on only if so many work at once
        return 10 * a + b, threading.get_ident()

    results = thread_map(work, range(6), range(6))

    assert [value for value, _ in results] == [0, 11, 22, 33, 44, 55]
    assert len({thread for _, thread in results}) == threads


def test_thread_map_raises_what_the_work_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        thread_map(lambda x: 1 // x, [1, 0, 2])


def test_processes_of_this_machine_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PADDLE_LOCAL_SIZE", "PADDLE_CURRENT_ENDPOINT", "PADDLE_TRAINER_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)
    assert local_processes() == 1
    monkeypatch.setenv("PADDLE_CURRENT_ENDPOINT", "10.0.0.2:7001")
    monkeypatch.setenv("PADDLE_TRAINER_ENDPOINTS", "10.0.0.1:7000,10.0.0.2:7000,10.0.0.2:7001")
    assert local_processes() == 2
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "3")
    assert local_processes() == 3
    for rubbish in ("", "two"):
        monkeypatch.setenv("PADDLE_LOCAL_SIZE", rubbish)
        assert local_processes() == 2
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "0")
    assert local_processes() == 1


def test_sigterm_is_no_crash() -> None:
    script = (
        "import os, signal; from paddle_mobileseg.cpu import import_paddle; import_paddle(); "
        "os.kill(os.getpid(), signal.SIGTERM)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGTERM, "", "")
