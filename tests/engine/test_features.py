"""Accumulation, clipping, values that are not finite, freezing, fine-tuning, class weights, seeds."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg.config import Config, load_config
from paddle_mobileseg.data.loader import train_batches
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.step import loss_parts, total
from tests.engine.trainings import SGD, assert_same, family_config, train_losses, weights_of
from tests.launched import launched

FAMILIES = ("pp_mobileseg_tiny", "mobileseg_mobilenetv3", "pp_liteseg_stdc1", "topformer_tiny")
LR = "lr_scheduler={type: PolynomialDecay, learning_rate: 0.1, end_lr: 0, power: 1}"


# Accumulation


def fixed_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training use and keep the statistics of batch norm: then a batch's gradient is the mean of its parts'."""
    monkeypatch.setattr("paddle_mobileseg.engine.trainer.training_mode", lambda network, _: network.eval())


def change(cfg: Config, options: TrainOptions) -> dict[str, np.ndarray]:
    """What one iteration does to the parameters."""
    trainer = Trainer(cfg, options)
    before = weights_of(trainer.network)
    next(iter(trainer.steps()))
    return {name: array - before[name] for name, array in weights_of(trainer.network).items()}


def test_accumulated_gradients_are_those_of_the_big_batch(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed_statistics(monkeypatch)
    small, big = (load_config(config_file, overrides=[SGD, LR], batch_size=n) for n in (2, 4))
    one = change(big, TrainOptions(str(tmp_path / "one")))
    two = change(small, TrainOptions(str(tmp_path / "two"), accumulate=2))
    first_alone = change(small, TrainOptions(str(tmp_path / "alone")))

    largest = max(np.abs(array).max() for array in one.values())
    assert max(np.abs(one[name] - two[name]).max() for name in one) < 1e-4 * largest
    assert max(np.abs(one[name] - first_alone[name]).max() for name in one) > 1e-2 * largest


def test_an_iteration_takes_its_batches_in_order_and_counts_once(config_file: Path, tmp_path: Path) -> None:
    cfg = load_config(config_file)
    trainer = Trainer(cfg, TrainOptions(str(tmp_path), accumulate=3, log_iters=1))
    seen: list[list[str]] = []
    backward = trainer._backward
    trainer._backward = lambda batches: (lambda result: (seen.append(result.files), result)[1])(backward(batches))  # type: ignore[method-assign]
    trainer.run()

    expected = [batch["files"] for batch in train_batches(trainer.train_dataset, 2, 12, seed=0)]
    assert seen == [[*expected[i], *expected[i + 1], *expected[i + 2]] for i in range(0, 12, 3)]
    assert trainer.iteration == cfg.iters == len(train_losses(tmp_path))
    assert load_checkpoint(tmp_path / "iter_4").iteration == 4


def test_resuming_between_accumulated_batches(config_file: Path, tmp_path: Path) -> None:
    cfg = load_config(config_file, overrides=["batch_size=1"])  # 6 images: an epoch ends inside an iteration
    whole, again = tmp_path / "whole", tmp_path / "again"
    Trainer(cfg, TrainOptions(str(whole), save_interval=2, accumulate=4)).run()
    Trainer(cfg, TrainOptions(str(again), save_interval=2, accumulate=4, resume_model=str(whole / "iter_2"))).run()
    assert_same(load_checkpoint(whole / "iter_4").weights, load_checkpoint(again / "iter_4").weights)


# Clipping


@pytest.mark.parametrize("groups", ["[]", "[{name: bn, weight_decay_mult: 0.0}, {name: backbone, lr_mult: 1.0}]"])
def test_the_norm_of_the_whole_network_is_clipped_whatever_the_groups(
    config_file: Path, tmp_path: Path, groups: str
) -> None:
    limit = 1e-3
    clip = f"{{name: ClipGradByGlobalNorm, clip_norm: {limit}}}"
    overrides = [f"optimizer={{type: SGD, grad_clip_cfg: {clip}, custom_cfg: {groups}}}", LR]
    trainer = Trainer(load_config(config_file, overrides=overrides), TrainOptions(str(tmp_path), accumulate=2))
    before = {name: each.numpy().astype(np.float64) for name, each in trainer._trained.items()}
    step = next(iter(trainer.steps()))

    moved = sum(((each.numpy() - before[name]) ** 2).sum() for name, each in trainer._trained.items())
    assert step.gradient_norm > 10 * limit  # before clipping
    assert np.sqrt(moved) == pytest.approx(0.1 * limit, rel=1e-2)


# Values that are not finite


def poison(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, at: int, value: float = float("inf")) -> str:
    """Make a gradient not finite in an iteration (from 1), as an overflow does; the parameter's name."""
    name, parameter = next(iter(trainer._trained.items()))
    backward = trainer._backward

    def poisoned(batches: Any) -> Any:
        result = backward(batches)
        if trainer.iteration + 1 == at:
            array = parameter.grad.numpy()
            array.flat[0] = value
            parameter.grad.set_value(array)
        return result

    monkeypatch.setattr(trainer, "_backward", poisoned)
    return name


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_is_found_before_the_step(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path), save_interval=2, accumulate=2))
    name = poison(trainer, monkeypatch, at=3, value=value)
    with pytest.raises(FloatingPointError, match="gradients are not finite at iteration 3; files") as caught:
        trainer.run()
    assert str(caught.value).count(".jpg") == 4
    assert f"1 tensors with such a gradient ({name})" in str(caught.value)
    kept = load_checkpoint(tmp_path / "iter_2").weights
    assert_same({name: each.numpy() for name, each in trainer._trained.items()}, {n: kept[n] for n in trainer._trained})
    assert [path.name for path in tmp_path.glob("iter_*")] == ["iter_2"]


