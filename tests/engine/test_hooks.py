"""Log, evaluation, checkpoints and VisualDL of a training."""

from __future__ import annotations

import json
import mmap
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.data.palette import colorize
from paddle_mobileseg.data.reading import read_label
from paddle_mobileseg.data.synthetic import write_dataset
from paddle_mobileseg.engine import Trainer, TrainOptions, hooks, load_checkpoint
from paddle_mobileseg.engine.hooks import Checkpoints, Progress, default_hooks, resident_mb
from paddle_mobileseg.engine.interrupts import TrainingInterruptedError
from paddle_mobileseg.engine.logs import LogSink
from paddle_mobileseg.engine.resuming import TrainingCompleteError
from paddle_mobileseg.engine.trainer import Step
from paddle_mobileseg.engine.visualdl import FOLDER, RECORDS
from tests.engine.test_logs import pictures, records, scalars
from tests.launched import launched


def kinds(folder: Path, *wanted: str) -> list[tuple[str, int]]:
    return [(r["kind"], r["iter"]) for r in records(folder / "log.jsonl") if not wanted or r["kind"] in wanted]


def test_the_log_of_a_training(trained: Path) -> None:
    assert kinds(trained) == [
        ("start", 0),
        ("train", 1),
        ("train", 2),
        ("val", 2),
        ("checkpoint", 2),
        ("train", 3),
        ("train", 4),
        ("val", 4),
        ("checkpoint", 4),
        ("stop", 4),
    ]
    log = {(r["kind"], r["iter"]): r for r in records(trained / "log.jsonl")}
    start = log["start", 0]
    assert (start["iters"], start["batch_size"], start["accumulate"], start["ranks"]) == (4, 2, 1, 1)
    assert json.loads((trained / "environment.json").read_text())["run"] == start["run"]
    train = log["train", 2]
    assert train["images_per_s"] == pytest.approx(2 / train["step_s"])
    assert 0 <= train["data_s"] <= train["step_s"]
    assert train["gradient_norm"] > 0
    assert train["losses"] == {"loss.types.0 (CrossEntropyLoss)": pytest.approx(train["loss"])}
    assert 100 < train["memory_mb"] < 100_000
    assert log["val", 4]["images"] == 5
    assert log["val", 4]["miou"] == load_checkpoint(trained / "iter_4").metrics["miou"]  # type: ignore[index]
    best = max((2, 4), key=lambda iteration: log["val", iteration]["miou"])
    assert [log["checkpoint", i]["name"] for i in (2, 4)] == ["iter_2", "iter_4"]
    assert log["checkpoint", 2]["best"] is True
    assert log["checkpoint", 4]["best"] is (best == 4)
    stop = log["stop", 4]
    assert (stop["reason"], stop["best_checkpoint"]) == ("complete", f"iter_{best}")
    assert stop["best_miou"] == log["val", best]["miou"]


def test_visualdl_has_what_the_log_has(trained: Path) -> None:
    log = records(trained / "log.jsonl")
    found = scalars(trained / FOLDER)
    for tag, kind, name in (
        ("Train/loss", "train", "loss"),
        ("Train/lr", "train", "lr"),
        ("Train/images_per_s", "train", "images_per_s"),
        ("Train/batch_cost", "train", "step_s"),
        ("Evaluate/mIoU", "val", "miou"),
        ("Evaluate/Acc", "val", "accuracy"),
        ("Evaluate/kappa", "val", "kappa"),
        ("Evaluate/dice", "val", "dice"),
    ):
        expected = [(r["iter"], np.float32(r[name])) for r in log if r["kind"] == kind]
        assert found[tag] == expected, tag
    evaluations = [r for r in log if r["kind"] == "val"]
    for name in evaluations[0]["iou"]:
        of_class = [(r["iter"], r["iou"][name]) for r in evaluations if r["iou"][name] is not None]
        assert found.get(f"Evaluate/IoU/{name}", []) == [(i, np.float32(value)) for i, value in of_class]
    graph = json.loads((trained / FOLDER / "vdlgraph.log").read_text())
    assert "/PPMobileSeg[model]/FuseHead[decode_head]" in {node["name"] for node in graph["nodes"]}


