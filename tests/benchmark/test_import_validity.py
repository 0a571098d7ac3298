"""Texts of other tools that say themselves that their times must not be used, and texts of several runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_mobileseg.benchmark import importers, record
from tests.benchmark.transcript_files import read, tool_of, transcript

NO_WARMUP = "no warm-up: the first run of the process is one of those that count"


def too_short(count: int) -> str:
    return f"too short: {count} timed runs; at least 10 are needed"


@pytest.mark.parametrize(
    ("name", "changes", "reasons"),
    [
        ("paddle-lite-android", [("repeats: 50", "repeats: 9")], [too_short(9)]),
        ("paddle-lite-android", [("repeats: 50", "repeats: 10")], []),
        (
            "paddle-lite-android",
            [("repeats: 50", "repeats: 1"), ("warmup: 10", "warmup: 0")],
            [too_short(1), NO_WARMUP],
        ),
        ("paddle-lite-android", [("warmup: 10", "warmup: 1")], []),
        ("paddle-lite-android", [("warmup: 10", ""), ("repeats: 50", "")], []),  # not said
        ("paddle-lite-table-2.8", [("Warmup=10 Repeats=30", "Warmup=0 Repeats=3")], [too_short(3), NO_WARMUP]),
        ("trtexec-8.6", [("Timing trace has 647", "Timing trace has 7")], [too_short(7)]),
        ("trtexec-8.6", [("+ 200ms warm up", "+ 0ms warm up")], [NO_WARMUP]),
        ("litert-cpu", [("count=50 ", "count=5 ")], [too_short(5)]),
        ("litert-cpu", [("at least 1 iterations and at least 0.5", "at least 0 iterations and at least 0.5")], []),
        (
            "litert-cpu",
            [("at least 1 iterations and at least 0.5", "at least 0 iterations and at least 0")],
            [NO_WARMUP],
        ),
        ("ncnn-cpu", [("loop_count = 8", "loop_count = 10")], []),
        ("ncnn-cpu", [("loop_count = 8", "loop_count = 4")], [too_short(4)]),
        ("onnxruntime-1.16", [("Total inference requests: 100", "Total inference requests: 2")], [too_short(2)]),
    ],
)
def test_too_few_runs_and_no_warmup(name: str, changes: list[tuple[str, str]], reasons: list[str]) -> None:
    text = transcript(name)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    made = importers.read(tool_of(name), text)[0]
    assert made["timing"] is not None
    assert (made["status"], made["validity"]) == (
        "invalid" if reasons else "ok",
        {"valid": not reasons, "reasons": reasons},
    )


def test_a_text_that_was_cut_off_and_is_too_short_has_both_reasons() -> None:
    text = transcript("trtexec-8.6").replace("Timing trace has 647", "Timing trace has 7")
    (made,) = importers.read("trtexec", text[: text.index("&&&& PASSED")])
    assert [reason.split(":")[0] for reason in made["validity"]["reasons"]] == [
        "the text has no line '&&&& PASSED'",
        "too short",
    ]


def test_one_cold_run_is_written_as_invalid(tmp_path: Path) -> None:
    text = transcript("paddle-lite-android").replace("repeats: 50", "repeats: 1").replace("warmup: 10", "warmup: 0")
    (tmp_path / "said.txt").write_text(text)
    (path,) = importers.import_file("paddle-lite", tmp_path / "said.txt", output=tmp_path / "records")
    assert record.read(path)["status"] == "invalid"


@pytest.mark.parametrize(
    ("words", "count"), [("-c 4", 4), ("-c4", 4), ("--c=4", 4), ("-c 1", 1), ("-C a|b", None), ("", None)]
)
def test_onnxruntime_with_several_runs_at_a_time(words: str, count: int | None) -> None:
    text = transcript("onnxruntime-1.16").replace("-x 4", f"-x 4 {words}")
    (made,) = importers.read("onnxruntime", text)
    assert made["backend"]["options"].get("concurrent_runs") == count
    assert made["backend"]["threads"] == 4 and made["model"]["files"][0]["name"] == "model.onnx"
    crowd = ["4 runs at a time (-c): a run's time is not that of a network that runs alone"]
    assert made["validity"] == {"valid": count != 4, "reasons": crowd if count == 4 else []}


@pytest.mark.parametrize(
    ("fopen", "row"),
    [
        ("mobileseg.param", "mobileseg"),
        ("models/mobileseg.param", "models/mobileseg.param"),
        ("models/mobileseg.param", "models/mobileseg"),
        ("/home/me/models/mobileseg.param", "mobileseg"),
        (r"C:\models\mobileseg.param", r"C:\models\mobileseg.param"),
    ],
)
def test_ncnn_network_that_was_never_read(fopen: str, row: str) -> None:
    text = f"loop_count = 20\nfopen {fopen} failed\n  {row}  min =    0.00  max =    0.01  avg =    0.00\n"
    text += "  models/other.param  min =    3.00  max =    3.50  avg =    3.25\n"
    failed, other = importers.read("ncnn", text)
    assert (failed["status"], failed["timing"]) == ("failed", None)
    assert failed["model"]["network"] == "mobileseg"
    assert failed["error"]["message"] == "fopen mobileseg.param failed; the times are of an empty network"
    assert (other["status"], other["model"]["network"], other["timing"]["network"]["mean"]) == ("ok", "other", 3.25)


def test_ncnn_network_without_a_line_of_times() -> None:
    text = "loop_count = 20\nfopen models/mobileseg.param failed\n"
    (made,) = importers.read("ncnn", text)
    assert (made["status"], made["model"]["network"]) == ("failed", "mobileseg")


def other_times(text: str) -> str:
    """A later run of another network, 100 times as fast."""
    for old, new in (("seg.tflite", "b.tflite"), ("1040000", "10400"), ("1.04e+06", "10400"), ("1250000", "12500")):
        assert old in text
        text = text.replace(old, new)
    return text.replace("1.25e+06", "12500").replace("11-21 10:", "11-21 11:")


def test_litert_twice_in_one_logcat() -> None:
    """An app's log has neither the command nor STARTING!."""
    text = transcript("litert-logcat")
    first, second = importers.read("litert", text + other_times(text))
    assert first["timing"] == read("litert-logcat")[0]["timing"]
    assert first["model"]["files"][0]["name"] == "seg.tflite"
    assert second["timing"]["stages"]["compute"]["mean"] == 10.4
    assert second["timing"]["first"] == {"load": 1361.24, "network": 12.5}
    assert second["model"]["files"][0]["name"] == "b.tflite"
    assert first["backend"]["actual"] == second["backend"]["actual"] == "LiteRT GPU delegate"


@pytest.mark.parametrize("name", ["litert-cpu", "litert-old"])
def test_litert_twice_in_one_terminal(name: str) -> None:
    text = transcript(name)
    made = importers.read("litert", text + text)
    assert [each["timing"] for each in made] == [read(name)[0]["timing"]] * 2
    assert [each["command"] for each in made] == [read(name)[0]["command"]] * 2


def test_litert_that_failed_before_another_run() -> None:
    text = transcript("litert-logcat")
    cut = text[: text.index("11-21 10:02:13.402")]
    failed, whole = importers.read("litert", cut + other_times(text))
    assert failed["status"] == "failed" and failed["model"]["files"][0]["name"] == "seg.tflite"
    assert whole["timing"]["stages"]["compute"]["mean"] == 10.4


def test_the_schema_names_every_importer() -> None:
    said = record.schema()["properties"]["origin"]["properties"]["importer"]["description"]
    assert all(name in said for name in importers.NAMES)
