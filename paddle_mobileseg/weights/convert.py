"""Published weights of any layout as a ``.pdparams`` file under PaddleSeg's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from paddle_mobileseg import networks, registry
from paddle_mobileseg.files import atomic_path
from paddle_mobileseg.suggestion import did_you_mean
from paddle_mobileseg.weights.identify import compare_with, identify, with_backbone_prefix
from paddle_mobileseg.weights.loading import listing, load_state, part_of
from paddle_mobileseg.weights.sources import locate, read_weights

# What a classification network has beside its ``backbone``.
_CLASSIFIERS = ("head.", "cls_head.", "classifier.", "fc.")


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        name: the network or backbone that the weights are of.
        num_classes: of its head; ``None`` for a backbone.
        tensors: written.
        left_out: names of the file's tensors that the network does not use, such as a classifier.
        lacking: names of the network's tensors that the file does not have, such as those behind a backbone.
    """

    name: str
    num_classes: int | None
    tensors: int
    left_out: list[str]
    lacking: list[str]

    def summary(self) -> str:
        """A line for each thing to know; names by what they begin with."""
        classes = f" with {self.num_classes} classes" if self.num_classes else ""
        lines = [f"{self.tensors} tensors of {self.name}{classes}"]
        for what, names in (("left out", self.left_out), ("not in the file", self.lacking)):
            counts = Counter(name.split(".")[0] for name in names)
            if names:
                lines.append(f"{what}: {', '.join(f'{prefix} ({count})' for prefix, count in counts.items())}")
        return "\n".join(lines)


def convert(source: str | Path, output: str | Path, network: str | None = None) -> Conversion:
    """Write the weights in a file under PaddleSeg's names.

    Args:
        source: as in :func:`paddle_mobileseg.weights.locate`: a ``.pth`` of mmsegmentation's PP-MobileSeg or TopFormer
            (the network or its backbone), an ImageNet checkpoint of STDC's authors, or a ``.pdparams`` of an earlier
            layout.
        output: the ``.pdparams`` file to write.
        network: name of the network or backbone; by default the one whose tensors the file has.

    Raises:
        KeyError: no such network or backbone.
        ValueError: the file belongs to none, or has tensors that the network lacks, or lacks some.
        OSError: the file cannot be read, downloaded or written.
    """
    if Path(output).suffix != ".pdparams":
        raise ValueError(f"the output is {output}; expected a name that ends with .pdparams")
    if Path(output).is_dir():
        raise IsADirectoryError(f"the output {output} is a folder; expected a file to write")
    path = locate(source)
    given = read_weights(path)
    name = network or _recognised(source, given)
    num_classes = None
    if name in networks.names():
        num_classes = compare_with(name, given).num_classes
        layer = networks.get(name).build(num_classes)
        weights = with_backbone_prefix(given, layer.head_prefixes)
        load_state(layer, weights, str(source))
    elif name in registry.ours("backbones"):
        # It loads the file itself, because it knows what a classification network has besides.
        layer = registry.find(name, "backbones")(pretrained=str(path))
        weights = part_of(given, "backbone")
    else:
        known = [*networks.names(), *registry.ours("backbones")]
        raise KeyError(f"there is no network or backbone called {name!r}{did_you_mean(name, known)}")
    translated = layer.translate_weights(weights) if hasattr(layer, "translate_weights") else weights
    state = {key: tensor for key, tensor in layer.state_dict().items() if key in translated}
    outside = [key for key in given if not key.startswith("backbone.")] if len(weights) < len(given) else []
    unknown = [key for key in outside if network is None and not key.startswith(_CLASSIFIERS)]
    if unknown:
        raise ValueError(
            f"{source} has {listing(f'tensors outside its backbone {name}', unknown)}; name the backbone with "
            "--network to leave them out"
        )
    with atomic_path(output) as temporary:
        paddle.save(state, str(temporary))
    left_out = outside + [key for key in weights if key not in state]
    return Conversion(
        name, num_classes, len(state), left_out, [key for key in layer.state_dict() if key not in weights]
    )


def _recognised(source: str | Path, weights: Mapping[str, np.ndarray]) -> str:
    match = identify(weights)
    if not match.names:
        raise ValueError(f"{source} has the tensors of no network that is here; name the one it is of with --network")
    return match.names[0]
