"""Activations by name."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn


class LeakyReLU(nn.Layer):
    """``x``, or ``x / 100`` where it is negative.

    Paddle's own operator gets a slope of almost 0 in ONNX files, because paddle2onnx 2.1.0 misreads its attribute.
    """

    def forward(self, x: Tensor) -> Tensor:
        return paddle.maximum(x, 0.01 * x)


_ACTIVATIONS: dict[str, type[nn.Layer]] = {
    "relu": nn.ReLU,
    "leakyrelu": LeakyReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "swish": nn.Swish,
}


def activation(name: str | None) -> nn.Layer:
    """The activation layer called ``name``; ``None`` gives the identity.

    Raises:
        ValueError: unknown name.
    """
    if name is None:
        return nn.Identity()
    if name not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; expected one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
