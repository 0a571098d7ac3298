"""Profiles a bundle for the process that started this one: a crash of the runtime ends no more than this.

python -m paddle_mobileseg.benchmark.profiling.child BUNDLE BACKEND THREADS RUNS WARMUP OPTIONS(JSON) ANSWER.json
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark.profiling.run import ERRORS, OFFERED
from paddle_mobileseg.runtime.bundle import load_bundle
from paddle_mobileseg.runtime.session import backend_class, files_key


def main(words: list[str]) -> None:
    """Write the profile, or ``{"error", "message"}`` of an error that is the user's to read, to ANSWER.json."""
    folder, backend, *numbers, options = words[:-1]
    answer = Path(words[-1])
    os.chdir(answer.parent)  # where runtimes leave their files
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    content: dict[str, Any]
    try:
        bundle = load_bundle(folder)
        backend_class(backend)  # its package is installed
        module, function = OFFERED[backend]
        measure = getattr(importlib.import_module(f"paddle_mobileseg.benchmark.profiling.{module}"), function)
        files = bundle.files_of(files_key(backend))
        x, _ = bundle.golden()[0]
        found = measure(files, x, *map(int, numbers), answer.parent, **json.loads(options))
        content = dataclasses.replace(found, input_shape=list(x.shape)).to_json()
    except tuple(ERRORS.values()) as error:
        kind = next(name for name, each in ERRORS.items() if isinstance(error, each))
        content = {"error": kind, "message": str(error)}
    answer.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
