"""Parts of Lite-HRNet's blocks."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_mobileseg.layers.conditional_channel_weighting import (
    CrossResolutionWeighting,
    SpatialWeighting,
    upsample_nearest,
)


@pytest.mark.parametrize("size", [(3, 4), (6, 8), (24, 4), (9, 32), (7, 8), (5, 13)])
def test_upsample_nearest_is_interpolate(size: tuple[int, int]) -> None:
    x = paddle.rand([2, 3, 3, 4])

    np.testing.assert_array_equal(
        upsample_nearest(x, size).numpy(), F.interpolate(x, size=size, mode="nearest").numpy()
    )


def test_upsample_nearest_by_hand() -> None:
    x = paddle.to_tensor([[[[1.0, 2.0]]]])

    assert upsample_nearest(x, (2, 6)).numpy().tolist() == [[[[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]] * 2]]


def test_the_gradient_of_upsample_nearest_is_the_number_of_copies() -> None:
    x = paddle.rand([1, 2, 3, 4])
    x.stop_gradient = False
    upsample_nearest(x, (6, 12)).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), np.full((1, 2, 3, 4), 6.0))


def test_cross_resolution_weights_are_those_of_all_branches_together() -> None:
    layer = CrossResolutionWeighting([4, 12], freeze_norm=False, norm_decay=0.0)
    layer.eval()
    for parameter in layer.parameters():
        if not parameter.stop_gradient:  # variances must stay positive
            parameter.set_value(paddle.randn(parameter.shape))
    large, small = paddle.rand([1, 4, 4, 4]), paddle.rand([1, 12, 2, 2])
    with paddle.no_grad():
        weighted = [x.numpy() for x in layer([large, small])]
        means = large.reshape([1, 4, 2, 2, 2, 2]).mean([3, 5])
        weights = layer.conv2(layer.conv1(paddle.concat([means, small], axis=1))).numpy()

    np.testing.assert_allclose(weighted[0], large.numpy() * np.kron(weights[:, :4], np.ones((2, 2))), rtol=1e-5)
    np.testing.assert_allclose(weighted[1], small.numpy() * weights[:, 4:], rtol=1e-5)
    assert np.ptp(weights) > 0.1


def test_spatial_weights_are_the_same_at_every_position() -> None:
    layer = SpatialWeighting(8)
    for parameter in layer.parameters():
        parameter.set_value(paddle.randn(parameter.shape))
    x = paddle.rand([2, 8, 5, 7]) + 0.1
    with paddle.no_grad():
        ratio = (layer(x) / x).numpy()

    assert np.ptp(ratio, axis=(2, 3)).max() < 1e-5
    assert np.ptp(ratio, axis=(0, 1)).min() > 1e-3
    assert ratio.min() >= 0
    assert ratio.max() <= 1 + 1e-5
