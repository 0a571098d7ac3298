"""Training in two processes on the CPU."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import train_batches
from paddle_mobileseg.engine import load_checkpoint

SCRIPT = """
import hashlib, json, sys
from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions

config, folder = sys.argv[1:]
trainer = Trainer(load_config(config), TrainOptions(folder, save_interval=4, log_iters=1, ema_decay=0.9, do_eval=True))
trainer.run()
weights = b"".join(p.numpy().tobytes() for p in trainer.network.parameters() if not p.stop_gradient)
result = {"weights": hashlib.sha256(weights).hexdigest(), "iteration": trainer.iteration}
with open(f"{folder}/rank{trainer.ranks.number}.json", "w") as file:
    json.dump(result, file)
"""

AGREE = """
import json, pathlib
import paddle
from paddle_mobileseg.engine import parallel

ranks = parallel.join()
seen = []
for wish in (False, True):
    network = paddle.nn.Linear(2, 1, bias_attr=False)
    network(paddle.full([1, 2], ranks.number + 1)).sum().backward()
    stop = parallel.exchange(network, ranks, wish and ranks.number == 1)
    seen.append([stop, network.weight.grad.flatten().tolist()])
parallel.wait_for_all(ranks)
pathlib.Path(__file__).with_name(f"agree{ranks.number}.json").write_text(json.dumps(seen))
"""


@contextlib.contextmanager
def launched(tmp_path: Path, *words: object) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A script in two processes, in a process group of its own; with the file that gets what the launcher prints."""
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(tmp_path / "log")]
    output = tmp_path / "launcher.txt"
    with open(output, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *launch, *map(str, words)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        yield process, output
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_processes_hold_equal_weights_and_the_first_one_writes(config_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    folder = tmp_path / "out"
    with launched(tmp_path, script, config_file, folder) as (launcher, output):
        assert launcher.wait(300) == 0, output.read_text()[-3000:]
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["iteration"] == 4
    assert (folder / "best_model" / "checkpoint.json").is_file()
    assert sum(line.startswith('{"kind": "train"') for line in (folder / "log.jsonl").read_text().splitlines()) == 4


def test_ctrl_c_under_the_launcher_leaves_a_checkpoint(config_file: Path, repository: Path, tmp_path: Path) -> None:
    script, folder = repository / "tools" / "train.py", tmp_path / "out"
    words = ["--iters", "100000", "--log_iters", "1", "--save_dir", folder]
    with launched(tmp_path, script, "--config", config_file, *words) as (launcher, output):
        log = folder / "log.jsonl"
        while not (log.is_file() and log.read_text().count("\n") >= 3):
            assert launcher.poll() is None, output.read_text()[-3000:]
            time.sleep(0.1)
        os.killpg(launcher.pid, signal.SIGINT)  # as a terminal does
        launcher.wait(100)

    (saved,) = folder.glob("iter_*")
    assert load_checkpoint(saved).iteration == int(saved.name[5:]) >= 3
    for rank in (0, 1):
        text = (tmp_path / "log" / f"workerlog.{rank}").read_text()
        assert f"interrupted: stopped after iteration {saved.name[5:]} of 100000" in text
        assert f"--resume_model {saved}" in text


def test_processes_agree_on_gradients_and_on_stopping(tmp_path: Path) -> None:
    script = tmp_path / "agree.py"
    script.write_text(AGREE)
    with launched(tmp_path, script) as (launcher, output):
        assert launcher.wait(300) == 0, output.read_text()[-3000:]
    for rank in (0, 1):
        assert json.loads((tmp_path / f"agree{rank}.json").read_text()) == [[False, [1.5, 1.5]], [True, [1.5, 1.5]]]


def test_shares_are_disjoint_and_make_up_the_whole_batch(config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "train")
    whole = list(train_batches(dataset, 2, 5, seed=3))
    shares = [list(train_batches(dataset, 1, 5, seed=3, rank=rank, ranks=2)) for rank in (0, 1)]

    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch["files"] == first["files"] + second["files"]
        np.testing.assert_array_equal(batch["img"], np.concatenate([first["img"], second["img"]]))
