"""What is built from a config: components, datasets, losses, learning rates, optimizers and their groups."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image

from paddle_mobileseg import registry
from paddle_mobileseg.config import Config, build
from paddle_mobileseg.engine.gradients import clip


class Network(nn.Layer):
    """Parameters whose names are those of groups, all ones."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("stem", "bn_head", "head", "frozen"):
            setattr(self, name, self.create_parameter([2], default_initializer=nn.initializer.Constant(1.0)))
        self.frozen.stop_gradient = True


def one_step(small: dict[str, Any], optimizer: dict[str, Any], learning_rate: float = 0.1) -> dict[str, float]:
    """Values of the parameters, all one, after a step with gradients of one."""
    small["optimizer"] = optimizer
    network = Network()
    cfg = Config.from_dict(small)
    built, clipping = build.optimizer(cfg, network, learning_rate), build.gradient_clip(cfg)
    loss = paddle.add_n([parameter.sum() for parameter in network.parameters()])
    loss.backward()
    if clipping is not None:
        clip(network.parameters(), clipping)
    built.step()
    return {name: float(parameter[0]) for name, parameter in network.named_parameters()}


def rates(small: dict[str, Any], steps: int) -> list[float]:
    scheduler = build.lr_scheduler(Config.from_dict(small))
    values = []
    for _ in range(steps):
        values.append(scheduler.get_lr())
        scheduler.step()
    return values


def test_polynomial_decay_ends_with_the_last_iteration(small: dict[str, Any]) -> None:
    small["iters"] = 4
    assert rates(small, 5) == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.0])


def test_warm_up_is_part_of_the_iterations(small: dict[str, Any]) -> None:
    small["iters"] = 6
    small["lr_scheduler"].update(warmup_iters=2, warmup_start_lr=0.02)
    assert rates(small, 7) == pytest.approx([0.02, 0.06, 0.1, 0.075, 0.05, 0.025, 0.0])


def test_decay_steps_of_the_config_are_kept(small: dict[str, Any]) -> None:
    small["lr_scheduler"]["decay_steps"] = 2
    assert rates(small, 3) == pytest.approx([0.1, 0.05, 0.0])


def test_other_schedulers(small: dict[str, Any]) -> None:
    small["lr_scheduler"] = {"type": "StepDecay", "learning_rate": 1, "step_size": 2, "gamma": 0.1}
    assert rates(small, 4) == pytest.approx([1, 1, 0.1, 0.1])


def test_warm_up_leads_to_the_first_rate_of_a_schedule_by_steps(small: dict[str, Any]) -> None:
    small["lr_scheduler"] = {
        "type": "PiecewiseDecay", "boundaries": [2], "values": [1.0, 0.1], "warmup_iters": 2, "warmup_start_lr": 0,
    }  # fmt: skip
    assert rates(small, 6) == pytest.approx([0, 0.5, 1, 1, 0.1, 0.1])


def test_learning_rates_are_paddlesegs(small: dict[str, Any], tmp_path: Path) -> None:
    from paddleseg.cvlibs import Config as UpstreamConfig
    from paddleseg.cvlibs import SegBuilder

    small["iters"] = 9
    small["lr_scheduler"] = {
        "type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9,
        "warmup_iters": 3, "warmup_start_lr": 1.0e-5,
    }  # fmt: skip
    Config.from_dict(small).save(tmp_path / "config.yml")
    upstream = SegBuilder(UpstreamConfig(str(tmp_path / "config.yml"))).lr_scheduler
    expected = []
    for _ in range(9):
        expected.append(upstream.get_lr())
        upstream.step()
    assert rates(small, 9) == pytest.approx(expected)


@pytest.mark.parametrize(("rate", "start"), [(1e-6, 1e-5), (0.01, 0.01), (0, 0)])
def test_a_warm_up_that_does_not_lead_upwards(small: dict[str, Any], rate: float, start: float) -> None:
    small["lr_scheduler"].update(learning_rate=rate, warmup_iters=2, warmup_start_lr=start)
    with pytest.raises(ValueError, match=rf"warmup_start_lr \({start:g}\) .* is {rate:g}; lower the former"):
        build.lr_scheduler(Config.from_dict(small))


