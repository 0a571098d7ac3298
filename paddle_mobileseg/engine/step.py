"""The batches of an iteration forward: logits, the losses on them, and what is said when they are not finite."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, nn

from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.gradients import names_not_finite
from paddle_mobileseg.engine.precision import Precision
from paddle_mobileseg.weights.loading import listing

# Said once for each network that is traced, and of no use.
warnings.filterwarnings("ignore", message="Tensor do not have 'place' interface for pir graph mode")

WeightedLosses = Sequence[tuple[float, nn.Layer]]


@dataclass(frozen=True)
class Part:
    """One loss on one tensor of logits, its coefficient included: a scalar."""

    name: str
    value: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Pass:
    """What the forward passes of an iteration gave: the mean loss, the mean of each part of it, and the files."""

    loss: float
    losses: dict[str, float]
    files: list[str]


class Timed:
    """An iterator, with the seconds that were spent waiting for its items so far."""

    def __init__(self, items: Iterator[Any]) -> None:
        self.seconds = 0.0
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        begin = time.monotonic()
        try:
            return next(self._items)
        finally:
            self.seconds += time.monotonic() - begin


class Forward:
    """The network in training, as a function of images ``[N, 3, H, W]``; gives a list of logits, float32.

    Args:
        network: it is left as it is, so that evaluation, saving and so on do not notice a static graph.
        precision: of the computation.
        to_static: as Paddle's static graph, built when a size of images comes for the first time.
    """

    def __init__(self, network: nn.Layer, precision: Precision, to_static: bool) -> None:
        self._network = network
        self._precision = precision
        self._compute = paddle.jit.to_static(_Computing(network, precision), full_graph=True) if to_static else None

    def __call__(self, images: Tensor) -> list[Tensor]:
        if self._compute is not None:
            logits = self._compute(images)
        else:
            with self._precision.computing():
                logits = self._network(images)
        return [each if each.dtype == paddle.float32 else each.astype("float32") for each in logits]


class _Computing(nn.Layer):
    """The network with the switch to its precision inside, where Paddle's tracing sees it."""

    def __init__(self, network: nn.Layer, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self._precision = precision

    def forward(self, images: Tensor) -> list[Tensor]:
        with self._precision.computing():
            return self.network(images)


def loss_parts(losses: WeightedLosses, logits: Sequence[Tensor], labels: Tensor) -> list[Part]:
    """Each loss times its coefficient.

    Raises:
        ValueError: a loss fails; the message names it.
    """
    parts = []
    for index, ((coef, loss), each) in enumerate(zip(losses, logits, strict=True)):
        values = _value(loss, each, labels)
        if not isinstance(values, list):
            parts.append(_part(f"loss.types.{index}", loss, coef, values, each))
            continue
        inner = list(getattr(loss, "losses", [loss] * len(values)))
        for number, (one, value) in enumerate(zip(inner, values, strict=True)):
            parts.append(_part(f"loss.types.{index}.losses.{number}", one, coef, value, each))
    return parts


def _part(path: str, loss: nn.Layer, coef: float, value: Tensor, logits: Tensor) -> Part:
    name = f"{path} ({type(loss).__name__})"
    if value.size != 1:
        raise ValueError(f"{name} gives {value.shape}; expected one number")
    return Part(name, coef * value.reshape([]), logits)


def total(parts: Sequence[Part]) -> Tensor:
    """The sum of all parts, a scalar."""
    return sum((part.value for part in parts[1:]), parts[0].value)


def explanation(parts: Sequence[Part], network: nn.Layer) -> str:
    """Where it is that a loss which is not finite comes from."""
    broken = names_not_finite(network.state_dict())
    if broken:
        return listing("tensors of the network are not finite already", broken)
    found = []
    for part in parts:
        value = part.value.item()
        if not paddle.isfinite(part.value).item():
            wrong = int((~paddle.isfinite(part.logits)).sum())
            logits = f"{wrong} of its {part.logits.size} logits are not finite" if wrong else "its logits are finite"
            found.append(f"{part.name} is {value}, and {logits}")
    return "; ".join(found) or "each loss is finite, their sum is not"


def _value(loss: nn.Layer, logits: Tensor, labels: Tensor) -> Any:
    """A loss's value. PaddleSeg's may change the labels in place, and fail in ways that do not name them."""
    own = type(loss).__module__.startswith("paddle_mobileseg.")
    try:
        return loss(logits, labels if own else labels.clone())
    except parallel.PeerError:
        raise
    except Exception as error:
        words = str(error).rpartition("Error Message Summary:")[2].split()
        text = " ".join(word for word in words if set(word) != {"-"})
        raise ValueError(f"the loss {type(loss).__name__} failed with {type(error).__name__}: {text}") from error
