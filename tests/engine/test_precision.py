"""16 bits: the scale of the loss, for which a CPU stands in for the GPU, and what is said where there is none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.precision import LossScaler, Precision, choose_precision, prefer_channels_last
from paddle_mobileseg.engine.step import _Computing
from tests.engine.trainings import assert_same, weights_of


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the path of 16 bits but the arithmetic, which stays float32."""
    monkeypatch.setattr("paddle_mobileseg.engine.precision.on_gpu", lambda: True)
    for name in ("is_float16_supported", "is_bfloat16_supported"):
        monkeypatch.setattr(paddle.amp, name, lambda: True)


def overflow(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, *iterations: int) -> str:
    """Put infinity into a gradient in these iterations (from 1); the parameter's name."""
    name, parameter = next(iter(trainer._trained.items()))
    backward = trainer._backward

    def overflowing(batches: Any) -> Any:
        result = backward(batches)
        if trainer.iteration + 1 in iterations:
            parameter.grad.set_value(np.full(parameter.shape, np.inf, np.float32))
        return result

    monkeypatch.setattr(trainer, "_backward", overflowing)
    return name


def test_the_scale_halves_at_an_overflow_and_doubles_after_patience() -> None:
    scaler = LossScaler(factor=8.0, patience=3)
    seen = []
    for bad in (False, False, True, False, False, False, False, False, False):
        scaler.update(bad)
        seen.append(scaler.factor)
    assert seen == [8, 8, 4, 4, 4, 8, 8, 8, 16]
    assert scaler.scale(paddle.to_tensor(0.5)).item() == 8.0

    scaler.update(False)
    state = json.loads(json.dumps(scaler.state_dict()))  # plain numbers
    other = LossScaler(patience=3)
    other.load_state_dict(state)
    for each in (scaler, other):
        each.update(False)
        each.update(False)
    assert other.factor == scaler.factor == 32

    largest = LossScaler(factor=LossScaler.largest, patience=1)
    largest.update(False)
    assert largest.factor == LossScaler.largest


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
@pytest.mark.parametrize("clip", ["", ", grad_clip_cfg: {name: ClipGradByGlobalNorm, clip_norm: 0.01}"])
def test_the_scale_leaves_no_trace_in_the_weights(config_file: Path, tmp_path: Path, clip: str) -> None:
    """It is a power of two, so that scaling and dividing again changes no bit, and clipping sees what it should."""
    optimizer = f"optimizer={{type: AdamW, custom_cfg: [{{name: bn, weight_decay_mult: 0.0}}]{clip}}}"
    cfg = load_config(config_file, overrides=[optimizer])
    steps = []
    for precision in ("fp32", "fp16", "bf16"):
        trainer = Trainer(cfg, TrainOptions(str(tmp_path / precision), precision=precision, accumulate=2))
        assert (trainer.scaler is not None) == (precision == "fp16")
        steps.append([(step.loss, step.gradient_norm, step.skipped) for step in trainer.steps()])
        trainer.save()
    assert steps[0] == steps[1] == steps[2]
    one, other, third = (load_checkpoint(tmp_path / name / "iter_4").weights for name in ("fp32", "fp16", "bf16"))
    assert_same(one, other)
    assert_same(one, third)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
