from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from paddle_mobileseg.benchmark import published
from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report.benchmark_entries import clean
from paddle_mobileseg.report.benchmark_page import script_text, write_benchmark_report
from tests.report.benchmark_reader import Reader, page_of
from tests.report.made_records import SHA, failed, invalid, make_folder, make_record


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("whole")
    out = write_benchmark_report([make_folder(folder / "records")], folder / "page.html", "mobileseg report records")
    return Reader(out.read_text(encoding="utf-8"))


def test_page_is_one_file_that_asks_nothing_of_the_network(whole: Reader) -> None:
    assert [name for name in whole.values("src") if not name.startswith("data:")] == []
    assert [name for name in whole.values("href") if not name.startswith("#")] == []
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in whole.tags}
    policy = next(attrs["content"] for _, attrs in whole.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script_text().encode()).digest()).decode()
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")
    assert [attrs for _, attrs in whole.tags if any(name.startswith("on") for name in attrs)] == []


def test_ids_are_unique_and_links_lead_to_them(whole: Reader) -> None:
    ids = whole.values("id")
    assert len(ids) == len(set(ids))
    assert {name[1:] for name in whole.values("href")} <= set(ids)
    assert len([name for name in ids if name.startswith("how-")]) == len(
        [name for name in ids if name.startswith("record-")]
    )


def test_headline_counts_and_names_what_cannot_be_used(whole: Reader) -> None:
    head = whole.text("")
    assert "Records 86 84 measured, 1 imported, 1 estimated" in head
    assert "Networks 12 accuracy on camvid" in head
    assert "Not usable 4 2 invalid, 2 failed" in head
    wrong = whole.text("problems")
    assert "Crash in run: the process ended with signal 6 (SIGABRT); it said: Check failed: kernel pool2d" in wrong
    assert "DeviceLost in push: the device went away after 3 tries" in wrong
    assert "37 runs took 1.4 s; the protocol asks for 50; the device throttled its clock" in wrong


def test_what_is_not_measured_is_said_and_never_zero(tmp_path: Path) -> None:
    record = make_record("my_network", accuracy=None, operators=None, parity=None)
    record["timing"].update(frame=None, first=None, stages=dict.fromkeys(records.STAGES))
    record["memory"] = dict.fromkeys(record["memory"])
    record["model"].update(files=[], macs=None)
    page = page_of(tmp_path, record)
    for section in ("pictures", "classes", "operators", "memory", "thermal"):
        assert re.search(r"not measured|not there", page.text(section), re.I), section
    assert "not measured: preprocess, host to device, compute, device to host, postprocess" in page.text("stages")
    row = page.text("records")
    assert row.count("not measured") == 6  # frame, first run, mIoU, labels equal, files, peak
    assert " 0 " not in row
    assert "0.00" not in row


def test_provenance_has_what_repeats_a_number(whole: Reader) -> None:
    text = whole.text("provenance")
    for expected in (
        "20261120T090000Z-0000",
        "2026-11-20 09:00 UTC",
        "paddle_mobileseg 0.6.0",
        "0123456789abcdef0123456789abcdef01234567",
        "onnxruntime 1.23.2, numpy 1.26.4",
        "paddle2onnx 2.1.0",
        "10 runs",
        SHA,
        "mobileseg benchmark --bundle topformer_base --backends lite-arm --threads 2 --output records",
        "random weights: accuracy means nothing",
        "100 % of labels equal on 3 inputs, passed (tolerance 0.999)",
    ):
        assert expected in text
    assert "mobileseg report records" in whole.text("repeat")


