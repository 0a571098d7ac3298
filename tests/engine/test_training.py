"""Training: what it writes, exact continuation, interruption, refusals."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.ema import WeightAverage
from paddle_mobileseg.engine.hooks import Checkpoints, Progress
from paddle_mobileseg.engine.interrupts import TrainingInterruptedError
from paddle_mobileseg.engine.logs import Hook, JsonLines
from paddle_mobileseg.engine.resuming import TrainingCompleteError
from paddle_mobileseg.engine.state import seed_iteration
from paddle_mobileseg.engine.step import loss_parts
from paddle_mobileseg.engine.trainer import Step
from tests.processes import children, wait_until


def test_what_a_training_writes(trained: Path) -> None:
    records = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    records = [record for record in records if record["kind"] in ("train", "val")]
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


def press(number: int, times: int = 1, at: int = 1) -> type[Hook]:
    """A hook that sends a signal to this process after an iteration."""

    class Press(Hook):
        def after_step(self, trainer: Trainer, step: Step) -> None:
            for _ in range(times if step.iteration == at else 0):
                os.kill(os.getpid(), number)

    return Press


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_says_where(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda trainer: [press(number)()])
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(TrainingInterruptedError, match=r"stopped after iteration 1 of 4.*--resume .*iter_1"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path))).run()
    assert load_checkpoint(tmp_path / "iter_1").iteration == 1
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert "stopping after this iteration; press Ctrl-C again to stop at once" in capfd.readouterr().err


def test_sigterm_repeated_as_the_launcher_does_still_leaves_a_checkpoint(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = [press(signal.SIGINT)(), press(signal.SIGTERM, times=3)()]
    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda trainer: hooks)
    with pytest.raises(TrainingInterruptedError, match="stopped after iteration 1 of 4"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path))).run()


@pytest.mark.parametrize(("at", "message"), [(1, "there is no checkpoint"), (3, r"last whole checkpoint is .*iter_2;")])
def test_a_second_ctrl_c_ends_at_once_and_names_the_last_whole_checkpoint(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, message: str
) -> None:
    hooks = [Checkpoints([]), press(signal.SIGINT, times=2, at=at)()]
    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda trainer: hooks)
    with pytest.raises(
        TrainingInterruptedError, match=rf"stopped at once, in or after iteration {at} of 4; .*{message}"
    ):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path), save_interval=2)).run()
    assert [path.name for path in tmp_path.glob("iter_*")] == (["iter_2"] if at == 3 else [])


def test_a_stop_at_a_checkpoint_does_not_write_it_twice(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    save = Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda trainer: (saved.append(trainer.iteration), save(trainer))[1])
    hooks = [Checkpoints([]), press(signal.SIGINT, at=2)()]
    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda trainer: hooks)
    with pytest.raises(TrainingInterruptedError, match=r"after iteration 2 of 4.*iter_2"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path), save_interval=2)).run()
    assert saved == [2]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stop_cuts_an_evaluation_short(
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    num_workers: int,
) -> None:
    hooks = [press(signal.SIGINT, at=2)(), Checkpoints([])]
    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda trainer: hooks)
    options = TrainOptions(str(tmp_path), save_interval=2, do_eval=True, num_workers=num_workers)
    with pytest.raises(TrainingInterruptedError, match=r"after iteration 2 of 4.*iter_2"):
        Trainer(load_config(config_file), options).run()
    assert load_checkpoint(tmp_path / "iter_2").metrics is None
    assert not (tmp_path / "best_model").exists()
    assert "evaluation at iteration 2 left out" in capsys.readouterr().err
    assert not children()


@pytest.mark.parametrize("at", [2, 4])
def test_an_evaluation_cut_short_is_made_when_training_goes_on(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Also where nothing else is left to do, and where it is cut short once more."""
    cfg = load_config(config_file)
    settings: dict[str, Any] = {"save_interval": 2, "do_eval": True, "ema_decay": 0.9, "resume_model": "auto"}
    Trainer(cfg, TrainOptions(str(tmp_path / "whole"), **settings)).run()
    options = TrainOptions(str(tmp_path / "parts"), **settings)

    class Again(Hook):
        def before_steps(self, trainer: Trainer) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    for hook in (press(signal.SIGINT, at=at)(), Again()):
        with monkeypatch.context() as patched:
            patched.setattr("paddle_mobileseg.engine.hooks.default_hooks", lambda _, own=hook: [own, Checkpoints([])])
            with pytest.raises(TrainingInterruptedError, match=rf"after iteration {at} of 4.*iter_{at}"):
                Trainer(cfg, options).run()
        assert load_checkpoint(tmp_path / "parts" / f"iter_{at}").metrics is None
    trainer = Trainer(cfg, options)
    assert trainer.iteration == at
    trainer.run()

    assert trainer.finished
    for name in ("iter_2", "iter_4"):
        one, other = (tmp_path / folder / name / "SHA256SUMS" for folder in ("whole", "parts"))
        assert one.read_text() == other.read_text()
    assert os.readlink(tmp_path / "whole" / "best_model") == os.readlink(tmp_path / "parts" / "best_model")
    with pytest.raises(TrainingCompleteError, match="nothing is left to train"):
        Trainer(cfg, options)


