"""Finding and making Paddle Lite's environment. Nothing is downloaded: what pip would install is made by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.runtime import lite_environment as lite

# What stands in for venv and pip: a Python that says a version.
INSTALL = """
def install(base, version, venv):
    package = venv / "lib" / ("python" + version) / "site-packages" / "paddlelite"
    package.mkdir(parents=True)
    (package / "lite.so").touch()
    (venv / "bin").mkdir()
    (venv / "bin" / "python").write_text("#!/bin/sh\\necho 2.13-rc\\n")
    (venv / "bin" / "python").chmod(0o755)
"""
_space: dict[str, Any] = {}
exec(INSTALL, _space)
install: Callable[[Path, str, Path], None] = _space["install"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no environment named by the user."""
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(lite.VARIABLE, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """setup() works without Python 3.10 and without a network."""
    monkeypatch.setattr(lite, "choose_python", lambda named: (Path("/usr/bin/python3.10"), "3.10"))
    monkeypatch.setattr(lite, "_install", install)
    monkeypatch.setattr(lite.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(lite.sys, "platform", "linux")


def venvs() -> list[str]:
    return sorted(path.name for path in lite.default_folder().glob("venv-*"))


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_requirements_file_says_the_same(repository: Path) -> None:
    lines = (repository / "requirements" / "lite.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [lite.REQUIREMENT]
    assert f"paddlelite=={lite.WHEEL}" == lite.REQUIREMENT


def test_nothing_is_there(cache: Path) -> None:
    assert lite.find() is None
    assert not lite.available()
    with pytest.raises(ImportError, match=r"run `mobileseg lite setup`.*name a Python.*MOBILESEG_LITE_PYTHON"):
        lite.require()
    assert not cache.exists()


def test_setup_makes_it_once(stand_in: None, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    made = lite.setup()
    assert made == lite.find() == lite.require()
    assert lite.available()
    assert (made.version, made.folder) == ("2.13-rc", cache / "lite-2.13rc0")
    assert made.python == made.folder / venvs()[0] / "bin" / "python"
    monkeypatch.setattr(lite.subprocess, "run", None)  # calling it would raise
    assert lite.find() == made
    assert lite.setup() == made
    assert len(venvs()) == 1


def test_force_makes_it_again_and_removes_the_old_one(stand_in: None) -> None:
    first = lite.setup()
    second = lite.setup(force=True)
    assert second.python != first.python
    assert venvs() == [second.python.parents[1].name]
    assert lite.find() == second


def fail(*_: Any) -> None:
    raise OSError("pip failed")


def half(base: Path, version: str, venv: Path) -> None:
    install(base, version, venv)
    (venv / "bin" / "python").write_text("#!/bin/sh\necho no paddlelite here >&2\nexit 1\n")


@pytest.mark.parametrize(
    "broken, message", [(fail, "pip failed"), (half, "(?s)with paddlelite failed.*no paddlelite here")]
)
def test_a_failure_leaves_what_was_there(
    stand_in: None, monkeypatch: pytest.MonkeyPatch, broken: Any, message: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lite, "_install", broken)
        with pytest.raises(OSError, match=message):
            lite.setup()
        assert lite.find() is None
        assert venvs() == []
    made = lite.setup()
    monkeypatch.setattr(lite, "_install", broken)
    with pytest.raises(OSError, match=message):
        lite.setup(force=True)
    assert lite.find() == made
    assert len(venvs()) == 1


def in_another_process(code: str) -> subprocess.Popen[str]:
    head = f"""
import os, signal, sys, time
from pathlib import Path
from paddle_mobileseg.runtime import lite_environment as lite
{INSTALL}
lite.choose_python = lambda named: (Path("/usr/bin/python3.10"), "3.10")
lite.platform.machine = lambda: "x86_64"
"""
    return subprocess.Popen(
        [sys.executable, "-c", head + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_leaves_nothing_half_made(stand_in: None, moment: str) -> None:
    code = f"""
def killed(base, version, venv):
    if {moment == "after"}:
        install(base, version, venv)
    os.kill(os.getpid(), signal.SIGKILL)
lite._install = killed
lite.setup()
"""
    process = in_another_process(code)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(venvs()) == 1
    assert lite.find() is None
    made = lite.setup()
    assert venvs() == [made.python.parents[1].name]  # what the kill left is gone


def test_two_at_once_make_one(stand_in: None, tmp_path: Path) -> None:
    code = f"""
def slow(base, version, venv):
    with open({str(tmp_path / "installed")!r}, "a") as file:
        file.write("once ")
    time.sleep(1)
    install(base, version, venv)
lite._install = slow
print(lite.setup().python)
"""
    both = [in_another_process(code) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0] != ""
    assert (tmp_path / "installed").read_text() == "once "


def test_another_that_never_ends(stand_in: None, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    import fcntl

    lite.default_folder().mkdir(parents=True)
    monkeypatch.setattr(lite, "_LOCK_TIMEOUT_S", 0.3)
    with open(lite.default_folder() / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=r"another process has been setting up .*lite-2\.13rc0 for 0\.3 s"):
            lite.setup()


@pytest.mark.parametrize("damage", ["marker", "text", "list", "other keys", "python", "python gone", "library"])
def test_what_is_not_whole_is_not_found(stand_in: None, damage: str) -> None:
    made = lite.setup()
    marker = made.folder / "environment.json"
    if damage == "marker":
        marker.unlink()
    elif damage == "python gone":  # a link to a Python that was removed
        made.python.unlink()
        made.python.symlink_to("/no/such/python3.10")
    elif damage == "python":
        made.python.unlink()
    elif damage == "library":
        next(made.folder.rglob("lite.so")).unlink()
    else:
        marker.write_text({"text": "{", "list": "[]", "other keys": json.dumps({"a": 1})}[damage])
    assert lite.find() is None
    assert lite.setup().python.is_file()
    assert lite.find() is not None


def test_cache_that_cannot_be_written(stand_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path / "file" / "cache"))
    assert lite.find() is None
    with pytest.raises(OSError, match=r"cannot write to .*file/cache.*MOBILESEG_CACHE"):
        lite.setup()


def test_environment_in_a_cache_that_may_only_be_read(stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lite.setup()

    def refuse(path: Any, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)  # of the lock; permissions would not stop root
    assert lite.setup() == made
    with pytest.raises(OSError, match=r"cannot write to .*lite-2\.13rc0 \(Permission denied\)"):
        lite.setup(force=True)


def test_full_disk(stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        lite.shutil, "disk_usage", lambda path: lite.shutil._ntuple_diskusage(10**12, 10**12, 12 * 10**6)
    )
    with pytest.raises(OSError, match=r"has 12 MB free, and Paddle Lite needs about \d+; free some space"):
        lite.setup()
    assert venvs() == []


@pytest.mark.parametrize("system, machine", [("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64")])
def test_other_platforms(stand_in: None, monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(lite.sys, "platform", system)
    monkeypatch.setattr(lite.platform, "machine", lambda: machine)
    with pytest.raises(OSError, match=rf"x86-64 Linux only, and this is .* on {machine}"):
        lite.setup()


def test_pip_that_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    version = "{}.{}".format(*sys.version_info)
    with pytest.raises(OSError, match=r"(?s)pip install paddlelite==2\.13rc0 failed.*last words:.*paddlelite"):
        lite._install(Path(sys.executable), version, tmp_path / "venv")


def test_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite.sys, "executable", str(program(tmp_path / "python", "exit 1")))
    with pytest.raises(OSError, match=r"python has no pip; get it with `.*python -m ensurepip`"):
        lite._install(Path("python3.10"), "3.10", tmp_path / "venv")


class TestChoosingAPython:
    @pytest.fixture(autouse=True)
    def only_these(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "bin").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
        monkeypatch.setattr(lite.platform, "python_version", lambda: "3.12.1")

    def test_none(self) -> None:
        with pytest.raises(
            ValueError, match=r"found no Python 3\.8, 3\.9 or 3\.10 .*uv python install.*setup --python"
        ):
            lite.choose_python()

    def test_candidates_are_run(self, tmp_path: Path) -> None:
        program(tmp_path / "bin" / "python3.10", "exit 127")  # as a version manager's, switched off
        older = program(tmp_path / "bin" / "python3.9", "echo cpython 3.9")
        assert lite.choose_python() == (older, "3.9")

    def test_the_newest_is_preferred(self, tmp_path: Path) -> None:
        program(tmp_path / "bin" / "python3.8", "echo cpython 3.8")
        newer = program(tmp_path / "pyenv" / "versions" / "3.10.4" / "bin" / "python", "echo cpython 3.10")
        assert lite.choose_python() == (newer, "3.10")

    def test_the_one_that_runs_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lite.platform, "python_version", lambda: "3.10.9")
        monkeypatch.setattr(lite, "_python_version", lambda name: "3.10" if name == sys.executable else None)
        assert lite.choose_python() == (Path(sys.executable), "3.10")

    def test_uv_is_asked(self, tmp_path: Path) -> None:
        python = program(tmp_path / "uv's" / "python", "echo cpython 3.10")
        program(tmp_path / "bin" / "uv", f'[ "$1 $2 $4" = "python find 3.10" ] && echo "{python}"')
        assert lite.choose_python() == (python, "3.10")

    def test_another_python_by_another_name(self, tmp_path: Path) -> None:
        program(tmp_path / "bin" / "python3", "echo pypy 3.10")
        python = program(tmp_path / "bin" / "python", "echo cpython 3.8")
        assert lite.choose_python() == (python, "3.8")

    @pytest.mark.parametrize(
        "says, message",
        [
            ("exit 1", "does not run; expected a CPython of version 3.8, 3.9 or 3.10"),
            ("echo cpython 3.11", "is Python 3.11; expected a CPython"),
            ("echo pypy 3.10", "does not run; expected a CPython"),
        ],
    )
    def test_wrong_one_named(self, tmp_path: Path, says: str, message: str) -> None:
        named = program(tmp_path / "named", says)
        with pytest.raises(ValueError, match=message):
            lite.choose_python(str(named))

    def test_missing_one_named(self) -> None:
        with pytest.raises(ValueError, match=r"/no/such/python does not run"):
            lite.choose_python("/no/such/python")

    def test_right_one_named(self, tmp_path: Path) -> None:
        program(tmp_path / "bin" / "mine", "echo cpython 3.8")
        assert lite.choose_python("mine") == (tmp_path / "bin" / "mine", "3.8")


class TestNamedByTheUser:
    def test_it_is_used_and_asked_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: None) -> None:
        lite.setup()
        asked = tmp_path / "asked"
        python = program(tmp_path / "venv" / "bin" / "python", f'echo x >> "{asked}"\necho 2.10')
        monkeypatch.setenv(lite.VARIABLE, str(python))
        for _ in range(3):
            assert lite.find() == lite.LiteEnvironment(python, "2.10", tmp_path / "venv")
        assert asked.read_text() == "x\n"
        assert lite.setup() == lite.find()

    @pytest.mark.parametrize(
        "named, message",
        [
            ("/no/such/python", "MOBILESEG_LITE_PYTHON is .*which is no program"),
            (
                sys.executable,
                r"(?s)MOBILESEG_LITE_PYTHON is .*has no working paddlelite; run `.* -m pip install.*paddlelite",
            ),
        ],
    )
    def test_wrong_one(self, named: str, message: str, monkeypatch: pytest.MonkeyPatch, stand_in: None) -> None:
        lite.setup()
        monkeypatch.setenv(lite.VARIABLE, named)
        assert not lite.available()
        for ask in (lite.find, lite.require, lite.setup):
            with pytest.raises(ImportError, match=message):
                ask()


def test_the_one_in_use_works(lite_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture made files with it; here only that it is asked, and answers."""
    monkeypatch.undo()
    environment = lite.require()
    lite.check(environment)
    assert environment.version == lite._ask(environment.python, lite._VERSION)
