"""The measuring loop: what is timed, in which order, and whether the output was there when the clock stopped.

One timed run takes a camera frame through all stages in sequence::

    frame -> preprocess -> [host_to_device -> compute -> device_to_host] -> (look) -> postprocess -> labels
                           `------------- network ----------------'

``network`` is the wall clock from the tensor in host memory to the complete output in host memory, in an array that
the caller owns. ``frame`` is all of it, less the look: right after the network's clock stops a sample of the output is
copied, which is compared with the output known for that input. A backend that returns before its work is done is found
out by that, for what it gave is marked over after each run, so that an old result is not taken for a new one.

A backend with :meth:`upload`, :meth:`compute` and :meth:`download` has its stages timed one by one; one that computes
in another process gives its own times in ``stages_ms``. Of one that only has :meth:`run`, compute is the whole run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from paddle_mobileseg.benchmark.protocol import Protocol as Rules
from paddle_mobileseg.runtime.session import output_labels

STAGES = ("preprocess", "host_to_device", "compute", "device_to_host", "postprocess")

_SAMPLES = 4096  # of an output that are looked at: some 20 microseconds
_MOST_UNEQUAL = 0.001  # of labels: threads add in any order, which moves a pixel between two classes now and then
_MOST_DIFFERENCE = 1e-3  # of floats, as a share of the largest
_WAIT_S = 0.1  # before an output is learnt: far more than a clock that stopped too early hides
_LATE_S = 1.0  # how long a missing output is waited for, to tell late from wrong
_MOST_THROWN = 10  # turns

Clock = Callable[[], int]


class Pipeline(Protocol):
    """What is measured.

    Attributes:
        backend: has ``run(x)``; perhaps ``upload(x)``, ``compute()`` and ``download()``; perhaps ``stages_ms``.
        cpu_clock: nanoseconds of processor time of what computes; ``None`` where it is not known, or idle by nature.
    """

    backend: Any
    cpu_clock: Clock | None

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, Any]:
        """uint8 ``[H, W, 3]`` to the network's tensor, and what :meth:`finish` needs to know."""
        ...

    def finish(self, output: np.ndarray, info: Any) -> np.ndarray:
        """The network's output to int32 labels ``[H, W]`` of the image's size."""
        ...


@dataclass
class Runs:
    """Timed runs, in order.

    Attributes:
        network, frame: nanoseconds.
        stages: nanoseconds by stage; ``None`` where the backend does not tell it apart.
        cpu: nanoseconds of processor time within ``network``; empty where unknown.
        turns: number of each run's turn, from 0; a number that is missing is a turn that was thrown away.
        inputs: number of each run's frame.
        problems: what was wrong with outputs, in words.
    """

    network: list[int] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    stages: dict[str, list[int | None]] = field(default_factory=lambda: {name: [] for name in STAGES})
    cpu: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Within the network."""
        return sum(self.network) / 1e9

    @property
    def cpu_share(self) -> float | None:
        """Processor time as a share of the network's wall time; ``None`` where unknown."""
        return sum(self.cpu) / sum(self.network) if self.cpu and len(self.cpu) == len(self.network) else None

    def extend(self, other: Runs) -> None:
        """Put others behind these."""
        for name in ("network", "frame", "cpu", "turns", "inputs"):
            getattr(self, name).extend(getattr(other, name))
        for name, values in other.stages.items():
            self.stages[name].extend(values)


@dataclass(frozen=True)
class _Run:
    network: int
    frame: int
    stages: dict[str, int | None]
    cpu: int | None
    given: np.ndarray  # by the backend
    seen: np.ndarray  # sample of the output as it was when the clock stopped


