"""Data-parallel training under ``python -m paddle.distributed.launch``: each process has its share of every batch.

On GPUs batch norm normalises with the statistics of the whole batch (SyncBatchNorm). On CPUs, for which Paddle has no
such kernel, it normalises with those of the process's own share; its moving averages are those of all shares.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg.engine.interrupts import TrainingInterruptedError
from paddle_mobileseg.engine.meeting import JOIN_S, MEET_S, Meeting, PeerError
from paddle_mobileseg.losses import reduction

_INIT_S = 300.0
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Ranks:
    """This process's number (from 0) and how many there are; made by :func:`join`."""

    number: int
    count: int
    meeting: Meeting | None = field(default=None, repr=False, compare=False)


_joined: Ranks | None = None


def join() -> Ranks:
    """Meet the other processes of a launched job; alone where there was no launch.

    ``MOBILESEG_RANK_TIMEOUT`` sets how many seconds a process may be late (1800, and 300 at the start).

    Raises:
        ValueError: the launcher's variables contradict each other, or the processes are of different jobs.
        ChildProcessError: the others did not come, or cannot be reached.
    """
    global _joined
    number, count = _variable("PADDLE_TRAINER_ID", 0), _variable("PADDLE_TRAINERS_NUM", 1)
    if count < 2:
        return Ranks(0, 1)
    if _joined is None:
        if number >= count:
            raise ValueError(
                f"PADDLE_TRAINER_ID is {number} and PADDLE_TRAINERS_NUM is {count}: ids go from 0 to {count - 1}; let "
                "python -m paddle.distributed.launch set both"
            )
        meet_s = float(_variable("MOBILESEG_RANK_TIMEOUT", int(MEET_S)))
        meeting = Meeting(number, count, _master(), min(JOIN_S, meet_s), meet_s)
        _joined = Ranks(number, count, meeting)
        with failing_together(_joined):
            _connect_paddle(meeting)
        wait_for_all(_joined)
    return _joined


def _variable(name: str, default: int) -> int:
    """A whole number that the launcher has put into the environment."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(
            f"the environment variable {name} is {text!r}; expected a whole number. "
            "Let python -m paddle.distributed.launch set it, or unset it to train in one process"
        )
    return int(text)


def _master() -> tuple[str, int]:
    """Where Paddle will open its store: host and port in process 0."""
    first = os.environ.get("PADDLE_TRAINER_ENDPOINTS", "").split(",")[0]
    host, _, port = (os.environ.get("PADDLE_MASTER") or first).rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(
            "PADDLE_TRAINERS_NUM asks for several processes, but neither PADDLE_MASTER nor PADDLE_TRAINER_ENDPOINTS "
            "says where they meet (HOST:PORT); start them with python -m paddle.distributed.launch"
        )
    return host, int(port)


def _connect_paddle(meeting: Meeting) -> None:
    """Paddle's own connections, for tensors: NCCL on GPUs, gloo on CPUs."""
    if paddle.is_compiled_with_cuda() and paddle.device.get_device() == "cpu":
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"  # asked for with --device cpu
    # Without it, gloo listens at whatever address the machine's name stands for, often 127.0.0.1.
    if "GLOO_SOCKET_IFNAME" not in os.environ and not meeting.own_ip.startswith("127."):
        interface = _interface(meeting.own_ip)
        if interface is not None:
            os.environ["GLOO_SOCKET_IFNAME"] = interface
    # Paddle can hang here, holding Python's lock, when one of the others fails.
    faulthandler.dump_traceback_later(_INIT_S, exit=True)
    try:
        paddle.distributed.init_parallel_env()
    except RuntimeError as error:
        raise PeerError(
            f"the processes met, but Paddle could not connect them: {_first_line(error)}. On a machine with several "
            "networks, set GLOO_SOCKET_IFNAME (on GPUs NCCL_SOCKET_IFNAME) to the interface that leads to the others"
        ) from error
    finally:
        faulthandler.cancel_dump_traceback_later()


def _interface(ip: str) -> str | None:
    """The network interface that has this IPv4 address; ``None`` where that cannot be found out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == ip:
                    return name
    return None


@contextlib.contextmanager
def failing_together(ranks: Ranks) -> Iterator[None]:
    """Let an error inside the block, in any process, end all of them at the place where they meet next.

    The process in which it happened raises it; the others raise ``PeerError``, which names that process. For an
    interruption, all have agreed to stop before.
    """
    try:
        yield
    except (PeerError, TrainingInterruptedError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if ranks.meeting is not None:
            text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
            ranks.meeting.fail(text or type(error).__name__, wait=not isinstance(error, KeyboardInterrupt))
        raise


def compare(facts: dict[str, Any], ranks: Ranks) -> None:
    """Check that all processes have the same facts.

    Args:
        facts: values that can be pickled and compared, by name.
        ranks: of this process.

    Raises:
        ValueError: in all processes, with the first difference.
    """
    first, *others = gather(facts, ranks)
    for rank, other in enumerate(others, start=1):
        names = [name for name in [*first, *other] if first.get(name) != other.get(name)]
        if names:
            raise ValueError(
                f"the processes were started differently: {names[0]} is {_short(first.get(names[0]))} in rank 0 and "
                f"{_short(other.get(names[0]))} in rank {rank}; use the same command, files and versions everywhere"
            )


def share_weights(network: nn.Layer, ranks: Ranks) -> None:
    """Give every process the first one's parameters and buffers."""
    if ranks.count < 2:
        return
    tensors = network.state_dict()
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()} if ranks.number == 0 else None
    for name, array in broadcast(arrays, ranks).items():
        tensors[name].set_value(array)


