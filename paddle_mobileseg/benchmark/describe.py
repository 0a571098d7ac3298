"""Sections of a record that say what was measured, with what, and where. Neither Paddle nor a runtime is imported."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import paddle_mobileseg
from paddle_mobileseg import machine
from paddle_mobileseg.runtime.bundle import Bundle
from paddle_mobileseg.runtime.session import files_key

# What records, and exports, call the files that a manifest keeps under a backend's name.
FORMATS = {
    "paddle": "paddle",
    "paddle-legacy": "paddle-legacy",
    "onnxruntime": "onnx",
    "lite": "lite-x86",
    "lite-arm": "lite-arm",
}


def model_section(
    bundle: Bundle, backend: str, input_shape: Sequence[int] | None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The record's ``model``: a bundle's manifest and the files that a backend runs.

    Args:
        bundle: its files are not read.
        backend: one of :data:`paddle_mobileseg.runtime.BACKENDS`.
        input_shape: of the tensor that is measured, [N, 3, H, W] or [N, H, W, 3]; ``None``: that of the manifest,
            unless it has open sides.
        options: of the backend; TensorRT's say in which precision it computes.

    Raises:
        ValueError: unknown backend, or one that the bundle has no files for.
    """
    about, key = bundle.about, files_key(backend)
    names = [path.name for path in bundle.files_of(key)]
    shape = list(bundle.input_shape if input_shape is None else input_shape)
    checkpoint = about.get("source_checkpoint_sha256")
    precision = bundle.targets.get(FORMATS[key], {}).get("precision")
    if backend.endswith("tensorrt"):
        precision = (options or {}).get("precision", "fp32")
    return {
        "network": about.get("architecture") or about["network"],
        "bundle": bundle.folder.resolve().name,
        "weights": about.get("weights") or {None: None, "": "random"}.get(checkpoint, "trained"),
        "source_checkpoint_sha256": checkpoint or None,
        "format": FORMATS[key],
        "precision": precision,
        "files": [{"name": name, **{k: about["files"][name][k] for k in ("bytes", "sha256")}} for name in names],
        "parameters": about.get("num_parameters"),
        "macs": about.get("macs"),
        "macs_size_hw": about.get("macs_size_hw"),
        "num_classes": about["num_classes"],
        "input_shape": None if -1 in shape else [int(side) for side in shape],
        "input_dtype": about["input"].get("dtype"),
        "output_op": bundle.output_op,
        "output_dtype": about.get("output", {}).get("dtype"),
    }


def toolchain(bundle: Bundle | None = None) -> dict[str, Any]:
    """The record's ``toolchain``: versions of this machine, and of what wrote a bundle."""
    export: dict[str, str] = {}
    if bundle is not None:
        export = dict(bundle.about.get("versions") or {})
        for target in bundle.targets.values():
            export |= {name: str(version) for name, version in (target.get("tools") or {}).items()}
    return {
        "python": platform.python_version(),
        "packages": machine.package_versions(),
        "export_tools": {name: version for name, version in export.items() if version},
    }


def tool_section() -> dict[str, Any]:
    """The record's ``tool``: this program."""
    here = _this_machine()
    return {
        "name": "paddle_mobileseg",
        "version": paddle_mobileseg.__version__,
        "git_commit": here["git_commit"],
        "git_modified": here["git_modified"],
    }


def local_device() -> dict[str, Any]:
    """The record's ``device``: this machine, without anything that names a person or a computer."""
    here, abi, gpu = _this_machine(), platform.machine() or None, _gpu_name()
    kept = {name: here[name] for name in ("cpu", "logical_cores", "memory_gib")}
    return {
        "kind": "local",
        "name": here["cpu"] or abi,
        "soc": None,
        **kept,
        "os": here["os"],
        "abi": abi,
        "android": None,
        "gpu": gpu,
        "fingerprint": fingerprint(*kept.values(), abi, gpu),
    }


def fingerprint(*facts: Any) -> str:
    """12 hexadecimal digits for what a kind of device is made of: texts, whole numbers; GiB count as whole ones."""
    plain = [round(fact) if isinstance(fact, float) else fact for fact in facts]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]


@functools.cache
def _this_machine() -> dict[str, Any]:
    return machine.describe()


@functools.cache
def _gpu_name() -> str | None:
    """Of the first NVIDIA GPU; ``None`` where there is none or no driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.splitlines() or [""])[0].strip() or None if done.returncode == 0 else None
