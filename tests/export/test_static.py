from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.export.static import DeployNetwork, save_static
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend

DYNAMIC = [-1, 3, -1, -1]


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def logits_of(network: nn.Layer, x: np.ndarray) -> np.ndarray:
    network.eval()
    with paddle.no_grad():
        return network(paddle.to_tensor(x))[0].numpy()


def load(folder: Path) -> PaddleBackend:
    return PaddleBackend([folder / "model.json", folder / "model.pdiparams"], threads=1)


@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (2, 3, 40, 52)])
@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
def test_every_output_at_several_sizes_of_one_dynamic_graph(
    network: nn.Layer, tmp_path: Path, output_op: str, shape: tuple[int, ...]
) -> None:
    assert save_static(network, tmp_path, output_op, DYNAMIC) == ["model.json", "model.pdiparams"]
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
    save_static(network, tmp_path, "argmax", [2, 3, 32, 48])
    x = inputs(2, 3, 32, 48)
    assert (load(tmp_path).run(x) == logits_of(network, x).argmax(1)).mean() > 0.999


def test_no_operation_of_training_is_left(network: nn.Layer, tmp_path: Path) -> None:
    network.train()
    save_static(network, tmp_path, "none", DYNAMIC)
    assert "dropout" not in (tmp_path / "model.json").read_text()
    one, two = inputs(1, 3, 32, 32), inputs(1, 3, 32, 32) * 5 + 3
    runner = load(tmp_path)
    alone = runner.run(one)
    runner.run(two)
    assert np.array_equal(runner.run(one), alone)  # neither chance nor statistics of batches
    np.testing.assert_allclose(runner.run(np.concatenate([one, two]))[:1], alone, atol=1e-4)


def test_the_network_is_left_as_it_was(network: nn.Layer, tmp_path: Path) -> None:
    network.train()
    network.norm.eval()
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    save_static(network, tmp_path, "vim", DYNAMIC)
    assert [layer.training for layer in network.sublayers(include_self=True)] == [True, True, False, True, True]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)
    assert type(network(paddle.to_tensor(inputs(1, 3, 32, 32)))) is list
    assert not isinstance(network.forward, paddle.jit.dy2static.program_translator.StaticFunction)


def test_align_corners_reaches_vim(network: nn.Layer) -> None:
    network.align_corners = True
    x = inputs(1, 3, 64, 64)
    deploy = DeployNetwork(network, "vim")
    deploy.eval()
    labels = deploy(paddle.to_tensor(x)).numpy()
    assert (labels == logits_of(network, x).argmax(1)).mean() > 0.999


def test_wrong_output_op(network: nn.Layer) -> None:
    with pytest.raises(ValueError, match="'labels'; expected one of none, softmax, argmax, vim"):
        DeployNetwork(network, "labels")
    with pytest.raises(ValueError, match=r"low_logits.*Sequential lacks; use 'argmax'"):
        DeployNetwork(nn.Sequential(network), "vim")
