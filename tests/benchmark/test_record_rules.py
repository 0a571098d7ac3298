from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_mobileseg.benchmark import record
from tests.benchmark.full_record import failed, filled


def at(made: Any, path: str, value: Any) -> None:
    """Set a field: ``a.b`` or ``a.0.b``."""
    *parents, name = (int(part) if part.isdecimal() else part for part in path.split("."))
    for each in parents:
        made = made[each]
    made[name] = value


BROKEN = [
    # what a schema says
    ({"status": "good"}, "status: got 'good', expected one of ok, invalid, failed"),
    ({"model.format": "onxx"}, "model.format: got 'onxx', expected one of paddle"),
    ({"model.macs": 0}, r"model.macs: got 0, expected at least 1"),
    ({"model.macs": True}, r"model.macs: got True, expected integer or null"),
    ({"model.files.0.sha256": "abc"}, r"model.files\[0\].sha256: got 'abc', expected text of the form"),
    ({"model.files.0.bytes": -1}, r"model.files\[0\].bytes: got -1, expected at least 0"),
    ({"model.input_shape": [1, 3, 64]}, r"model.input_shape: got \[1, 3, 64\] \(list\), expected at least 4 values"),
    ({"model.input_shape": [1, 3, -1, 64]}, r"model.input_shape\[2\]: got -1, expected at least 1"),
    ({"backend.threads": "2"}, r"backend.threads: got '2', expected integer or null"),
    ({"backend.threads": 0}, r"backend.threads: got 0, expected at least 1"),
    ({"device.android": {"release": "10"}}, r"device.android: sdk missing; every field must be there"),
    ({"device.android": "10"}, r"device.android: got '10', expected object"),
    ({"timing.network.p99": 0}, r"timing.network.p99: got 0, expected more than 0 \(what was not measured is null\)"),
    ({"timing.network.raw.2": 0.0}, r"timing.network.raw\[2\]: got 0.0, expected more than 0"),
    ({"timing.network.raw": []}, r"timing.network.raw: got \[\] \(list\), expected at least 1 values"),
    ({"timing.network.raw": [4.0, "7", 5.0, 6.0]}, r"timing.network.raw\[1\]: got '7', expected number"),
    ({"timing.network.raw": [4.0, True, 5.0, 6.0]}, r"timing.network.raw\[1\]: got True, expected number"),
    ({"protocol.turns": [0, -1, 1, 1]}, r"protocol.turns\[1\]: got -1, expected at least 0"),
    ({"protocol.turns": [0, 0.5, 1, 1]}, r"protocol.turns\[1\]: got 0.5, expected integer"),
    ({"timing.first.load": 0}, r"timing.first.load: got 0, expected more than 0"),
    ({"timing.unit": "us"}, "timing.unit: got 'us', expected 'ms'; all times of a record are milliseconds: convert"),
    ({"timing.unit": None}, "timing.unit: got None, expected 'ms'"),
    ({"timing.network.mean_us": 5.0}, r"timing.network: unknown field 'mean_us'; did you mean 'mean'"),
    ({"extra": 1}, "the record: unknown field 'extra'"),
    ({"samples.0.image": "../a.jpg"}, r"samples\[0\].image: got '../a.jpg'"),
    ({"samples.0.image": "/a.jpg"}, r"samples\[0\].image: got '/a.jpg'"),
    ({"accuracy.miou": 71.3}, "accuracy.miou: got 71.3, expected at most 1"),
    ({"thermal.before.battery_percent": 101}, "thermal.before.battery_percent: got 101, expected at most 100"),
    ({"id": "a/b"}, "id: got 'a/b', expected text of the form"),
    ({"created": "yesterday"}, "created: got 'yesterday', expected text of the form"),
    ({"key": "xyz"}, "key: got 'xyz', expected text of the form"),
    ({"input.count": 1.5}, "input.count: got 1.5, expected integer or null"),
    # what it cannot say
    ({"timing.network.raw": [4.0, 10**400, 5.0, 6.0]}, r"timing.network.raw\[1\]: got a number of 401 digits"),
    ({"memory.peak_resident_bytes": 10**30}, "memory.peak_resident_bytes: got a number of 31 digits"),
    ({"model.bundle": "net\udcff"}, "model.bundle: got 'net.udcff', expected text that UTF-8 has; give it"),
    ({"accuracy.iou": {"\ud800": 0.5}}, "accuracy.iou: got '.ud800', expected text that UTF-8 has"),
    ({"created": "2026-02-30T10:00:00Z"}, "created: got '2026-02-30T10:00:00Z', expected a date and time that exist"),
    ({"memory.peak_resident_bytes": math.inf}, "memory.peak_resident_bytes: got inf, expected a finite number"),
    ({"timing.network.raw.1": math.nan}, r"timing.network.raw\[1\]: got nan, expected a finite number"),
    ({"backend.options": {"a": [{"b": math.nan}]}}, r"backend.options.a\[0\].b: got nan, expected a finite number"),
    ({"error": {"kind": "x", "stage": None, "message": "m"}}, "error: got 'm', expected null, because status is ok"),
    ({"validity.valid": False}, "validity.valid: got False, expected True, because status is ok"),
    ({"validity.reasons": ["short"]}, r"validity.reasons: got \['short'\] \(list\), expected none"),
    ({"status": "invalid", "validity.valid": False}, "validity.reasons: got none, expected why"),
    ({"status": "failed"}, "error: got null, expected what went wrong, because status is failed"),
    ({"timing": None}, "timing: got no times, expected those of network, frame or a stage, because status is ok"),
    ({"parity.label_agreement": 0.5}, "parity.passed: got True, but label_agreement is 0.5 and tolerance 0.999"),
    ({"parity.label_agreement": 0.5, "parity.passed": False}, "parity.passed: got False, expected True"),
    ({"timing.network.count": 5}, "timing.network.count: got 5, expected 4, as many as raw has"),
    ({"timing.network.mean": 5.6}, r"timing.network.mean: got 5.6, but raw gives 5.5 ms \(record.summarize"),
    ({"timing.network.mean": None}, "timing.network.mean: got None, but raw gives 5.5 ms"),
    ({"timing.network.std": 1.0}, "timing.network.std: got 1.0, but raw gives 1.11803 ms"),
    ({"timing.network.median": 5500.0}, "timing.network.median: got 5500.0, but raw gives 5.5 ms; is it in micro"),
    ({"timing.stages.compute.min": 6.0}, "timing.stages.compute: min is 6.0 ms and max is 5.5 ms, expected min <= max"),
    ({"timing.stages.compute.mean": 5.6}, "timing.stages.compute: mean is 5.6 ms and max is 5.5 ms"),
    ({"timing.stages.compute.p90": 6.0}, "timing.stages.compute: p90 is 6.0 ms and max is 5.5 ms"),
    ({"timing.stages.compute.mean": 3.0}, "timing.stages.compute: min is 3.5 ms and mean is 3.0 ms"),
    ({"timing.frame": record.summary(count=4)}, "timing.frame: got no statistic, expected at least one"),
    ({"timing.stages.device_to_host.mean": 500.0}, "timing.network.mean: got 5.5 ms, but its stages take 505 ms"),
    ({"timing.stages.postprocess.mean": 2000.0}, "timing.frame.mean: got 9 ms, but its stages take 2006.5 ms"),
    ({"timing.frame.mean": 0.0055}, "timing.frame.mean: got 0.0055 ms, but"),
    ({"protocol.turns": [0, 1]}, "protocol.turns: got 2 values, expected 4"),
    ({"protocol.min_runs": 5}, "timing.network.count: got 4, expected at least protocol.min_runs, 5"),
    ({"input.classes_present": [3]}, "input.classes_present: got 1 values, expected 2, one for each input"),
    ({"input.classes_present": [3, 8]}, "input.classes_present: got 8, expected at most model.num_classes, 7"),
    ({"memory.before_load_bytes": 300}, "memory.peak_resident_bytes: got 200, expected at least before_load_bytes"),
    ({"origin.kind": "imported"}, "origin.importer: got null, expected a value, because origin.kind is imported"),
    ({"origin.kind": "imported", "origin.importer": "ncnn"}, "origin.source_sha256: got null, expected a value"),
    ({"origin.importer": "ncnn"}, "origin.importer: got 'ncnn', expected null, because origin.kind is measured"),
    ({"origin.kind": "published"}, "origin.source: got null, expected the paper or address"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=[message[:60] for _, message in BROKEN])
def test_rules(changes: dict[str, Any], message: str):
    made = filled()
    for path, value in changes.items():
        at(made, path, value)
    with pytest.raises(ValueError, match=message):
        record.validate(made)


def test_failed_record_has_no_times():
    made = failed()
    made["timing"] = filled()["timing"]
    with pytest.raises(ValueError, match="timing: got numbers, expected null, because status is failed"):
        record.validate(made)


def test_invalid_record_may_break_what_makes_it_invalid():
    made = filled()
    made.update(status="invalid", validity={"valid": False, "reasons": ["too short"]})
    made["protocol"]["min_runs"] = 1000
    made["timing"]["stages"]["compute"] = record.summary(mean=50.0)
    record.validate(made)


@pytest.mark.parametrize("whole", ["network", "frame"])
def test_whole_in_microseconds(whole: str):
    made = filled()
    made["timing"]["network"] = record.summary(mean=5.5)
    made["timing"][whole]["mean"] *= 1000
    if whole == "network":
        made["timing"]["frame"] = None
    with pytest.raises(
        ValueError, match=rf"timing.{whole}.mean: got \d+ ms, but its stages take [\d.]+ ms; are all times in"
    ):
        record.validate(made)
    made["timing"]["stages"]["compute"] = None  # what took the time is not known
    record.validate(made)


def test_frame_is_not_shorter_than_the_network():
    made = filled()
    made["timing"]["stages"] = dict.fromkeys(record.STAGES)
    record.validate(made)
    made["timing"]["frame"]["mean"] = 4.0
    with pytest.raises(ValueError, match=r"timing.frame.mean: got 4 ms, but timing.network take 5.5 ms together"):
        record.validate(made)


@pytest.mark.parametrize("whole", ["network", "frame"])
def test_either_whole_is_enough(whole: str):
    made = filled()
    made["timing"][whole] = None
    record.validate(made)


def test_parts_of_other_runs_may_be_a_little_longer_than_the_whole():
    made = filled()
    made["timing"]["stages"]["compute"] = record.summary(mean=5.5)  # 6.5 in all, and 5.5 for the network
    record.validate(made)


@pytest.mark.parametrize("section", sorted(record.empty()))
def test_missing_section(section: str):
    made = filled()
    del made[section]
    with pytest.raises(ValueError, match=section):
        record.validate(made)


@pytest.mark.parametrize("content", [[filled()], "text", 3, None])
def test_what_is_no_object_is_refused(content: Any):
    with pytest.raises(ValueError, match="a benchmark record is one JSON object, but got"):
        record.validate(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ([path] if path else []) + [each for key, deeper in inner for each in places(deeper, (*path, key))]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(places(filled())), JSON)
def test_any_value_in_any_place_is_valid_or_refused(place: tuple[Any, ...], value: Any):
    made = target = filled()
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    try:
        record.validate(made)
    except ValueError as error:
        assert str(error)
    else:
        json.dumps(made, allow_nan=False)
