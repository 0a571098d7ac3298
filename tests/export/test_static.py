from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.export.onnx_convert import convert
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend

DYNAMIC = [-1, 3, -1, -1]


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def logits_of(network: nn.Layer, x: np.ndarray) -> np.ndarray:
    network.eval()
    with paddle.no_grad():
        return network(paddle.to_tensor(x))[0].numpy()


def save(network: nn.Layer, folder: Path, output_op: str, shape: list[int]) -> list[str]:
    spec = GraphSpec(output_op, shape)
    return save_static(DeployNetwork(network, spec), folder, spec)


def load(folder: Path) -> PaddleBackend:
    return PaddleBackend([folder / "model.json", folder / "model.pdiparams"], threads=1)


@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (2, 3, 40, 52)])
@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
def test_every_output_at_several_sizes_of_one_dynamic_graph(
    network: nn.Layer, tmp_path: Path, output_op: str, shape: tuple[int, ...]
) -> None:
    assert save(network, tmp_path, output_op, DYNAMIC) == ["model.json", "model.pdiparams"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pdiparams"]
    x = inputs(*shape)
    found = load(tmp_path).run(x)
    logits = logits_of(network, x)
    if output_op == "none":
        np.testing.assert_allclose(found, logits, atol=1e-4)
    elif output_op == "softmax":
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(found, exponentials / exponentials.sum(1, keepdims=True), atol=1e-5)
        assert found.dtype == np.float32
    else:  # all four classes win somewhere, so valid and full interpolation give the same labels
        assert found.dtype == np.int32
        assert found.shape == (shape[0], *shape[2:])
        assert set(np.unique(logits.argmax(1))) == {0, 1, 2, 3}
        assert (found == logits.argmax(1)).mean() > 0.999


def test_fixed_shape(network: nn.Layer, tmp_path: Path) -> None:
    save(network, tmp_path, "argmax", [2, 3, 32, 48])
    x = inputs(2, 3, 32, 48)
    assert (load(tmp_path).run(x) == logits_of(network, x).argmax(1)).mean() > 0.999


def test_no_operation_of_training_is_left(network: nn.Layer, tmp_path: Path) -> None:
    network.train()
    save(network, tmp_path, "none", DYNAMIC)
    assert "dropout" not in (tmp_path / "model.json").read_text()
    one, two = inputs(1, 3, 32, 32), inputs(1, 3, 32, 32) * 5 + 3
    runner = load(tmp_path)
    alone = runner.run(one)
    runner.run(two)
    assert np.array_equal(runner.run(one), alone)  # neither chance nor statistics of batches
    np.testing.assert_allclose(runner.run(np.concatenate([one, two]))[:1], alone, atol=1e-4)


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]
NORMALIZATION = {"scale": 255.0, "mean": MEAN, "std": STD}


def run_uint8(network: nn.Layer, folder: Path, spec: GraphSpec, images: np.ndarray) -> list[np.ndarray]:
    """Outputs of Paddle Inference and ONNX Runtime."""
    files = [folder / name for name in save_static(DeployNetwork(network, spec), folder, spec)]
    convert(*files, folder / "model.onnx")
    return [PaddleBackend(files, 1).run(images), OnnxRuntimeBackend([folder / "model.onnx"], 1).run(images)]


@pytest.mark.parametrize("shape", [[-1, 3, -1, -1], [2, 3, 40, 52]])
def test_images_of_bytes_are_normalised_by_the_graph(network: nn.Layer, tmp_path: Path, shape: list[int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 52, 3), np.uint8)
    normalised = ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    spec = GraphSpec("none", shape, "uint8", NORMALIZATION)
    assert spec.graph_shape == [shape[0], shape[2], shape[3], 3]
    for found in run_uint8(network, tmp_path, spec, images):
        np.testing.assert_allclose(found, logits_of(network, normalised), atol=1e-3)


