"""``mobileseg doctor``: it names what is missing, outlives what is broken, and needs none of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg import doctor
from paddle_mobileseg.doctor import BROKEN, MISSING, OK, UNTESTED, Check
from paddle_mobileseg.runtime import arm_runner, lite_environment

Run = Callable[..., tuple[int, str, str]]


def package(module: str, needed: bool = True, version: str = "module.__version__") -> Check:
    return doctor._package(doctor._Package("a-package", module, needed, "pip install a-package", version))


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Function (name, code): a module of that name can be imported, here and in child processes."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)

    return write


def test_package_that_works(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    modules("module_one", "print('it says something')\n__version__ = '1.2.3'")
    assert package("module_one") == Check("a-package", OK, "1.2.3", True)
    monkeypatch.setattr(doctor, "pinned", lambda name: ("1.2.3", "1.1"))
    assert package("module_one").state == OK
    monkeypatch.setattr(doctor, "pinned", lambda name: ("1.2.2",))
    assert package("module_one") == Check("a-package", UNTESTED, "1.2.3", True, ("1.2.2",))


def test_package_that_is_missing() -> None:
    assert package("no_such_module") == Check("a-package", MISSING, "", True, (), "pip install a-package")


@pytest.mark.parametrize(
    "code, found",
    [
        ("raise ImportError('libcuda.so.1: no such file')", "ImportError: libcuda.so.1: no such file"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os; os.abort()", "died of SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "died of SIGSEGV"),
        ("import sys; sys.exit(3)", "exit status 3"),
    ],
)
def test_package_that_is_broken(modules: Any, code: str, found: str) -> None:
    modules("module_two", code)
    check = package("module_two")
    assert (check.state, check.found) == (BROKEN, found)
    assert check.hint.endswith("install it again, or: pip install a-package")


def test_package_that_never_comes_back(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    modules("module_three", "import time; time.sleep(100)")
    monkeypatch.setattr(doctor, "_TIMEOUT_S", 0.5)
    assert (package("module_three").state, package("module_three").found) == (BROKEN, "no answer within 0.5 s")


def test_versions_that_the_tests_were_run_with(repository: Path) -> None:
    assert doctor.pinned("paddlepaddle") == ("3.3.1",)
    assert doctor.pinned("paddleseg") == ("2.8.0",)
    assert doctor.pinned("numpy") == ("2.2.6", "2.4.6")  # one for Python 3.10, one for later ones
    assert doctor.pinned("no-such-package") == ()
    assert lite_environment.WHEEL in doctor.pinned("paddlelite")


def test_a_wheel_has_no_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_REQUIREMENTS", tmp_path / "absent")
    assert doctor.pinned("numpy") == ()


@pytest.mark.parametrize(
    "checks, works",
    [
        ([Check("a", OK, "1", True), Check("b", MISSING, "", False)], True),
        ([Check("a", UNTESTED, "1", True), Check("b", BROKEN, "", False)], True),
        ([Check("a", MISSING, "", True), Check("b", OK, "1", True)], False),
        ([Check("a", BROKEN, "", True)], False),
    ],
)
def test_what_is_needed_decides(run: Run, monkeypatch: pytest.MonkeyPatch, checks: list[Check], works: bool) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    status, out, _ = run("doctor")
    assert status == (0 if works else 1)
    end = "Training, export and ONNX Runtime work." if works else "Training, export and ONNX Runtime need: a."
    assert out.splitlines()[-1] == end
    status, out, _ = run("doctor", "--json")
    assert status == (0 if works else 1)
    record = json.loads(out)
    assert record["works"] is works
    assert [(check["name"], check["state"]) for check in record["checks"]] == [(c.name, c.state) for c in checks]


def test_table() -> None:
    text = doctor.page(
        [
            Check("numpy", OK, "2.4.6", True),
            Check("onnx", UNTESTED, "1.18.0", True, ("1.17.0",)),
            Check("adb", MISSING, "", False, (), "install it"),
        ]
    )
    assert text.splitlines()[:4] == [
        "       state     found   note",
        "numpy  ok        2.4.6",
        "onnx   untested  1.18.0  the tests were run with 1.17.0",
        "adb    missing           install it",
    ]


def test_this_machine(run: Run) -> None:
    """The machine that runs the tests has all that the default path needs."""
    status, out, _ = run("doctor", "--json")
    record = json.loads(out)
    checks = {check["name"]: check for check in record["checks"]}
    assert status == 0, out
    assert record["works"] is True
    needed = {"numpy", "opencv-python-headless", "paddlepaddle", "paddleseg", "onnx", "onnxruntime", "paddle2onnx"}
    assert {name for name, check in checks.items() if check["needed"]} == {"Python", *needed}
    assert all(check["found"] for check in checks.values() if check["state"] in (OK, UNTESTED))
    assert all(check["hint"] for check in checks.values() if check["state"] in (MISSING, BROKEN))
    import paddle

    assert checks["paddlepaddle"]["found"] == paddle.__version__
    assert (checks["GPU of Paddle"]["state"] == OK) == (paddle.device.cuda.device_count() > 0)
    assert (checks["Paddle Lite"]["state"] in (OK, UNTESTED)) == lite_environment.available()


def test_it_runs_where_hardly_anything_is_installed() -> None:
    code = """
