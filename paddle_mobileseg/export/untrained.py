"""Networks that nobody trained, to find out what an export, a backend or a device makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.config import Config
from paddle_mobileseg.data.palette import default_palette
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.synthetic import render_scene
from paddle_mobileseg.engine.checkpoint import Checkpoint

# Variance of a layer's output over that of its input: above 1, so that the image counts more than biases and several
# classes come out.
_GAIN = 1.6
_TRANSFORMS = [{"type": "Normalize"}]
_STATISTICS_HW = (192, 256)


def untrained_checkpoint(name: str, num_classes: int | None = None, seed: int = 0) -> Checkpoint:
    """A network of the list with random weights whose activations are neither dead nor exploding.

    Weights keep the size of what flows through; the running statistics of batch norms are those of two drawn street
    scenes, as they would be after a training. Its labels mean nothing, but they vary over the image.

    Args:
        name: of :func:`paddle_mobileseg.networks.names`.
        num_classes: by default the recipe's.
        seed: of the weights.

    Raises:
        KeyError: there is no such network.
    """
    record = networks.get(name)
    spec = record.spec(num_classes)
    classes = spec["num_classes"]
    network = record.build(num_classes)
    draw_weights(network, seed)
    prepare = Preprocess.from_transforms([{"type": "Resize", "target_size": _STATISTICS_HW[::-1]}, *_TRANSFORMS])
    _settle(network, np.stack([prepare(render_scene(each)[0])[0] for each in range(2)]))
    weights = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    config = Config({"model": spec, "val_dataset": {"type": "Dataset", "transforms": _TRANSFORMS}})
    class_names = [f"class {number}" for number in range(classes)]
    return Checkpoint(Path(name), config, class_names, default_palette(classes), 255, 0, None, weights, "", [])


def draw_weights(network: nn.Layer, seed: int, gain: float = _GAIN) -> None:
    """Give a network random weights, buffers included, with which every branch counts.

    Args:
        network: what gets them.
        seed: of the weights.
        gain: variance of a layer's output over that of its input.
    """
    random = np.random.default_rng(seed)
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if len(shape) in (2, 4):  # of a linear layer [in, out] or a convolution [out, in, height, width]
            fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
            values = random.normal(0, (gain / fan_in) ** 0.5, shape)
        elif name.endswith(("weight", "_variance")):
            values = random.uniform(0.6, 1.4, shape)
        else:
            values = random.normal(0, 0.3, shape)
        tensor.set_value(values.astype(np.float32))


def _settle(network: nn.Layer, images: np.ndarray) -> None:
    """Make the running statistics of batch norms those of ``images``, ``[N, 3, H, W]``."""
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    momenta = [norm._momentum for norm in norms]
    for norm in norms:
        norm._momentum = 0.0
    network.eval()  # nothing random, such as drop path
    for norm in norms:
        norm.train()
    with paddle.no_grad():
        network(paddle.to_tensor(images))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm._momentum = momentum
