"""A program that runs .nb files, stood in for by scripts; the real one is a Paddle Lite for ARM."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.runtime.arm_runner import VARIABLE, ArmRunner, available, split_command
from tests.processes import is_running, wait_until

Runner = Callable[[str], str]
X = np.random.default_rng(0).normal(size=(1, 3, 4, 6)).astype(np.float32)

# Reads the options and the input, as the module's docstring describes them.
HEAD = """
import argparse, json, os, subprocess, sys, time
import numpy as np
parser = argparse.ArgumentParser()
for name in ("model", "input", "shape", "dtype", "output", "threads"):
    parser.add_argument("--" + name, required=True)
args = parser.parse_args()
shape = [int(n) for n in args.shape.split(",")]
x = np.fromfile(args.input, args.dtype).reshape(shape)
"""
LABELS = (
    HEAD
    + """
y = x.argmax(1).astype("int32")
y.tofile(args.output)
print("Paddle Lite says something first")
print(json.dumps({"shape": list(y.shape), "dtype": "int32", "runtime": "v2.13-rc"}))
"""
)
WARM_LABELS = LABELS.replace('"threads"):', '"threads", "warmup"):')  # for measurements


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The frame of a .nb file with one operator for ARM."""
    return write_network(tmp_path / "model_arm.nb")


def write_network(path: Path, target: int = 4) -> Path:
    program = b"conv2d/def/%d/1/1\0" % target
    head = (2).to_bytes(2, "little") + b"v2.13-rc".ljust(16, b"\0") + len(program).to_bytes(8, "little")
    path.write_bytes(head + program + bytes(12))
    return path


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Function: Python code -> the command that runs it; its path needs a quote."""

    def write(code: str) -> str:
        script = tmp_path / "a runner.py"
        script.write_text(code)
        return f"{shlex.quote(sys.executable)} '{script}'"

    return write


def test_the_network_is_run(network: Path, runner: Runner) -> None:
    arm = ArmRunner([network], 1, runner(LABELS))
    assert arm.version is None
    output = arm.run(X)
    assert output.dtype == np.int32
    np.testing.assert_array_equal(output, X.argmax(1))
    assert arm.version == "2.13-rc"
    assert output.flags.writeable


def test_what_the_program_is_given(network: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        HEAD
        + """
