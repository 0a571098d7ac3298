"""The programs that run a ``.nb`` file on a device: their command lines, and what they print.

``mobileseg_lite_run`` of ``deploy/lite/cpp`` reads a raw tensor, writes the output and prints one line of JSON, so that
its labels can be checked. ``benchmark_bin`` of Paddle Lite gives statistics only, and no output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark.record import summarize
from paddle_mobileseg.files import sha256

OURS, THEIRS = "mobileseg_lite_run", "benchmark_bin"
POWER_MODES = ("high", "low", "full", "no_bind", "rand_high", "rand_low")  # as Paddle Lite counts them
USUAL_POWER_MODE = "no_bind"

_DTYPES = ("float32", "int32", "int64", "uint8")
_LEAST_MS, _MOST_MS = 1e-6, 1e9  # a nanosecond, the step in which clocks count; eleven days
_NUMBERS = ("load_ms", "first_ms")
_LISTS = ("upload_ms", "compute_ms", "download_ms")
_COUNTS = ("before_load_bytes", "peak_rss_bytes")


@dataclass(frozen=True)
class Programs:
    """What is copied to a device to run networks there.

    Attributes:
        timed: the program that is measured.
        prover: the one that gives outputs, to check labels with; ``None`` where there is none.
        libraries: shared libraries that lie beside it.
    """

    timed: Path
    prover: Path | None
    libraries: tuple[Path, ...]

    @property
    def files(self) -> list[Path]:
        """All, each once."""
        return list(dict.fromkeys([self.timed, *([self.prover] if self.prover else []), *self.libraries]))

    def on(self, device: str | None) -> str:
        """What tells measurements apart whose bundle and protocol are the same: the device's fingerprint, and these
        files."""
        return " ".join([str(device), *(sha256(path) for path in self.files)])


def find_programs(runner: Path | None) -> Programs:
    """The programs behind ``--runner``.

    Args:
        runner: ``mobileseg_lite_run`` or another program with its arguments, a ``benchmark_bin``, or a folder with
            one of these. Shared libraries (``*.so``, ``*.so.*``) in its folder go with it; so does a
            ``mobileseg_lite_run`` beside a ``benchmark_bin``, which proves the labels.

    Raises:
        ValueError: none given, or a folder without any.
        FileNotFoundError: no such file.
    """
    if runner is None:
        raise ValueError(
            "a device needs a program that runs .nb files there: build deploy/lite/cpp for it (docs/learn/cpp.md) and "
            "give --runner FILE, or the folder with it and Paddle Lite's library"
        )
    runner = Path(runner)
    if not runner.exists():
        raise FileNotFoundError(f"--runner {runner} does not exist; build deploy/lite/cpp (docs/learn/cpp.md)")
    folder = runner if runner.is_dir() else runner.parent
    if runner.is_dir():
        found = [folder / OURS] if (folder / OURS).is_file() else sorted(folder.glob(f"*{THEIRS}*"))
        if not found:
            raise ValueError(f"--runner {runner} is a folder without {OURS} or {THEIRS}; give one that has it")
        runner = found[0]
    ours: Path | None = runner
    if THEIRS in runner.name:
        ours = folder / OURS if (folder / OURS).is_file() else None
    libraries = [path for path in sorted(folder.glob("*.so*")) if path.is_file()]
    return Programs(runner, ours, tuple(libraries))


def our_words(
    program: str, model: str, source: str, target: str, x_shape: Sequence[int], dtype: str, settings: Mapping[str, Any]
) -> list[str]:
    """The command of ``mobileseg_lite_run``.

    Args:
        program, model, source, target: paths on the device.
        x_shape, dtype: of the input.
        settings: ``threads``, ``warmup``, ``repeats``, ``power_mode``.
    """
    words = [program, "--model", model, "--input", source, "--shape", ",".join(map(str, x_shape)), "--dtype", dtype]
    words += ["--output", target]
    return words + [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def check_power_mode(mode: str) -> None:
    """ValueError for a power mode that Paddle Lite does not have."""
    if mode not in POWER_MODES:
        raise ValueError(f"--power_mode is {mode!r}; expected one of {', '.join(POWER_MODES)}")


def their_words(
    program: str, model: str, source: str, x_shape: Sequence[int], target: str, settings: Mapping[str, Any]
) -> list[str]:
    """The command of ``benchmark_bin`` (flags of Paddle Lite 2.10 and later: lite/api/tools/benchmark/utils/flags.cc).

    It is not asked for its memory, which it reads in a thread that works and prints beside the timed runs.

    Args:
        program, model, source: paths on the device; the source is text, numbers with blanks between.
        x_shape: of the input, which it takes as float32 always.
        target: processor that the file is for, ``arm`` or ``x86``.
        settings: as for :func:`our_words`.
    """
    numbered = {**settings, "power_mode": POWER_MODES.index(settings["power_mode"])}
    words = [program, f"--optimized_model_file={model}", f"--input_shape={','.join(map(str, x_shape))}"]
    words += [f"--input_data_path={source}", f"--backend={target}"]
    return words + [f"--{name}={value}" for name, value in numbered.items()]


def parse_runner_line(text: str) -> dict[str, Any]:
    """What ``mobileseg_lite_run`` said in the last line that it printed.

    Returns:
        ``shape`` (list of int), ``dtype`` and ``runtime`` (Paddle Lite's version or ``None``) of the output;
        ``times_ms`` (each timed run, from the input in memory to the output in memory); and, ``None`` where a runner
        does not tell: ``load_ms`` (reading the file, making the predictor), ``first_ms`` (the first run of the process,
        timed or not), ``upload_ms``, ``compute_ms``, ``download_ms`` (parts of each timed run), ``before_load_bytes``
        and ``peak_rss_bytes`` (resident memory of the process); and ``settings``, what it says that it was told:
        ``model`` (file name), ``input_shape``, ``threads``, ``power_mode``, ``warmup``, those that are there.

    Raises:
        ValueError: no such line; times that no clock gives (NaN, negative, below a nanosecond); lists of different
            lengths.
    """
    line = text.strip().rpartition("\n")[2]
    try:
        said = json.loads(line)
        shape, dtype, times = said["shape"], said["dtype"], said["times_ms"]
        if dtype not in _DTYPES or not shape or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError
        if not isinstance(times, list) or not times:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f'the runner printed {line[:200]!r}; expected a line such as {{"shape": [1, 256, 256], "dtype": "int32", '
            f'"times_ms": [12.3]}}, the type one of {", ".join(_DTYPES)}'
        ) from None
    if wrong := [each for each in times if not _is_time(each)]:
        raise ValueError(
            f"the runner printed the time {repr(wrong[0])[:40]} ms; expected numbers from {_LEAST_MS:g} to "
            f"{_MOST_MS:g}: its clock fails"
        )
    found = {"shape": shape, "dtype": dtype, "runtime": _text(said.get("runtime")), "times_ms": times}
    found |= {name: said[name] if _is_time(said.get(name)) else None for name in _NUMBERS}
    for name in _LISTS:
        parts = said.get(name)
        if parts is not None and (not isinstance(parts, list) or len(parts) != len(times)):
            raise ValueError(f"the runner printed {name} of another length than times_ms; expected one for each run")
        found[name] = parts if parts is not None and all(map(_is_time, parts)) else None
    found |= {name: said[name] if _is_count(said.get(name)) else None for name in _COUNTS}
    return found | {"settings": {name: said[name] for name, fits in _SETTINGS.items() if fits(said.get(name))}}


def check_claims(said: Mapping[str, Any], asked: Mapping[str, Any], wall_s: float) -> None:
    """See that a runner did what it was asked, as far as it tells.

    Args:
        said: of :func:`parse_runner_line`.
        asked: ``repeats``, and what ``said["settings"]`` may have.
        wall_s: seconds from its start to its end by the clock of this side.

    Raises:
        ValueError: another number of times, other settings, or times that are longer together than it ran.
    """
    times = said["times_ms"]
    if len(times) != asked["repeats"]:
        raise ValueError(f"the runner gave {len(times)} times; expected {asked['repeats']}")
    if sum(times) / 1000 > 1.1 * wall_s + 0.1:
        raise ValueError(
            f"the runner gave times of {sum(times) / 1000:.3g} s together, but ended after {wall_s:.3g} s: its clock "
            "or its unit (expected milliseconds) is wrong"
        )
    for name, value in said["settings"].items():
        if name in asked and asked[name] != value:
            raise ValueError(f"the runner ran with {name} {value}, but was told {asked[name]}")


def timing_sections(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The record's ``timing`` and ``memory``, and ``turns`` of its ``protocol``, of one or more processes.

    Args:
        lines: of :func:`parse_runner_line`, in the order in which the processes ran.
    """
    times = [time for line in lines for time in line["times_ms"]]
    stages: dict[str, Any] = {"preprocess": None, "postprocess": None}
    for stage, name in (("host_to_device", "upload_ms"), ("compute", "compute_ms"), ("device_to_host", "download_ms")):
        known = all(line[name] is not None for line in lines)
        stages[stage] = summarize([time for line in lines for time in line[name]]) if known else None
    load, first = lines[0]["load_ms"], lines[0]["first_ms"]
    fullest = max(lines, key=lambda line: line["peak_rss_bytes"] or 0)
    return {
        "timing": {
            "unit": "ms",
            "first": None if load is None and first is None else {"load": load, "network": first},
            "network": summarize(times),
            "frame": None,
            "stages": stages,
        },
        "memory": {
            "peak_resident_bytes": fullest["peak_rss_bytes"],
            "before_load_bytes": fullest["before_load_bytes"],
            "device_peak_bytes": None,
        },
        "turns": [number for number, line in enumerate(lines) for _ in line["times_ms"]],
    }


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and _LEAST_MS <= value <= _MOST_MS


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "model": lambda value: isinstance(value, str) and value != "",
    "input_shape": lambda value: isinstance(value, list) and len(value) > 0 and all(map(_is_count, value)),
    "threads": _is_count,
    "power_mode": lambda value: value in POWER_MODES,
    "warmup": lambda value: type(value) is int and value >= 0,
}


def _text(value: Any) -> str | None:
    return value.removeprefix("v") if isinstance(value, str) and value else None
