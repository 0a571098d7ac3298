"""Training as Paddle's static graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.opening import build_network
from tests.engine.trainings import SGD, assert_same, family_config, train_losses

QUICK = ("mobileseg_mobilenetv3", "topformer_tiny")  # with several losses and with one


def check_static(config_file: Path, tmp_path: Path, name: str, *overrides: str) -> None:
    cfg = family_config(config_file, name, "iters=3", *overrides)
    losses, checkpoints = [], []
    for static in (False, True):
        folder = tmp_path / str(static)
        trainer = Trainer(cfg, TrainOptions(str(folder), log_iters=1, to_static=static, do_eval=True, ema_decay=0.9))
        trainer.run()
        compute = trainer._forward._compute
        programs = 0 if compute is None else len(compute.forward.program_cache)
        assert programs == static  # one, built once
        losses.append(train_losses(folder))
        checkpoints.append(load_checkpoint(folder / "iter_3"))
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert checkpoints[0].weights.keys() == checkpoints[1].weights.keys()
    images = paddle.rand([1, 3, 64, 96])
    outputs = [build_network(checkpoint)(images)[0].numpy() for checkpoint in checkpoints]
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-2 * np.abs(outputs[0]).max()


@pytest.mark.parametrize("name", QUICK)
def test_a_static_graph_gives_the_same_losses_and_a_common_checkpoint(
    config_file: Path, tmp_path: Path, name: str
) -> None:
    check_static(config_file, tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(networks.names()) - set(QUICK)))
def test_a_static_graph_of_every_other_network(config_file: Path, tmp_path: Path, name: str) -> None:
    # Lite-HRNet's gradients differ by rounding, which AdamW with a large rate would blow up.
    calm = [SGD, "lr_scheduler.learning_rate=0.0001"] if name == "mobileseg_litehrnet18" else []
    check_static(config_file, tmp_path, name, *calm)


def test_a_static_training_resumes_exactly(config_file: Path, tmp_path: Path) -> None:
    cfg, whole, again = family_config(config_file, "topformer_tiny"), tmp_path / "whole", tmp_path / "again"
    Trainer(cfg, TrainOptions(str(whole), save_interval=2, to_static=True)).run()
    Trainer(cfg, TrainOptions(str(again), save_interval=2, to_static=True, resume_model=str(whole / "iter_2"))).run()
    assert_same(load_checkpoint(whole / "iter_4").weights, load_checkpoint(again / "iter_4").weights)
