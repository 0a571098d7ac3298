"""Records against a baseline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.compare import run
from paddle_mobileseg.benchmark.regressions import regressions
from tests.benchmark.made_records import failed, invalid, made


def noisy(network: str, median: float, seed: int, spread: float = 0.01, **changes: object) -> records.Record:
    return made(network, list(median * np.exp(np.random.default_rng(seed).normal(0, spread, 50))), **changes)


def test_what_became_slower_fails_with_the_ratio() -> None:
    before = [noisy("a", 10, 0), noisy("b", 10, 1), noisy("c", 10, 2, 0.2), noisy("gone", 10, 3)]
    now = [noisy("a", 12, 4), noisy("b", 10, 5), noisy("c", 10.5, 6, 0.2), noisy("new", 10, 7)]
    result = regressions(now, before, 1.05)

    assert [(each.what.split()[0], each.verdict) for each in result.checked] == [
        ("a", "slower"),
        ("c", "cannot tell"),
        ("b", "fine"),
    ]
    assert result.failed[0].ratio == pytest.approx(1.2, rel=0.02)
    assert result.failed[0].low > 1.05
    assert [name.split()[0] for name in result.only_now + result.only_in_baseline] == ["new", "gone"]
    assert "3 checked against 1.05 times the baseline: 1 slower, 1 cannot tell, 1 fine" in result.text()
    assert regressions(now[:1], before, 1.25).failed == []


def test_repetitions_are_pooled() -> None:
    before = [noisy("a", ms, seed) for seed, ms in enumerate((9.0, 10.0, 11.0, 10.0))]
    now = [noisy("a", ms, seed) for seed, ms in enumerate((10.8, 10.4), 10)]
    single = regressions(now[:1], before[1:2])
    pooled = regressions(now, before)

    assert (pooled.checked[0].baseline_runs, pooled.checked[0].now_runs) == (4, 2)
    assert single.checked[0].verdict == "slower"  # one run each: what runs differ by looks like a regression
    assert pooled.checked[0].verdict == "cannot tell"


def test_a_failure_of_what_ran_before_is_a_regression() -> None:
    before = noisy("a", 10, 0)
    broken = failed(before, "segmentation fault")
    broken["model"]["input_shape"] = None  # little may be known of a failure
    result = regressions([broken], [before])

    assert result.failed[0].reason == "failed: segmentation fault"


def test_a_failure_that_was_repeated_well_is_forgotten() -> None:
    before = noisy("a", 10, 0)
    broken, again, elsewhere = failed(before), noisy("a", 10, 1), failed(noisy("b", 10, 2), "no memory")
    result = regressions([broken, elsewhere, again], [before])

    assert [each.verdict for each in result.checked] == ["fine"]
    assert "failed, not in the baseline: b onnxruntime 1 thread 96x64 argmax: failed: no memory" in result.text()
    assert len(regressions([again, failed(noisy("a", 10, 3))], [before]).failed) == 1  # fails now


def test_a_failure_counts_where_all_that_is_known_of_it_agrees() -> None:
    before = noisy("a", 10, 0)
    unknown = failed(before, "cannot be exported")  # as of a network without a bundle
    unknown["model"].update(dict.fromkeys(unknown["model"]), network="a", files=[])
    unknown["backend"].update(requested="unknown", threads=None)
    unknown["protocol"].update(preset=None, warmup_runs=None)
    unknown["input"].update(kind="unknown", count=None, frame_hw=None)
    assert len(regressions([unknown], [before]).failed) == 1
    larger = failed(noisy("a", 10, 0, model__input_shape=[1, 3, 640, 960]), "out of memory")
    result = regressions([larger, noisy("a", 10, 1)], [before])
    assert [each.verdict for each in result.checked] == ["fine"]


def test_the_baseline_is_not_compared_with_itself(tmp_path: Path) -> None:
    records.write(tmp_path / "now" / "baseline", noisy("a", 10, 0))
    with pytest.raises(ValueError, match="nothing was checked"):
        run([tmp_path / "now"], tmp_path / "now" / "baseline")
    records.write(tmp_path / "now", noisy("a", 12, 1))
    slow = records.read_folder(tmp_path / "now")[1]
    records.write(tmp_path / "again", slow)
    _, status = run([tmp_path / "now", tmp_path / "again"], tmp_path / "now" / "baseline", json_path=tmp_path / "r")
    assert status == 1
    (checked,) = json.loads((tmp_path / "r").read_text())["checked"]
    assert (checked["now_runs"], checked["now_ms"] > 11.5) == (1, True)


def test_an_invalid_record_cannot_tell() -> None:
    before = noisy("a", 10, 0)
    result = regressions([invalid(noisy("a", 50, 1))], [before])

    assert (result.checked[0].verdict, result.checked[0].reason) == ("cannot tell", "invalid: too noisy")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"device": "ba9876543210"}, "device"),
        ({"backend__threads": 2}, "threads"),
        ({"model__input_shape": [1, 3, 32, 32]}, "input shape"),
    ],
)
def test_nothing_to_check_is_an_error(change: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=rf"nothing was checked.*differs in {name}; measure both alike"):
        regressions([noisy("a", 10, 0, **change)], [noisy("a", 10, 1)])


@pytest.mark.parametrize("baseline", [[], [failed(made())], [invalid(made())]])
def test_a_baseline_without_numbers_is_an_error(baseline: list[records.Record]) -> None:
    with pytest.raises(ValueError, match="nothing was checked"):
        regressions([made()], baseline)


@pytest.mark.parametrize("ratio", [0.9, float("nan"), float("inf"), -1])
def test_a_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        regressions([made()], [made()], ratio)


def test_statistics_alone_cannot_tell() -> None:
    now = made(times=20)
    now["timing"]["network"] = records.summary(median=20.0)
    result = regressions([now], [made(times=10)])

    assert (result.checked[0].verdict, result.checked[0].ratio) == ("cannot tell", 2.0)


def test_the_command_fails_with_the_status(tmp_path: Path) -> None:
    records.write(tmp_path / "before", noisy("a", 10, 0))
    records.write(tmp_path / "slow", noisy("a", 12, 1))
    records.write(tmp_path / "same", noisy("a", 10, 2))
    text, status = run([tmp_path / "slow"], tmp_path / "before", json_path=tmp_path / "r.json")

    assert status == 1 and "slower" in text and "1.2" in text
    assert json.loads((tmp_path / "r.json").read_text())["checked"][0]["verdict"] == "slower"
    assert run([tmp_path / "same"], tmp_path / "before")[1] == 0
    assert run([tmp_path / "slow"], tmp_path / "before", 1.5)[1] == 0
