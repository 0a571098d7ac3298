"""The measuring loop against backends whose cost is known: exact on a virtual clock, within bounds on a real one."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.benchmark import timing
from paddle_mobileseg.benchmark.protocol import Protocol, protocol
from paddle_mobileseg.benchmark.timing import Meter, mark, sample, time_run
from paddle_mobileseg.benchmark.validity import reasons
from tests.benchmark.synthetic import MS, FakePipeline, Staged, Synthetic, VirtualClock, Whole, images


def virtual_meter(backend: Whole, clock: VirtualClock, rules: Protocol, cpu: bool = False) -> Meter:
    pipeline = FakePipeline(backend, clock, clock.read_cpu if cpu else None)
    return Meter(pipeline, images(2), rules, clock, clock.sleep)


def measure(meter: Meter, pause_s: float = 0.0) -> timing.Runs:
    meter.first_run()
    meter.learn()
    meter.warm_up()
    while not meter.done:
        meter.turn(pause_s)
    return meter.runs


def real_meter(backend: Any, frames: int = 2, **how: Any) -> Meter:
    cpu_clock = time.process_time_ns if how.pop("cpu", False) else None
    return Meter(FakePipeline(backend, None, cpu_clock), images(frames), protocol("quick", **how))


# On a virtual clock: exact.


def test_every_stage_has_its_own_time() -> None:
    clock = VirtualClock()
    runs = measure(virtual_meter(Staged(clock, 5.0), clock, protocol("quick")))
    assert {name: set(values) for name, values in runs.stages.items()} == {
        "preprocess": {2 * MS},
        "host_to_device": {1 * MS},
        "compute": {5 * MS},
        "device_to_host": {3 * MS},
        "postprocess": {4 * MS},
    }
    assert runs.network == [9 * MS] * 20
    assert runs.frame == [15 * MS] * 20
    assert runs.problems == []


def test_without_stages_compute_is_the_whole_run() -> None:
    clock = VirtualClock()
    runs = measure(virtual_meter(Whole(clock, 5.0), clock, protocol("quick")))
    assert runs.network == runs.stages["compute"] == [5 * MS] * 20
    assert runs.stages["host_to_device"] == runs.stages["device_to_host"] == [None] * 20
    assert runs.frame == [11 * MS] * 20


def test_a_backend_elsewhere_gives_its_own_times() -> None:
    clock = VirtualClock()
    backend = Whole(clock, 50.0)
    backend.stages_ms = {"network": 7.0, "compute": 6.5}  # type: ignore[attr-defined]
    runs = measure(virtual_meter(backend, clock, protocol("quick")))
    assert runs.network == [7 * MS] * 20
    assert set(runs.stages["compute"]) == {6_500_000}
    assert runs.frame == [13 * MS] * 20  # without what the run took beside the network
    backend.stages_ms = {"host_to_device": 1.0, "compute": 6.5, "device_to_host": 2.0}  # type: ignore[attr-defined]
    run = time_run(FakePipeline(backend, clock), images()[0], clock)
    assert run.network == 50 * MS  # the clock's; the rest is the pipe's
    assert list(run.stages.values()) == [2 * MS, 1 * MS, 6_500_000, 2 * MS, 4 * MS]


def test_the_first_run_and_the_warm_up_do_not_count() -> None:
    clock = VirtualClock()
    backend = Whole(clock, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 5.0, first_ms=100.0)
    meter = virtual_meter(backend, clock, protocol("quick"))
    assert meter.first_run() == 120.0
    meter.learn()  # each of two inputs twice
    meter.warm_up()  # three runs
    while not meter.done:
        meter.turn(0.0)
    assert meter.runs.network == [5 * MS] * 20
    assert backend.calls == 1 + 4 + 3 + 20


def test_noise_is_kept_in_its_order() -> None:
    clock = VirtualClock()
    noise = [4.0 + (7 * n % 5) for n in range(20)]
    backend = Whole(clock, *[1.0] * 8, *noise)
    runs = measure(virtual_meter(backend, clock, protocol("quick")))
    assert [each / MS for each in runs.network] == noise
    assert runs.turns == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert runs.inputs == [1, 0] * 10  # after three of warm-up


@pytest.mark.parametrize(
    ("name", "compute_ms", "count", "turns"),
    [
        ("mlperf", 50.0, 1200, 20),
        ("mlperf", 100.0, 1024, 35),  # of 3 s, 30 runs
        ("trtexec", 10.0, 300, 20),
        ("trtexec", 1000.0, 10, 2),  # of five runs
        ("paddle-lite", 1000.0, 50, 10),
    ],
)
def test_runs_and_seconds_are_both_reached(name: str, compute_ms: float, count: int, turns: int) -> None:
    clock = VirtualClock()
    runs = measure(virtual_meter(Whole(clock, compute_ms), clock, protocol(name)))
    assert len(runs.network) == count
    assert runs.turns[-1] + 1 == turns


def test_warm_up_in_seconds() -> None:
    clock = VirtualClock()
    backend = Whole(clock, 30.0)
    meter = virtual_meter(backend, clock, protocol("trtexec", cooldown_s=7.0))
    meter.warm_up()
    assert backend.calls == 7  # 210 ms
    assert clock.slept == [7.0]


def test_a_pause_and_an_untimed_run_before_a_turn() -> None:
    clock = VirtualClock()
    slow_after_pause = [1.0] * 8 + ([90.0] + [5.0] * 5) * 4
    backend = Whole(clock, *slow_after_pause)
    meter = virtual_meter(backend, clock, protocol("quick", pause_s=0.25))
    runs = measure(meter, pause_s=0.25)
    assert runs.network == [5 * MS] * 20
    assert clock.slept.count(0.25) == 4


def test_turns_without_a_processor_are_made_again() -> None:
    clock = VirtualClock()

    def share(call: int) -> float:
        return 0.5 if 8 + 5 <= call < 8 + 15 else 1.0  # turns 1 and 2

    backend = Whole(clock, *[5.0] * 13, *[10.0] * 10, 5.0, cpu_share=share)
    runs = measure(virtual_meter(backend, clock, protocol("quick"), cpu=True))
    assert runs.network == [5 * MS] * 20
    assert sorted(set(runs.turns)) == [0, 3, 4, 5]
    assert runs.cpu_share == 1.0


def test_turns_are_not_made_again_for_ever() -> None:
    clock = VirtualClock()
    backend = Whole(clock, 5.0, cpu_share=lambda call: 0.5)
    rules = protocol("quick")
    runs = measure(virtual_meter(backend, clock, rules, cpu=True))
    assert len(runs.network) == 20
    assert any("had a processor for 50% of its time" in each for each in reasons(runs, rules))


def test_a_slow_turn_with_the_processor_counts() -> None:
    clock = VirtualClock()
    backend = Whole(clock, *[5.0] * 13, *[50.0] * 5, 5.0)
    runs = measure(virtual_meter(backend, clock, protocol("quick"), cpu=True))
    assert runs.network.count(50 * MS) == 5


def test_frames_of_several_shapes_are_refused() -> None:
    clock = VirtualClock()
    frames = [images(1)[0], images(1, (8, 8))[0]]
    meter = Meter(FakePipeline(Whole(clock, 1.0), clock), frames, protocol("quick"), clock, clock.sleep)
    with pytest.raises(ValueError, match=r"inputs of \[1, 3, 24, 32\] and \[1, 3, 8, 8\]"):
        meter.learn()
    with pytest.raises(ValueError, match="no input to measure with"):
        Meter(FakePipeline(Whole(clock, 1.0), clock), [], protocol("quick"))


def test_classes_and_shape_of_the_inputs() -> None:
    clock = VirtualClock()
    gray = np.zeros((24, 32, 3), np.uint8)
    two = gray.copy()
    two[3:9, :, 2] = 9
    meter = Meter(
        FakePipeline(Whole(clock, 1.0), clock), [gray, two, images()[0]], protocol("quick"), clock, clock.sleep
    )
    meter.learn()
    assert meter.classes_present == [1, 2, 3]
    assert meter.input_shape == [1, 3, 24, 32]


def test_labels_that_are_no_classes_are_a_problem() -> None:
    clock = VirtualClock()
    meter = Meter(FakePipeline(Whole(clock, 1.0), clock), [images()[0]], protocol("quick"), clock, clock.sleep)
    meter.learn(num_classes=2)  # the answer has 3
    assert meter.runs.problems == ["output wrong: labels for input 0 go from 0 to 2; expected 0 to 1"]
    assert meter.classes_present == [2]


# On a real clock: lower bounds hold on any machine; upper bounds are on the fastest of twenty runs.


def test_a_busy_loop_takes_its_time() -> None:
    runs = measure(real_meter(Synthetic([], 1, "busy", 1.0), cpu=True, pause_s=0.01))
    times, cpu = np.array(runs.network) / MS, np.array(runs.cpu) / MS
    assert times.min() >= 1.0
    assert times.min() <= 1.25  # shorter than the time slices of a machine with other work
    assert cpu.max() >= 0.8 and (cpu <= times + 0.1).all()
    assert all(frame >= network for frame, network in zip(runs.frame, runs.network, strict=True))


def test_the_first_run_of_a_real_backend_is_apart() -> None:
    meter = real_meter(Synthetic([], 1, "busy", 1.0, first_ms=60.0))
    first_ms = meter.first_run()
    assert first_ms >= 61.0
    meter.learn()
    meter.warm_up()
    meter.turn(0.0)
    assert 1.0 <= min(meter.runs.network) / MS < 60.0


def test_sleeping_is_no_computing() -> None:
    rules = protocol("quick")
    meter = real_meter(Synthetic([], 1, "sleep", 5.0), cpu=True, pause_s=0.01)
    meter.first_run()
    meter.learn()
    meter.turn(0.0)
    assert meter.runs.network == []  # thrown away
    while not meter.done:
        meter.turn(0.0)
    assert min(meter.runs.network) >= 5 * MS
    assert any(each.startswith("preempted") for each in reasons(meter.runs, rules))


def test_a_lazy_output_is_computed_within_the_clock() -> None:
    runs = measure(real_meter(Synthetic([], 1, "lazy", 5.0)))
    assert min(runs.network) >= 5 * MS
    assert runs.problems == []


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("kind", ["late", "late-reused", "late-scores"])
def test_a_late_output_is_found_out(kind: str, frames: int) -> None:
    rules = protocol("quick")
    runs = measure(real_meter(Synthetic([], 1, kind, 30.0), frames))
    assert min(runs.network) < 30 * MS  # it looks fast
    (problem,) = (each for each in reasons(runs, rules) if each.startswith("output"))
    assert problem.startswith("output late: for input ")
    while threading.active_count() > 1:
        time.sleep(0.01)


def test_an_output_that_becomes_late_is_found_out() -> None:
    """The array still has what an earlier run put there, which is right."""
    runs = measure(real_meter(Synthetic([], 1, "late-reused", 30.0, after=12), frames=1))
    assert [problem[:12] for problem in runs.problems] == ["output late:"]
    while threading.active_count() > 1:
        time.sleep(0.01)


def test_an_output_of_other_values_is_found_out() -> None:
    runs = measure(real_meter(Synthetic([], 1, "random", 0.1)))
    assert runs.problems[:2] == [f"output unstable: input {n} gave two different results" for n in range(2)]
    assert runs.problems[2].startswith("output unequal: ")


@pytest.mark.parametrize("frames", [1, 2])
def test_memory_that_the_next_run_overwrites_is_copied(frames: int) -> None:
    backend = Synthetic([], 1, "reused", 0.1)
    meter = real_meter(backend, frames)
    assert measure(meter).problems == []
    assert meter.copies
    assert backend.marked  # so that an old result is not taken for a new one
    run = time_run(FakePipeline(backend), images()[0], time.perf_counter_ns, copy=True)
    assert run.given is backend.run(np.zeros((1, 3, 24, 32), np.float32))
    fresh = real_meter(Synthetic([], 1, "busy", 0.1), frames)
    measure(fresh)
    assert not fresh.copies


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
@pytest.mark.parametrize("shape", [(1, 4, 5), (1, 150, 33, 64), (1, 512, 512)])
def test_a_sample_sees_all_of_an_array(shape: tuple[int, ...], dtype: Any) -> None:
    whole = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    before = sample(whole)
    assert before.size <= 2 * 4096 + 1
    assert before[-1] == whole.reshape(-1)[-1]
    half = whole.copy().reshape(-1)
    half[half.size // 2 :] = 7
    assert 0.4 < (sample(half.reshape(shape)) != before).mean() < 0.6
    columns = sample(np.broadcast_to(np.arange(shape[-1]), shape))
    assert np.unique(columns).size == shape[-1]
    mark(whole)
    assert (sample(whole) != before).mean() > 0.99
