"""Times per operator of Paddle Inference, from ``paddle.profiler`` round the runs of a predictor.

``Config.enable_profile`` is not used: it counts the warm-up, sums by type and keeps one account for all predictors of
the process. The events carry types and no names, so that an operator's name is its type and its place among those of
its type in a run: ``pd_op.matmul.3``.
"""

from __future__ import annotations

import collections
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark.profiling.events import Event, Profile, Span, plain_ms, profile_of
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend

_DURATION = re.compile(r"\[[\d.]+ \w+\]$")  # what Paddle adds to the names of events


def measure(
    files: list[Path], x: np.ndarray, threads: int, runs: int, warmup: int, folder: Path, **options: Any
) -> Profile:
    """Profile ``runs`` runs after ``warmup`` others of the backend ``paddle`` or ``paddle-legacy``.

    Args:
        files: graph and weights.
        x: of the shape and type that the graph takes.
        folder: for the trace.
        options: of the backend.

    Raises:
        ValueError: Paddle cannot load the files, or its trace is not what it was.
    """
    from paddle import profiler  # after the backend has imported Paddle

    backend = PaddleBackend(files, threads, **options)
    for _ in range(warmup):
        backend.run(x)
    unprofiled_ms = plain_ms(lambda: backend.run(x), runs)
    trace = folder / "trace.json"
    with profiler.Profiler(
        targets=[profiler.ProfilerTarget.CPU], on_trace_ready=lambda done: done.export(str(trace), "json")
    ) as recorded:
        for number in range(runs):
            if number:
                recorded.step()
            backend.run(x)
    found = read_trace(trace.read_text(encoding="utf-8"), runs)
    return Profile(found.operators, found.runs, found.run_ms, unprofiled_ms)


def read_trace(text: str, runs: int) -> Profile:
    """The trace that ``paddle.profiler`` exports, in which each step is a run.

    Raises:
        ValueError: no such trace, or one of fewer runs.
    """
    try:
        events = [event for event in json.loads(text)["traceEvents"] if event.get("ph") == "X"]
        spans = [Span(_start_us(e), e["dur"]) for e in events if e["cat"] == "ProfileStep"]
        calls = [Event("", _name(e), _start_us(e), e["dur"], e["tid"]) for e in events if e["cat"] == "Operator"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Paddle wrote a trace that cannot be read: {error!r}") from error
    spans = sorted(spans, key=lambda span: span.start_us)[:runs]  # a last one lies between the last run and the end
    if len(spans) < runs:
        raise ValueError(f"Paddle's trace has {len(spans)} runs; expected {runs}")
    return profile_of([event for span in spans for event in _named(calls, span)], spans)


def _named(calls: list[Event], span: Span) -> list[Event]:
    """Those of one run, each with its type's number behind its name."""
    inside = [each for each in calls if span.start_us <= each.start_us < span.start_us + span.duration_us]
    count: collections.Counter[str] = collections.Counter()
    named = []
    for each in sorted(inside, key=lambda call: call.start_us):
        name = f"{each.type}.{count[each.type]}"
        count[each.type] += 1
        named.append(Event(name, operator_type(each.type), each.start_us, each.duration_us, each.thread))
    return named


def operator_type(name: str) -> str:
    """``add`` for ``pd_op.add_`` (its variant in place) and ``pd_op.add``; oneDNN's operators keep their prefix."""
    return name.removeprefix("pd_op.").rstrip("_")


def _name(event: dict[str, Any]) -> str:
    return _DURATION.sub("", event["name"])


def _start_us(event: dict[str, Any]) -> float:
    """``ts`` is in whole microseconds, longer than some operators take."""
    number, unit = event["args"]["start_time"].split()
    if unit != "us":
        raise ValueError(f"a start in {unit!r}; expected us")
    return float(number)
