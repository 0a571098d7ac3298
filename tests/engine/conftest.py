"""A tiny data set, a configuration that trains on it in a second a step, and a finished short training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.data.synthetic import write_dataset
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.checkpoint import MANIFEST, save_checkpoint
from paddle_mobileseg.engine.opening import build_network

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
ITERS = 4


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_dataset(folder, train=6, val=5, size_hw=(72, 96), progress=False)
    return folder


@pytest.fixture(scope="session")
def config_file(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = {"type": "SyntheticScenes", "dataset_root": str(scenes)}
    augment = [{"type": "RandomPaddingCrop", "crop_size": [64, 64]}, {"type": "RandomHorizontalFlip"}]
    config = {
        "batch_size": 2,
        "iters": ITERS,
        "train_dataset": {**data, "mode": "train", "transforms": [*augment, NORMALIZE]},
        "val_dataset": {**data, "mode": "val", "transforms": [{"type": "Resize", "target_size": [128, 96]}, NORMALIZE]},
        "model": {"type": "PPMobileSeg", "num_classes": 10, "backbone": {"type": "MobileSeg_Tiny"}},
        "optimizer": {"type": "AdamW", "weight_decay": 0.01, "custom_cfg": [{"name": "bn", "weight_decay_mult": 0.0}]},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
    }
    path = tmp_path_factory.mktemp("config") / "tiny.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def trained(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a training with EMA, evaluation and VisualDL."""
    folder = tmp_path_factory.mktemp("run") / "output"
    options = TrainOptions(str(folder), save_interval=2, log_iters=1, use_vdl=True, do_eval=True, ema_decay=0.9)
    Trainer(load_config(config_file), options).run()
    return folder


@pytest.fixture(scope="session")
def varied(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose network tells several classes apart in every image.

    Four iterations teach one class for all pixels; with it, maps that are mirrored, shifted or swapped would be equal.
    """
    checkpoint = load_checkpoint(trained / "iter_4")
    network = build_network(checkpoint)
    images = [sample["img"] for sample in eval_samples(build.dataset(checkpoint.config, "val"))]
    scatter_weights(network, images)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    manifest = json.loads((checkpoint.folder / MANIFEST).read_text())
    folder = tmp_path_factory.mktemp("varied") / "iter_4"
    samples = [(str(image), str(label)) for image, label in checkpoint.samples]
    save_checkpoint(folder, weights, checkpoint.training_state(), manifest, samples)

    network = build_network(load_checkpoint(folder))
    for image in images:
        labels = network(paddle.to_tensor(image))[0].argmax(1).numpy()[0]
        assert len(np.unique(labels)) >= 4
        assert (labels != labels[:, ::-1]).mean() > 0.3
    return folder


def scatter_weights(network: paddle.nn.Layer, images: list[np.ndarray]) -> None:
    """Seeded random weights with which every branch counts (fresh batch norms hide some), and a last layer whose
    logits have mean 0 and deviation 1 for every class."""
    random = np.random.default_rng(0)
    for name, tensor in network.state_dict().items():
        if name.endswith(("bias", "_mean")):
            value = 0.2 * random.normal(size=tensor.shape)
        elif len(tensor.shape) == 1:
            value = random.uniform(0.5, 1.5, tensor.shape)
        else:
            value = random.normal(size=tensor.shape) * np.sqrt(1.6 / np.prod(tensor.shape[1:]))
        tensor.set_value(value.astype(np.float32))
    last = network.decode_head.conv_seg
    with paddle.no_grad():
        logits = paddle.concat([network.low_logits(paddle.to_tensor(image)) for image in images])
    mean, deviation = logits.mean([0, 2, 3]), logits.std([0, 2, 3])
    last.weight.set_value(last.weight / deviation.reshape([-1, 1, 1, 1]))
    last.bias.set_value((last.bias - mean) / deviation)
