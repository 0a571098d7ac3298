"""A run in its three parts gives what the whole run gives, and says how long the parts took where a clock cannot."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.runtime import Session
from paddle_mobileseg.runtime.arm_runner import ArmRunner
from paddle_mobileseg.runtime.lite_backend import LiteBackend
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
from tests.runtime.test_arm_runner import HEAD, write_network


def parts(runner: Any, x: np.ndarray) -> np.ndarray:
    runner.upload(x)
    runner.compute()
    return runner.download()


def assert_parts_are_the_whole(runner: Any, inputs: list[np.ndarray]) -> None:
    """For inputs of any sizes, mixed with whole runs; outputs are the caller's own."""
    expected = [runner.run(x) for x in inputs]
    found = [parts(runner, x) for x in [*inputs, *inputs]]
    again = [runner.run(x) for x in inputs]
    for number, output in enumerate([*found, *again]):
        whole = expected[number % len(inputs)]
        assert isinstance(output, np.ndarray)
        assert (output.dtype, output.shape) == (whole.dtype, whole.shape)
        assert np.array_equal(output, whole)
    found[0][...] = 0
    assert np.array_equal(parts(runner, inputs[0]), expected[0])


def some(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(1, 3, *size)).astype(np.float32) for size in sizes]


@pytest.mark.parametrize("output_op", ["argmax", "none"])
def test_onnxruntime(make_bundle: Any, output_op: str) -> None:
    runner = OnnxRuntimeBackend([make_bundle(output_op) / "model.onnx"], 1)
    assert_parts_are_the_whole(runner, some((4, 6), (9, 5), (4, 6)))
    assert runner.describe() == "onnxruntime CPUExecutionProvider"


def test_onnxruntime_names_the_shape_that_it_refuses(make_bundle: Any) -> None:
    runner = OnnxRuntimeBackend([make_bundle(input_shape=(1, 3, 4, 6)) / "model.onnx"], 1)
    runner.upload(np.zeros((1, 3, 4, 7), np.float32))
    with pytest.raises(ValueError, match=r"cannot run an input of \[1, 3, 4, 7\]"):
        runner.compute()
    assert parts(runner, np.zeros((1, 3, 4, 6), np.float32)).shape == (1, 4, 6)


def test_lite_tells_the_network_from_the_pipe(lite_files: Path) -> None:
    with LiteSession(lite_files / "open_x86.nb") as runner:
        assert_parts_are_the_whole(runner, some((32, 48), (64, 32)))
        assert set(runner.stages_ms) == {"host_to_device", "compute", "device_to_host"}
        assert all(0 < value < 60_000 for value in runner.stages_ms.values())
        assert runner.describe() == f"Paddle Lite {runner.version} for x86, in a process of its own"
        assert Path(f"/proc/{runner.pid}").is_dir()


class LiteSession:
    def __init__(self, path: Path) -> None:
        self._runner = LiteBackend([path], 1)

    def __enter__(self) -> LiteBackend:
        return self._runner

    def __exit__(self, *_: Any) -> None:
        self._runner.close()


def test_lite_that_was_closed_refuses_each_part(lite_files: Path) -> None:
    runner = LiteBackend([lite_files / "logits_x86.nb"], 1)
    (x,) = some((32, 48))
    runner.upload(x)
    runner.close()
    for part in (lambda: runner.upload(x), runner.compute, runner.download):
        with pytest.raises(ChildProcessError, match="the network was closed"):
            part()


def arm_runner(tmp_path: Path, line: str, **how: Any) -> ArmRunner:
    """Whose program prints the line; ``{warmup}`` in it stands for the option."""
    code = HEAD.replace("args = parser", 'parser.add_argument("--warmup", default="none")\nargs = parser')
    code += f'y = x.argmax(1).astype("int32")\ny.tofile(args.output)\nprint({line!r}.replace("WARMUP", args.warmup))\n'
    (tmp_path / "runner.py").write_text(code)
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'runner.py'))}"
    return ArmRunner([write_network(tmp_path / "model_arm.nb")], 1, command, **how)


def test_the_arm_runners_own_times(tmp_path: Path) -> None:
    line = '{"shape": [1, 4, 6], "dtype": "int32", "runtime": "WARMUP", "times_ms": [30.0, 12.5]}'
    runner = arm_runner(tmp_path, line.replace("WARMUP", "2.13-rc"))
    assert runner.stages_ms is None
    runner.run(some((4, 6))[0])
    assert runner.stages_ms == {"network": 12.5, "compute": 12.5}
    assert runner.describe() == "Paddle Lite for ARM, by runner.py (its own times, without starting and loading)"


@pytest.mark.parametrize(("times", "found"), [("", None), (', "times_ms": []', None), (', "times_ms": null', None)])
def test_an_arm_runner_without_times(tmp_path: Path, times: str, found: None) -> None:
    runner = arm_runner(tmp_path, '{"shape": [1, 4, 6], "dtype": "int32"' + times + "}")
    runner.run(some((4, 6))[0])
    assert runner.stages_ms is found
    assert runner.describe().endswith("(with starting and loading each run)")


@pytest.mark.parametrize("times", ["12.5", "[0]", "[-1.0]", "[NaN]", "[Infinity]", '["1"]', "[true]", "{}"])
def test_times_of_an_arm_runner_that_are_none(tmp_path: Path, times: str) -> None:
    runner = arm_runner(tmp_path, '{"shape": [1, 4, 6], "dtype": "int32", "times_ms": ' + times + "}")
    with pytest.raises(ChildProcessError, match=r"gave times_ms .*; expected a list of milliseconds above 0"):
        runner.run(some((4, 6))[0])


@pytest.mark.parametrize(("how", "version"), [({}, "none"), ({"warmup": 0}, "none"), ({"warmup": 3}, "3")])
def test_the_arm_runner_is_told_of_warm_up(tmp_path: Path, how: dict[str, int], version: str) -> None:
    runner = arm_runner(tmp_path, '{"shape": [1, 4, 6], "dtype": "int32", "runtime": "WARMUP"}', **how)
    with pytest.raises(ValueError, match=f"the Paddle Lite here is {version}; "):
        runner.run(some((4, 6))[0])


@pytest.mark.parametrize("warmup", [-1, 1.5, True, "1"])
def test_warm_up_is_a_count(tmp_path: Path, warmup: Any) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 0"):
        arm_runner(tmp_path, "", warmup=warmup)


def test_a_session_in_parts(make_bundle: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    steps = [{"type": "Resize", "target_size": [6, 4]}, {"type": "Normalize"}]
    session = Session(make_bundle("none", (1, 3, 4, 6), steps))
    x, trans_info = session.prepare(image)
    assert x.shape == (1, 3, 4, 6)
    assert np.array_equal(session.finish(session.run_tensor(x), trans_info), session.run(image))
    assert session.load_s > 0
