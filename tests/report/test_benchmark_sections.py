from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark import published
from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report import benchmark_sections
from paddle_mobileseg.report.benchmark_entries import Entry, fastest_first, with_published_accuracy
from tests.report.benchmark_reader import entries_of, page_of
from tests.report.made_records import COMPUTER, PHONE, SHA, invalid, make_record


def fronts_of(chart: dict[str, Any]) -> dict[str, list[int]]:
    """Numbers of the records on a chart's fronts, by kind."""
    return {front["kind"]: [row["entry"].number for row in front["rows"]] for front in chart["fronts"]}


def charts_of(entries: list[Entry]) -> list[dict[str, Any]]:
    return benchmark_sections.accuracy_charts(entries, benchmark_sections.backend_colours(entries))


def at_size(record: records.Record, size: int) -> records.Record:
    record["model"]["input_shape"] = [1, 3, size, size]
    return record


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
    charts = charts_of(entries)
    found = {(c["device"], c["dataset"]): fronts_of(c) for c in charts}
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
    first, second = charts_of(entries)

    assert [first[key] for key in ("dataset", "stand_in", "hollow", "size")] == ["ade20k", False, False, None]
    assert [second[key] for key in ("dataset", "stand_in", "hollow", "size")] == ["ade20k", True, True, "480x352"]
    assert [chart["fronts"][0]["count"] for chart in (first, second)] == [1, 2]
    row = second["fronts"][0]["rows"][0]
    assert (row["miou"], row["source"]) == (0.3249, "topformer_tiny_ade20k, evaluated at shorter side 512")
    (left,) = benchmark_sections.left_out(entries)
    assert (left["reason"], [e.number for e in left["entries"]]) == ("random weights: accuracy means nothing", [4])


def test_published_accuracies_have_a_chart_for_each_input_size(tmp_path: Path) -> None:
    """The smallest input is the fastest, and its mIoU is published for another size."""
    made = []
    for number, (network, size) in enumerate(
        [("topformer_base", 256), ("topformer_base", 512), ("topformer_tiny", 512), ("pp_mobileseg_base", 512)], 1
    ):
        record = at_size(make_record(network, number=number), size)
        record["model"] |= {"num_classes": 150, "weights": "random"}
        made.append(record)
    found = {chart["size"]: fronts_of(chart) for chart in charts_of(with_published_accuracy(entries_of(*made)))}
    assert found == {"256x256": {"measured": [1]}, "512x512": {"measured": [3, 2, 4]}}
    page = page_of(tmp_path, *made)
    for expected in (
        "on ade20k, accuracy as published, latency at 256x256",
        "on ade20k, accuracy as published, latency at 512x512",
        "mIoU: topformer_base_ade20k, evaluated at shorter side 512",
    ):
        assert expected in page.text("accuracy")
    text = page.text("provenance")
    assert "accuracy in the chart, published mIoU 0.3828 on ade20k" in text
    assert "its source topformer_base_ade20k, evaluated at shorter side 512; of the authors' weights" in text


def test_scores_of_a_checkpoint_are_those_of_one_input_size() -> None:
    small, large = (at_size(make_record(backend="paddle", number=i), size) for i, size in ((1, 256), (2, 512)))
    file = at_size(make_record(number=3), 512)
    assert [(chart["size"], fronts_of(chart)) for chart in charts_of(entries_of(small, large, file))] == [
        ("256x256", {"measured": [1]}),
        ("512x512", {"measured": [3]}),
    ]
    small["accuracy"], large["accuracy"] = ({**file["accuracy"], "miou": miou} for miou in (0.5, 0.7))
    (chart,) = charts_of(entries_of(small, large, file))
    assert chart["size"] is None, "scores of exported files are of the size that was measured"


def test_published_tables_are_named_under_their_charts(tmp_path: Path) -> None:
    text = page_of(tmp_path, make_record("mobileseg_ghostnet")).text("accuracy")
    assert (
        "PaddleSeg, configs/mobileseg (FPS on Snapdragon 855). The mIoU is of another input size, 1024 x 2048." in text
    )
    assert "Converted from" not in text


def test_other_sizes_of_evaluation_are_said() -> None:
    made = [record for record in published.records() if record["device"]["name"] == "NVIDIA GTX 1080 Ti"]
    assert benchmark_sections.comparability(entries_of(*made)) == [
        "different input sizes: 1024x512 (2), 1536x768 (2)",
        "different sizes at which mIoU was evaluated: 1024x512 (2), 1536x768 (2)",
    ]


def test_origins_that_meet_are_counted_labelled_and_in_the_legend_apart(tmp_path: Path) -> None:
    made = [make_record(number=number) for number in range(1, 5)]
    made[1]["timing"]["network"] = records.summary(median=99.0)
    for record, kind in zip(made[2:], ("imported", "estimated"), strict=True):
        record["origin"] |= {"kind": kind, "source": "elsewhere"}
        record["timing"]["network"] = made[0]["timing"]["network"]
    (chart,) = charts_of(entries_of(*made))
    assert [(front["kind"], front["count"]) for front in chart["fronts"]] == [
        ("measured", 2),
        ("imported", 1),
        ("estimated", 1),
    ]
    assert [row["place"] for front in chart["fronts"] for row in front["rows"]] == [1, 2, 3]
    labelled = re.findall(r'class="label best" data-n="(\d)"', str(chart["svg"]).partition(" narrow")[0])
    assert sorted(labelled) == ["1", "3", "4"]
    (group,) = benchmark_sections.size_charts(entries_of(*made), {"onnxruntime": 0})
    assert group["kinds"] == ["measured", "imported", "estimated"]
    assert [(place, leader.number, numbers) for place, leader, numbers in group["networks"]] == [(1, 1, [1, 2, 3, 4])]
    made[0]["accuracy"] = None
    marks = str(benchmark_sections.size_charts(entries_of(*made), {"onnxruntime": 0})[0]["charts"][0]["svg"])
    assert marks.count(" solid") == 4, "a hollow mark is for an accuracy, which this chart has not"
    assert "Front of 1 record: estimated" in page_of(tmp_path, made[0], made[1], made[3]).text("accuracy")


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
    assert "Fastest network, imported 0.500 ms topformer_tiny" in page_of(tmp_path / "alone", quick).text("")


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
