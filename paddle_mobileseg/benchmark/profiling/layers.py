"""Multiply-accumulate operations and parameters of a Paddle network, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from paddle_mobileseg.runtime.bundle import Bundle

if TYPE_CHECKING:
    from paddle import nn

CONFIG = "config.yml"  # of a bundle: what the network was built from


@dataclass(frozen=True)
class LayerRow:
    """A layer.

    Attributes:
        name: as in the network's ``state_dict``: ``backbone.stem.conv``.
        type: of its class, such as ``Conv2D``.
        input_shape, output_shape: of its first call; ``None`` where it is not called in eval mode.
        parameters: trainable values that it holds itself. What two layers share counts for the first.
        macs: of all its calls, as :func:`paddle_mobileseg.models.complexity.count` counts.
    """

    name: str
    type: str
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int


@dataclass
class _Calls:
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    macs: int = 0


def layer_table(network: nn.Layer, size_hw: Sequence[int], channels: int = 3) -> list[LayerRow]:
    """The layers that compute with weights or hold parameters, in the network's order.

    Their sums are :func:`paddle_mobileseg.models.complexity.count` of the same network and size. Activations, resizing,
    softmax and products inside attention have no row: they hold nothing, and are not counted there either.

    Args:
        network: any segmentation network; left as it was.
        size_hw: height and width of the one input image in pixels.
        channels: of the input image.

    Raises:
        ValueError: a size that is no two whole numbers above 0.
    """
    from paddle_mobileseg.models.complexity import COUNTED, run_noting

    if len(size_hw) != 2 or not all(isinstance(n, int) and n > 0 for n in size_hw):
        raise ValueError(f"size_hw is {size_hw!r}; expected height and width, whole numbers above 0")
    held = _parameters_held(network)
    listed = {
        name: layer
        for name, layer in network.named_sublayers(include_self=True)
        if held[name] or isinstance(layer, COUNTED)
    }
    calls = {name: _Calls() for name in listed}
    run_noting(network, [(layer, _noting(calls[name])) for name, layer in listed.items()], size_hw, channels)
    return [
        LayerRow(name, type(layer).__name__, c.input_shape, c.output_shape, held[name], c.macs)
        for (name, layer), c in zip(listed.items(), calls.values(), strict=True)
    ]


def _noting(calls: _Calls) -> Any:
    """A hook that writes into ``calls`` what a layer did."""
    from paddle_mobileseg.models.complexity import COUNTED, layer_macs

    def note(layer: nn.Layer, inputs: Any, output: Any) -> None:
        if calls.input_shape is None:
            calls.input_shape, calls.output_shape = _shape(inputs), _shape(output)
        if isinstance(layer, COUNTED):
            calls.macs += layer_macs(layer, output)

    return note


def _shape(value: Any) -> tuple[int, ...] | None:
    """Of a tensor, or of the first in a list."""
    if isinstance(value, (list, tuple)):
        return next((shape for shape in map(_shape, value) if shape is not None), None)
    return tuple(value.shape) if hasattr(value, "shape") else None


def _parameters_held(network: nn.Layer) -> dict[str, int]:
    """Trainable values that each layer holds itself, by its name."""
    seen: set[int] = set()
    held = {}
    for name, layer in network.named_sublayers(include_self=True):
        own = [p for p in layer.parameters(include_sublayers=False) if not p.stop_gradient and id(p) not in seen]
        seen.update(map(id, own))
        held[name] = sum(parameter.size for parameter in own)
    return held


def layers_of_bundle(bundle: Bundle, network: str | None = None) -> list[LayerRow]:
    """:func:`layer_table` of the network that a bundle was exported from, at the size that its MACs were counted for.

    It is built with random weights, which change no count: from the bundle's ``config.yml``, else from the name that
    the manifest has (``architecture``).

    Args:
        network: name of the list, for bundles that say neither.

    Raises:
        KeyError: there is no network of that name.
        ValueError: the bundle does not say what it holds, or says what is not so: parameters are others than in its
            manifest.
        ImportError: PaddlePaddle or PaddleSeg is not installed.
    """
    from paddle_mobileseg.cpu import import_paddle

    import_paddle()
    from paddle_mobileseg import networks
    from paddle_mobileseg.config import build
    from paddle_mobileseg.models.complexity import trainable_parameters

    about = bundle.about
    if network is None and CONFIG in about["files"]:
        bundle.verify([bundle.folder / CONFIG])
        content = yaml.safe_load((bundle.folder / CONFIG).read_text(encoding="utf-8"))
        built = build.component(_untrained(content["model"]), "model")
    elif name := network or about.get("architecture"):
        built = networks.get(name).build(about["num_classes"])
    else:
        raise ValueError(
            f"{bundle.folder} does not say of which network it is, besides {about['network']}; name it (one of "
            f"{', '.join(networks.names())})"
        )
    parameters, recorded = trainable_parameters(built), about.get("num_parameters")
    if recorded is not None and parameters != recorded:
        raise ValueError(
            f"{network or CONFIG} is a network of {parameters} parameters, but {bundle.folder} holds one of {recorded}"
        )
    return layer_table(built, _size_hw(bundle))


def _untrained(spec: Any) -> Any:
    """A description of a network without the weights that it was to start from."""
    if not isinstance(spec, dict):
        return spec
    return {key: _untrained(value) for key, value in spec.items() if key != "pretrained"}


def _size_hw(bundle: Bundle) -> list[int]:
    size = bundle.about.get("macs_size_hw")
    if size is None:
        _, *sides = bundle.input_shape
        size = sides[:2] if bundle.about["input"].get("layout") == "NHWC" else sides[1:]
    if min(size) < 1:
        raise ValueError(f"{bundle.folder} takes images of any size and names none to count operations for")
    return size
