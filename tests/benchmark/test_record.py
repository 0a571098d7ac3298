from __future__ import annotations

import copy
import datetime
import errno
import json
import math
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddle_mobileseg.benchmark import record, record_page
from paddle_mobileseg.benchmark.record import Record
from tests.benchmark.full_record import failed, filled

REPOSITORY = Path(__file__).resolve().parents[2]


# --- the schema ---


def objects(described: dict[str, Any]) -> list[dict[str, Any]]:
    found = [described] if "properties" in described else []
    for value in described.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                found += objects(each)
    return found


def test_schema_is_one_and_describes_every_field():
    schema = record.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    every = objects(schema)
    assert len(every) > 15
    for each in every:
        assert each["required"] == list(each["properties"]), each
        assert each["additionalProperties"] is False
        missing = [name for name, field in each["properties"].items() if not {"description", "$ref"} & set(field)]
        assert not missing


def test_reference_page_is_current():
    page = (REPOSITORY / "docs" / "reference" / "record.md").read_text(encoding="utf-8")
    assert page == record_page.markdown() + "\n", "make docs"
    assert "`timing.stages.compute`" in page and "`model.files[].sha256`" in page


def test_importing_needs_neither_paddle_nor_what_makes_reports():
    code = (
        "import sys\n"
        "from paddle_mobileseg.benchmark import describe, importers, record\n"
        "print([m for m in ('paddle', 'paddleseg', 'onnx', 'matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- making records ---


def test_empty_record_is_valid_once_it_has_an_error():
    made = record.empty()
    with pytest.raises(ValueError, match="error: got null, expected what went wrong, because status is failed"):
        record.validate(made)
    record.validate(failed())
    assert made["timing"] is None and made["model"]["files"] == [] and made["thermal"]["during"] == []
    assert made["memory"] == dict.fromkeys(("peak_resident_bytes", "before_load_bytes", "device_peak_bytes"))


def test_empty_records_share_nothing():
    record.empty()["model"]["files"].append("x")
    assert record.empty()["model"]["files"] == []


def test_filled_record_has_every_field_of_the_schema():
    made = filled()
    record.validate(made)
    assert set(made["timing"]["network"]) == set(record.summary())
    assert None not in [made["timing"]["network"][name] for name in record.summary()]


@pytest.mark.parametrize("kind", ["published", "estimated"])
def test_what_was_not_measured_may_lack_times(kind: str):
    made = filled()
    made.update(timing=None)
    made["origin"].update(kind=kind, source="arXiv 2304.05152")
    record.validate(made)


def test_summary_refuses_names_that_it_does_not_have():
    with pytest.raises(TypeError, match=r"no p50; it has count, min"):
        record.summary(p50=1.0)


def test_summarize_by_hand():
    made = record.summarize([4.0, 7.0, 5.0, 6.0])
    assert made.pop("raw") == [4.0, 7.0, 5.0, 6.0]
    wanted = {"count": 4, "min": 4.0, "mean": 5.5, "median": 5.5, "p90": 6.7, "p95": 6.85, "p99": 6.97, "max": 7.0}
    assert made == pytest.approx(wanted | {"std": math.sqrt(1.25)})


def test_summarize_takes_arrays_and_gives_plain_numbers():
    made = record.summarize(np.array([2.0, 2.0], np.float32))
    assert made["std"] == 0.0 and all(type(each) in (int, float, list) for each in made.values())


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "at least one time"),
        ([[1.0], [2.0]], "flat list"),
        ([1.0, math.nan], "number 1 is nan"),
        ([math.inf], "number 0 is inf"),
        ([3.0, 0.0], "number 1 is 0.0"),
        ([-1.0], "number 0 is -1.0"),
    ],
)
def test_summarize_refuses(times: list[Any], message: str):
    with pytest.raises(ValueError, match=message):
        record.summarize(times)


@given(st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=40))
def test_summarized_times_are_always_valid(times: list[float]):
    made = filled()
    made["timing"]["network"] = record.summarize(times)
    made["timing"]["frame"] = None
    made["timing"]["stages"] = dict.fromkeys(record.STAGES)
    made["protocol"].update(turns=None, min_runs=None)
    record.validate(made)


# --- files ---


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1), times=st.lists(st.floats(1e-3, 1e5), min_size=4, max_size=8))
def test_round_trip(tmp_path: Path, name: str, times: list[float]):
    made = filled()
    made.update(id=None, created=None)
    made["model"]["bundle"] = name
    made["timing"].update(network=record.summarize(times), frame=None, stages=dict.fromkeys(record.STAGES))
    made["protocol"]["turns"] = None
    path = record.write(tmp_path, made)
    back = record.read(path)
    assert back["id"] == path.stem and made["id"] is None
    assert back | {"id": None, "created": None} == made


