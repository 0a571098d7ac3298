"""PaddleSeg's files of all years: their structures with the names of each time, in small texts of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from paddle_mobileseg.config import Config, build, check_losses, load_config
from paddle_mobileseg.config.overrides import apply_overrides
from paddle_mobileseg.engine.evaluator import eval_settings

RUNTIME = """
global: {data_format: NCHW, device: gpu, num_workers: 0}
train:
  {save_dir: ./output, do_eval: False, resume_model: null, save_interval: 1000, log_iters: 10, keep_checkpoint_max: 5,
   seed: null, precision: fp32, amp_level: O1, repeats: 1}
test:
  {aug_eval: False, scales: 1.0, flip_horizontal: False, flip_vertical: False, is_slide: False, crop_size: null,
   stride: null, auc_roc: False}
"""

CITYSCAPES = """
batch_size: 2
iters: 80000
train_dataset:
  type: Cityscapes
  dataset_root: data/cityscapes
  mode: train
  transforms: [{type: RandomPaddingCrop, crop_size: [1024, 512]}, {type: Normalize}]
val_dataset: {type: Cityscapes, dataset_root: data/cityscapes, mode: val, transforms: [{type: Normalize}]}
optimizer: {type: sgd, momentum: 0.9, weight_decay: 4.0e-5}
lr_scheduler: {type: PolynomialDecay, learning_rate: 0.01, end_lr: 0, power: 0.9}
loss: {types: [{type: CrossEntropyLoss}], coef: [1]}
"""

RECIPE = """
batch_size: 4
optimizer: {weight_decay: 5.0e-4}
lr_scheduler: {warmup_iters: 1000, warmup_start_lr: 1.0e-5, learning_rate: 0.005}
loss:
  types: [{type: OhemCrossEntropyLoss, min_kept: 130000}, {type: OhemCrossEntropyLoss, min_kept: 130000},
          {type: OhemCrossEntropyLoss, min_kept: 130000}]
  coef: [1, 1, 1]
"""

WIDTHS = "arm_out_chs: [32, 64, 128], "
# name: (bases, the test section, the model), from the newest form to the oldest
FILES = {
    "of the develop branch": (
        "['../_base_/cityscapes.yml', '../_base_/runtime.yml']",
        "test: {aug_eval: True, scales: 0.5}",
        f"type: PPLiteSeg, backbone: {{type: STDC1}}, {WIDTHS} seg_head_inter_chs: [32, 64, 64]",
    ),
    "of 2.5 to 2.8": (
        "'../_base_/cityscapes.yml'",
        "test_config: {aug_eval: True, scales: 0.5}",
        f"type: PPLiteSeg, backbone: {{type: STDC1}}, {WIDTHS} seg_head_inter_chs: [32, 64, 64]",
    ),
    "stdc1net": (
        "'../_base_/cityscapes.yml'",
        "test_config: {aug_eval: True, scales: 0.5}",
        f"type: PPLiteSeg, backbone: {{type: STDC1}}, {WIDTHS} seg_head_mid_chs: [32, 64, 64], "
        "arm_type: ARM_Add_SpAttenAdd3, cm_bin_sizes: [1, 2, 4], cm_out_ch: 128, resize_mode: bilinear",
    ),
    "PPSeg": (
        "'../_base_/cityscapes.yml'",
        "test_config: {aug_eval: True, scales: 0.5}",
        f"type: PPSeg, backbone: {{type: STDC1}}, {WIDTHS} seg_head_mid_chs: [32, 64, 64], head_type: PPSegHead, "
        "arm_type: ARM_Add_SpAttenAdd3, cm_bin_sizes: [1, 2, 4], cm_out_ch: 128, resize_mode: bilinear, "
        "backbone_indices: [2, 3, 4], eval_seg_head_id: 0",
    ),
}


def write(folder: Path, name: str, text: str) -> Path:
    for base, content in (("cityscapes", CITYSCAPES), ("runtime", RUNTIME)):
        (folder / "_base_").mkdir(exist_ok=True)
        (folder / "_base_" / f"{base}.yml").write_text(content)
    (folder / "family").mkdir(exist_ok=True)
    (folder / "family" / name).write_text(text)
    return folder / "family" / name


@pytest.mark.parametrize("era", FILES)
def test_pp_liteseg_of_every_year_is_the_same_network(tmp_path: Path, era: str) -> None:
    bases, test, model = FILES[era]
    cfg = load_config(write(tmp_path, "lite.yml", f"_base_: {bases}\n{RECIPE}\n{test}\nmodel: {{{model}}}"))
    network = build.component(cfg.model)
    check_losses(cfg, network)
    newest = "type: PPLiteSeg, backbone: {type: STDC1}, arm_out_chs: [32, 64, 128], seg_head_inter_chs: [32, 64, 64]"
    expected = build.component({**yaml.safe_load(f"{{{newest}}}"), "num_classes": 19})

    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == {
        name: tensor.shape for name, tensor in expected.state_dict().items()
    }
    assert {type(arm) for arm in network.ppseg_head.arm_list} == {type(arm) for arm in expected.ppseg_head.arm_list}
    assert (cfg.batch_size, cfg.iters, cfg.num_classes) == (4, 80_000, 19)
    assert cfg.optimizer == {"type": "Momentum", "momentum": 0.9, "weight_decay": 5e-4}
    assert eval_settings(cfg) == {"scales": [0.5], "flip": False}
    assert load_config(write(tmp_path, "saved.yml", cfg.to_yaml())).data == cfg.data


def test_a_file_over_the_former_one(tmp_path: Path) -> None:
    bases, test, model = FILES["of the develop branch"]
    write(tmp_path, "lite.yml", f"_base_: {bases}\n{RECIPE}\n{test}\nmodel: {{{model}}}")
    text = """
