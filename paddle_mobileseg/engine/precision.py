"""Computing in 16 bits, and channels-last layouts. Both are of GPUs: on a CPU Paddle leaves them out without a word.

Not run on a GPU so far; :class:`LossScaler` is tested on the CPU.
"""

from __future__ import annotations

import contextlib
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor

from paddle_mobileseg.engine.options import TrainOptions

_LOGGER = logging.getLogger("paddle_mobileseg")
_PADDLE_NAMES = {"fp16": "float16", "bf16": "bfloat16"}
# Operators that sum over many values, inaccurate in 16 bits: level O1 has them in float32 anyway, O2 here.
_O2_IN_FLOAT32 = ("reduce_mean", "reduce_sum", "softmax")


@dataclass(frozen=True)
class Precision:
    """What a network's forward pass is computed in. Weights, gradients of weights, and losses are always float32.

    Attributes:
        name: ``fp32``, ``fp16`` or ``bf16``.
        level: ``O1``: convolutions and matrix products in 16 bits. ``O2``: everything but interpolation, batch norm and
            sums over many values; the weights, which stay float32 as in every training with master weights, are
            converted in each pass.
    """

    name: str = "fp32"
    level: str = "O1"

    def computing(self) -> AbstractContextManager[None]:
        """Inside the block the operators compute in this precision."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        o2 = self.level == "O2"
        return paddle.amp.auto_cast(
            level=self.level,
            dtype=_PADDLE_NAMES[self.name],
            custom_black_list=set(_O2_IN_FLOAT32) if o2 else None,
            use_promote=not o2,  # otherwise one float32 input, such as a bias, makes an operator float32
        )


def on_gpu() -> bool:
    """Whether Paddle computes on a GPU."""
    return not paddle.get_device().startswith("cpu")


def choose_precision(options: TrainOptions, speaks: bool = True) -> Precision:
    """The precision asked for where the device has it: on a CPU fp32, and the log says so.

    Raises:
        ValueError: the GPU cannot compute in it.
    """
    name = options.precision
    if name == "fp32":
        return Precision()
    if not on_gpu():
        if speaks:
            _LOGGER.warning("precision %s has no effect on a CPU: everything is computed in fp32", name)
        return Precision()
    supported = paddle.amp.is_float16_supported if name == "fp16" else paddle.amp.is_bfloat16_supported
    if not supported():
        raise ValueError(f"this GPU does not compute in {name}; use --precision fp32, or fp16 in the place of bf16")
    return Precision(name, options.amp_level)


def prefer_channels_last(options: TrainOptions, speaks: bool = True) -> None:
    """Let Paddle turn activations and weights of convolutions to channels-last where its kernels are faster so.

    What is saved keeps its layout: the turning happens inside each pass.
    """
    wanted = options.channels_last and on_gpu()
    if options.channels_last and not wanted and speaks:
        _LOGGER.warning(
            "channels_last has no effect on a CPU: Paddle's layout tuning does nothing there, and its channels-last "
            "convolutions are no faster"
        )
    if wanted:
        paddle.incubate.autotune.set_config({"layout": {"enable": True}})


class LossScaler:
    """Multiplies the loss by a factor, so that small gradients do not vanish in fp16 (arXiv 1710.03740, section 3.2).

    An overflow halves the factor, and the step is left out; ``patience`` steps in a row without one double it.

    It takes the place of ``paddle.amp.GradScaler``, which in Paddle 3.3.1 ends with a TypeError at the first overflow
    where NumPy is 2.4, and switches itself off on a CPU, where it could be tested.

    Args:
        factor: to begin with.
        patience: steps.
    """

    largest = 2.0**24

    def __init__(self, factor: float = 1024.0, patience: int = 1000) -> None:
        self.factor = factor
        self.patience = patience
        self.good_steps = 0

    def scale(self, loss: Tensor) -> Tensor:
        """The loss whose gradients are ``factor`` times as large."""
        return loss * self.factor

    def update(self, overflow: bool) -> None:
        """Take in how a step went."""
        self.good_steps = 0 if overflow else self.good_steps + 1
        if overflow:
            self.factor /= 2.0
        elif self.good_steps == self.patience:
            self.factor = min(self.factor * 2.0, self.largest)
            self.good_steps = 0

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: plain numbers."""
        return {"factor": self.factor, "good_steps": self.good_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.factor, self.good_steps = float(state["factor"]), int(state["good_steps"])
