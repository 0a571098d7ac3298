"""The networks that this project offers: each a record that its model file adds.

Whoever adds a record gets the contract tests, the comparison with PaddleSeg (where PaddleSeg has the network), a row of
``mobileseg models`` and of docs/reference for it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paddle_mobileseg import registry
from paddle_mobileseg.suggestion import did_you_mean

if TYPE_CHECKING:
    from paddle import nn


@dataclass(frozen=True)
class Network:
    """A network, and what is known of it.

    Attributes:
        name: such as ``"pp_mobileseg_tiny"``; published files and recipes are called after it.
        title: for tables.
        family: for tables.
        source: paper or repository.
        model: as a YAML's ``model``, without ``num_classes`` and ``pretrained``.
        recipe: the YAML below ``configs/`` that trains it as its authors did, or that shows how to.
        num_classes: of the recipe.
        size_hw: height and width that the recipe trains at, in pixels.
        parameters: trainable, with ``num_classes``; exact.
        macs: multiply-accumulate operations for one image of ``size_hw``, as
            :func:`paddle_mobileseg.models.complexity.count` counts them; exact.
        in_paddleseg: whether PaddleSeg has the same network under the same names, so that tests can compare.
    """

    name: str
    title: str
    family: str
    source: str
    model: dict[str, Any]
    recipe: str
    num_classes: int
    size_hw: tuple[int, int]
    parameters: int
    macs: int
    in_paddleseg: bool = True

    def spec(self, num_classes: int | None = None) -> dict[str, Any]:
        """A copy of ``model`` with ``num_classes`` (by default the recipe's)."""
        return {**copy.deepcopy(self.model), "num_classes": num_classes or self.num_classes}

    def build(self, num_classes: int | None = None) -> nn.Layer:
        """The network with random weights, for ``num_classes`` classes (by default the recipe's)."""
        from paddle_mobileseg.config import build

        return build.component(self.spec(num_classes))

    def build_paddleseg(self, num_classes: int | None = None) -> nn.Layer:
        """PaddleSeg's own classes of the same description, to compare with.

        Raises:
            KeyError: PaddleSeg does not have the network.
        """
        import paddle

        def component(spec: dict[str, Any]) -> Any:
            arguments = {key: component(each) if isinstance(each, dict) else each for key, each in spec.items()}
            return registry.upstream(arguments.pop("type"))(**arguments)

        with paddle.utils.unique_name.guard():  # it gives some parameters fixed names, which may not occur twice
            return component(self.spec(num_classes))


_networks: dict[str, Network] = {}


def add(*networks: Network) -> None:
    """Offer networks.

    Raises:
        ValueError: there is another of that name.
    """
    for network in networks:
        if _networks.setdefault(network.name, network) != network:
            raise ValueError(f"two networks are called {network.name!r}; rename one of them")


def names() -> list[str]:
    """Names of all networks, sorted."""
    registry.install()
    return sorted(_networks)


def get(name: str) -> Network:
    """The record called ``name``.

    Raises:
        KeyError: there is none; the message names the nearest.
    """
    known = names()
    if name not in _networks:
        raise KeyError(f"there is no network called {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return _networks[name]


def table() -> list[tuple[str, ...]]:
    """All networks with what is known of them, as rows of text for :mod:`paddle_mobileseg.tables`.

    The published mIoU is that of the recipe's own weights in the catalogue, for one scale.
    """
    rows: list[tuple[str, ...]] = [
        ("name", "network", "parameters", "MACs", "at (W x H)", "classes", "published mIoU", "recipe", "source")
    ]
    for name in names():
        each = _networks[name]
        height, width = each.size_hw
        rows.append(
            (
                name,
                each.title,
                f"{each.parameters:,}",
                f"{each.macs:,}",
                f"{width}x{height}",
                str(each.num_classes),
                _published_miou(each),
                each.recipe,
                each.source,
            )
        )
    return rows


_PAGE = """# Networks

Written by `mobileseg models --markdown` (`make docs`); do not edit it here.

Parameters are those that training changes, MACs the multiply-accumulate operations of convolutions and linear layers
for one image of the recipe's training size, both counted exactly on the network itself with the recipe's number of
classes. The published mIoU is the authors', on the validation images at one scale; it has not been measured here.

{table}

`mobileseg weights list --network NAME` shows the published weights of one.
"""


def reference_page() -> str:
    """The table as a page of the documentation."""
    from paddle_mobileseg import tables

    return _PAGE.format(table=tables.markdown(table())).rstrip("\n")


def _published_miou(network: Network) -> str:
    from paddle_mobileseg.weights import catalog

    scores = (
        entry.metrics["miou"]
        for entry in catalog.entries().values()
        if (entry.network, entry.recipe) == (network.name, network.recipe) and "miou" in entry.metrics
    )
    score = next(scores, None)
    return "-" if score is None else f"{score:.2f} %"
