"""The process in which one plan is measured: its memory is its own, and its crash is a failure record of its own.

    python -m paddle_mobileseg.benchmark.worker

Requests are lines of JSON on stdin, answers on what was stdout when it started; what native libraries print goes to
stderr. ``{"do": "open", "plan", "protocol"}`` loads, checks the golden inputs and warms up; ``{"do": "turn",
"pause_s"}`` makes one turn of timed runs; ``{"do": "finish"}`` gives all times; ``{"do": "outputs", "folder"}`` writes
the labels of the golden inputs. Each is answered by ``{"ok": ...}``, or by ``{"error": {"kind", "stage", "message"}}``
after which the process ends; before, ``{"stage": NAME}`` says what is being done. The end of stdin ends it, and so does
the end of its parent.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg.benchmark import state
from paddle_mobileseg.benchmark.pipeline import Parity, SessionPipeline, check_parity, load_frames
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.benchmark.samples import golden_images
from paddle_mobileseg.benchmark.timing import Meter
from paddle_mobileseg.benchmark.validity import reasons, tick
from paddle_mobileseg.runtime.bundle import GOLDEN, load_bundle
from paddle_mobileseg.runtime.session import Session, backend_class, output_labels

Enter = Callable[[str], None]

_PR_SET_PDEATHSIG = 1
_EACH_RUN = ("lite-arm",)  # backends that start a process for each run, perhaps on another machine
# Kinds of errors that a user can do something about; others go by the exception's name.
_KINDS: dict[type[BaseException], str] = {
    ImportError: "missing_backend",
    FileNotFoundError: "missing_file",
    TimeoutError: "timeout",
    ChildProcessError: "crash",
    MemoryError: "out_of_memory",
    ValueError: "bad_input",
}


class Worker:
    """One plan, measured step by step.

    Args:
        plan: what.
        rules: how.
        enter: is told the name of each stage when it begins.
    """

    def __init__(self, plan: Plan, rules: Protocol, enter: Enter) -> None:
        self._plan, self._rules, self._enter = plan, rules, enter
        self._ticks = state.Jiffies(0, 0)  # during the turns
        self._waiting = state.Waiting(0, 0)  # during those that count
        self._parity: Parity | None = None

    def open(self) -> dict[str, Any]:
        """Load, first run, parity, expected outputs, warm-up.

        Returns:
            ``first`` (the record's, milliseconds), ``actual``, ``version``, ``before_load_bytes``, ``parity``,
            ``input`` (the record's section), ``input_shape``.
        """
        plan = self._plan
        self._enter("start")
        _use_cores(plan.affinity)
        if plan.power_mode is not None:
            raise ValueError(f"power_mode is {plan.power_mode!r}; it is for devices, this machine has none to set")
        cv2.setNumThreads(plan.threads)
        bundle = load_bundle(plan.bundle)
        self._enter("images")
        frames = load_frames(plan, bundle, self._rules.min_runs)
        self._enter("load")
        before = self._load()
        session, runner = self._session, self._session.runner
        self._enter("first run")
        self._meter = Meter(SessionPipeline(session, frames.images[0]), frames.images, self._rules)
        onednn = getattr(runner, "onednn", None)
        first_ms = self._first_run()
        self._peak = self._memory().peak
        self._enter("parity")
        self._parity = check_parity(session)
        self._enter("expected outputs")
        self._meter.learn(bundle.about["num_classes"])
        if getattr(runner, "onednn", None) != onednn or self._pid is None:
            first_ms = None  # that of a network which was given up; or each run has a warm-up of its own
        gc.collect()
        if self._pid is not None:
            state.forget_peak(self._pid)
        self._enter("warm-up")
        self._meter.warm_up()
        return {
            "first": {"load": session.load_s * 1000, "network": first_ms},
            "actual": runner.describe() if hasattr(runner, "describe") else None,
            "version": getattr(runner, "version", None),
            "before_load_bytes": before if self._pid == os.getpid() else None,
            "parity": None if self._parity is None else self._parity.section,
            "input": {
                "kind": frames.kind,
                "count": len(frames.images),
                "classes_present": None if 0 in self._meter.classes_present else self._meter.classes_present,
                "frame_hw": frames.size_hw,
            },
            "input_shape": self._meter.input_shape,
        }

    def _load(self) -> int | None:
        """Load the network; resident bytes of this process before."""
        plan = self._plan
        backend_class(plan.backend)  # imports are not loading
        gc.collect()
        state.forget_peak()
        before = state.memory().now
        options = plan.options
        if plan.backend in _EACH_RUN:
            options = {"warmup": 1, **options}
        self._session = Session(plan.bundle, plan.backend, plan.threads, **options)
        # The process that has the network, and whose memory counts.
        self._pid: int | None = getattr(self._session.runner, "pid", os.getpid())
        if plan.backend in _EACH_RUN:
            self._pid = None
        return before

    def _memory(self) -> state.Memory:
        return state.Memory(None, None) if self._pid is None else state.memory(self._pid)

    def _waited(self) -> state.Waiting | None:
        return None if self._pid is None else state.waiting(self._pid)

    def _first_run(self) -> float | None:
        """Milliseconds. What fails stage by stage may work as a whole (Paddle, without oneDNN), which is seen later."""
        try:
            return self._meter.first_run()
        except (RuntimeError, ValueError) as error:
            if not getattr(self._session.runner, "onednn", False):
                raise
            print(f"first run: {error}", file=sys.stderr)
            return None

    def turn(self, pause_s: float) -> dict[str, Any]:
        """One turn of timed runs; how much there is now."""
        self._enter("timing")
        runs = self._meter.runs
        count, waiting = len(runs.network), self._waited()
        before = state.jiffies()
        self._meter.turn(pause_s)
        after = state.jiffies()
        if len(runs.network) > count and waiting is not None and (now := self._waited()) is not None:
            self._waiting = state.Waiting(*(a - b + c for a, b, c in zip(now, waiting, self._waiting, strict=True)))
        if before is not None and after is not None:
            passed = (now - then + sofar for now, then, sofar in zip(after, before, self._ticks, strict=True))
            self._ticks = state.Jiffies(*passed)
        return {"done": self._meter.done, "runs": len(runs.network), "seconds": runs.seconds}

    def finish(self) -> dict[str, Any]:
        """``network``, ``frame``, ``stages`` (nanoseconds), ``turns``, ``reasons``, ``peak_resident_bytes``."""
        self._enter("finish")
        runs = self._meter.runs
        peaks = [self._peak, self._memory().peak]
        steal = state.steal_share(state.Jiffies(0, 0), self._ticks)
        busy = sum(self._waiting)
        waited = self._waiting.waited / busy if busy > 0 else None
        return {
            "network": runs.network,
            "frame": runs.frame,
            "stages": runs.stages,
            "turns": runs.turns,
            "reasons": [*self._parity_reasons(), *reasons(runs, self._rules, steal, tick(), waited)],
            "peak_resident_bytes": max((peak for peak in peaks if peak is not None), default=None),
        }

    def _parity_reasons(self) -> list[str]:
        found = []
        if self._parity is not None and self._parity.late:
            found.append("output late: golden outputs were complete only some time after the backend had returned them")
        if self._parity is not None and not self._parity.section["passed"]:
            section = self._parity.section
            found.append(
                f"wrong labels: {section['label_agreement']:.4%} of the golden outputs' labels are the trained "
                f"network's; needed are {section['tolerance']:.4%}"
            )
        return found

    def outputs(self, folder: Path) -> dict[str, Any]:
        """Write ``image_<i>.npy`` (uint8 RGB [h, w, 3]) and ``labels_<i>.npy`` (int32 [h, w]) of the golden inputs."""
        self._enter("outputs")
        bundle = self._session.bundle
        if GOLDEN not in bundle.about["files"]:
            return {"count": 0}
        for number, ((x, _), image) in enumerate(zip(bundle.golden(), golden_images(bundle), strict=True)):
            labels = output_labels(np.asarray(self._session.run_tensor(x)))[0]
            np.save(folder / f"image_{number}.npy", image)
            np.save(folder / f"labels_{number}.npy", labels)
        return {"count": number + 1}

    def close(self) -> None:
        """Give back what the session holds."""
        if session := getattr(self, "_session", None):
            session.close()


def _use_cores(affinity: tuple[int, ...] | None) -> None:
    if affinity is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("this system cannot bind a process to cores; leave out the affinity")
    allowed = os.sched_getaffinity(0)
    if not affinity or not set(affinity) <= allowed:
        raise ValueError(f"affinity is {list(affinity)}; expected some of the cores {sorted(allowed)}")
    os.sched_setaffinity(0, affinity)


def kind_of(error: BaseException) -> str:
    """What a record calls an error."""
    return next((name for kind, name in _KINDS.items() if isinstance(error, kind)), type(error).__name__)


def encode(plan: Plan, rules: Protocol) -> dict[str, Any]:
    """The request ``open``.

    Raises:
        ValueError: options that JSON does not have.
    """
    paths = {"bundle": str(plan.bundle), "images": None if plan.images is None else str(plan.images)}
    request = {"do": "open", "plan": asdict(plan) | paths, "protocol": asdict(rules)}
    try:
        json.dumps(request)
    except TypeError as error:
        raise ValueError(f"options of the backend must be texts, numbers or lists: {plan.options} ({error})") from error
    return request


def decode(request: dict[str, Any]) -> tuple[Plan, Protocol]:
    """The plan and the protocol of a request ``open``."""
    given = {field.name: request["plan"][field.name] for field in fields(Plan)}
    for name in ("affinity", "frame_hw"):
        given[name] = None if given[name] is None else tuple(given[name])
    given["bundle"] = Path(given["bundle"])
    given["images"] = None if given["images"] is None else Path(given["images"])
    return Plan(**given), Protocol(**request["protocol"])


def serve(lines: Any, say: Callable[[dict[str, Any]], None], make: Callable[..., Worker] = Worker) -> None:
    """Answer requests until they end, or until an error.

    Args:
        lines: of JSON.
        say: gets each answer.
        make: gives the worker for a plan, a protocol, and what is told the stage.
    """
    stage = "start"
    worker: Worker | None = None

    def enter(name: str) -> None:
        nonlocal stage
        stage = name
        say({"stage": name})

    for line in lines:
        request = json.loads(line)
        try:
            if request["do"] == "open":
                worker = make(*decode(request), enter)
                answer = worker.open()
            else:
                assert worker is not None
                answer = _do(worker, request)
        except Exception as error:
            text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
            message = text or f"{type(error).__name__} without a word"
            say({"error": {"kind": kind_of(error), "stage": stage, "message": message}})
            break
        say({"ok": answer})
    if worker is not None:
        worker.close()


def _do(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "turn":
        return worker.turn(request["pause_s"])
    if request["do"] == "outputs":
        return worker.outputs(Path(request["folder"]))
    return worker.finish()


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends, also in the middle of a run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)


def main(make: Callable[..., Worker] = Worker) -> None:
    """Serve on stdin and stdout; the first argument is the parent's process id."""
    die_with_parent(int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    start = time.perf_counter()

    def say(message: dict[str, Any]) -> None:
        message["at_s"] = round(time.perf_counter() - start, 3)
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    serve(sys.stdin, say, make)


if __name__ == "__main__":
    main()
