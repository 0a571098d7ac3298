"""What a benchmark record must keep to: its JSON Schema, and the rules that a schema cannot say."""

from __future__ import annotations

import datetime
import functools
import itertools
import json
import math
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import numpy as np

from paddle_mobileseg.suggestion import did_you_mean

SCHEMA = "paddle_mobileseg/benchmark-record"
SCHEMA_VERSION = 1
STAGES = ("preprocess", "host_to_device", "compute", "device_to_host", "postprocess")
NETWORK_STAGES = STAGES[1:4]

Record = dict[str, Any]

_ORDER = ("min", "median", "p90", "p95", "p99", "max")
_ORDER_TOLERANCE = 1e-3  # other tools round each statistic by itself
_RAW_TOLERANCE = 1e-6
# Parts may be timed in other runs than the whole, on a machine that changes its speed. A wrong unit is 1000 times off.
_PARTS_TOLERANCE = 1.25
_PARTS_SLACK_MS = 0.1
_REST_RATIO, _REST_MS = 100.0, 10.0  # what is no stage takes less than this
_LARGEST = 2**63  # of whole numbers: beyond any time, size or count, and what NumPy takes
_SHOWN = 80  # characters of a value in a message


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of ``SCHEMA_VERSION``."""
    path = resources.files("paddle_mobileseg.benchmark") / "schema" / f"record-{SCHEMA_VERSION}.json"
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


def check(record: Any, written: bool) -> None:
    """Raise ``ValueError`` for the first fault; ``written``: ``id`` and ``created`` must be there."""
    _check_version(record)
    _check_values(record, "")
    unnamed = {} if written else {"id": "unnamed", "created": "2000-01-01T00:00:00Z"}
    complete = {**record, **{name: value for name, value in unnamed.items() if name in record and record[name] is None}}
    shortened = _shortened(complete)
    for error in sorted(_validator().iter_errors(shortened), key=lambda error: [str(p) for p in error.absolute_path]):
        raise ValueError(_explain(error))
    for fault in _faults(complete):
        raise ValueError(fault)


def _check_version(record: Any) -> None:
    if not isinstance(record, dict):
        raise ValueError(
            f"a benchmark record is one JSON object, but got {_shown(record)}; give one record for each file"
        )
    if record.get("kind") == "latency":
        raise ValueError(
            f"a latency record (format {record.get('format')}) of an earlier version of this tool, which lacks what "
            "comparisons need; measure again with `mobileseg benchmark`"
        )
    if record.get("schema") != SCHEMA:
        raise ValueError(
            f"schema: got {_shown(record.get('schema'))}, expected {SCHEMA!r}; this is no benchmark record: give files "
            "that `mobileseg benchmark` or `mobileseg import-benchmark` wrote"
        )
    version = record.get("schema_version")
    if type(version) is not int:
        raise ValueError(f"schema_version: got {_shown(version)}, expected {SCHEMA_VERSION}; the record is damaged")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"schema_version: got {version}, but this version of paddle_mobileseg reads {SCHEMA_VERSION}; the record "
            "was made by a newer one: update paddle_mobileseg"
        )
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"schema_version: got {version}, but this version of paddle_mobileseg reads {SCHEMA_VERSION}; measure again"
        )


def _check_values(value: Any, path: str) -> None:
    """NaN and infinities pass every limit of a schema, and half characters every type."""
    if isinstance(value, dict):
        for name, each in value.items():
            _check_values(name, path)
            _check_values(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            if type(each) is not float or not math.isfinite(each):  # tens of thousands are finite
                _check_values(each, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: got {value}, expected a finite number; what was not measured is null")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"{path}: got a number of {len(str(abs(value)))} digits; the record is damaged: measure again")
    elif isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value):
        raise ValueError(f"{path}: got {_shown(value)}, expected text that UTF-8 has; give it a plain name")


def _shortened(value: Any, name: str = "") -> Any:
    """A copy in which lists of times and turns that are right have one item: JSON Schema takes 10 us for each."""
    if isinstance(value, dict):
        return {each: _shortened(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        times = name == "raw" and all(type(each) in (int, float) and each > 0 for each in value)
        turns = name == "turns" and all(type(each) is int and each >= 0 for each in value)
        return value[:1] if times or turns else value
    return value


def _explain(error: Any) -> str:
    """A fault that JSON Schema found, by the field's path."""
    while error.validator == "anyOf":  # [what it is, null]: say what is wrong with it
        if error.instance is None or not (of_first := [each for each in error.context if each.schema_path[0] == 0]):
            break
        error = min(of_first, key=lambda each: len(each.absolute_path))
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return (
            f"{path or 'the record'}: {', '.join(missing)} missing; every field must be there, null where it is not "
            "known (record.empty() has all)"
        )
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = list(error.schema["properties"])
        unknown = next(name for name in error.instance if name not in known)
        return (
            f"{path or 'the record'}: unknown field {unknown!r}{did_you_mean(unknown, known)}; there are "
            f"{', '.join(known)}"
        )
    if path == "timing.unit":
        return (
            f"timing.unit: got {_shown(error.instance)}, expected 'ms'; all times of a record are milliseconds: "
            "convert them, or import the other tool's own text"
        )
    described = error.schema.get("description")
    meaning = f" ({described.rstrip('.')})" if described else ""
    return f"{path}: got {_shown(error.instance)}, expected {_expected(error)}{meaning}"