def test_an_overflow_leaves_the_step_out_and_training_goes_on(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path), precision="fp16"))
    overflow(trainer, monkeypatch, 2)
    parameters, seen = [{name: each.numpy() for name, each in trainer._trained.items()}], []
    for step in trainer.steps():
        parameters.append({name: each.numpy() for name, each in trainer._trained.items()})
        assert trainer.scaler is not None
        seen.append((step.iteration, step.skipped, trainer.scaler.factor, step.lr))
    rate = [0.01 * (1 - i / 4) ** 0.9 for i in range(4)]  # the schedule counts iterations
    assert seen == [
        (1, False, 1024, pytest.approx(rate[0])),
        (2, True, 512, pytest.approx(rate[1])),
        (3, False, 512, pytest.approx(rate[2])),
        (4, False, 512, pytest.approx(rate[3])),
    ]
    assert_same(parameters[1], parameters[2])
    for before, after in ((0, 1), (2, 3), (3, 4)):
        assert any(not np.array_equal(parameters[before][name], parameters[after][name]) for name in parameters[0])


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
def test_the_scale_goes_on_after_resuming(config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, whole, again = load_config(config_file), tmp_path / "whole", tmp_path / "again"
    options = {"save_interval": 2, "precision": "fp16", "ema_decay": 0.9}
    trainer = Trainer(cfg, TrainOptions(str(whole), **options))
    overflow(trainer, monkeypatch, 2, 3)
    trainer.run()
    resumed = Trainer(cfg, TrainOptions(str(again), resume_model=str(whole / "iter_2"), **options))
    assert resumed.scaler is not None and resumed.scaler.factor == 512
    overflow(resumed, monkeypatch, 3)
    resumed.run()
    assert resumed.scaler.state_dict() == trainer.scaler.state_dict() == {"factor": 256.0, "good_steps": 1}  # type: ignore[union-attr]
    assert_same(load_checkpoint(whole / "iter_4").weights, load_checkpoint(again / "iter_4").weights)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
def test_a_gradient_that_no_scale_helps_is_an_error(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(load_config(config_file, iters=20), TrainOptions(str(tmp_path), precision="fp16"))
    name = overflow(trainer, monkeypatch, *range(1, 21))
    before = {name: each.numpy() for name, each in trainer._trained.items()}
    with pytest.raises(FloatingPointError, match=rf"gradients are not finite at iteration 11; .*{name}"):
        trainer.run()  # 10 halvings from 1024
    assert_same(before, {name: each.numpy() for name, each in trainer._trained.items()})


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_what_is_computed_in_16_bits(level: str) -> None:
    """Seen in a traced graph, into which Paddle puts the conversions on a CPU too (of bf16, without batch norm)."""
    network = nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU6(), nn.Softmax(1), nn.Upsample(scale_factor=2), GlobalMean())
    computing = _Computing(network, Precision("bf16", level))
    spec = [paddle.static.InputSpec([1, 3, 8, 8], "float32")]
    program = paddle.jit.to_static(computing, input_spec=spec, full_graph=True).forward.concrete_program.main_program
    operators = [each for each in program.global_block().ops if each.operands()]
    kinds = {each.name().removeprefix("pd_op."): each.operands()[0].source().dtype.name for each in operators}

    assert kinds["conv2d"] == "BFLOAT16"
    assert kinds["softmax"] == kinds["nearest_interp"] == kinds["mean"] == "FLOAT32"
    # The bias is a float32 weight, which does not make the sum float32 at O2.
    assert kinds["add"] == kinds["relu6"] == ("BFLOAT16" if level == "O2" else "FLOAT32")
    assert {parameter.dtype for parameter in network.parameters()} == {paddle.float32}


class GlobalMean(nn.Layer):
    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x.mean([2, 3])


def test_a_cpu_computes_in_float32_and_says_so_once(
    config_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = load_config(config_file)
    weights = []
    for number, options in enumerate(({}, {"precision": "fp16", "amp_level": "O2", "channels_last": True})):
        with caplog.at_level(logging.WARNING, "paddle_mobileseg"):
            trainer = Trainer(cfg, TrainOptions(str(tmp_path / str(number)), **options))
        trainer.run()
        assert (trainer.precision, trainer.scaler) == (Precision(), None)
        weights.append(weights_of(trainer.network))
    assert_same(*weights)
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("precision fp16 has no effect on a CPU: everything is computed in fp32") == 1
    assert sum(text.startswith("channels_last has no effect on a CPU") for text in messages) == 1


def test_a_gpu_without_the_precision_is_named(as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda: False)
    with pytest.raises(ValueError, match="this GPU does not compute in bf16; use --precision fp32"):
        choose_precision(TrainOptions(precision="bf16"))
    assert choose_precision(TrainOptions(precision="fp16", amp_level="O2")) == Precision("fp16", "O2")


def test_channels_last_on_a_gpu_is_paddles_layout_tuning(as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(paddle.incubate.autotune, "set_config", seen.append)
    prefer_channels_last(TrainOptions())
    prefer_channels_last(TrainOptions(channels_last=True))
    assert seen == [{"layout": {"enable": True}}]