def test_a_loss_that_is_not_finite_names_its_batch_and_the_logits(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path), accumulate=2))
    forward, calls = trainer._forward, []

    def broken(images: paddle.Tensor) -> list[paddle.Tensor]:
        calls.append(images)
        (logits,) = forward(images)
        if len(calls) == 4:
            logits[0, 0, 0, :3] = float("nan")
        return [logits]

    monkeypatch.setattr(trainer, "_forward", broken)
    expected = [batch["files"] for batch in train_batches(trainer.train_dataset, 2, 4, seed=0)]
    with pytest.raises(FloatingPointError) as caught:
        trainer.run()
    assert f"the loss is nan at iteration 2; files of the batch: {', '.join(expected[3])}. " in str(caught.value)
    logits = 2 * 10 * 64 * 64
    assert f"loss.types.0 (CrossEntropyLoss) is nan, and 3 of its {logits} logits are not finite" in str(caught.value)


def test_a_network_that_is_broken_from_the_start_is_refused(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paddle_mobileseg.config import build

    model = build.model

    def broken(*arguments: Any) -> paddle.nn.Layer:
        network = model(*arguments)
        statistic = next(each for name, each in network.state_dict().items() if name.endswith("_variance"))
        statistic.set_value(paddle.full_like(statistic, float("nan")))
        return network

    monkeypatch.setattr(build, "model", broken)
    with pytest.raises(ValueError, match=r"1 tensors of the network are not finite before training \(.*\._variance\)"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path)))


# A frozen backbone


