"""Training in two processes on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import train_batches

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


def test_processes_hold_equal_weights_and_the_first_one_writes(config_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    folder = tmp_path / "out"
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(tmp_path / "log")]
    done = subprocess.run(
        [sys.executable, *launch, str(script), str(config_file), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["iteration"] == 4
    assert (folder / "best_model" / "checkpoint.json").is_file()
    assert sum(line.startswith('{"kind": "train"') for line in (folder / "log.jsonl").read_text().splitlines()) == 4


def test_shares_are_disjoint_and_make_up_the_whole_batch(config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "train")
    whole = list(train_batches(dataset, 2, 5, seed=3))
    shares = [list(train_batches(dataset, 1, 5, seed=3, rank=rank, ranks=2)) for rank in (0, 1)]

    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch["files"] == first["files"] + second["files"]
        np.testing.assert_array_equal(batch["img"], np.concatenate([first["img"], second["img"]]))
