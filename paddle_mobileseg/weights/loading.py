"""Strict loading: every tensor of the file fits a tensor of the network and the other way round, or nothing is
loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddle_mobileseg.weights.files import read_weights

_SHOWN = 4


def load_weights(network: nn.Layer, source: str | Path, part: str | None = None) -> None:
    """Load a weights file into a network, strictly.

    Args:
        network: receives the tensors.
        source: a path or URL of a ``.pdparams`` file or of an mmsegmentation ``.pth`` file.
        part: load only the tensors under this prefix of the file's names (``"backbone"``), which is taken off; a file
            without the prefix is taken as the part itself.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file does not fit the network; the message lists the differences.
    """
    weights = read_weights(source)
    if part is not None and any(name.startswith(part + ".") for name in weights):
        weights = {name[len(part) + 1 :]: w for name, w in weights.items() if name.startswith(part + ".")}
    load_state(network, weights, str(source))


def load_state(network: nn.Layer, weights: Mapping[str, np.ndarray], source: str) -> None:
    """Load named arrays into a network, strictly.

    Args:
        network: receives the tensors.
        weights: arrays by the network's own parameter and buffer names.
        source: where they come from, for the message.

    Raises:
        ValueError: names or shapes differ; nothing has been loaded then.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in weights]
    unexpected = [name for name in weights if name not in own]
    shapes = [
        f"{name}: got {list(weights[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and list(weights[name].shape) != list(tensor.shape)
    ]
    if missing or unexpected or shapes:
        problems = [
            _listing("tensors that the network has and the file lacks", missing),
            _listing("tensors that the file has and the network lacks", unexpected),
            _listing("tensors of another shape", shapes),
        ]
        raise ValueError(
            f"{source} does not fit {type(network).__name__}: {'; '.join(p for p in problems if p)}. "
            "Check that the configuration names the network and the number of classes of this file"
        )
    for name, tensor in own.items():
        tensor.set_value(paddle.to_tensor(np.ascontiguousarray(weights[name]), dtype=tensor.dtype))


def _listing(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"
