"""Several processes train as one does with their batches put together, where batch norm does not look at the batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from tests.launched import launched

# Batch norm with its moving statistics and no random layers, so that an image's result does not depend on the others;
# of every image another share of the labels is ignored, of one all.
SCRIPT = """
import os, sys
import numpy as np
from paddle import nn
from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, trainer as module

config, folder, batch_size = sys.argv[1:]
original = module.train_batches
def partly_ignored(*words, **more):
    for batch in original(*words, **more):
        for label, file in zip(batch["label"], batch["files"]):
            number = int(os.path.splitext(os.path.basename(file))[0])
            label[: number * 64 // 5] = 255
        yield batch
module.train_batches = partly_ignored

options = TrainOptions(folder, log_iters=1)
trainer = Trainer(load_config(config, batch_size=int(batch_size)), options)
for layer in trainer.network.sublayers():
    if isinstance(layer, nn.BatchNorm2D):
        layer._use_global_stats = True
    if type(layer).__name__ in ("Dropout", "Dropout2D", "DropPath"):
        layer.training = False
        layer.forward = lambda x: x
trainer.run()
"""

WEIGHTS = [0.1, 5.0, 1.0, 2.0, 1.0, 0.5, 1.0, 3.0, 1.0, 1.0]
LOSS = {"types": [{"type": "CrossEntropyLoss", "weight": WEIGHTS}], "coef": [0.5]}


def curve(folder: Path) -> list[tuple[float, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["loss"], line["lr"]) for line in lines if line["kind"] == "train"]


def weights(folder: Path) -> dict[str, np.ndarray]:
    import paddle

    return paddle.load(str(folder / "iter_5" / "model.pdparams"), return_numpy=True)


def test_two_processes_train_as_one_with_the_whole_batch(config_file: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(config_file.read_text())
    config["optimizer"] = {"type": "SGD", "weight_decay": 0.001}  # AdamW's first steps are signs: rounding turns them
    config["lr_scheduler"]["learning_rate"] = 0.05
    config.update(iters=5, loss=LOSS)
    path, script = tmp_path / "config.yml", tmp_path / "script.py"
    path.write_text(yaml.safe_dump(config))
    script.write_text(SCRIPT)
    for processes, batch_size in ((1, 4), (2, 2)):
        folder = tmp_path / f"job{processes}"
        with launched(folder, script, path, folder / "out", batch_size, processes=processes) as job:
            assert job.wait() == 0, job.printed()

    one, two = (curve(tmp_path / name / "out") for name in ("job1", "job2"))
    assert len(one) == len(two) == 5
    assert len({value for value, _ in one}) == 5
    np.testing.assert_allclose(two, one, rtol=2e-6)
    first, second = (weights(tmp_path / name / "out") for name in ("job1", "job2"))
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-4, atol=2e-6, err_msg=name)
