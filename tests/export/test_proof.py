"""The gate of an export: which hop it names, which layer, and what it records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
from onnx import numpy_helper
from paddle import nn

from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.export import ParityError, export_checkpoint, onnx_convert
from tests.export.test_exporter import labels_of


class Twist(nn.Layer):
    """A layer that Paddle's static graph gets wrong."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x if paddle.in_dynamic_mode() else x[:, ::-1] * 1.5


@pytest.fixture
def twisted(checkpoint: Any, network: nn.Layer) -> Any:
    """The checkpoint of a network whose ``dropout`` is a :class:`Twist`."""
    network.dropout = Twist()
    return checkpoint


@pytest.fixture
def wrong_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that spoils the weights of the head, ``[4, 8, 1, 1]``."""
    convert = onnx_convert.convert

    def spoil(graph: Path, weights: Path, target: Path) -> dict[str, Any]:
        tools = convert(graph, weights, target)
        model = onnx.load(target)
        constants = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
        for tensor in [*model.graph.initializer, *constants]:
            if list(tensor.dims) == [4, 8, 1, 1]:
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        onnx.save(model, target)
        return tools

    monkeypatch.setattr(onnx_convert, "convert", spoil)


def test_the_static_graph_is_the_hop(twisted: Any, tmp_path: Path) -> None:
    with pytest.raises(ParityError) as caught:
        export_checkpoint(twisted, tmp_path / "bundle", formats=["paddle"], bisect=True)
    message = str(caught.value)
    assert message.startswith("dynamic->paddle: labels agree on ")
    assert "The hop is folded->paddle: the static graph itself differs." in message
    assert "The first layer whose output differs is network.dropout (Twist), by " in message
    assert (
        "; the one before it, network.norm, agrees." in message
        or "; the one before it, network.stem, agrees." in message
    )
    assert message.endswith(f"Nothing was written to {tmp_path / 'bundle'}.")
    assert not (tmp_path / "bundle").exists()


def test_the_static_graph_is_the_hop_of_what_is_made_from_it(twisted: Any, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"^dynamic->onnxruntime: .*hop is folded->paddle: the static graph differs"):
        export_checkpoint(twisted, tmp_path / "bundle", formats=["onnx"])


def test_the_converter_is_the_hop(checkpoint: Any, wrong_converter: None, tmp_path: Path) -> None:
    with pytest.raises(ParityError) as caught:
        export_checkpoint(checkpoint, tmp_path / "bundle", bisect=True)
    message = str(caught.value)
    assert message.startswith("dynamic->onnxruntime: labels agree on ")
    assert "The hop is paddle->onnxruntime: the static graph agrees (100.0000%)." in message
    assert "The first layer whose output differs is network.head (BiasedConvolution), by " in message
    assert "; the one before it, network.dropout, agrees." in message


def test_without_bisect_no_layer_is_named(checkpoint: Any, wrong_converter: None, tmp_path: Path) -> None:
    with pytest.raises(ParityError) as caught:
        export_checkpoint(checkpoint, tmp_path / "bundle")
    assert "first layer" not in str(caught.value)


def test_what_no_layer_does_is_said(
    checkpoint: Any, network: nn.Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low_logits = type(network).low_logits

    def turned(self: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
        return low_logits(self, x) * (1 if paddle.in_dynamic_mode() else -1)

    monkeypatch.setattr(type(network), "low_logits", turned)
    with pytest.raises(
        ParityError, match=r"All . layers give the same; what differs is done after the last one, network\.head"
    ):
        export_checkpoint(checkpoint, tmp_path / "bundle", formats=["paddle"], bisect=True)


def test_change_of_iou(checkpoint: Any, network: nn.Layer, tmp_path: Path) -> None:
    images = [read_image(path) for path, _ in checkpoint.samples]
    truth = [labels_of(network, images[0]).astype(np.uint8), None]
    bundle = export_checkpoint(
        checkpoint, tmp_path / "bundle", formats=["onnx"], calib_images=images, calib_labels=truth
    )
    rows = {row["stage"]: row for row in bundle.about["parity"]}
    assert "miou_change" not in rows["dynamic->onnxruntime"]
    row = rows["predict->onnxruntime"]
    assert row["labelled_images"] == 1
    assert row["miou_change"] == pytest.approx(0, abs=1e-3)
    occurring = np.unique(truth[0])
    assert [number for number, change in enumerate(row["iou_change"]) if change is not None] == occurring.tolist()
    assert all(abs(row["iou_change"][number]) < 1e-3 for number in occurring)


def test_labels_of_another_size(checkpoint: Any, tmp_path: Path) -> None:
    images = [read_image(path) for path, _ in checkpoint.samples]
    with pytest.raises(ValueError, match="shape"):
        export_checkpoint(
            checkpoint,
            tmp_path / "bundle",
            formats=["onnx"],
            calib_images=images,
            calib_labels=[np.zeros((9, 9), int), None],
        )
    assert not (tmp_path / "bundle").exists()
