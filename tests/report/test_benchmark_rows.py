from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report import benchmark_rows
from tests.report.benchmark_reader import entries_of, page_of
from tests.report.made_records import PHONE, SHA, failed, make_record


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


def test_classes_compare_the_exported_file_with_the_checkpoint() -> None:
    checkpoint, file = make_record(backend="paddle", number=1), make_record(backend="lite", number=2)
    (table,) = benchmark_rows.classes(entries_of(file, checkpoint), {})
    assert [column["of"] for column in table["columns"]] == ["checkpoint", "exported file, lite, fp32"]
    changes = {row["name"]: row["change"] for row in table["rows"]}
    assert changes["pole"] == pytest.approx(-0.0031)
    assert {value for name, value in changes.items() if name != "pole"} == {0}


def test_thermal_has_what_was_recorded(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(device=PHONE, backend="lite-arm", number=1), make_record(number=2))
    text = page.text("thermal")
    assert "31.0 °C" in text
    assert "schedutil" in text
    assert "84 to 84 %" in text
    assert "1 record without: not measured there" in text


def test_long_series_are_thinned() -> None:
    made = make_record(runs=20_000)
    assert len(made["timing"]["network"]["raw"]) == 20_000
    (group,) = benchmark_rows.spreads(entries_of(made))
    (row,) = group["first"]
    assert 1000 < len(row["series"]) + len(row["spread"]) < 4000


def test_the_bar_of_the_other_operators_has_the_scale_of_all() -> None:
    parts = [{"name": f"op{i}", "type": f"T{i}", "ms": 1.0, "calls": 1} for i in range(25)]
    (group,) = benchmark_rows.operators(entries_of(make_record(operators=parts)))
    for rows in (group["first"][0]["operators"], group["first"][0]["types"]):
        assert [row["width"] for row in rows] == ["10.0"] * 15 + ["100.0"]
        assert rows[-1]["share"] == "40.0"


def test_times_of_a_stage_that_are_no_medians_are_called_so(tmp_path: Path) -> None:
    record = make_record(backend="lite")
    record["timing"]["stages"]["preprocess"] = records.summary(mean=1.5)
    record["timing"]["frame"] = records.summary(min=25.0)
    page = page_of(tmp_path, record)
    assert "25.0 ms min" in page.text("stages")
    assert "preprocess 1.50 mean" in page.text("stages")
    assert "medians in ms where nothing else is said" in page.text("stages")
    assert "25.0 min" in page.text("records")


def scored(of: str, number: int, **more: Any) -> records.Record:
    record = make_record(number=number)
    record["model"]["source_checkpoint_sha256"] = more.pop("sha256", SHA)
    iou = {"sky": 0.5 + number / 100, "road": 0.25}
    record["accuracy"] = {**record["accuracy"], "of": of, "iou": iou, "miou": 0.5, **more}
    return record


def test_only_one_checkpoint_on_as_many_images_is_compared(tmp_path: Path) -> None:
    made = [scored("checkpoint", 1), scored("exported file", 2), scored("exported file", 3, images=10)]
    made += [scored("exported file", 4, sha256="2" * 64), scored("checkpoint", 5, sha256=None)]
    made += [scored("exported file", 6, sha256=None)]
    tables = benchmark_rows.classes(entries_of(*made), {})
    assert [(table["numbers"], table["images"], table["changes"]) for table in tables] == [
        ([1, 2], 233, True),
        ([3], 10, False),
        ([4], 233, False),
        ([5, 6], 233, False),
    ]
    assert tables[0]["rows"][0]["change"] == pytest.approx(0.01)
    assert [table["from"] for table in tables[1:]] == [
        "checkpoint 5f2b9c01",
        "checkpoint 22222222",
        "from an unknown checkpoint",
    ]
    assert "on camvid, 233 images, checkpoint 22222222" in page_of(tmp_path, *made).text("classes")


def test_columns_that_a_table_of_classes_leaves_out_are_counted(tmp_path: Path) -> None:
    made = [scored("exported file", number) for number in range(1, 7)]
    (table,) = benchmark_rows.classes(entries_of(*made), {})
    assert (len(table["columns"]), table["more"], table["from"]) == (4, 2, None)
    assert "and 2 more files with other values" in page_of(tmp_path, *made).text("classes")


def test_all_memory_that_was_measured_is_shown(tmp_path: Path) -> None:
    record = make_record()
    record["model"]["files"] = []
    record["memory"].update(peak_resident_bytes=None, before_load_bytes=61_000_000, device_peak_bytes=420_400_000)
    page = page_of(tmp_path, record)
    assert "before loading 61.0 MB peak of the GPU 420 MB" in page.text("memory")
    assert "resident memory before loading 61.0 MB peak memory of the GPU 420 MB" in page.text("provenance")


def test_of_failed_records_it_is_not_said_that_they_have_no_files(tmp_path: Path) -> None:
    page = page_of(tmp_path, failed(make_record("my_network"), "out of memory"))
    assert "Not measured: no record that ran to its end has sizes or memory." in page.text("memory")
    assert "5,971,234 bytes" in page.text("provenance")
