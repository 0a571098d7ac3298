"""Labels of images against PaddleSeg's own inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.engine import inference, load_checkpoint
from paddle_mobileseg.engine.inference import SlidingWindow, infer_batch, infer_labels
from paddle_mobileseg.engine.opening import build_network

WINDOW = SlidingWindow((64, 64), (48, 40))


@pytest.fixture(scope="module")
def network(varied: Path) -> paddle.nn.Layer:
    return build_network(load_checkpoint(varied))


@pytest.fixture(scope="module")
def sample(config_file: Path) -> dict[str, Any]:
    return next(iter(eval_samples(build.dataset(load_config(config_file), "val"))))


class ForwardOnly(paddle.nn.Layer):
    """A network as PaddleSeg has them: full logits, and no others."""

    def __init__(self, network: paddle.nn.Layer) -> None:
        super().__init__()
        self.inner = network

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return self.inner(x)


def paddlesegs(network: paddle.nn.Layer, sample: dict[str, Any], **how: Any) -> np.ndarray:
    from paddleseg.core import infer

    window = how.get("window")
    slide = {} if window is None else {"is_slide": True, "crop_size": window.crop_wh, "stride": window.stride_wh}
    image, trans_info = paddle.to_tensor(sample["img"]), sample["trans_info"]
    with paddle.no_grad():
        labels, _ = infer.aug_inference(
            network,
            image,
            trans_info,
            list(how.get("scales", (1.0,))),
            flip_horizontal=how.get("flip", False),
            flip_vertical=how.get("flip_vertical", False),
            **slide,
        )
    return labels.numpy()[0, 0]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"flip": True},
        {"flip_vertical": True},
        {"scales": (0.75, 1.0, 1.25), "flip": True, "flip_vertical": True},
        {"window": WINDOW},
        {"window": SlidingWindow((200, 70), (10, 70))},  # wider than the image
        {"window": WINDOW, "scales": (0.5, 1.5), "flip": True},
    ],
)
def test_labels_equal_paddlesegs(network: paddle.nn.Layer, sample: dict[str, Any], how: dict[str, Any]) -> None:
    labels = infer_labels(network, sample["img"], sample["trans_info"], **how)

    assert labels.shape == sample["label"].shape
    assert len(np.unique(labels)) >= 3
    np.testing.assert_array_equal(labels, paddlesegs(network, sample, **how))


@pytest.mark.parametrize("how", [{}, {"scales": (0.75, 1.25), "flip": True}, {"window": WINDOW}])
def test_a_network_that_gives_full_logits_only(
    network: paddle.nn.Layer, sample: dict[str, Any], how: dict[str, Any]
) -> None:
    labels = infer_labels(ForwardOnly(network), sample["img"], sample["trans_info"], **how)
    np.testing.assert_array_equal(labels, paddlesegs(network, sample, **how))


def test_large_logits_are_never_made(
    network: paddle.nn.Layer, sample: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = infer_labels(network, sample["img"], sample["trans_info"])
    monkeypatch.setattr(type(network), "forward", lambda self, x: pytest.fail("full logits"))
    np.testing.assert_array_equal(infer_labels(network, sample["img"], sample["trans_info"]), expected)


def test_a_batch_of_images_of_different_original_sizes(network: paddle.nn.Layer, sample: dict[str, Any]) -> None:
    image, mirrored = sample["img"], np.ascontiguousarray(sample["img"][:, :, :, ::-1])
    infos = [sample["trans_info"], [("resize", (51, 40)), ("padding", (90, 100))], []]
    batch = np.concatenate([image, mirrored, image])
    for labels, each, info in zip(infer_batch(network, batch, infos), (image, mirrored, image), infos, strict=True):
        assert labels.shape == (info[0][1] if info else image.shape[2:])
        assert (labels == infer_labels(network, each, info)).mean() > 0.999  # sums in another order


def test_logits_that_are_no_numbers_are_refused(sample: dict[str, Any], varied: Path) -> None:
    broken = build_network(load_checkpoint(varied))
    bias = broken.decode_head.conv_seg.bias
    bias.set_value(np.where(np.arange(10) == 3, np.nan, bias.numpy()).astype(np.float32))
    with pytest.raises(ValueError, match="logits are not finite"):
        infer_labels(broken, sample["img"], sample["trans_info"])


@pytest.mark.parametrize(("scale", "given_back"), [(1.0, 0), (1.5, 1)])
def test_freed_memory_is_given_back_where_one_scale_is_large(
    network: paddle.nn.Layer,
    sample: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    scale: float,
    given_back: int,
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(inference, "_LARGE_INPUT", sample["img"][0, 0].size)
    monkeypatch.setattr(inference, "give_freed_memory_back", lambda: calls.append(1))
    infer_labels(network, sample["img"], sample["trans_info"], scales=(1.0, scale))
    assert len(calls) == given_back


@pytest.mark.parametrize(
    ("crop", "stride", "message"),
    [
        ((64, 64), (65, 64), r"stride \[65, 64\] is larger than crop_size \[64, 64\]"),
        ((64,), (64, 64), r"crop_size is \[64\]; expected \[width, height\]"),
        ((64, 0), (64, 64), r"crop_size is \[64, 0\]"),
        ((64, 64), (1.5, 2), r"stride is \[1.5, 2\]"),
    ],
)
def test_windows_that_cannot_be(crop: Any, stride: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlidingWindow(crop, stride)
