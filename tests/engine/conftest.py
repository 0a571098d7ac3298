"""A tiny data set, a configuration that trains on it in a second a step, and a finished short training."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from paddle_mobileseg.config import load_config
from paddle_mobileseg.data.synthetic import write_dataset
from paddle_mobileseg.engine import Trainer, TrainOptions

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
ITERS = 4


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_dataset(folder, train=6, val=5, size_hw=(72, 96), progress=False)
    return folder


@pytest.fixture(scope="session")
def config_file(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = {"type": "SyntheticScenes", "dataset_root": str(scenes)}
    augment = [{"type": "RandomPaddingCrop", "crop_size": [64, 64]}, {"type": "RandomHorizontalFlip"}]
    config = {
        "batch_size": 2,
        "iters": ITERS,
        "train_dataset": {**data, "mode": "train", "transforms": [*augment, NORMALIZE]},
        "val_dataset": {**data, "mode": "val", "transforms": [{"type": "Resize", "target_size": [128, 96]}, NORMALIZE]},
        "model": {"type": "PPMobileSeg", "num_classes": 10, "backbone": {"type": "MobileSeg_Tiny"}},
        "optimizer": {"type": "AdamW", "weight_decay": 0.01, "custom_cfg": [{"name": "bn", "weight_decay_mult": 0.0}]},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
    }
    path = tmp_path_factory.mktemp("config") / "tiny.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def trained(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a training with EMA, evaluation and VisualDL."""
    folder = tmp_path_factory.mktemp("run") / "output"
    options = TrainOptions(str(folder), save_interval=2, log_iters=1, use_vdl=True, do_eval=True, ema_decay=0.9)
    Trainer(load_config(config_file), options).run()
    return folder
