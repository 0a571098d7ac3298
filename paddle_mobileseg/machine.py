"""The machine and the software that a number belongs to, without anything that names a person or a computer."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

# Distributions whose version can change a number.
PACKAGES = (
    "paddle_mobileseg",
    "paddlepaddle",
    "paddlepaddle-gpu",
    "paddleseg",
    "paddle2onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "paddlelite",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "cuda-python",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "Pillow",
)

_PROJECT = Path(__file__).resolve().parents[1]


def describe() -> dict[str, Any]:
    """This machine, for a record. What cannot be found out is ``None``. Neither Paddle nor a runtime is imported.

    Returns:
        ``cpu`` (model name), ``logical_cores``, ``memory_gib`` (installed, GiB, one decimal), ``os`` (name, version
        and processor architecture), ``python``, ``packages`` (version by distribution, those installed only),
        ``git_commit`` and ``git_modified`` of this project's checkout, ``date`` (UTC, ISO 8601, seconds).
    """
    commit, modified = _git_state(_PROJECT)
    return {
        "cpu": _cpu_model(),
        "logical_cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "os": f"{_os_name()}, {platform.machine()}",
        "python": platform.python_version(),
        "packages": package_versions(),
        "git_commit": commit,
        "git_modified": modified,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def package_versions() -> dict[str, str]:
    """Versions of those of ``PACKAGES`` that are installed, from their metadata."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def parse_cpu_model(cpuinfo: str) -> str | None:
    """The processor's name in the text of Linux's ``/proc/cpuinfo``; ``None`` where it has none."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            fields.setdefault(key.strip(), " ".join(value.split()))
    return next((fields[key] for key in ("model name", "Hardware", "Model", "cpu model") if key in fields), None)


def _cpu_model() -> str | None:
    try:
        model = parse_cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        model = _output("sysctl", "-n", "machdep.cpu.brand_string")
    return model or platform.processor() or None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _git_state(project: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout and whether tracked files differ from it; (None, None) outside a checkout."""
    if not (project / ".git").exists():
        return None, None
    commit = _output("git", "-C", str(project), "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None, None
    changes = _output("git", "-C", str(project), "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else changes != ""


def _output(*command: str) -> str | None:
    """What a command prints, stripped; ``None`` if it is missing, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
