"""From the events of traces to times per operator."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")
Operators = list[dict[str, Any]]


@dataclass(frozen=True)
class Profile:
    """Times per operator, and what they are to be held against.

    Attributes:
        operators: ``{"name", "type", "ms", "calls"}`` each, as a record's ``operators``: milliseconds in a run (mean
            over runs, all calls together) and calls in a run; the longest first.
        runs: that the means are of.
        run_ms: mean of a whole run while it was profiled; ``None`` where the backend does not say.
        plain_ms: the same of runs without profiling, before them; ``None`` where there were none.
        input_shape: of the network's input.
    """

    operators: Operators
    runs: int
    run_ms: float | None
    plain_ms: float | None = None
    input_shape: list[int] | None = None

    @property
    def explained(self) -> float | None:
        """Share (0..1) of a profiled run that its operators explain; ``None`` where ``run_ms`` is."""
        return None if self.run_ms is None else sum(each["ms"] for each in self.operators) / self.run_ms

    def summary(self) -> str:
        """What the operators are to be held against, as a line."""
        shape = "" if self.input_shape is None else f" of {'x'.join(map(str, self.input_shape))}"
        words = [f"means of {self.runs} run{'s' if self.runs != 1 else ''}{shape}"]
        if self.run_ms is not None:
            words.append(f"{self.run_ms:.2f} ms each while profiled, of which operators explain {self.explained:.1%}")
        if self.plain_ms is not None:
            words.append(f"{self.plain_ms:.2f} ms without the profiler")
        return "; ".join(words)

    def to_json(self) -> dict[str, Any]:
        """For :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Profile:
        """What :meth:`to_json` gave."""
        return cls(**content)


@dataclass(frozen=True)
class Event:
    """One call of an operator.

    Attributes:
        name: what calls are brought together by.
        type: of the operator.
        start_us, duration_us: of the call, in microseconds of any clock.
        thread: that it ran on.
    """

    name: str
    type: str
    start_us: float
    duration_us: float
    thread: str = ""

    @property
    def end_us(self) -> float:
        return self.start_us + self.duration_us


@dataclass(frozen=True)
class Span:
    """One run of the network, in microseconds of the events' clock."""

    start_us: float
    duration_us: float


def profile_of(events: Iterable[Event], spans: Sequence[Span]) -> Profile:
    """Mean times of the faster half of the runs that ``spans`` are: in the others something else may have had the core,
    which would count for whatever operator it met. Events outside of the runs (loading, warm-up) are left out.

    An operator that runs inside another on the same thread (a branch's body) counts as part of that one.

    Raises:
        ValueError: there are no runs, or no events in them.
    """
    total: dict[tuple[str, str], list[float]] = {}
    counted = sorted(faster_half(spans, lambda span: span.duration_us), key=lambda span: span.start_us)
    starts = [span.start_us for span in counted]
    for event in _outermost(events):
        place = bisect.bisect_right(starts, event.start_us) - 1  # of the run that began last before it
        if place >= 0 and event.start_us < starts[place] + counted[place].duration_us:
            entry = total.setdefault((event.name, event.type), [0.0, 0])
            entry[0] += event.duration_us / 1000
            entry[1] += 1
    if not total:
        raise ValueError(f"the trace of {len(spans)} runs has no operators in them; the runtime wrote none")
    runs = len(counted)
    operators = [
        {"name": name, "type": kind, "ms": ms / runs, "calls": max(1, round(calls / runs))}
        for (name, kind), (ms, calls) in total.items()
    ]
    return Profile(longest_first(operators), runs, sum(span.duration_us for span in counted) / runs / 1000)


def faster_half(runs: Iterable[_T], duration: Callable[[_T], float]) -> list[_T]:
    """Half of the runs, rounded up: those of the least ``duration``."""
    ordered = sorted(runs, key=duration)
    return ordered[: (len(ordered) + 1) // 2]


def plain_ms(run: Callable[[], object], runs: int) -> float:
    """Mean milliseconds of the faster half of ``runs`` calls."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    half = faster_half(times, lambda ms: ms)
    return sum(half) / len(half)


def longest_first(operators: Iterable[dict[str, Any]]) -> Operators:
    """Sorted by ``ms``, falling; equal ones by name."""
    return sorted(operators, key=lambda each: (-each["ms"], each["name"]))


def _outermost(events: Iterable[Event]) -> list[Event]:
    kept: list[Event] = []
    last: dict[str, Event] = {}  # by thread: the one that may still be running
    for event in sorted(events, key=lambda each: (each.start_us, -each.duration_us)):
        outer = last.get(event.thread)
        # Clocks are rounded, so that one of no duration may seem to be in its successor.
        if outer and event.duration_us > 0 and event.start_us < outer.end_us and event.end_us <= outer.end_us:
            continue
        kept.append(event)
        if event.duration_us > 0:
            last[event.thread] = event
    return kept