def test_visualdl_has_sample_predictions(trained: Path) -> None:
    found = pictures(trained / FOLDER)
    assert sorted(found) == [f"Sample/{index}" for index in range(4)]
    checkpoint = load_checkpoint(trained / "iter_4")
    root = Path(checkpoint.config.val_dataset["dataset_root"])
    for index in range(4):
        label = read_label(sorted((root / "labels" / "val").iterdir())[index])
        assert [step for step, _ in found[f"Sample/{index}"]] == [2, 4]
        for _, picture in found[f"Sample/{index}"]:
            height, width = label.shape
            assert picture.shape == (height, 3 * width, 3)
            np.testing.assert_array_equal(picture[:, width : 2 * width], colorize(label, checkpoint.palette))


def options(folder: Path, **more: Any) -> TrainOptions:
    settings: dict[str, Any] = {"save_interval": 2, "log_iters": 1, "use_vdl": True, "do_eval": True, "ema_decay": 0.9}
    return TrainOptions(str(folder), **{**settings, **more})


def test_resumed_logs_have_every_step_once(trained: Path, config_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder, symlinks=True)
    before = {(r["kind"], r["iter"]): r for r in records(folder / "log.jsonl")}
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "iter": 5, "lo')  # a kill
    Trainer(load_config(config_file), options(folder, resume_model=str(folder / "iter_2"))).run()

    log = records(folder / "log.jsonl")
    assert kinds(folder, "train") == [("train", i) for i in (1, 2, 3, 4)]
    assert kinds(folder, "val") == [("val", 2), ("val", 4)]
    assert kinds(folder, "start", "resume") == [("start", 0), ("resume", 2)]
    assert log[:5] == list(before.values())[:5]
    assert log[5]["run"] == log[0]["run"]
    assert log[5]["checkpoint"] == str(folder / "iter_2")
    for record in log:
        if record["kind"] in ("train", "val"):
            same = ("loss", "lr", "gradient_norm", "miou", "iou")
            once = before[record["kind"], record["iter"]]
            assert {k: v for k, v in record.items() if k in same} == {k: v for k, v in once.items() if k in same}
    found, whole = scalars(folder / FOLDER), scalars(trained / FOLDER)
    for tag in ("Train/loss", "Train/lr", "Evaluate/mIoU"):
        assert found[tag] == whole[tag]
    assert [step for step, _ in pictures(folder / FOLDER)["Sample/3"]] == [2, 4]


def test_a_visualdl_folder_of_another_run_is_refused_before_training(
    trained: Path, config_file: Path, tmp_path: Path
) -> None:
    other, fresh = tmp_path / "other", tmp_path / "fresh"
    cfg = load_config(config_file, overrides=["iters=2"])
    Trainer(cfg, options(other, do_eval=False, use_vdl=False, ema_decay=None)).run()
    log = (other / "log.jsonl").read_bytes()
    shutil.copytree(trained / FOLDER, other / FOLDER)
    shutil.copytree(trained / FOLDER, fresh / FOLDER)
    vdl = (trained / FOLDER / RECORDS).read_bytes()

    cfg = load_config(config_file)
    resumed = {"resume_model": str(other / "iter_2"), "ema_decay": None, "allow_changes": True}
    for folder, more in ((other, resumed), (fresh, {})):
        with pytest.raises(FileExistsError, match=r"visualdl has VisualDL records of another run"):
            Trainer(cfg, options(folder, **more)).run()
        assert (folder / FOLDER / RECORDS).read_bytes() == vdl
        assert not (folder / "iter_4").exists()
    assert (other / "log.jsonl").read_bytes() == log
    Trainer(cfg, options(fresh, use_vdl=False)).run()


def test_visualdl_changes_nothing_of_the_training(trained: Path, config_file: Path, tmp_path: Path) -> None:
    Trainer(load_config(config_file), options(tmp_path, use_vdl=False)).run()
    one, other = (load_checkpoint(folder / "iter_4").weights for folder in (trained, tmp_path))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    assert not (tmp_path / FOLDER).exists()


