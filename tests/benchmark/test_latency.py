"""Latency on a clock that only fake sessions move: the numbers must be exact."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from paddle_mobileseg.benchmark.latency import PAUSE_S, measure, measure_all, read_record, summarize, write_record

MS = 1_000_000
INPUT = np.zeros((1, 3, 4, 6), np.float32)


class Clock:
    """Nanoseconds; moved by whoever works."""

    def __init__(self) -> None:
        self.now = 12345
        self.calls: list[str] = []

    def __call__(self) -> int:
        return self.now


class FakeSession:
    """Each call takes the next of the given times (ms), then the last one again and again."""

    backend, threads = "fake", 2

    def __init__(self, clock: Clock, times_ms: list[float], name: str = "a") -> None:
        self.clock, self.times_ms, self.name, self.seen = clock, times_ms, name, []

    def run_tensor(self, x: np.ndarray) -> np.ndarray:
        self.clock.calls.append(self.name)
        self.clock.now += int(self.times_ms[min(len(self.seen), len(self.times_ms) - 1)] * MS)
        self.seen.append(x)
        return np.zeros((1, 4, 6), np.int32)


class LateArray:
    """An output whose content takes 7 ms to arrive when it is asked for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        self.clock.now += 7 * MS
        return np.zeros(1)


def test_first_run_and_warmup_are_not_among_the_timed_calls() -> None:
    clock = Clock()
    session = FakeSession(clock, [500, 90, 80, 10, 12, 14, 40, 16])
    result = measure(session, [INPUT], warmup=2, repeats=5, clock=clock)
    assert result["first_ms"] == 500
    assert result["raw_ms"] == [10, 12, 14, 40, 16]
    assert (result["median_ms"], result["min_ms"], result["mean_ms"]) == (14, 10, 18.4)
    assert result["p90_ms"] == pytest.approx(30.4)  # between the ranks 16 and 40: 16 + 0.6 * 24
    assert result["std_ms"] == pytest.approx(np.sqrt(np.mean([8.4**2, 6.4**2, 4.4**2, 21.6**2, 2.4**2])))
    assert (result["backend"], result["threads"], result["input_shape"]) == ("fake", 2, [1, 3, 4, 6])
    assert (result["warmup"], result["repeats"], result["inputs"]) == (2, 5, 1)


def test_inputs_are_used_in_turn() -> None:
    clock = Clock()
    session = FakeSession(clock, [1])
    inputs = [INPUT, INPUT + 1, INPUT + 2]
    measure(session, inputs, warmup=1, repeats=4, clock=clock)
    assert [int(x.flat[0]) for x in session.seen] == [0, 0, 0, 1, 2, 0]  # first, warm-up, timed


def test_sessions_take_turns_and_keep_their_own_times() -> None:
    clock = Clock()
    slow, fast = FakeSession(clock, [30], "slow"), FakeSession(clock, [10], "fast")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.calls.append("|")
        clock.now += int(seconds * 1000 * MS)

    results = measure_all([slow, fast], [INPUT], warmup=0, repeats=7, clock=clock, sleep=sleep)
    assert [result["raw_ms"] for result in results] == [[30] * 7, [10] * 7]
    order = [(call, len(list(group))) for call, group in itertools.groupby(clock.calls[2:])]
    # Each turn: a pause, one untimed call, then the timed ones; the second round in reverse order.
    assert order == [("|", 1), ("slow", 6), ("|", 1), ("fast", 6), ("|", 1), ("fast", 3), ("|", 1), ("slow", 3)]
    assert pauses == [PAUSE_S] * 4


def test_one_session_needs_no_pause() -> None:
    clock = Clock()
    session = FakeSession(clock, [2])
    results = measure_all([session], [INPUT], warmup=1, repeats=7, clock=clock, sleep=lambda _: pytest.fail("paused"))
    assert len(session.seen) == 1 + 1 + 7
    assert results[0]["median_ms"] == 2


def test_late_output_is_waited_for() -> None:
    clock = Clock()

    class LateSession(FakeSession):
        def run_tensor(self, x: np.ndarray) -> LateArray:  # type: ignore[override]
            super().run_tensor(x)
            return LateArray(self.clock)

    assert measure(LateSession(clock, [1]), [INPUT], warmup=0, repeats=2, clock=clock)["raw_ms"] == [8, 8]


def test_summary_of_one_time() -> None:
    assert summarize([3.5]) == {"median_ms": 3.5, "p90_ms": 3.5, "min_ms": 3.5, "mean_ms": 3.5, "std_ms": 0.0}


@pytest.mark.parametrize(
    ("inputs", "warmup", "repeats", "message"),
    [
        ([], 1, 1, "no input"),
        ([INPUT, INPUT[:, :, :2]], 1, 1, "different shapes"),
        ([INPUT], -1, 1, "got -1 and 1"),
        ([INPUT], 0, 0, "got 0 and 0"),
    ],
)
def test_wrong_arguments_are_refused(inputs: list, warmup: int, repeats: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(FakeSession(Clock(), [1]), inputs, warmup, repeats)
    with pytest.raises(ValueError, match="no session"):
        measure_all([], [INPUT])


def test_record_is_read_back(tmp_path) -> None:
    clock = Clock()
    measured = measure(FakeSession(clock, [2]), [INPUT], 0, 2, clock)
    path = tmp_path / "new" / "latency.json"
    written = write_record(path, [measured], model={"network": "N"}, command="do it", machine={"cpu": "C"})
    assert read_record(path) == written == json.loads(path.read_text())
    assert written["measurements"] == [measured]
    assert (written["format"], written["kind"], written["machine"]) == (1, "latency", {"cpu": "C"})
    assert [each.name for each in path.parent.iterdir()] == ["latency.json"]


def test_record_has_this_machine_by_default(tmp_path) -> None:
    record = write_record(tmp_path / "a.json", [{"median_ms": 1.0}])
    assert {"cpu", "logical_cores", "date"} <= set(record["machine"])
    assert record["command"] is None


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path) -> None:
    path = tmp_path / "latency.json"
    path.write_text("old")
    for measurements in ([], [{"median_ms": float("nan")}]):
        with pytest.raises(ValueError):
            write_record(path, measurements, machine={})
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", ["[1]", '{"kind": "latency", "format": 9}', '{"kind": "val"}', "{"])
def test_other_files_are_no_records(tmp_path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"x\.json"):
        read_record(path)
    with pytest.raises(FileNotFoundError, match="mobileseg benchmark"):
        read_record(tmp_path / "none.json")
