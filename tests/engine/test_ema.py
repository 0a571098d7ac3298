"""The moving average of weights against its formula."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_mobileseg.engine.ema import WeightAverage


def test_average_follows_its_formula_over_weights_and_statistics() -> None:
    network = paddle.nn.Sequential(paddle.nn.Conv2D(2, 3, 1), paddle.nn.BatchNorm2D(3))
    rng = np.random.default_rng(0)
    average = WeightAverage(network, decay=0.25)
    expected = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    assert set(expected) == {"0.weight", "0.bias", "1.weight", "1.bias", "1._mean", "1._variance"}
    for decay in (2 / 11, 3 / 12, 0.25):  # (1 + n) / (10 + n) until it is above 0.25
        for name, tensor in network.state_dict().items():
            value = rng.normal(size=tensor.shape).astype("float32")
            tensor.set_value(value)
            expected[name] = decay * expected[name] + (1 - decay) * value
        average.update()

    last = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    with average.applied():
        for name, tensor in network.state_dict().items():
            np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-6, atol=1e-7)
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), last[name])


def test_a_decay_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="ema_decay is 1"):
        WeightAverage(paddle.nn.Linear(1, 1), 1)
