"""The table of all networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.model_table import main, markdown
from tests.benchmark.made_records import failed, invalid, made


def cells(page: str, heading: str) -> dict[str, list[str]]:
    """The first table below a heading: cells by the first one of their row."""
    text = page.split(f"## {heading}\n")[1]
    lines = re.findall(r"(?:^\|.*\n?)+", text, flags=re.M)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def some() -> list[records.Record]:
    tiny = made("topformer_tiny", 10, frame=20, model__weights="random")
    lite = made(
        "topformer_tiny",
        12,
        backend__requested="lite",
        model__format="lite-x86",
        model__files=[{"name": "m.nb", "bytes": 1_230_000, "sha256": None}],
    )
    return [tiny, lite, made("topformer_tiny", 14), made("pp_mobileseg_base", 30)]


def test_sizes_and_published_results_of_all_networks() -> None:
    found = cells(markdown(some()), "Sizes and published results")

    assert next(iter(found)) == "network"
    assert set(networks.names()) <= set(found)
    assert found["topformer_tiny"][:3] == ["1,389,654", "530,964,480", "512x512"]
    assert found["pp_mobileseg_base"][3].startswith("41.57 (ade20k;")


def test_published_latencies_name_conditions_and_source() -> None:
    page = markdown(some())
    row = next(line for line in page.splitlines() if line.startswith("| pp_mobileseg_base | 265.5"))
    number = re.search(r"\[(\d+)\] \|$", row)[1]

    assert "Xiaomi Mi 9 (Snapdragon 855), Paddle Lite, 512x512, 1 thread, fp32, with vim, min" in row
    assert f"- [{number}] PaddleSeg 2.8, configs/pp_mobileseg/README.md" in page


def test_measured_latencies() -> None:
    found = cells(markdown(some()), "Measured here")

    assert found["network"] == ["input (W x H)", "lite", "onnxruntime"]
    assert found["topformer_tiny"] == ["96x64", "12.0", "12.0 (20.0)"]  # the median of two repetitions, 10 and 14
    assert found["pp_mobileseg_base"] == ["96x64", "-", "30.0"]


def test_files() -> None:
    found = cells(markdown(some()), "Files")

    assert found["network"] == [".nb (x86)", "ONNX"]
    assert found["topformer_tiny"] == ["1.23", "5.00"]


def test_conditions_are_those_of_the_records() -> None:
    two = made("pp_mobileseg_base", 15, backend__threads=2, protocol__preset="paddle-lite")
    page = markdown([*some(), two])

    assert "- machine: Some CPU, 2 logical cores\n" in page
    assert "- preset: paddle-lite, quick\n" in page
    assert "- threads: 1, 2\n" in page
    assert "- dates (UTC): 2026-01-01\n" in page
    assert "- weights: random, trained\n" in page
    columns = ["input (W x H)", "lite, 1 thread", "onnxruntime, 1 thread", "onnxruntime, 2 threads"]
    assert cells(page, "Measured here")["network"] == columns


def test_what_is_missing_is_said() -> None:
    lite = {"backend__requested": "lite"}
    page = markdown(
        [*some(), failed(made("pp_mobileseg_base", **lite), "no\noperator"), invalid(made("topformer_base"))]
    )

    assert "- pp_mobileseg_base lite 1 thread 96x64 argmax: failed: no operator\n" in page
    assert "- topformer_base onnxruntime 1 thread 96x64 argmax: invalid: too noisy\n" in page
    assert "- mobileseg_ghostnet: not measured\n" in page
    assert "topformer_base" not in cells(page, "Measured here")


def test_a_backend_that_one_network_lacks_is_said() -> None:
    page = markdown(some())

    assert "- pp_mobileseg_base lite: not measured\n" in page


def test_records_of_several_machines_or_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of 2 devices: Device 01.*Device ba.*a table is of one"):
        markdown([*some(), made(device="ba9876543210")])
    with pytest.raises(ValueError, match="topformer_tiny was measured in several sizes: 32x32, 96x64"):
        markdown([*some(), made(model__input_shape=[1, 3, 32, 32])])
    with pytest.raises(ValueError, match="no measured records"):
        markdown([])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model__output_op": "none"}, "output"),
        ({"model__precision": "int8-weights"}, "precision"),
        ({"model__input_shape": [4, 3, 64, 96]}, "input shape"),
        ({"input__frame_hw": [1080, 1920]}, "frame size"),
        ({"protocol__preset": "mlperf", "protocol__warmup_runs": 10}, "preset, warm-up runs"),
    ],
)
def test_no_median_of_what_was_measured_in_several_ways(change: dict[str, object], name: str) -> None:
    other = made("topformer_tiny", 99, **change)
    with pytest.raises(ValueError, match=rf"measured in two ways, which differ in {name} \(r\d+ and r\d+\)"):
        markdown([*some(), other])
    assert "99.0" not in markdown([*some(), invalid(other)])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for each in some():
        records.write(tmp_path / "records", each)
    page = tmp_path / "models.md"

    assert main([str(tmp_path / "records"), "--output", str(page)]) == 0
    assert page.read_text() == markdown(records.read_folder(tmp_path / "records"))
    assert main([str(tmp_path / "none"), "--output", str(page)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_page_in_the_documentation_is_that_of_the_stored_records(repository: Path) -> None:
    reference = repository / "docs" / "reference"
    found = records.read_folder(reference / "records")

    assert {each["model"]["network"] for each in found} >= set(networks.names())
    assert (reference / "models.md").read_text(encoding="utf-8") == markdown(found)  # `make docs` writes it
