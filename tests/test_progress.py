"""Progress in lines where stderr is no terminal, and without tqdm."""

from __future__ import annotations

import subprocess
import sys

import pytest

from paddle_mobileseg import progress


def test_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.progress("abcd", total=4, name="drawing")) == list("abcd")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["drawing 2/4, 0:30 left"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3725.6, "1:02:06")])
def test_duration(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_data_without_tqdm() -> None:
    code = "import sys; sys.modules['tqdm'] = None; import paddle_mobileseg.data.synthetic"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
