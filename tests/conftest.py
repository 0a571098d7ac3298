"""What all tests share: environment of the frameworks, and the folder with reference data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import children, describe, wait_until

REPOSITORY = Path(__file__).resolve().parents[1]

# Read by the frameworks when they are first imported, which may be while tests are collected.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_configure(config: pytest.Config) -> None:
    """PaddleSeg makes folders below SEG_HOME when imported: keep them out of the home folder. Ctrl-C works in the
    background of a shell too, which ignores it: tests press it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "SEG_HOME" not in os.environ:
        folder = tempfile.mkdtemp(prefix="paddleseg-home-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["SEG_HOME"] = folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with CamVid and the reference tensors: MOBILESEG_SHARED, or ``shared`` beside the working tree."""
    folder = Path(os.environ.get("MOBILESEG_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs reference data: {folder} does not exist (set MOBILESEG_SHARED)")
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """What a module of tests starts, it ends and waits for: others count the processes that they leave."""
    before = children()
    yield
    with contextlib.suppress(AssertionError):
        wait_until(lambda: children() <= before, 10)
    left = [describe(pid) for pid in children() - before]
    assert not left, "the tests of this module left processes behind: " + "; ".join(left)


@pytest.fixture(autouse=True)
def quiet_paddleseg(monkeypatch: pytest.MonkeyPatch) -> None:
    """PaddleSeg's logger prints warnings and errors only. Does not import PaddleSeg where a test does not."""
    if "paddleseg" in sys.modules:
        monkeypatch.setattr("paddleseg.utils.logger.log_level", 1)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command ``mobileseg`` with these words: its exit status, what it prints, and its error output."""
    from paddle_mobileseg.cli import main

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(word) for word in words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call
