"""One attempt to measure one plan on a device."""

from __future__ import annotations

import contextlib
import math
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from paddle_mobileseg.benchmark import describe, identity, importers, record
from paddle_mobileseg.benchmark.devices.base import Completed, Device, DeviceError, abi_of
from paddle_mobileseg.benchmark.devices.remote_inputs import (
    Agreement,
    Work,
    class_count,
    read_output,
    read_work,
    write_tensor,
)
from paddle_mobileseg.benchmark.devices.remote_runner import (
    THEIRS,
    Programs,
    check_claims,
    check_power_mode,
    our_words,
    parse_runner_line,
    their_words,
    timing_sections,
)
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol as Rules
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.benchmark.timing import Runs
from paddle_mobileseg.benchmark.validity import LEAST_RUNS, reasons
from paddle_mobileseg.runtime.lite_backend import check_version

FIRST_POLL_S = 0.2  # after the start of a turn: many turns are shorter than POLL_S
POLL_S = 2.0

_FIRST_S = 600.0  # for a run of which nothing is known
_LEAST_S = 120.0
_TURN_S = 20.0  # longest turn: what a disconnect may cost
_SHORT_S = 30.0
_MOST_TRIES = 3  # of benchmark_bin, which counts runs, not seconds


class ParityError(ValueError):
    """The device gives other labels than the trained network."""


class RunnerError(ChildProcessError):
    """The program on the device failed, or what it said makes no sense."""


class Session(Protocol):
    """What a job needs of the measurement that it belongs to."""

    device: Device
    programs: Programs
    protocol: Rules

    def say(self, text: str) -> None: ...
    def state(self) -> dict[str, Any] | None: ...


