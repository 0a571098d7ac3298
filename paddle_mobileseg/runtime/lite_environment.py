"""Paddle Lite's converter ``opt`` and its x86 runtime, in a Python of their own.

The wheel ``paddlelite`` exists for Python 3.8 to 3.10 on x86-64 Linux only, needs no other package, and what it does
not like ends the process. So it is installed apart, and always run as a child.

``MOBILESEG_LITE_PYTHON`` names an interpreter that has a paddlelite (of any version), which is then used in place of
the one that :func:`setup` makes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paddle_mobileseg.child_process import how_it_ended, last_words
from paddle_mobileseg.files import cache_folder, write_json

WHEEL = "2.13rc0"
REQUIREMENT = f"paddlelite=={WHEEL}"  # requirements/lite.txt says the same
VERSION = "2.13-rc"  # what that wheel calls itself
PYTHONS = ("3.10", "3.9", "3.8")  # that the wheel exists for, the most wanted first
VARIABLE = "MOBILESEG_LITE_PYTHON"

_LOGGER = logging.getLogger("paddle_mobileseg")
_MARKER = "environment.json"
_VENV_PREFIX = "venv-"
_DISK_MB = 300  # wheel and installed package
_LOCK_TIMEOUT_S = 900.0
_PIP_TIMEOUT_S = 900.0
_CHECK_TIMEOUT_S = 60.0

# Run by a candidate, which may be a version manager's command that starts nothing.
_WHO = "import sys, venv; print('%s %d.%d' % (sys.implementation.name, *sys.version_info[:2]))"
_VERSION = "from paddlelite import lite; print(lite.Opt().version().lstrip('v'))"


@dataclass(frozen=True)
class LiteEnvironment:
    """Where Paddle Lite is.

    Attributes:
        python: the interpreter that can ``from paddlelite import lite``.
        version: what this Paddle Lite calls itself, such as ``2.13-rc`` (the wheel 2.13rc0).
        folder: of the environment.
    """

    python: Path
    version: str
    folder: Path


def default_folder() -> Path:
    """Where :func:`setup` makes the environment: in ``MOBILESEG_CACHE``, else in ``~/.cache/paddle_mobileseg``."""
    return cache_folder() / f"lite-{WHEEL}"


def find() -> LiteEnvironment | None:
    """The environment in use, or ``None``. Starts no process, except once for ``MOBILESEG_LITE_PYTHON``.

    Raises:
        ImportError: ``MOBILESEG_LITE_PYTHON`` names no Python that has paddlelite.
    """
    named = os.environ.get(VARIABLE)
    return _named(named) if named else _made(default_folder())


def available() -> bool:
    """Whether there is an environment; one that ``MOBILESEG_LITE_PYTHON`` names wrongly is none."""
    try:
        return find() is not None
    except ImportError:
        return False


def require() -> LiteEnvironment:
    """The environment in use.

    Raises:
        ImportError: there is none; the message says how to get one.
    """
    environment = find()
    if environment is None:
        raise ImportError(
            "Paddle Lite is not installed: run `mobileseg lite setup`, which makes an environment for it (needs "
            f"Python 3.8, 3.9 or 3.10), or name a Python that has paddlelite with {VARIABLE}"
        )
    return environment


def check(environment: LiteEnvironment) -> None:
    """Start it and load Paddle Lite.

    Raises:
        OSError: that fails; the message has its last words.
    """
    _ask(environment.python, _VERSION)


def setup(python: str | None = None, force: bool = False) -> LiteEnvironment:
    """Make the environment, or give the one that is in use.

    It is made under a new name, tried, and named in a marker file last: a kill at any moment leaves the previous one
    in use, or none. Of two that set up at once, one waits for the other.

    Args:
        python: interpreter of version 3.8, 3.9 or 3.10 to make it with; looked for by default.
        force: make it again although there is one.

    Raises:
        ValueError: no Python of those versions, or ``python`` is not one.
        OSError: another platform than x86-64 Linux, the folder cannot be written, no space, or pip failed.
        ImportError: ``MOBILESEG_LITE_PYTHON`` is set to no Python that has paddlelite.
    """
    if not force and (present := find()) is not None:
        return present
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise OSError(
            f"Paddle Lite {WHEEL} has wheels for x86-64 Linux only, and this is {platform.system()} on "
            f"{platform.machine()}; convert to Paddle Lite on an x86-64 Linux machine"
        )
    folder = default_folder()
    with _locked(folder):
        if not force and (present := _made(folder)) is not None:  # by the one we waited for
            return present
        base, version = choose_python(python)
        _check_space(folder)
        venv = Path(tempfile.mkdtemp(prefix=_VENV_PREFIX, dir=folder))
        try:
            _install(base, version, venv)
            said = _ask(venv / "bin" / "python", _VERSION)
            write_json(folder / _MARKER, {"version": said, "venv": venv.name, "python": version})
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)
            raise
        for other in folder.glob(f"{_VENV_PREFIX}*"):
            if other != venv:
                shutil.rmtree(other, ignore_errors=True)
    return LiteEnvironment(venv / "bin" / "python", said, folder)


def choose_python(named: str | None = None) -> tuple[Path, str]:
    """An interpreter to make the environment with, and its version (``3.10``, ``3.9`` or ``3.8``); it was run.

    Raises:
        ValueError: none is found, or the one named is none.
    """
    if named is not None:
        if (version := _python_version(named)) not in PYTHONS:
            got = "does not run" if version is None else f"is Python {version}"
            raise ValueError(f"{named} {got}; expected a CPython of version 3.8, 3.9 or 3.10")
        return Path(shutil.which(named) or named), version
    for wanted in PYTHONS:
        for candidate in _candidates(wanted):
            if _python_version(candidate) == wanted:
                return Path(candidate), wanted
    raise ValueError(
        "found no Python 3.8, 3.9 or 3.10 that runs, which Paddle Lite needs; install one (such as `uv python install "
        "3.10`, `pyenv install 3.10` or your system's package python3.10) and name it: "
        "`mobileseg lite setup --python /path/to/python3.10`"
    )


def _candidates(version: str) -> Iterator[str]:
    """Commands that may be a Python of a version."""
    if platform.python_version().startswith(f"{version}."):
        yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))
    if (uv := shutil.which("uv")) and (done := _run([uv, "python", "find", "--no-python-downloads", version])):
        yield from done.stdout.split("\n")[:1] if done.returncode == 0 else []
    yield from filter(None, map(shutil.which, ("python3", "python")))


def _python_version(candidate: str) -> str | None:
    """``3.10`` and so on, of a CPython that runs and can make virtual environments."""
    done = _run([candidate, "-c", _WHO])
    words = done.stdout.split() if done is not None and done.returncode == 0 else []
    return words[1] if words[:1] == ["cpython"] and len(words) == 2 else None


def _install(base: Path, version: str, venv: Path) -> None:
    """Make a virtual environment and put paddlelite into it.

    The pip is that of the Python which runs here, because an old Python may have an old pip, or none.
    """
    # Not by find_spec("pip"): setuptools takes that for a pip that runs here, and paddle cannot be imported any more.
    done = _run([sys.executable, "-m", "pip", "--version"])
    if done is None or done.returncode != 0:
        raise OSError(f"{sys.executable} has no pip; get it with `{sys.executable} -m ensurepip`")
    _must([str(base), "-m", "venv", "--without-pip", "--clear", str(venv)], f"{base} -m venv", _CHECK_TIMEOUT_S)
    tag = version.replace(".", "")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    pip += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version, "--abi", f"cp{tag}"]
    pip += ["--platform", "manylinux1_x86_64", "--target", str(venv / "lib" / f"python{version}" / "site-packages")]
    _must([*pip, REQUIREMENT], f"pip install {REQUIREMENT}", _PIP_TIMEOUT_S)


def _must(command: list[str], what: str, timeout_s: float) -> str:
    """What a command prints; OSError with its last lines where it fails."""
    done = _run(command, timeout_s)
    if done is None:
        raise OSError(f"{what} did not start, or was not done after {timeout_s:g} s")
    if done.returncode != 0:
        how = how_it_ended(done.returncode)
        raise OSError(f"{what} {how}. Its last words:\n  " + last_words(done.stdout + done.stderr))
    return done.stdout


def _run(command: list[str], timeout_s: float = _CHECK_TIMEOUT_S) -> subprocess.CompletedProcess[str] | None:
    """``None`` where the command cannot be started or takes too long."""
    # What this process says about its own Python is not for another; a pip set to --user would refuse --target.
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    env["PIP_USER"] = "0"
    try:
        return subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _ask(python: Path, code: str) -> str:
    return _must([str(python), "-c", code], f"{python} with paddlelite", _CHECK_TIMEOUT_S).strip()


@functools.lru_cache(maxsize=8)
def _named(python: str) -> LiteEnvironment:
    """The environment of the interpreter that the user named; which Paddle Lite it has is found out once."""
    found = shutil.which(python)
    if found is None:
        raise ImportError(f"{VARIABLE} is {python!r}, which is no program; expected a Python that has paddlelite")
    try:
        version = _ask(Path(found), _VERSION)
    except OSError as error:
        raise ImportError(
            f"{VARIABLE} is {python!r}, which has no working paddlelite; run `{python} -m pip install {REQUIREMENT}`, "
            f"or unset the variable and run `mobileseg lite setup`. {error}"
        ) from error
    return LiteEnvironment(Path(found).absolute(), version, Path(found).absolute().parents[1])


def _made(folder: Path) -> LiteEnvironment | None:
    """What :func:`setup` made in a folder, if it is whole."""
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
        environment = LiteEnvironment(folder / marker["venv"] / "bin" / "python", marker["version"], folder)
        library = folder / marker["venv"] / "lib" / f"python{marker['python']}" / "site-packages" / "paddlelite"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Where the Python that it was made with is gone, the link to it leads nowhere.
    return environment if os.access(environment.python, os.X_OK) and (library / "lite.so").is_file() else None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone in the folder, which is made; waits for another that sets up."""
    import fcntl  # not on Windows, where this module is imported but has nothing to set up

    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(folder / "lock", "ab"))
        except OSError as error:
            raise OSError(
                f"cannot write to {folder} ({error.strerror or error}); name another cache folder with MOBILESEG_CACHE"
            ) from error
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pass
            if time.monotonic() > deadline:
                raise OSError(f"another process has been setting up {folder} for {_LOCK_TIMEOUT_S:g} s; is it stuck?")
            if not told:
                _LOGGER.info("another process makes the Paddle Lite environment; waiting for it")
                told = True
            time.sleep(0.2)
        yield


def _check_space(folder: Path) -> None:
    free_mb = shutil.disk_usage(folder).free // 10**6
    if free_mb < _DISK_MB:
        raise OSError(
            f"{folder} has {free_mb} MB free, and Paddle Lite needs about {_DISK_MB}; free some space, or name another "
            "cache folder with MOBILESEG_CACHE"
        )