@pytest.mark.parametrize(("presses", "ends"), [(1, "after iteration 2 of 4"), (2, "at once, in or after iteration 2")])
def test_a_signal_while_a_checkpoint_is_written(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, presses: int, ends: str
) -> None:
    """Once: it is finished, and not written again. Twice: nothing is left of it, and the one before stays."""
    save, calls = paddle.save, []

    def pressing(content: object, path: str) -> None:
        calls.append(path)
        save(content, path)
        for _ in range(presses if "iter_2/model.pdparams" in path else 0):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(paddle, "save", pressing)
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path), save_interval=1))
    with pytest.raises(TrainingInterruptedError, match=rf"stopped {ends}.*checkpoint is .*iter_{3 - presses};"):
        trainer.run()
    assert len(calls) == (4 if presses == 1 else 3)
    assert {path.name for path in tmp_path.glob("*iter_*")} == ({"iter_1", "iter_2"} if presses == 1 else {"iter_1"})
    load_checkpoint(tmp_path / f"iter_{3 - presses}").training_state()


def test_a_signal_before_the_first_iteration(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hooks(trainer: Trainer) -> list[Hook]:
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr("paddle_mobileseg.engine.hooks.default_hooks", hooks)
    with pytest.raises(TrainingInterruptedError, match=r"after iteration 1 of 4.*iter_1"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path))).run()
    assert load_checkpoint(tmp_path / "iter_1").iteration == 1


@pytest.mark.skipif(sys.platform != "linux", reason="child processes are counted through /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_command_that_is_stopped(config_file: Path, tmp_path: Path, number: int) -> None:
    words = ["--config", config_file, "--iters", 100000, "--log_iters", 1, "--num_workers", 2, "--save_dir", tmp_path]
    code = "import sys; from paddle_mobileseg.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "train", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert any("iter 2/" in line for line in iter(process.stderr.readline, ""))
        workers = children(process.pid)
        process.send_signal(number)
        messages = process.stderr.read()
    assert len(workers) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        (saved,) = tmp_path.glob("iter_*")
        assert f"interrupted: stopped after iteration {saved.name[5:]} of 100000" in messages
        load_checkpoint(saved).training_state()


@pytest.mark.skipif(sys.platform != "linux", reason="opens a terminal as Linux does")
def test_a_closed_terminal_leaves_a_checkpoint(config_file: Path, tmp_path: Path) -> None:
    words = ["--config", config_file, "--iters", 100000, "--log_iters", 1, "--save_dir", tmp_path / "run"]
    code = (
        "import fcntl, signal, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # these tests may run under nohup
        "from paddle_mobileseg.cli import main; sys.exit(main())"
    )
    master, terminal = os.openpty()
    command = [sys.executable, "-c", code, "train", *map(str, words)]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, start_new_session=True) as process:
        os.close(terminal)
        while not list((tmp_path / "run").glob("log.jsonl")):
            assert process.poll() is None, os.read(master, 10000)
            os.set_blocking(master, False)
            with contextlib.suppress(BlockingIOError):
                os.read(master, 10000)
            time.sleep(0.1)
        os.close(master)
        try:
            assert process.wait(120) == 130
        finally:
            process.kill()
    (saved,) = (tmp_path / "run").glob("iter_*")
    load_checkpoint(saved).training_state()


def test_speed_and_time_left_are_of_the_steps_alone(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("paddle_mobileseg.engine.trainer.time.monotonic", lambda: now)
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path / "run"), log_iters=1))
    for step in trainer.steps():
        assert step.seconds == 0
        now += 1000  # an evaluation
    log = JsonLines(tmp_path / "log.jsonl", 0)
    trainer.iteration = 0
    progress = Progress(trainer, [log])
    for iteration in (1, 2):
        progress.after_step(trainer, Step(iteration, loss=1.0, lr=0.1, seconds=40.0 * iteration))
        now += 1000
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["images_per_s"] for record in records] == [2 / 40, 2 / 80]
    assert "2:00 left" in capsys.readouterr().err  # 2 steps of (40 + 80) / 2 seconds


def test_the_end_calls_a_checkpoint_best_only_after_evaluation(
    trained: Path, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for do_eval, message in ((False, f"; checkpoint: {tmp_path / '0'}/iter_4"), (True, "; best checkpoint: ")):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path / str(int(do_eval))), do_eval=do_eval)).run()
        assert f"trained 4 iterations{message}" in capsys.readouterr().err


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


def test_every_iteration_of_every_process_has_random_numbers_of_its_own() -> None:
    drawn = []
    for iteration, rank in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 1)):
        seed_iteration(7, iteration, rank)
        drawn.append((random.random(), np.random.random(), paddle.rand([1]).item()))
    assert drawn[1] == drawn[4]
    for values in zip(*drawn[:4], strict=True):
        assert len(set(values)) == 4


def test_a_log_with_rubbish_does_not_keep_from_resuming(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    good = b'{"kind": "train", "iter": 2}\n'
    path.write_bytes(good + b'null\n3\n{"iter": null}\n"\xff\xfe"\n{"iter": 3}\n{"iter')
    JsonLines(path, 2).close()
    assert path.read_bytes() == good


def test_a_loss_that_fails_is_named(config_file: Path, tmp_path: Path) -> None:
    cfg = load_config(config_file, overrides=["loss.types.0={type: FocalLoss}"])
    with pytest.raises(ValueError, match=r"the loss FocalLoss failed with \w+: ."):
        Trainer(cfg, TrainOptions(str(tmp_path))).run()


def test_a_loss_cannot_change_the_labels_of_the_next(config_file: Path, tmp_path: Path) -> None:
    trainer = Trainer(
        load_config(config_file, overrides=["loss.types.0={type: DiceLoss}"]), TrainOptions(str(tmp_path))
    )
    labels = paddle.full([1, 64, 64], 255, "int64")
    labels[:, :32] = 1
    before = labels.numpy().copy()
    loss_parts(trainer.losses, trainer.network(paddle.zeros([1, 3, 64, 64])), labels)
    np.testing.assert_array_equal(labels.numpy(), before)


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
