from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from paddle.base.proto import framework_pb2

from paddle_mobileseg.export import legacy
from paddle_mobileseg.export.legacy import LegacyGraphError, legacy_mode, save_legacy
from paddle_mobileseg.export.legacy_program import finish
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend

FILES = ["legacy.pdmodel", "legacy.pdiparams"]
DYNAMIC = [-1, 3, -1, -1]
NUMBERED = re.compile(rb'"/[A-Za-z0-9_/]+/"')  # of Paddle 3's graphs: layers' names, numbered through the process


class Layer(nn.Layer):
    """A function of a convolution's output, so that there are parameters."""

    def __init__(self, function: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 1)
        self.function = function

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.function(self.conv(x))


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def save(layer: nn.Layer, folder: Path, shape: list[int]) -> PaddleBackend:
    spec = paddle.static.InputSpec(shape, "float32", "x")
    assert save_legacy(layer, folder, spec) == FILES
    # Without oneDNN: it is the graph that is tested.
    return PaddleBackend([folder / name for name in FILES], 1, onednn=False)


def result(layer: nn.Layer, x: np.ndarray) -> np.ndarray:
    layer.eval()
    with paddle.no_grad():
        return layer(paddle.to_tensor(x)).numpy()


def program(folder: Path) -> Any:
    return framework_pb2.ProgramDesc.FromString((folder / FILES[0]).read_bytes())


def operators(folder: Path) -> list[str]:
    return [op.type for block in program(folder).blocks for op in block.ops]


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (DYNAMIC, [(1, 3, 64, 96), (2, 3, 40, 52)]),
        ([1, 3, 32, 48], [(1, 3, 32, 48)]),
        ([3, 3, 40, 36], [(3, 3, 40, 36)]),
    ],
)
@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
def test_it_computes_what_the_network_does(
    network: nn.Layer, tmp_path: Path, output_op: str, given: list[int], shapes: list[tuple[int, ...]]
) -> None:
    deploy = DeployNetwork(network, GraphSpec(output_op, given))
    runner = save(deploy, tmp_path, given)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for shape in shapes:
        x = inputs(*shape)
        found, expected = runner.run(x), result(deploy, x)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        if found.dtype == np.int32:
            assert set(np.unique(expected)) == {0, 1, 2, 3}
            assert (found == expected).mean() > 0.999
        else:
            np.testing.assert_allclose(found, expected, atol=1e-4)


REPLACED = {
    "abs": lambda x: x.abs(),
    "ceil": paddle.ceil,
    "cos": paddle.cos,
    "exp": lambda x: x.exp(),
    "floor": paddle.floor,
    "log": lambda x: paddle.log(x * x + 1),
    "rsqrt": lambda x: paddle.rsqrt(x * x + 1),
    "sigmoid": F.sigmoid,
    "sign": paddle.sign,
    "sin": paddle.sin,
    "sqrt": lambda x: (x * x).sqrt(),
    "tanh": F.tanh,
    "multiply": lambda x: paddle.multiply(x, x),
    "maximum": lambda x: paddle.maximum(x, -2 * x),
    "minimum": lambda x: paddle.minimum(x=x, y=-2 * x),
    "greater_than": lambda x: paddle.greater_than(x, -x).astype("float32"),
    "logical_and": lambda x: paddle.logical_and(x > 0, x < 1).astype("float32"),
    "logical_or": lambda x: paddle.logical_or(x > 1, x < 0).astype("float32"),
    "logical_not": lambda x: paddle.logical_not(x > 0).astype("float32"),
    "matmul": lambda x: paddle.matmul(x, x, transpose_y=True),
    "argmax": lambda x: x.argmax(1, dtype="int32"),
    "argmin": lambda x: paddle.argmin(x, axis=-1, keepdim=True),
    "sum": lambda x: x.sum(axis=[1, 2], keepdim=True) + paddle.sum(x) + x.sum(-1, keepdim=True),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate=True),
}


