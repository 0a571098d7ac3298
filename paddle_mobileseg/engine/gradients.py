"""What is done with the gradients between the backward pass and the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

# Paddle's clipping objects: pairs of parameter and gradient to the same with clipped gradients.
Clip = Callable[[list[tuple[Tensor, Tensor]]], list[tuple[Tensor, Tensor]]]


def squared_norms(parameters: Sequence[Tensor]) -> np.ndarray:
    """The sum of squares of each parameter's gradient, float64 ``[n]``; 0 where there is none.

    It is not finite where the gradient is not, or is beyond 1e19.
    """
    if all(parameter.place.is_cpu_place() for parameter in parameters):  # several times faster than operators
        flats = (None if each.grad is None else each.grad.numpy().ravel() for each in parameters)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array([0.0 if flat is None else np.dot(flat, flat) for flat in flats], np.float64)
    squares = []
    with paddle.no_grad():
        for parameter in parameters:
            if parameter.grad is None:
                squares.append(paddle.zeros([]))
            else:
                flat = parameter.grad.reshape([-1])
                flat = flat if flat.dtype == paddle.float32 else flat.astype("float32")
                squares.append(paddle.dot(flat, flat).reshape([]))
        return paddle.stack(squares).numpy().astype(np.float64)


def divide(parameters: Sequence[Tensor], divisor: float) -> None:
    """Divide every gradient."""
    with paddle.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = parameter.grad / divisor


def clip(parameters: Sequence[Tensor], clipping: Clip) -> None:
    """Clip the gradients, all of them together: the global norm is that of the whole network.

    Paddle's optimizers take it of each group in ``optimizer.custom_cfg`` by itself, so it is not left to them.
    """
    with paddle.no_grad():
        pairs = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
        for parameter, gradient in clipping(pairs):
            parameter.grad = gradient


def names_not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the floating-point tensors that hold NaN or infinity."""
    floating = {name: each for name, each in tensors.items() if paddle.is_floating_point(each)}
    return [name for name, each in floating.items() if not bool(paddle.isfinite(each.astype("float32")).all())]
