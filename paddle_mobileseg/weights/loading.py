"""Strict loading: every tensor of the file fits a tensor of the network and the other way round, or nothing is
loaded. Exceptions are named by the caller, and every tensor left out is logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddle_mobileseg.weights.files import read_weights

_LOGGER = logging.getLogger("paddle_mobileseg")
_SHOWN = 4


def load_weights(
    network: nn.Layer,
    source: str | Path,
    part: str | None = None,
    *,
    may_lack: Sequence[str] = (),
    may_exceed: Sequence[str] = (),
    ignore_head: bool = False,
) -> None:
    """Load a weights file into a network, strictly.

    A network that was published in several layouts has a method ``translate_weights``, from named arrays in any of them
    to named arrays in its own.

    Args:
        network: receives the tensors.
        source: a path or URL of a ``.pdparams`` file or of an mmsegmentation ``.pth`` file.
        part: load only the tensors under this prefix of the file's names (``"backbone"``), which is taken off; a file
            without the prefix is taken as the part itself.
        may_lack: prefixes of the network's tensors that the file need not have; they keep their values.
        may_exceed: prefixes of the file's tensors that the network need not have.
        ignore_head: leave out those tensors of the head (``network.head_prefixes``) that have another shape in the
            file, as for fine-tuning on another number of classes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file does not fit the network (the message lists the differences), or ``ignore_head`` and the
            network does not say which of its tensors are the head.
    """
    head = getattr(network, "head_prefixes", ())
    if ignore_head and not head:
        raise ValueError(
            f"{type(network).__name__} has no head_prefixes, so ignore_head cannot tell which tensors it is"
        )
    weights = read_weights(source)
    if part is not None and any(name.startswith(part + ".") for name in weights):
        prefix = part + "."
        _log(source, f"tensors outside {part}, not used", [name for name in weights if not name.startswith(prefix)])
        weights = {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}
    if hasattr(network, "translate_weights"):
        weights = network.translate_weights(weights)
    if ignore_head:
        own = network.state_dict()
        dropped = [n for n, w in weights.items() if n.startswith(head) and n in own and w.shape != tuple(own[n].shape)]
        _log(source, "tensors of the head have another shape, the network keeps its own", dropped, shown=len(dropped))
        weights = {name: w for name, w in weights.items() if name not in dropped}
        may_lack = (*may_lack, *dropped)
    load_state(network, weights, str(source), may_lack=may_lack, may_exceed=may_exceed)


def load_state(
    network: nn.Layer,
    weights: Mapping[str, np.ndarray],
    source: str,
    *,
    may_lack: Sequence[str] = (),
    may_exceed: Sequence[str] = (),
) -> None:
    """Load named arrays into a network, strictly.

    Args:
        network: receives the tensors.
        weights: arrays by the network's own parameter and buffer names.
        source: where they come from, for the message.
        may_lack: as in :func:`load_weights`.
        may_exceed: as in :func:`load_weights`.

    Raises:
        ValueError: names or shapes differ; nothing has been loaded then.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in weights]
    unexpected = [name for name in weights if name not in own]
    lacking = [name for name in missing if name.startswith(tuple(may_lack))]
    exceeding = [name for name in unexpected if name.startswith(tuple(may_exceed))]
    shapes = [
        f"{name}: got {list(weights[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and list(weights[name].shape) != list(tensor.shape)
    ]
    if len(missing) > len(lacking) or len(unexpected) > len(exceeding) or shapes:
        problems = [
            _listing("tensors that the network has and the file lacks", _without(missing, lacking)),
            _listing("tensors that the file has and the network lacks", _without(unexpected, exceeding)),
            _listing("tensors of another shape", shapes),
        ]
        raise ValueError(
            f"{source} does not fit {type(network).__name__}: {'; '.join(p for p in problems if p)}. "
            "Check that the configuration names the network and the number of classes of this file"
        )
    _log(source, "tensors are not in the file, the network keeps its own", lacking)
    _log(source, "tensors are not in the network, left out", exceeding)
    for name, tensor in own.items():
        if name in weights:
            tensor.set_value(paddle.to_tensor(np.ascontiguousarray(weights[name]), dtype=tensor.dtype))


def _without(names: list[str], others: list[str]) -> list[str]:
    return [name for name in names if name not in others]


def _log(source: str | Path, what: str, names: list[str], shown: int = _SHOWN) -> None:
    if names:
        _LOGGER.info("%s: %s", source, _listing(what, names, shown))


def _listing(what: str, names: list[str], shown: int = _SHOWN) -> str:
    if not names:
        return ""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)} {what} ({', '.join(names[:shown])}{more})"
