"""Data-parallel training under ``python -m paddle.distributed.launch``: each process has its share of every batch.

Batch norm normalises with the statistics of the process's own share; its moving averages are those of all shares.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import nn


@dataclass(frozen=True)
class Ranks:
    """This process's number (from 0) and how many there are."""

    number: int
    count: int


def join() -> Ranks:
    """Meet the other processes of a launched job; alone where there was no launch."""
    count = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    if count < 2:
        return Ranks(0, 1)
    if not paddle.distributed.is_initialized():
        paddle.distributed.init_parallel_env()
    return Ranks(paddle.distributed.get_rank(), count)


def exchange(network: nn.Layer, ranks: Ranks, stop: bool) -> bool:
    """Replace each gradient, and each moving statistic of batch norm, by its mean over the processes.

    A missing gradient counts as zero. Afterwards all processes hold the same.

    Args:
        network: the same one in every process, after its backward pass.
        ranks: of this process.
        stop: whether this process wants training to stop; travels with the rest.

    Returns:
        Whether any process wants to: the same answer in all of them.
    """
    parameters = [p for p in network.parameters() if not p.stop_gradient]
    statistics = [b for b in network.buffers() if b.dtype == paddle.float32]
    gradients = [paddle.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flags = paddle.full([1], float(stop), "float32")
    tensors = [*gradients, *statistics, flags]
    flat = paddle.concat([tensor.detach().reshape([-1]) for tensor in tensors])
    paddle.distributed.all_reduce(flat)
    *parts, flags = (flat / ranks.count).split([tensor.size for tensor in tensors])
    for parameter, part in zip(parameters, parts[: len(parameters)], strict=True):
        parameter.grad = part.reshape(parameter.shape)
    for statistic, part in zip(statistics, parts[len(parameters) :], strict=True):
        statistic.set_value(part.reshape(statistic.shape))
    return flags.item() > 0


def broadcast(value: Any, ranks: Ranks) -> Any:
    """The first process's value (anything that can be pickled) in every process."""
    if ranks.count < 2:
        return value
    holder = [value]
    paddle.distributed.broadcast_object_list(holder, src=0)
    return holder[0]


def gather(value: Any, ranks: Ranks) -> list[Any]:
    """The values (anything that can be pickled) of all processes, in the order of their numbers, in every process."""
    if ranks.count < 2:
        return [value]
    values: list[Any] = []
    paddle.distributed.all_gather_object(values, value)
    return values


def wait_for_all(ranks: Ranks) -> None:
    """Return when every process has got here. One that has died instead is an error."""
    if ranks.count > 1:
        paddle.distributed.barrier()
