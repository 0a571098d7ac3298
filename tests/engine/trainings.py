"""Short trainings of any network, and what came of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import yaml

from paddle_mobileseg import networks
from paddle_mobileseg.config import Config, load_config

SGD = "optimizer={type: SGD}"


def family_config(config_file: Path, name: str, *overrides: str) -> Config:
    """The tiny configuration with another network."""
    model = {key: value for key, value in networks.get(name).model.items() if key != "num_classes"}
    with paddle.utils.unique_name.guard():
        logits = getattr(networks.get(name).build(10), "num_train_logits", 1)
    flow = yaml.safe_dump(model, default_flow_style=True, width=10**6).strip()
    return load_config(config_file, overrides=[f"model={flow}", f"loss.coef={[1.0] * logits}", *overrides])


def weights_of(network: paddle.nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def train_losses(folder: Path) -> list[float]:
    records = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [record["loss"] for record in records if record["kind"] == "train"]
