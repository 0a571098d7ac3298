"""Paddle Inference with oneDNN gives what the network gives, and does without where oneDNN fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle", reason="the backend is Paddle's")
from paddle import nn  # noqa: E402

from paddle_mobileseg.export.legacy import save_legacy  # noqa: E402
from paddle_mobileseg.export.static import GraphSpec, save_static  # noqa: E402
from paddle_mobileseg.runtime import paddle_backend  # noqa: E402
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend  # noqa: E402
from tests.runtime.test_stages import assert_parts_are_the_whole, some  # noqa: E402


class Upsampled(nn.Layer):
    """Convolutions and an interpolation, with which Paddle 3.3.1's own oneDNN settings fail."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2D(16, 16, 3, padding=1, groups=16)
        self.head = nn.Conv2D(16, 5, 1)

    def forward(self, x: Any) -> Any:
        x = nn.functional.hardswish(self.depthwise(nn.functional.relu(self.stem(x))))
        return nn.functional.interpolate(self.head(x), scale_factor=2, mode="bilinear")


class TwoMaps(nn.Layer):
    """A function of two convolutions' outputs ``[N, 16, H / 2, W / 2]``."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.stem = nn.Conv2D(3, 16, 3, stride=2, padding=1)
        self.first = nn.Conv2D(16, 16, 3, padding=1)
        self.second = nn.Conv2D(16, 16, 3, padding=1, groups=16)
        self.norm = nn.BatchNorm2D(16)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.stem(x))
        return self.function(self.first(x), self.norm(self.second(x)))


def product(first: Any, second: Any) -> Any:
    return paddle.matmul(first, second, transpose_y=True)


def attention(first: Any, second: Any) -> Any:
    queries = first.reshape([0, 4, 4, -1]).transpose([0, 1, 3, 2])
    return paddle.matmul(queries, second.reshape([0, 4, 4, -1]))


def joined(first: Any, second: Any) -> Any:
    return nn.functional.relu(paddle.concat([first, second], 1))


def leaky(first: Any, second: Any) -> Any:
    return nn.functional.leaky_relu(first, 0.1) + second


def residual(first: Any, second: Any) -> Any:
    return nn.functional.hardswish(first + second) * first + second


@pytest.fixture(scope="module")
def network() -> nn.Layer:
    paddle.seed(3)
    network = Upsampled()
    network.eval()
    return network


@pytest.fixture(scope="module")
def files(network: nn.Layer, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("graph")
    return [folder / name for name in save_static(network, folder, GraphSpec("none"))]


def assert_right(runner: PaddleBackend, network: nn.Layer) -> None:
    for size in [(32, 48), (64, 40)]:
        x = np.random.default_rng(size[0]).normal(size=(2, 3, *size)).astype(np.float32)
        with paddle.no_grad():
            expected = network(paddle.to_tensor(x)).numpy()
        np.testing.assert_allclose(runner.run(x), expected, atol=1e-5)


@pytest.mark.parametrize("onednn", [True, False])
def test_with_and_without_onednn(
    network: nn.Layer, files: list[Path], onednn: bool, caplog: pytest.LogCaptureFixture
) -> None:
    runner = PaddleBackend(files, 1, onednn=onednn)
    assert_right(runner, network)
    assert runner.onednn is onednn
    assert not caplog.records


@pytest.mark.parametrize("onednn", [True, False])
def test_a_run_in_parts(files: list[Path], onednn: bool) -> None:
    runner = PaddleBackend(files, 1, onednn=onednn)
    assert_parts_are_the_whole(runner, some((16, 24), (8, 6), (16, 24)))
    assert runner.describe() == f"Paddle Inference CPU {'with' if onednn else 'without'} oneDNN"
    assert runner.version == paddle.__version__


def test_parts_compare_nothing(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    runner = PaddleBackend(files, 1)
    (x,) = some((16, 24))
    runner.run(x)
    made: list[int] = []
    monkeypatch.setattr(paddle_backend, "_is_close", lambda found, expected: made.append(1) or True)
    runner.upload(x)
    runner.compute()
    runner.download()
    assert made == []


def test_onednn_is_the_default(files: list[Path]) -> None:
    assert PaddleBackend(files, 1).onednn is True


def test_a_legacy_graph_runs_with_onednn(network: nn.Layer, tmp_path: Path) -> None:
    names = save_legacy(network, tmp_path, GraphSpec("none").input_spec)
    runner = PaddleBackend([tmp_path / name for name in names], 1)
    assert_right(runner, network)
    assert runner.onednn is True


def test_without_onednn_where_it_fails_at_loading(
    network: nn.Layer, files: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create = paddle.inference.create_predictor

    def refuse(config: Any) -> Any:
        if config.mkldnn_enabled():
            raise RuntimeError("no such instruction")
        return create(config)

    monkeypatch.setattr(paddle_backend.paddle.inference, "create_predictor", refuse)
    with caplog.at_level(logging.WARNING):
        runner = PaddleBackend(files, 1)
    assert_right(runner, network)
    assert runner.onednn is False
    assert [record.getMessage() for record in caplog.records] == [
        "model.json runs without oneDNN, with which Paddle failed: no such instruction"
    ]


def test_without_onednn_where_it_fails_at_running(
    network: nn.Layer, files: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = PaddleBackend._run

    def fail(self: PaddleBackend, x: np.ndarray) -> np.ndarray:
        if self.onednn:
            raise NotImplementedError("not support ArrayAttribute")
        return run(self, x)

    monkeypatch.setattr(PaddleBackend, "_run", fail)
    runner = PaddleBackend(files, 1)
    with caplog.at_level(logging.WARNING):
        assert_right(runner, network)
    assert runner.onednn is False
    assert len(caplog.records) == 1
    assert "not support ArrayAttribute" in caplog.text


@pytest.mark.parametrize("legacy", [False, True], ids=["json", "pdmodel"])
@pytest.mark.parametrize("function", [product, attention, joined, leaky, residual])
def test_what_reads_convolutions_of_onednn(
    function: Callable[[Any, Any], Any], legacy: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Paddle's own settings give wrong products, fail for ``joined``, and kill the process for ``leaky``."""
    paddle.seed(3)
    network = TwoMaps(function)
    network.eval()
    spec = GraphSpec("none")
    names = save_legacy(network, tmp_path, spec.input_spec) if legacy else save_static(network, tmp_path, spec)
    runner = PaddleBackend([tmp_path / name for name in names], 2)
    for size in [(32, 32), (33, 47), (64, 64), (17, 90), (32, 32)]:
        for batch in (1, 2):
            x = np.random.default_rng(size[0]).normal(size=(batch, 3, *size)).astype(np.float32)
            with paddle.no_grad():
                expected = network(paddle.to_tensor(x)).numpy()
            np.testing.assert_allclose(runner.run(x), expected, atol=1e-5 * np.abs(expected).max())
    assert runner.onednn is True
    assert not caplog.records


