"""The programs that run on a device: which ones go there, what they print, benchmark_bin, and our own."""

from __future__ import annotations

import json
import platform
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.benchmark.devices import DeviceError
from paddle_mobileseg.benchmark.devices.remote_runner import find_programs, parse_runner_line, timing_sections
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol, protocol
from paddle_mobileseg.runtime.bundle import GOLDEN
from tests.benchmark.devices.boards import BENCHMARK_BIN, QUICK, Board, measure, write_bundle
from tests.benchmark.devices.test_base import elf
from tests.deploy.cpp_build import x86_programs
from tests.deploy.test_lite_cpp import arm_program


@pytest.mark.parametrize("proved", [True, False])
def test_benchmark_bin(linux: Board, tmp_path: Path, proved: bool) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    runner = linux.runner(bundle)
    if not proved:
        runner.unlink()
    program = runner.with_name("benchmark_bin")
    note = tmp_path / "note"
    program.write_text(BENCHMARK_BIN.replace("NOTE", str(note)))
    program.chmod(0o755)

    (made,) = measure(linux, [Plan(bundle, "lite-arm")], program)

    assert made["status"] == ("ok" if proved else "invalid")
    assert made["timing"]["network"] is None  # it times Run() alone
    assert made["timing"]["stages"]["compute"]["mean"] == 4.567
    assert made["timing"]["first"] == {"load": 12.345, "network": 9.87}
    assert made["memory"]["peak_resident_bytes"] is None
    assert (made["parity"] is not None) == proved
    assert proved or "labels not proved on the device" in made["validity"]["reasons"][0]
    said = note.read_text().split()
    assert "--input_shape=1,3,8,10" in said
    assert {"--warmup=2", "--repeats=12", "--threads=1", "--power_mode=3", "--backend=arm"} <= set(said)
    assert not [word for word in said if "memory" in word]  # which a thread would read beside the timed runs
    with np.load(bundle / GOLDEN) as golden:
        np.testing.assert_array_equal(np.loadtxt(f"{note}.in", np.float32), golden["input_0"].ravel())


@pytest.mark.parametrize(
    ("old", "new", "rules", "words"),
    [
        ("repeats: $repeats", "repeats: 5", QUICK, "gave the mean 4.567 ms of 5 runs; expected one of 12"),
        ("avg   = 4.567", "avg   = 0.000", QUICK, "gave the mean None ms of 12 runs"),
        ("avg   = 4.567", "avg   = nan", QUICK, "a time is nan ms"),
        ("", "", protocol("quick", min_runs=4), "too short: 4 timed runs; at least 10 are needed"),
    ],
)
def test_benchmark_bin_that_makes_no_sense(
    linux: Board, tmp_path: Path, old: str, new: str, rules: Protocol, words: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    program = linux.runner(bundle).with_name("benchmark_bin")
    program.write_text(
        BENCHMARK_BIN.replace("NOTE", "/dev/null").replace("/dev/null.in", "/dev/null").replace(old, new)
    )
    program.chmod(0o755)
    (made,) = measure(linux, [Plan(bundle, "lite-arm")], program, rules)
    assert made["status"] == ("invalid" if not old else "failed")
    assert words in " ".join(made["validity"]["reasons"]) + (made["error"] or {"message": ""})["message"]


def test_benchmark_bin_runs_until_the_seconds_are_reached(linux: Board, tmp_path: Path) -> None:
    """The proof's runs were slower than those that count: it counts runs, so more of them are asked for."""
    bundle = write_bundle(tmp_path / "bundle")
    program = linux.runner(bundle, ms=30.0).with_name("benchmark_bin")
    note = tmp_path / "note"
    program.write_text(BENCHMARK_BIN.replace("NOTE", str(note)))
    program.chmod(0o755)
    (made,) = measure(linux, [Plan(bundle, "lite-arm")], program, protocol("trtexec", min_s=0.5))
    assert made["status"] == "ok"
    compute = made["timing"]["stages"]["compute"]
    assert compute["count"] * compute["mean"] >= 500
    assert f"--repeats={compute['count']}" in note.read_text().split()


def test_which_programs_go_to_the_device(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --runner FILE"):
        find_programs(None)
    with pytest.raises(FileNotFoundError, match="does not exist; build deploy/lite/cpp"):
        find_programs(tmp_path / "none")
    with pytest.raises(ValueError, match="without mobileseg_lite_run or benchmark_bin"):
        find_programs(tmp_path)
    for name in ("benchmark_bin_v8", "libpaddle_light_api_shared.so", "libc++_shared.so", "notes.txt"):
        (tmp_path / name).write_text("x")
    alone = find_programs(tmp_path)
    assert (alone.timed.name, alone.prover) == ("benchmark_bin_v8", None)
    (tmp_path / "mobileseg_lite_run").write_text("x")
    both = find_programs(tmp_path)
    assert both.timed == both.prover == tmp_path / "mobileseg_lite_run"
    proved = find_programs(tmp_path / "benchmark_bin_v8")
    assert (proved.timed.name, proved.prover) == ("benchmark_bin_v8", tmp_path / "mobileseg_lite_run")
    assert sorted(path.name for path in proved.files) == sorted(
        ["benchmark_bin_v8", "mobileseg_lite_run", "libpaddle_light_api_shared.so", "libc++_shared.so"]
    )


def test_a_line_that_tells_all() -> None:
    line = {
        "shape": [1, 2],
        "dtype": "int32",
        "runtime": "v2.13-rc",
        "times_ms": [3.0, 2.0],
        "load_ms": 40.0,
        "first_ms": 9.0,
    }
    line |= {"upload_ms": [0.5, 0.25], "compute_ms": [2.0, 1.5], "download_ms": [0.25, 0], "peak_rss_bytes": 5000}
    said = parse_runner_line("a warning\n" + json.dumps(line) + "\n")
    assert said == line | {"runtime": "2.13-rc", "download_ms": None, "before_load_bytes": None, "settings": {}}
    told = {"model": "m.nb", "input_shape": [1, 3, 4, 4], "threads": 2, "power_mode": "high", "warmup": 0}
    assert parse_runner_line(json.dumps(line | told))["settings"] == told
    odd = {"model": "", "input_shape": [1, 0], "threads": 0, "power_mode": ["high"], "warmup": -1}
    assert parse_runner_line(json.dumps(line | odd))["settings"] == {}
    other = said | {"times_ms": [4.0], "upload_ms": [0.5], "compute_ms": [3.0], "peak_rss_bytes": 4000}
    sections = timing_sections([said, other])
    assert sections["turns"] == [0, 0, 1]
    assert sections["timing"]["first"] == {"load": 40.0, "network": 9.0}
    assert sections["timing"]["network"]["raw"] == [3.0, 2.0, 4.0]
    assert sections["timing"]["stages"]["compute"]["raw"] == [2.0, 1.5, 3.0]
    assert sections["timing"]["stages"]["host_to_device"]["mean"] == pytest.approx(1.25 / 3)
    assert sections["timing"]["stages"]["device_to_host"] is None
    assert sections["memory"]["peak_resident_bytes"] == 5000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times_ms": [1.0, 0.0]}, "the time 0.0 ms"),
        ({"times_ms": [float("inf")]}, "the time inf ms"),
        ({"times_ms": ["1"]}, "the time '1' ms"),
        ({"times_ms": [True]}, "the time True ms"),
        ({"times_ms": [1.0, -2.0]}, "the time -2.0 ms"),
        ({"times_ms": [10**400]}, "the time 1000000000000000000000"),
        ({"times_ms": [1e-9]}, "the time 1e-09 ms"),
        ({"times_ms": []}, "expected a line such as"),
        ({"times_ms": [1.0], "compute_ms": [1.0, 1.0]}, "compute_ms of another length"),
        ({"dtype": "float16"}, "expected a line such as"),
        ({"shape": [0]}, "expected a line such as"),
        ({"shape": [True]}, "expected a line such as"),
    ],
)
def test_lines_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    line = {"shape": [1], "dtype": "int32", "times_ms": [1.0]} | changes
    with pytest.raises(ValueError, match=message):
        parse_runner_line(json.dumps(line))


