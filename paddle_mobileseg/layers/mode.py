"""Training and eval mode of layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from paddle import nn


@contextlib.contextmanager
def eval_mode(network: nn.Layer) -> Iterator[None]:
    """Eval mode within the block; every layer's own mode after it."""
    modes = [(layer, layer.training) for layer in network.sublayers(include_self=True)]
    network.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training
