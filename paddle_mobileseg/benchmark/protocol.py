"""How a measurement is made: warm-up, how long, in which turns, and what makes it invalid.

The presets follow conventions of the field, so that a number can be set beside others':

- ``paddle-lite``: 10 runs of warm-up and 50 timed ones, as Paddle Lite's ``benchmark_bin`` in its documentation.
- ``mlperf``: at least 1024 timed runs *and* 60 s, as MLPerf's single-stream scenario (whose result is p90).
- ``trtexec``: 200 ms of warm-up, then at least 10 runs *and* 3 s, as trtexec without options.
- ``quick``: 3 runs of warm-up and 20 timed ones, for a first look.

Seconds are those inside the timed runs of the network (tensor to output): pauses, preprocessing and postprocessing do
not count.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from paddle_mobileseg.suggestion import did_you_mean

MOST_S = 86400.0  # of a part of one measurement
_LIMITS = ("max_noise", "max_drift", "min_cpu_share", "max_steal", "min_ticks")
_COUNTED = ("warmup_runs", "warmup_s", "min_runs", "min_s")  # what a preset's name promises


@dataclass(frozen=True)
class Protocol:
    """One way to measure. Warm-up and timing each end when runs *and* seconds are reached.

    Attributes:
        preset: the name in :data:`PRESETS`; ``None`` where its runs or seconds were changed.
        warmup_runs, warmup_s: runs and seconds before those that count, beside the first run.
        min_runs, min_s: timed runs and seconds of each plan.
        turn_runs: least runs of a plan before the next plan has its turn.
        pause_s: idle time before a turn where several plans take turns, in which other plans' threads fall asleep
            (OpenMP's spin for 0.2 s); an untimed run follows.
        cooldown_s: idle time before each plan's warm-up, for devices that get hot.
        max_noise: largest (p90 - p10) / median of the network's times.
        max_drift: largest change of the median between the first and the second half of the runs, as a share.
        min_cpu_share: least processor time, as a share of wall time, of a network that computes on this processor;
            below, the process was kept waiting for other work. Turns below it are thrown away and made again, unless
            there are too many: see :class:`paddle_mobileseg.benchmark.timing.Meter`.
        max_steal: largest share of processor time that the machine's host gave to others.
        min_ticks: least median, in steps of the clock.
    """

    preset: str | None
    warmup_runs: int
    warmup_s: float
    min_runs: int
    min_s: float
    turn_runs: int = 5
    pause_s: float = 0.3
    cooldown_s: float = 0.0
    max_noise: float = 0.5
    max_drift: float = 0.2
    min_cpu_share: float = 0.8
    max_steal: float = 0.1
    min_ticks: float = 100.0

    def __post_init__(self) -> None:
        for name, least in (("warmup_runs", 0), ("min_runs", 1), ("turn_runs", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; expected a whole number from {least}")
        for field in fields(self):
            if field.type == "float":
                _check_number(field.name, getattr(self, field.name))
        for name in ("warmup_s", "min_s", "pause_s", "cooldown_s"):
            if getattr(self, name) > MOST_S:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected at most {MOST_S:g} seconds")

    @property
    def turn_s(self) -> float:
        """Least seconds of a turn: long measurements have some 20 turns, not hundreds of pauses."""
        return self.min_s / 20

    def section(self) -> dict[str, Any]:
        """What a record's ``protocol`` has of it."""
        asked = asdict(self)
        limits = {name: asked.pop(name) for name in _LIMITS}
        return {**asked, "limits": limits}

    def done(self, runs: int, seconds: float) -> bool:
        """Whether so many timed runs, of so many seconds together, are enough."""
        return runs >= self.min_runs and seconds >= self.min_s


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value!r}; expected a finite number from 0")


PRESETS = {
    "paddle-lite": Protocol("paddle-lite", warmup_runs=10, warmup_s=0.0, min_runs=50, min_s=0.0),
    "mlperf": Protocol("mlperf", warmup_runs=10, warmup_s=1.0, min_runs=1024, min_s=60.0),
    "trtexec": Protocol("trtexec", warmup_runs=1, warmup_s=0.2, min_runs=10, min_s=3.0),
    "quick": Protocol("quick", warmup_runs=3, warmup_s=0.0, min_runs=20, min_s=0.0),
}


def protocol(name: str = "quick", **overrides: Any) -> Protocol:
    """A preset, with some of its values changed.

    Args:
        name: of :data:`PRESETS`.
        overrides: attributes of :class:`Protocol`; ``None`` leaves the preset's value.

    Raises:
        ValueError: an unknown name, or a value out of range; the message names it and what was expected.
    """
    if name not in PRESETS:
        raise ValueError(
            f"unknown preset {name!r}{did_you_mean(str(name), list(PRESETS))}; expected one of {', '.join(PRESETS)}"
        )
    known = [field.name for field in fields(Protocol) if field.name != "preset"]
    if unknown := [each for each in overrides if each not in known]:
        raise ValueError(
            f"a protocol has no {unknown[0]!r}{did_you_mean(unknown[0], known)}; it has {', '.join(known)}"
        )
    given = {key: value for key, value in overrides.items() if value is not None}
    preset = PRESETS[name]
    if any(key in _COUNTED and value != getattr(preset, key) for key, value in given.items()):
        given["preset"] = None
    return replace(preset, **given)