@pytest.mark.parametrize("make", [failed, filled])
def test_written_file_is_read_only_and_named_after_what_was_measured(tmp_path: Path, make: Callable[[], Record]):
    made = make() | {"id": None, "created": None}
    made["model"]["bundle"] = "Straße/../x y"
    path = record.write(tmp_path / "new" / "folder", made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.parent == tmp_path / "new" / "folder"
    threads = {"failed": "", "filled": "t2-"}[make.__name__]
    assert path.name.split("-", 1)[1].startswith(f"Stra-e-..-x-y-{made['backend']['requested']}-{threads}")
    assert list(path.parent.iterdir()) == [path]
    created = datetime.datetime.fromisoformat(record.read(path)["created"])
    assert abs((datetime.datetime.now(datetime.timezone.utc) - created).total_seconds()) < 60


def test_nothing_is_overwritten(tmp_path: Path):
    path = record.write(tmp_path, filled())
    before = path.read_bytes()
    changed = filled() | {"command": "another"}
    with pytest.raises(FileExistsError, match="records are never overwritten; leave id null"):
        record.write(tmp_path, changed)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def link(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = record.write(tmp_path, filled())
    assert record.read(path) == filled()
    with pytest.raises(FileExistsError):
        record.write(tmp_path, filled() | {"command": "another"})
    assert record.read(path) == filled() and list(tmp_path.iterdir()) == [path]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="cannot write the record"):
        record.write(tmp_path, unnamed())
    assert list(tmp_path.iterdir()) == [path]


def test_invalid_record_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="error: got null"):
        record.write(tmp_path / "new", record.empty())
    assert not (tmp_path / "new").exists()


def test_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write the record .*file.*; free space or choose another folder"):
        record.write(tmp_path / "file" / "folder", filled())


WRITER = """
import json, resource, signal, sys
from paddle_mobileseg.benchmark import record
made = json.loads(open(sys.argv[2]).read())
limit = int(sys.argv[4])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    try:
        print(record.write(sys.argv[1], made).name)
    except OSError as error:
        print(f"{type(error).__name__}: {error}")
"""


