"""Training: what it writes, exact continuation, interruption, refusals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.ema import WeightAverage
from paddle_mobileseg.engine.hooks import Hook
from paddle_mobileseg.engine.trainer import TrainingInterruptedError


def test_what_a_training_writes(trained: Path) -> None:
    records = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [(r["kind"], r["iter"]) for r in records] == [
        ("train", 1),
        ("train", 2),
        ("val", 2),
        ("train", 3),
        ("train", 4),
        ("val", 4),
    ]
    assert records[0]["lr"] == pytest.approx(0.01)
    assert records[1]["lr"] == pytest.approx(0.01 * (3 / 4) ** 0.9)
    assert all(np.isfinite(r["loss"]) for r in records if r["kind"] == "train")
    assert set(records[2]["iou"]) >= {"road", "sky"}
    best = max((r for r in records if r["kind"] == "val"), key=lambda r: r["miou"])
    assert (trained / "best_model").resolve().name == f"iter_{best['iter']}"
    assert load_config(trained / "config.yml").iters == 4
    assert json.loads((trained / "environment.json").read_text())["options"]["ema_decay"] == 0.9
    assert any((trained / "visualdl").iterdir())


def test_a_checkpoint_needs_nothing_else(trained: Path) -> None:
    checkpoint = load_checkpoint(trained / "iter_4" / "model.pdparams")

    assert checkpoint.iteration == 4
    assert checkpoint.config.data == load_config(trained / "config.yml").data
    assert len(checkpoint.class_names) == len(checkpoint.palette) == 10
    assert checkpoint.metrics is not None
    assert 0 <= checkpoint.metrics["miou"] <= 1
    assert len(checkpoint.samples) == 4
    assert all(image.is_file() and label is not None and label.is_file() for image, label in checkpoint.samples)


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_resumed_training_equals_an_undisturbed_one(config_file: Path, tmp_path: Path, ema_decay: float | None) -> None:
    cfg = load_config(config_file)
    whole = TrainOptions(str(tmp_path / "whole"), save_interval=2, ema_decay=ema_decay)
    Trainer(cfg, whole).run()
    again = TrainOptions(
        str(tmp_path / "again"), save_interval=2, ema_decay=ema_decay, resume_model=str(tmp_path / "whole" / "iter_2")
    )
    Trainer(cfg, again).run()

    one, other = (load_checkpoint(tmp_path / name / "iter_4") for name in ("whole", "again"))
    assert one.weights.keys() == other.weights.keys()
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, other.weights[name], err_msg=name)


def test_ctrl_c_leaves_a_checkpoint_and_says_where(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CtrlC(Hook):
        def after_step(self, trainer: Trainer, step: object) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda trainer: [CtrlC()])
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingInterruptedError, match=r"stopped after iteration 1 of 4.*iter_1"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path))).run()
    assert load_checkpoint(tmp_path / "iter_1").iteration == 1
    assert signal.getsignal(signal.SIGINT) is handler


def test_old_checkpoints_go_the_best_stays(config_file: Path, tmp_path: Path) -> None:
    Trainer(load_config(config_file), TrainOptions(str(tmp_path), save_interval=1, keep_checkpoint_max=2)).run()

    assert sorted(path.name for path in tmp_path.glob("iter_*")) == ["iter_3", "iter_4"]
    assert (tmp_path / "best_model").resolve().name == "iter_4"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_loss_that_is_not_finite_names_the_files(config_file: Path, tmp_path: Path) -> None:
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path)))
    trainer.network.decode_head.conv_seg.bias.set_value(paddle.full([10], float("nan")))

    with pytest.raises(FloatingPointError, match=r"iteration 1; files of the batch: .*\.jpg"):
        trainer.run()
    assert not list(tmp_path.glob("iter_*"))


def test_resuming_from_another_network_or_without_ema_is_refused(
    trained: Path, config_file: Path, tmp_path: Path
) -> None:
    checkpoint = str(trained / "iter_4")
    with pytest.raises(ValueError, match="with EMA"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path), resume_model=checkpoint))
    other = load_config(config_file, overrides=["model.backbone.type=MobileSeg_Base"])
    with pytest.raises(ValueError, match="another network"):
        Trainer(other, TrainOptions(str(tmp_path), resume_model=checkpoint, ema_decay=0.9))


def test_damaged_checkpoints_are_refused(trained: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "iter_4"
    shutil.copytree(trained / "iter_4", copy)
    weights = bytearray((copy / "model.pdparams").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "model.pdparams").write_bytes(weights)
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(copy)
    (copy / "checkpoint.json").write_text('{"format": 1, "iter"')
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(copy)
    with pytest.raises(FileNotFoundError, match="is no checkpoint"):
        load_checkpoint(tmp_path)


def test_weight_average() -> None:
    network = paddle.nn.Linear(1, 1)
    network.weight.set_value(paddle.to_tensor([[1.0]]))
    average = WeightAverage(network, 0.5)
    network.weight.set_value(paddle.to_tensor([[4.0]]))
    average.update()  # decay of the first update: min(0.5, 2 / 11)

    with average.applied():
        assert network.weight.item() == pytest.approx(1.0 * 2 / 11 + 4.0 * 9 / 11)
    assert network.weight.item() == 4.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        WeightAverage(network, 1.0)
