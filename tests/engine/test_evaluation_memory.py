"""The memory of the whole process that evaluates or predicts, measured from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from paddle_mobileseg import networks

SIDE, CLASSES = 2048, 150
LIMIT = 2_500_000_000
AUGMENTED = ["--flip_horizontal", "--scales", "0.75", "1.0", "1.25"]
slow = pytest.mark.slow


@pytest.fixture(
    params=[
        "pp_mobileseg_base",
        pytest.param("topformer_base", marks=slow),
        pytest.param("pp_liteseg_stdc2", marks=slow),
    ]
)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """--config and --model_path of a network for 150 classes, with one large image to evaluate on."""
    network = networks.get(request.param)
    built = network.build(CLASSES)
    paddle.save(built.state_dict(), str(tmp_path / "model.pdparams"))
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(tmp_path / "image.png", compress_level=1)
    Image.fromarray(random.integers(0, CLASSES, (SIDE, SIDE), np.uint8)).save(tmp_path / "label.png", compress_level=1)
    (tmp_path / "val.txt").write_text("image.png label.png\n")
    data = {"type": "Dataset", "dataset_root": str(tmp_path), "num_classes": CLASSES}
    crop = {"type": "RandomPaddingCrop", "crop_size": [64, 64]}
    config = {
        "batch_size": 1,
        "iters": 1,
        "train_dataset": {
            **data,
            "mode": "train",
            "train_path": "val.txt",
            "transforms": [crop, {"type": "Normalize"}],
        },
        "val_dataset": {**data, "mode": "val", "transforms": [{"type": "Normalize"}]},
        "model": {**network.model, "num_classes": CLASSES},
        "optimizer": {"type": "Momentum", "momentum": 0.9},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1] * built.num_train_logits},
    }
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    return ["--config", str(tmp_path / "config.yml"), "--model_path", str(tmp_path / "model.pdparams")]


def peak_bytes(*words: str) -> int:
    """Of the command ``mobileseg`` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "paddle_mobileseg.cli", *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0 and ("mIoU" in printed or "predicted 1 of 1" in printed)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("how", [[], pytest.param(["--aug_eval", *AUGMENTED], marks=slow)])
def test_evaluation_of_a_large_image(model: list[str], how: list[str]) -> None:
    assert peak_bytes("val", *model, *how) < LIMIT


@slow
def test_prediction_of_a_large_image(model: list[str], tmp_path: Path) -> None:
    words = [*model, "--image_path", str(tmp_path / "image.png"), "--save_dir", str(tmp_path / "out")]
    assert peak_bytes("predict", *words, "--aug_pred", *AUGMENTED) < LIMIT
