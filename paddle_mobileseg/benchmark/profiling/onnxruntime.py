"""Times per operator from ONNX Runtime's own profiler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from paddle_mobileseg.benchmark.profiling.events import Event, Profile, Span, plain_ms, profile_of
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend

_SUFFIX = "_kernel_time"


def measure(
    files: list[Path], x: np.ndarray, threads: int, runs: int, warmup: int, folder: Path, **options: Any
) -> Profile:
    """Profile ``runs`` runs after ``warmup`` others, in a session of the options that the backend uses.

    Args:
        files: the ``.onnx`` file.
        x: of the shape and type that the graph takes.
        folder: for the trace.
        options: of the backend.

    Raises:
        ValueError: ONNX Runtime cannot load or run the file, or its trace is not what it was.
    """
    backend = OnnxRuntimeBackend(files, threads, **options)
    for _ in range(warmup):
        backend.run(x)
    unprofiled_ms = plain_ms(lambda: backend.run(x), runs)

    with_profile = backend._session.get_session_options()
    with_profile.enable_profiling = True
    with_profile.profile_file_prefix = str(folder / "trace")
    session = ort.InferenceSession(str(files[0]), with_profile, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for _ in range(warmup + runs):
        session.run(None, {name: x})
    found = read_trace(Path(session.end_profiling()).read_text(encoding="utf-8"), warmup)
    return Profile(found.operators, found.runs, found.run_ms, unprofiled_ms)


def read_trace(text: str, warmup: int) -> Profile:
    """The trace that ONNX Runtime writes: a JSON list of events, with times in whole microseconds.

    Args:
        text: of the file.
        warmup: how many runs at its beginning do not count.

    Raises:
        ValueError: no such trace, or no runs after the warm-up.
    """
    try:
        events: list[dict[str, Any]] = json.loads(text)
        spans = [Span(e["ts"], e["dur"]) for e in events if e.get("cat") == "Session" and e["name"] == "model_run"]
        nodes = [_node(e) for e in events if e.get("cat") == "Node" and e["name"].endswith(_SUFFIX)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"ONNX Runtime {ort.__version__} wrote a trace that cannot be read: {error!r}") from error
    spans.sort(key=lambda span: span.start_us)
    if len(spans) <= warmup:
        raise ValueError(f"the trace has {len(spans)} runs, of which {warmup} are warm-up; expected more")
    return profile_of(nodes, spans[warmup:])


def _node(event: dict[str, Any]) -> Event:
    kind = event["args"]["op_name"]
    name = event["name"][: -len(_SUFFIX)] or f"{kind}_{event['args'].get('node_index', '')}"
    return Event(name, kind, event["ts"], event["dur"], str(event.get("tid", "")))
