"""Every network exported for any size gives what it gives itself; test_backends.py has one size on all backends."""

from __future__ import annotations

from pathlib import Path

import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.engine.opening import build_network
from paddle_mobileseg.export.untrained import untrained_checkpoint
from tests.contract.conftest import CLASSES
from tests.exported import assert_as_the_network, export


@pytest.fixture(scope="module")
def exported(record: networks.Network) -> nn.Layer:
    """Random weights with which several classes come out."""
    return build_network(untrained_checkpoint(record.name, CLASSES))


def test_labels_of_any_size_in_paddle_inference(exported: nn.Layer, tmp_path: Path) -> None:
    runner = export(exported, tmp_path, "vim", [-1, 3, -1, -1])

    assert_as_the_network(runner, exported, "vim", (128, 96), batch=2)
    for size in ((70, 101), (224, 288)):
        assert_as_the_network(runner, exported, "vim", size)
