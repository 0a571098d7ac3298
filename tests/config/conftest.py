"""Configs as files: PP-MobileSeg Base in PaddleSeg's structure over a base file, and a small one to vary."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ADE20K_BASE = """
batch_size: 4
iters: 80000

train_dataset:
  type: ADE20K
  dataset_root: data/ADEChallengeData2016/
  transforms:
    - {type: ResizeStepScaling, min_scale_factor: 0.5, max_scale_factor: 2.0, scale_step_size: 0.25}
    - {type: RandomPaddingCrop, crop_size: [512, 512]}
    - {type: Normalize}
  mode: train

val_dataset:
  type: ADE20K
  dataset_root: data/ADEChallengeData2016/
  transforms:
    - type: Normalize
  mode: val

optimizer: {type: sgd, momentum: 0.9, weight_decay: 4.0e-5}
lr_scheduler: {type: PolynomialDecay, learning_rate: 0.01, end_lr: 0, power: 0.9}
loss:
  types:
    - type: CrossEntropyLoss
  coef: [1]
"""

# Every feature that the published file uses, with its values, in a layout of our own.
PP_MOBILESEG_BASE = """
_base_: ../_base_/ade20k.yml
batch_size: 16

model:
  type: PPMobileSeg
  num_classes: 150
  upsample: intepolate
  backbone:
    type: MobileSeg_Base
    pretrained: https://bj.bcebos.com/paddleseg/dygraph/ade20k/pp_mobileseg/pretrain/model.pdparams
    inj_type: AAMSx8
    out_feat_chs: [64, 128, 192]

loss:
  coef: [1]
  types:
    - {type: MixedLoss, coef: [0.8, 0.2], losses: [{type: CrossEntropyLoss}, {type: LovaszSoftmaxLoss}]}

optimizer:
  _inherited_: False
  type: AdamW
  weight_decay: 0.01
  custom_cfg:
    - {name: pos_embed, weight_decay_mult: 0.0}
    - {name: head, lr_multi: 10.0}
    - {name: bn, weight_decay_mult: 0.0}

lr_scheduler: {learning_rate: 0.0006, power: 1.0, warmup_iters: 1500, warmup_start_lr: 1.0e-6}

train_dataset:
  transforms:
    - {type: ResizeStepScaling, min_scale_factor: 0.5, max_scale_factor: 2.0, scale_step_size: 0.25}
    - {type: RandomPaddingCrop, crop_size: [512, 512]}
    - {type: RandomHorizontalFlip}
    - {type: RandomDistort, brightness_range: 0.4, contrast_range: 0.4, saturation_range: 0.4}
    - &normalize {type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}

val_dataset:
  transforms:
    - {type: Resize, target_size: [2048, 512], keep_ratio: True, size_divisor: 32}
    - *normalize
"""

SMALL: dict[str, Any] = {
    "batch_size": 2,
    "iters": 100,
    "train_dataset": {
        "type": "Dataset",
        "dataset_root": "scenes",
        "num_classes": 4,
        "train_path": "scenes/train.txt",
        "transforms": [{"type": "RandomPaddingCrop", "crop_size": [32, 32]}, {"type": "Normalize"}],
    },
    "val_dataset": {
        "type": "Dataset",
        "dataset_root": "scenes",
        "num_classes": 4,
        "val_path": "val.txt",
        "transforms": [{"type": "Normalize"}],
    },
    "optimizer": {"type": "AdamW", "weight_decay": 0.05},
    "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.1, "end_lr": 0, "power": 1.0},
    "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
    "model": {"type": "PPMobileSeg", "backbone": {"type": "MobileSeg_Tiny"}},
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A config like the published one of PP-MobileSeg Base, with its base, as files."""
    for name, text in (("_base_/ade20k.yml", ADE20K_BASE), ("pp_mobileseg/base.yml", PP_MOBILESEG_BASE)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    return tmp_path / "pp_mobileseg" / "base.yml"


@pytest.fixture
def small() -> dict[str, Any]:
    """A complete small config, free to be changed."""
    return copy.deepcopy(SMALL)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text, or a mapping as YAML, to a file in the test's folder and give its path."""

    def write_file(content: str | dict[str, Any], name: str = "config.yml") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return write_file
