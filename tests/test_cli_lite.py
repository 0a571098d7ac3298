"""``mobileseg lite setup``; what it does is tested in runtime/test_lite_environment.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.runtime import lite_environment
from paddle_mobileseg.runtime.lite_environment import LiteEnvironment

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What setup() is called with, in place of making anything."""
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path))
    monkeypatch.delenv(lite_environment.VARIABLE, raising=False)
    environment = LiteEnvironment(Path("/there/bin/python"), "2.13-rc", Path("/there"))
    calls: list[Any] = []
    monkeypatch.setattr(lite_environment, "_made", lambda folder: environment if calls else None)

    def setup(python: str | None, force: bool) -> LiteEnvironment:
        calls.append((python, force))
        return environment

    monkeypatch.setattr(lite_environment, "setup", setup)
    return calls


def test_first_and_second_call(run: Run, made: list[Any], tmp_path: Path) -> None:
    assert run("lite", "setup") == (
        0,
        f"Making an environment for Paddle Lite in {tmp_path / 'lite-2.13rc0'}\n"
        "Paddle Lite 2.13-rc is ready: /there/bin/python\n",
        "",
    )
    status, out, _ = run("lite", "setup")
    assert (status, out) == (0, "Paddle Lite 2.13-rc is there already: /there/bin/python (--force makes it again)\n")
    assert made == [(None, False)]


def test_options(run: Run, made: list[Any]) -> None:
    run("lite", "setup", "--python", "python3.9")
    run("lite", "setup", "--force")
    assert made == [("python3.9", False), (None, True)]


def test_environment_that_the_user_names(
    run: Run, made: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 2.12\n")
    python.chmod(0o755)
    monkeypatch.setenv(lite_environment.VARIABLE, str(python))
    status, out, _ = run("lite", "setup")
    named = f"Paddle Lite 2.12 is there already: {python} (named by MOBILESEG_LITE_PYTHON)\n"
    assert (status, out, made) == (0, named, [])
    status, out, _ = run("lite", "setup", "--force")
    assert made == [(None, True)]
    assert out.endswith(f"it is not used as long as MOBILESEG_LITE_PYTHON is set to {python}\n")


def test_no_python_for_it(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path))
    monkeypatch.delenv(lite_environment.VARIABLE, raising=False)
    monkeypatch.setattr(lite_environment.sys, "platform", "linux")
    monkeypatch.setattr(lite_environment.platform, "machine", lambda: "x86_64")
    status, _, err = run("lite", "setup", "--python", "/no/such/python")
    assert (status, err) == (1, "error: /no/such/python does not run; expected a CPython of version 3.8, 3.9 or 3.10\n")
