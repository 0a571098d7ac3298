"""The command ``benchmark``: every backend of a bundle on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark.latency import RECORD_FILE, measure_all, write_record
from paddle_mobileseg.runtime import Bundle, Session, available_backends, load_bundle


def benchmark_bundle(
    bundle_dir: str | Path,
    output: str | Path | None = None,
    backends: Sequence[str] | None = None,
    threads: Sequence[int] = (1,),
    warmup: int = 3,
    repeats: int = 20,
    command: str | None = None,
) -> str:
    """Measure a bundle's network on the images stored with it, and write a latency record.

    Args:
        bundle_dir: the bundle.
        output: the record; by default ``latency.json`` in the bundle, where the report looks for it.
        backends: by default all that are installed and that the bundle has files for.
        threads: each backend is measured with each of these numbers.
        warmup, repeats: see :mod:`paddle_mobileseg.benchmark.latency`.
        command: the command line, for the record.

    Returns:
        a table, as text.

    Raises:
        FileNotFoundError: no bundle there, or a file of it is missing.
        ValueError: a damaged bundle, no backend to run it with, a count out of range.
        ImportError: a backend asked for is not installed.
        OSError: the record cannot be written.
    """
    bundle = load_bundle(bundle_dir)
    names = list(backends) if backends else _usable_backends(bundle)
    sessions = [Session(bundle.folder, name, count) for name in names for count in threads]
    measurements = measure_all(sessions, _inputs(bundle), warmup, repeats)
    target = bundle.folder / RECORD_FILE if output is None else Path(output)
    write_record(target, measurements, model=_model(bundle), command=command)
    return f"{_table(measurements)}\nrecord: {target}"


def _usable_backends(bundle: Bundle) -> list[str]:
    held = bundle.about["backends"]
    usable = [name for name in available_backends() if name in held]
    if not usable:
        raise ValueError(
            f"no backend can run {bundle.folder}: it has files for {', '.join(held) or 'none'}, installed are "
            f"{', '.join(available_backends()) or 'none'}; install one of those that it has files for"
        )
    return usable


def _inputs(bundle: Bundle) -> list[np.ndarray]:
    """The golden inputs that have the first one's shape."""
    inputs = [x for x, _ in bundle.golden()]
    return [x for x in inputs if x.shape == inputs[0].shape]


def _model(bundle: Bundle) -> dict[str, Any]:
    kept = ("network", "num_parameters", "macs", "source_checkpoint_sha256")
    return {
        **{key: bundle.about.get(key) for key in kept},
        "output_op": bundle.output_op,
        "files": {name: entry["sha256"] for name, entry in bundle.about["files"].items()},
    }


def _table(measurements: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'backend':<14}{'threads':>8}{'median ms':>12}{'p90 ms':>10}{'min ms':>10}{'first ms':>11}"]
    lines += [
        f"{m['backend']:<14}{m['threads']:>8}{m['median_ms']:>12.2f}{m['p90_ms']:>10.2f}{m['min_ms']:>10.2f}"
        f"{m['first_ms']:>11.2f}"
        for m in measurements
    ]
    shape = measurements[0]["input_shape"]
    height, width = shape[1:3] if shape[3] == 3 else shape[2:]  # bytes come as NHWC
    return "\n".join([*lines, f"input {width}x{height} (width x height), {measurements[0]['repeats']} repeats each"])