@pytest.mark.parametrize("name", FAMILIES)
def test_a_frozen_backbone_stays_as_it_is(
    config_file: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = family_config(config_file, name, "iters=3", "optimizer.weight_decay=0.5")
    trainer = Trainer(cfg, TrainOptions(str(tmp_path), freeze_backbone=True, ema_decay=0.9, do_eval=True))
    before = weights_of(trainer.network)
    trainer.run()

    for after in (weights_of(trainer.network), load_checkpoint(tmp_path / "iter_3").weights):
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
        assert changed
        assert not [each for each in changed if each.startswith("backbone.")]
    # Whatever is outside the backbone and gets gradients is trained.
    trained = [
        n for n, p in trainer.network.named_parameters() if not n.startswith("backbone.") and not p.stop_gradient
    ]
    assert sorted(trained) == sorted(trainer._trained)
    assert all(parameter.grad is None for parameter in trainer.network.backbone.parameters())
    head = sum(parameter.size for parameter in trainer._trained.values())
    assert f"{head:,} of {trainer.num_parameters:,} parameters are trained" in capsys.readouterr().err
    manifest = json.loads((tmp_path / "iter_3" / "checkpoint.json").read_text())
    assert manifest["num_parameters"] == trainer.num_parameters > head


def test_a_frozen_training_resumes_exactly(config_file: Path, tmp_path: Path) -> None:
    cfg, whole, again = load_config(config_file), tmp_path / "whole", tmp_path / "again"
    Trainer(cfg, TrainOptions(str(whole), save_interval=2, freeze_backbone=True, ema_decay=0.9)).run()
    options = TrainOptions(
        str(again), save_interval=2, freeze_backbone=True, ema_decay=0.9, resume_model=str(whole / "iter_2")
    )
    Trainer(cfg, options).run()
    assert_same(load_checkpoint(whole / "iter_4").weights, load_checkpoint(again / "iter_4").weights)


# Fine-tuning


def with_classes(count: int) -> list[str]:
    """The same images as a data set of another number of classes; those that are not there are absent."""
    return [
        f"model.num_classes={count}",
        *(f"{split}_dataset.{each}" for split in ("train", "val") for each in ("type=Dataset", f"num_classes={count}")),
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_fine_tuning_from_an_own_checkpoint_of_other_classes(
    config_file: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    Trainer(family_config(config_file, name, "iters=1", *with_classes(19)), TrainOptions(str(tmp_path / "19"))).run()
    checkpoint = tmp_path / "19" / "iter_1"
    cfg = family_config(config_file, name, "iters=1", *with_classes(11), f"model.pretrained={checkpoint}")
    with pytest.raises(ValueError, match="tensors of another shape"):
        Trainer(cfg, TrainOptions(str(tmp_path / "strict")))
    with caplog.at_level(logging.INFO, "paddle_mobileseg"):
        trainer = Trainer(cfg, TrainOptions(str(tmp_path / "11"), ignore_head=True))
    own, source = weights_of(trainer.network), load_checkpoint(checkpoint).weights
    differing = {each for each in own if not np.array_equal(own[each], source[each])}
    assert differing == {each for each in own if own[each].shape != source[each].shape} != set()
    assert all(each in caplog.text for each in differing)
    trainer.run()
    assert load_checkpoint(tmp_path / "11" / "iter_1").config.num_classes == 11


def test_a_damaged_checkpoint_is_no_start(config_file: Path, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "iter_4"
    shutil.copytree(trained / "iter_4", copy)
    content = bytearray((copy / "model.pdparams").read_bytes())
    content[-100] ^= 1
    (copy / "model.pdparams").write_bytes(content)
    cfg = load_config(config_file, overrides=[f"model.pretrained={copy}"])
    with pytest.raises(ValueError, match=r"model.pdparams is damaged: its sha256"):
        Trainer(cfg, TrainOptions(str(tmp_path / "run")))


# Losses


def numpy_cross_entropy(logits: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> float:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    counted = labels != 255
    known = np.where(counted, labels, 0)
    each = -np.take_along_axis(log_probability, known[:, None], 1)[:, 0]
    factor = weight[known] * counted
    return float((each * factor).sum() / factor.sum())


def test_class_weights_and_ohem_come_from_the_configuration(config_file: Path, tmp_path: Path) -> None:
    weight = [0.5, 1, 2, 4, 1, 1, 3, 1, 0.1, 1]
    spec = f"{{type: CrossEntropyLoss, weight: {weight}}}"
    trainer = Trainer(load_config(config_file, overrides=[f"loss.types.0={spec}"]), TrainOptions(str(tmp_path / "a")))
    (batch,) = train_batches(trainer.train_dataset, 2, 1, seed=0)
    images, labels = paddle.to_tensor(batch["img"]), paddle.to_tensor(batch["label"])
    trainer.network.eval()
    last = trainer.network.decode_head.conv_seg  # begins with logits near 0 for all classes
    last.bias.set_value(np.linspace(-2, 2, 10, dtype=np.float32))
    logits = trainer.network(images)[0].numpy()
    weighted = numpy_cross_entropy(logits, batch["label"], np.array(weight, np.float64))
    loss = total(loss_parts(trainer.losses, trainer.network(images), labels))
    assert loss.item() == pytest.approx(weighted, rel=1e-5)
    assert weighted != pytest.approx(numpy_cross_entropy(logits, batch["label"], np.ones(10)), rel=1e-3)
    trainer.run()

    mixed = f"{{type: MixedLoss, losses: [{spec}, {{type: OhemCrossEntropyLoss, min_kept: 500}}], coef: [0.5, 0.5]}}"
    Trainer(load_config(config_file, overrides=[f"loss.types.0={mixed}"]), TrainOptions(str(tmp_path / "b"))).run()
    assert np.isfinite(train_losses(tmp_path / "b")).all()


# Seeds


def test_the_same_command_gives_the_same_numbers(config_file: Path, tmp_path: Path) -> None:
    def result(name: str, seed: int, num_workers: int = 0) -> tuple[list[float], dict[str, np.ndarray]]:
        folder = tmp_path / name
        options = TrainOptions(str(folder), log_iters=1, seed=seed, num_workers=num_workers, ema_decay=0.9)
        Trainer(load_config(config_file), options).run()
        return train_losses(folder), load_checkpoint(folder / "iter_4").weights

    one, same, workers, other = result("one", 7), result("same", 7), result("workers", 7, 2), result("other", 8)
    assert one[0] == same[0] == workers[0] != other[0]
    assert_same(one[1], same[1])
    assert_same(one[1], workers[1])
    assert any(not np.array_equal(one[1][name], other[1][name]) for name in one[1])


# The command line


def test_flags_and_keys_reach_the_trainer(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]
) -> None:
    seen: list[tuple[Config, TrainOptions]] = []

    class Record:
        def __init__(self, cfg: Config, options: TrainOptions) -> None:
            seen.append((cfg, options))

        def run(self) -> None: ...

    monkeypatch.setattr("paddle_mobileseg.engine.Trainer", Record)
    words = "--precision bf16 --amp_level O2 --accumulate 3 --to_static --freeze_backbone --early_stop 4 --dry_run"
    assert run("train", "--config", config_file, *words.split(), "--resume", "auto", "--allow_changes")[0] == 0
    settings = ("precision=fp16", "accumulate=2", "channels_last=true", "freeze_backbone=true", "early_stop=1")
    keys = [f"train_config.{each}" for each in settings]
    assert (
        run("train", "--config", config_file, "--resume_model", "x", "--opts", *keys, "to_static_training=false")[0]
        == 0
    )

    (first_cfg, first), (_, second) = seen
    assert first == TrainOptions(
        precision="bf16",
        amp_level="O2",
        accumulate=3,
        to_static=True,
        freeze_backbone=True,
        early_stop=4,
        dry_run=True,
        resume_model="auto",
        allow_changes=True,
        command=first.command,
    )
    assert first_cfg.data["to_static_training"] is True
    assert first_cfg.train_config["accumulate"] == 3
    assert second == TrainOptions(
        precision="fp16",
        accumulate=2,
        channels_last=True,
        freeze_backbone=True,
        early_stop=1,
        resume_model="x",
        command=second.command,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision is 'fp8'; expected one of fp32, fp16, bf16"),
        ({"amp_level": "O3"}, "amp_level is 'O3'; expected one of O1, O2"),
        ({"accumulate": 0}, "accumulate is 0; expected a whole number of at least 1"),
        ({"early_stop": 0}, "early_stop is 0; expected a whole number of at least 1"),
        ({"to_static": True, "channels_last": True}, "to_static and channels_last"),
    ],
)
def test_options_that_are_not_possible(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainOptions(**options)


# In several processes

SCRIPT = """
import sys
import numpy as np
from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, trainer

config, folder, batch_size, accumulate, *overrides = sys.argv[1:]
trainer.training_mode = lambda network, frozen: network.eval()  # fixed statistics
cfg = load_config(config, overrides=overrides, batch_size=int(batch_size))
made = Trainer(cfg, TrainOptions(folder, accumulate=int(accumulate), freeze_backbone=True))
step = next(iter(made.steps()))
weights = {name: each.numpy() for name, each in made.network.state_dict().items()}
np.savez(f"{folder}.{made.ranks.number}.npz", loss=step.loss, norm=step.gradient_norm, **weights)
"""


def test_processes_batches_and_one_big_batch_make_the_same_step(config_file: Path, tmp_path: Path) -> None:
    """With clipping over two groups and a frozen backbone: 2 processes with 2 batches of 1 image, and 1 with 4."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    clip = "{name: ClipGradByGlobalNorm, clip_norm: 0.05}"
    groups = "[{name: bias, weight_decay_mult: 0.0}]"
    overrides = [f"optimizer={{type: SGD, weight_decay: 0.01, grad_clip_cfg: {clip}, custom_cfg: {groups}}}", LR]
    for processes, folder, sizes in ((1, "one", (4, 1)), (2, "two", (1, 2))):
        words = [config_file, tmp_path / folder, *sizes, *overrides]
        with launched(tmp_path / f"job{processes}", script, *words, processes=processes) as job:
            assert job.wait() == 0, job.printed()
    one, first, second = (dict(np.load(tmp_path / name)) for name in ("one.0.npz", "two.0.npz", "two.1.npz"))
    assert_same(first, second)
    assert one["norm"] > 0.06  # so that clipping counts
    for name in one:
        np.testing.assert_allclose(first[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)
    untrained = [name for name in one if name.startswith("backbone.")]
    assert untrained
    start = weights_of(Trainer(load_config(config_file), TrainOptions(str(tmp_path / "start"))).network)
    assert_same({name: start[name] for name in untrained}, {name: first[name] for name in untrained})
