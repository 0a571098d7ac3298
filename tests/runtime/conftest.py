"""Bundles and files to run."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.runtime import lite_environment
from tests.handmade import write_bundle


@pytest.fixture
def make_bundle(tmp_path: Path) -> Any:
    """Function (output_op, input_shape, transforms) -> bundle folder."""
    return functools.partial(write_bundle, tmp_path / "bundle")


@pytest.fixture(scope="session")
def lite_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network as ``.nb`` files: {logits,labels,uint8,open}_{x86,arm}.nb; beside each, ``.npz``
    has an input ``x`` and what Paddle gives for it, ``y``. ``open`` takes any size, the others 32x48."""
    if not lite_environment.available():
        pytest.skip("needs Paddle Lite: run `mobileseg lite setup`")
    import paddle
    from paddle import nn

    from paddle_mobileseg.export.legacy import GRAPH, WEIGHTS, save_legacy
    from paddle_mobileseg.export.lite_convert import convert
    from paddle_mobileseg.export.static import DeployNetwork, GraphSpec

    class Small(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2D(3, 8, 3, stride=2, padding=1)
            self.head = nn.Conv2D(8, 5, 1)

        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            low = self.head(nn.functional.relu(self.stem(x)))
            return [nn.functional.interpolate(low, x.shape[2:], mode="bilinear", align_corners=False)]

    fixed = [1, 3, 32, 48]
    specs = {
        "logits": GraphSpec("none", fixed),
        "labels": GraphSpec("argmax", fixed),
        "uint8": GraphSpec("argmax", fixed, "uint8"),
        "open": GraphSpec("none", [-1, 3, -1, -1]),
    }
    folder = tmp_path_factory.mktemp("lite")
    paddle.seed(1)
    network = Small()
    network.eval()
    for name, spec in specs.items():
        deploy = DeployNetwork(network, spec)
        deploy.eval()
        save_legacy(deploy, folder, spec.input_spec)
        for processor in ("x86", "arm"):
            convert(folder / GRAPH, folder / WEIGHTS, folder / f"{name}_{processor}.nb", processor)
        x = np.random.default_rng(2).normal(size=fixed).astype(np.float32)
        if name == "uint8":
            x = np.random.default_rng(2).integers(0, 256, (1, 32, 48, 3), np.uint8)
        with paddle.no_grad():
            np.savez(folder / f"{name}.npz", x=x, y=deploy(paddle.to_tensor(x)).numpy())
    return folder
