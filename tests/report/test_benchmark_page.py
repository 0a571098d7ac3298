from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.benchmark import published
from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report import benchmark_rows, benchmark_sections
from paddle_mobileseg.report.benchmark_entries import Entry, clean, fastest_first, make_entries, with_published_accuracy
from paddle_mobileseg.report.benchmark_page import script_text, write_benchmark_report
from paddle_mobileseg.report.benchmark_pictures import DIFFERENT, comparisons, share_text
from tests.report.made_records import COMPUTER, PHONE, SHA, failed, invalid, make_folder, make_record, make_samples


class Reader(HTMLParser):
    """Tags with their attributes, ids, and the text of each section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._section = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self._section, []).append(" ".join(data.split()))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    def text(self, section: str) -> str:
        return " ".join(self.texts.get(section, []))


def page_of(folder: Path, *made: records.Record) -> Reader:
    for each in made:
        records.write(folder / "records", each)
    return Reader(write_benchmark_report([folder / "records"], folder / "page.html").read_text(encoding="utf-8"))


def entries_of(*made: records.Record, folder: Path | None = None) -> list[Entry]:
    return make_entries([(each, folder) for each in made])


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


def test_charts_never_mix_devices_data_sets_or_origins() -> None:
    def scored(dataset: str, miou: float, **more: Any) -> records.Record:
        record = make_record(**more)
        record["accuracy"] = {**record["accuracy"], "dataset": dataset, "miou": miou}
        return record

    slow = scored("camvid", 0.70, backend="paddle", number=1)
    fast = scored("camvid", 0.60, number=2)
    dominated = scored("camvid", 0.55, backend="lite", number=3)
    elsewhere = scored("camvid", 0.90, device=PHONE, number=4)
    other_set = scored("ade20k", 0.95, number=5)
    better = scored("camvid", 0.99, number=6)
    better["origin"]["kind"] = "estimated"
    entries = entries_of(slow, fast, dominated, elsewhere, other_set, better)
    charts = benchmark_sections.accuracy_charts(entries, benchmark_sections.backend_colours(entries))
    found = {(c["device"], c["dataset"]): {k: [e.number for e, *_ in f] for k, f in c["fronts"]} for c in charts}
    assert found == {
        (COMPUTER["name"], "camvid"): {"measured": [2, 1], "estimated": [6]},
        (PHONE["name"], "camvid"): {"measured": [4]},
        (COMPUTER["name"], "ade20k"): {"measured": [5]},
    }


def test_published_accuracy_stands_in_for_none_in_charts_of_its_own() -> None:
    def untrained(**more: Any) -> records.Record:
        record = make_record(**more)
        record["model"] |= {"network": "topformer_tiny", "num_classes": 150, "weights": "random"}
        return record

    own = make_record(number=1)
    own["model"] |= {"network": "topformer_tiny", "num_classes": 150}
    own["accuracy"] |= {"dataset": "ade20k", "miou": 0.2}
    other_classes = untrained(number=4)
    other_classes["model"]["num_classes"] = 3
    entries = with_published_accuracy(
        entries_of(own, untrained(number=2), untrained(number=3, backend="lite"), other_classes)
    )
    first, second = benchmark_sections.accuracy_charts(entries, benchmark_sections.backend_colours(entries))

    assert [first[key] for key in ("dataset", "stand_in", "hollow", "count")] == ["ade20k", False, False, 1]
    assert [second[key] for key in ("dataset", "stand_in", "hollow", "count")] == ["ade20k", True, True, 2]
    ((_, front),) = second["fronts"]
    assert {miou for _, _, miou in front} == {0.3249}  # PaddleSeg's, in the catalogue
    (left,) = benchmark_sections.left_out(entries)
    assert (left["reason"], [e.number for e in left["entries"]]) == ("random weights: accuracy means nothing", [4])


@pytest.mark.parametrize(
    ("shape", "dtype"), [([1, 3, 352, 480], "float32"), ([1, 352, 480, 3], "uint8"), ([1, 352, 3, 3], "uint8")]
)
def test_settings_name_width_and_height(shape: list[int], dtype: str) -> None:
    record = make_record(threads=2)
    record["model"].update(input_shape=shape, input_dtype=dtype, output_op="vim", precision="int8")
    (entry,) = entries_of(record)
    size = "480x352" if 480 in shape else "3x352"
    assert entry.setting == f"onnxruntime, 2 threads, int8, {size}, vim"
    assert entry.short == f"onnxruntime, 2 threads, {size}, int8, vim"


def test_two_machines_of_one_name_are_two_devices() -> None:
    other = {**COMPUTER, "fingerprint": "ffffffffffff"}
    entries = entries_of(make_record(number=1), make_record(number=2, device=other), make_record(number=3))
    name = COMPUTER["name"]
    one, two = f"{name} (0a1b2c3d4e5f)", f"{name} (ffffffffffff)"
    assert [each.device for each in entries] == [one, two, one]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["model"].update(weights="random"), "random weights: accuracy means nothing"),
        (lambda r: r.update(accuracy=None), "accuracy not measured"),
        (lambda r: r["accuracy"].update(miou=None), "accuracy not measured"),
        (lambda r: r["timing"].update(network=None), "time of the network not measured"),
        (lambda r: r["device"].update(name=None, cpu=None), "device not recorded"),
        (lambda r: r.update(invalid(r, "noise")), "its numbers are not usable"),
    ],
)
def test_what_is_in_no_chart_says_why(change: Any, reason: str) -> None:
    record = make_record()
    change(record)
    (entry,) = entries_of(record)
    assert benchmark_sections.why_not_in_chart(entry) == reason
    assert benchmark_sections.accuracy_charts([entry], {"onnxruntime": 0}) == []
    expected = [] if reason == "its numbers are not usable" else [reason]
    assert [group["reason"] for group in benchmark_sections.left_out([entry])] == expected


def test_records_without_accuracy_are_listed_and_in_the_chart_of_size(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(accuracy=None, operators=None))
    assert "1 not in these charts: accuracy not measured" in page.text("accuracy")
    assert "Not measured" not in page.text("size")
    assert len([attrs for _, attrs in page.tags if (attrs.get("class") or "").startswith("chart scatter")]) == 2 + len(
        [each for each in published.records() if each["model"]["network"] == "pp_mobileseg_tiny"]
    )


def test_published_records_of_the_same_networks_are_beside_the_measured_ones(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record("pp_mobileseg_tiny"))
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and "data-kind" in attrs]
    assert [row["data-kind"] for row in rows].count("measured") == 1
    others = [row for row in rows if row["data-kind"] == "published"]
    assert others
    assert {row["data-network"] for row in others} == {"pp_mobileseg_tiny"}
    assert "Records 1 1 measured; beside them" in page.text("")
    marks = [attrs["class"] or "" for tag, attrs in page.tags if tag == "a" and "mark" in (attrs.get("class") or "")]
    assert {mark.split()[1] for mark in marks} == {"measured", "published"}
    assert all("solid" in mark for mark in marks if " measured " in mark)
    assert not any("solid" in mark for mark in marks if " published " in mark)


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


def test_stages_add_up_to_one_scale() -> None:
    whole, split = make_record(backend="onnxruntime", number=1), make_record(backend="paddle", number=2)
    unsplit = make_record(backend="lite", number=3)
    unsplit["timing"].update(frame=None, stages=dict.fromkeys(records.STAGES))
    entries = entries_of(whole, split, unsplit)
    (group,) = benchmark_rows.stages(entries)
    rows = {row["entry"].number: row for row in [*group["first"], *group["rest"]]}
    longest = max(entry.ms("frame") or entry.ms("network") or 0 for entry in entries)
    assert [part["css"] for part in rows[2]["parts"]] == list(records.STAGES)
    assert [part["css"] for part in rows[3]["parts"]] == ["unsplit"]
    assert rows[1]["missing"] == ["host to device", "device to host"]
    assert (rows[1]["camera"], rows[3]["camera"]) == ("960x720", None)  # 3 has no time of a frame
    compute = next(part for part in rows[1]["parts"] if part["css"] == "compute")
    assert float(compute["width"]) == pytest.approx(100 * whole["timing"]["network"]["median"] / longest, abs=0.1)
    assert sum(float(part["width"]) for part in rows[2]["parts"]) == pytest.approx(
        100 * split["timing"]["frame"]["median"] / longest, abs=1
    )


@pytest.mark.parametrize(
    ("raw", "expected"), [([10.0] * 6 + [11.0] * 6, 0.1), ([3.0] * 30, 0.0), ([1.0] * 11, None), ([], None)]
)
def test_drift_is_last_third_against_first(raw: list[float], expected: float | None) -> None:
    assert benchmark_rows.drift(raw) == (None if expected is None else pytest.approx(expected))


def test_operators_are_summed_beyond_the_fifteenth_and_by_type() -> None:
    parts = [{"name": f"op{i}", "type": "Conv" if i % 2 else "Add", "ms": float(i), "calls": 1} for i in range(1, 21)]
    (group,) = benchmark_rows.operators(entries_of(make_record(operators=parts)))
    (row,) = group["first"]
    assert [each["name"] for each in row["operators"]] == [f"op{i}" for i in range(20, 5, -1)] + ["5 others"]
    assert row["operators"][-1]["ms"] == 1 + 2 + 3 + 4 + 5
    assert [(each["name"], each["ms"], each["calls"]) for each in row["types"]] == [
        ("Add", 110.0, 10),
        ("Conv", 100.0, 10),
    ]
    assert row["operators"][0]["share"] == f"{100 * 20 / 210:.1f}"


def test_fastest_of_each_network_comes_first_and_only_usable_measured_ones_lead() -> None:
    quick = make_record("topformer_tiny", threads=2, number=1)
    slow = make_record("topformer_tiny", threads=1, number=2)
    estimate = make_record("topformer_tiny", threads=4, number=3)
    estimate["origin"]["kind"] = "estimated"
    broken = invalid(make_record("topformer_tiny", threads=4, number=4), "noise")
    base = make_record("topformer_base", number=5)
    first, rest = fastest_first(entries_of(slow, estimate, broken, quick, base))
    assert [entry.record["id"][-4:] for entry in first] == ["0001", "0005"]
    assert [entry.record["id"][-4:] for entry in rest] == ["0002", "0003", "0004"]


def test_classes_compare_the_exported_file_with_the_checkpoint(whole: Reader) -> None:
    checkpoint, file = make_record(backend="paddle", number=1), make_record(backend="lite", number=2)
    (table,) = benchmark_rows.classes(entries_of(file, checkpoint), {})
    assert [column["of"] for column in table["columns"]] == ["checkpoint", "exported file, lite, fp32"]
    changes = {row["name"]: row["change"] for row in table["rows"]}
    assert changes["pole"] == pytest.approx(-0.0031)
    assert {value for name, value in changes.items() if name != "pole"} == {0}
    assert "-0.0031" in whole.text("classes")


def test_what_makes_sizes_and_the_fastest_not_comparable_is_said(tmp_path: Path) -> None:
    small, large = make_record(number=1), make_record("pp_mobileseg_base", threads=2, number=2)
    large["model"]["input_shape"] = [1, 3, 512, 1024]
    page = page_of(tmp_path, small, large)
    assert "Not simply comparable: different input sizes: 480x352 (1), 1024x512 (1)." in page.text("size")
    assert "different numbers of threads: 1 (1), 2 (1)" in page.text("size")
    assert "images evaluated" not in page.text("size")
    assert f"pp_mobileseg_tiny, onnxruntime, 1 thread, 480x352; {COMPUTER['name']}" in page.text("")


def test_the_fastest_is_a_measured_one_where_there_is_one(tmp_path: Path) -> None:
    quick, own = make_record("topformer_tiny", "paddle", PHONE, number=1), make_record("pp_mobileseg_base", number=2)
    quick["origin"].update(kind="imported", importer="onnxruntime", source_sha256=SHA)
    quick["timing"]["network"] = records.summarize([0.5] * 12)
    quick["timing"].update(frame=None, stages=dict.fromkeys(records.STAGES))
    own["model"]["weights"] = "random"
    page = page_of(tmp_path / "both", quick, own)
    assert re.search(r"Fastest network [\d.]+ ms pp_mobileseg_base", page.text(""))
    assert "Their times do count. (1 record: pp_mobileseg_base)" in page.text("")
    assert "Fastest network, imported 0.50 ms topformer_tiny" in page_of(tmp_path / "alone", quick).text("")


def test_thermal_has_what_was_recorded(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(device=PHONE, backend="lite-arm", number=1), make_record(number=2))
    text = page.text("thermal")
    assert "31.0 °C" in text
    assert "schedutil" in text
    assert "84 to 84 %" in text
    assert "1 record without: not measured there" in text


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
    assert clean({"command": "y" * 1000})["command"] == "y" * 1000


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


def test_long_series_are_thinned() -> None:
    made = make_record(runs=20_000)
    assert len(made["timing"]["network"]["raw"]) == 20_000
    (group,) = benchmark_rows.spreads(entries_of(made))
    (row,) = group["first"]
    assert 1000 < len(row["series"]) + len(row["spread"]) < 4000


def test_slider_shows_both_and_where_they_differ(tmp_path: Path) -> None:
    same, other = make_record(number=1), make_record("topformer_base", number=2)
    same["samples"] = [make_samples(tmp_path, "same", wrong=False)]
    other["samples"] = [make_samples(tmp_path, "other")]
    found, count = comparisons(entries_of(same, other, folder=tmp_path))
    assert count == 2
    assert [each.share == 0 for each in found] == [True, False]
    with (
        Image.open(tmp_path / "samples" / "other-reference.png") as a,
        Image.open(tmp_path / "samples" / "other-labels.png") as b,
    ):
        assert found[1].share == (np.array(a) != np.array(b)).mean()
    assert [name for name, _ in found[0].classes][:3] == ["sky", "road", "pavement"]
    assert found[0].classes[0][1] == "#808080"
    for picture in (found[1].reference, found[1].labels, found[1].difference):
        assert picture is not None
        assert (picture.width, picture.height) == (240, 180)
        assert picture.uri.startswith("data:image/")
    assert (
        "#{:02x}{:02x}{:02x}".format(*DIFFERENT)
        in (Path(benchmark_rows.__file__).parent / "benchmark.html").read_text()
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "all pixels have the same label"),
        (1e-6, "0.0001 % of the pixels have another label"),
        (0.0025, "0.25 % of the pixels have another label"),
        (0.5, "50.0 % of the pixels have another label"),
    ],
)
def test_shares_in_words(share: float, text: str) -> None:
    assert share_text(share) == text


def damage(folder: Path, sample: dict[str, str], how: str) -> dict[str, str]:
    labels = folder / sample["labels"]
    if how == "outside":
        shutil.copy(labels, folder.parent / "secret.png")
        return {**sample, "labels": "../secret.png"}
    if how == "absolute":
        return {**sample, "image": "/etc/hostname"}
    if how == "missing":
        labels.unlink()
    if how == "truncated":
        labels.write_bytes(labels.read_bytes()[:60])
    if how == "not a palette":
        Image.new("RGB", (240, 180)).save(labels)
    if how == "other size":
        Image.new("P", (20, 30)).save(labels)
    if how == "link":
        labels.unlink()
        (folder.parent / "secret.png").write_bytes((folder / sample["reference"]).read_bytes())
        labels.symlink_to(folder.parent / "secret.png")
    return sample


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("outside", "no picture beside the record"),
        ("absolute", "no picture beside the record"),
        ("link", "no picture beside the record"),
        ("missing", "is not there"),
        ("truncated", "Error: "),
        ("not a palette", "is not a palette PNG"),
        ("other size", "differ in size"),
    ],
)
def test_pictures_that_cannot_be_used_are_not_shown(tmp_path: Path, how: str, why: str) -> None:
    folder = tmp_path / "records"
    record = make_record()
    record["samples"] = [damage(folder, make_samples(folder, "a"), how)]
    ((found,), _) = comparisons(entries_of(record, folder=folder))
    assert found.reference is found.labels is found.difference is None
    assert why in (found.problem or "")
    assert str(tmp_path) not in (found.problem or "")


def test_a_page_says_that_pictures_cannot_be_shown(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    record = make_record()
    record["samples"] = [damage(folder, make_samples(folder, "a"), "missing")]
    page = page_of(tmp_path, record)
    assert "The pictures cannot be shown." in page.text("pictures")
    assert "a-labels.png is not there" in page.text("pictures")
    assert "img" not in [tag for tag, _ in page.tags]


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
