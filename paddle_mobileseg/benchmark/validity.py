"""May the numbers of a measurement be used? Reasons against it, in words and numbers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np

from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.benchmark.timing import Runs

LEAST_RUNS = 10  # fewer say nothing about noise


def reasons(
    runs: Runs, rules: Protocol, steal: float | None = None, tick_ns: float | None = None, waited: float | None = None
) -> list[str]:
    """Why a measurement must not be used; empty where it may be.

    Args:
        runs: that were timed.
        rules: the limits.
        steal: share of the processors' time, 0..1, that the host gave to others while the runs were timed.
        tick_ns: step of the clock, of :func:`tick`.
        waited: share of the time, 0..1, in which the network's threads had work and no processor: of several threads
            processor time alone does not tell whether they were kept waiting.
    """
    found = list(runs.problems)
    count = len(runs.network)
    found += too_few(count, max(rules.min_runs, LEAST_RUNS))
    if runs.seconds < rules.min_s:
        found.append(f"too short: {runs.seconds:.3g} s of timed runs; at least {rules.min_s:g} s are needed")
    if count == 0:
        return found
    relative = relative_times(runs)
    if count >= LEAST_RUNS:
        low, high = np.percentile(relative, [10, 90])
        if high - low > rules.max_noise:
            found.append(
                f"too noisy: (p90 - p10) / median is {high - low:.2f}; at most {rules.max_noise:g} is allowed; "
                "stop other work on this machine"
            )
        before, after = (float(np.median(half)) for half in (relative[: count // 2], relative[count // 2 :]))
        if abs(after / before - 1) > rules.max_drift:
            found.append(
                f"drifting: the second half of the runs took {after / before:.2f} times the first half's median; "
                f"at most {1 + rules.max_drift:g} (or {1 - rules.max_drift:g}) is allowed"
            )
    share = runs.cpu_share
    if share is not None and share < rules.min_cpu_share:
        found.append(
            f"preempted: the network had a processor for {share:.0%} of its time; at least {rules.min_cpu_share:.0%} "
            "is needed; stop other work on this machine"
        )
    if waited is not None and waited > 1 - rules.min_cpu_share:
        found.append(
            f"preempted: the network's threads waited for a processor in {waited:.0%} of the time in which they had "
            f"work; at most {1 - rules.min_cpu_share:.0%} is allowed; stop other work on this machine"
        )
    if steal is not None and steal > rules.max_steal:
        found.append(
            f"preempted: the host gave {steal:.0%} of the processors' time to others; at most {rules.max_steal:.0%} "
            "is allowed"
        )
    median = float(np.median(runs.network))
    if tick_ns is not None and median < rules.min_ticks * tick_ns:
        found.append(
            f"clock too coarse: the median of {median:.0f} ns is {median / tick_ns:.1f} of its steps; at least "
            f"{rules.min_ticks:g} are needed"
        )
    return found


def too_few(count: int, least: int = LEAST_RUNS) -> list[str]:
    """The reason against so many timed runs, if they are not enough."""
    return [] if count >= least else [f"too short: {count} timed runs; at least {least} are needed"]


def relative_times(runs: Runs) -> np.ndarray:
    """``[N]`` float64: each network time as a multiple of its input's median: inputs may differ in what they take."""
    times, inputs = np.array(runs.network, np.float64), np.array(runs.inputs)
    relative = np.empty_like(times)
    for number in np.unique(inputs):
        mine = inputs == number
        relative[mine] = times[mine] / max(float(np.median(times[mine])), 1.0)
    return relative


def tick(clock: Callable[[], int] = time.perf_counter_ns, reads: int = 1000) -> float:
    """Nanoseconds of the smallest step that a clock was seen to make; 1 s where it stood still."""
    seen: Sequence[int] = [clock() for _ in range(reads)]
    steps = [after - before for before, after in itertools.pairwise(seen) if after > before]
    return float(min(steps, default=10**9))