def test_a_graph_that_cannot_be_drawn_does_not_end_the_training(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("not traceable")

    monkeypatch.setattr(hooks, "network_graph", fail)
    cfg = load_config(config_file, overrides=["iters=1"])
    Trainer(cfg, options(tmp_path, do_eval=False)).run()
    assert "VisualDL gets no graph of the network: RuntimeError: not traceable" in capsys.readouterr().err
    assert [step for step, _ in scalars(tmp_path / FOLDER)["Train/loss"]] == [1]


def test_a_training_that_fails_at_once_can_be_started_again(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "network_graph", lambda *_: {})
    cfg = load_config(config_file, overrides=["iters=1"])
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_update", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Trainer(cfg, options(tmp_path)).run()
    assert not (tmp_path / FOLDER).exists()
    Trainer(cfg, options(tmp_path, do_eval=False)).run()
    assert kinds(tmp_path) == [("start", 0), ("train", 1), ("checkpoint", 1), ("stop", 1)]


def scores(monkeypatch: pytest.MonkeyPatch, values: list[float | None]) -> None:
    """Let the evaluations of a training give these mIoUs."""
    given = iter(values)

    def evaluate(*_: Any, **__: Any) -> Any:
        miou = next(given)
        metrics = {"miou": miou, "accuracy": 0.5, "kappa": 0.5, "dice": 0.5, "iou": {"sky": miou}, "images": 1}
        return SimpleNamespace(as_dict=lambda: metrics)

    monkeypatch.setattr(hooks, "evaluate", evaluate)


def plain(folder: Path, **more: Any) -> TrainOptions:
    return options(folder, use_vdl=False, ema_decay=None, save_interval=1, keep_checkpoint_max=99, **more)


@pytest.mark.parametrize(
    ("mious", "patience", "end", "best", "reason"),
    [
        ([0.5, 0.4, 0.5, 0.9], 2, 3, "iter_1", "early_stop"),
        ([0.1, 0.0, 0.2, 0.1, 0.2], 2, 5, "iter_3", "early_stop"),
        ([0.1, 0.0, 0.2, 0.1, 0.3, 0.2], 2, 6, "iter_5", "complete"),
        ([None, 0.3, None, None], 2, 4, "iter_2", "early_stop"),
        ([None, None, 0.9], 2, 2, "iter_2", "early_stop"),
        ([0.0, 0.0], 1, 2, "iter_1", "early_stop"),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.6], None, 6, "iter_1", "complete"),
    ],
)
def test_early_stop(
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mious: list[float | None],
    patience: int | None,
    end: int,
    best: str,
    reason: str,
) -> None:
    scores(monkeypatch, mious)
    cfg = load_config(config_file, overrides=["iters=6"])
    Trainer(cfg, plain(tmp_path, early_stop=patience)).run()
    said = capsys.readouterr().err

    assert kinds(tmp_path, "checkpoint", "stop")[-2:] == [("checkpoint", end), ("stop", end)]
    assert (tmp_path / "best_model").resolve().name == best
    stop = records(tmp_path / "log.jsonl")[-1]
    assert stop["reason"] == reason
    assert (f"training ends at iteration {end} of 6, as --early_stop {patience} asks" in said) == (reason != "complete")
    assert "mIoU -1" not in said
    assert f"trained {end} iterations; best checkpoint: {tmp_path / 'best_model'} ({best})" in said
    assert said.count("has no mIoU, because no pixel of the validation labels counts") == mious[:end].count(None)
    known = [each for each in mious[:end] if each is not None]
    assert stop.get("best_miou") == (max(known) if known else None)
    if reason == "early_stop":
        with pytest.raises(TrainingCompleteError, match="nothing is left to train"):
            Trainer(cfg, plain(tmp_path, early_stop=patience, resume_model="auto"))