@pytest.mark.parametrize("onednn", [True, False])
def test_a_damaged_graph_is_refused(files: list[Path], tmp_path: Path, onednn: bool) -> None:
    damaged = tmp_path / "model.json"
    damaged.write_text(files[0].read_text()[:500], encoding="utf-8")
    with pytest.raises(ValueError, match=r"Paddle Inference .* cannot load .*model\.json"):
        PaddleBackend([damaged, files[1]], 1, onednn=onednn)


def test_other_values_than_without_onednn_are_not_given(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = PaddleBackend._run
    monkeypatch.setattr(PaddleBackend, "_run", lambda self, x: run(self, x) + (1 if self.onednn else 0))
    backend = PaddleBackend(files, 1)
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 48)).astype(np.float32)
    assert np.array_equal(backend.run(x), PaddleBackend(files, 1, onednn=False).run(x))
    assert not backend.onednn
    assert "it gives other values for an input of [1, 3, 32, 48]" in caplog.text
    assert np.array_equal(backend.run(x), PaddleBackend(files, 1, onednn=False).run(x))


def test_onednn_is_yes_or_no(files: list[Path]) -> None:
    with pytest.raises(ValueError, match="onednn is 'no'; expected True or False"):
        PaddleBackend(files, 1, onednn="no")  # type: ignore[arg-type]
