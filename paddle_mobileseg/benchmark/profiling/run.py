"""Times per operator of a bundle, taken in a child process."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark.profiling.events import Operators, Profile
from paddle_mobileseg.child_process import importing_environment, run_to_end
from paddle_mobileseg.runtime.bundle import Bundle, load_bundle
from paddle_mobileseg.runtime.session import files_key

_LOGGER = logging.getLogger("paddle_mobileseg")

# Backend to module and function here that measure it, or that say why they cannot.
OFFERED = {
    "onnxruntime": ("onnxruntime", "measure"),
    "paddle": ("paddle", "measure"),
    "paddle-legacy": ("paddle", "measure"),
    "lite": ("lite", "measure_x86"),
    "lite-arm": ("lite", "measure_arm"),
    "tensorrt": ("tensorrt", "measure"),
}
# What the child hands on, special ones first.
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (FileNotFoundError, ChildProcessError, OSError, ImportError, ValueError)
}


def profile_bundle(
    bundle_dir: str | Path,
    backend: str,
    threads: int = 1,
    runs: int = 20,
    warmup: int = 3,
    options: Mapping[str, Any] | None = None,
) -> Operators:
    """``operators`` of a record: :attr:`Profile.operators` of :func:`profile`, with the same arguments and errors."""
    return profile(bundle_dir, backend, threads, runs, warmup, options).operators


def profile(
    bundle_dir: str | Path,
    backend: str,
    threads: int = 1,
    runs: int = 20,
    warmup: int = 3,
    options: Mapping[str, Any] | None = None,
    timeout_s: float = 900.0,
) -> Profile:
    """Times per operator on the bundle's first stored input, in runs of their own: profiling makes a run slower.

    They are taken in a child process and a temporary folder, of which nothing stays.

    Args:
        bundle_dir: the bundle.
        backend: one of :data:`paddle_mobileseg.runtime.BACKENDS`.
        threads: of the network's operators.
        runs: that count, at least 1.
        warmup: runs before them, at least 1.
        options: of the backend.
        timeout_s: for all of it.

    Raises:
        FileNotFoundError: no bundle there, or a file of it is missing.
        ValueError: a damaged bundle, one without files for the backend, an unknown backend, a count out of range, or
            a backend that does not offer times per operator: the message says why.
        ImportError: the backend's package is not installed.
        ChildProcessError: the process died; the message has its last words.
        TimeoutError: it took longer than ``timeout_s``.
    """
    for name, value in (("threads", threads), ("runs", runs), ("warmup", warmup)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number from 1")
    bundle = load_bundle(bundle_dir)
    files = bundle.files_of(files_key(backend))
    if backend not in OFFERED:
        raise ValueError(
            f"times per operator are not offered for the backend {backend!r} yet; they are for "
            f"{', '.join(name for name in OFFERED if name != 'lite')}"
        )
    bundle.verify(files)
    counts = (str(threads), str(runs), str(warmup))
    found = _in_child(bundle, [backend, *counts, json.dumps(dict(options or {}))], threads, timeout_s)
    _LOGGER.info("%s on %s: %s", bundle.folder.resolve().name, backend, found.summary())
    return found


def _in_child(bundle: Bundle, asked: list[str], threads: int, timeout_s: float) -> Profile:
    with tempfile.TemporaryDirectory(prefix="mobileseg-profile-") as folder:
        answer = Path(folder) / "profile.json"
        words = [str(bundle.folder.absolute()), *asked, str(answer)]
        command = [sys.executable, "-m", "paddle_mobileseg.benchmark.profiling.child", *words]
        # ONNX Runtime's own files go to the temporary folder too.
        environment = importing_environment(OMP_NUM_THREADS=str(threads), TMPDIR=folder)
        run_to_end(command, timeout_s, f"profiling {bundle.folder} with {asked[0]}", environment)
        content: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in content:
        raise ERRORS[content["error"]](content["message"])
    return Profile.from_json(content)
