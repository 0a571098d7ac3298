"""Measuring on this machine: a process for each plan, in turns, and a record of each.

All plans of one call are loaded at once, each in a process of its own, and take turns of a few runs, so that a change
of the machine's speed during the measurement meets all of them; every second round goes in reverse order. While one is
measured the others wait for a message: a turn begins with a pause, in which threads that still spin fall asleep.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark import describe, identity, record, state
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.benchmark.worker import encode, kind_of
from paddle_mobileseg.benchmark.worker_process import WorkerError, WorkerProcess
from paddle_mobileseg.runtime.bundle import load_bundle

MODULE = "paddle_mobileseg.benchmark.worker"

_MOST_STATES = 20  # of heat and load, in a record
_PROFILE_RUNS = 20

Say = Callable[[str], None]


class _Measurement:
    """A plan, its process, and what is known so far."""

    def __init__(self, plan: Plan, rules: Protocol, timeout_s: float, module: str) -> None:
        self.plan = plan
        self.opened: dict[str, Any] | None = None
        self.finished: dict[str, Any] | None = None
        self.operators: Any = None
        self.error: dict[str, Any] | None = None
        self.before: dict[str, Any] | None = None
        self.during: list[dict[str, Any]] = []
        self.after: dict[str, Any] | None = None
        self.done = False
        self._rules, self._timeout_s, self._module = rules, timeout_s, module
        self._process: WorkerProcess | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None

    def open(self) -> None:
        with self._guarded():
            request = encode(self.plan, self._rules)
            self._process = WorkerProcess(self._module, self.plan.threads)
            self.opened = self._ask(request)

    def turn(self, pause_s: float) -> None:
        with self._guarded():
            self.done = self._ask({"do": "turn", "pause_s": pause_s})["done"]

    def finish(self, outputs: Path | None, say: Say) -> None:
        with self._guarded():
            self.finished = self._ask({"do": "finish"})
        if outputs is not None and not self.failed:
            try:
                outputs.mkdir(parents=True, exist_ok=True)
                self._ask({"do": "outputs", "folder": str(outputs.absolute())})
            except (WorkerError, OSError) as error:  # a measurement is not lost for a picture
                say(f"  {_name(self.plan)}: no labels for pictures: {error}")
        self.close()

    def profile(self) -> None:
        """Times per operator, in a process of their own, after the measurement."""
        from paddle_mobileseg.benchmark.profiling import profile_bundle

        self.operators = profile_bundle(
            self.plan.bundle, self.plan.backend, self.plan.threads, _PROFILE_RUNS, options=self.plan.options
        )

    def close(self) -> None:
        if self._process is not None:
            self._process.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        return self._process.ask(request, self._timeout_s)

    @contextlib.contextmanager
    def _guarded(self) -> Any:
        """An error becomes the record's; Ctrl-C does not."""
        try:
            yield
        except WorkerError as failure:
            self.error = {"kind": failure.kind, "stage": failure.stage, "message": failure.message}
        except Exception as error:
            self.error = {"kind": kind_of(error), "stage": "start", "message": str(error) or type(error).__name__}
        if self.failed:
            self.close()


def measure_local(
    plans: Sequence[Plan],
    protocol: Protocol,
    command: str | None,
    say: Say = print,
    outputs: Path | None = None,
    timeout_s: float = 1800.0,
    module: str = MODULE,
) -> list[Record]:
    """Measure plans on this machine.

    Args:
        plans: that take turns with each other. All are in memory at once: give plans of one bundle, or those that are
            to be compared.
        protocol: how.
        command: that repeats it, for the records.
        say: gets a line on each step.
        outputs: folder into which the golden inputs' labels of plan ``i`` are written, see :func:`outputs_folder`.
        timeout_s: a process that takes longer for one step (loading, a turn) is ended; what the protocol asks for comes
            on top.
        module: that is run as the worker, for tests.

    Returns:
        a record for each plan, in their order; a plan that failed has one with its error.
    """
    group = secrets.token_hex(6) if plans else None
    timeout_s += 2 * protocol.turn_s + 2 * protocol.warmup_s + protocol.cooldown_s  # which a step takes at least
    measured = [_Measurement(plan, protocol, timeout_s, module) for plan in plans]
    thermometer = _Thermometer()
    try:
        for number, each in enumerate(measured, 1):
            say(f"{number}/{len(measured)} {_name(each.plan)}: loading and warming up")
            each.before = thermometer.read()
            each.open()
            if each.error is not None:
                say(f"  failed: {each.error['message']}")
        _take_turns(measured, protocol, thermometer, say)
        for number, each in enumerate(measured):
            if not each.failed:
                each.finish(None if outputs is None else outputs_folder(outputs, number), say)
            each.after = thermometer.read()
    finally:
        for each in measured:
            each.close()
    for each in measured:
        if each.plan.profile and not each.failed:
            _profile(each, say)
    return [_record(each, protocol, command, group) for each in measured]


