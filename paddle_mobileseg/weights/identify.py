"""Which network a file belongs to, by the names and shapes of its tensors and whatever its number of classes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_mobileseg import networks, registry

if TYPE_CHECKING:
    from paddle import nn

_NEAR = 0.5  # of the tensors of file and network together
_SHOWN = 3
_BACKBONE = "backbone."


@dataclass(frozen=True)
class Match:
    """What a file is nearest to.

    Attributes:
        names: of the network, or of the backbones (some have the same tensors); empty where nothing is near.
        is_backbone: whether it is a backbone alone.
        num_classes: of the file's head; ``None`` for a backbone.
        fitting: tensors that fit.
        own: tensors that the network has.
        total: tensors that the file or the network has.
    """

    names: tuple[str, ...] = ()
    is_backbone: bool = False
    num_classes: int | None = None
    fitting: int = 0
    own: int = 1
    total: int = 1

    @property
    def share(self) -> float:
        """Tensors that fit over all those of file and network."""
        return self.fitting / self.total

    def sentence(self) -> str:
        """For messages, without a full stop."""
        if not self.names:
            return "The file seems to belong to no network that is here"
        what = " or ".join(self.names[:_SHOWN])
        what = f"the backbone {what}" if self.is_backbone else what
        classes = f" with {self.num_classes} classes" if self.num_classes else ""
        if self.fitting == self.own:
            return f"The file seems to belong to {what}{classes}"
        return f"The file is nearest to {what}{classes}: {self.fitting} of its {self.own} tensors fit"


@dataclass(frozen=True)
class _Candidate:
    name: str
    layer: nn.Layer
    shapes: dict[str, list[int]]
    head: tuple[str, ...]
    num_classes: int | None


def identify(weights: Mapping[str, np.ndarray]) -> Match:
    """The network, or else the backbone, that has most of the tensors of a file, by PaddleSeg's names."""
    best = Match()
    for candidate in _networks():
        best = max(best, _compare(candidate, weights), key=lambda match: match.share)
    if best.share == 1:
        return best
    for candidate in _backbones():
        match = _compare(candidate, weights)
        if match.share > best.share:
            best = match
        elif match.share == best.share and best.is_backbone:
            best = replace(best, names=best.names + match.names)
    return best if best.share >= _NEAR else Match()


def compare_with(name: str, weights: Mapping[str, np.ndarray]) -> Match:
    """How a file fits the network called ``name``, whatever else it would fit."""
    return _compare(next(each for each in _networks() if each.name == name), weights)


def with_backbone_prefix(weights: Mapping[str, np.ndarray], head: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Names as in a whole network, of a file that has those of its backbone without ``backbone.``."""
    if any(name.startswith(_BACKBONE) for name in weights) or not any(name.startswith(head) for name in weights):
        return dict(weights)
    return {name if name.startswith(head) else _BACKBONE + name: array for name, array in weights.items()}


def _compare(candidate: _Candidate, weights: Mapping[str, np.ndarray]) -> Match:
    if candidate.head:
        weights = with_backbone_prefix(weights, candidate.head)
        if not any(name.startswith(candidate.head) for name in weights):  # a backbone alone
            return Match()
    else:
        weights = {name.removeprefix(_BACKBONE): array for name, array in weights.items()}
    if hasattr(candidate.layer, "translate_weights"):
        try:
            weights = candidate.layer.translate_weights(weights)
        except ValueError:  # of no layout of this one
            return Match()
    common = candidate.shapes.keys() & weights.keys()
    shapes = {name: list(weights[name].shape) for name in common}
    same = sum(shapes[name] == candidate.shapes[name] for name in common)
    others = [name for name in common if _differs_in_classes(candidate, name, shapes[name])]
    counts = {shapes[name][0] for name in others}
    if len(counts) == 1:
        same += len(others)
    total = len(candidate.shapes.keys() | weights.keys())
    num_classes = next(iter(counts)) if len(counts) == 1 else candidate.num_classes
    return Match((candidate.name,), not candidate.head, num_classes, same, len(candidate.shapes), total)


def _differs_in_classes(candidate: _Candidate, name: str, shape: list[int]) -> bool:
    """Whether a tensor of the head has another number of classes and the same shape otherwise."""
    own = candidate.shapes[name]
    return (
        name.startswith(candidate.head)
        and len(shape) == len(own) > 0
        and own[0] == candidate.num_classes != shape[0]
        and own[1:] == shape[1:]
    )


@functools.cache
def _networks() -> list[_Candidate]:
    """Once a process, for it takes a second."""
    found = []
    for name in networks.names():
        record = networks.get(name)
        layer = _built(record.build)
        if layer is not None:
            head = tuple(getattr(layer, "head_prefixes", ()))
            found.append(_Candidate(name, layer, _shapes(layer), head, record.num_classes))
    return found


@functools.cache
def _backbones() -> list[_Candidate]:
    """Once a process, for it takes seconds; a backbone with several names under the first."""
    components = {registry.find(name, "backbones"): name for name in reversed(registry.ours("backbones"))}
    layers = {name: _built(component) for component, name in components.items()}
    return [
        _Candidate(name, layer, _shapes(layer), (), None) for name, layer in sorted(layers.items()) if layer is not None
    ]


def _built(build: Any) -> nn.Layer | None:
    """A layer whose tensors have shapes only, or ``None``: what cannot be built is nothing that a file belongs to."""
    import paddle

    try:
        with paddle.LazyGuard(), paddle.utils.unique_name.guard():
            return build()
    except Exception:
        return None


def _shapes(layer: nn.Layer) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in layer.state_dict().items()}
