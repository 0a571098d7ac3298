"""The rehearsal of a training: what it says, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions
from paddle_mobileseg.engine.dry_run import dry_run


def everything_in(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_it_says_what_training_needs_and_writes_nothing(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything_in(config_file.parent)
    words = ("--config", config_file, "--dry_run", "--do_eval", "--accumulate", "2", "--use_vdl", "--use_ema")
    status, printed, _ = run("train", *words, "--iters", "100", "--save_interval", "30", "--save_dir", tmp_path / "out")

    assert status == 0
    rows = dict(line.split("  ", 1) for line in printed.splitlines() if "  " in line)
    rows = {name: text.strip() for name, text in rows.items()}
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path / "other")))
    assert rows["network"] == "PPMobileSeg"
    assert rows["parameters"] == f"{trainer.num_parameters:,}, of which all are trained"
    assert re.fullmatch(r"64x64 \(width x height\), 0\.0\d GMACs an image forward", rows["input"])
    assert rows["images an iteration"] == "4 (batch_size 2 x 2 batches)"
    assert rows["training data"] == "6 images, seen 66.7 times"
    assert len(rows["loss"].split(", ")) == 3
    assert re.fullmatch(r"[\d.]+ s an image, about \d+:\d\d for all, 4 times", rows["evaluation"])
    assert re.fullmatch(r"about [\d:]+ for 100 iterations", rows["whole training"])
    assert re.match(r"[\d.]+ [GM]B resident at most", rows["memory"])
    assert printed.splitlines()[-1] == "dry run: nothing has been written"
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert everything_in(config_file.parent) == before


def test_the_disk_is_what_a_checkpoint_takes(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry_run(Trainer(load_config(config_file), TrainOptions(str(tmp_path), dry_run=True, ema_decay=0.9)))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("disk")]
    said = float(line.split()[1])
    trainer = Trainer(load_config(config_file, iters=1), TrainOptions(str(tmp_path), ema_decay=0.9))
    trainer.run()
    files = ("model.pdparams", "training.pdopt")
    written = sum((tmp_path / "iter_1" / name).stat().st_size for name in files) / 1e6
    assert "MB a checkpoint, 7 at most" in line
    assert said == pytest.approx(written, rel=0.1)


def test_results_of_another_training_stay_as_they_are(
    config_file: Path, trained: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    before = everything_in(trained)
    words = ("--config", config_file, "--save_dir", trained, "--dry_run", "--freeze_backbone", "--iters", "5")
    status, printed, _ = run("train", *words)
    assert status == 0
    assert re.search(r"parameters +[\d,]+, of which [\d,]+ are trained", printed)
    words = ("--config", config_file, "--save_dir", trained, "--dry_run", "--iters", "5", "--allow_changes")
    status, printed, error = run(
        "train", *words, "--resume", trained / "iter_4", "--opts", "train_config.ema_decay=0.9"
    )
    assert status == 0, error
    assert "for 1 iterations" in printed
    assert everything_in(trained) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch_size", "7"), "fewer than one batch"),
        (("--opts", "model.pretrained=/nowhere.pdparams"), "no weights file /nowhere.pdparams"),
        (("--opts", "loss.types.0.weight=[1,2]"), "2 class weights for 10 classes"),
    ],
)
def test_it_finds_the_mistakes_that_training_would(
    config_file: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]], words: tuple[str, ...], message: str
) -> None:
    status, _, error = run("train", "--config", config_file, "--dry_run", "--save_dir", tmp_path / "out", *words)
    assert status == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_under_the_launcher_one_process_speaks(config_file: Path, repository: Path, tmp_path: Path) -> None:
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(tmp_path / "log")]
    words = ["--config", str(config_file), "--dry_run", "--do_eval", "--save_dir", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, *launch, str(repository / "tools" / "train.py"), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / "log" / f"workerlog.{rank}").read_text() for rank in (0, 1))
    assert "4 (batch_size 2 x 2 processes)" in first
    assert "dry run" not in second
    assert not (tmp_path / "out").exists()
