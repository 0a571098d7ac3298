"""What the tests that compare networks share: weights and images for them, PaddleSeg's classes, and what must agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_mobileseg import registry
from paddle_mobileseg.export.untrained import draw_weights

Pair = tuple[nn.Layer, nn.Layer]


def both(name: str, **arguments: Any) -> Pair:
    """Our component of that name and PaddleSeg's, each as constructed from the same seed."""
    networks = []
    for find, package in ((registry.find, "paddle_mobileseg."), (registry.upstream, "paddleseg.")):
        paddle.seed(7)
        with paddle.utils.unique_name.guard():  # PaddleSeg gives some parameters fixed names
            networks.append(find(name)(**arguments))
        assert type(networks[-1]).__module__.startswith(package)
    return networks[0], networks[1]


def with_equal_weights(pair: Pair, seed: int, dtype: str = "float64") -> Pair:
    """The two networks with the same random weights, loaded strictly both ways, in eval mode."""
    ours, theirs = pair
    give_random_weights(ours, seed)
    assert theirs.set_state_dict(ours.state_dict()) == ([], [])
    assert ours.set_state_dict(theirs.state_dict()) == ([], [])
    for network in pair:
        network.to(dtype=dtype)
        network.eval()
    return pair


def give_random_weights(network: nn.Layer, seed: int, gain: float = 1.0) -> None:
    """Weights with which every branch counts, unlike at the start of a training.

    Args:
        network: what gets them, buffers included.
        seed: of the weights.
        gain: variance of a layer's output over that of its input. With 1 no map explodes, so that float32 compares
            well; above 1 the image counts more and biases less, so that labels have several classes.
    """
    draw_weights(network, seed, gain)


def image(size_hw: tuple[int, int], channels: int = 3, batch: int = 1, dtype: str = "float64") -> Tensor:
    """Normal noise ``[batch, channels, *size_hw]``, the same each time."""
    values = np.random.default_rng(size_hw[1]).normal(size=(batch, channels, *size_hw))
    return paddle.to_tensor(values.astype(dtype))


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference as a share of the largest value of ``theirs``."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def names_and_shapes(network: nn.Layer) -> list[tuple[str, list[int]]]:
    """Of all parameters and buffers, in order."""
    return [(name, list(tensor.shape)) for name, tensor in network.state_dict().items()]


def parameter_attributes(network: nn.Layer) -> dict[str, tuple]:
    """What an optimiser reads of each parameter."""
    return {
        name: (p.stop_gradient, p.trainable, str(p.regularizer), p.optimize_attr, p.need_clip)
        for name, p in network.named_parameters()
    }


def assert_same_tensors(pair: Pair) -> None:
    """Names, order, shapes and values of all parameters and buffers."""
    ours, theirs = pair
    assert names_and_shapes(ours) == names_and_shapes(theirs)
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name].numpy(), err_msg=name)


def assert_same_start(pair: Pair) -> None:
    """Names and shapes, all vectors' values, and mean and deviation of what is drawn at random.

    For networks that do not draw their weights in PaddleSeg's order; ``assert_same_tensors`` asks more. Five deviations
    of the estimates are allowed; tensors below 200 values would say little.
    """
    ours, theirs = pair
    assert sorted(names_and_shapes(ours)) == sorted(names_and_shapes(theirs))
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        own, their = tensor.numpy(), expected[name].numpy()
        if own.ndim == 1:
            np.testing.assert_array_equal(own, their, err_msg=name)
        elif own.size >= 200:
            assert abs(own.std() / their.std() - 1) < 5 / own.size**0.5, name
            assert abs(own.mean() - their.mean()) < 5 * their.std() * (2 / own.size) ** 0.5, name


def assert_same_maps(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Within a millionth of the largest value, which only float64 reaches."""
    assert len(ours) == len(theirs)
    for ours_map, theirs_map in zip(ours, theirs, strict=True):
        mine, other = ours_map.numpy(), theirs_map.numpy()
        assert mine.dtype == other.dtype == np.float64
        assert other.std() > 0.01 * np.abs(other).max()  # the weights are healthy
        assert apart(mine, other) < 1e-6


def assert_as_announced(network: nn.Layer, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> None:
    """The maps have the channels and strides that the backbone says; sides are rounded up."""
    assert [each.shape[1:] for each in maps] == [
        [channels, *(math.ceil(side / stride) for side in size_hw)]
        for channels, stride in zip(network.feat_channels, network.feat_strides, strict=True)
    ]


def assert_same_training_step(pair: Pair, x: Tensor) -> None:
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
    assert_same_gradients(gradients(ours), gradients(theirs))


def gradients(network: nn.Layer) -> dict[str, np.ndarray]:
    """Of the trainable parameters that have one, by name."""
    trained = [(name, p.grad) for name, p in network.named_parameters() if not p.stop_gradient]
    return {name: grad.numpy() for name, grad in trained if grad is not None}


def assert_same_gradients(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """Within a hundred-thousandth of each tensor's largest; what is zero but for rounding counts as zero."""
    assert ours.keys() == theirs.keys()
    largest = max(np.abs(each).max() for each in theirs.values())
    allowed = {name: 1e-5 * max(np.abs(each).max(), 1e-6 * largest) for name, each in theirs.items()}
    errors = {name: np.abs(ours[name] - each).max() for name, each in theirs.items()}
    assert {name: error for name, error in errors.items() if error > allowed[name]} == {}
