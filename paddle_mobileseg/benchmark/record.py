"""Benchmark records: one JSON file for each measurement, checked against a versioned JSON Schema, never changed.

``schema/record-1.json`` describes every field; docs/reference/record.md is made from it. What was not measured is
``null``; a failure is a record too. Files are called after the record's ``id`` and are never overwritten.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import errno
import json
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark.record_rules import SCHEMA, SCHEMA_VERSION, STAGES, Record, check, schema
from paddle_mobileseg.files import sync

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "STAGES",
    "Record",
    "empty",
    "fail",
    "identify",
    "judge",
    "read",
    "read_folder",
    "refuse_to_replace",
    "schema",
    "summarize",
    "summary",
    "validate",
    "write",
]

_EMPTY = {  # what an empty record has where the schema has no null
    ("tool", "name"): "paddle_mobileseg",
    ("status",): "failed",
    ("validity", "valid"): False,
    ("origin", "kind"): "measured",
    ("device", "kind"): "local",
    ("backend", "requested"): "unknown",
    ("input", "kind"): "unknown",
}
_FILE = re.compile(r"\d{8}T\d{6}Z-.+-[0-9a-f]{8}\.json")  # as _new_id names them
_NO_HARD_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)


def empty() -> Record:
    """A record in which nothing is known yet: every field is there, ``null`` or empty, ``status`` is ``failed``.

    It is valid once ``error`` is set, or ``status``, ``validity`` and ``timing``.
    """
    record = _blank(schema())
    for path, value in _EMPTY.items():
        section = record
        for name in path[:-1]:
            section = section[name]
        section[path[-1]] = value
    return record


def summary(**known: Any) -> dict[str, Any]:
    """The schema's ``summary`` (``count``, ``min``, ``mean``, ``median``, ``p90``, ``p95``, ``p99``, ``max``, ``std``,
    ``raw``; milliseconds) with what is known, ``null`` for the rest.

    Raises:
        TypeError: a name that it does not have.
    """
    blank = _blank(schema()["$defs"]["summary"])
    if unknown := set(known) - set(blank):
        raise TypeError(f"a summary has no {', '.join(sorted(unknown))}; it has {', '.join(blank)}")
    return blank | known


def summarize(times_ms: Sequence[float]) -> dict[str, Any]:
    """A summary of timed runs, with the runs themselves.

    Args:
        times_ms: milliseconds, at least one, in the order in which they were measured.

    Returns:
        the schema's ``summary``; percentiles are linear between ranks, ``std`` is that of the population.

    Raises:
        ValueError: none, or one that is not finite or not more than 0.
    """
    times = np.asarray(times_ms, np.float64)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"there must be at least one time in a flat list, but got the shape {times.shape}")
    wrong = ~(np.isfinite(times) & (times > 0))
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"times must be finite and more than 0 ms, but number {at} is {times[at]}; measure again")
    median, p90, p95, p99 = np.percentile(times, [50, 90, 95, 99])
    return {
        "count": int(times.size),
        "min": float(times.min()),
        "mean": float(times.mean()),
        "median": float(median),
        "p90": float(p90),
        "p95": float(p95),
        "p99": float(p99),
        "max": float(times.max()),
        "std": float(times.std()),
        "raw": times.tolist(),
    }


def fail(record: Record, kind: str, stage: str | None, message: str) -> Record:
    """Make a record that of a failure: it has no times."""
    record["status"], record["timing"] = "failed", None
    record["validity"] = {"valid": False, "reasons": []}
    text = message.encode("utf-8", "backslashreplace").decode()  # names of files may be of no encoding
    record["error"] = {"kind": kind, "stage": stage, "message": text}
    return record


def judge(record: Record, reasons: Sequence[str]) -> Record:
    """Make a record one whose times may be used, or must not be, for these reasons."""
    record["status"] = "invalid" if reasons else "ok"
    record["validity"] = {"valid": not reasons, "reasons": list(reasons)}
    return record


def identify(record: Record) -> Record:
    """A copy with ``id`` and ``created`` where they were ``null``; for who must know the file's name before."""
    record = copy.deepcopy(record)
    if record["created"] is None:
        record["created"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    if record["id"] is None:
        record["id"] = _new_id(record)
    return record


def validate(record: Record) -> None:
    """Check a record: the schema, and what a schema cannot say (docs/reference/record.md has the rules).

    ``id`` and ``created`` may be ``null``, as :func:`write` fills them.

    Raises:
        ValueError: names the field, what was got, what was expected and what to do.
    """
    check(record, written=False)


def write(folder: str | Path, record: Record) -> Path:
    """Write a record as ``<id>.json``: whole or not at all, read-only, never over another.

    Any number of processes may write into one folder.

    Args:
        folder: made where it does not exist.
        record: ``id`` and ``created`` are given where they are ``null``; it is not changed itself.

    Returns:
        the file.

    Raises:
        ValueError: see :func:`validate`.
        FileExistsError: there is a record of this id.
        OSError: the folder cannot be written, or the disk is full.
    """
    validate(record)
    given = record["id"] is not None
    folder = Path(folder)
    while True:
        named = identify(record)
        target = folder / f"{named['id']}.json"
        try:
            _write_new(target, json.dumps(named, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        except FileExistsError as error:
            if given or not target.exists():
                raise FileExistsError(
                    f"{target} exists, and records are never overwritten; leave id null for one that is new, or choose "
                    "another folder"
                ) from error
            continue
        except OSError as error:
            raise OSError(
                f"cannot write the record {target}: {error.strerror or error}; free space or choose another folder"
            ) from error
        return target


def read(path: str | Path) -> Record:
    """Read and check one record.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, no record, of another version, or not valid; the message says what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no record {path}; `mobileseg benchmark` makes them")
    return _checked(path, _parse(path))


def read_folder(*paths: str | Path, problems: list[str] | None = None) -> list[Record]:
    """Records of files, and of folders with all that is below them, oldest first.

    In folders other JSON files and hidden ones are passed over. A record that is found twice counts once.

    Args:
        paths: files and folders.
        problems: gets a message for each record that cannot be used; without it the first one is raised.

    Raises:
        FileNotFoundError: one of the paths does not exist.
        ValueError: see :func:`read`; or two different records have one id.
        OSError: a file cannot be read.
    """
    found: dict[str, tuple[Path, Record]] = {}
    given = set(map(Path, paths))
    for path in _record_files(paths):
        try:
            if path not in given and not _is_record(path):
                continue
            record = _checked(path, _parse(path))
            other, known = found.setdefault(record["id"], (path, record))
            if known != record:
                raise ValueError(
                    f"{path} and {other} have the id {record['id']} and differ; records do not change: remove the one "
                    "that was edited"
                )
        except (ValueError, OSError) as error:
            if problems is None:
                raise
            problems.append(str(error))
    return sorted((record for _, record in found.values()), key=lambda record: (record["created"], record["id"]))


def refuse_to_replace(path: str | Path | None) -> None:
    """Before a result is written: records are never overwritten, whatever the result.

    Raises:
        FileExistsError: the file is a record.
    """
    if path is None or not Path(path).is_file():
        return
    with contextlib.suppress(ValueError):
        content = _parse(Path(path))
        if isinstance(content, dict) and content.get("schema") == SCHEMA:
            raise FileExistsError(f"{path} is a benchmark record, which is never overwritten; choose another file")


def _blank(described: dict[str, Any]) -> Any:
    if "const" in described:
        return described["const"]
    if described.get("type") == "object":
        return {name: _blank(each) for name, each in described.get("properties", {}).items()}
    return [] if described.get("type") == "array" else None


def _new_id(record: Record) -> str:
    def plain(text: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[:48] or "unknown"

    time = datetime.datetime.fromisoformat(record["created"].replace("Z", "+00:00"))
    model, backend = record["model"], record["backend"]
    threads = "" if backend["threads"] is None else f"t{backend['threads']}-"
    name = plain(model["bundle"] or model["network"] or "unknown")
    return f"{time:%Y%m%dT%H%M%SZ}-{name}-{plain(backend['requested'])}-{threads}{secrets.token_hex(4)}"


def _write_new(target: Path, text: str) -> None:
    """Write a file that must not exist yet, so that its name is there only when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".record-", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o444)
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # FAT and the like: take the name, which only one can, then put the content in its place.
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            try:
                os.replace(temporary, target)
            except OSError:
                target.unlink()
                raise
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _record_files(paths: Sequence[str | Path]) -> list[Path]:
    files: dict[Path, Path] = {}  # by where they really are, so that none counts twice
    for path in map(Path, paths):
        if path.is_dir():
            below = [each for each in path.rglob("*.json") if each.is_file() and not _hidden(each.relative_to(path))]
        elif path.exists():
            below = [path]
        else:
            raise FileNotFoundError(f"there is no {path}; give records or folders of them (`mobileseg benchmark`)")
        for each in sorted(below):
            files.setdefault(each.resolve(), each)
    return list(files.values())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number that a record may have; what was not measured is null")


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or no JSON ({error}); copy it again, or measure again") from error


def _is_record(path: Path) -> bool:
    """Whether a JSON file is, or was meant to be, a record of any version; other files lie in folders too."""
    if _FILE.match(path.name):
        return True
    try:
        content = _parse(path)
    except ValueError:
        return SCHEMA.encode() in path.read_bytes()
    return isinstance(content, dict) and (content.get("schema") == SCHEMA or content.get("kind") == "latency")


def _checked(path: Path, record: Any) -> Record:
    try:
        check(record, written=True)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    return record


if __name__ == "__main__":  # `make docs`
    from paddle_mobileseg.benchmark import record_page

    print(record_page.markdown())
