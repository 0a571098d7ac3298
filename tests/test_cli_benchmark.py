"""The commands ``benchmark``, ``import-benchmark``, ``compare``, ``choose`` and ``report``, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.benchmark import importers, planning, record, sweep
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.cli import benchmark
from paddle_mobileseg.runtime.bundle import load_bundle, write_manifest
from tests.benchmark.made_records import invalid, made
from tests.handmade import write_bundle

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--backends", "onnxruntime", "--repeats", "12")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "largest")


def records(folder: Path) -> list[Record]:
    return record.read_folder(folder)


def test_from_a_bundle_to_a_page(run: Run, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    status, out, err = run("benchmark", "--bundle", bundle, *QUICK, "--threads", 1, 2, "--output", folder)

    assert (status, err) == (0, "")
    first, second = records(folder)
    assert (first["backend"]["threads"], second["backend"]["threads"]) == (1, 2)
    assert first["protocol"]["group"] == second["protocol"]["group"]
    for each in (first, second):
        assert each["status"] in ("ok", "invalid")  # this machine may be busy
        assert each["timing"]["network"]["count"] >= 12
        assert each["timing"]["frame"]["min"] > 0
        assert each["parity"] == {"inputs": 1, "label_agreement": 1.0, "tolerance": 0.999, "passed": True}
        assert each["model"]["network"] == "Largest"
        assert each["input"]["kind"] == "golden"
        assert each["command"].startswith("mobileseg benchmark --bundle ")
        assert each["id"] in out
        ((sample, *_),) = [each["samples"]]
        assert (folder / sample["image"]).is_file() and (folder / sample["labels"]).is_file()
        assert sample["labels"] == sample["reference"]  # equal pictures are one file
    assert out.splitlines()[-1] == f"2 new records in {folder}"

    status, out, err = run("report", folder, "--output", tmp_path / "page.html")
    assert (status, err) == (0, "")
    page = (tmp_path / "page.html").read_text()
    assert all(each["id"] in page for each in (first, second))

    status, out, _ = run("compare", folder, "--json", tmp_path / "compared.json")
    assert status == 0
    assert "Largest onnxruntime 1 thread" in out and "B: threads differs: 1 and 2" in out
    assert len(json.loads((tmp_path / "compared.json").read_text())["pairs"]) == 1


def test_resume_leaves_out_what_is_there(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "records"
    words = ("benchmark", "--bundle", bundle, *QUICK, "--no_samples", "--output", folder)
    run(*words)
    (made,) = records(folder)
    assert made["samples"] == [] and not (folder / "samples").exists()
    if made["status"] == "invalid":  # this machine is busy: as if it were not
        path = folder / f"{made['id']}.json"
        path.unlink()
        made |= {"status": "ok", "validity": {"valid": True, "reasons": []}}
        record.write(folder, made)

    (folder / "notes.json").write_text((folder / f"{made['id']}.json").read_text()[:400])
    status, out, _ = run(*words, "--resume")
    (folder / "notes.json").unlink()
    assert (status, len(records(folder))) == (0, 1)
    assert "passed over: " in out and "notes.json" in out
    assert "1 of 1 are measured already" in out
    assert out.splitlines()[-1] == f"0 new records in {folder}"

    run(*words, "--resume", "--threads", 1, 2)
    assert [each["backend"]["threads"] for each in records(folder)] == [1, 2]
    run(*words)
    assert len(records(folder)) == 3  # never overwritten, never left out unasked


def test_wrong_labels_and_failures_are_records(run: Run, bundle: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((1, 3, 4, 6), np.float32)
    np.savez(bundle / "golden.npz", input_0=x, output_0=2 - x.argmax(1).astype(np.int32))
    loaded = load_bundle(bundle)
    loaded.about["files"]["golden.npz"] = described(bundle / "golden.npz")
    write_manifest(bundle, loaded.deploy, loaded.about)

    status, out, _ = run("benchmark", "--bundle", bundle, *QUICK, "--output", tmp_path / "wrong")
    (made,) = records(tmp_path / "wrong")
    assert status == 1
    assert (made["status"], made["parity"]["passed"]) == ("invalid", False)
    assert "NOT VALID" in out and "wrong labels" in out

    (bundle / "model.onnx").write_bytes(b"no graph")
    loaded.about["files"]["model.onnx"] = described(bundle / "model.onnx")
    write_manifest(bundle, loaded.deploy, loaded.about)
    status, out, err = run("benchmark", "--bundle", bundle, *QUICK, "--output", tmp_path / "failed")
    (made,) = records(tmp_path / "failed")
    assert (status, err) == (1, "")
    assert (made["status"], made["timing"]) == ("failed", None)
    assert "cannot load" in made["error"]["message"]
    assert f"failed: {made['error']['message'].splitlines()[0]}" in out


def described(path: Path) -> dict[str, Any]:
    from paddle_mobileseg.runtime.bundle import describe_files

    return describe_files(path.parent, [path.name])[path.name]


def test_a_network_without_a_bundle_is_a_record_too(tmp_path: Path) -> None:
    failed = [sweep.Failed("topformer_base", "no memory")]
    from paddle_mobileseg.benchmark.protocol import protocol

    assert sweep.run(sweep.Sweep([], protocol("quick"), tmp_path, "again", failed=failed), say=lambda _: None) == 1
    (made,) = records(tmp_path)
    assert made["model"]["network"] == "topformer_base"
    assert made["error"] == {"kind": "ExportError", "stage": "export", "message": "no memory"}
    with pytest.raises(ValueError, match="nothing to measure"):
        sweep.run(sweep.Sweep([], protocol("quick"), tmp_path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bundle", "nowhere"], "nowhere"),
        (["--bundle", "BUNDLE", "--backends", "onnx"], "unknown backend 'onnx'"),
        (["--bundle", "BUNDLE", "--backends", "lite"], "holds no files for the backend 'lite'"),
        (["--bundle", "BUNDLE", "--image_size", "64", "64"], "--image_size is for --networks"),
        (["--bundle", "BUNDLE", "--repeats", "0"], "min_runs is 0"),
        (["--bundle", "BUNDLE", "--backend_options", "fast"], "--backend_options has 'fast'; expected KEY=VALUE"),
        (["--bundle", "BUNDLE", "--device", "usb"], "unknown device 'usb'"),
        (["--bundle", "BUNDLE", "--threads", "2", "0"], "--threads is 2 0; expected whole numbers from 1 to 256"),
        (["--bundle", "BUNDLE", "--threads", "257"], "--threads is 257; expected whole numbers from 1 to 256"),
        (["--bundle", "BUNDLE", "--threads", "2", "--affinity", "0"], "threads that wait for each other"),
        (["--bundle", "BUNDLE", "--affinity", "-1"], "--affinity is -1; expected numbers of cores, from 0"),
        (
            ["--bundle", "BUNDLE", "--backend_options", "onednn=[1"],
            "--backend_options has 'onednn=[1'; '[1' is no value",
        ),
        (["--bundle", "BUNDLE", "--backend_options", "a=2026-01-01"], "what looks like a date needs quotes"),
        (["--bundle", "BUNDLE", "--backend_options", "a=.nan"], "expected a text, a number, true, false"),
        (["--bundle", "BUNDLE", "--backend_options", "fast=1"], "backend 'onnxruntime' has no option 'fast'; it has"),
        (["--bundle", "BUNDLE", "--output_op", "vim"], "--output_op is for --networks"),
        (["--bundle", "BUNDLE", "--runner", "nowhere"], "--runner is for devices"),
        (["--bundle", "BUNDLE", "--cooldown_s", "1e12"], "cooldown_s is 1e+12; expected at most 86400 seconds"),
        (["--bundle", "BUNDLE", "--device", "adb", "--power_mode", "hgih"], "--power_mode is 'hgih'; expected one of"),
        (
            ["--bundle", "BUNDLE", "--device", "adb", "--backend_options", "x=1"],
            "--backend_options is for this machine",
        ),
        (["--bundle", "BUNDLE", "--affinity", "0", "4096"], "--affinity is 0 4096; expected some of the cores"),
        (["--bundle", "BUNDLE", "--frame_size", "640", "0"], "--frame_size is 640 0; expected width and height"),
        (["--bundle", "BUNDLE", "--frame_size", "99999", "9"], "--frame_size is 99999 9; expected width and height"),
        (["--bundle", "BUNDLE", "--power_mode", "high"], "--power_mode is high; it is for devices"),
        (["--bundle", "BUNDLE", "--images", "no.jpg"], "no.jpg"),
        (["--bundle", "BUNDLE", "--images", "BUNDLE"], "no image"),
        (["--bundle", "BUNDLE", "--accuracy", "no.json"], "there are no scores no.json"),
        (["--networks", "topformer_tinny"], "did you mean 'topformer_tiny'"),
    ],
)
def test_mistakes(run: Run, bundle: Path, tmp_path: Path, words: list[str], message: str) -> None:
    given = [str(bundle) if word == "BUNDLE" else word for word in words]
    status, _, err = run("benchmark", *given, "--output", tmp_path / "records", "--bundles_dir", tmp_path / "bundles")

    assert status == 1
    assert err.startswith("error: ") and message in err
    assert records_or_none(tmp_path / "records") == []


def test_a_mistake_is_said_before_networks_are_exported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "export_networks", lambda *_: pytest.fail("exported"))
    (tmp_path / "file").write_text("mine")
    for words, message in (
        (["--threads", 0], "--threads is 0"),
        (["--device", "usb"], "unknown device 'usb'"),
        (["--output", tmp_path / "file"], f"cannot write to {tmp_path / 'file'}"),
    ):
        status, _, err = run("benchmark", "--networks", "all", "--output", tmp_path / "records", *words)
        assert status == 1 and err.startswith("error: ") and message in err


def records_or_none(folder: Path) -> list[Record]:
    return records(folder) if any(folder.glob("*.json")) else []


def test_an_output_that_is_a_file(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "records").write_text("mine")
    status, _, err = run("benchmark", "--bundle", bundle, *QUICK, "--output", tmp_path / "records")
    assert status == 1 and err.startswith("error: ")
    assert (tmp_path / "records").read_text() == "mine"


def test_reports_that_cannot_be(run: Run, tmp_path: Path) -> None:
    assert run("report")[::2] == (
        1,
        "error: give folders of records (mobileseg report output/records), or a training with --run\n",
    )
    status, _, err = run("report", tmp_path, "--bundle", tmp_path)
    assert (status, err) == (1, "error: --bundle is for the page on a training; give its folder with --run\n")
    status, _, err = run("report", tmp_path / "nowhere")
    assert status == 1 and "nowhere" in err


def test_scores_of_what_is_measured_already_are_no_mistake(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_left", lambda *_: [])  # as --resume finds it when all is measured
    asked: list[int] = []
    monkeypatch.setattr(sweep.accuracy, "of_plans", lambda _, plans: asked.append(len(plans)) or [None] * len(plans))
    status, out, _ = run("benchmark", "--bundle", bundle, *QUICK, "--resume", "--output", tmp_path / "records")
    assert (status, asked) == (0, [1])
    assert out.endswith(f"0 new records in {tmp_path / 'records'}\n")


def test_ctrl_c_says_how_to_go_on(run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = sweep.measure_local
    calls: list[object] = []

    def interrupted(*given: Any) -> list[Record]:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*given)

    monkeypatch.setattr(sweep, "measure_local", interrupted)
    other = write_bundle(tmp_path / "other")
    status, _, err = run("benchmark", "--bundle", bundle, other, *QUICK, "--output", tmp_path / "records")
    assert (status, len(records(tmp_path / "records"))) == (130, 1)
    expected = f"1 new record in {tmp_path / 'records'}; the same command with --resume measures what is left"
    assert err == f"interrupted: {expected}\n"


def test_a_result_takes_the_place_of_no_record(run: Run, tmp_path: Path) -> None:
    paths = [record.write(tmp_path, made(network, 10.0)) for network in ("a", "b")]
    before = paths[1].read_bytes()
    for words in (
        ("compare", *paths, "--json", paths[1]),
        ("choose", "--records", *paths, "--what", "network", "--json", paths[1]),
        ("report", *paths, "--output", paths[1]),
        ("report", "--run", tmp_path, "--output", paths[1]),
    ):
        status, _, err = run(*words)
        assert (status, err) == (
            1,
            f"error: {paths[1]} is a benchmark record, which is never overwritten; choose another file\n",
        )
    assert paths[1].read_bytes() == before


def test_options_that_would_do_nothing(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [record.write(tmp_path, made(network, 10.0)) for network in ("a", "b")]
    status, _, err = run("compare", *paths, "--max_ratio", "1.2")
    assert (status, err[:34]) == (1, "error: --max_ratio is for --baseli")
    with pytest.raises(SystemExit):
        run("choose", "--records", tmp_path, "--classes", ",")
    assert "got ','; expected names with commas between, such as person,road" in capsys.readouterr().err


def test_names_that_are_no_text(run: Run, bundle: Path, tmp_path: Path) -> None:
    """Of files, as Linux allows them."""
    folder = f"{tmp_path}/records\udcff"
    assert run("benchmark", "--bundle", bundle, *QUICK, "--no_samples", "--output", folder)[0] == 0
    (made,) = records(Path(folder))
    assert made["status"] in ("ok", "invalid") and made["command"].endswith("records\\udcff'")


def test_what_cannot_be_a_record_is_a_record_of_that(tmp_path: Path) -> None:
    measured = made("a", 10.0)
    measured["input"]["classes_present"] = [8, 8]
    said: list[str] = []
    sweep._write(measured, tmp_path, said.append)
    (kept,) = records(tmp_path)
    assert (kept["status"], kept["model"]["network"], kept["timing"]) == ("failed", "a", None)
    assert kept["error"]["kind"] == "bad_record" and "classes_present: got 8" in kept["error"]["message"]
    assert kept["device"] == measured["device"] and kept["input"]["classes_present"] is None
    assert said[0].startswith(f"{kept['id']}.json: a on onnxruntime, 1 thread: failed: input.classes_present")


def test_a_line_on_a_record_that_has_no_median() -> None:
    """As benchmark_bin's: it times the computation alone."""
    measured = made("a", 10.0)
    measured["timing"]["stages"]["compute"] = measured["timing"]["network"] | {"median": None}
    measured["timing"]["network"] = None
    assert sweep.line(measured) == "a on onnxruntime, 1 thread: 10.00 ms (mean)"


