"""The page as a whole: what a reader finds in each section."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from paddle_mobileseg.report import write_report
from tests.report.conftest import PALETTE, SHA
from tests.report.page import add_record, change, report


def test_headline(made) -> None:
    page = report(made)
    assert page.texts[""].count("PPMobileSeg · MobileSeg_Tiny") == 1
    headline = page.text("headline")
    assert "mIoU 0.814 120 images" in headline
    assert "Parameters 1.49 M" in headline
    assert "MACs 0.61 G at 480×360" in headline
    assert "Size on disk 6.2 MB onnxruntime, paddle 6.2 MB" in headline  # 6.1 + 0.15 MB, without the golden tensors
    assert "Best latency 23.5 ms onnxruntime, 2 threads, 480×360, Example CPU @ 2.50GHz" in headline
    assert "not measured" not in headline


def test_training_curves(made) -> None:
    page = report(made)
    assert len([each for each in page.tags["svg"] if each["class"] == "chart"]) == 4
    text = page.text("training")
    assert "Loss" in text and "Learning rate" in text and "best 0.812 at 1200" in text
    assert "SyntheticScenes, 1 200 iterations, 5 min 34 s, median 30." in page.text("").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ([], "1 200 of 3 000 iterations, 8 min 26 s"),
        (
            [{"kind": "stop", "iter": 1200, "reason": "early_stop"}],
            "1 200 of 3 000 iterations (early stop: no more gain)",
        ),
        ([{"kind": "stop", "iter": 1200, "reason": "interrupted"}], "1 200 of 3 000 iterations (interrupted)"),
        ([{"kind": "stop", "iter": 1200, "reason": "error"}], "1 200 of 3 000 iterations (ended by an error)"),
        ([{"kind": "resume", "iter": 1200, "iters": 1200}], "1 200 iterations, 8 min 26 s"),
    ],
)
def test_how_the_training_ended(made, ending: list[dict], said: str) -> None:
    log = made.run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    at = next(n for n, line in enumerate(lines) if line["iter"] > 600)
    first = [{"kind": "start", "iter": 0, "iters": 3000}]
    resume = [{"kind": "resume", "iter": 600, "iters": 3000}]
    log.write_text("".join(json.dumps(line) + "\n" for line in [*first, *lines[:at], *resume, *lines[at:], *ending]))
    # 172 s up to the evaluation at iteration 600, and 334 s of the second part, whose clock is taken to begin there.
    assert said in report(made).text("").replace("\u202f", " ")


def test_classes_over_the_evaluations(made) -> None:
    page = report(made)
    assert "IoU by class 6 evaluations during training, 9 classes; colours as above" in page.text("classes")
    strokes = [str(each["style"]) for each in page.tags["path"] if each["class"] == "coloured"]
    assert sorted(strokes) == sorted(
        "stroke:#" + "".join(f"{channel:02x}" for channel in colour) for colour in PALETTE[:-1]
    )

    log = made.run / "log.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*(line for line in lines if '"train"' in line), lines[-1]]))  # one evaluation is no curve
    assert "IoU by class" not in report(made).text("classes")


def test_of_many_classes_the_worst_are_drawn(made) -> None:
    iou = {f"class {i}": i / 100 for i in range(60)}
    records = [{"kind": "val", "iter": i, "miou": 0.3, "iou": {**iou, "class 0": None}} for i in (100, 200)]
    (made.run / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    page = report(made)
    assert "2 evaluations during training, the 20 worst of 59 classes" in page.text("classes")
    assert len([each for each in page.tags["path"] if each["class"] == "coloured"]) == 20


def test_classes_are_sorted_with_colour_and_number(made) -> None:
    page = report(made)
    text = page.text("classes")
    order = ["sky 0.964", "road 0.951", "building 0.912", "tree 0.887", "car 0.861", "pole 0.547", "lane mark absent"]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert text.startswith("Scores by class Intersection over union on 120 images, single scale.")
    assert "mIoU 0.814 Pixel accuracy 0.951 Kappa 0.936 Dice 0.889" in text
    styles = [str(each.get("style")) for each in page.tags["span"]]
    assert "background:#4682b4" in styles and "width:96.4%" in styles
    assert sum(style.startswith("width") for style in styles) == len(made.class_names) - 1  # no bar for the absent one


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (
            {"eval": {"flip": True, "flip_vertical": True, "scales": [0.75, 1.0]}},
            "scales 0.75, 1, flipped, flipped vertically.",
        ),
        (
            {"eval": {"flip": False, "scales": [1.0], "crop_size": [256, 192], "stride": [192, 128]}},
            "single scale, windows of 256×192 pixels every 192×128.",
        ),
        ({"backend": "dygraph"}, "single scale, the checkpoint."),
        ({"backend": "lite", "bundle_sha256": SHA}, "single scale, the exported file on lite."),
    ],
)
def test_how_scores_were_made(made, scores: dict[str, Any], said: str) -> None:
    change(made.run / "val.json", **scores)
    page = report(made)
    assert f"on 120 images, {said}" in page.text("classes")
    assert ("120 images, the exported file on lite" in page.text("headline")) == ("exported file" in said)


def test_samples(made) -> None:
    page = report(made)
    assert len(page.tags["img"]) == 6 * 4
    assert all(each["alt"] and str(each["src"]).startswith("data:image/") for each in page.tags["img"])
    text = page.text("samples")
    assert "6 of 8 saved validation images" in text
    assert "right wrong ignored" in text
    assert "sky building road car pole no label" in text
    assert len(re.findall(r"Disagreement \d+\.\d %", text)) == 6


def test_tables(made) -> None:
    page = report(made)
    assert page.rows["parity"][1:] == [
        ["dynamic → paddle", "passed", "100 %", "100 %", "0", "not measured", "0.999", "–", "4", "bundle"],
        [
            "dynamic → onnxruntime",
            "passed",
            "99.9987 %",
            "99.87 %",
            "3.1e-05",
            "not measured",
            "0.999",
            "–",
            "4",
            "bundle",
        ],
    ]
    assert ["model.onnx", "6.200", "2a1b2c3d4e5f", "bundle"] in page.rows["files"]
    cpu, end = "Example CPU @ 2.50GHz", ["3", "bundle"]
    assert page.rows["latency"][1:] == [
        ["onnxruntime", "23.5", "2", "25.5", cpu, "480×360", "29.9 at 1280×720", "123", "20.0", "40.0", *end],
        ["onnxruntime", "38.4", "1", "39.7", cpu, "480×360", "44.4 at 1280×720", "123", "20.0", "55.0", *end],
        ["paddle", "61.3", "1", "65.1", cpu, "480×360", "not measured", "123", "60.0", "410.0", *end],
    ]


def test_parity_that_was_only_measured(made) -> None:
    deploy = yaml.safe_load((made.bundle / "deploy.yaml").read_text())
    row = {**deploy["Bundle"]["parity"][0], "stage": "predict->paddle", "label_agreement": 0.98}
    row.update(max_abs_diff=None, tolerance=None, passed=None, miou_change=-0.00123)
    deploy["Bundle"]["parity"].append(row)
    (made.bundle / "deploy.yaml").write_text(yaml.safe_dump(deploy))
    page = report(made)
    assert page.rows["parity"][3] == [
        *("predict → paddle", "no limit", "98.00 %", "100 %", "labels only", "labels only", "none", "-0.0012"),
        *("4", "bundle"),
    ]
    assert "Parity failed" not in page.text("")


def test_machine_config_and_commands(made) -> None:
    page = report(made)
    machine = page.text("machine")
    assert machine.count("Example CPU @ 2.50GHz") == 1  # training and latency: the same machine
    assert "Training, latency" in machine and "paddlepaddle 3.3.1" in machine and "0123456789ab" in machine
    text = page.text("repeat")
    assert "mobileseg train --config quickstart.yml --save_dir run" in text
    assert "mobileseg benchmark --bundle bundle" in text
    out = made.run.parent / "report.html"
    line = f"mobileseg report {made.records} --run {made.run} --bundle {made.bundle} --output {out}"
    assert line in text
    assert "export (not recorded; its usual form)" in text
    assert "type: PPMobileSeg" in text
    assert len(page.tags["details"]) == 1


def test_page_asks_the_network_for_nothing(made) -> None:
    page = report(made)
    text = (made.run.parent / "report.html").read_text(encoding="utf-8")
    assert "script" not in page.tags and "link" not in page.tags
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "url(" not in text and "@import" not in text
    assert any(each.get("content", "").startswith("default-src 'none'") for each in page.tags["meta"])


def test_page_is_small(made_at_full_size) -> None:
    made = made_at_full_size
    out = made.run.parent / "report.html"
    path = write_report(made.run, out, [made.bundle], [made.records])
    assert path == out
    assert path.stat().st_size < 4_000_000


def test_names_from_data_are_escaped(made) -> None:
    evil = "<script>alert('x')</script>"
    names = [evil, *made.class_names[1:]]
    change(made.run / "val.json", iou=dict.fromkeys(names, 0.5), dataset=evil, command=evil)
    change(made.run / "best_model" / "checkpoint.json", class_names=names, network=evil)
    change(made.run / "environment.json", cpu=evil)
    (made.run / "config.yml").write_text(f"# {evil}\n")
    deploy = yaml.safe_load((made.bundle / "deploy.yaml").read_text())
    deploy["Bundle"]["parity"][0]["stage"] = evil
    (made.bundle / "deploy.yaml").write_text(yaml.safe_dump(deploy))
    add_record(made, device={"name": evil, "cpu": evil}, command=evil)
    add_record(made, status="invalid", validity={"valid": False, "reasons": [evil]})
    page = report(made)
    assert page.text("latency").count(evil) == 2
    assert "script" not in page.tags
    assert evil in page.text("classes") and evil in page.text("machine") and evil in page.text("repeat")
    assert any(evil in str(each["alt"]) for each in page.tags["img"])


def test_what_is_missing_is_said_with_the_command_that_makes_it(made) -> None:
    for name in ("val.json", "config.yml", "environment.json", "best_model/checkpoint.json"):
        (made.run / name).unlink()
    for path in (made.run / "val_samples").iterdir():
        path.unlink()
    page = report(made, bundle_dirs=[], records=[])
    headline = page.text("headline")
    assert "mIoU 0.812 during training, iteration 1200" in headline
    for name, command in [
        ("Parameters", "train"),
        ("MACs", "export"),
        ("Size on disk", "export"),
        ("latency", "benchmark"),
    ]:
        assert f"{name} not measured measured by mobileseg {command}" in headline
    assert "Saved predictions are not there." in page.text("samples")
    assert f"mobileseg val --model_path {made.run}/best_model --save_dir {made.run}" in page.text("samples")
    assert "Parity is not measured." in page.text("parity") and "mobileseg export --model_path" in page.text("parity")
    assert "An exported bundle is not there." in page.text("files")
    assert "Latency is not measured" in page.text("latency") and f"--output {made.records}" in page.text("latency")
    assert "Machine and versions are not there." in page.text("machine")
    assert "The configuration is not there." in page.text("repeat")


def test_an_evaluation_alone_gives_a_page(made) -> None:
    (made.run / "log.jsonl").unlink()
    page = report(made, bundle_dirs=[], records=[])
    assert "The training log is not there." in page.text("training")
    assert "mIoU 0.814" in page.text("headline")
    change(made.run / "val.json", miou=None, iou={}, kappa=None)
    page = report(made, bundle_dirs=[], records=[])
    assert "mIoU not measured" in page.text("headline")
    assert "Scores by class are not measured." in page.text("classes")


def test_losses_that_are_not_finite_are_left_out_and_counted(made) -> None:
    with open(made.run / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "iter": 1205, "loss": NaN, "lr": 0.0}\n')
    assert "1 without a finite number left out" in report(made).text("training")


def test_parts_that_do_not_belong_together_are_noticed(made) -> None:
    assert "another checkpoint" not in report(made).text("")
    deploy = yaml.safe_load((made.bundle / "deploy.yaml").read_text())
    deploy["Bundle"]["source_checkpoint_sha256"] = "0" * 64
    deploy["Bundle"]["parity"][1]["passed"] = False
    (made.bundle / "deploy.yaml").write_text(yaml.safe_dump(deploy))
    (made.bundle / "golden.npz").unlink()
    (made.bundle / "model.onnx").write_bytes(b"short")
    page = report(made)
    text = page.text("")
    assert "The bundle bundle was exported from another checkpoint than the scores are of." in text
    assert "Parity failed: dynamic → onnxruntime of bundle." in text
    assert "bundle/golden.npz: not there." in text
    assert "bundle/model.onnx: size differs from the export." in text
    assert page.rows["parity"][2][1] == "failed"
    change(made.run / "val.json", checkpoint_sha256="1" * 64)
    assert "of another checkpoint than this run's best_model" in report(made).text("")


def test_errors_leave_an_existing_page_alone(made) -> None:
    out = made.run.parent / "report.html"
    out.write_text("old")
    with pytest.raises(FileNotFoundError, match="no run folder"):
        write_report(made.run / "none", out)
    with pytest.raises(FileNotFoundError, match="is no bundle"):
        write_report(made.run, out, [made.run])
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        write_report(made.run, out, [], [made.run / "none.json"])
    change(made.run / "best_model" / "checkpoint.json", palette=[[0, 0, 0]])
    with pytest.raises(ValueError, match="palette"):
        write_report(made.run, out)
    assert out.read_text() == "old"
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_named(made) -> None:
    blocked = made.run.parent / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match="cannot write to"):
        write_report(made.run, blocked / "report.html")
