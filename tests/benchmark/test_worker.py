"""Requests and answers of the measuring process, without the process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paddle_mobileseg.benchmark import state
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import protocol
from paddle_mobileseg.benchmark.timing import Runs
from paddle_mobileseg.benchmark.worker import Worker, decode, encode, kind_of, serve


class Scripted:
    """A worker that does what its error says."""

    def __init__(self, error: Exception | None, log: list[Any], enter: Any) -> None:
        self._error, self._log, self._enter = error, log, enter

    def open(self) -> dict[str, Any]:
        self._enter("load")
        if self._error is not None:
            raise self._error
        return {"opened": True}

    def turn(self, pause_s: float) -> dict[str, Any]:
        self._enter("timing")
        return {"done": pause_s > 0}

    def finish(self) -> dict[str, Any]:
        return {"network": [1]}

    def outputs(self, folder: Path) -> dict[str, Any]:
        return {"folder": str(folder)}

    def close(self) -> None:
        self._log.append("closed")


def talk(*requests: dict[str, Any], error: Exception | None = None) -> list[Any]:
    log: list[Any] = []
    lines = [json.dumps(each) for each in (encode(Plan(Path("b"), "lite"), protocol("quick")), *requests)]
    serve(lines, log.append, lambda plan, rules, enter: Scripted(error, log, enter))  # type: ignore[arg-type, return-value]
    return log


def test_requests_are_answered_in_turn() -> None:
    said = talk({"do": "turn", "pause_s": 0.5}, {"do": "outputs", "folder": "f"}, {"do": "finish"})
    assert said == [
        {"stage": "load"},
        {"ok": {"opened": True}},
        {"stage": "timing"},
        {"ok": {"done": True}},
        {"ok": {"folder": "f"}},
        {"ok": {"network": [1]}},
        "closed",
    ]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("bad"), "bad_input", "bad"),
        (FileNotFoundError("no such file"), "missing_file", "no such file"),
        (ModuleNotFoundError("no paddle"), "missing_backend", "no paddle"),
        (ChildProcessError("died"), "crash", "died"),
        (TimeoutError("slow"), "timeout", "slow"),
        (KeyError("a plain text"), "KeyError", "a plain text"),
        (MemoryError(), "out_of_memory", "MemoryError without a word"),
        (OSError("no GPU"), "OSError", "no GPU"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError", "a bug"),
    ],
)
def test_an_error_is_the_last_answer(error: Exception, kind: str, message: str) -> None:
    said = talk({"do": "turn", "pause_s": 0.0}, error=error)
    assert said == [
        {"stage": "load"},
        {"error": {"kind": kind, "stage": "load", "message": message}},
        "closed",
    ]
    assert kind_of(error) == kind


def test_only_turns_count_for_what_the_host_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(Plan(tmp_path, "lite"), protocol("quick"), lambda stage: None)
    worker._meter = SimpleNamespace(turn=lambda pause_s: None, done=True, runs=Runs([10**6] * 20, inputs=[0] * 20))
    worker._pid, worker._peak = None, 5000
    seen = iter([(0, 0), (1000, 500), (9000, 500), (10000, 700)])  # total and taken, before and after two turns
    monkeypatch.setattr(state, "jiffies", lambda: state.Jiffies(*next(seen)))
    assert [worker.turn(0.0)["runs"] for _ in range(2)] == [20, 20]
    found = worker.finish()
    assert found["reasons"] == [
        "preempted: the host gave 35% of the processors' time to others; at most 10% is allowed"
    ]
    assert found["peak_resident_bytes"] == 5000


def test_threads_that_waited_in_turns_that_count_make_it_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(Plan(tmp_path, "lite", 2), protocol("quick"), lambda stage: None)
    runs = Runs()
    turns = iter([[], [10**6] * 20])  # the first is thrown away
    worker._meter = SimpleNamespace(turn=lambda pause_s: runs.network.extend(next(turns)), done=True, runs=runs)
    runs.inputs = [0] * 20
    worker._pid, worker._peak = os.getpid(), 5000
    seen = iter([(0, 0), (100, 900), (800, 1200)])  # ran and waited: before the first turn, before and after the second
    monkeypatch.setattr(state, "waiting", lambda pid: state.Waiting(*next(seen)))
    monkeypatch.setattr(state, "jiffies", lambda: None)
    assert [worker.turn(0.0)["runs"] for _ in range(2)] == [0, 20]
    (reason,) = worker.finish()["reasons"]
    assert reason.startswith("preempted: the network's threads waited for a processor in 30% of the time")


def test_a_plan_comes_through_json() -> None:
    plan = Plan(
        Path("a/b"), "lite", 4, options={"timeout_s": 5}, affinity=(0, 2), images=Path("x.png"), frame_hw=(480, 640)
    )
    rules = protocol("mlperf", min_runs=7)
    assert decode(json.loads(json.dumps(encode(plan, rules)))) == (plan, rules)
    with pytest.raises(ValueError, match="options of the backend must be texts, numbers or lists"):
        encode(Plan(Path("b"), "lite", options={"x": object()}), rules)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux binds processes to cores")
def test_the_process_is_bound_to_its_cores(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    try:
        worker = Worker(Plan(tmp_path, "lite", affinity=(core,)), protocol("quick"), lambda stage: None)
        with pytest.raises(FileNotFoundError, match="is no bundle"):
            worker.open()
        assert os.sched_getaffinity(0) == {core}
    finally:
        os.sched_setaffinity(0, before)
