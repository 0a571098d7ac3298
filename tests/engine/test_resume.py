"""Going on from a checkpoint gives what an undisturbed training gives, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.config import Config, load_config
from tests.engine.resumed import assert_same_training, losses, train

ITERS = 5  # an epoch has three batches
# Of each family its smallest network, each with another optimizer and schedule.
FAMILIES: dict[str, tuple[str, list[float], dict[str, Any], dict[str, Any]]] = {
    "PP-MobileSeg": (
        "pp_mobileseg_tiny",
        [1],
        {"type": "AdamW", "weight_decay": 0.01, "custom_cfg": [{"name": "bn", "weight_decay_mult": 0.0}]},
        {"type": "PolynomialDecay", "end_lr": 0, "power": 0.9, "warmup_iters": 3, "warmup_start_lr": 0.001},
    ),
    "MobileSeg": (
        "mobileseg_mobilenetv3",
        [1, 0.4, 0.4],
        {"type": "Momentum", "momentum": 0.9, "weight_decay": 0.0005},
        {"type": "CosineAnnealingDecay", "T_max": 4},
    ),
    "PP-LiteSeg": (
        "pp_liteseg_stdc1",
        [1, 1, 1],
        {"type": "SGD"},
        {"type": "StepDecay", "step_size": 2},
    ),
    "TopFormer": (
        "topformer_tiny",
        [1],
        {"type": "Adam"},
        {"type": "ExponentialDecay", "gamma": 0.7, "warmup_iters": 2, "warmup_start_lr": 0},
    ),
}


def family_config(config_file: Path, family: str) -> Config:
    name, coef, optimizer, schedule = FAMILIES[family]
    data = load_config(config_file).data
    return Config.from_dict(
        {
            **data,
            "iters": ITERS,
            "model": networks.get(name).spec(10),
            "optimizer": optimizer,
            "lr_scheduler": {"learning_rate": 0.01, **schedule},
            "loss": {"types": [{"type": "CrossEntropyLoss"} for _ in coef], "coef": coef},
        }
    )


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupted_training_equals_an_undisturbed_one(
    config_file: Path, tmp_path: Path, family: str, ema_decay: float | None
) -> None:
    """Interrupted within the first epoch, at its end and after it; with and without worker processes."""
    cfg = family_config(config_file, family)
    train(cfg, tmp_path / "whole", ema_decay=ema_decay)
    assert [iteration for iteration, _, _ in losses(tmp_path / "whole")] == list(range(1, ITERS + 1))
    for num_workers, stop in ((0, 1), (2, 3), (0, 4), (2, None)):
        train(cfg, tmp_path / "parts", stop, ema_decay=ema_decay, num_workers=num_workers)
    assert sorted(path.name for path in tmp_path.glob("parts/iter_*")) == ["iter_1", "iter_3", "iter_4", "iter_5"]
    assert_same_training(tmp_path / "whole", tmp_path / "parts", f"iter_{ITERS}")


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "fp16"},
        {"precision": "fp16", "amp_level": "O2", "ema_decay": 0.9},
        {"precision": "bf16", "ema_decay": 0.9},
        {"accumulate": 2},  # five iterations are ten batches: epochs end in the middle of an iteration
        {"freeze_backbone": True},
        {"do_eval": True, "save_interval": 2, "ema_decay": 0.9},
    ],
)
def test_so_does_one_with_other_options(config_file: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """On a CPU all precisions are computed in float32; the state goes the same way."""
    cfg = load_config(config_file, iters=ITERS)
    train(cfg, tmp_path / "whole", **options)
    for stop in (1, 3, None):
        train(cfg, tmp_path / "parts", stop, **options)
    assert_same_training(tmp_path / "whole", tmp_path / "parts", f"iter_{ITERS}")
    if "do_eval" in options:
        assert os.readlink(tmp_path / "whole" / "best_model") == os.readlink(tmp_path / "parts" / "best_model")