def test_early_stop_counts_on_after_resuming(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = load_config(config_file, overrides=["iters=6"])
    scores(monkeypatch, [0.5, 0.4])
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "stopping", property(lambda trainer: trainer.iteration == 2))
        with pytest.raises(TrainingInterruptedError):
            Trainer(cfg, plain(tmp_path, early_stop=2)).run()
    scores(monkeypatch, [0.4])
    Trainer(cfg, plain(tmp_path, early_stop=2, resume_model="auto")).run()
    assert kinds(tmp_path, "val") == [("val", 1), ("val", 2), ("val", 3)]
    assert records(tmp_path / "log.jsonl")[-1]["reason"] == "early_stop"
    assert (tmp_path / "best_model").resolve().name == "iter_1"


def test_early_stop_wants_evaluations(config_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"early_stop .*--do_eval"):
        Trainer(load_config(config_file), plain(tmp_path, do_eval=False, early_stop=2)).run()


@pytest.mark.parametrize("iters", [4, 1])
def test_a_checkpoint_that_cannot_be_written_ends_the_training(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], iters: int
) -> None:
    def full(trainer: Trainer) -> Path:
        raise OSError("no room")

    monkeypatch.setattr(Trainer, "save", full)
    with pytest.raises(OSError, match="no room"):
        Trainer(load_config(config_file, overrides=[f"iters={iters}"]), plain(tmp_path, do_eval=False)).run()
    assert kinds(tmp_path) == [("start", 0), ("train", 1), ("stop", 1)]
    assert records(tmp_path / "log.jsonl")[-1]["reason"] == "error"
    assert "trained" not in capsys.readouterr().err


class Kept(LogSink):
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        self.records.append(record)


def step(iteration: int, **more: Any) -> Step:
    values: dict[str, Any] = {"loss": 1.0, "lr": 0.1, "seconds": 2.0, "data_s": 0.5, "gradient_norm": 1.0}
    return Step(iteration, **{**values, **more})


def test_records_are_means_since_the_last_one(config_file: Path, tmp_path: Path) -> None:
    cfg = load_config(config_file, overrides=["iters=50"])
    trainer = Trainer(cfg, plain(tmp_path, log_iters=3, accumulate=4, do_eval=False))
    trainer.options = TrainOptions(str(tmp_path), save_interval=5, log_iters=3, accumulate=4)
    trainer.scaler = SimpleNamespace(factor=256.0)  # type: ignore[assignment]
    log = Kept()
    progress = Progress(trainer, [log])
    for i in range(1, 7):
        losses = {"a": float(i), "b": 1.0}
        norm, skipped = (np.inf, True) if i == 2 else (1.0, False)
        more = {"losses": losses, "gradient_norm": norm, "skipped": skipped}
        progress.after_step(trainer, step(i, loss=2.0 * i, lr=1.0 / i, seconds=float(i), **more))
    assert [record["iter"] for record in log.records] == [3, 5, 6]
    first = log.records[0]
    assert {k: first[k] for k in ("loss", "lr", "step_s", "data_s", "gradient_norm")} == {
        "loss": 4.0,
        "lr": 1 / 3,
        "step_s": 2.0,
        "data_s": 0.5,
        "gradient_norm": 1.0,
    }
    assert first["images_per_s"] == pytest.approx(3 * 2 * 4 / 6)
    assert first["losses"] == {"a": 2.0, "b": 1.0}
    assert (first["loss_scale"], first["skipped_steps"]) == (256.0, 1)
    assert [record["loss"] for record in log.records] == [4.0, 9.0, 12.0]
    trainer._claim.close()


