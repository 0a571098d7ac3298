from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.export import lite_convert, operators
from paddle_mobileseg.export.child import ConversionError, run
from paddle_mobileseg.export.legacy import save_legacy
from paddle_mobileseg.export.lite_convert import convert
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec
from paddle_mobileseg.runtime import lite_environment
from paddle_mobileseg.runtime.lite_backend import LiteBackend
from paddle_mobileseg.runtime.lite_environment import LiteEnvironment
from paddle_mobileseg.runtime.lite_file import nb_header
from tests.comparison import give_random_weights
from tests.exported import patches

SHAPE = [1, 3, 32, 48]


@pytest.fixture
def lite() -> LiteEnvironment:
    if not lite_environment.available():
        pytest.skip("needs Paddle Lite: run `mobileseg lite setup`")
    return lite_environment.require()


class Wide(nn.Layer):
    """Weights enough that a file's size is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(3, 64, 3, padding=1)
        self.second = nn.Conv2D(64, 64, 3, padding=1)
        self.last = nn.Conv2D(64, 5, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.last(F.relu6(self.second(F.relu(self.first(x)))))]


def save(network: nn.Layer, folder: Path, output_op: str = "argmax", shape: list[int] = SHAPE) -> tuple[Path, Path]:
    spec = GraphSpec(output_op, shape)
    names = save_legacy(DeployNetwork(network, spec), folder, spec.input_spec)
    return folder / names[0], folder / names[1]


def expected(network: nn.Layer, output_op: str, x: np.ndarray) -> np.ndarray:
    deploy = DeployNetwork(network, GraphSpec(output_op))
    deploy.eval()
    with paddle.no_grad():
        return deploy(paddle.to_tensor(x)).numpy()


@pytest.mark.parametrize("output_op", ["none", "softmax", "argmax", "vim"])
def test_x86_computes_what_the_network_does(
    lite: LiteEnvironment, network: nn.Layer, tmp_path: Path, output_op: str
) -> None:
    target = tmp_path / "out" / "model_x86.nb"
    tools = convert(*save(network, tmp_path, output_op), target, "x86")
    assert tools == {"paddlelite opt": lite.version}
    assert os.listdir(target.parent) == ["model_x86.nb"]
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    if output_op == "softmax":
        x *= 100  # Paddle Lite's own kernel for x86 gives NaN for logits above 88
    found, wanted = LiteBackend([target], 1).run(x), expected(network, output_op, x)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if found.ndim == 3:
        assert set(np.unique(wanted)) == {0, 1, 2, 3}
        assert (found == wanted).mean() > 0.999
    else:
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow  # contract/test_backends.py has all networks, at a size that pools divide
@pytest.mark.parametrize("name", ["mobileseg_mobilenetv2", "topformer_tiny"])
def test_networks(lite: LiteEnvironment, name: str, tmp_path: Path) -> None:
    """One with relu6 in convolutions, one with attention; at a size that is no square."""
    paddle.seed(0)
    network = networks.get(name).build(7)
    give_random_weights(network, 1, gain=2.0)
    files = save(network, tmp_path, "vim", [1, 3, 96, 160])
    for processor in ("arm", "x86"):
        target = tmp_path / f"model_{processor}.nb"
        convert(*files, target, processor)
        header = nb_header(target)
        assert (header.target, header.version, header.fp16) == (processor, lite.version, False)
        assert 0.4 * operators.count(files[0]) < header.operators < operators.count(files[0])
    x = patches(96, 160)
    wanted = expected(network, "vim", x)
    assert len(np.unique(wanted)) >= 2
    assert (LiteBackend([tmp_path / "model_x86.nb"], 1).run(x) == wanted).mean() > 0.999


@pytest.fixture(scope="module")
def wide() -> Wide:
    paddle.seed(3)
    network = Wide()
    network.eval()
    return network


@pytest.mark.parametrize(
    ("precision", "bytes_each", "error"), [("fp32", 4, 1e-6), ("int16-weights", 2, 1e-4), ("int8-weights", 1, 0.02)]
)
def test_weights_in_fewer_bits(
    lite: LiteEnvironment, wide: Wide, tmp_path: Path, precision: str, bytes_each: int, error: float
) -> None:
    target = tmp_path / "model.nb"
    convert(*save(wide, tmp_path, "none"), target, "x86", precision)
    count = sum(p.size for p in wide.parameters())
    assert bytes_each * count < target.stat().st_size < bytes_each * count + 20_000
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    wanted = expected(wide, "none", x)
    difference = np.abs(LiteBackend([target], 1).run(x) - wanted).max() / np.abs(wanted).max()
    assert error / 500 < difference < error or (precision == "fp32" and difference < error)


def test_half_precision_is_arithmetic_not_storage(lite: LiteEnvironment, wide: Wide, tmp_path: Path) -> None:
    files = save(wide, tmp_path, "none")
    for precision in ("fp32", "fp16"):
        convert(*files, tmp_path / f"{precision}.nb", "arm", precision)
    half, single = nb_header(tmp_path / "fp16.nb"), nb_header(tmp_path / "fp32.nb")
    assert (half.fp16, single.fp16) == (True, False)
    assert half.operators > single.operators  # casts at both ends
    assert (tmp_path / "fp16.nb").stat().st_size > (tmp_path / "fp32.nb").stat().st_size


def test_the_same_graph_gives_the_same_bytes(lite: LiteEnvironment, network: nn.Layer, tmp_path: Path) -> None:
    files = save(network, tmp_path)
    for name in ("one.nb", "two.nb"):
        convert(*files, tmp_path / name, "arm")
    assert (tmp_path / "one.nb").read_bytes() == (tmp_path / "two.nb").read_bytes()


class Trap(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 2, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.conv(x)
        return [x - x.max(axis=[0, 2, 3]).reshape([1, 2, 1, 1])]


def test_a_trap_is_refused_where_it_is_one(lite: LiteEnvironment, tmp_path: Path) -> None:
    files, target = save(Trap(), tmp_path, "none"), tmp_path / "model.nb"
    with pytest.raises(
        ConversionError, match=r"not run rightly with Paddle Lite on arm:\n  reduce_max \(output \S+\): it red"
    ):
        convert(*files, target, "arm")
    assert not target.exists()
    convert(*files, target, "x86")
    assert nb_header(target).target == "x86"


def test_a_trap_of_open_sizes_says_what_to_do(lite: LiteEnvironment, tmp_path: Path) -> None:
    files = save(Trap(), tmp_path, "none", [1, 3, -1, -1])
    with pytest.raises(ConversionError, match="Its input size is open; export at one height and width"):
        convert(*files, tmp_path / "model.nb", "arm")


def test_what_opt_refuses_is_told_in_its_words(
    lite: LiteEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interpolation(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1D(3, 2, 1)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return F.interpolate(self.conv(x), size=[100], mode="linear", data_format="NCW")

    names = save_legacy(Interpolation(), tmp_path, paddle.static.InputSpec([1, 3, 50], "float32", "x"))
    monkeypatch.setattr(operators, "lint", lambda path: [])
    with pytest.raises(ConversionError, match=r"for x86 died of SIGABRT(.|\n)*unsupported ops are: 'linear_interp_v2'"):
        convert(tmp_path / names[0], tmp_path / names[1], tmp_path / "model.nb", "x86")
    assert not (tmp_path / "model.nb").exists()


def test_damaged_weights(lite: LiteEnvironment, network: nn.Layer, tmp_path: Path) -> None:
    graph, weights = save(network, tmp_path)
    weights.write_bytes(weights.read_bytes()[:300])
    with pytest.raises(ConversionError, match=r"conversion of legacy\.pdmodel to Paddle Lite for arm died of SIG"):
        convert(graph, weights, tmp_path / "model.nb", "arm")


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: nn.Layer) -> tuple[Path, Path, Path]:
    """A graph, its weights, and the source of what runs in opt's place; that gets opt's arguments."""
    child = tmp_path / "pretended.py"
    monkeypatch.setattr(lite_convert, "_CHILD", child)
    monkeypatch.setattr(lite_environment, "require", lambda: LiteEnvironment(Path(sys.executable), "2.13-rc", tmp_path))
    return (*save(network, tmp_path), child)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import time; time.sleep(60)", r"for arm was stopped after 0\.5 s"),
        ("import os; print('one', flush=True); os.abort()", r"for arm died of SIGABRT\. Its last words:\n  one"),
        ("import os, signal; os.kill(os.getpid(), 9)", r"died of SIGKILL\. Its last words:\n  \(none\)"),
        ("raise ImportError('no paddlelite')", r"failed \(exit status 1\)(.|\n)*no paddlelite"),
        ("print('all well')", r"ended without an error and without a file; is the disk full\? It said:\n  all well"),
        ("import sys; open(sys.argv[3] + '.nb', 'w')", "ended without an error and without a file"),
        (
            "import sys; open(sys.argv[3] + '.nb', 'wb').write(bytes(9))",
            r"no whole file; is .* cut off \(9 bytes",
        ),
    ],
)
def test_converters_that_fail(pretended: tuple[Path, Path, Path], tmp_path: Path, source: str, message: str) -> None:
    graph, weights, child = pretended
    child.write_text(source)
    target = tmp_path / "out" / "model.nb"
    target.parent.mkdir()
    target.write_bytes(b"as it was")
    with pytest.raises(ConversionError, match=message):
        convert(graph, weights, target, "arm", timeout_s=0.5 if "sleep" in source else 30)
    assert os.listdir(target.parent) == ["model.nb"]
    assert target.read_bytes() == b"as it was"


@pytest.mark.parametrize(
    ("precision", "message"),
    [("fp32", "for arm made a file for x86"), ("fp16", "made a file for x86")],
)
def test_a_file_for_something_else(
    lite: LiteEnvironment,
    network: nn.Layer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    message: str,
) -> None:
    files = save(network, tmp_path)
    convert(*files, tmp_path / "x86.nb", "x86")
    child = tmp_path / "pretended.py"
    child.write_text(f"import shutil, sys; shutil.copy({str(tmp_path / 'x86.nb')!r}, sys.argv[3] + '.nb')")
    monkeypatch.setattr(lite_convert, "_CHILD", child)
    with pytest.raises(ConversionError, match=message):
        convert(*files, tmp_path / "model.nb", "arm", precision)


def test_half_precision_that_was_not_made(
    lite: LiteEnvironment, network: nn.Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As opt does where it is asked for in the wrong order."""
    files = save(network, tmp_path)
    convert(*files, tmp_path / "fp32.nb", "arm")
    child = tmp_path / "pretended.py"
    child.write_text(f"import shutil, sys; shutil.copy({str(tmp_path / 'fp32.nb')!r}, sys.argv[3] + '.nb')")
    monkeypatch.setattr(lite_convert, "_CHILD", child)
    with pytest.raises(ConversionError, match="made a file without half-precision operators, and fp16 was wanted"):
        convert(*files, tmp_path / "model.nb", "arm", "fp16")


