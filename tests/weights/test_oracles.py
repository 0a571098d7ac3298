"""The authors' PyTorch network and ours give the same numbers on the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg.backbones.strideformer import strideformer_base, strideformer_tiny
from paddle_mobileseg.models.pp_mobileseg import PPMobileSeg
from paddle_mobileseg.weights import load_weights
from paddle_mobileseg.weights.mmseg import to_paddleseg_names

NETWORKS = {
    "tiny": lambda: PPMobileSeg(150, strideformer_tiny(inj_type="AAM")),
    "base": lambda: PPMobileSeg(150, strideformer_base(inj_type="AAMSx8")),
}
TRAINABLE = {"tiny": 1_492_298, "base": 5_943_878}


def keys(shared_dir: Path, name: str) -> list[tuple[str, list[int]]]:
    listed = json.loads((shared_dir / "reference" / "keys" / f"{name}.keys.json").read_text())
    return [(key, shape) for key, shape, _ in listed]


@pytest.mark.parametrize("size", ["512x512", "480x480"])
def test_tiny_equals_the_authors_network(shared_dir: Path, size: str) -> None:
    oracles = shared_dir / "reference" / "oracles"
    network = NETWORKS["tiny"]()
    load_weights(network, oracles / "pp_mobileseg_tiny.pth")
    network.eval()
    expected = np.load(oracles / f"pp_mobileseg_tiny_{size}.npz")
    image = paddle.to_tensor(np.load(oracles / f"input_imagenet_{size}.npz")["input"])
    with paddle.no_grad():
        low, full = network.low_logits(image).numpy(), network(image)[0].numpy()[0]

    assert np.abs(low - expected["logits_low"]).max() <= 5e-4
    sample = full[:, expected["up_ys"]][:, :, expected["up_xs"]]
    assert np.abs(sample - expected["logits_up_sample"]).max() <= 5e-4
    height, width = expected["argmax"].shape
    near_tie = np.unpackbits(expected["near_tie_bits"])[: height * width].reshape(height, width).astype(bool)
    assert np.array_equal(full.argmax(0)[~near_tie], expected["argmax"][~near_tie])


@pytest.mark.parametrize("variant", NETWORKS)
def test_names_and_shapes_are_those_of_the_published_files(shared_dir: Path, variant: str) -> None:
    own = [(name, list(tensor.shape)) for name, tensor in NETWORKS[variant]().state_dict().items()]

    assert own == keys(shared_dir, f"paddleseg_pp_mobileseg_{variant}")
    torch_keys = keys(shared_dir, f"torch_pp_mobileseg_{variant}")
    renamed = to_paddleseg_names({name: np.zeros(shape) for name, shape in torch_keys})
    assert sorted((name, list(array.shape)) for name, array in renamed.items()) == sorted(own)


@pytest.mark.parametrize("variant", NETWORKS)
def test_parameter_count(variant: str) -> None:
    parameters = NETWORKS[variant]().parameters()

    assert sum(int(np.prod(p.shape)) for p in parameters if not p.stop_gradient) == TRAINABLE[variant]