assert args.model.startswith("/") and open(args.model, "rb").read(2) == b"\\2\\0"
assert (args.threads, args.dtype, args.shape) == ("3", "uint8", "1,4,6,3"), args
assert x.ravel()[:6].tolist() == [0, 1, 2, 3, 4, 5]
(x.astype("int64") * 2).tofile(args.output)
print(json.dumps({"shape": shape, "dtype": "int64"}))
"""
    )
    monkeypatch.chdir(network.parent)
    x = np.arange(72, dtype=np.uint8).reshape(1, 4, 6, 3)
    output = ArmRunner([Path(network.name)], 3, runner(code)).run(x)
    assert output.dtype == np.int64
    np.testing.assert_array_equal(output, x.astype(np.int64) * 2)


def test_command_of_the_environment(network: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not available()
    with pytest.raises(ImportError, match=r"needs a program that runs it: .*--arm_runner.*MOBILESEG_ARM_RUNNER"):
        ArmRunner([network], 1)
    monkeypatch.setenv(VARIABLE, runner(LABELS))
    assert available()
    np.testing.assert_array_equal(ArmRunner([network], 1).run(X), X.argmax(1))


@pytest.mark.parametrize(
    "code, message",
    [
        (
            "import sys; print('no such kernel', file=sys.stderr); sys.exit(7)",
            r"exit status 7.*last words:\n  no such kern",
        ),
        ("import os; os.abort()", r"died of SIGABRT.*last words:\n  \(none\)"),
        ("print('done')", "printed 'done'; expected a line such as"),
        ("", "printed ''; expected"),
        ("print('{\"shape\": [1, 4, 6]}')", "printed .*; expected"),
        ('print(\'{"shape": [1, -4, 6], "dtype": "int32"}\')', "printed .*; expected"),
        ('print(\'{"shape": [1, 4, 6], "dtype": "object"}\')', "printed .*; expected"),
        ("print('[1, 2]')", "printed .*; expected"),
        ('print(\'{"shape": [1, 4, 6], "dtype": "int32"}\')', r"wrote no output; expected 96 for int32 \[1, 4, 6\]"),
        (LABELS.replace("list(y.shape)", "[2, 4, 6]"), r"wrote 96 bytes of output; expected 192"),
    ],
)
def test_program_that_fails(network: Path, runner: Runner, code: str, message: str) -> None:
    with pytest.raises(ChildProcessError, match=f"(?s)the ARM runner `.*a runner.py'` .*{message}"):
        ArmRunner([network], 1, runner(code)).run(X)


def test_program_of_another_version(network: Path, runner: Runner) -> None:
    arm = ArmRunner([network], 1, runner(LABELS.replace("2.13-rc", "2.10")))
    with pytest.raises(ValueError, match=r"converted by Paddle Lite 2\.13-rc, and the Paddle Lite here is 2\.10; get"):
        arm.run(X)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"threads": 1}, "ran with threads 1, but was told 4; does it pass on all that it is given"),
        ({"threads": 4, "warmup": 0}, "ran with warmup 0, but was told 2"),
        ({"threads": "4"}, "ran with threads '4', but was told 4"),
        ({"threads": 4, "warmup": 2}, None),
        ({"threads": None}, None),
    ],
)
def test_program_that_ran_with_other_settings(
    network: Path, runner: Runner, said: dict[str, Any], message: str | None
) -> None:
    arm = ArmRunner([network], 4, runner(WARM_LABELS.replace('"runtime"', f'**{said!r}, "runtime"')), warmup=2)
    if message is None:
        np.testing.assert_array_equal(arm.run(X), X.argmax(1))
    else:
        with pytest.raises(ChildProcessError, match=message):
            arm.run(X)


def test_program_that_warms_up_unasked(network: Path, runner: Runner) -> None:
    arm = ArmRunner([network], 1, runner(LABELS.replace('"runtime"', '"warmup": 1, "runtime"')))
    np.testing.assert_array_equal(arm.run(X), X.argmax(1))


def test_the_pages_script_passes_on_what_it_is_given(
    repository: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/learn/lite.md: files to a board and back. Here a folder is the board."""
    page = (repository / "docs/learn/lite.md").read_text(encoding="utf-8")
    (script,) = (text for text in re.findall(r"^```text\n(.*?)^```", page, flags=re.S | re.M) if text.startswith("#!"))
    board = tmp_path / "board"
    (board / "tmp").mkdir(parents=True)
    said = '"threads": int(args.threads), "warmup": int(args.warmup), "runtime"'
    (board / "program.py").write_text(WARM_LABELS.replace('"runtime"', said))
    start = f"#!{sys.executable}\nimport shutil, subprocess, sys\n"
    scp = f"shutil.copy(*(word.replace('board:', {str(board)!r}) for word in sys.argv[2:]))\n"
    ssh = (
        f"words = [{str(board)!r} + word if word.startswith('/tmp/') else word for word in sys.argv[3:]]\n"
        f"sys.exit(subprocess.run([sys.executable, {str(board / 'program.py')!r}, *words]).returncode)\n"
    )
    for name, text in (("on_board", script), ("scp", start + scp), ("ssh", start + ssh)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    arm = ArmRunner([network], 4, str(tmp_path / "on_board"), warmup=2)
    np.testing.assert_array_equal(arm.run(X), X.argmax(1))


def test_program_that_takes_too_long_is_ended_with_what_it_started(
    network: Path, runner: Runner, tmp_path: Path
) -> None:
    said = tmp_path / "pid"
    code = (
        HEAD
        + f"""
child = subprocess.Popen(["sleep", "1000"])
open({str(said)!r} + ".new", "w").write(str(child.pid))
os.rename({str(said)!r} + ".new", {str(said)!r})
child.wait()
"""
    )
    with pytest.raises(TimeoutError, match=r"was not done after 3 s and was stopped"):
        ArmRunner([network], 1, runner(code), timeout_s=3).run(X)
    pid = int(said.read_text())
    wait_until(lambda: not is_running(pid))  # what the program started


@pytest.mark.parametrize(
    "command, error, message",
    [
        ("", ValueError, "arm_runner is empty"),
        ("  ", ValueError, "arm_runner is empty"),
        ("./run 'half a quote", ValueError, "cannot be read as a command: No closing quotation"),
        ("/no/such/program --fast", FileNotFoundError, "there is no program '/no/such/program' that may be run"),
    ],
)
def test_wrong_command(network: Path, command: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ArmRunner([network], 1, command)


@pytest.mark.parametrize("timeout_s", [0, "10"])
def test_wrong_timeout(network: Path, runner: Runner, timeout_s: Any) -> None:
    with pytest.raises(ValueError, match=r"timeout_s is .*; expected seconds above 0"):
        ArmRunner([network], 1, runner(LABELS), timeout_s)


def test_command_with_words_before_the_program() -> None:
    assert split_command("env A=1 'my runner'") == ["env", "A=1", "my runner"]


def test_file_for_another_processor(tmp_path: Path, runner: Runner) -> None:
    path = write_network(tmp_path / "model_x86.nb", target=2)
    with pytest.raises(ValueError, match=r"model_x86\.nb is for x86, expected one for arm; export"):
        ArmRunner([path], 1, runner(LABELS))


def test_missing_and_cut_file(network: Path, runner: Runner) -> None:
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut off"):
        ArmRunner([network], 1, runner(LABELS))
    network.unlink()
    with pytest.raises(FileNotFoundError, match="export with format lite-arm"):
        ArmRunner([network], 1, runner(LABELS))


@pytest.mark.parametrize("x", [X.astype(np.float64), X[0], X[:0]])
def test_wrong_input(network: Path, runner: Runner, x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a float32 or uint8 array of 4 dimensions, but got"):
        ArmRunner([network], 1, runner(LABELS)).run(x)


def test_a_real_file_passes_for_arm(lite_files: Path, runner: Runner) -> None:
    np.testing.assert_array_equal(ArmRunner([lite_files / "labels_arm.nb"], 1, runner(LABELS)).run(X), X.argmax(1))
