"""Size and work of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg.layers import eval_mode

Note = Callable[[nn.Layer, Any, Any], None]

COUNTED = (nn.Conv2D, nn.Linear)  # layers whose multiply-accumulate operations count


def count(network: nn.Layer, size_hw: Sequence[int], channels: int = 3) -> tuple[int, int]:
    """Trainable parameters, and multiply-accumulate operations for one image.

    Counted are convolutions and linear layers, as the papers of these networks do; not the products inside attention,
    normalisation, activations and resizing.

    Args:
        network: any segmentation network; left as it was.
        size_hw: height and width of the input image in pixels.
        channels: of the input image.

    Returns:
        (parameters, MACs).
    """
    macs = 0

    def add(layer: nn.Layer, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        macs += layer_macs(layer, output)

    counted = [layer for layer in network.sublayers(include_self=True) if isinstance(layer, COUNTED)]
    run_noting(network, [(layer, add) for layer in counted], size_hw, channels)
    return trainable_parameters(network), macs


def run_noting(
    network: nn.Layer, notes: Sequence[tuple[nn.Layer, Note]], size_hw: Sequence[int], channels: int
) -> None:
    """Run a network once on zeros, in eval mode, with functions that see each call of some of its layers.

    Args:
        network: left as it was.
        notes: layers and what is called with (layer, inputs, output) after each of their calls.
        size_hw: height and width of the input image in pixels.
        channels: of the input image.
    """
    hooks = [layer.register_forward_post_hook(note) for layer, note in notes]
    try:
        with paddle.no_grad(), eval_mode(network):
            network(paddle.zeros([1, channels, *size_hw]))
    finally:
        for hook in hooks:
            hook.remove()


def layer_macs(layer: nn.Layer, output: Tensor) -> int:
    """Multiply-accumulate operations with which a layer of one of the types :data:`COUNTED` computed ``output``."""
    each = layer.weight.shape[1:] if isinstance(layer, nn.Conv2D) else layer.weight.shape[:1]
    return output.size * int(np.prod(each))


def trainable_parameters(network: nn.Layer) -> int:
    """Number of values that training changes."""
    return sum(parameter.size for parameter in network.parameters() if not parameter.stop_gradient)