_base_: './lite.yml'
test: {aug_eval: True, scales: 0.75}
model: {_inherited_: False, type: PPLiteSeg, backbone: {type: STDC2}}
"""
    cfg = load_config(write(tmp_path, "second.yml", text))
    assert cfg.model == {"type": "PPLiteSeg", "backbone": {"type": "STDC2"}, "num_classes": 19}
    assert eval_settings(cfg) == {"scales": [0.75], "flip": False}
    assert load_config(tmp_path / "family/second.yml", ["test.scales=1.25"]).test_config["scales"] == [1.25]


@pytest.mark.parametrize("only", [f"cm_bin_sizes: [1, 2, 4], {WIDTHS} cm_out_ch: 128", "arm_out_chs: [32, 48, 64]"])
def test_mobileseg_before_pp_mobileseg_was_called_so(tmp_path: Path, only: str) -> None:
    model = f"type: PPMobileSeg, backbone: {{type: GhostNet_x1_0}}, {only}"
    cfg = load_config(write(tmp_path, "a.yml", f"_base_: '../_base_/cityscapes.yml'\n{RECIPE}\nmodel: {{{model}}}"))
    assert cfg.model["type"] == "MobileSeg"


def test_topformer_with_export_and_without_inherited_optimizer(tmp_path: Path) -> None:
    text = """
