"""Strict loading: every tensor of the file fits a tensor of the network and the other way round, or nothing is
loaded. Exceptions are named by the caller, and every tensor left out is logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paddle_mobileseg.weights.sources import read_weights

if TYPE_CHECKING:
    from paddle import nn

# Where classification networks in general keep the layers behind their backbone; some backbones know it better.
CLASSIFIERS = ("head.", "cls_head.", "classifier.", "fc.", "linear.")

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

    Args:
        network: receives the tensors.
        source: a path, a URL, or a name in the catalogue (see :func:`paddle_mobileseg.weights.locate`), of a
            ``.pdparams`` file, an archive with one, or a torch checkpoint.
        part: load only the tensors under this prefix of the file's names (``"backbone"``), which is taken off; a file
            without the prefix is taken as the part itself.
        may_lack: as in :func:`load_state`.
        may_exceed: as in :func:`load_state`.
        ignore_head: as in :func:`load_state`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as in :func:`load_state`, or the file is no weights file.
        OSError: the file cannot be downloaded.
    """
    weights = read_weights(source)
    if part is not None:
        outside = [name for name in weights if not name.startswith(f"{part}.")]
        if len(outside) < len(weights):
            _log(source, f"tensors outside {part}, not used", outside)
        weights = part_of(weights, part)
    load_state(network, weights, str(source), may_lack=may_lack, may_exceed=may_exceed, ignore_head=ignore_head)


def part_of(weights: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """The arrays under a prefix, without it; all of them where none has it."""
    prefix = f"{part}."
    own = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    return own or dict(weights)


def load_state(
    network: nn.Layer,
    weights: Mapping[str, np.ndarray],
    source: str,
    *,
    may_lack: Sequence[str] = (),
    may_exceed: Sequence[str] = (),
    ignore_head: bool = False,
) -> None:
    """Load named arrays into a network, strictly.

    A network that was published in several layouts has a method ``translate_weights``, from named arrays in any of them
    to named arrays in its own.

    Args:
        network: receives the tensors.
        weights: arrays by the names of PaddleSeg's network.
        source: where they come from, for the message.
        may_lack: prefixes of the network's tensors that the file need not have; they keep their values.
        may_exceed: prefixes of the file's tensors that the network need not have.
        ignore_head: leave out those tensors of the head (``network.head_prefixes``) that have another shape in the
            file, as for fine-tuning on another number of classes.

    Raises:
        ValueError: names or shapes differ (the message lists the differences, and the network that the file seems to
            belong to), values are not finite numbers, or ``ignore_head`` and the network does not say which of its
            tensors are the head. Nothing has been loaded then.
    """
    import paddle

    own = network.state_dict()
    arrays = _translated(network, weights, source)
    if ignore_head:
        dropped = _other_head(network, arrays)
        _log(source, "tensors of the head have another shape, the network keeps its own", dropped, shown=len(dropped))
        own = {name: tensor for name, tensor in own.items() if name not in dropped}
        arrays = {name: array for name, array in arrays.items() if name not in dropped}
    missing = [name for name in own if name not in arrays]
    unexpected = [name for name in arrays if name not in own]
    lacking = [name for name in missing if name.startswith(tuple(may_lack))]
    exceeding = [name for name in unexpected if name.startswith(tuple(may_exceed))]
    shapes = [
        f"{name}: got {list(arrays[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in arrays and list(arrays[name].shape) != list(tensor.shape)
    ]
    problems = [
        listing("tensors that the network has and the file lacks", _without(missing, lacking)),
        listing("tensors that the file has and the network lacks", _without(unexpected, exceeding)),
        listing("tensors of another shape", shapes),
    ]
    if any(problems):
        raise ValueError(
            f"{source} does not fit {type(network).__name__}: {'; '.join(p for p in problems if p)}. {_advice(weights)}"
        )
    fitting = {name: array for name, array in arrays.items() if name in own}
    _check_values(fitting, source)
    _log(source, "tensors are not in the file, the network keeps its own", lacking)
    _log(source, "tensors are not in the network, left out", exceeding)
    for name, array in fitting.items():
        own[name].set_value(paddle.to_tensor(np.ascontiguousarray(array), dtype=own[name].dtype))


def _translated(network: nn.Layer, weights: Mapping[str, np.ndarray], source: str) -> Mapping[str, np.ndarray]:
    if not hasattr(network, "translate_weights"):
        return weights
    try:
        return network.translate_weights(weights)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _other_head(network: nn.Layer, weights: Mapping[str, np.ndarray]) -> list[str]:
    """Names of those tensors of the head that have another shape."""
    head, own = tuple(getattr(network, "head_prefixes", ())), network.state_dict()
    if not head:
        raise ValueError(
            f"{type(network).__name__} has no head_prefixes, so ignore_head cannot tell which tensors it is"
        )
    return [n for n, w in weights.items() if n.startswith(head) and n in own and list(w.shape) != list(own[n].shape)]


def _advice(weights: Mapping[str, np.ndarray]) -> str:
    from paddle_mobileseg.weights.identify import identify

    match = identify(weights)
    return f"{match.sentence()}. Check that the configuration names the network and the number of classes of this file"


def _check_values(weights: Mapping[str, np.ndarray], source: str) -> None:
    """ValueError for what cannot be weights: whole numbers, NaN, infinity."""
    kinds = [f"{name}: {array.dtype}" for name, array in weights.items() if array.dtype.kind != "f"]
    if kinds:
        raise ValueError(f"{source} has {listing('tensors that hold no floating-point numbers', kinds)}")
    broken = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if broken:
        raise ValueError(
            f"{source} has {listing('tensors with values that are not finite', broken)}; the training that wrote it "
            "diverged, or the file is damaged"
        )


def _without(names: list[str], others: list[str]) -> list[str]:
    return [name for name in names if name not in others]


def _log(source: str | Path, what: str, names: list[str], shown: int = _SHOWN) -> None:
    if names:
        _LOGGER.info("%s: %s", source, listing(what, names, shown))


def listing(what: str, names: Sequence[str], shown: int = _SHOWN) -> str:
    """How many there are of what, and the first names; nothing where there are none."""
    if not names:
        return ""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)} {what} ({', '.join(names[:shown])}{more})"