def test_images_of_bytes_without_normalisation(network: nn.Layer, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 52, 3), np.uint8)
    expected = logits_of(network, images.transpose(0, 3, 1, 2).astype(np.float32))
    for found in run_uint8(network, tmp_path, GraphSpec("none", DYNAMIC, "uint8"), images):
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size_hw", [(30, 91), (97, 40)])
def test_the_graph_resizes_as_opencv_but_for_its_rounding(
    network: nn.Layer, tmp_path: Path, size_hw: tuple[int, int]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, *size_hw, 3), np.uint8)
    resized = cv2.resize(images[0].astype(np.float32), (56, 48), interpolation=cv2.INTER_LINEAR)
    normalised = ((resized / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
    spec = GraphSpec("none", DYNAMIC, "uint8", NORMALIZATION, resize_hw=[48, 56])
    assert spec.network_hw == [48, 56]
    assert spec.graph_shape == [-1, -1, -1, 3]
    expected = logits_of(network, normalised)
    for found in run_uint8(network, tmp_path, spec, images):
        assert found.shape == (1, 4, 48, 56)
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_labels_of_resized_images_have_the_networks_size(network: nn.Layer, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 30, 91, 3), np.uint8)
    spec = GraphSpec("vim", [1, 3, 30, 91], "uint8", NORMALIZATION, resize_hw=[48, 56])
    for found in run_uint8(network, tmp_path, spec, images):
        assert (found.dtype, found.shape) == (np.int32, (1, 48, 56))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output_op": "labels"}, "'labels'; expected one of none, softmax, argmax, vim"),
        ({"input_format": "int8"}, "'int8'; expected one of float32, uint8"),
        ({"input_shape": [1, 1, 8, 8]}, r"expected \[N, 3, H, W\]"),
        ({"input_shape": [1, 3, 8, 0]}, r"expected \[N, 3, H, W\]"),
        ({"normalization": NORMALIZATION}, "for uint8 images only"),
        ({"resize_hw": [8, 8]}, "for uint8 images only"),
        ({"input_format": "uint8", "resize_hw": [8]}, r"resize_hw is \[8\]"),
        ({"input_format": "uint8", "resize_hw": [8, -1]}, r"resize_hw is \[8, -1\]"),
        ({"input_format": "uint8", "normalization": {"mean": MEAN}}, "scale, mean and std"),
        ({"input_format": "uint8", "normalization": {**NORMALIZATION, "std": [0.2, 0.0, 0.1]}}, "above 0"),
        ({"input_format": "uint8", "normalization": {**NORMALIZATION, "mean": [0.2, 0.1]}}, "1 or 3 numbers"),
    ],
)
def test_wrong_specs(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphSpec(**{"output_op": "none", **values})


def test_labels_of_a_network_without_low_logits(network: nn.Layer, tmp_path: Path) -> None:
    class Plain(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inside = network

        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return self.inside(x)

    save(Plain(), tmp_path, "argmax", DYNAMIC)
    x = inputs(1, 3, 32, 48)
    np.testing.assert_array_equal(load(tmp_path).run(x), logits_of(network, x).argmax(1))


def test_one_network_is_saved_several_times(network: nn.Layer, tmp_path: Path) -> None:
    spec = GraphSpec("none")
    deploy = DeployNetwork(network, spec)
    x = inputs(1, 3, 32, 48)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_static(deploy, tmp_path / name, spec)
        np.testing.assert_allclose(load(tmp_path / name).run(x), logits_of(network, x), atol=1e-4)
    assert isinstance(deploy.forward(paddle.to_tensor(x)), paddle.Tensor)


def test_the_network_is_left_as_it_was(network: nn.Layer, tmp_path: Path) -> None:
    network.train()
    network.norm.eval()
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    save(network, tmp_path, "vim", DYNAMIC)
    assert [layer.training for layer in network.sublayers(include_self=True)] == [True, True, False, True, True]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)
    assert type(network(paddle.to_tensor(inputs(1, 3, 32, 32)))) is list
    assert not isinstance(network.forward, paddle.jit.dy2static.program_translator.StaticFunction)


def test_align_corners_reaches_vim(network: nn.Layer) -> None:
    network.align_corners = True
    x = inputs(1, 3, 64, 64)
    deploy = DeployNetwork(network, GraphSpec("vim"))
    deploy.eval()
    labels = deploy(paddle.to_tensor(x)).numpy()
    assert (labels == logits_of(network, x).argmax(1)).mean() > 0.999


def test_vim_needs_low_logits(network: nn.Layer) -> None:
    with pytest.raises(ValueError, match=r"low_logits.*Sequential lacks; use 'argmax'"):
        DeployNetwork(nn.Sequential(network), GraphSpec("vim"))
