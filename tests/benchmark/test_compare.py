"""Comparison of records: verdicts, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.compare import compare, judge, run
from tests.benchmark.made_records import failed, invalid, made

TURNS = np.repeat(np.arange(10), 5)


def noisy(median: float, seed: int, spread: float = 0.01) -> list[float]:
    return list(median * np.exp(np.random.default_rng(seed).normal(0, spread, 50)))


def in_turns(median: float, seed: int, **changes: Any) -> records.Record:
    return made(times=noisy(median, seed), turns=TURNS.tolist(), group="g", **changes)


@pytest.mark.parametrize(
    ("b_ms", "verdict", "same"), [(11, "slower", None), (9, "faster", None), (10, "cannot tell", 0.02)]
)
def test_verdicts_of_turns(b_ms: float, verdict: str, same: float | None) -> None:
    pair = compare([in_turns(10, 0), in_turns(b_ms, 1)]).pairs[0]

    assert (pair.verdict, pair.same_within, pair.in_turns, pair.reasons) == (verdict, same, True, [])
    assert pair.low < b_ms / 10 < pair.high
    assert pair.ratio == pytest.approx(b_ms / 10, rel=0.01)


def test_without_turns_the_margin_is_wider() -> None:
    a, b, far = made(times=noisy(10, 0)), made(times=noisy(10.7, 1)), made(times=noisy(13, 2))
    near, clear = compare([a, b, far]).pairs

    assert near.low > 1.02 and near.verdict == "cannot tell"
    assert clear.verdict == "slower"
    assert near.margin == 0.10 and "not measured in turns" in near.notes[-1]
    assert near.same_within == 0.10


def test_records_of_other_groups_are_not_paired() -> None:
    a, b = in_turns(10, 0), in_turns(11, 1)
    b["protocol"]["group"] = "another"

    assert not compare([a, b]).pairs[0].in_turns


def test_the_same_seed_gives_the_same_interval() -> None:
    pairs = [compare([in_turns(10, 0), in_turns(11, 1)], seed=5).pairs[0] for _ in range(2)]

    assert (pairs[0].low, pairs[0].high) == (pairs[1].low, pairs[1].high)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 0.95, ("faster", False)),
        (0.9, 0.99, ("cannot tell", False)),
        (1.021, 1.1, ("slower", False)),
        (0.985, 1.015, ("cannot tell", True)),
        (None, None, ("cannot tell", False)),
    ],
)
def test_judge(low: float | None, high: float | None, expected: tuple[str, bool]) -> None:
    assert judge(low, high, 0.02) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "ba9876543210"}, "different devices: Device 01, 2 cores [0123456789ab] and Device ba"),
        ({"model__input_shape": [1, 3, 128, 128]}, "input shape differs: 1, 3, 64, 96 and 1, 3, 128, 128"),
        ({"model__output_op": "none"}, "output differs: argmax and none: one gives labels"),
        ({"origin__kind": "estimated"}, "it is estimated, not measured"),
    ],
)
def test_what_has_no_verdict(changes: dict[str, Any], message: str) -> None:
    pair = compare([in_turns(10, 0), in_turns(20, 1, **changes)]).pairs[0]

    assert pair.verdict == "cannot tell"
    assert any(message in reason for reason in pair.reasons)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend__threads": 2}, "threads differs: 1 and 2"),
        ({"model__precision": "int8-weights"}, "precision differs: fp32 and int8-weights"),
        ({"model__output_op": "vim"}, "output differs: argmax and vim"),
        ({"protocol__preset": "paddle-lite"}, "preset differs: quick and paddle-lite"),
        ({"input__frame_hw": [100, 100]}, None),  # of the frame, and the network is compared
    ],
)
def test_what_is_said_beside_the_verdict(changes: dict[str, Any], message: str | None) -> None:
    pair = compare([in_turns(10, 0), in_turns(20, 1, **changes)]).pairs[0]

    assert pair.verdict == "slower"
    assert pair.notes == ([] if message is None else [message])


def test_vim_needs_the_same_classes_in_the_images() -> None:
    vim = {"model__output_op": "vim"}
    one = in_turns(10, 0, **vim, input__classes_present=[2, 3])
    other = in_turns(20, 1, **vim, input__classes_present=[7, 7])

    assert "classes present differs: 2, 3 and 7, 7" in compare([one, other]).pairs[0].reasons[0]
    assert compare([one, in_turns(20, 1, **vim, input__classes_present=[2, 3])]).pairs[0].verdict == "slower"


def test_frames_of_other_cameras_have_no_verdict() -> None:
    a, b = (made(frame=noisy(ms, seed)) for ms, seed in ((20, 0), (40, 1)))
    assert compare([a, b], what="frame").pairs[0].verdict == "slower"
    b["input"]["frame_hw"] = [1080, 1920]

    assert "frame size differs: 480, 640 and 1080, 1920" in compare([a, b], what="frame").pairs[0].reasons[0]
    assert "no median of the frame in it" in compare([a, made()], what="frame").pairs[0].reasons[0]


def test_failures_and_invalid_records_say_why() -> None:
    a, bad, broken = in_turns(10, 0), invalid(in_turns(20, 1)), failed(in_turns(20, 1))
    one, other = compare([a, bad, broken]).pairs

    assert one.reasons == ["it is invalid: too noisy"] and one.ratio is not None and one.verdict == "cannot tell"
    assert other.reasons[0] == "it is failed: it fell over" and other.ratio is None


def test_statistics_alone_give_a_ratio_and_no_verdict() -> None:
    b = in_turns(20, 1)
    b["timing"]["network"] = records.summary(median=20.0)
    pair = compare([made(times=10), b]).pairs[0]

    assert (pair.ratio, pair.low, pair.verdict) == (2.0, None, "cannot tell")
    assert "statistics only" in pair.reasons[0]


def test_too_few_turns_in_common_are_not_paired() -> None:
    a, b = (
        made(times=noisy(ms, 0)[:20], turns=turns, group="g")
        for ms, turns in ((10, [0] * 20), (20, [0] * 10 + [2] * 10))
    )
    pair = compare([a, b]).pairs[0]

    assert not pair.in_turns and pair.margin == 0.10 and pair.verdict == "slower"


def test_too_few_runs() -> None:
    pair = compare([made(times=[10.0, 11.0, 10.0]), made(times=[20.0, 21.0, 22.0])]).pairs[0]

    assert pair.verdict == "cannot tell" and pair.ratio == pytest.approx(2.1)
    assert "3 independent blocks of runs" in pair.reasons[0] and "measure longer" in pair.reasons[0]


def test_a_record_against_itself_says_nothing() -> None:
    a = in_turns(10, 0)

    assert compare([a, a]).pairs[0].reasons == ["it is the same record as A"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 1.0}, "level is 1.0"),
        ({"resamples": 5}, "resamples is 5"),
        ({"margin": -1}, "margin is -1"),
        ({"what": "stages"}, "what is 'stages'"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare([made(), made()], **arguments)


def test_one_record_is_too_few() -> None:
    with pytest.raises(ValueError, match="give two or more"):
        compare([made()])


def test_the_command_keeps_the_order_given_and_writes_json(tmp_path: Path) -> None:
    slow, fast = in_turns(20, 0, backend__requested="paddle"), in_turns(10, 1)
    paths = [records.write(tmp_path / "records", each) for each in (slow, fast)]
    text, status = run([paths[1], paths[0]], json_path=tmp_path / "c.json")

    assert status == 0
    assert text.splitlines()[1].startswith("A  topformer_tiny onnxruntime 1 thread 96x64 argmax")
    assert "slower" in text.splitlines()[2]
    assert json.loads((tmp_path / "c.json").read_text())["pairs"][0]["verdict"] == "slower"
    assert run([paths[0], paths[1]])[0].splitlines()[2].rstrip().endswith("faster")
    with pytest.raises(FileNotFoundError):
        run([tmp_path / "nothing"])


def test_labels_name_what_differs() -> None:
    def labels(*several: records.Record) -> list[str]:
        return [compare([*several]).pairs[0].a, *(pair.b for pair in compare([*several]).pairs)]

    a, b, c = made(), made(model__bundle="other"), made()
    plain = "topformer_tiny onnxruntime 1 thread 96x64 argmax"

    assert labels(a, made(backend__threads=2)) == [plain, "topformer_tiny onnxruntime 2 threads 96x64 argmax"]
    assert labels(a, b) == [f"{plain} (topformer_tiny)", f"{plain} (other)"]
    assert labels(a, c) == [f"{plain} ({a['id']})", f"{plain} ({c['id']})"]
    assert len(set(labels(a, b, c))) == 3
