"""Activations by name."""

from __future__ import annotations

from paddle import nn

_ACTIVATIONS: dict[str, type[nn.Layer]] = {
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
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