def test_training_that_is_all_warm_up_is_pointed_out(small: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    small["lr_scheduler"].update(warmup_iters=1500, warmup_start_lr=0)
    with caplog.at_level(logging.WARNING, "paddle_mobileseg"):
        build.lr_scheduler(Config.from_dict(small))
    assert "warmup_iters (1500) is not below iters (100)" in caplog.text


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        # A step is rate * (gradient 1 + decay * value 1).
        ({"type": "SGD"}, 0.9),
        ({"type": "sgd", "weight_decay": 1}, 0.8),
        ({"type": "SGD", "momentum": 0.9, "weight_decay": 0.5}, 0.85),
        ({"type": "Momentum", "momentum": 0.9, "use_nesterov": True}, 1 - 0.1 * 1.9),
        # Adam's first step is the rate, whatever the gradient; AdamW's decay is rate * decay on top.
        ({"type": "adam"}, 0.9),
        ({"type": "AdamW", "weight_decay": 0}, 0.9),
        ({"type": "AdamW", "weight_decay": 0.5}, 0.85),
        ({"type": "AdamW"}, 0.899),
    ],
)
def test_one_step_of_each_optimizer(small: dict[str, Any], optimizer: dict[str, Any], expected: float) -> None:
    values = one_step(small, optimizer)
    assert values == pytest.approx({"stem": expected, "bn_head": expected, "head": expected, "frozen": 1.0}, abs=1e-6)


def test_upstream_optimizers_stay_reachable(small: dict[str, Any]) -> None:
    small["optimizer"] = {"type": "AdamWDL", "weight_decay": 0.01}
    built = build.optimizer(Config.from_dict(small), Network(), 0.1)
    assert type(built).__name__ == "AdamWDL"


GROUPS = [{"name": "bn", "weight_decay_mult": 0.0}, {"name": "head", "lr_mult": 2.0, "weight_decay_mult": 0.5}]


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_groups_have_their_own_rate_and_decay_and_the_first_match_counts(small: dict[str, Any], kind: str) -> None:
    values = one_step(small, {"type": kind, "weight_decay": 0.4, "custom_cfg": GROUPS})
    expected = {
        "stem": 1 - 0.1 * (1 + 0.4),
        "bn_head": 1 - 0.1,
        "head": 1 - 0.2 * (1 + 0.2),
        "frozen": 1.0,
    }
    assert values == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_groups_step_like_paddlesegs(small: dict[str, Any], kind: str) -> None:
    network = Network()
    upstream = registry.upstream(kind)(weight_decay=0.4, custom_cfg=GROUPS)(network, 0.1)
    paddle.add_n([parameter.sum() for parameter in network.parameters()]).backward()
    upstream.step()
    expected = {name: float(parameter[0]) for name, parameter in network.named_parameters()}
    assert one_step(small, {"type": kind, "weight_decay": 0.4, "custom_cfg": GROUPS}) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["SGD", "Momentum", "Adam", "AdamW"])
def test_groups_without_members_are_dropped(small: dict[str, Any], kind: str, caplog: pytest.LogCaptureFixture) -> None:
    groups = [{"name": "pos_embed", "weight_decay_mult": 0}, {"name": "e", "lr_mult": 1}]
    with caplog.at_level(logging.INFO, "paddle_mobileseg"):
        values = one_step(
            small, {"type": kind, "custom_cfg": [*groups, {"name": "n", "lr_mult": 1}], "weight_decay": 0}
        )
    assert values["stem"] == pytest.approx(0.9)
    assert "the group 'pos_embed' matches no parameter" in caplog.text


def test_lr_multi_has_no_effect_and_one_line_says_so(small: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "paddle_mobileseg"):
        values = one_step(small, {"type": "SGD", "custom_cfg": [{"name": "head", "lr_multi": 10.0}]})
    assert values == pytest.approx({"stem": 0.9, "bn_head": 0.9, "head": 0.9, "frozen": 1.0})
    assert [record.getMessage() for record in caplog.records] == [
        "optimizer.custom_cfg: `lr_multi` of head is ignored, as in the published trainings (write `lr_mult`)"
    ]


@pytest.mark.parametrize("groups", [[], [{"name": "bn", "weight_decay_mult": 0.0}]])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # 3 trainable parameters of 2 ones each: the norm of all gradients is sqrt(6), of each sqrt(2).
        ({"name": "ClipGradByGlobalNorm", "clip_norm": 1.0}, 1 - 0.1 / 6**0.5),
        ({"name": "ClipGradByGlobalNorm", "clip_norm": 3.0}, 0.9),
        ({"name": "ClipGradByNorm", "clip_norm": 1}, 1 - 0.1 / 2**0.5),
        ({"name": "ClipGradByValue", "max": 0.5}, 0.95),
    ],
)
def test_gradients_are_clipped_whatever_the_groups(
    small: dict[str, Any], settings: dict[str, Any], expected: float, groups: list[dict[str, Any]]
) -> None:
    values = one_step(small, {"type": "SGD", "grad_clip_cfg": settings, "custom_cfg": groups})
    trained = [values[name] for name in ("stem", "bn_head", "head")]
    assert trained == pytest.approx([expected] * 3)
    assert values["frozen"] == 1.0


def test_a_model_without_trainable_parameters_is_refused(small: dict[str, Any]) -> None:
    network = nn.Linear(2, 2)
    for parameter in network.parameters():
        parameter.stop_gradient = True
    with pytest.raises(ValueError, match="Linear has no trainable parameter"):
        build.optimizer(Config.from_dict(small), network, 0.1)