@pytest.mark.parametrize("processor", ["x86", "aarch64"])
def test_our_program(linux: Board, tmp_path: Path, processor: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """``deploy/lite/cpp`` itself, with the stand-in for Paddle Lite beside it; for ARM in an emulator."""
    folder = tmp_path / "runner"
    folder.mkdir()
    if processor == "x86":
        built = x86_programs(tmp_path_factory)
        shutil.copy(built / "lite" / "mobileseg_lite_run", folder)
        shutil.copy(next(built.parent.glob("fake/cxx/lib/*.so")), folder)
    else:
        (folder / "mobileseg_lite_run").write_text(
            f'#!/bin/sh\nexec {shlex.join(arm_program(tmp_path_factory))} "$@"\n'
        )
    bundle = write_bundle(tmp_path / "bundle", "lite" if processor == "x86" else "lite-arm")

    (made,) = measure(linux, [Plan(bundle, "lite" if processor == "x86" else "lite-arm")], folder)

    assert (made["status"], made["error"]) == ("ok", None)
    assert made["timing"]["first"]["load"] > 0
    assert made["timing"]["first"]["network"] > 0
    stages = [made["timing"]["stages"][name] for name in ("host_to_device", "compute", "device_to_host")]
    for whole, *parts in zip(made["timing"]["network"]["raw"], *(stage["raw"] for stage in stages), strict=True):
        assert 0 < sum(parts) <= whole
    assert made["memory"]["peak_resident_bytes"] > made["memory"]["before_load_bytes"] > 2**20
    assert (made["backend"]["version"], made["toolchain"]["packages"]) == ("2.13-rc", {"paddle_lite": "2.13-rc"})


def test_a_runner_for_another_processor(linux: Board, tmp_path: Path) -> None:
    here, other, backend = (183, 62, "lite") if platform.machine() == "aarch64" else (62, 183, "lite-arm")
    bundle = write_bundle(tmp_path / "bundle", backend)
    runner = linux.runner(bundle)
    (made,) = measure(linux, [Plan(bundle, backend)], elf(runner, here))
    assert re.match(r"the runner is built for \S+, but .*model\.nb is for", made["error"]["message"])
    with pytest.raises(DeviceError, match=r"is built for \S+, but .* runs"):
        measure(linux, [Plan(bundle, backend)], elf(runner, other))
