from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import Tensor, nn
from paddle.base.proto import framework_pb2

from paddle_mobileseg import networks
from paddle_mobileseg.export.fold import folded
from paddle_mobileseg.export.legacy import save_legacy
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.layers import DropPath
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend
from tests.comparison import apart, give_random_weights, image


class Case(nn.Layer):
    """Convolutions and batch norms in every relation that folding has to tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2D(3, 4, 3, padding=1, bias_attr=False)
        self.plain_norm = nn.BatchNorm2D(4)
        self.biased = nn.Sequential(nn.Conv2D(4, 4, 3, groups=4), nn.BatchNorm2D(4, epsilon=0.1), nn.Dropout2D(0.5))
        self.bare = nn.Conv2D(4, 4, 1)
        self.bare_norm = nn.BatchNorm2D(4, weight_attr=False, bias_attr=False)
        self.read_twice = nn.Conv2D(4, 4, 1)
        self.of_read_twice = nn.BatchNorm2D(4)
        self.one = nn.Conv2D(4, 4, 1)
        self.other = nn.Conv2D(4, 4, 1)
        self.of_sum = nn.BatchNorm2D(4)
        self.runs_twice = nn.Conv2D(4, 4, 1)
        self.runs_twice_norm = nn.BatchNorm2D(4)
        self.drop_path = DropPath(0.5)
        self.unused = nn.BatchNorm2D(4)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.plain_norm(self.plain(x)))
        x = self.drop_path(self.bare_norm(self.bare(self.biased(x))))
        y = self.read_twice(x)
        x = F.sigmoid(y) + self.of_read_twice(y)
        x = self.of_sum(self.one(x) + self.other(x))
        for _ in range(2):
            x = self.runs_twice_norm(self.runs_twice(x))
        return [x]


def norms(network: nn.Layer) -> list[str]:
    return [name for name, layer in network.named_sublayers() if isinstance(layer, nn.BatchNorm2D)]


def test_folds_only_what_may_be_folded_and_computes_the_same() -> None:
    network = Case()
    give_random_weights(network, 0)
    network.to(dtype="float64")
    network.eval()
    result = folded(network)
    assert norms(result) == ["of_read_twice", "of_sum", "runs_twice_norm", "unused"]
    x = image((12, 9))
    assert apart(result(x)[0].numpy(), network(x)[0].numpy()) < 1e-12


def test_the_weights_of_one_fold_worked_out_by_hand() -> None:
    network = nn.Sequential(nn.Conv2D(3, 1, 1), nn.BatchNorm2D(1, epsilon=0.25), nn.Conv2D(1, 2, 1))
    values = {
        "0.weight": [[[[1.0]], [[2.0]], [[4.0]]]],
        "0.bias": [5.0],
        "1.weight": [3.0],
        "1.bias": [7.0],
        "1._mean": [1.0],
        "1._variance": [2.0],
    }
    state = network.state_dict()
    for name, value in values.items():
        state[name].set_value(np.array(value, np.float32))

    class Listed(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inside = network

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.inside(x)]

    conv = folded(Listed()).inside[0]
    assert conv.weight.numpy().ravel().tolist() == [2.0, 4.0, 8.0]  # times 3 / sqrt(2 + 0.25)
    assert conv.bias.numpy().tolist() == [15.0]  # (5 - 1) * 2 + 7


def test_the_network_stays_as_it_was() -> None:
    network = Case()
    network.train()
    network.plain_norm.eval()
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    modes = [layer.training for layer in network.sublayers()]
    result = folded(network)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)
    assert [layer.training for layer in network.sublayers()] == modes
    assert isinstance(network.drop_path, DropPath)
    assert not any(isinstance(layer, (DropPath, nn.Dropout2D)) for layer in result.sublayers())
    assert not any(layer.training for layer in result.sublayers(include_self=True))
    assert network.plain.bias is None
    assert type(network.biased[0]) is nn.Conv2D


@pytest.mark.parametrize("name", networks.names())
def test_every_network_loses_all_its_batch_norms(name: str) -> None:
    network = networks.get(name).build(5)
    give_random_weights(network, 1)
    network.to(dtype="float64")
    network.eval()
    ran = []
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer.register_forward_post_hook(lambda layer, inputs, output: ran.append(id(layer)))
    x = image((96, 128))
    with paddle.no_grad():
        expected = network(x)[0].numpy()
        assert len(ran) > 40
        ran.clear()
        result = folded(network)
        ran.clear()
        found = result(x)[0].numpy()
        vim = result.low_logits(x).numpy()
        low = network.low_logits(x).numpy()
    assert apart(found, expected) < 1e-9
    assert apart(vim, low) < 1e-9
    left = [layer for layer in result.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    assert not {id(layer) for layer in left} & set(ran)  # those left are of heads for training only


@pytest.mark.parametrize("groups", [1, 4])
def test_a_bias_is_one_operator_of_every_graph(tmp_path: Path, groups: int) -> None:
    """In the form that each runtime joins to the convolution: a vector along axis 1 in legacy graphs."""
    network = nn.Sequential(nn.Conv2D(3, 4, 3, stride=2, padding=1), nn.Conv2D(4, 4, 3, dilation=2, groups=groups))

    class Listed(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inside = network

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.inside(x)]

    deploy, spec = DeployNetwork(folded(Listed()), GraphSpec("none", [1, 3, 32, 40])), GraphSpec("none", [1, 3, 32, 40])
    x = image((32, 40), dtype="float32")
    expected = network(x).numpy()
    assert apart(deploy(x).numpy(), expected) < 1e-6
    saved = {"json": save_static(deploy, tmp_path, spec), "legacy": save_legacy(deploy, tmp_path, spec.input_spec)}
    for files in saved.values():
        assert apart(PaddleBackend([tmp_path / name for name in files], 1).run(x.numpy()), expected) < 1e-6
    program = framework_pb2.ProgramDesc.FromString((tmp_path / saved["legacy"][0]).read_bytes())
    kinds = [op.type for op in program.blocks[0].ops if op.type not in ("feed", "fetch", "scale")]
    assert kinds == ["conv2d", "elementwise_add", "conv2d" if groups == 1 else "depthwise_conv2d", "elementwise_add"]
    axes = [a.i for op in program.blocks[0].ops if op.type == "elementwise_add" for a in op.attrs if a.name == "axis"]
    assert axes == [1, 1]