class Job:
    """One attempt to measure a plan.

    Attributes:
        stage: what is being done, for a failure's record.
    """

    def __init__(self, session: Session, made: Record) -> None:
        self._session, self._device, self._made = session, session.device, made
        self._protocol, self._programs = session.protocol, session.programs
        self.stage = "bundle"
        self._start = time.monotonic()

    def measure(self, plan: Plan) -> None:
        """Fill the record. Raises DeviceLost, DeviceError, RunnerError, ParityError, ValueError, FileNotFoundError."""
        made = self._made
        work = read_work(plan)
        made["model"] = describe.model_section(work.bundle, plan.backend, work.inputs[0].shape)
        made["toolchain"] |= {"export_tools": describe.toolchain(work.bundle)["export_tools"]}
        made["key"] = plan.key(self._protocol, work.bundle, self._programs.on(made["device"]["fingerprint"]))
        self._check_settings(plan, work)
        with tempfile.TemporaryDirectory(prefix="mobileseg-") as folder:
            self._local = Path(folder)
            self.stage = "push"
            threads = identity.threads_text(plan.threads)
            self._session.say(f"{work.bundle.folder.name}, {threads}: copying to {self._device.label}")
            self._model = self._push(work)
            self._words = self._placed(plan)
            self._settings = {"threads": plan.threads, "power_mode": made["backend"]["power_mode"]}
            pace_ms = self._prove(work) if self._programs.prover else None
            self.stage = "measurement"
            self._session.say("measuring")
            if THEIRS in self._programs.timed.name:
                self._time_theirs(work, pace_ms)
            else:
                assert pace_ms is not None
                self._time_ours(work, pace_ms)

    def _check_settings(self, plan: Plan, work: Work) -> None:
        abi = abi_of(self._programs.timed)
        of_x86 = None if abi is None else abi.startswith("x86")
        if of_x86 is not None and of_x86 != (work.target == "x86"):
            raise ValueError(
                f"the runner is built for {abi}, but {work.model} is for {work.target}; give the backend lite-arm "
                "with a runner for ARM, or lite with one for x86"
            )
        check_power_mode(self._made["backend"]["power_mode"])
        if THEIRS in self._programs.timed.name and work.inputs[0].dtype != np.float32:
            raise ValueError(f"benchmark_bin takes float32 inputs, but {plan.bundle} takes {work.inputs[0].dtype}")

    def _push(self, work: Work) -> str:
        """Copy programs and model; the model's path on the device."""
        for file in self._programs.files:
            self._device.push(file, self._path(f"bin/{file.name}"))
        run = {self._programs.timed, self._programs.prover or self._programs.timed}
        names = sorted(self._path(f"bin/{file.name}") for file in run)
        done = self._device.run(["chmod", "755", *names], _SHORT_S)
        if done.returncode != 0:
            raise DeviceError(f"{self._device.label}: the runner cannot be made executable:\n  {done.last_words()}")
        model = self._path(f"models/{work.bundle.about['files'][work.model.name]['sha256'][:16]}.nb")
        self._device.push(work.model, model)
        return model

    def _push_input(self, x: np.ndarray, as_text: bool = False) -> str:
        local = write_tensor(self._local, x, as_text)
        remote = self._path(f"inputs/{local.name}")
        self._device.push(local, remote)
        return remote

    def _path(self, name: str) -> str:
        return f"{self._device.folder}/{name}"

    def _placed(self, plan: Plan) -> list[str]:
        """What comes before a program so that it keeps to its cores."""
        if plan.affinity is None:
            return []
        words = ["taskset", f"{sum(1 << core for core in set(plan.affinity)):x}"]
        done = self._device.run([*words, "true"], _SHORT_S)
        if done.returncode != 0:
            raise DeviceError(
                f"{self._device.label} cannot keep a program to the cores {list(plan.affinity)} (taskset "
                f"{done.how_it_ended()}); leave out --affinity, or give cores that it has:\n  {done.last_words()}"
            )
        return words

    def _prove(self, work: Work) -> float:
        """Run the golden inputs; milliseconds of the fastest run. Raises ParityError."""
        self.stage = "parity"
        agreement = Agreement()
        pace_ms = math.inf
        for x, expected in work.golden:
            said, output = self._run_ours(work, x, warmup=1, repeats=1, timeout_s=_FIRST_S)
            if list(output.shape) != list(expected.shape) or (output.dtype.kind == "f") != (expected.dtype.kind == "f"):
                raise ParityError(
                    f"the device gives {output.dtype} {list(output.shape)}, but the network {expected.dtype} "
                    f"{list(expected.shape)}"
                )
            agreement.add(expected, output)
            pace_ms = min(pace_ms, *said["times_ms"])
        self._made["parity"] = agreement.section()
        if not agreement.passed:
            raise ParityError(
                f"labels of the {agreement.inputs} golden inputs agree with the trained network's on "
                f"{agreement.share:.4%} of the pixels; needed are {self._made['parity']['tolerance']:.2%}, so nothing "
                "was timed: is Paddle Lite's library of the file's version and built for this processor?"
            )
        return pace_ms

    def _run_ours(
        self, work: Work, x: np.ndarray, *, warmup: int, repeats: int, timeout_s: float, timed: bool = False
    ) -> tuple[dict[str, Any], np.ndarray]:
        """One process of the runner: what it said, and its last output. With ``timed`` the device's state is noted."""
        program = self._programs.timed if timed else self._programs.prover
        assert program is not None
        target = self._path("output.bin")
        settings = {**self._settings, "warmup": warmup, "repeats": repeats}
        source = self._push_input(x)
        words = our_words(
            self._path(f"bin/{program.name}"), self._model, source, target, x.shape, x.dtype.name, settings
        )
        removed = self._device.run(["rm", "-f", target], _SHORT_S)
        if removed.returncode != 0:  # an output of before must not pass for this run's
            raise DeviceError(f"{self._device.label}: cannot remove the last output:\n  {removed.last_words()}")
        start = time.monotonic()
        done = self._run(words, timeout_s, timed)
        wall_s = time.monotonic() - start
        try:
            said = parse_runner_line(done.stdout)
            check_claims(said, {**settings, "input_shape": list(x.shape)}, wall_s)
            local = self._local / "output.bin"
            self._device.pull(target, local)
            output = read_output(local, said)
        except (ValueError, FileNotFoundError) as error:
            raise RunnerError(f"{program.name} on {self._device.label}: {error}") from error
        if said["runtime"] is not None:
            check_version(work.model, work.version, said["runtime"])
        return said, output

    def _run(self, words: list[str], timeout_s: float, timed: bool) -> Completed:
        environment = {"LD_LIBRARY_PATH": self._path("bin")} if self._programs.libraries else None
        with self._polled() if timed else contextlib.nullcontext():
            done = self._device.run([*self._words, *words], timeout_s, environment)
        if done.returncode != 0:
            why = f"the runner {done.how_it_ended()} on {self._device.label}. Its last words:\n  {done.last_words()}"
            raise RunnerError(why)
        return done

    @contextlib.contextmanager
    def _polled(self) -> Iterator[None]:
        """Note the state of the device while it works."""
        over = threading.Event()

        def poll() -> None:
            pause_s = FIRST_POLL_S
            while not over.wait(pause_s):
                try:
                    self._note(self._device.state())
                except DeviceError:
                    return
                pause_s = POLL_S

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _note(self, state: Mapping[str, Any]) -> None:
        self._made["thermal"]["during"].append(self._at(state))

    def _at(self, state: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if state is None else {"at_s": round(time.monotonic() - self._start, 3), **state}

    def _time_ours(self, work: Work, pace_ms: float) -> None:
        self._start = time.monotonic()
        self._made["thermal"]["before"] = self._at(self._session.state())
        lines: list[dict[str, Any]] = []
        order: list[int] = []
        classes: dict[int, int | None] = {}
        agreement = Agreement()
        while (repeats := self._left(lines, pace_ms, len(work.inputs))) > 0:
            number = len(lines) % len(work.inputs)
            warmup = self._warmup(pace_ms)
            timeout_s = _LEAST_S + 20 * (warmup + repeats) * pace_ms / 1000
            said, output = self._run_ours(
                work, work.inputs[number], warmup=warmup, repeats=repeats, timeout_s=timeout_s, timed=True
            )
            lines.append(said)
            order += [number] * repeats
            pace_ms = float(np.median(said["times_ms"]))
            classes[number] = class_count(output, work.bundle.about["num_classes"])
            for x, expected in work.golden:
                if x is work.inputs[number]:
                    agreement.add(expected, output)
        self._made["thermal"]["after"] = self._at(self._session.state())
        sections = timing_sections(lines)
        self._made["timing"], self._made["memory"] = sections["timing"], sections["memory"]
        self._made["protocol"]["turns"] = sections["turns"]
        self._say_what_ran(work, lines[0]["runtime"])
        present = [count for _, count in sorted(classes.items()) if count is not None]
        whole = len(present) == len(classes)
        self._made["input"] |= {
            "kind": work.kind,
            "count": len(classes),
            "classes_present": present if whole else None,
        }
        runs = Runs(
            network=[round(time_ms * 1e6) for time_ms in self._made["timing"]["network"]["raw"]],
            turns=sections["turns"],
            inputs=order,
        )
        why = reasons(runs, self._protocol)
        if agreement.inputs and not agreement.passed:
            why.append(f"output unequal: after the timed runs labels agree on {agreement.share:.4%} of the pixels only")
        if not whole:
            why.append("output unusable: after the timed runs it has labels that are none of the network's classes")
        self._judge(why)

    def _left(self, lines: list[dict[str, Any]], pace_ms: float, inputs: int) -> int:
        """Runs of the next turn: each input has its share, and no turn is so long that losing it costs much."""
        times = [each for line in lines for each in line["times_ms"]]
        rules = self._protocol
        if rules.done(len(times), sum(times) / 1000):
            return 0
        left = max(rules.min_runs - len(times), math.ceil((rules.min_s * 1000 - sum(times)) / pace_ms), 1)
        share = max(rules.min_runs, math.ceil(rules.min_s * 1000 / pace_ms)) / inputs
        longest = min(max(math.ceil(share), rules.turn_runs), math.floor(_TURN_S * 1000 / pace_ms))
        return min(left, max(longest, 1))

    def _warmup(self, pace_ms: float) -> int:
        """At least one: the first run of a process is none of those that count."""
        return max(self._protocol.warmup_runs, math.ceil(self._protocol.warmup_s * 1000 / pace_ms), 1)

    def _time_theirs(self, work: Work, pace_ms: float | None) -> None:
        """``benchmark_bin`` on the first input: statistics, no times of single runs, no output."""
        x = work.inputs[0]
        source = self._push_input(x, as_text=True)
        program = self._path(f"bin/{self._programs.timed.name}")
        if pace_ms is None:
            once = self._their_sections(work, program, source, 1, 1, _FIRST_S, False)
            pace_ms = float(once["timing"]["stages"]["compute"]["mean"])
        rules = self._protocol
        self._start = time.monotonic()
        self._made["thermal"]["before"] = self._at(self._session.state())
        for _ in range(_MOST_TRIES):
            warmup = self._warmup(pace_ms)
            repeats = max(rules.min_runs, math.ceil(rules.min_s * 1000 / pace_ms))
            timeout_s = _LEAST_S + 20 * (warmup + repeats) * pace_ms / 1000
            sections = self._their_sections(work, program, source, warmup, repeats, timeout_s, True)
            seconds = repeats * sections["timing"]["stages"]["compute"]["mean"] / 1000
            if rules.done(repeats, seconds):
                break
            pace_ms = 0.9 * seconds * 1000 / repeats
        self._made["thermal"]["after"] = self._at(self._session.state())
        self._made["timing"], self._made["memory"] = sections["timing"], sections["memory"]
        self._made["input"] |= {"kind": work.kind, "count": 1}
        if work.kind == "golden":
            count = class_count(work.golden[0][1], work.bundle.about["num_classes"])
            self._made["input"]["classes_present"] = None if count is None else [count]
        self._say_what_ran(work, sections["backend"]["version"])
        why = []
        if repeats < LEAST_RUNS:
            why.append(f"too short: {repeats} timed runs; at least {LEAST_RUNS} are needed")
        if seconds < rules.min_s:
            why.append(f"too short: {seconds:.3g} s of timed runs; at least {rules.min_s:g} s are needed")
        if self._made["parity"] is None:
            why.append(
                "labels not proved on the device: benchmark_bin gives no output; put a mobileseg_lite_run beside it"
            )
        self._judge(why)

    def _their_sections(
        self, work: Work, program: str, source: str, warmup: int, repeats: int, timeout_s: float, timed: bool
    ) -> dict[str, Any]:
        settings = {**self._settings, "warmup": warmup, "repeats": repeats}
        words = their_words(program, self._model, source, work.inputs[0].shape, work.target, settings)
        done = self._run(words, timeout_s, timed)
        try:
            *_, sections = importers.read("paddle-lite", done.stdout)
        except ValueError as error:
            raise RunnerError(f"benchmark_bin on {self._device.label}: {error}") from error
        if sections["timing"] is None:
            raise RunnerError(f"benchmark_bin on {self._device.label}: {sections['error']['message']}")
        compute = sections["timing"]["stages"]["compute"]
        if compute["mean"] is None or compute["count"] not in (None, repeats):
            raise RunnerError(
                f"benchmark_bin on {self._device.label} gave the mean {compute['mean']} ms of {compute['count']} runs; "
                f"expected one of {repeats}"
            )
        return sections

    def _say_what_ran(self, work: Work, version: str | None) -> None:
        self._made["backend"] |= {"actual": f"Paddle Lite light predictor ({work.target})", "version": version}
        if version is not None:
            self._made["toolchain"]["packages"] = {"paddle_lite": version}

    def _judge(self, why: list[str]) -> None:
        thermal = self._made["thermal"]
        if any(state and state["throttled"] for state in (thermal["before"], *thermal["during"], thermal["after"])):
            why.append("throttled: the device slowed itself down because of heat or its supply; let it cool down")
        record.judge(self._made, why)
