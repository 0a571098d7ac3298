"""The configs of this repository load without their data, and say what they are meant to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.config.parameter_groups import parameter_groups

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(path for path in CONFIGS.rglob("*.yml") if "_base_" not in path.parts)


def test_there_are_some() -> None:
    assert len(SHIPPED) >= 5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_loads_and_its_parts_can_be_built(path: Path) -> None:
    cfg = load_config(path)
    model = cfg.model
    model["backbone"].pop("pretrained", None)

    assert build.component(model).num_train_logits == len(build.losses(cfg))
    assert build.lr_scheduler(cfg).get_lr() < cfg.lr_scheduler["learning_rate"]


def groups_of(name: str) -> list[tuple[dict[str, float], set[str]]]:
    """The groups that the optimizer gets: their options and their parameters' names."""
    cfg = load_config(CONFIGS / "pp_mobileseg" / name)
    model: dict[str, Any] = cfg.model
    model["backbone"].pop("pretrained", None)
    network = build.component(model)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    settings = cfg.optimizer
    groups = parameter_groups(network, settings["custom_cfg"], settings["weight_decay"])
    return [
        ({key: value for key, value in group.items() if key != "params"}, {names[id(p)] for p in group["params"]})
        for group in groups
    ]


@pytest.mark.parametrize("variant", ["tiny", "base"])
def test_groups_of_the_published_recipe(variant: str) -> None:
    """The head comes before the batch norms, so that its own have the normal decay; its rate is everybody's."""
    groups = groups_of(f"pp_mobileseg_{variant}_ade20k_512x512_80k.yml")

    assert [options for options, _ in groups] == [{"weight_decay": 0.0}, {}, {"weight_decay": 0.0}, {}]
    positions, head, norms, rest = (names for _, names in groups)
    assert all(name.endswith("pos_embed") for name in positions)
    assert head == {
        f"decode_head.{name}"
        for name in (
            "linear_fuse.conv.weight",
            "linear_fuse.bn.weight",
            "linear_fuse.bn.bias",
            "conv_seg.weight",
            "conv_seg.bias",
        )
    }
    assert all(".bn." in name and name.startswith("backbone.") for name in norms)
    assert not [name for name in rest if ".bn." in name or "pos_embed" in name or "decode_head" in name]


def test_groups_of_the_camvid_recipe() -> None:
    groups = groups_of("pp_mobileseg_tiny_camvid.yml")

    assert [options for options, _ in groups] == [{"weight_decay": 0.0}, {"weight_decay": 0.0}, {}]
    assert "decode_head.linear_fuse.bn.weight" in groups[1][1]


def test_rates_of_the_recipes() -> None:
    published = load_config(CONFIGS / "pp_mobileseg" / "pp_mobileseg_tiny_ade20k_512x512_80k.yml")
    assert published.lr_scheduler == {
        "type": "PolynomialDecay", "learning_rate": 0.0006, "end_lr": 0, "power": 1.0,
        "warmup_iters": 1500, "warmup_start_lr": 1.0e-6,
    }  # fmt: skip
    camvid = load_config(CONFIGS / "pp_mobileseg" / "pp_mobileseg_base_camvid.yml")
    assert camvid.lr_scheduler == {
        "type": "PolynomialDecay", "learning_rate": 0.003, "end_lr": 0, "power": 0.9,
        "warmup_iters": 150, "warmup_start_lr": 1.0e-5,
    }  # fmt: skip
    assert camvid.optimizer["weight_decay"] == published.optimizer["weight_decay"] == 0.01