import importlib.util, sys
for name in ("PIL", "tqdm", "paddle", "paddleseg", "onnx", "onnxruntime", "paddle2onnx"):
    sys.modules[name] = None  # importing it raises
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in sys.modules and sys.modules[name] is None else find_spec(name)
from paddle_mobileseg.cli import main
sys.exit(main(["doctor", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["Python"]["state"] == OK
    for name in ("paddlepaddle", "paddleseg", "onnx", "onnxruntime", "paddle2onnx"):
        assert checks[name]["state"] == MISSING
        assert "pip install" in checks[name]["hint"]
    assert checks["GPU of Paddle"]["hint"] == "PaddlePaddle does not work, see above"


def test_other_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.2")
    check = doctor._python()
    assert (check.state, check.hint) == (BROKEN, "use Python 3.10, 3.11, 3.12")
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.12.2")
    assert doctor._python().state == OK


@pytest.mark.parametrize(
    "said, state, found",
    [("0 0", MISSING, "CPU build"), ("1 0", MISSING, "GPU build, no device"), ("1 2", OK, "2 device(s)")],
)
def test_gpu(monkeypatch: pytest.MonkeyPatch, said: str, state: str, found: str) -> None:
    monkeypatch.setattr(doctor, "_import", lambda module, expression: (said, ""))
    assert (doctor._gpu().state, doctor._gpu().found) == (state, found)


def test_paddle_lite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path))
    monkeypatch.delenv(lite_environment.VARIABLE, raising=False)
    check = doctor._paddle_lite()
    assert (check.state, check.needed) == (MISSING, False)
    assert check.hint.endswith("mobileseg lite setup")
    monkeypatch.setenv(lite_environment.VARIABLE, "/no/such/python")
    check = doctor._paddle_lite()
    assert check.state == BROKEN
    assert "which is no program" in check.found


def test_arm_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(arm_runner.VARIABLE, raising=False)
    assert "MOBILESEG_ARM_RUNNER" in doctor._arm_runner().hint
    monkeypatch.setenv(arm_runner.VARIABLE, "/no/such/program")
    assert (doctor._arm_runner().state, doctor._arm_runner().needed) == (BROKEN, False)
    monkeypatch.setenv(arm_runner.VARIABLE, f"{sys.executable} run.py")
    assert doctor._arm_runner() == Check("ARM runner", OK, f"{sys.executable} run.py", False)


def test_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._program("adb", ("adb",), "install it") == Check("adb", MISSING, "", False, (), "install it")
    script = tmp_path / "adb"
    script.write_text("#!/bin/sh\necho Android Debug Bridge 1.0\necho more\n")
    script.chmod(0o755)
    found = f"Android Debug Bridge 1.0 ({script})"
    assert doctor._program("adb", ("other", "adb"), "install it") == Check("adb", OK, found, False)
    script.write_text("#!/bin/sh\nexit 9\n")
    assert doctor._program("adb", ("adb",), "install it").state == BROKEN
