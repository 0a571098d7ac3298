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


def test_pace_counts_checkpoints_once_it_knows_them() -> None:
    pace = progress.Pace(total=100, interval=30)
    for _ in range(30):
        pace.step(2.0)
    assert pace.left(30) == 70 * 2.0
    pace.checkpoint(10.0)
    assert pace.left(31) == 69 * 2.0 + 3 * 10.0  # at 60, 90 and 100
    pace.step(33.0)
    assert pace.left(31) == 69 * 3.0 + 3 * 10.0
    pace.checkpoint(20.0)
    assert pace.left(60) == 40 * 3.0 + 3 * 15.0
    assert pace.left(61) == 39 * 3.0 + 2 * 15.0
    assert pace.left(100) == 15.0


@pytest.mark.parametrize(("total", "interval", "at"), [(4, 2, 4), (4, 100, 4), (1, 1, 1)])
def test_pace_at_the_end_leaves_the_last_checkpoint(total: int, interval: int, at: int) -> None:
    pace = progress.Pace(total, interval)
    pace.step(1.0)
    pace.checkpoint(5.0)
    assert pace.left(at) == 5.0


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3725.6, "1:02:06")])
def test_duration(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_data_without_tqdm() -> None:
    code = "import sys; sys.modules['tqdm'] = None; import paddle_mobileseg.data.synthetic"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
