"""Training that is killed with SIGKILL, again and again, ends as if it had not been."""

from __future__ import annotations

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
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import load_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are counted through /proc")

ITERS = 8  # fewer than ten, so that names sort as numbers
CASES: dict[str, dict[str, Any]] = {
    "plain": {"keep_checkpoint_max": 3},
    "average and evaluation": {"ema_decay": 0.9, "do_eval": True, "keep_checkpoint_max": 2},
    "workers": {"num_workers": 2, "keep_checkpoint_max": 2, "save_interval": 2},
}
KILLS = 12  # of each case


@pytest.fixture(scope="module")
def config(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kill") / "config.yml"
    load_config(config_file, iters=ITERS).save(path)
    return path


def killed_training(config: Path, run: Path, options: dict[str, Any], kills: int, seed: int) -> list[dict[str, Any]]:
    """Train into ``run`` with so many kills: a record of each child."""
    words = [config, run, json.dumps({"save_interval": 1, "log_iters": 1, **options}), kills, seed]
    script = Path(__file__).with_name("killed_training.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def records(run: Path) -> list[tuple[int, float, float]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(record["iter"], record["loss"], record["lr"]) for record in lines if record["kind"] == "train"]


def assert_same(undisturbed: Path, run: Path, iters: int = ITERS) -> None:
    """The last checkpoints are equal in every byte, and so are the records of all iterations."""
    first, second = (load_checkpoint(folder / f"iter_{iters}") for folder in (undisturbed, run))
    states = first.training_state(), second.training_state()
    assert states[0].values == states[1].values
    for mine, theirs in ((first.weights, second.weights), (states[0].arrays, states[1].arrays)):
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    sums = [(folder / f"iter_{iters}" / "SHA256SUMS").read_text() for folder in (undisturbed, run)]
    assert sums[0] == sums[1]
    assert records(undisturbed) == records(run)
    assert [iteration for iteration, _, _ in records(run)] == list(range(1, iters + 1))
    assert os.readlink(undisturbed / "best_model") == os.readlink(run / "best_model")
    assert not list(run.glob(".*"))


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[] if name == "average and evaluation" else pytest.mark.slow) for name in CASES]
)
def test_kills_at_random_moments_leave_no_trace(config: Path, tmp_path: Path, case: str) -> None:
    children = killed_training(config, tmp_path / "killed", CASES[case], KILLS, seed=len(case))
    assert sum(child["killed"] for child in children) == KILLS
    for child in children:
        assert all(child["there"].values()), child  # no checkpoint in part is ever to be seen
    killed_training(config, tmp_path / "undisturbed", CASES[case], 0, 0)
    for run in tmp_path.glob("killed*"):
        assert_same(tmp_path / "undisturbed", run)


@pytest.mark.slow
def test_the_command_in_a_loop_until_it_comes_to_the_end(config_file: Path, tmp_path: Path) -> None:
    """As a user would: ``until mobileseg train ... --resume auto; do :; done``, with 30 kills."""
    iters, draw = 150, random.Random(0)
    words = ["--config", config_file, "--iters", iters, "--save_interval", 1, "--log_iters", 1, "--num_workers", 1]
    words += ["--keep_checkpoint_max", 2, "--use_ema", "--resume", "auto"]
    code = "import sys; from paddle_mobileseg.cli import main; sys.exit(main())"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(folder: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, "train", *map(str, words), "--save_dir", str(tmp_path / folder)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    kills = 0
    for number in range(30):
        with start("killed") as process:
            assert process.stderr is not None
            if number % 3:  # not before it trains
                assert any(f"/{iters}: loss" in line for line in iter(process.stderr.readline, "")), number
                time.sleep(draw.uniform(0, 0.6))
            else:
                time.sleep(draw.uniform(0, 4))
            process.kill()
            process.stderr.read()
        kills += process.returncode == -signal.SIGKILL
    for folder in ("killed", "undisturbed"):
        with start(folder) as process:
            assert process.stderr is not None
            messages = process.stderr.read()
        assert process.returncode == 0, messages[-3000:]
    assert kills >= 25
    assert_same(tmp_path / "undisturbed", tmp_path / "killed", iters)
    with start("killed") as process:
        assert process.stderr is not None
        assert "nothing is left to train" in process.stderr.read()
    assert process.returncode == 0