def test_losses_come_with_their_coefficients(small: dict[str, Any]) -> None:
    mixed = {
        "type": "MixedLoss",
        "losses": [{"type": "CrossEntropyLoss"}, {"type": "LovaszSoftmaxLoss"}],
        "coef": [0.8, 0.2],
    }
    small["loss"] = {"types": [mixed, {"type": "CrossEntropyLoss"}], "coef": [1, 0.4]}
    (first, mixed_loss), (second, plain_loss) = build.losses(Config.from_dict(small))
    assert (first, second) == (1, 0.4)
    assert [type(loss).__name__ for loss in (mixed_loss, plain_loss)] == ["MixedLoss", "CrossEntropyLoss"]
    assert [type(loss).__name__ for loss in mixed_loss.losses] == ["CrossEntropyLoss", "LovaszSoftmaxLoss"]
    assert mixed_loss.coef == [0.8, 0.2]
    assert plain_loss.ignore_index == 255


def test_a_repeated_loss_is_built_for_every_coefficient(small: dict[str, Any]) -> None:
    small["loss"]["coef"] = [1, 0.5]
    (_, one), (_, other) = build.losses(Config.from_dict(small))
    assert one is not other


def test_the_model_has_the_datasets_classes(small: dict[str, Any]) -> None:
    network = build.model(Config.from_dict(small))
    assert type(network) is registry.find("PPMobileSeg", "models")
    network.eval()
    assert network(paddle.zeros([1, 3, 64, 64]))[0].shape == [1, 4, 64, 64]


def test_datasets_are_in_the_mode_of_their_section(small: dict[str, Any], tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40, 3), 7, np.uint8)).save(tmp_path / "image.png")
    Image.fromarray(np.full((40, 40), 3, np.uint8)).save(tmp_path / "label.png")
    for name, section in (("train.txt", "train_dataset"), ("val.txt", "val_dataset")):
        (tmp_path / name).write_text("image.png label.png\n")
        small[section]["dataset_root"] = str(tmp_path)
    small["train_dataset"]["train_path"] = "train.txt"
    cfg = Config.from_dict(small)
    train, val = build.dataset(cfg, "train"), build.dataset(cfg, "val")
    assert (train.mode, val.mode, len(train), len(val)) == ("train", "val", 1, 1)
    assert train.num_classes == 4
    assert "mode" not in cfg.train_dataset


def test_a_missing_data_folder_is_named(small: dict[str, Any], tmp_path: Path) -> None:
    small["train_dataset"]["dataset_root"] = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build.dataset(Config.from_dict(small), "train")


@pytest.mark.parametrize("kind", ["PascalVOC", "OpticDiscSeg"])
def test_paddlesegs_data_sets_download_nothing(
    small: dict[str, Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = registry.find(kind, "datasets")
    monkeypatch.setattr(
        f"{cls.__module__}.download_file_and_uncompress", lambda *_, **__: pytest.fail("a download was started")
    )
    small["train_dataset"] = {"type": kind, "dataset_root": str(tmp_path / "nowhere"), "transforms": []}
    small["val_dataset"] = {"type": kind, "transforms": []}
    cfg = Config.from_dict(small)

    with pytest.raises(FileNotFoundError, match=r"train_dataset\.dataset_root \(.*nowhere\) is no folder; nothing is"):
        build.dataset(cfg, "train")
    with pytest.raises(FileNotFoundError, match=r"val_dataset\.dataset_root is not given; nothing is downloaded"):
        build.dataset(cfg, "val")


def test_a_section_that_is_not_there_is_asked_for(small: dict[str, Any]) -> None:
    del small["val_dataset"]
    cfg = Config.from_dict(small)
    with pytest.raises(ValueError, match="the config has no val_dataset"):
        build.dataset(cfg, "val")


def test_values_that_a_constructor_refuses_are_named_with_their_place(small: dict[str, Any], tmp_path: Path) -> None:
    small["train_dataset"]["dataset_root"] = str(tmp_path)
    small["train_dataset"]["transforms"][0]["crop_size"] = "big"
    with pytest.raises(ValueError, match=r"^train_dataset\.transforms\.0 \(RandomPaddingCrop\): "):
        build.dataset(Config.from_dict(small), "train")
    small["model"]["upsample"] = "nearest"
    with pytest.raises(ValueError, match=r"^model \(PPMobileSeg\): upsample is 'nearest'"):
        build.model(Config.from_dict(small))


def test_component_alone() -> None:
    normalize = build.component({"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]})
    assert type(normalize) is registry.find("Normalize", "transforms")
    with pytest.raises(ValueError, match=r"^type: there is no component called 'Normalise'; did you mean 'Normalize'"):
        build.component({"type": "Normalise"})
