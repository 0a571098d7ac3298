"""The authors' PyTorch networks and ours give the same numbers on the same weights, under the published names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.weights import load_weights
from paddle_mobileseg.weights.mmseg import to_paddleseg_names

# Networks whose authors publish mmsegmentation checkpoints.
FROM_TORCH = ["pp_mobileseg_base", "pp_mobileseg_tiny", "topformer_base", "topformer_small", "topformer_tiny"]


def keys(shared_dir: Path, name: str) -> list[tuple[str, list[int]]]:
    listed = json.loads((shared_dir / "reference" / "keys" / f"{name}.keys.json").read_text())
    return [(key, shape) for key, shape, _ in listed]


@pytest.mark.parametrize("size", ["512x512", "480x480"])
@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("pp_mobileseg_tiny", "pp_mobileseg_tiny"),
        ("topformer_tiny", "topformer_tiny"),
        ("topformer_tiny", "topformer_tiny_legacyformat"),
    ],
)
def test_tiny_equals_the_authors_network(shared_dir: Path, name: str, container: str, size: str) -> None:
    oracles = shared_dir / "reference" / "oracles"
    network = networks.get(name).build()
    load_weights(network, oracles / f"{container}.pth")
    network.eval()
    expected = np.load(oracles / f"{name}_{size}.npz")
    image = paddle.to_tensor(np.load(oracles / f"input_imagenet_{size}.npz")["input"])
    with paddle.no_grad():
        low, full = network.low_logits(image).numpy(), network(image)[0].numpy()[0]

    assert np.abs(low - expected["logits_low"]).max() <= 5e-4
    sample = full[:, expected["up_ys"]][:, :, expected["up_xs"]]
    assert np.abs(sample - expected["logits_up_sample"]).max() <= 5e-4
    height, width = expected["argmax"].shape
    near_tie = np.unpackbits(expected["near_tie_bits"])[: height * width].reshape(height, width).astype(bool)
    assert np.array_equal(full.argmax(0)[~near_tie], expected["argmax"][~near_tie])


@pytest.mark.parametrize("name", FROM_TORCH)
def test_names_and_shapes_are_those_of_the_published_files(shared_dir: Path, name: str) -> None:
    own = [(key, list(tensor.shape)) for key, tensor in networks.get(name).build().state_dict().items()]

    assert own == keys(shared_dir, f"paddleseg_{name}")
    renamed = to_paddleseg_names({key: np.zeros(shape) for key, shape in keys(shared_dir, f"torch_{name}")})
    assert sorted((key, list(array.shape)) for key, array in renamed.items()) == sorted(own)


@pytest.mark.parametrize("name", FROM_TORCH)
def test_parameter_count_is_that_of_paddleseg(shared_dir: Path, name: str) -> None:
    measured = json.loads((shared_dir / "reference" / "paddleseg_flops.json").read_text())

    assert networks.get(name).parameters == measured[f"{name}|150|512x512"]["params_trainable"]