def test_a_record_cannot_write_into_the_page(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e\x1b[31m"
    record = make_record(command=f"{bad} --x\n--y", operators=[{"name": bad, "type": bad, "ms": 1.0, "calls": 1}])
    record["model"].update(network=bad, bundle=bad, precision=bad, files=[{"name": bad, "bytes": 1, "sha256": None}])
    record["device"].update(name=bad, os=bad)
    record["backend"].update(requested=bad, actual=bad, version=bad, options={bad: bad}, power_mode=bad)
    record["tool"].update(name=bad, version=bad, git_commit=bad)
    record["toolchain"].update(packages={bad: bad}, export_tools={bad: bad}, python=bad)
    record["protocol"].update(preset=bad, group=bad)
    record["origin"]["source"] = bad
    record["accuracy"].update(dataset=bad, source=bad, iou={bad: 0.5})
    record["samples"] = [{"image": bad, "reference": bad, "labels": bad}]
    wrong = failed(make_record(number=1), bad, kind=bad, stage=bad)
    page = page_of(tmp_path, record, wrong, invalid(make_record(number=2), bad))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "img" not in [tag for tag, _ in page.tags]
    assert [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)] == []
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "{{ 7 * 7 }}" in text
    assert "49" not in page.text("problems")


def test_huge_texts_and_many_entries_are_cut(tmp_path: Path) -> None:
    record = make_record(command="x" * 100_000, operators=None)
    record["model"].update(network="n" * 50_000)
    record["toolchain"]["packages"] = {f"package{i}": "1" for i in range(5000)}
    record["accuracy"]["iou"] = {f"class{i}": 0.5 for i in range(5000)}
    page_of(tmp_path, record)
    assert (tmp_path / "page.html").stat().st_size < 400_000
    assert clean("x" * 1000) == "x" * 159 + "…"
    assert clean([1.0] * 1000) == [1.0] * 1000


def test_commands_are_whole_or_said_to_be_cut(tmp_path: Path) -> None:
    long, endless = "mobileseg benchmark --bundle " + "b" * 20_000, "x" * 100_001
    assert clean({"command": long})["command"] == long
    page = page_of(tmp_path, make_record(command=long, number=1), make_record(command=endless, number=2))
    assert long in page.text("provenance")
    assert endless not in page.text("provenance")
    assert page.text("provenance").count("The command is cut: it is too long for this page.") == 1
    assert [attrs.get("class") for tag, attrs in page.tags if tag == "button"].count("copy") == 1


def test_a_folder_of_published_records_has_a_page(tmp_path: Path) -> None:
    made = published.records()
    page = page_of(tmp_path, *made)
    assert f"Records {len(made)} {len(made)} published" in page.text("")
    assert "Records of 2026-11-21" in page.text("")
    assert "Fastest network, published 3.65 ms pp_liteseg_stdc1" in page.text("")
    assert "no record with usable numbers has both accuracy and latency, apart from published ones" in page.text(
        "accuracy"
    )
    assert "Snapdragon 855 on cityscapes" in page.text("accuracy")


def test_500_records_give_a_page_that_can_be_used(tmp_path: Path) -> None:
    networks = ("topformer_tiny", "topformer_base", "pp_liteseg_t", "my_network")
    some = [make_record(networks[i % 4], threads=1 + i % 8, number=i, runs=120) for i in range(24)]
    (tmp_path / "records").mkdir()
    for i in range(500):
        each = {**some[i % 24], "id": f"r{i}"}
        (tmp_path / "records" / f"r{i}.json").write_text(json.dumps(each), encoding="utf-8")
    page = page_of(tmp_path)
    assert (tmp_path / "page.html").stat().st_size < 4_500_000
    assert len([name for name in page.values("id") if name.startswith("record-")]) >= 500
    hidden = [tag for tag, _ in page.tags].count("details")
    assert hidden > 500, "what there is for each record is folded"


def test_damaged_records_are_named_and_the_others_shown(tmp_path: Path) -> None:
    records.write(tmp_path / "records", make_record())
    good = next((tmp_path / "records").glob("*.json"))
    text = good.read_text(encoding="utf-8")
    (tmp_path / "records" / "newer.json").write_text(text.replace('"schema_version": 1', '"schema_version": 9'))
    (tmp_path / "records" / "cut.json").write_text(text[:-200], encoding="utf-8")
    page = page_of(tmp_path)
    assert "2 files could not be read" in page.text("problems")
    assert "newer.json" in page.text("problems")
    assert "Records 1 1 measured" in page.text("")


def test_without_a_record_there_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    with pytest.raises(ValueError, match=r"there is no benchmark record in .*records; `mobileseg benchmark"):
        page_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        write_benchmark_report([tmp_path / "nothing"], tmp_path / "page.html")
    records.write(tmp_path / "other", make_record())
    text = next((tmp_path / "other").glob("*.json")).read_text(encoding="utf-8")
    newer = text.replace('"schema_version": 1', '"schema_version": 9')
    (tmp_path / "records" / "newer.json").write_text(newer, encoding="utf-8")
    with pytest.raises(ValueError, match=r"no benchmark record in .*records can be read: .*update paddle_mobileseg$"):
        page_of(tmp_path)
    assert not (tmp_path / "page.html").exists()


def test_of_invalid_records_it_is_not_said_that_nothing_was_measured(tmp_path: Path) -> None:
    operators = [{"name": "op", "type": "Conv", "ms": 2.0, "calls": 1}]
    page = page_of(tmp_path, invalid(make_record(operators=operators), "too noisy"))
    assert "accuracy of no usable record" in page.text("") and "not measured no usable record" in page.text("")
    assert "no record with usable numbers has both accuracy and latency" in page.text("accuracy")
    assert "no record with usable numbers has both latency and size" in page.text("size")
    assert "no record with usable numbers has accuracy by class" in page.text("classes")
    assert "invalid 1 operators, 2.00 ms" in page.text("operators")


def test_only_failures_give_a_page_too(tmp_path: Path) -> None:
    page = page_of(tmp_path, failed(make_record("my_network"), "out of memory"))
    assert "RuntimeError in run: out of memory" in page.text("problems")
    assert "Fastest network not measured" in page.text("")
