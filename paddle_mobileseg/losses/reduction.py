"""What a loss divides by when several processes share a batch.

A mean over the pixels that count must be over those of the whole batch, not of one process's share: ignored pixels are
spread unevenly. Training in several processes enters :func:`shared_among`; losses do not know the engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import paddle
from paddle import Tensor

_mean_over_processes: Callable[[float], float] | None = None


@contextlib.contextmanager
def shared_among(mean_over_processes: Callable[[float], float]) -> Iterator[None]:
    """Inside the block, :func:`shared` takes the mean of its number over all processes with this function."""
    global _mean_over_processes
    previous, _mean_over_processes = _mean_over_processes, mean_over_processes
    try:
        yield
    finally:
        _mean_over_processes = previous


def shared(divisor: Tensor) -> Tensor:
    """A divisor such that the mean of the processes' losses is the loss of their batches put together.

    Args:
        divisor: scalar, float: what this process's part of the batch would be divided by.

    Returns:
        Its mean over the processes; as it is where there is one process. No gradient flows through it.
    """
    if _mean_over_processes is None:
        return divisor
    return paddle.full([], _mean_over_processes(float(divisor)), divisor.dtype)