class Meter:
    """Measures one pipeline.

    A turn in which the process was kept from the processor (``min_cpu_share``) is thrown away and made again, at most
    ``10 + 2 * (turns that count)`` times. Whether it is, depends on processor time alone and not on how long runs took.

    Args:
        pipeline: loaded, not yet run.
        frames: ``[H, W, 3]`` uint8 RGB, at least one; used in turn.
        rules: the protocol.
        clock: nanoseconds of wall time that never go back.
        sleep: takes seconds.

    Attributes:
        runs: the timed ones.
        copies: whether the backend gives memory that its next run overwrites, of which the caller has to take a copy
            within the clock; after :meth:`learn`.
        classes_present: number of classes in the output for each frame, after :meth:`learn`.
        input_shape: of the network's tensor, after :meth:`learn`.

    Raises:
        ValueError: no frames, or frames of which the pipeline makes tensors of several shapes (in :meth:`learn`).
    """

    def __init__(
        self,
        pipeline: Pipeline,
        frames: Sequence[np.ndarray],
        rules: Rules,
        clock: Clock = time.perf_counter_ns,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not frames:
            raise ValueError("there is no input to measure with; give at least one image")
        self._pipeline, self._frames, self._rules = pipeline, list(frames), rules
        self._clock, self._sleep = clock, sleep
        self._expected: list[np.ndarray] = []
        self._calls = 0  # of run(), which say whose turn a frame is
        self._turn = self._thrown = 0
        self.copies = False
        self.runs = Runs()
        self.classes_present: list[int] = []
        self.input_shape: list[int] = []

    def first_run(self) -> float:
        """Milliseconds of the network's first run, which may compile, allocate and read."""
        return self._run(0).network / 1e6

    def learn(self, num_classes: int | None = None) -> None:
        """Find the output for each frame, twice, waiting for it each time.

        Args:
            num_classes: of the network; labels of others are a problem.

        Raises:
            ValueError: tensors have several shapes.
        """
        kept: tuple[np.ndarray, np.ndarray] | None = None
        for number, frame in enumerate(self._frames):
            x, _ = self._pipeline.prepare(frame)
            self._check_shape(x)
            seen = []
            for _ in range(2):
                output = np.asarray(self._pipeline.backend.run(x))
                self._sleep(_WAIT_S)
                if kept is not None and not _same(sample(kept[0]), kept[1]):
                    self.copies = True
                seen.append(sample(output))
                labels = np.unique(output_labels(output))
                mark(output)
                kept = (output, sample(output))  # which the next run is to leave alone
            if not _equal(*seen):
                self.runs.problems.append(f"output unstable: input {number} gave two different results")
            if num_classes is not None and (labels[0] < 0 or labels[-1] >= num_classes):
                self.runs.problems.append(
                    f"output wrong: labels for input {number} go from {labels[0]} to {labels[-1]}; expected 0 to "
                    f"{num_classes - 1}"
                )
                labels = labels[(labels >= 0) & (labels < num_classes)]
            self._expected.append(seen[-1])
            self.classes_present.append(int(labels.size))

    def warm_up(self) -> None:
        """The protocol's warm-up."""
        self._sleep(self._rules.cooldown_s)
        runs, spent = 0, 0
        while runs < self._rules.warmup_runs or spent < self._rules.warmup_s * 1e9:
            spent += self._run(self._next()).network
            runs += 1

    def turn(self, pause_s: float) -> None:
        """Timed runs until the turn, or the measurement, is long enough; nothing once it is done.

        Args:
            pause_s: idle time before, and then an untimed run; 0: neither.
        """
        if self.done:
            return
        if pause_s > 0:
            self._sleep(pause_s)
            self._run(self._calls % len(self._frames))
        rules, runs, spent = self._rules, Runs(), 0.0
        count, seconds = len(self.runs.network), self.runs.seconds
        while not rules.done(count + len(runs.network), seconds + spent) and (
            len(runs.network) < rules.turn_runs or spent < rules.turn_s
        ):
            number = self._next()
            self._keep(self._run(number), number, runs)
            spent += runs.network[-1] / 1e9
        share, kept = runs.cpu_share, self._turn - self._thrown
        if share is not None and share < rules.min_cpu_share and self._thrown < _MOST_THROWN + 2 * kept:
            self._thrown += 1
            self._sleep(rules.pause_s)  # other work may be done by then
        else:
            self.runs.extend(runs)
        self._turn += 1

    @property
    def done(self) -> bool:
        """Whether the protocol's runs and seconds are reached."""
        return self._rules.done(len(self.runs.network), self.runs.seconds)

    def _next(self) -> int:
        number = self._calls % len(self._frames)
        self._calls += 1
        return number

    def _run(self, number: int) -> _Run:
        run = time_run(self._pipeline, self._frames[number], self._clock, self.copies)
        if self._expected:
            self._judge(run, number)
            mark(run.given)
        return run

    def _keep(self, run: _Run, number: int, runs: Runs) -> None:
        runs.network.append(run.network)
        runs.frame.append(run.frame)
        for name, value in run.stages.items():
            runs.stages[name].append(value)
        if run.cpu is not None:
            runs.cpu.append(run.cpu)
        runs.turns.append(self._turn)
        runs.inputs.append(number)

    def _judge(self, run: _Run, number: int) -> None:
        expected = self._expected[number]
        if _equal(run.seen, expected):
            return
        if any(each.startswith(("output late", "output unequal")) for each in self.runs.problems):
            return  # one is enough, and waiting takes time
        waited = 0.0
        while waited < _LATE_S:
            self._sleep(0.01)
            waited += 0.01
            if _equal(sample(run.given), expected):
                self.runs.problems.append(
                    f"output late: for input {number} it was not complete when the backend had returned it; "
                    f"it was some {waited * 1000:.0f} ms later"
                )
                return
        self.runs.problems.append(
            f"output unequal: for input {number} a run gave other values than the runs before the measurement"
        )

    def _check_shape(self, x: np.ndarray) -> None:
        shape = list(x.shape)
        if self.input_shape and shape != self.input_shape:
            raise ValueError(
                f"the images give inputs of {self.input_shape} and {shape}: one number would mean nothing; "
                "measure with images of one size, or give a frame size"
            )
        self.input_shape = shape


def time_run(pipeline: Pipeline, frame: np.ndarray, clock: Clock, copy: bool = False) -> _Run:
    """One run through all stages; see the module's text.

    Args:
        copy: copy the output within the network's time.
    """
    backend, cpu_clock = pipeline.backend, pipeline.cpu_clock
    staged = hasattr(backend, "upload")
    start = clock()
    x, info = pipeline.prepare(frame)
    prepared = clock()
    cpu = None if cpu_clock is None else cpu_clock()
    begun = clock()
    if staged:
        backend.upload(x)
        uploaded = clock()
        backend.compute()
        computed = clock()
        given = backend.download()
    else:
        given = backend.run(x)
    given = np.asarray(given)  # what is lazy computes here
    output = given.copy() if copy else given
    ended = clock()
    seen = sample(output)
    if cpu_clock is not None and cpu is not None:
        cpu = cpu_clock() - cpu
    resumed = clock()
    pipeline.finish(output, info)
    finished = clock()
    stages: dict[str, int | None] = dict.fromkeys(STAGES)
    stages["preprocess"], stages["postprocess"] = prepared - start, finished - resumed
    if staged:
        stages["host_to_device"], stages["compute"] = uploaded - begun, computed - uploaded
        stages["device_to_host"] = ended - computed
    else:
        stages["compute"] = ended - begun
    network = _own_times(backend, stages, ended - begun)
    return _Run(network, prepared - start + network + finished - resumed, stages, cpu, given, seen)


def _own_times(backend: Any, stages: dict[str, int | None], network: int) -> int:
    """Put in the times that a backend which computes elsewhere gives itself; the network's time."""
    own: dict[str, float] | None = getattr(backend, "stages_ms", None)
    if own is None:
        return network
    for name in ("host_to_device", "compute", "device_to_host"):
        stages[name] = round(own[name] * 1e6) if name in own else None
    return round(own["network"] * 1e6) if "network" in own else network


def sample(output: np.ndarray) -> np.ndarray:
    """A copy of at most some 4096 values spread over an array, the last one among them."""
    return np.append(output.reshape(-1)[:: _step(output)], output.reshape(-1)[-1:])


def mark(output: np.ndarray) -> None:
    """Overwrite what :func:`sample` looks at with values that no network gives, where the memory may be written."""
    if not output.flags.writeable or not output.flags.c_contiguous:
        return
    value = np.nan if output.dtype.kind == "f" else np.iinfo(output.dtype).max
    flat = output.reshape(-1)
    flat[:: _step(output)] = value
    flat[-1:] = value


def _step(output: np.ndarray) -> int:
    return max(1, output.size // _SAMPLES) | 1  # odd: goes through all columns of a width that is even


def _same(found: np.ndarray, before: np.ndarray) -> bool:
    return np.array_equal(found, before, equal_nan=before.dtype.kind == "f")


def _equal(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for what the order of additions changes."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if found.dtype.kind != "f":
        return bool((found != expected).mean() <= _MOST_UNEQUAL)
    scale = float(np.abs(expected).max()) or 1.0
    return bool(np.abs(found - expected).max() <= _MOST_DIFFERENCE * scale)  # False with NaN