def writer(folder: Path, made: Record, count: int, limit: int = 0) -> subprocess.Popen[str]:
    given_file = folder.with_suffix(".made")
    given_file.write_text(json.dumps(made))
    command = [sys.executable, "-c", WRITER, str(folder), str(given_file), str(count), str(limit)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None and started.stdout.readline() == "ready\n"
    return started


def unnamed(**changes: Any) -> Record:
    return filled() | {"id": None} | changes


def test_two_processes_write_into_one_folder(tmp_path: Path):
    folder = tmp_path / "records"
    both = [writer(folder, unnamed(), 20), writer(folder, unnamed(), 20)]
    names = [name for each in both for name in each.communicate("\n", timeout=60)[0].split()]
    assert len(names) == len(set(names)) == 40
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert {each["id"] + ".json" for each in record.read_folder(folder)} == set(names)


def test_of_two_processes_with_one_id_one_writes(tmp_path: Path):
    folder = tmp_path / "records"
    both = [writer(folder, filled(), 1), writer(folder, filled(), 1)]
    said = sorted(each.communicate("\n", timeout=60)[0].strip() for each in both)
    assert said[0].startswith("FileExistsError: ") and said[1] == "r1.json"


def test_full_disk_leaves_nothing_behind(tmp_path: Path):
    folder = tmp_path / "records"
    said = writer(folder, unnamed(), 1, limit=1000).communicate("\n", timeout=60)[0]
    assert said.startswith("OSError: cannot write the record ") and "free space" in said
    assert list(folder.iterdir()) == []


def test_killed_writer_leaves_whole_records_only(tmp_path: Path):
    folder = tmp_path / "records"
    started = writer(folder, unnamed(), 100_000)
    assert started.stdin is not None and started.stdout is not None
    started.stdin.write("\n")
    started.stdin.flush()
    deadline = time.monotonic() + 30
    while len(list(folder.glob("*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    started.kill()
    started.wait()
    started.stdin.close()
    started.stdout.close()
    assert len(record.read_folder(folder)) >= 5


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (filled() | {"schema_version": 2}, "got 2, but this version of paddle_mobileseg reads 1; .* newer one: update"),
        (
            filled() | {"schema_version": 0},
            "schema_version: got 0, but this version of paddle_mobileseg reads 1; measure again",
        ),
        (filled() | {"schema_version": True}, "schema_version: got True, expected 1; the record is damaged"),
        (filled() | {"schema_version": "1"}, "schema_version: got '1', expected 1"),
        (filled() | {"schema": "other"}, "schema: got 'other', .* this is no benchmark record"),
        ({"format": 1, "kind": "latency", "measurements": []}, r"a latency record \(format 1\) .* measure again with"),
        ({}, "schema: got None"),
        ([filled()], "one JSON object"),
        ("", "damaged or no JSON"),
        ("null", "one JSON object, but got None"),
        (json.dumps(filled())[:-40], "damaged or no JSON .* copy it again, or measure again"),
        ("[" * 100_000, "damaged or no JSON"),
        (json.dumps(filled()).replace("5.5", "NaN", 1), "NaN is no number that a record may have"),
        (json.dumps(filled()).replace("5.5", "-Infinity", 1), "-Infinity is no number"),
        (json.dumps(filled()).replace("5.5", "1e999", 1), "got inf, expected a finite number"),
        (filled() | {"id": None}, "id: got None, expected string"),
        (filled() | {"command": "a\udcff"}, "command: got 'a.udcff', expected text that UTF-8 has"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_reading_refuses(tmp_path: Path, content: Any, message: str):
    path = written(tmp_path / "r.json", content)
    with pytest.raises(ValueError, match=message) as raised:
        record.read(path)
    assert str(path) in str(raised.value)


def test_reading_what_is_not_text(tmp_path: Path):
    path = tmp_path / "r.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="damaged or no JSON"):
        record.read(path)


@pytest.mark.parametrize("name", ["none.json", ""])
def test_reading_what_is_no_file(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError, match="there is no record"):
        record.read(tmp_path / name)


def test_folders_are_read_with_all_below_oldest_first(tmp_path: Path):
    for number, hour in enumerate((12, 9, 10)):
        made = filled() | {"id": f"r{number}", "created": f"2026-11-21T{hour:02}:00:00Z"}
        record.write(tmp_path / f"sub{number}", made)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    written(tmp_path / "deploy.json", {"Deploy": {}})
    written(tmp_path / "notes.json", "not JSON")
    written(tmp_path / ".hidden.json", filled() | {"id": "hidden"})
    (tmp_path / "folder.json").mkdir()
    one = tmp_path / "sub1" / "r1.json"
    assert [each["id"] for each in record.read_folder(tmp_path)] == ["r1", "r2", "r0"]
    assert [each["id"] for each in record.read_folder(one, tmp_path, str(one))] == ["r1", "r2", "r0"]
    assert record.read_folder(tmp_path / "again" / "sub1") == record.read_folder(one)


def test_folder_without_records_is_empty_and_without_folder_an_error(tmp_path: Path):
    assert record.read_folder(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="give records or folders of them"):
        record.read_folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("20261121T100000Z-x-y-t1-0123abcd.json", ""),
        ("cut.json", json.dumps(filled())[:500]),
        ("newer.json", filled() | {"schema_version": 2}),
        ("latency.json", {"format": 1, "kind": "latency"}),
    ],
)
def test_broken_records_in_folders(tmp_path: Path, name: str, content: Any):
    record.write(tmp_path, filled())
    written(tmp_path / name, content)
    with pytest.raises(ValueError, match=name):
        record.read_folder(tmp_path)
    problems: list[str] = []
    assert [each["id"] for each in record.read_folder(tmp_path, problems=problems)] == ["r1"]
    assert len(problems) == 1 and name in problems[0]


def test_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = record.write(tmp_path, filled())

    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionError):
        record.read_folder(tmp_path)
    problems: list[str] = []
    assert record.read_folder(tmp_path, problems=problems) == [] and "r1.json" in problems[0]


def test_files_that_were_named_must_be_records(tmp_path: Path):
    path = written(tmp_path / "deploy.json", {"Deploy": {}})
    with pytest.raises(ValueError, match="this is no benchmark record"):
        record.read_folder(path)


def test_copies_count_once_and_edited_copies_are_refused(tmp_path: Path):
    record.write(tmp_path / "a", filled())
    record.write(tmp_path / "b", filled())
    assert len(record.read_folder(tmp_path)) == 1
    record.write(tmp_path / "c", filled() | {"command": "edited"})
    with pytest.raises(ValueError, match="have the id r1 and differ; records do not change"):
        record.read_folder(tmp_path)


def test_identify_leaves_what_is_known():
    made = filled()
    assert record.identify(made) == made
    named = record.identify(made | {"id": None})
    assert named["id"].startswith("20261121T100000Z-topformer-onnxruntime-t2-") and made["id"] == "r1"
    copied = copy.deepcopy(named)
    assert record.identify(named) == copied
