"""Latency of a network on this machine: one input at a time, the network only, without pre- and postprocessing.

What one number means: the clock starts with the input in memory as a float32 NCHW array and stops when the output is
a complete NumPy array, so that a backend which returns before its work is done cannot look fast. The first call of a
session (which may compile, allocate or read) is kept apart, then calls for warming up are made and not counted, then
the timed calls go through the inputs in turn.

Several sessions take turns of a few calls each, so that a change of the machine's speed during the measurement meets
all of them. Threads of one session go on spinning for a while after its call, in wait for the next one, and take cores
from another session (seen with ONNX Runtime 1.31 on two cores: 90 ms instead of 48 ms). So a turn begins with a pause,
in which they fall asleep, and an untimed call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from paddle_mobileseg.files import write_json
from paddle_mobileseg.machine import describe

FORMAT = 1
RECORD_FILE = "latency.json"  # its usual name, in a bundle's folder

PAUSE_S = 0.3  # longer than the 0.2 s for which OpenMP threads spin by default
CALLS_PER_TURN = 5

_NS_PER_MS = 1e6


class TimedSession(Protocol):
    """What is needed of :class:`paddle_mobileseg.runtime.Session`."""

    backend: str
    threads: int

    def run_tensor(self, x: np.ndarray) -> np.ndarray: ...


def measure(
    session: TimedSession,
    inputs: Sequence[np.ndarray],
    warmup: int = 3,
    repeats: int = 20,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Any]:
    """Time ``session.run_tensor`` on the inputs; see the module's text for the protocol.

    Args:
        session: what is timed; it should not have run yet, or ``first_ms`` is no first run.
        inputs: float32 [N, 3, H, W] arrays of one shape, used in turn.
        warmup: calls between the first one and the timed ones, 0 or more.
        repeats: timed calls, 1 or more.
        clock: nanoseconds that never go back.

    Returns:
        ``backend``, ``threads``, ``input_shape``, ``inputs`` (how many), ``warmup``, ``repeats``, ``first_ms``,
        ``median_ms``, ``p90_ms`` (linear between ranks), ``min_ms``, ``mean_ms``, ``std_ms`` (of the population) and
        ``raw_ms`` (every timed call, in order). Times are milliseconds for one call with the whole batch N.

    Raises:
        ValueError: no inputs, inputs of different shapes, or a count out of range.
    """
    return measure_all([session], inputs, warmup, repeats, clock)[0]


def measure_all(
    sessions: Sequence[TimedSession],
    inputs: Sequence[np.ndarray],
    warmup: int = 3,
    repeats: int = 20,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> list[dict[str, Any]]:
    """Time several sessions in turns of ``CALLS_PER_TURN`` calls; every second round goes in reverse order.

    Arguments and errors as for :func:`measure`; each session gets ``repeats`` timed calls. ``sleep`` is called with
    ``PAUSE_S`` before each turn, unless there is one session only.

    Returns:
        what :func:`measure` returns, for each session in the order given.

    Raises:
        ValueError: also when there is no session.
    """
    _check(sessions, inputs, warmup, repeats)
    first = [_time_call(session, inputs[0], clock) for session in sessions]
    for session in sessions:
        for turn in range(warmup):
            session.run_tensor(inputs[turn % len(inputs)])
    raw: list[list[float]] = [[] for _ in sessions]
    order = list(range(len(sessions)))
    for start in range(0, repeats, CALLS_PER_TURN):
        calls = range(start, min(start + CALLS_PER_TURN, repeats))
        for index in order:
            if len(sessions) > 1:
                sleep(PAUSE_S)
                sessions[index].run_tensor(inputs[start % len(inputs)])
            raw[index] += [_time_call(sessions[index], inputs[call % len(inputs)], clock) for call in calls]
        order.reverse()
    return [
        {
            "backend": session.backend,
            "threads": session.threads,
            "input_shape": list(inputs[0].shape),
            "inputs": len(inputs),
            "warmup": warmup,
            "repeats": repeats,
            "first_ms": first_ms,
            **summarize(times),
            "raw_ms": times,
        }
        for session, first_ms, times in zip(sessions, first, raw, strict=True)
    ]


def summarize(times_ms: Sequence[float]) -> dict[str, float]:
    """``median_ms``, ``p90_ms``, ``min_ms``, ``mean_ms`` and ``std_ms`` of at least one time."""
    times = np.asarray(times_ms, np.float64)
    return {
        "median_ms": float(np.median(times)),
        "p90_ms": float(np.percentile(times, 90)),
        "min_ms": float(times.min()),
        "mean_ms": float(times.mean()),
        "std_ms": float(times.std()),
    }


def write_record(
    path: str | Path,
    measurements: Sequence[Mapping[str, Any]],
    *,
    model: Mapping[str, Any] | None = None,
    command: str | None = None,
    machine: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write measurements with all that gives them a meaning, atomically, as JSON.

    Args:
        path: the file.
        measurements: as :func:`measure_all` returns them.
        model: what was measured, such as ``network`` and ``source_checkpoint_sha256`` of a bundle.
        command: that repeats the measurement.
        machine: by default :func:`paddle_mobileseg.machine.describe` of this one.

    Returns:
        what was written.

    Raises:
        ValueError: no measurement, or a number that is not finite.
        OSError: the file cannot be written.
    """
    if not measurements:
        raise ValueError(f"{path}: there is no measurement to write; a latency record holds at least one")
    record = {
        "format": FORMAT,
        "kind": "latency",
        "model": dict(model or {}),
        "command": command,
        "machine": dict(machine) if machine is not None else describe(),
        "measurements": [dict(each) for each in measurements],
    }
    write_json(path, record)
    return record


def read_record(path: str | Path) -> dict[str, Any]:
    """Read what :func:`write_record` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a latency record, or one of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no latency record {path}; `mobileseg benchmark --bundle FOLDER` makes one")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); measure again") from error
    if not isinstance(record, dict) or record.get("kind") != "latency" or record.get("format") != FORMAT:
        got = (record.get("kind"), record.get("format")) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{path}: expected a latency record of format {FORMAT}, but got {got}; measure again")
    return record


def _check(sessions: Sequence[Any], inputs: Sequence[np.ndarray], warmup: int, repeats: int) -> None:
    if not sessions:
        raise ValueError("there is no session to measure; give at least one")
    if not inputs:
        raise ValueError("there is no input to measure with; give at least one array [N, 3, H, W]")
    shapes = sorted({tuple(each.shape) for each in inputs})
    if len(shapes) > 1:
        raise ValueError(
            f"inputs have different shapes {shapes}: one number would mean nothing; measure each size by itself"
        )
    if warmup < 0 or repeats < 1:
        raise ValueError(f"warmup must be 0 or more and repeats 1 or more, but got {warmup} and {repeats}")


def _time_call(session: TimedSession, x: np.ndarray, clock: Callable[[], int]) -> float:
    start = clock()
    np.asarray(session.run_tensor(x))
    return (clock() - start) / _NS_PER_MS