@pytest.mark.parametrize("name", legacy.REPLACEMENTS)
def test_every_replacement_computes_what_paddles_function_does(name: str, tmp_path: Path) -> None:
    layer, x = Layer(REPLACED[name]), inputs(1, 3, 6, 6)
    found, expected = save(layer, tmp_path, [1, 3, 6, 6]).run(x), result(layer, x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std() > 0


def test_transposed_product_and_whole_argmax(tmp_path: Path) -> None:
    layer = Layer(lambda x: paddle.matmul(x, x, True, False) + paddle.argmax(x).astype("float32").reshape([1]))
    x = inputs(1, 3, 4, 6)
    np.testing.assert_allclose(save(layer, tmp_path, [1, 3, 4, 6]).run(x), result(layer, x), atol=1e-5)


def test_buffers_shared_layers_and_free_parameters(tmp_path: Path) -> None:
    class Various(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(3, 3, 1)
            self.again = self.conv
            self.scale = self.create_parameter([1, 3, 1, 1])
            self.register_buffer("shift", paddle.to_tensor([[[[1.0]], [[2.0]], [[3.0]]]]), persistable=False)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return self.again(self.conv(x)) * self.scale + self.shift

    layer, x = Various(), inputs(1, 3, 4, 4)
    np.testing.assert_allclose(save(layer, tmp_path, [1, 3, 4, 4]).run(x), result(layer, x), atol=1e-5)


@pytest.mark.skipif("multiply" not in dir(paddle._C_ops), reason="this Paddle has no C++ functions to replace")
@pytest.mark.parametrize("name", ["sigmoid", "argmax", "multiply"])
def test_an_operator_without_replacement_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens when a new Paddle, or a new network, brings another operator of that kind."""
    monkeypatch.delitem(legacy.REPLACEMENTS, name)
    with pytest.raises(LegacyGraphError, match=rf"^operator '{name}' cannot be written .* Paddle {paddle.__version__}"):
        save_legacy(Layer(REPLACED[name]), tmp_path, paddle.static.InputSpec([1, 3, 6, 6], "float32", "x"))
    assert list(tmp_path.iterdir()) == []
    assert_eager()


def test_an_operator_that_paddle_refuses_for_another_reason_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(legacy.REPLACEMENTS, "sigmoid", legacy._unary("sigmoid_of_tomorrow"))
    with pytest.raises(LegacyGraphError, match=r"sigmoid_of_tomorrow"):
        save_legacy(Layer(F.sigmoid), tmp_path, paddle.static.InputSpec([1, 3, 6, 6], "float32", "x"))
    assert_eager()


def test_a_paddle_without_legacy_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(paddle.pir_utils, "OldIrGuard")
    with pytest.raises(LegacyGraphError, match=r"does not write legacy graphs any more .* install paddlepaddle 3"):
        save_legacy(Layer(F.sigmoid), tmp_path, paddle.static.InputSpec([1, 3, 6, 6], "float32", "x"))


def test_a_layer_without_parameters(tmp_path: Path) -> None:
    with pytest.raises(LegacyGraphError, match="ReLU has no parameters or buffers"):
        save_legacy(nn.ReLU(), tmp_path, paddle.static.InputSpec([1, 3, 6, 6], "float32", "x"))


def assert_eager() -> None:
    """Paddle is in eager mode, its graphs are those of Paddle 3, and its own functions are back."""
    assert paddle.in_dynamic_mode()
    assert paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]
    assert paddle.static.Program is paddle.pir.Program
    for name in legacy.REPLACEMENTS:
        assert type(getattr(paddle._C_ops, name)).__name__ == "builtin_function_or_method"
    x = paddle.to_tensor([1.0, 3.0], stop_gradient=False)
    paddle.maximum(F.sigmoid(x), x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_after_an_export_and_after_an_error_everything_is_as_before(tmp_path: Path) -> None:
    before = {name: getattr(paddle._C_ops, name) for name in legacy.REPLACEMENTS}
    save(Layer(F.sigmoid), tmp_path, DYNAMIC)
    assert_eager()
    with pytest.raises(KeyError, match="within"), legacy_mode():
        raise KeyError("within")
    assert_eager()
    assert {name: getattr(paddle._C_ops, name) for name in before} == before


def test_the_network_is_left_as_it_was(network: nn.Layer, tmp_path: Path) -> None:
    network.train()
    network.norm.eval()
    network.stem.weight.stop_gradient = True
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    frozen = {name: p.stop_gradient for name, p in network.named_parameters()}
    identities = {name: id(tensor) for name, tensor in network.state_dict().items()}
    deploy = DeployNetwork(network, GraphSpec("vim"))
    forward = deploy.forward
    save(deploy, tmp_path, DYNAMIC)
    assert deploy.forward == forward
    assert [layer.training for layer in network.sublayers(include_self=True)] == [True, True, False, True, True]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name], after[name].numpy()) for name in before)
    assert {name: id(tensor) for name, tensor in after.items()} == identities
    assert {name: p.stop_gradient for name, p in network.named_parameters()} == frozen
    network(paddle.to_tensor(inputs(2, 3, 32, 32)))[0].sum().backward()
    assert network.head.weight.grad is not None
    assert network.stem.weight.grad is None


def test_both_kinds_in_any_order_and_the_same_bytes_each_time(network: nn.Layer, tmp_path: Path) -> None:
    spec = GraphSpec("vim")
    deploy = DeployNetwork(network, spec)
    found = []
    for number, kind in enumerate(["legacy", "static", "legacy", "static", "static", "legacy"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        names = save_static(deploy, folder, spec) if kind == "static" else save_legacy(deploy, folder, spec.input_spec)
        found.append((kind, [NUMBERED.sub(b"", (folder / name).read_bytes()) for name in names]))
    for kind in ("static", "legacy"):
        contents = [content for its_kind, content in found if its_kind == kind]
        assert contents[1:] == contents[:1] * (len(contents) - 1)
    x = inputs(1, 3, 40, 48)
    assert np.array_equal(
        PaddleBackend([tmp_path / "5" / name for name in FILES], 1, onednn=False).run(x),
        PaddleBackend([tmp_path / "4" / name for name in ("model.json", "model.pdiparams")], 1, onednn=False).run(x),
    )


def test_several_threads_export_one_after_the_other(tmp_path: Path) -> None:
    layers = [Layer(F.sigmoid), Layer(F.tanh)]
    errors: list[Exception] = []

    def work(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            save_legacy(layers[number], folder, paddle.static.InputSpec([1, 3, 6, 6], "float32", "x"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    x = inputs(1, 3, 6, 6)
    for number, layer in enumerate(layers):
        runner = PaddleBackend([tmp_path / str(number) / name for name in FILES], 1)
        np.testing.assert_allclose(runner.run(x), result(layer, x), atol=1e-5)
    assert_eager()


def test_no_operation_of_training_is_left(network: nn.Layer, tmp_path: Path) -> None:
    network.train()
    save(DeployNetwork(network, GraphSpec("none")), tmp_path, DYNAMIC)
    assert "dropout" not in operators(tmp_path)
    (norm,) = [op for op in program(tmp_path).blocks[0].ops if op.type == "batch_norm"]
    assert {a.name: a.b for a in norm.attrs}["is_test"]


@pytest.mark.parametrize("name", ["batch_norm", "dropout"])
def test_an_operation_in_training_mode_is_refused(name: str, network: nn.Layer, tmp_path: Path) -> None:
    """Paddle sets is_test where it saves; this is for one that does not."""
    save(DeployNetwork(network, GraphSpec("none")), tmp_path, DYNAMIC)
    changed = program(tmp_path)
    (op,) = [op for op in changed.blocks[0].ops if op.type == "batch_norm"]
    op.type = name
    for attribute in op.attrs:
        attribute.b = attribute.b and attribute.name != "is_test"
    (tmp_path / FILES[0]).write_bytes(changed.SerializeToString())
    with pytest.raises(LegacyGraphError, match=rf"operator {name} \(output .*\) is in training mode"):
        finish(tmp_path / FILES[0])


def test_relu6_gets_its_threshold_once_and_no_file_names_a_source(tmp_path: Path) -> None:
    save(Layer(lambda x: F.relu6(x) + nn.functional.relu(x)), tmp_path, DYNAMIC)
    ops = {op.type: {a.name: a for a in op.attrs} for op in program(tmp_path).blocks[0].ops}
    assert ops["relu6"]["threshold"].f == 6.0
    assert "threshold" not in ops["relu"]
    assert b".py" not in (tmp_path / FILES[0]).read_bytes()
    assert finish(tmp_path / FILES[0]) == 0


def test_flatten_gets_the_output_that_paddle_lite_reads(tmp_path: Path) -> None:
    layer, x = Layer(lambda x: x.flatten(1)), inputs(2, 3, 4, 4)
    np.testing.assert_allclose(save(layer, tmp_path, [2, 3, 4, 4]).run(x), result(layer, x), atol=1e-5)
    (op,) = [op for op in program(tmp_path).blocks[0].ops if op.type == "flatten_contiguous_range"]
    assert [slot.parameter for slot in op.outputs] == ["Out", "XShape"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_legacy(Layer(F.relu), tmp_path / "none", paddle.static.InputSpec([1, 3, 6, 6], "float32", "x"))
    assert_eager()