def synchronise_batch_norm(network: nn.Layer, ranks: Ranks) -> nn.Layer:
    """The network with SyncBatchNorm in the place of every batch norm that normalises with the batch's statistics.

    Names in ``state_dict`` stay. Where there is one process, or no GPU, the network stays as it is.
    """
    if ranks.count < 2 or not paddle.device.get_device().startswith("gpu"):
        return network
    return with_sync_batch_norm(network)


def with_sync_batch_norm(network: nn.Layer) -> nn.Layer:
    """:func:`synchronise_batch_norm` whatever the device.

    Layers with ``use_global_stats`` stay: Paddle's own conversion would let them forget it. So do layers without scale
    or shift, to which it would add them.
    """
    for parent in network.sublayers(include_self=True):
        for name, layer in parent.named_children():
            whole = isinstance(layer, nn.BatchNorm2D) and layer.weight is not None and layer.bias is not None
            if whole and not layer._use_global_stats:
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(layer))
    return network


def exchange(network: nn.Layer, ranks: Ranks, stop: bool, losses: Sequence[float]) -> tuple[bool, list[float]]:
    """Replace each gradient, and each moving statistic of batch norm, by its mean over the processes.

    A gradient that is missing in some processes counts as zero there; one that is missing in all stays so, and the
    optimizer leaves its parameter alone as it does in a single process. Afterwards all processes hold the same.

    Args:
        network: the same one in every process, after its backward pass.
        ranks: of this process.
        stop: whether this process wants training to stop.
        losses: of this process, as many in each.

    Returns:
        Whether any process wants to stop, and the mean of each loss: the same answer in all of them.

    Raises:
        PeerError: another process has failed or is gone.
    """
    parameters = [p for p in network.parameters() if not p.stop_gradient]
    present = np.array([p.grad is not None for p in parameters])
    answers = _meet(ranks, "exchange", (stop, list(losses), np.packbits(present).tobytes()))
    anywhere = np.zeros_like(present)
    for *_, bits in answers:
        anywhere |= np.unpackbits(np.frombuffer(bits, np.uint8), count=len(present)).astype(bool)
    chosen = [parameter for parameter, wanted in zip(parameters, anywhere, strict=True) if wanted]
    for parameter in chosen:
        if parameter.grad is None:
            parameter.grad = paddle.zeros_like(parameter)
    with paddle.no_grad():
        _average([*(parameter.grad for parameter in chosen), *_statistics(network)], ranks)
    means = [sum(values) / ranks.count for values in zip(*(each for _, each, _ in answers), strict=True)]
    return any(wish for wish, *_ in answers), means


def _statistics(network: nn.Layer) -> list[Tensor]:
    """The moving statistics that this iteration has changed."""
    return [
        statistic
        for layer in network.sublayers(include_self=True)
        if isinstance(layer, nn.layer.norm._BatchNormBase) and layer.training and not layer._use_global_stats
        for statistic in (layer._mean, layer._variance)
    ]


def _average(tensors: list[Tensor], ranks: Ranks) -> None:
    """Replace each tensor's values by their mean over the processes, added up in float32 in one operation."""
    if not tensors:
        return
    flat = paddle.concat([tensor.detach().reshape([-1]).astype("float32") for tensor in tensors])
    try:
        paddle.distributed.all_reduce(flat)
    except RuntimeError as error:
        _meet(ranks, "lost", None)  # names the process that does not come
        text = f"a process was lost while gradients were exchanged: {_first_line(error)}"
        raise PeerError(f"{text}; it has ended, or its machine or the network is down") from error
    flat.scale_(1.0 / ranks.count)
    for tensor, part in zip(tensors, flat.split([tensor.size for tensor in tensors]), strict=True):
        tensor.set_value(part.reshape(tensor.shape).astype(tensor.dtype))


@contextlib.contextmanager
def shared_losses(ranks: Ranks) -> Iterator[None]:
    """Inside the block, losses take their means over the pixels of all processes: see :mod:`..losses.reduction`."""
    if ranks.count < 2:
        yield
        return
    with reduction.shared_among(lambda divisor: sum(_meet(ranks, "divisor", divisor)) / ranks.count):
        yield


def broadcast(value: Any, ranks: Ranks) -> Any:
    """The first process's value (anything that can be pickled) in every process."""
    return _meet(ranks, "broadcast", value if ranks.number == 0 else None)[0]


def gather(value: Any, ranks: Ranks) -> list[Any]:
    """The values (anything that can be pickled) of all processes, in the order of their numbers, in every process."""
    return _meet(ranks, "gather", value)


def wait_for_all(ranks: Ranks) -> None:
    """Return when every process has got here.

    Raises:
        PeerError: one has failed or is gone.
    """
    _meet(ranks, "wait", None)


def _meet(ranks: Ranks, kind: str, value: Any) -> list[Any]:
    if ranks.count < 2:
        return [value]
    assert ranks.meeting is not None, "several ranks come from join() only"
    return ranks.meeting.exchange(kind, value)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and set(line) != {"-"}), type(error).__name__)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
