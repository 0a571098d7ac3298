from __future__ import annotations

import sys

import pytest

from paddle_mobileseg.export.child import ConversionError, run

# A converter that does what its argument says.
PRETENDED = """
import os, signal, sys, time
print("first line")
print("last line of output", flush=True)
if sys.argv[1] == "abort":
    print("terminate called after throwing an exception", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGABRT)
if sys.argv[1] == "raise":
    raise RuntimeError("no converter for operator frobnicate")
if sys.argv[1] == "sleep":
    time.sleep(60)
"""


def pretend(what: str) -> list[str]:
    return [sys.executable, "-c", PRETENDED, what]


def test_death_by_signal_is_a_clear_error() -> None:
    with pytest.raises(ConversionError) as caught:
        run(pretend("abort"), 30, "conversion of a")
    message = str(caught.value)
    assert message.startswith("conversion of a died of SIGABRT")
    assert message.endswith("first line\n  last line of output\n  terminate called after throwing an exception")


def test_an_exception_in_the_child_is_told_with_its_last_lines() -> None:
    with pytest.raises(
        ConversionError, match=r"failed \(exit status 1\)(.|\n)*RuntimeError: no converter for operator frob"
    ):
        run(pretend("raise"), 30, "conversion of a")


def test_timeout() -> None:
    with pytest.raises(ConversionError, match=r"was stopped after 0\.5 s"):
        run(pretend("sleep"), 0.5, "conversion of a")


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ConversionError, match="conversion of a could not start /nowhere/opt: No such file"):
        run(["/nowhere/opt"], 30, "conversion of a")


def test_success_gives_the_output_and_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(pretend("nothing"), 30, "conversion of a") == "first line\nlast line of output\n"
    assert capfd.readouterr() == ("", "")