@pytest.mark.parametrize(
    ("reason", "status"), [("output late: some", 1), ("too noisy: very", 0), ("wrong labels: most", 0)]
)
def test_wrong_outputs_fail_and_noise_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, status: int
) -> None:
    """Wrong labels are told by the section ``parity``."""
    from paddle_mobileseg.benchmark.protocol import protocol

    bad = invalid(made("a", 10.0), reason)
    monkeypatch.setattr(sweep, "_measured", lambda *_: [bad])
    plans = [sweep.Plan(tmp_path, "onnxruntime")]
    assert sweep.run(sweep.Sweep(plans, protocol("quick"), tmp_path), say=lambda _: None) == status


def test_each_flag_of_choose_is_listed_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("choose", "--help")
    text = capsys.readouterr().out
    assert "--classes CLASSES, --classes" not in text and "--max-size-mb" in text and "--max_size_mb" in text


def test_every_importer_can_be_named() -> None:
    assert set(benchmark._OTHER_TOOLS) == set(importers.NAMES)


def test_choosing_needs_records(run: Run) -> None:
    status, _, err = run("choose", "--max-latency-ms", 30)
    assert (status, err[:20]) == (1, "error: give records ")


def test_importing_a_text_of_another_tool(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "trtexec.txt"
    text.write_text("hello\n")
    status, _, err = run("import-benchmark", text, "--from", "trtexec", "--output", tmp_path / "records")
    assert status == 1 and "hello" in err
    assert not any((tmp_path / "records").glob("*.json"))
