"""Measuring on a phone or board: prove the labels first, then time, and say how warm it was.

For each plan: files are copied (those that are there already are not), the golden inputs run on the device, and only if
their labels are those of the trained network are times taken. The runner runs once for each turn, with one input, its
own warm-up and its share of the runs; the state of the device is read before, early in each turn and every two seconds
of it, and after. Its output is fetched after each turn and looked at again. A connection that breaks, or a device that
restarts, costs the plan it met: that begins again, at most three times.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark import describe
from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.devices.base import Device, DeviceError, DeviceLost, without_address
from paddle_mobileseg.benchmark.devices.remote_job import POLL_S, Job, ParityError, RunnerError
from paddle_mobileseg.benchmark.devices.remote_runner import (
    USUAL_POWER_MODE,
    Programs,
    find_programs,
    parse_runner_line,
)
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.benchmark.record import Record

__all__ = ["ParityError", "RunnerError", "measure_remote", "parse_runner_line"]

MOST_RETRIES = 3
WAIT_S = 300.0  # for a device that restarts
WAIT_AGAIN_S = 10.0  # for one that did not come back before
COOL_C = 3.0  # above the temperature at the start

Say = Callable[[str], None]


def measure_remote(
    device: Device,
    plans: Sequence[Plan],
    protocol: Protocol,
    command: str | None = None,
    runner: Path | None = None,
    say: Say = print,
) -> Iterator[Record]:
    """Measure on a device, one plan after the other.

    Args:
        device: of :func:`paddle_mobileseg.benchmark.devices.open_device`.
        plans: what to measure; the backend is ``lite-arm`` (``lite`` on a device with an x86 processor).
        protocol: runs, seconds, limits. ``cooldown_s`` is the longest wait between two plans for the device to be as
            warm as it was at the start, to 3 C.
        command: that repeats all of it, for the records, which have it without serial number, host and user.
        runner: the program for the device, or a folder with it and its libraries (:func:`find_programs`).
        say: where progress goes.

    Yields:
        a record for each plan, failures too, not yet written. In the end the work folder on the device is removed.

    Raises:
        ValueError, FileNotFoundError: no runner.
        DeviceError: the device cannot be used; nothing was measured.
    """
    programs = find_programs(runner)
    try:
        for program in dict.fromkeys([programs.timed, programs.prover or programs.timed]):
            device.check(program)
        session = _Session(device, programs, protocol, command, say)
        for number, plan in enumerate(plans):
            if number:
                session.cool_down()
            yield session.record(plan)
    finally:
        device.cleanup()


class _Session:
    """One device during a call of :func:`measure_remote`."""

    def __init__(self, device: Device, programs: Programs, protocol: Protocol, command: str | None, say: Say) -> None:
        self.device, self.programs, self.protocol, self.say = device, programs, protocol, say
        self._command = without_address(command)
        self.section = device.section()
        self._coolest = self.state()
        self._gone = False

    def record(self, plan: Plan) -> Record:
        """Of one plan, whatever happens to it."""
        lost: list[str] = []
        while True:
            made = self._blank(plan)
            job = Job(self, made)
            try:
                if self._gone:
                    self.device.wait(WAIT_AGAIN_S)
                    self._gone = False
                job.measure(plan)
                if lost:
                    made["backend"]["options"]["connections_lost"] = len(lost)
                return made
            except DeviceLost as error:
                lost.append(str(error))
                if self._gone or len(lost) > MOST_RETRIES or not self._is_back(str(error)):
                    text = f"given up after {len(lost)} lost connections; the last: {error}"
                    return records.fail(made, "DeviceLost", job.stage, text)
            except (OSError, ValueError, KeyError) as error:
                kind = type(error).__name__
                text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
                return records.fail(
                    made, kind, job.stage, (text or kind) + (f" (after {len(lost)} retries)" if lost else "")
                )

    def _is_back(self, why: str) -> bool:
        self.say(
            f"{self.device.label}: {why}\nwaiting for it, at most {WAIT_S:g} s; then this measurement starts again"
        )
        try:
            self.device.wait(WAIT_S)
        except DeviceError as error:
            self.say(str(error))
            self._gone = True
            return False
        return True

    def _blank(self, plan: Plan) -> Record:
        made = records.empty()
        made["tool"] = describe.tool_section()
        made["command"] = self._command
        made["device"] = dict(self.section)
        made["backend"] |= {
            "requested": plan.backend,
            "threads": plan.threads,
            "affinity": None if plan.affinity is None else list(plan.affinity),
            "power_mode": plan.power_mode or USUAL_POWER_MODE,
            "options": {"runner": self.programs.timed.name},
        }
        made["protocol"] |= self.protocol.section()
        return made

    def state(self) -> dict[str, Any] | None:
        """How the device is; ``None`` where it does not say."""
        try:
            return self.device.state()
        except DeviceLost:
            raise
        except DeviceError:
            return None

    def cool_down(self) -> None:
        """Wait until the device is as warm as at the start; where it has no thermometer, all of the time."""
        deadline = time.monotonic() + self.protocol.cooldown_s
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(DeviceLost):  # the next measurement finds out
                above = _warmth(self._coolest, self.state())
                if above is not None and above <= COOL_C:
                    return
                told = "" if above is None else f", {above:.1f} C warmer than at the start"
                self.say(f"{self.device.label} cools down{told}; {left:.0f} s at most")
            time.sleep(min(POLL_S, left))


def _warmth(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> float | None:
    """Degrees by which the warmest part is warmer than the warmest was; ``None`` without a thermometer in both."""
    if before is None or now is None:
        return None
    names = before["temperature_c"].keys() & now["temperature_c"].keys()
    if not names:
        return None
    return max(now["temperature_c"][name] for name in names) - max(before["temperature_c"][name] for name in names)