def _expected(error: Any) -> str:
    value = error.validator_value
    if error.validator == "type":
        return " or ".join([value] if isinstance(value, str) else value)
    if error.validator == "enum":
        return "one of " + ", ".join("null" if each is None else str(each) for each in value)
    return {
        "const": f"{value!r}",
        "minimum": f"at least {value}",
        "maximum": f"at most {value}",
        "exclusiveMinimum": f"more than {value} (what was not measured is null)",
        "pattern": f"text of the form {value}",
        "minItems": f"at least {value} values",
        "maxItems": f"at most {value} values",
        "minLength": "text that is not empty",
        "maxLength": f"at most {value} characters",
    }.get(error.validator, error.message)


def _shown(value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return text if isinstance(value, str | int | float | type(None)) else f"{text} ({type(value).__name__})"


def _faults(record: Record) -> Iterator[str]:
    """What JSON Schema cannot say."""
    try:
        datetime.datetime.fromisoformat(record["created"].replace("Z", "+00:00"))
    except ValueError:
        yield f"created: got {record['created']!r}, expected a date and time that exist"
    yield from _origin_faults(record)
    yield from _status_faults(record)
    yield from _timing_faults(record)
    yield from _count_faults(record)


def _origin_faults(record: Record) -> Iterator[str]:
    origin = record["origin"]
    imported = origin["kind"] == "imported"
    for name in ("importer", "source_sha256"):
        if imported and origin[name] is None:
            yield f"origin.{name}: got null, expected a value, because origin.kind is imported"
    if not imported and origin["importer"] is not None:
        yield f"origin.importer: got {origin['importer']!r}, expected null, because origin.kind is {origin['kind']}"
    if origin["kind"] == "published" and origin["source"] is None:
        yield "origin.source: got null, expected the paper or address, because origin.kind is published"


def _status_faults(record: Record) -> Iterator[str]:
    status, error, validity, timing = (record[name] for name in ("status", "error", "validity", "timing"))
    because = f"because status is {status}"
    if (error is None) == (status == "failed"):
        got, expected = ("null", "what went wrong") if error is None else (_shown(error["message"]), "null")
        yield f"error: got {got}, expected {expected}, {because}"
    if validity["valid"] != (status == "ok"):
        yield f"validity.valid: got {validity['valid']}, expected {status == 'ok'}, {because}"
    if status == "ok" and validity["reasons"]:
        yield f"validity.reasons: got {_shown(validity['reasons'])}, expected none, {because}"
    if status == "invalid" and not validity["reasons"]:
        yield f"validity.reasons: got none, expected why the numbers must not be used, {because}"
    if status == "failed" and timing is not None:
        yield f"timing: got numbers, expected null, {because}; a measurement that must not be used is invalid"
    # What was only published or estimated may be an accuracy without a time.
    needed = status != "failed" and record["origin"]["kind"] in ("measured", "imported")
    if needed and not any(_summaries(timing)):
        yield f"timing: got no times, expected those of network, frame or a stage, {because}"
    parity = record["parity"]
    if parity is not None and parity["passed"] != (parity["label_agreement"] >= parity["tolerance"]):
        yield (
            f"parity.passed: got {parity['passed']}, but label_agreement is {parity['label_agreement']} and tolerance "
            f"{parity['tolerance']}"
        )
    if status == "ok" and parity is not None and not parity["passed"]:
        yield "parity.passed: got False, expected True, because status is ok; times of wrong labels must not be used"


def _summaries(timing: dict[str, Any] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that a record has, by their path."""
    if timing is None:
        return
    parts = {"network": timing["network"], "frame": timing["frame"]}
    parts |= {f"stages.{name}": each for name, each in timing["stages"].items()}
    for name, each in parts.items():
        if each is not None:
            yield f"timing.{name}", each


def _timing_faults(record: Record) -> Iterator[str]:
    for path, each in _summaries(record["timing"]):
        yield from _summary_faults(path, each)
    if record["timing"] is not None and record["status"] == "ok":
        yield from _parts_faults(record["timing"])


def _summary_faults(path: str, each: dict[str, Any]) -> Iterator[str]:
    if all(each[name] is None for name in (*_ORDER, "mean")):
        yield f"{path}: got no statistic, expected at least one; give null in place of the whole summary"
    if each["raw"] is not None:
        yield from _raw_faults(path, each)
    order = [name for name in _ORDER if each[name] is not None]
    pairs = [*itertools.pairwise(order), ("min", "mean"), ("mean", "max")]
    for low, high in pairs:
        if None not in (each[low], each[high]) and each[low] > each[high] * (1 + _ORDER_TOLERANCE):
            yield f"{path}: {low} is {each[low]} ms and {high} is {each[high]} ms, expected {low} <= {high}"


def _raw_faults(path: str, each: dict[str, Any]) -> Iterator[str]:
    times = np.array(each["raw"], np.float64)
    if each["count"] != len(times):
        yield f"{path}.count: got {each['count']}, expected {len(times)}, as many as raw has"
    median, p90, p95, p99 = np.percentile(times, [50, 90, 95, 99])
    right = {"min": times.min(), "mean": times.mean(), "median": median, "p90": p90, "p95": p95, "p99": p99}
    right |= {"max": times.max(), "std": times.std()}
    for name, value in right.items():
        got = each[name]
        if got is None or abs(got - value) > _RAW_TOLERANCE * float(times.max()):
            unit = "" if got is None or not 500 < (got / value if value else 0) < 2000 else "; is it in microseconds?"
            yield f"{path}.{name}: got {got}, but raw gives {value:.6g} ms{unit} (record.summarize() computes it)"


def _parts_faults(timing: dict[str, Any]) -> Iterator[str]:
    """A whole is not shorter than its parts, and no thousand times longer; roughly, as they may be of other runs."""
    for name, stages in {"network": NETWORK_STAGES, "frame": STAGES}.items():
        means = {stage: timing["stages"][stage]["mean"] for stage in stages if timing["stages"][stage] is not None}
        total = sum(mean or 0.0 for mean in means.values())
        whole = None if timing[name] is None else timing[name]["mean"]
        yield from _part_fault(f"timing.{name}", whole, "its stages", total)
        most = {"compute"} if name == "network" else {"preprocess", "compute", "postprocess"}
        known = most <= {stage for stage, mean in means.items() if mean is not None}
        if known and whole is not None and whole > total * _REST_RATIO + _REST_MS:
            yield f"timing.{name}.mean: got {whole:.6g} ms, but its stages take {total:.6g} ms; are all times in ms?"
    if timing["network"] is not None and timing["frame"] is not None:
        yield from _part_fault("timing.frame", timing["frame"]["mean"], "timing.network", timing["network"]["mean"])


def _part_fault(path: str, whole: float | None, of: str, parts: float | None) -> Iterator[str]:
    if whole is not None and parts is not None and parts > whole * _PARTS_TOLERANCE + _PARTS_SLACK_MS:
        yield (
            f"{path}.mean: got {whole:.6g} ms, but {of} take {parts:.6g} ms together; a whole is not shorter than its "
            "parts: are all times in ms?"
        )


def _count_faults(record: Record) -> Iterator[str]:
    protocol, timing, given, memory = (record[name] for name in ("protocol", "timing", "input", "memory"))
    network = None if timing is None else timing["network"]
    if network is not None:
        raw, turns, least = network["raw"], protocol["turns"], protocol["min_runs"]
        if raw is not None and turns is not None and len(turns) != len(raw):
            yield f"protocol.turns: got {len(turns)} values, expected {len(raw)}, one for each of timing.network.raw"
        measured = record["status"] == "ok" and record["origin"]["kind"] == "measured"
        if measured and least is not None and network["count"] is not None and network["count"] < least:
            yield (
                f"timing.network.count: got {network['count']}, expected at least protocol.min_runs, {least}; a run "
                "that was too short is invalid, not ok"
            )
    present, count, classes = given["classes_present"], given["count"], record["model"]["num_classes"]
    if present is not None and count is not None and len(present) != count:
        yield f"input.classes_present: got {len(present)} values, expected {count}, one for each input"
    if present and classes is not None and max(present) > classes:
        yield f"input.classes_present: got {max(present)}, expected at most model.num_classes, {classes}"
    before, peak = memory["before_load_bytes"], memory["peak_resident_bytes"]
    if before is not None and peak is not None and before > peak:
        yield f"memory.peak_resident_bytes: got {peak}, expected at least before_load_bytes, {before}"
