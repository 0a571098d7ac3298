"""A network of a few hundred weights and a checkpoint of it, so that exports take seconds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

NUM_CLASSES = 4
NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


class TinyNetwork(nn.Layer):
    """What every network has: ``forward`` with a list of logits, ``low_logits``, ``align_corners``."""

    align_corners = False

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 8, 5, stride=4, padding=2)
        self.norm = nn.BatchNorm2D(8)
        self.dropout = nn.Dropout2D(0.5)
        self.head = nn.Conv2D(8, NUM_CLASSES, 1)

    def low_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.dropout(F.relu(self.norm(self.stem(x)))))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        logits = self.low_logits(x)
        return [F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=self.align_corners)]


def tiny_network() -> TinyNetwork:
    """The same weights every time; running statistics that are not those of any batch."""
    random = np.random.default_rng(7)
    network = TinyNetwork()
    for name, tensor in network.state_dict().items():
        value = random.normal(size=tensor.shape).astype("float32")
        tensor.set_value(np.abs(value) + 0.5 if name == "norm._variance" else value)
    return network


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 RGB: rectangles of random colours, with a little noise."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.uint8)
    for _ in range(12):
        corners = random.integers(0, [width, height], (2, 2)).tolist()
        cv2.rectangle(image, corners[0], corners[1], random.integers(0, 256, 3).tolist(), -1)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def network() -> TinyNetwork:
    return tiny_network()


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: TinyNetwork) -> Any:
    """A checkpoint with two stored images of different sizes, whose network is :class:`TinyNetwork`."""
    samples = []
    for seed, (height, width) in enumerate([(72, 96), (64, 80)]):
        path = tmp_path / f"image_{seed}.png"
        cv2.imwrite(str(path), scene(seed, height, width)[:, :, ::-1])
        samples.append((path, None))
    monkeypatch.setattr("paddle_mobileseg.export.exporter.build_network", lambda _: network)
    config = SimpleNamespace(
        model={"type": "TinyNetwork"},
        num_classes=NUM_CLASSES,
        export={},
        val_dataset={"type": "X", "transforms": [NORMALIZE]},
        save=lambda path: path.write_text("model: {type: TinyNetwork}"),
    )
    return SimpleNamespace(
        folder=tmp_path,
        config=config,
        class_names=["road", "car", "sky", "no"],
        palette=np.arange(12, dtype=np.uint8).reshape(4, 3),
        ignore_index=255,
        metrics={"miou": 0.5, "iou": {"road": 0.25, "no": None}},
        iteration=10,
        weights={name: tensor.numpy() for name, tensor in network.state_dict().items()},
        sha256="ab" * 32,
        samples=samples,
    )


@pytest.fixture
def make_scene() -> Any:
    return scene