def test_waiting_for_data_is_said_once(config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = load_config(config_file, overrides=["iters=100"])
    trainer = Trainer(cfg, TrainOptions(str(tmp_path), log_iters=10))
    for data_s, times in ((0.1, 0), (1.0, 1)):
        progress = Progress(trainer, [])
        for i in range(1, 61):
            progress.after_step(trainer, step(i, data_s=2.0 if i <= 10 else data_s))  # the first steps do not count
        said = capsys.readouterr().err
        assert said.count("waiting for data: raise --num_workers (now 0)") == times
        assert said.count("50% of the time") == times
    trainer._claim.close()


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident_mb()
    with mmap.mmap(-1, 200_000_000) as held:  # not from what this process has freed before
        held.write(bytes(len(held)))
        assert before is not None
        assert resident_mb() - before == pytest.approx(200, abs=30)  # type: ignore[operator]


def test_the_hooks_of_other_processes_are_silent(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(load_config(config_file), options(tmp_path))
    trainer.leads = False
    (only,) = default_hooks(trainer)
    assert isinstance(only, Checkpoints)
    trainer.options = plain(tmp_path, do_eval=False)
    trainer.folder = None  # type: ignore[assignment]  # not even looked at
    trainer.iteration = trainer.cfg.iters
    only.after_step(trainer, step(trainer.iteration))
    assert trainer.finished
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "log.jsonl").exists()
    trainer._claim.close()


TWO = """
import json, os, signal, sys
from types import SimpleNamespace
from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, hooks

config, data, folder, what, record = sys.argv[1:]

class Signal(hooks.Hook):
    def after_step(self, trainer, step):
        if what == "interrupt" and trainer.ranks.number == 1 and step.iteration == 2:
            os.kill(os.getpid(), signal.SIGTERM)

def evaluate(*words, ranks, **more):
    scores = {name: 0.5 for name in ("miou", "accuracy", "kappa", "dice")}
    return SimpleNamespace(as_dict=lambda: {**scores, "iou": {}, "images": ranks.count})
if what == "stop":
    hooks.evaluate = evaluate
default = hooks.default_hooks
hooks.default_hooks = lambda trainer: [Signal(), *default(trainer)]
if what == "full":
    def save(trainer):
        raise OSError("no room")
    Trainer.save = save

options = TrainOptions(folder, save_interval=2, log_iters=1, do_eval=True, early_stop=1, use_vdl=what == "stop")
roots = [f"{split}_dataset.dataset_root={data}" for split in ("train", "val")]
trainer = Trainer(load_config(config, overrides=["iters=20", "batch_size=1", *roots]), options)
try:
    trainer.run()
    end = "ended"
except BaseException as error:
    end = f"{type(error).__name__}: {error}"
with open(f"{record}/rank{trainer.ranks.number}.json", "w") as file:
    json.dump([trainer.iteration, trainer.without_gain, end], file)
"""


@pytest.mark.parametrize(
    ("what", "iteration", "ends"),
    [
        ("stop", 4, ("ended", "ended")),
        ("interrupt", 2, ("TrainingInterruptedError: stopped after iteration 2",) * 2),
        ("full", 2, ("OSError: no room", "PeerError: rank 0")),
    ],
)
def test_two_processes_end_together(
    config_file: Path, tmp_path: Path, what: str, iteration: int, ends: tuple[str, str]
) -> None:
    script, folder, data = tmp_path / "script.py", tmp_path / "out", tmp_path / "scenes"
    script.write_text(TWO)
    write_dataset(data, train=2, val=6, size_hw=(72, 96), progress=False)  # the sixth image is the second process's
    with launched(tmp_path, script, config_file, data, folder, what, tmp_path) as launcher:
        launcher.wait()
    found = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0][0] == iteration, launcher.printed()
    for (_, _, said), end in zip(found, ends, strict=True):
        assert said.startswith(end)
    assert sum(kind == "start" for kind, _ in kinds(folder)) == 1
    if what == "stop":
        assert [each[:2] for each in found] == [[4, 1], [4, 1]]
        assert kinds(folder, "val", "checkpoint", "stop") == [
            ("val", 2), ("checkpoint", 2), ("val", 4), ("checkpoint", 4), ("stop", 4),
        ]  # fmt: skip
        assert [r["images"] for r in records(folder / "log.jsonl") if r["kind"] == "val"] == [2, 2]
        assert [step for step, _ in scalars(folder / FOLDER)["Train/loss"]] == [1, 2, 3, 4]
    if what == "interrupt":
        assert kinds(folder, "val", "checkpoint") == [("checkpoint", 2)]
        assert load_checkpoint(folder / "iter_2").metrics is None
        assert records(folder / "log.jsonl")[-1]["reason"] == "interrupted"