_base_: '../_base_/cityscapes.yml'
batch_size: 4
train_dataset: {transforms: [{type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}]}
val_dataset: {transforms: [{type: Resize, target_size: [2048, 512], keep_ratio: True, size_divisor: 32}]}
export: {transforms: [{type: Resize, target_size: [2048, 512], keep_ratio: True, size_divisor: 32}]}
optimizer: {_inherited_: False, type: AdamW, weight_decay: 0.01}
lr_scheduler: {learning_rate: 0.0012, power: 1.0, warmup_iters: 1500, warmup_start_lr: 1.0e-6}
model: {type: TopFormer, head_use_dw: True, backbone: {type: TopTransformer_Tiny, lr_mult: 0.1}}
"""
    cfg = load_config(write(tmp_path, "topformer.yml", text))
    assert cfg.optimizer == {"type": "AdamW", "weight_decay": 0.01}
    assert cfg.export["transforms"] == cfg.val_dataset["transforms"]
    assert cfg.train_dataset["mode"] == "train"


@pytest.fixture
def runtime(small: dict[str, Any]) -> dict[str, Any]:
    """A small config with the three sections of `_base_/runtime.yml`."""
    return {**small, **yaml.safe_load(RUNTIME)}


def load(data: dict[str, Any], tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(data))
    return load_config(path, overrides)


def test_where_the_sections_go(runtime: dict[str, Any], tmp_path: Path) -> None:
    cfg = load(runtime, tmp_path)
    assert cfg.train_config == {
        "save_dir": "./output", "do_eval": False, "save_interval": 1000, "log_iters": 10, "keep_checkpoint_max": 5,
        "num_workers": 0,
    }  # fmt: skip
    assert eval_settings(cfg) == {"scales": [1.0], "flip": False}
    assert (cfg.device, cfg.test_config["num_workers"]) == ("gpu", 0)
    assert {"global", "train", "test"}.isdisjoint(cfg.data)


def test_values_of_the_sections(runtime: dict[str, Any], tmp_path: Path) -> None:
    runtime["global"].update(device="cpu", num_workers=3, save_dir="elsewhere")
    runtime["train"].update(do_eval=True, resume_model="output/iter_5", seed=4, use_vdl=True)
    runtime["test"].update(aug_eval=True, scales=[0.5, 1], flip_horizontal=True)
    del runtime["train"]["save_dir"]
    cfg = load(runtime, tmp_path)
    assert cfg.device == "cpu"
    assert eval_settings(cfg) == {"scales": [0.5, 1], "flip": True}
    assert cfg.test_config["num_workers"] == 3
    for key, value in {
        "save_dir": "elsewhere", "num_workers": 3, "do_eval": True, "resume_model": "output/iter_5", "seed": 4,
        "use_vdl": True,
    }.items():  # fmt: skip
        assert cfg.train_config[key] == value


def test_overrides_by_the_sections_names(runtime: dict[str, Any], small: dict[str, Any], tmp_path: Path) -> None:
    changes = ["global.num_workers=2", "global.device=cpu", "train.do_eval=True", "test.scales=0.75,1.0"]
    for data in (runtime, small):
        cfg = load(data, tmp_path, *changes)
        assert (cfg.device, cfg.train_config["do_eval"], cfg.test_config["scales"]) == ("cpu", True, [0.75, 1.0])
        assert cfg.train_config["num_workers"] == cfg.test_config["num_workers"] == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("global.data_format=NHWC", "global.data_format: only 'NCHW' is supported"),
        ("global.device=npu", "expected one of cpu, gpu"),
        ("global.num_worker=2", "global.num_worker: unknown key 'num_worker'; did you mean 'num_workers'?"),
        (
            "train.precision=fp8",
            "train_config.precision is 'fp8'; did you mean 'fp32'? expected one of fp32, fp16, bf16",
        ),
        ("train.amp_level=O3", "train_config.amp_level is 'O3'; did you mean 'O2'? expected one of O1, O2"),
        ("train.repeats=2", "train_config.repeats is 2: not supported; raise iters instead"),
        ("train.do_evl=True", "train_config.do_evl: unknown key 'do_evl'; did you mean 'do_eval'?"),
        ("train.save_dir=5", "train_config.save_dir is 5; expected the path of a folder"),
        ("train.do_eval=often", "train_config.do_eval is 'often'; expected true or false"),
        ("test.is_slide=True", "test_config.is_slide is True, which needs test_config.crop_size"),
        ("test.scale=0.5", "test_config.scale: unknown key 'scale'; did you mean 'scales'?"),
        ("test_config={}", "test and test_config are two names of one section; keep one of them"),
        ("train_config={}", "train and train_config are two names of one section; keep one of them"),
        ("global=5", "global is 5; expected a mapping"),
    ],
)
def test_what_has_no_meaning_here_is_refused(
    runtime: dict[str, Any], tmp_path: Path, change: str, expected: str
) -> None:
    key, _, value = change.partition("=")
    section, _, name = key.partition(".")
    if name:
        runtime[section][name] = yaml.safe_load(value)
    else:
        runtime[section] = yaml.safe_load(value)
    with pytest.raises(ValueError) as caught:
        load(runtime, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.yml'}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("head_type", "OtherHead"), ("eval_seg_head_id", 1)])
def test_what_ppseg_could_do_otherwise_is_refused(small: dict[str, Any], tmp_path: Path, key: str, value: Any) -> None:
    small["model"] = {"type": "PPSeg", "backbone": {"type": "STDC1"}, key: value}
    with pytest.raises(ValueError, match=f"model.{key}: only .* is supported; leave it out"):
        load(small, tmp_path)


def test_present_names_stay() -> None:
    data: dict[str, Any] = {"batch_size": 1, "optimizer": {}, "test_config": {}}
    apply_overrides(data, ["batch_size=2.5", "optimizer.weight_decay=0.1", "test_config.scales=0.5"])
    assert data == {"batch_size": 2.5, "optimizer": {"weight_decay": 0.1}, "test_config": {"scales": 0.5}}
