"""Which network a file belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paddle_mobileseg import networks, registry
from paddle_mobileseg.weights import identify as module
from paddle_mobileseg.weights.identify import Match, identify


def arrays(layer_state: dict[str, object]) -> dict[str, np.ndarray]:
    return {name: np.zeros(tensor.shape, np.float32) for name, tensor in layer_state.items()}  # type: ignore[attr-defined]


def candidate(name: str) -> dict[str, np.ndarray]:
    found = next(each for each in module._networks() + module._backbones() if each.name == name)
    return {key: np.zeros(shape, np.float32) for key, shape in found.shapes.items()}


@pytest.mark.parametrize("name", networks.names())
def test_every_network_by_its_own_tensors_with_any_number_of_classes(name: str) -> None:
    match = identify(arrays(networks.get(name).build(7).state_dict()))

    assert (match.names, match.num_classes, match.share) == ((name,), 7, 1.0)
    assert match.sentence() == f"The file seems to belong to {name} with 7 classes"


def test_every_backbone_by_its_own_tensors() -> None:
    for each in module._backbones():
        match = identify(candidate(each.name))
        assert each.name in match.names
        assert (match.is_backbone, match.share, match.num_classes) == (True, 1.0, None)
        shapes = {str(candidate(name).keys()) for name in match.names}
        assert len(shapes) == 1
    assert {"STDC1", "MobileSeg_Tiny", "GhostNet_x1_0"} <= {each.name for each in module._backbones()}
    names = [each.name for each in module._backbones()]
    assert len({registry.find(name, "backbones") for name in names}) == len(names)


def test_a_backbone_with_the_prefix_and_a_classifier() -> None:
    state = {f"backbone.{name}": array for name, array in candidate("STDC1").items()}
    match = identify({**state, "fc.weight": np.zeros([3, 3])})
    assert match.names == ("STDC1",)
    assert match.sentence() == "The file seems to belong to the backbone STDC1"


@pytest.mark.parametrize("era", ["31395369", "d23b93d2"])
def test_earlier_layouts(shared_dir: Path, era: str) -> None:
    path = shared_dir / "reference" / "keys" / f"paddleseg_pp_liteseg_stdc2.era_{era}.keys.json"
    match = identify({name: np.zeros(shape, np.float32) for name, shape in json.loads(path.read_text())})
    assert (match.names, match.num_classes, match.share) == (("pp_liteseg_stdc2",), 19, 1.0)


def test_a_file_that_is_nearly_of_a_network() -> None:
    state = arrays(networks.get("topformer_tiny").build(7).state_dict())
    for name in list(state)[:31]:
        state[name] = np.zeros([1])
    match = identify(state)
    assert match.sentence() == "The file is nearest to topformer_tiny with 7 classes: 284 of its 315 tensors fit"


def test_heads_of_different_numbers_of_classes_do_not_fit() -> None:
    state = arrays(networks.get("topformer_tiny").build(7).state_dict())
    state["decode_head.conv_seg.bias"] = np.zeros([8])
    match = identify(state)
    assert (match.names, match.fitting, match.own) == (("topformer_tiny",), 313, 315)


@pytest.mark.parametrize("state", [{}, {"0.weight": np.zeros([2])}, {"backbone.features.0.conv.weight": np.zeros([2])}])
def test_a_file_that_is_of_none(state: dict[str, np.ndarray]) -> None:
    assert identify(state) == Match()
    assert identify(state).sentence() == "The file seems to belong to no network that is here"


def test_a_network_that_cannot_be_built_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    state = arrays(networks.get("topformer_tiny").build(7).state_dict())
    built = networks.Network.build

    def build(record: networks.Network, num_classes: int | None = None) -> object:
        if record.name == "mobileseg_ghostnet":
            raise RuntimeError("broken")
        return built(record, num_classes)

    module._networks.cache_clear()
    try:
        monkeypatch.setattr(networks.Network, "build", build)
        assert identify(state).names == ("topformer_tiny",)
        assert "mobileseg_ghostnet" not in {each.name for each in module._networks()}
    finally:
        module._networks.cache_clear()
