"""Pooling without the adaptive operator gives what the operator gives."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_mobileseg.layers import adaptive_avg_pool


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 19)] * 2), st.tuples(*[st.integers(1, 9)] * 2))
def test_equals_the_operator(size: tuple[int, int], bins: tuple[int, int]) -> None:
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32))

    pooled = adaptive_avg_pool(x, bins)
    assert pooled.shape == [2, 3, *bins]
    np.testing.assert_allclose(pooled.numpy(), F.adaptive_avg_pool2d(x, list(bins)).numpy(), atol=1e-6)


def test_float64_is_kept() -> None:
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(1, 3, 10, 7)))

    np.testing.assert_allclose(
        adaptive_avg_pool(x, [3, 3]).numpy(), F.adaptive_avg_pool2d(x, [3, 3]).numpy(), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("shape", [[1, 3, 10, 7], [-1, 3, -1, -1], [1, 3, -1, 7]])
def test_no_graph_has_the_operator(shape: list[int]) -> None:
    class Pool(paddle.nn.Layer):
        def forward(self, x):
            return adaptive_avg_pool(x, [4, 3])

    static = paddle.jit.to_static(Pool(), input_spec=[paddle.static.InputSpec(shape, "float32")], full_graph=True)
    names = {op.name() for op in static.forward.concrete_program.main_program.global_block().ops}
    assert "pd_op.pool2d" not in names
    for height in (10,) if shape[2] == 10 else (10, 3, 8):
        x = paddle.rand([1, 3, height, 7])
        np.testing.assert_allclose(static(x).numpy(), F.adaptive_avg_pool2d(x, [4, 3]).numpy(), atol=1e-6)
