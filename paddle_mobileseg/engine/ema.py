"""Exponential moving average of a network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import paddle
from paddle import Tensor, nn


class WeightAverage:
    """A moving average of all parameters and floating-point buffers; evaluated and saved in the last weights' place.

    ``average = d * average + (1 - d) * weights`` with ``d = min(decay, (1 + n) / (10 + n))`` at the n-th update, so
    that the random start is forgotten early.

    Args:
        network: whose weights are averaged.
        decay: in (0, 1).
    """

    def __init__(self, network: nn.Layer, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"ema_decay is {decay}; expected a number between 0 and 1")
        self.network = network
        self.decay = decay
        self.updates = 0
        self.average: dict[str, Tensor] = {
            name: tensor.detach().clone() for name, tensor in network.state_dict().items()
        }

    def update(self) -> None:
        """Take in the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        with paddle.no_grad():
            for name, tensor in self.network.state_dict().items():
                average = self.average[name]
                if paddle.is_floating_point(tensor):
                    average.add_((tensor - average).scale_(1.0 - decay))  # what does not change keeps its very value
                else:
                    average.set_value(tensor)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights."""
        tensors = self.network.state_dict()
        last = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            tensor.set_value(self.average[name])
        try:
            yield
        finally:
            for name, tensor in tensors.items():
                tensor.set_value(last[name])

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"updates": self.updates, "average": {name: tensor.numpy() for name, tensor in self.average.items()}}

    def set_state_dict(self, state: dict[str, object]) -> None:
        """Go on from a checkpoint."""
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        for name, array in state["average"].items():  # type: ignore[attr-defined]
            self.average[name].set_value(array)
