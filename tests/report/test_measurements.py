"""Benchmark records on the page of a run: which are shown, how, and on what machines they were made."""

from __future__ import annotations

import pytest

from paddle_mobileseg.benchmark import record as records
from tests.report.page import add_record, report

IMPORTED = {"kind": "imported", "importer": "trtexec", "source": "trtexec.txt", "source_sha256": "a" * 64}


def test_another_machine_is_shown_by_itself(made) -> None:
    add_record(made, device={"cpu": "Other CPU"})
    text = report(made).text("machine")
    assert "Example CPU" in text and "Other CPU" in text


def test_a_phone_is_described(made) -> None:
    phone = {"kind": "adb", "name": "Example Phone 7", "soc": "Chip 8", "cpu": None, "abi": "arm64-v8a", "gpu": "Mali"}
    add_record(made, device={**phone, "android": {"release": "14", "sdk": 34}}, backend={"requested": "lite-arm"})
    page = report(made)
    assert "Best latency 12.0 ms lite-arm, 4 threads, 480×360, Example Phone 7" in page.text("headline")
    assert (
        "Latency Device Example Phone 7 Chip Chip 8 Processor type arm64-v8a Android 14 (SDK 34) GPU Mali "
        "Processor not recorded"
    ) in page.text("machine")
    assert "Latency on 2026-01-04 05:06:07 UTC" in page.text("machine")


def test_dates_of_many_records_are_one_row(made) -> None:
    add_record(made)
    text = report(made).text("machine")
    assert text.count("Latency on") == 1
    assert "Latency on 2026-01-02 03:04:05 UTC to 2026-01-04 05:06:07 UTC" in text


def test_what_must_not_be_used_is_shown_with_its_reasons_only(made) -> None:
    noisy = {"valid": False, "reasons": ["too noisy: std is 40 % of the median", "too short"]}
    add_record(made, status="invalid", validity=noisy)
    crashed = {"kind": "Crash", "stage": "load", "message": "killed by signal 11"}
    gone = {"valid": False, "reasons": ["it failed"]}
    add_record(made, "failed", timing=None, error=crashed, validity=gone, backend={"requested": "paddle", "threads": 8})
    page = report(made)
    assert len(page.rows["latency"]) == 1 + 3
    assert "Best latency 23.5 ms" in page.text("headline")
    text = page.text("latency")
    assert "not valid onnxruntime, 4 threads" in text
    assert ": too noisy: std is 40 % of the median; too short" in text
    for path in made.records.iterdir():
        if '"ok"' in path.read_text():
            path.unlink()
    assert "A valid measurement is not there. This makes it: mobileseg benchmark" in report(made).text("latency")
    assert "failed paddle, 8 threads" in text and "Crash in load: killed by signal 11; it failed" in text


@pytest.mark.parametrize("kind", ["published", "estimated"])
def test_only_what_was_measured_is_the_best(made, kind: str) -> None:
    add_record(made, origin={"kind": kind, "source": "arXiv 2304.05152"})
    page = report(made)
    assert page.rows["latency"][1][0] == f"onnxruntime {kind}"
    assert "Best latency 23.5 ms" in page.text("headline")


def test_a_folder_without_records_is_said(made) -> None:
    empty = made.run.parent / "empty"
    empty.mkdir()
    assert f"No benchmark record is in {empty}." in report(made, records=[empty]).text("")
    assert "No benchmark record" not in report(made).text("")


def test_records_of_others_are_counted_not_shown(made) -> None:
    other = {"source_checkpoint_sha256": "0" * 64, "files": [{"name": "a", "bytes": 1, "sha256": "1" * 64}]}
    add_record(made, model=other)
    add_record(made, model={"source_checkpoint_sha256": None, "files": []})
    page = report(made)
    assert "2 of 5 benchmark records are not shown: they are not of the bundles," in page.text("")
    assert len(page.rows["latency"]) == 1 + 3
    page = report(made, bundle_dirs=[])
    assert "2 of 5 benchmark records are not shown: they are not of the run," in page.text("")
    assert len(page.rows["latency"]) == 1 + 3


def test_records_of_another_export_are_noticed(made) -> None:
    assert "another export" not in report(made).text("")
    add_record(made, model={"files": [{"name": "model.onnx", "bytes": 1, "sha256": "1" * 64}]})
    page = report(made)
    assert "1 of 4 benchmark records are of another export of this checkpoint." in page.text("")
    assert len(page.rows["latency"]) == 1 + 4


def test_random_weights_belong_by_their_files(made) -> None:
    add_record(made, model={"source_checkpoint_sha256": None})
    assert "not shown" not in report(made).text("")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"median": 12.0', '"median": NaN', "NaN"),
        ('"schema_version": 1', '"schema_version": 2', "version"),
        ('"unit": "ms"', '"unit": "us"', "unit"),
        ('"requested"', '"requsted"', "requested"),
    ],
)
def test_files_that_are_no_valid_record_are_named(made, old: str, new: str, said: str) -> None:
    path = add_record(made)
    text = path.read_text()
    assert old in text
    path.chmod(0o644)
    path.write_text(text.replace(old, new, 1))
    page = report(made)
    assert path.name in page.text("") and said in page.text("")
    assert len(page.rows["latency"]) == 1 + 3


def test_commands_of_several_measurements(made) -> None:
    add_record(made, command="mobileseg benchmark --bundle bundle --threads 4")
    lines = "mobileseg benchmark --bundle bundle\nmobileseg benchmark --bundle bundle --threads 4<"
    report(made)
    assert lines in (made.run.parent / "report.html").read_text()


def test_kind_of_input_and_precision_are_shown(made) -> None:
    add_record(made, input={"kind": "random"}, model={"precision": "fp16"})
    assert report(made).rows["latency"][1][:6] == [
        *("onnxruntime, fp16", "12.0", "4", "12.8", "Example CPU @ 2.50GHz", "480×360, noise"),
    ]


def test_null_measurements_are_not_zero(made) -> None:
    for path in made.records.iterdir():
        path.unlink()
    blank = {"first": None, "network": records.summary(p90=3.0), "frame": None}
    nothing = {"threads": None, "requested": "paddle"}
    add_record(made, backend=nothing, timing=blank, memory={"peak_resident_bytes": None}, model={"input_shape": None})
    page = report(made)
    assert page.rows["latency"][1] == [
        "paddle", "not measured", "not recorded", "3.0", "Example CPU @ 2.50GHz", "unknown size",
        *["not measured"] * 4, "not recorded", "bundle",
    ]  # fmt: skip
    assert "latency not measured" in page.text("headline")
    add_record(made, backend=nothing, timing={**blank, "network": records.summary(mean=4.0)}, origin=IMPORTED)
    page = report(made)
    assert "ms paddle, threads not recorded, 480×360, Example CPU @ 2.50GHz, mean" in page.text("headline")
    assert page.rows["latency"][1][:3] == ["paddle imported", "4.0 mean", "not recorded"]
    add_record(made, backend=nothing, timing={**blank, "network": records.summary(median=3.5)})
    assert "Best latency 3.5 ms paddle, threads not recorded" in report(made).text("headline")
