"""From a file to a checked config: published files, completion, changes from the command line, saving."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.config import Config, load_config
from paddle_mobileseg.config.validate import validate

Write = Callable[..., Path]


def test_a_config_like_the_published_one_loads_unchanged(published: Path) -> None:
    cfg = load_config(published)
    assert (cfg.batch_size, cfg.iters, cfg.num_classes) == (16, 80000, 150)
    assert cfg.train_dataset["dataset_root"] == "data/ADEChallengeData2016/"
    assert [step["type"] for step in cfg.train_dataset["transforms"]] == [
        "ResizeStepScaling", "RandomPaddingCrop", "RandomHorizontalFlip", "RandomDistort", "Normalize",
    ]  # fmt: skip
    assert (cfg.train_dataset["mode"], cfg.val_dataset["mode"]) == ("train", "val")
    assert cfg.optimizer == {
        "type": "AdamW",
        "weight_decay": 0.01,
        "custom_cfg": [
            {"name": "pos_embed", "weight_decay_mult": 0.0},
            {"name": "head", "lr_multi": 10.0},
            {"name": "bn", "weight_decay_mult": 0.0},
        ],
    }
    assert cfg.lr_scheduler == {
        "type": "PolynomialDecay",
        "learning_rate": 0.0006,
        "end_lr": 0,
        "power": 1.0,
        "warmup_iters": 1500,
        "warmup_start_lr": 1e-6,
    }
    assert cfg.loss == {
        "types": [
            {
                "type": "MixedLoss",
                "losses": [
                    {"type": "CrossEntropyLoss", "ignore_index": 255},
                    {"type": "LovaszSoftmaxLoss", "ignore_index": 255},
                ],
                "coef": [0.8, 0.2],
            }
        ],
        "coef": [1],
    }
    assert cfg.model["backbone"]["inj_type"] == "AAMSx8"
    assert cfg.model["upsample"] == "intepolate"
    assert (cfg.test_config, cfg.train_config, cfg.export) == ({}, {}, {})


def test_base_config_alone_is_incomplete(published: Path) -> None:
    base = published.parents[1] / "_base_" / "ade20k.yml"
    with pytest.raises(ValueError, match=re.escape(f"{base}: the key 'model' is missing")):
        load_config(base)


def test_numbers_without_a_dot_are_numbers_wherever_they_stand(write: Write, small: dict[str, Any]) -> None:
    small["lr_scheduler"].update(learning_rate="LR", warmup_iters=10, warmup_start_lr="WARM")
    small["optimizer"]["weight_decay"] = "DECAY"
    small["loss"]["coef"] = ["COEF"]
    text = write(small).read_text()
    for name, value in {"LR": "1e-4", "WARM": "1e-6", "DECAY": "5e-2", "COEF": "1e0"}.items():
        text = text.replace(name, value)
    cfg = load_config(write(text), ["optimizer.epsilon=1e-7"])
    assert cfg.lr_scheduler["learning_rate"] == 1e-4
    assert cfg.lr_scheduler["warmup_start_lr"] == 1e-6
    assert (cfg.optimizer["weight_decay"], cfg.optimizer["epsilon"]) == (5e-2, 1e-7)
    assert cfg.loss["coef"] == [1.0]


def test_what_follows_from_other_sections_is_filled_in(write: Write, small: dict[str, Any]) -> None:
    for section in ("train_dataset", "val_dataset"):
        small[section]["ignore_index"] = 200
    small["loss"]["coef"] = [1, 0.5, 0.5]
    cfg = load_config(write(small))
    assert cfg.num_classes == cfg.model["num_classes"] == 4
    assert cfg.loss["types"] == [{"type": "CrossEntropyLoss", "ignore_index": 200}] * 3


def test_number_of_classes_comes_from_the_dataset_class(write: Write, small: dict[str, Any]) -> None:
    for section in ("train_dataset", "val_dataset"):
        small[section] = {"type": "CamVid", "dataset_root": "camvid", "transforms": [{"type": "Normalize"}]}
    assert load_config(write(small)).num_classes == 11


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ({"type": "sgd"}, "SGD"),
        ({"type": "adam"}, "Adam"),
        ({"type": "SGD", "momentum": 0.9}, "Momentum"),
        ({"type": "sgd", "momentum": 0.9}, "Momentum"),
        ({"type": "AdamWDL", "layerwise_decay": 0.7}, "AdamWDL"),
    ],
)
def test_names_of_optimizers(small: dict[str, Any], given: dict[str, Any], resolved: str) -> None:
    small["optimizer"] = given
    assert Config.from_dict(small).optimizer == {**given, "type": resolved}


def test_upstream_components_are_usable(small: dict[str, Any]) -> None:
    small["train_dataset"]["transforms"].insert(0, {"type": "RandomBlur", "prob": 0.2})
    small["loss"]["types"] = [{"type": "DiceLoss"}]
    small["model"] = {"type": "BiSeNetV2", "num_classes": 4}
    small["loss"]["coef"] = [1] * 5
    cfg = Config.from_dict(small)
    assert cfg.train_dataset["transforms"][0]["type"] == "RandomBlur"
    assert [loss["ignore_index"] for loss in cfg.loss["types"]] == [255] * 5


def test_flags_take_the_place_of_the_files_values(write: Write, small: dict[str, Any]) -> None:
    small["train_config"] = {"seed": 1, "log_iters": 5}
    cfg = load_config(
        write(small),
        ["optimizer.weight_decay=0.02", "train_dataset.transforms.0.crop_size=[64, 64]"],
        batch_size=8,
        iters=10,
        learning_rate=0.5,
        data_root="/data/scenes",
        train_config={"seed": 7, "num_workers": 2},
    )
    assert (cfg.batch_size, cfg.iters, cfg.lr_scheduler["learning_rate"]) == (8, 10, 0.5)
    assert cfg.train_config == {"seed": 7, "log_iters": 5, "num_workers": 2}
    assert cfg.optimizer["weight_decay"] == 0.02
    assert cfg.train_dataset["transforms"][0]["crop_size"] == [64, 64]
    assert (cfg.train_dataset["dataset_root"], cfg.train_dataset["train_path"]) == (
        "/data/scenes",
        "/data/scenes/train.txt",
    )
    assert (cfg.val_dataset["dataset_root"], cfg.val_dataset["val_path"]) == ("/data/scenes", "val.txt")


def test_overrides_are_checked_like_the_file(write: Write, small: dict[str, Any]) -> None:
    path = write(small)
    with pytest.raises(ValueError, match=re.escape(f"{path}: override 'modle.x=1': the config has no 'modle'")):
        load_config(path, ["modle.x=1"])
    with pytest.raises(ValueError, match=re.escape(f"{path}: model.num_clases: unknown argument")):
        load_config(path, ["model.num_clases=4"])
    with pytest.raises(ValueError, match="batch_size is 'four'; expected a whole number"):
        load_config(path, ["batch_size=four"])


def test_saved_config_reads_back_the_same(published: Path, tmp_path: Path) -> None:
    cfg = load_config(published)
    cfg.save(tmp_path / "config.yml")
    again = load_config(tmp_path / "config.yml")
    assert again.data == cfg.data
    assert again.to_yaml() == (tmp_path / "config.yml").read_text()
    assert "_base_" not in again.to_yaml()
    cfg.save(tmp_path / "config.yml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_base_", "config.yml", "pp_mobileseg"]


def test_config_survives_json_and_a_second_check(small: dict[str, Any]) -> None:
    cfg = Config.from_dict(small)
    assert Config.from_dict(json.loads(json.dumps(cfg.data))).data == cfg.data
    completed = json.loads(json.dumps(cfg.data))
    validate(completed)
    assert completed == cfg.data


def test_neither_source_nor_sections_are_shared(small: dict[str, Any]) -> None:
    before = json.dumps(small)
    cfg = Config.from_dict(small)
    cfg.model["backbone"]["type"] = "changed"
    cfg.train_dataset["transforms"].clear()
    assert cfg.model["backbone"]["type"] == "MobileSeg_Tiny"
    assert len(cfg.train_dataset["transforms"]) == 2
    assert json.dumps(small) == before


def test_save_into_a_file_s_place_fails_clearly(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=re.escape(f"cannot write to {tmp_path / 'file'}")):
        Config.from_dict(small).save(tmp_path / "file" / "config.yml")


@pytest.mark.parametrize("data", [None, [], "text"])
def test_from_dict_takes_mappings_only(data: Any) -> None:
    with pytest.raises(ValueError, match="a config is a mapping"):
        Config.from_dict(data)


def test_leaves_are_the_values_by_path_less_what_is_left_out() -> None:
    data = {
        "iters": 3,
        "model": {"type": "Net", "pretrained": "file", "backbone": {"out": [1, 2], "pretrained": {"deep": 1}}},
        "loss": {"types": [{"type": "A", "weight": None}, {"type": "B"}], "coef": []},
        "export": {},
    }
    everything = Config(data).leaves()
    assert everything["model.pretrained"] == "file"
    assert everything["model.backbone.pretrained.deep"] == 1
    assert Config(data).leaves(("pretrained", "iters")) == {
        "model.type": "Net",
        "model.backbone.out": [1, 2],
        "loss.types.0.type": "A",
        "loss.types.0.weight": None,
        "loss.types.1.type": "B",
        "loss.coef": [],
    }
