"""Every network exported for any size runs at every size: none needs multiples of 32."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest
from paddle import nn

from paddle_mobileseg.export.parity import ParityMeter, Tolerance
from tests.contract.test_export import exported
from tests.exported import export_both, patches

__all__ = ["exported"]

# Rounding of random weights: TopFormer's logits differ by 1.3e-3 of the largest at 250x333; what is wrong, by more.
ROUNDING = Tolerance(label_agreement=0.998, max_abs_diff=1e-2)
SIZES = [(1, 1), (2, 3), (31, 64), (97, 1), (33, 47), (250, 333), (301, 201)]


@pytest.mark.slow
def test_logits_at_every_size(exported: nn.Layer, tmp_path: Path) -> None:
    runners = export_both(exported, tmp_path, "none", [-1, 3, -1, -1])
    for size in SIZES:
        x = patches(*size)
        with paddle.no_grad():
            expected = exported(paddle.to_tensor(x))[0].numpy()
        assert expected.shape[2:] == size
        for runner in runners:
            meter = ParityMeter(f"{type(runner).__name__} at {size}", ROUNDING)
            meter.add(expected, runner.run(x))
            assert meter.result()["passed"], meter.result()