def outputs_folder(outputs: Path, number: int) -> Path:
    """Where :func:`measure_local` writes ``image_<i>.npy`` (uint8 RGB [h, w, 3]) and ``labels_<i>.npy`` (int32
    [h, w]) of the golden inputs of plan ``number`` (from 0); a plan that failed, or without golden inputs, has none."""
    return outputs / str(number)


def _take_turns(measured: Sequence[_Measurement], protocol: Protocol, thermometer: _Thermometer, say: Say) -> None:
    order = [each for each in measured if not each.failed]
    several = len(order) > 1
    say(f"timing {len(order)} of {len(measured)}" + (" in turns" if several else ""))
    while active := [each for each in order if not each.done and not each.failed]:
        for each in active:
            each.turn(protocol.pause_s if several else 0.0)
            each.during.append(thermometer.read())
            if each.error is not None:
                say(f"  {_name(each.plan)} failed: {each.error['message']}")
        order.reverse()


def _profile(each: _Measurement, say: Say) -> None:
    say(f"{_name(each.plan)}: times per operator")
    try:
        each.profile()
    except (ValueError, ImportError, OSError) as error:
        say(f"  no times per operator: {error}")


class _Thermometer:
    """States of this machine since the measurement's beginning."""

    def __init__(self) -> None:
        self._start, self._throttles = time.monotonic(), state.throttle_count()

    def read(self) -> dict[str, Any]:
        at_s = round(time.monotonic() - self._start, 3)
        return {"at_s": at_s, **state.read_state(throttles_before=self._throttles)}


def _name(plan: Plan) -> str:
    return f"{plan.bundle.name} on {plan.backend}, {identity.threads_text(plan.threads)}"


def _record(each: _Measurement, protocol: Protocol, command: str | None, group: str | None) -> Record:
    made = record.empty()
    plan = each.plan
    made["tool"], made["device"] = describe.tool_section(), describe.local_device()
    made["command"] = command
    made["backend"] |= {
        "requested": plan.backend,
        "threads": plan.threads,
        "affinity": None if plan.affinity is None else list(plan.affinity),
        "power_mode": plan.power_mode,
        "options": dict(plan.options),
    }
    made["protocol"] |= {**protocol.section(), "group": group}
    made["model"]["bundle"] = plan.bundle.resolve().name
    _add_bundle(made, each, protocol)
    during = each.during[:: max(1, -(-len(each.during) // _MOST_STATES))]
    made["thermal"] |= {"before": each.before, "during": during, "after": each.after}
    if each.opened is not None:
        made["backend"] |= {name: each.opened[name] for name in ("actual", "version")}
        made["input"], made["parity"] = each.opened["input"], each.opened["parity"]
        made["memory"]["before_load_bytes"] = each.opened["before_load_bytes"]
    if each.error is not None:
        made["error"] = each.error
        return made
    assert each.opened is not None and each.finished is not None
    _add_times(made, each.opened["first"], each.finished)
    made["operators"] = each.operators
    return made


def _add_bundle(made: Record, each: _Measurement, protocol: Protocol) -> None:
    """What the manifest says, where it can be read; a bundle that cannot is the plan's error already."""
    shape = None if each.opened is None else each.opened["input_shape"]
    made["toolchain"] = describe.toolchain(None)
    with contextlib.suppress(ValueError, OSError, KeyError, TypeError, AttributeError):
        bundle = load_bundle(each.plan.bundle)
        made["toolchain"] = describe.toolchain(bundle)
        made["model"] = describe.model_section(bundle, each.plan.backend, shape, each.plan.options)
        made["key"] = each.plan.key(protocol, bundle, made["device"]["fingerprint"])


def _add_times(made: Record, first: dict[str, Any], finished: dict[str, Any]) -> None:
    """Times, validity and memory. A stage that took less than the clock shows is not measured: ``null``."""

    def summary(times_ns: Sequence[int | None]) -> dict[str, Any] | None:
        known = [value for value in times_ns if value is not None and value > 0]
        return record.summarize([value / 1e6 for value in known]) if times_ns and len(known) == len(times_ns) else None

    made["timing"] = {
        "unit": "ms",
        "first": first,
        "network": summary(finished["network"]),
        "frame": summary(finished["frame"]),
        "stages": {name: summary(times) for name, times in finished["stages"].items()},
    }
    made["protocol"]["turns"] = finished["turns"]
    made["memory"]["peak_resident_bytes"] = finished["peak_resident_bytes"]
    record.judge(made, finished["reasons"])
