"""Tables of Paddle Lite's profiler. ``data/lite_profile.txt`` has rows of those in Paddle Lite's documentation, with
less of them and some other times, between what a runner prints beside."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from paddle_mobileseg.benchmark.profiling.lite import measure_arm, measure_x86, parse
from paddle_mobileseg.runtime import lite_environment
from paddle_mobileseg.runtime.arm_runner import VARIABLE

PRINTED = (Path(__file__).parent / "data" / "lite_profile.txt").read_text()
CONCISE = PRINTED[PRINTED.index("===== Concise Dispatch") :]
OLD = """
===== Concise Dispatch Profiler Summary: N/A, Exclude 1 warm-ups =====
OperatorType         KerneAttr                      Remark                     Avg(ms) Min(ms) Max(ms) Avg(%)
conv2d               arm/float/NCHW                 3x3p1s2g1d1Relu            3.000   2.500   4.000   75.00%
softmax              arm/float/NCHW                                            1.000   0.500   2.000   25.00%
"""


def test_the_last_detailed_table() -> None:
    depthwise = "depthwise_conv2d conv_depthwise_3x3_fp32 3x3p1s1g512d1BiasRelu 1x512x14x14 512x1x3x3 1x512x14x14"
    assert [(each["name"], each["type"], each["ms"], each["calls"]) for each in parse(PRINTED)] == [
        ("conv2d conv1x1s1_gemm_fp32 1x1p0s1g1d1BiasRelu 1x512x14x14 512x512x1x1 1x512x14x14", "conv2d", 2.358, 1),
        ("fc 1x1024x1x1 1024x1000 1x1000", "fc", 1.650, 1),
        ("conv2d conv_3x3s2_direct_fp32 3x3p1s2g1d1BiasRelu 1x3x224x224 32x3x3x3 1x32x112x112", "conv2d", 0.735, 1),
        (f"{depthwise} .1", "depthwise_conv2d", 0.104, 1),
        (f"{depthwise} .0", "depthwise_conv2d", 0.103, 1),
        ("pool2d globalavgEXPLICIT 1x1024x7x7 1x1024x1x1", "pool2d", 0.014, 1),
        ("softmax axis-1 1x1000 1x1000", "softmax", 0.000, 1),
    ]


def test_the_concise_table_where_there_is_no_other() -> None:
    operators = parse(CONCISE)
    assert operators[0] == {"name": "conv2d conv1x1s1_gemm_fp32", "type": "conv2d", "ms": 25.381, "calls": 13}
    assert operators[-1] == {"name": "softmax", "type": "softmax", "ms": 0.006, "calls": 1}
    assert sum(each["calls"] for each in operators) == 30


def test_the_table_of_old_versions() -> None:
    assert parse(OLD) == [
        {"name": "conv2d 3x3p1s2g1d1Relu", "type": "conv2d", "ms": 3.0, "calls": 1},
        {"name": "softmax", "type": "softmax", "ms": 1.0, "calls": 1},
    ]


def test_more_columns_of_opencl() -> None:
    wide = OLD.replace("75.00%", "75.00%    9.500     9.000     9.900     99.00%   ")
    assert parse(wide)[0]["ms"] == 3.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "built without the profiler.*--with_profile=ON"),
        ('{"shape": [1, 64, 64], "dtype": "int32", "times_ms": [1.0]}', "built without the profiler"),
        (CONCISE[: CONCISE.index("fc ")], "3 rows that make 98.92 % of the time.*cut off"),
        (CONCISE[: CONCISE.index("conv2d")], "cut off: it begins with 'OperatorType"),
        (CONCISE.replace("25.381", "-"), "cannot be read: 'conv2d"),
        (CONCISE.replace("25.381", "nan   "), "cannot be read: 'conv2d"),
        (CONCISE.replace("1.079   13", ""), "cannot be read: 'conv2d"),
        (OLD.replace("OperatorType", "Operator"), "cut off: it begins with 'Operator "),
        (PRINTED.replace("Dispatch", "Create"), "built without the profiler"),
    ],
)
def test_other_texts(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_the_x86_wheel_has_no_profiler(tmp_path: Path) -> None:
    environment = lite_environment.find()
    if environment is None:
        pytest.skip("needs Paddle Lite: run `mobileseg lite setup`")
    (library,) = environment.folder.glob("**/paddlelite/lite.so")
    assert b"Profiler Summary" not in library.read_bytes()
    with pytest.raises(ValueError, match=r"not offered for Paddle Lite on x86: paddlelite==2.13rc0 was built without"):
        measure_x86([], np.zeros(1), 1, 1, 1, tmp_path)


RUNNER = """#!{python}
import sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert options["--threads"] == "2" and options["--warmup"] == "3" and options["--repeats"] == "20", options
assert options["--shape"] == "1,3,4,6" and options["--dtype"] == "float32"
assert len(open(options["--input"], "rb").read()) == 4 * 72
print('{{"shape": [1, 4, 6], "dtype": "int32"}}')
sys.stderr.write({printed!r})
sys.exit({status})
"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The frame of a .nb file with one operator for ARM."""
    program = b"conv2d/def/4/1/1\0"
    head = (2).to_bytes(2, "little") + b"v2.13-rc".ljust(16, b"\0") + len(program).to_bytes(8, "little")
    (tmp_path / "model_arm.nb").write_bytes(head + program + bytes(12))
    return tmp_path / "model_arm.nb"


def profile_with(printed: str, status: int, network: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    runner = network.with_name("runner")
    runner.write_text(RUNNER.format(python=sys.executable, printed=printed, status=status))
    runner.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(runner))
    x = np.zeros((1, 3, 4, 6), np.float32)
    return measure_arm([network], x, threads=2, runs=20, warmup=3, folder=network.parent)


def test_a_runner_that_prints_tables(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = profile_with(PRINTED, 0, network, monkeypatch)
    assert profile.operators == parse(PRINTED)
    assert (profile.runs, profile.run_ms, profile.explained) == (20, None, None)


def test_a_runner_without_profiler(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="built without the profiler"):
        profile_with("", 0, network, monkeypatch)


def test_a_runner_that_fails(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChildProcessError, match=r"exit status 3\).*\n.*\n  no such model"):
        profile_with("no such model\n", 3, network, monkeypatch)


def test_no_runner(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ImportError, match=VARIABLE):
        measure_arm([network], np.zeros((1, 3, 4, 6), np.float32), 1, 1, 1, network.parent)
