"""Data-parallel training under ``python -m paddle.distributed.launch``: each process has its share of every batch.

Batch norm takes its statistics from the process's own share; those of the first process are evaluated and saved.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import paddle
from paddle import Tensor


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


def average_gradients(parameters: Sequence[Tensor], ranks: Ranks, stop: bool) -> bool:
    """Replace each gradient by its mean over the processes, in one exchange. A missing gradient counts as zero.

    Args:
        parameters: the same ones in every process.
        ranks: of this process.
        stop: whether this process wants training to stop; travels with the gradients.

    Returns:
        Whether any process wants to: the same answer in all of them.
    """
    gradients = [paddle.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    wish = paddle.full([1], float(stop), gradients[0].dtype)
    flat = paddle.concat([*(gradient.reshape([-1]) for gradient in gradients), wish])
    paddle.distributed.all_reduce(flat)
    flat = flat / ranks.count
    *parts, wish = flat.split([*(gradient.size for gradient in gradients), 1])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.reshape(parameter.shape)
    return wish.item() > 0


def wait_for_all(ranks: Ranks) -> None:
    """Return when every process has got here. One that has died instead is an error."""
    if ranks.count > 1:
        paddle.distributed.barrier()
