"""What the tests of backbones need to compare ours with PaddleSeg's class of the same name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg import registry


def both(name: str, **arguments: Any) -> tuple[nn.Layer, nn.Layer]:
    """Ours and PaddleSeg's, each as constructed from the same seed."""
    networks = []
    for find, package in ((registry.find, "paddle_mobileseg."), (registry.upstream, "paddleseg.")):
        paddle.seed(7)
        with paddle.utils.unique_name.guard():  # PaddleSeg gives some parameters fixed names
            networks.append(find(name)(**arguments))
        assert type(networks[-1]).__module__.startswith(package)
    return networks[0], networks[1]


def with_equal_weights(pair: tuple[nn.Layer, nn.Layer], seed: int) -> tuple[nn.Layer, nn.Layer]:
    """The two networks with the same random weights, of which every branch counts; float64, in eval mode."""
    ours, theirs = pair
    give_random_weights(ours, seed)
    assert theirs.set_state_dict(ours.state_dict()) == ([], [])
    for network in pair:
        network.to(dtype="float64")
        network.eval()
    return pair


def give_random_weights(network: nn.Layer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if len(shape) > 1:
            fan_in = math.prod(shape[1:]) if len(shape) == 4 else shape[0]
            values = rng.normal(0, (1.6 / fan_in) ** 0.5, shape)
        elif name.endswith(("weight", "_variance")):
            values = rng.uniform(0.6, 1.4, shape)
        else:
            values = rng.normal(0, 0.3, shape)
        tensor.set_value(values.astype(np.float32))


def image(size_hw: tuple[int, int], channels: int = 3, batch: int = 1) -> Tensor:
    """float64 ``[batch, channels, *size_hw]``."""
    return paddle.to_tensor(np.random.default_rng(size_hw[1]).normal(size=(batch, channels, *size_hw)))


def assert_same_tensors(pair: tuple[nn.Layer, nn.Layer]) -> None:
    """Names, order, shapes and values of all parameters and buffers."""
    ours, theirs = (network.state_dict() for network in pair)
    assert [(n, t.shape) for n, t in ours.items()] == [(n, t.shape) for n, t in theirs.items()]
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor.numpy(), theirs[name].numpy(), err_msg=name)


def parameter_attributes(network: nn.Layer) -> dict[str, tuple]:
    """What an optimiser reads of each parameter."""
    return {
        name: (p.stop_gradient, p.trainable, str(p.regularizer), p.optimize_attr, p.need_clip)
        for name, p in network.named_parameters()
    }


def assert_same_maps(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Within a millionth of the largest value, which only float64 reaches."""
    assert len(ours) == len(theirs)
    for ours_map, theirs_map in zip(ours, theirs, strict=True):
        mine, other = ours_map.numpy(), theirs_map.numpy()
        assert mine.shape == other.shape
        assert mine.dtype == other.dtype == np.float64
        assert other.std() > 0.05 * np.abs(other).max()  # the weights are healthy
        assert np.abs(mine - other).max() < 1e-6 * np.abs(other).max()


def assert_as_announced(network: nn.Layer, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> None:
    """The maps have the channels and strides that the backbone says; sides are rounded up."""
    assert [each.shape[1:] for each in maps] == [
        [channels, *(math.ceil(side / stride) for side in size_hw)]
        for channels, stride in zip(network.feat_channels, network.feat_strides, strict=True)
    ]


def assert_same_training_step(pair: tuple[nn.Layer, nn.Layer], x: Tensor) -> None:
    """In training mode: the maps, the statistics that batch norms gather, and the gradients."""
    maps = []
    for network in pair:
        network.train()
        maps.append(network(x))
        sum((each**2).mean() for each in maps[-1]).backward()
    assert_same_maps(*maps)

    ours, theirs = pair
    gathered = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), gathered[name].numpy(), rtol=1e-6, atol=1e-9, err_msg=name)
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters() if not p.stop_gradient}
    largest = max(np.abs(each).max() for each in gradients.values())
    for name, parameter in ours.named_parameters():
        if not parameter.stop_gradient:
            np.testing.assert_allclose(
                parameter.grad.numpy(), gradients[name], rtol=1e-5, atol=1e-7 * largest, err_msg=name
            )
