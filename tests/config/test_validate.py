"""Mistakes in a config: each gives one line with the place, what was got and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.config import Config, check_losses, load_config
from paddle_mobileseg.config.overrides import apply_overrides

Write = Callable[..., Path]


def refuse(data: dict[str, Any], *changes: str) -> str:
    """Apply overrides, expect a ValueError of one line, and give its message."""
    apply_overrides(data, changes)
    with pytest.raises(ValueError) as caught:
        Config.from_dict(data)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # names
        ("modle={}", "modle: unknown key 'modle'; did you mean 'model'? known: batch_size, device, distill_loss,"),
        (
            "model.num_clases=4",
            "model.num_clases: unknown argument of PPMobileSeg: 'num_clases'; did you mean 'num_classes'?",
        ),
        (
            "model.type=PPMobilSeg",
            "model.type: there is no component of kind 'models' called 'PPMobilSeg'; did you mean 'PPMobileSeg'?",
        ),
        ("model.type=MobileSeg_Base", "model.type: there is no component of kind 'models' called 'MobileSeg_Base'"),
        ("model.backbone.type=MobileSeg_Bass", "did you mean 'MobileSeg_Base'?"),
        (
            "model.backbone.inj_typ=AAMSx8",
            "model.backbone.inj_typ: unknown argument of MobileSeg_Tiny: 'inj_typ'; did you mean 'inj_type'?",
        ),
        ("model.backbone=MobileSeg_Tiny", "model.backbone is 'MobileSeg_Tiny'; expected a mapping with `type`"),
        (
            "model.backbone={tipe: MobileSeg_Tiny}",
            "model.backbone must name a component by its `type`; it has only: tipe",
        ),
        ("model={}", "model must name a component by its `type`; it has only: nothing"),
        ("model=null", "model is None; expected a mapping with `type`"),
        ("model.type=5", "model must name a component by its `type`; its `type` is 5"),
        (
            "train_dataset.transforms.0.type=RandomPadingCrop",
            "train_dataset.transforms.0.type: there is no component of kind 'transforms' called 'RandomPadingCrop'; "
            "did you mean 'RandomPaddingCrop'?",
        ),
        (
            "train_dataset.transforms.0.crop_sise=[1, 2]",
            "train_dataset.transforms.0.crop_sise: unknown argument of RandomPaddingCrop: 'crop_sise'; "
            "did you mean 'crop_size'?",
        ),
        (
            "val_dataset.transforms.0=Normalize",
            "val_dataset.transforms.0 is 'Normalize'; expected a mapping with `type`",
        ),
        (
            "val_dataset.transforms.0={type: Resize3D}",
            "val_dataset.transforms.0.type: there is no component of kind 'transforms'",
        ),
        ("val_dataset.transforms=5", "val_dataset.transforms is 5; expected a list of transforms, each a mapping"),
        ("val_dataset.transforms={type: Normalize}", "expected a list of transforms, each a mapping with `type`"),
        ("export.transforms=5", "export.transforms is 5; expected a list of transforms"),
        ("train_dataset.type=Cityscape", "did you mean 'Cityscapes'?"),
        ("train_dataset={type: ADE20K, dataset_root: x}", "train_dataset: ADE20K needs the argument 'transforms'"),
        (
            "loss.types.0.type=CrossEntropy",
            "loss.types.0.type: there is no component of kind 'losses' called 'CrossEntropy'",
        ),
        (
            "loss.types.0.wieght=null",
            "loss.types.0.wieght: unknown argument of CrossEntropyLoss: 'wieght'; did you mean 'weight'?",
        ),
        (
            "optimizer.type=AdmaW",
            "optimizer.type: there is no component of kind 'optimizers' called 'AdmaW'; did you mean 'AdamW'?",
        ),
        ("optimizer.type=[AdamW]", "optimizer must name a component by its `type`; its `type` is ['AdamW']"),
        ("optimizer.momentum=0.9", "optimizer.momentum: unknown argument of AdamW: 'momentum'"),
        (
            "lr_scheduler.type=PolyDecay",
            "lr_scheduler.type is 'PolyDecay'; did you mean 'PolynomialDecay'? expected one of",
        ),
        ("lr_scheduler.powr=1", "lr_scheduler.powr: unknown key 'powr'; did you mean 'power'?"),
        ("test_config.flip_hor=true", "test_config.flip_hor: unknown key 'flip_hor'; did you mean 'flip_horizontal'?"),
        ("train_config.sed=3", "train_config.sed: unknown key 'sed'; did you mean 'seed'?"),
        ("export.transform=[]", "export.transform: unknown key 'transform'; did you mean 'transforms'?"),
        (
            "export.transforms=[{type: Normalise}]",
            "export.transforms.0.type: there is no component of kind 'transforms'",
        ),
        # numbers and switches
        ("batch_size=0", "batch_size is 0; expected a whole number of at least 1"),
        ("batch_size=four", "batch_size is 'four'; expected a whole number of at least 1"),
        ("batch_size=true", "batch_size is True; expected a whole number"),
        ("batch_size=2.5", "batch_size is 2.5; expected a whole number"),
        ("iters=-1", "iters is -1; expected a whole number of at least 1"),
        (
            "lr_scheduler.learning_rate=fast",
            "lr_scheduler.learning_rate is 'fast'; expected a number (without quotes) of at least 0",
        ),
        ("lr_scheduler.learning_rate='0.1'", "lr_scheduler.learning_rate is '0.1'; expected a number (without quotes)"),
        ("lr_scheduler.learning_rate=-0.1", "lr_scheduler.learning_rate is -0.1; expected a number of at least 0"),
        ("lr_scheduler.learning_rate=.nan", "lr_scheduler.learning_rate is nan; expected a number"),
        ("lr_scheduler.warmup_iters=1.5", "lr_scheduler.warmup_iters is 1.5; expected a whole number"),
        ("lr_scheduler.warmup_iters=10", "lr_scheduler: PolynomialDecay needs 'warmup_start_lr' for its warm-up"),
        ("lr_scheduler={type: StepDecay, learning_rate: 0.1}", "lr_scheduler: StepDecay needs 'step_size'"),
        ("optimizer.weight_decay=much", "optimizer.weight_decay is 'much'; expected a number"),
        ("to_static_training=1", "to_static_training is 1; expected true or false"),
        ("test_config.aug_eval=1", "test_config.aug_eval is 1; expected true or false"),
        ("test_config.scales=[1, big]", "test_config.scales.1 is 'big'; expected a number"),
        ("test_config.crop_size=[0, 5]", "test_config.crop_size is 0; expected a whole number of at least 1"),
        ("test_config.crop_size=64", "test_config.crop_size is 64; expected a list"),
        ("test_config=5", "test_config is 5; expected a mapping"),
        ("train_config.num_workers=-1", "train_config.num_workers is -1; expected a whole number of at least 0"),
        ("train_config.use_vdl=maybe", "train_config.use_vdl is 'maybe'; expected true or false"),
        (
            "train_config.ema_decay=1.5",
            "train_config.ema_decay is 1.5; expected a number of at least 0 and at most 0.999999",
        ),
        ("train_dataset.mode=val", "train_dataset.mode is 'val'; expected 'train', or leave it out"),
        ("val_dataset.mode=train", "val_dataset.mode is 'train'; expected 'val', or leave it out"),
        # losses
        ("loss.coef=1", "loss.coef is 1; expected a list of numbers with at least one item"),
        ("loss.coef=[]", "loss.coef is []; expected a list of numbers with at least one item"),
        ("loss.coef=[1, a]", "loss.coef.1 is 'a'; expected a number"),
        ("loss.types=[]", "loss.types is []; expected a list of losses with at least one item"),
        ("loss.types=[{type: DiceLoss}, {type: DiceLoss}]", "loss.types has 2 losses and loss.coef 1 values"),
        (
            "loss.types.0={type: MixedLoss, losses: [{type: DiceLoss}], coef: [1, 2]}",
            "loss.types.0 has 1 losses and 2 coefficients",
        ),
        (
            "loss.types.0={type: MixedLoss, losses: [{type: Dize}], coef: [1]}",
            "loss.types.0.losses.0.type: there is no component",
        ),
        ("loss={coefs: [1]}", "loss.coefs: unknown key 'coefs'; did you mean 'coef'?"),
        # groups and gradient clipping
        (
            "optimizer.custom_cfg=[{name: head, lr_mul: 10}]",
            "optimizer.custom_cfg.0.lr_mul: unknown key 'lr_mul'; did you mean 'lr_mult'?",
        ),
        (
            "optimizer.custom_cfg=[{lr_mult: 10}]",
            "optimizer.custom_cfg.0.name is None; expected a part of the parameters' names",
        ),
        ("optimizer.custom_cfg=[{name: head, lr_mult: x}]", "optimizer.custom_cfg.0.lr_mult is 'x'; expected a number"),
        ("optimizer.custom_cfg=head", "optimizer.custom_cfg is 'head'; expected a list"),
        ("optimizer.custom_cfg=[head]", "optimizer.custom_cfg.0 is 'head'; expected a mapping"),
        (
            "optimizer.grad_clip_cfg={name: ClipNorm}",
            "optimizer.grad_clip_cfg.name is 'ClipNorm'; did you mean 'ClipGradByNorm'?",
        ),
        (
            "optimizer.grad_clip_cfg={name: ClipGradByNorm, norm: 1}",
            "unknown argument of ClipGradByNorm: 'norm'; did you mean 'clip_norm'?",
        ),
        (
            "optimizer.grad_clip_cfg={name: ClipGradByNorm}",
            "optimizer.grad_clip_cfg.clip_norm is None; expected a number",
        ),
        # agreement
        (
            "model.num_classes=5",
            "num_classes must be the same everywhere, but "
            "model: 5, train_dataset (Dataset): 4, val_dataset (Dataset): 4",
        ),
        (
            "val_dataset.num_classes=3",
            "num_classes must be the same everywhere, but train_dataset (Dataset): 4, val_dataset (Dataset): 3",
        ),
        ("model.num_classes=many", "model.num_classes is 'many'; expected a whole number of at least 1"),
        (
            "train_dataset.ignore_index=0",
            "ignore_index must be the same everywhere, but train_dataset (Dataset): 0, val_dataset (Dataset): 255",
        ),
        (
            "loss.types.0.ignore_index=0",
            "ignore_index must be the same everywhere, but the datasets: 255, loss.types.0: 0",
        ),
        ("train_dataset.img_channels=4", "img_channels must be the same everywhere"),
    ],
)
def test_a_mistake_is_named(small: dict[str, Any], change: str, expected: str) -> None:
    assert expected in refuse(small, change)


@pytest.mark.parametrize("key", ["batch_size", "iters", "train_dataset", "optimizer", "lr_scheduler", "loss", "model"])
def test_sections_that_must_be_there(small: dict[str, Any], key: str) -> None:
    del small[key]
    assert refuse(small).startswith(f"the key {key!r} is missing; needed are batch_size, iters,")


def test_the_message_begins_with_the_file(write: Write, small: dict[str, Any]) -> None:
    small["modle"] = small.pop("model")
    path = write(small)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: modle: unknown key 'modle'; did you mean 'model'"):
        load_config(path)


def test_a_leftover_of_the_base_is_explained(published: Path) -> None:
    text = published.read_text().replace("  _inherited_: False\n", "")
    published.write_text(text)
    with pytest.raises(
        ValueError, match=r"optimizer.momentum: unknown argument .* dropped by writing `_inherited_: False`"
    ):
        load_config(published)


def test_published_config_with_another_number_of_classes(published: Path) -> None:
    with pytest.raises(ValueError, match=r"but model: 19, train_dataset \(ADE20K\): 150, val_dataset \(ADE20K\): 150"):
        load_config(published, ["model.num_classes=19"])


def test_image_channels_reach_a_network_that_can_take_them(small: dict[str, Any]) -> None:
    for section in ("train_dataset", "val_dataset"):
        small[section]["img_channels"] = 4
    small["model"] = {"type": "UNet"}
    assert Config.from_dict(small).model == {"type": "UNet", "num_classes": 4, "in_channels": 4}
    small["model"]["in_channels"] = 3
    assert "img_channels of the datasets: 4, model.in_channels: 3" in refuse(small)


def test_losses_are_compared_with_the_logits_of_the_model(small: dict[str, Any]) -> None:
    class Network:
        num_train_logits = 3

    cfg = Config.from_dict(small)
    with pytest.raises(ValueError, match=r"loss.coef has 1 value\(s\), but PPMobileSeg gives 3 logits in training"):
        check_losses(cfg, Network())
    small["loss"]["coef"] = [1, 1, 1]
    check_losses(Config.from_dict(small), Network())
    check_losses(cfg, object())


def test_other_keys_of_paddleseg_files_are_known(small: dict[str, Any]) -> None:
    small.update(
        test_dataset={**small["val_dataset"], "test_path": "test.txt"},
        test_config={
            "is_slide": False,
            "crop_size": [64, 64],
            "stride": [32, 32],
            "aug_eval": True,
            "scales": [0.5, 1],
        },
        export={"transforms": [{"type": "Resize", "target_size": [64, 64]}, {"type": "Normalize"}]},
        to_static_training=True,
        distill_loss=None,
    )
    cfg = Config.from_dict(small)
    assert cfg.data["to_static_training"] is True
    assert cfg.export["transforms"][1] == {"type": "Normalize"}
    assert cfg.test_dataset["test_path"] == "test.txt"
    assert cfg.test_config["scales"] == [0.5, 1]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("test_config", "precision", "fp16"),
        ("", "distill_loss", {"types": [{"type": "KLLoss"}], "coef": [3]}),
    ],
)
def test_what_would_change_the_result_and_is_not_there_yet_is_refused(
    small: dict[str, Any], section: str, key: str, value: Any
) -> None:
    small.update({section: {key: value}} if section else {key: value})
    with pytest.raises(ValueError, match=rf"{key} is .*: not supported yet"):
        Config.from_dict(small)


def test_a_single_scale_becomes_a_list(small: dict[str, Any]) -> None:
    small["test_config"] = {"aug_eval": True, "scales": 1.5}
    assert Config.from_dict(small).test_config["scales"] == [1.5]


def test_train_config_has_no_key_without_effect_and_null_means_the_default(small: dict[str, Any]) -> None:
    small["train_config"] = {"save_interval": None, "ema_decay": None, "use_vdl": None, "seed": 3}
    assert Config.from_dict(small).train_config == {"seed": 3}
    small["train_config"] = {"eval_at_start": True}
    assert "train_config.eval_at_start: unknown key" in refuse(small)


def test_precision_counts_where_it_is_not_fp32(small: dict[str, Any]) -> None:
    for given, kept in (
        ({"precision": "fp32", "amp_level": "O2"}, {}),
        ({"precision": None, "amp_level": "O1"}, {}),
        ({"precision": "bf16"}, {"precision": "bf16"}),
        ({"precision": "fp16", "amp_level": "O2"}, {"precision": "fp16", "amp_level": "O2"}),
    ):
        small["train_config"] = dict(given)
        assert Config.from_dict(small).train_config == kept


def test_how_to_train_is_checked(small: dict[str, Any]) -> None:
    good = {"accumulate": 2, "early_stop": 3, "freeze_backbone": True, "channels_last": False}
    small["train_config"] = dict(good)
    assert Config.from_dict(small).train_config == good
    for key, value, expected in (
        ("accumulate", 0, "expected a whole number of at least 1"),
        ("accumulate", 1.5, "expected a whole number of at least 1"),
        ("early_stop", True, "expected a whole number of at least 1"),
        ("freeze_backbone", "yes", "expected true or false"),
        ("channels_last", 1, "expected true or false"),
    ):
        small["train_config"] = {key: value}
        assert f"train_config.{key} is {value!r}; {expected}" in refuse(small)
