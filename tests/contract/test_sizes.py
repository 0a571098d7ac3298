"""Every network exported for any size runs at every size: none needs multiples of 32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from tests.contract.test_export import exported
from tests.exported import export_both, patches

__all__ = ["exported"]

# Up to 64, and where pooling is a matrix product (96x160), Paddle's own oneDNN settings were wrong.
SIZES = [(1, 1), (2, 3), (31, 64), (97, 1), (33, 47), (64, 64), (96, 160), (250, 333), (301, 201), (64, 64)]


def logits(network: nn.Layer, x: np.ndarray) -> np.ndarray:
    with paddle.no_grad():
        return network(paddle.to_tensor(x))[0].numpy()


@pytest.mark.slow
def test_logits_at_every_size(exported: nn.Layer, tmp_path: Path) -> None:
    """Off by 1e-3 of the largest logit and four times the error of the network itself, whose weights may magnify it."""
    runners = export_both(exported, tmp_path, "none", [-1, 3, -1, -1])
    float32 = [logits(exported, patches(*size)) for size in SIZES]
    exported.to(dtype="float64")
    for size, own in zip(SIZES, float32, strict=True):
        exact = logits(exported, patches(*size).astype(np.float64))
        assert exact.dtype == np.float64
        assert exact.shape[2:] == size
        allowed = 1e-3 * np.abs(exact).max() + 4 * np.abs(own - exact).max()
        for runner in runners:
            difference = np.abs(runner.run(patches(*size)) - exact).max()
            assert difference <= allowed, f"{type(runner).__name__} at {size}"