def test_a_full_disk(pretended: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Its words are those of opt 2.13-rc on a full file system."""
    graph, weights, child = pretended
    child.write_text(
        "import os, sys; open(sys.argv[3] + '.nb', 'wb').write(bytes(99)); print('[F io.cc:61 Write] Check failed: "
        "(fwrite(src, 1, size, file_) == size): 4096!==221328', flush=True); os.abort()"
    )
    with pytest.raises(OSError, match=r"cannot write .*model\.nb: no space left in "):
        convert(graph, weights, tmp_path / "out" / "model.nb", "x86")
    assert os.listdir(tmp_path / "out") == []


def test_constants_reach_the_runtime(lite: LiteEnvironment, tmp_path: Path) -> None:
    """Of every type that Paddle Lite has; from float64 too where it is cast at once."""

    class Constants(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(3, 2, 1)

        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            x = self.conv(x) + paddle.to_tensor(np.arange(48.0) / 7, dtype="float32")
            x = x * paddle.to_tensor(np.arange(48, dtype=np.float32))
            for dtype in (np.int32, np.int64):
                x = x + paddle.to_tensor(np.arange(48, dtype=dtype)).astype("float32")
            return [x.flatten(2)]

    network, target = Constants(), tmp_path / "model.nb"
    convert(*save(network, tmp_path, "none"), target, "x86")
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_allclose(LiteBackend([target], 1).run(x), expected(network, "none", x), rtol=1e-5, atol=1e-4)


def test_arguments(pretended: tuple[Path, Path, Path], tmp_path: Path) -> None:
    graph, weights, _ = pretended
    target = tmp_path / "model.nb"
    with pytest.raises(ValueError, match=r"valid_target is 'gpu'; expected one of arm, x86"):
        convert(graph, weights, target, "gpu")
    with pytest.raises(ValueError, match="'int8'; expected one of fp32, fp16, int8-weights, int16-weights"):
        convert(graph, weights, target, "arm", "int8")
    with pytest.raises(ValueError, match=r"fp16 is for arm only, and valid_target is x86; use fp32"):
        convert(graph, weights, target, "x86", "fp16")
    with pytest.raises(ValueError, match=r"end in \.nb; got .*model$"):
        convert(graph, weights, tmp_path / "model", "arm")
    with pytest.raises(FileNotFoundError, match=r"no graph .*none\.pdmodel; export the format paddle-legacy first"):
        convert(tmp_path / "none.pdmodel", weights, target, "arm")
    with pytest.raises(ConversionError, match=r"no weights .*none\.pdiparams: .* only graphs that have parameters"):
        convert(graph, tmp_path / "none.pdiparams", target, "arm")


def test_without_paddle_lite(network: nn.Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lite_environment.VARIABLE, raising=False)
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ImportError, match="mobileseg lite setup"):
        convert(*save(network, tmp_path), tmp_path / "model.nb", "arm")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(pretended: tuple[Path, Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OSError, match=r"cannot write to .*fixed"):
        convert(*pretended[:2], folder / "model.nb", "arm")


def test_a_target_below_a_file(pretended: tuple[Path, Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to .*file.*; choose another output folder"):
        convert(*pretended[:2], tmp_path / "file" / "model.nb", "arm")


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(ConversionError, match="conversion of a could not start /nowhere/python: No such file"):
        run(["/nowhere/python"], 5, "conversion of a")
