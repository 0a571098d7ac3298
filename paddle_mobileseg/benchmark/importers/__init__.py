"""Texts of other tools as records: what a text says, ``null`` for the rest.

Each module says what its tool's times include, and so where they go: to ``timing.network`` where input and output are
in host memory, else to ``timing.stages``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from paddle_mobileseg import files
from paddle_mobileseg.benchmark import describe, record
from paddle_mobileseg.benchmark.importers import (
    litert,
    mobileseg_run,
    ncnn,
    onnxruntime_perf,
    paddle_lite,
    texts,
    trtexec,
)
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.runtime.bundle import Bundle, load_bundle
from paddle_mobileseg.suggestion import did_you_mean

_IMPORTERS: dict[str, ModuleType] = {
    "paddle-lite": paddle_lite,
    "trtexec": trtexec,
    "litert": litert,
    "ncnn": ncnn,
    "onnxruntime": onnxruntime_perf,
    "mobileseg-run": mobileseg_run,
}
NAMES = tuple(_IMPORTERS)
_BACKENDS = {
    "paddle-lite": "lite-arm",
    "trtexec": "tensorrt",
    "onnxruntime": "onnxruntime",
    "mobileseg-run": "lite-arm",
}  # that run a bundle's files
_SHOWN = 100  # characters of a line in a message


def read(name: str, text: str) -> list[Record]:
    """Records of all runs that a tool's text is of, in its order; a run that failed is a record too.

    Args:
        name: one of :data:`NAMES`.
        text: all that the tool printed, or a part that has its times. Colours, line ends of Windows and what adb's
            logcat puts in front of lines are taken away.

    Returns:
        records that are valid, without ``id`` and ``created``; ``device.kind`` is ``other``.

    Raises:
        KeyError: unknown name.
        ValueError: the text of another tool, of none, or one that contradicts itself.
    """
    importer = _importer(name)
    lines = texts.lines_of(text)
    if not _fits(importer, lines):
        raise ValueError(_other_tool(importer, lines))
    source = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    made = importer.read(lines)
    for number, each in enumerate(made):
        each["key"] = hashlib.sha256(f"{name} {source} {number}".encode()).hexdigest()[:16]
        each["origin"] = {"kind": "imported", "importer": name, "source": None, "source_sha256": source}
        each["tool"] = describe.tool_section()
        each["device"]["kind"] = "other"
        each["backend"]["requested"] = name
        try:
            record.validate(each)
        except ValueError as error:
            raise ValueError(f"the text of {importer.TOOL} cannot be right: {error}") from error
    return made


def import_file(
    name: str,
    path: str | Path,
    *,
    network: str | None = None,
    device_name: str | None = None,
    bundle: str | Path | None = None,
    output: str | Path,
) -> list[Path]:
    """Write the records of a tool's text.

    Args:
        name: one of :data:`NAMES`.
        path: the text, UTF-8 or what Windows writes.
        network: what was measured, where the text does not say it; for a text of one model only.
        device_name: where it was measured, where the text does not say it.
        bundle: whose files were measured; fills in ``model``.
        output: folder of the records.

    Returns:
        their files.

    Raises:
        FileNotFoundError: no such text or bundle.
        KeyError: unknown name.
        ValueError: see :func:`read`; or text and bundle do not belong together.
        OSError: the folder cannot be written.
    """
    path = Path(path)
    _importer(name)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; give the file with what the tool printed")
    try:
        made = read(name, _decoded(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    models = {str(each["model"]["network"] or each["model"]["files"]) for each in made}
    if len(models) > 1 and (network is not None or bundle is not None):
        raise ValueError(
            f"{path} is of {len(models)} models, and one network or bundle was given for them; leave it out, or cut "
            "the text into one for each model"
        )
    measured = None if bundle is None else load_bundle(bundle)
    for each in made:
        each["origin"].update(source=path.name, source_sha256=files.sha256(path))
        each["device"]["name"] = device_name or each["device"]["name"]
        if measured is not None:
            each["model"] = _model(name, measured, each["model"])
        each["model"]["network"] = network or each["model"]["network"]
    for each in made:
        record.validate(each)
    return [record.write(output, each) for each in made]


def _importer(name: str) -> ModuleType:
    if name not in _IMPORTERS:
        raise KeyError(f"unknown importer {name!r}{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}")
    return _IMPORTERS[name]


def _fits(importer: ModuleType, lines: Sequence[str]) -> bool:
    return any(re.search(sign, line, re.IGNORECASE) for sign in importer.SIGNS for line in lines)


def _other_tool(importer: ModuleType, lines: Sequence[str]) -> str:
    first = next((line.strip() for line in lines if line.strip()), None)
    if first is None:
        return f"expected the text of {importer.TOOL}, but it is empty; give all that the tool printed"
    other = next(
        (f"the text of {each.TOOL}: use {name!r}" for name, each in _IMPORTERS.items() if _fits(each, lines)), None
    )
    hint = f"it looks like {other}" if other else "give all that the tool printed"
    return f"expected the text of {importer.TOOL}, but the first line is {first[:_SHOWN]!r}; {hint}"


def _decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 where it begins with its mark, as PowerShell writes it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def _model(name: str, bundle: Bundle, said: dict[str, Any]) -> dict[str, Any]:
    """The section ``model`` of a bundle, where nothing in the text contradicts it."""
    if name not in _BACKENDS:
        raise ValueError(
            f"a bundle holds no files for {_IMPORTERS[name].TOOL}; leave the bundle out, or give the network"
        )
    backend = "lite" if said["format"] == "lite-x86" else _BACKENDS[name]
    made = describe.model_section(bundle, backend, said["input_shape"])
    sides = zip(bundle.input_shape, made["input_shape"] or bundle.input_shape, strict=True)
    if any(fixed not in (-1, side) for fixed, side in sides):
        raise ValueError(f"the text is of the input {said['input_shape']}, the bundle takes {bundle.input_shape}")
    ran, held = [each["name"] for each in said["files"]], [each["name"] for each in made["files"]]
    if said["format"] == "tensorrt":  # an engine, which no bundle has
        return made | {key: said[key] for key in ("format", "files", "precision")}
    if ran and not set(ran) <= set(held):
        raise ValueError(f"the text is of {', '.join(ran)}, the bundle {bundle.folder} has {', '.join(held)} for it")
    if name == "trtexec":  # the file is fp32; what TensorRT computes with is in the text
        made["precision"] = said["precision"]
    return made
