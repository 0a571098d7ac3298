"""Measuring on a device, over adb (a made-up phone) and over ssh (a server on this machine), with a stand-in runner."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.devices import DeviceError, remote, remote_job
from paddle_mobileseg.benchmark.devices.adb import AdbDevice
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import protocol
from paddle_mobileseg.runtime.bundle import GOLDEN
from tests.benchmark.devices import stand_in_runner
from tests.benchmark.devices.boards import BENCHMARK_BIN, LAX, Board, measure, write_bundle
from tests.benchmark.devices.fake_adb_server import Fault


def test_a_measurement(board: Board, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", inputs=2)

    (made,) = measure(
        board, [Plan(bundle, "lite-arm", 2, power_mode="high")], board.runner(bundle, ms=3.0, first_ms=20)
    )

    assert (made["status"], made["error"], made["validity"]) == ("ok", None, {"valid": True, "reasons": []})
    assert made["parity"] == {"inputs": 2, "label_agreement": 1.0, "tolerance": 0.999, "passed": True}
    assert made["device"]["kind"] == board.device.kind
    assert made["backend"] == {
        "requested": "lite-arm",
        "actual": "Paddle Lite light predictor (arm)",
        "version": "2.13-rc",
        "threads": 2,
        "affinity": None,
        "power_mode": "high",
        "options": {"runner": "mobileseg_lite_run"},
    }
    assert made["input"] == {"kind": "golden", "count": 2, "classes_present": [3, 3], "frame_hw": None}
    assert made["model"]["input_shape"] == [1, 3, 8, 10]
    assert made["timing"]["network"]["count"] == 12
    assert 3.0 <= made["timing"]["network"]["min"] <= made["timing"]["network"]["median"] < 50
    assert made["protocol"]["turns"] == [0] * 6 + [1] * 6
    assert (made["protocol"]["warmup_runs"], made["protocol"]["min_runs"]) == (2, 12)
    assert made["timing"]["first"] is None  # the stand-in does not tell: unknown, not zero
    assert made["memory"]["peak_resident_bytes"] is None
    before, after = made["thermal"]["before"], made["thermal"]["after"]
    assert 0 <= before["at_s"] < after["at_s"]
    assert made["command"] == f"mobileseg benchmark --device {'adb' if board.adb is not None else 'ssh:HOST'}"
    if isinstance(board.device, AdbDevice):
        assert str(board.device.serial) not in json.dumps(made)
    assert len(made["key"]) == 16
    record.write(tmp_path / "records", made)


def test_what_a_device_has_already_is_not_copied_again(board: Board, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    copied = tmp_path / "copied"
    copied.touch()
    if board.sshd is not None:
        board.sshd.command("cat", f'[ $# = 0 ] && echo push >> {copied}; exec {shutil.which("cat")} "$@"')

    first, second = measure(board, [Plan(bundle, "lite-arm"), Plan(bundle, "lite-arm", 2)], board.runner(bundle))

    assert (first["status"], second["status"]) == ("ok", "ok")
    assert first["key"] != second["key"]
    pushes = board.adb.requests if board.adb is not None else copied.read_text().splitlines()
    assert len([each for each in pushes if each.startswith("push")]) == 3  # runner, model, input
    if board.sshd is not None:
        assert not Path(board.device.folder).exists()  # nothing is left behind


def test_a_connection_that_is_lost_and_comes_back(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    runner = board.runner(bundle, ms=20.0)
    said: list[str] = []
    if board.adb is not None:
        board.adb.faults.append(Fault("reboot", on="shell", match="--model", skip=1, absent=3))
    else:
        cut_once(board, monkeypatch, on_run=2)

    (made,) = measure(board, [Plan(bundle, "lite-arm")], runner, said=said)

    assert (made["status"], made["error"]) == ("ok", None)
    assert made["backend"]["options"] == {"runner": "mobileseg_lite_run", "connections_lost": 1}
    assert made["timing"]["network"]["count"] == 12
    assert any("this measurement starts again" in text for text in said)
    board.assert_all_ended()


def cut_once(board: Board, monkeypatch: pytest.MonkeyPatch, on_run: int, back: bool = True) -> None:
    """Kill sshd while the runner runs for this time, and start it again."""
    server, device = board.sshd, board.device
    assert server is not None
    runs = 0
    usual = device.run

    def run(argv: Sequence[str], *others: Any) -> Any:
        nonlocal runs
        if "--model" in argv:
            runs += 1
            if runs == on_run:
                threading.Timer(0.1, server.stop).start()
                if back:
                    threading.Timer(0.8, server.start).start()
        return usual(argv, *others)

    monkeypatch.setattr(device, "run", run)


def test_connections_that_are_lost_again_and_again(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    runner = board.runner(bundle)
    monkeypatch.setattr(remote, "MOST_RETRIES", 1)
    if board.adb is not None:
        board.adb.faults.append(Fault("drop", on="shell", match="--model", times=2))
    else:
        monkeypatch.setattr(remote, "WAIT_S", 0.2)
        monkeypatch.setattr(remote, "WAIT_AGAIN_S", 0.1)
        cut_once(board, monkeypatch, on_run=1, back=False)

    made, second = measure(board, [Plan(bundle, "lite-arm"), Plan(bundle, "lite-arm", 2)], runner)

    assert made["status"] == "failed"
    assert made["error"]["kind"] == "DeviceLost"
    assert made["error"]["stage"] in ("parity", "measurement")  # how far it came before the connection went
    assert "given up after" in made["error"]["message"]
    assert made["timing"] is None
    assert second["status"] == ("ok" if board.adb is not None else "failed")
    secrets = [str(board.device.serial)] if isinstance(board.device, AdbDevice) else ["127.0.0.1", "@"]
    for secret in secrets:
        assert secret not in json.dumps(made["error"])


def line_of(times_ms: str, dtype: str = "int32", shape: str = "[1, 8, 10]") -> str:
    return f'{{"shape": {shape}, "dtype": "{dtype}", "times_ms": {times_ms}}}'


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"wrong": 0.05}, "ParityError", "agree with the trained network's on 95.0000% of the pixels; needed are"),
        ({"crash": "SIGSEGV"}, "RunnerError", "the runner died of SIGSEGV"),
        ({"status": 3}, "RunnerError", "failed (exit status 3)"),
        ({"print": "hello"}, "RunnerError", "the runner printed 'hello'; expected a line such as"),
        ({"version": "v2.12"}, "ValueError", "converted by Paddle Lite 2.13-rc, and the Paddle Lite here is 2.12"),
        ({"print": line_of("[NaN]")}, "RunnerError", "time nan ms"),
        ({"print": line_of("[1]", dtype="int64")}, "RunnerError", "wrote 320 bytes of output; expected 640"),
        ({"print": line_of("[1]", shape="[1, 80]")}, "ParityError", "gives int32 [1, 80], but the network"),
        ({"print": line_of("[1, 2]")}, "RunnerError", "gave 2 times; expected 1"),
        ({"print": line_of("[1]", dtype="float32")}, "ParityError", "gives float32 [1, 8, 10], but the network int32"),
        ({"print": line_of("[1e8]")}, "RunnerError", "gave times of 1e+05 s together, but ended after"),
        ({"print": line_of("[1]")[:-1] + ', "threads": 4}'}, "RunnerError", "ran with threads 4, but was told 1"),
    ],
)
def test_runners_that_fail(linux: Board, tmp_path: Path, settings: dict[str, Any], kind: str, message: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (made,) = measure(linux, [Plan(bundle, "lite-arm")], linux.runner(bundle, **settings))
    assert (made["status"], made["timing"]) == ("failed", None)
    assert (made["error"]["kind"], made["error"]["stage"]) == (kind, "parity")
    assert message in made["error"]["message"]
    if "wrong" in settings:
        assert made["parity"] == {"inputs": 1, "label_agreement": 0.95, "tolerance": 0.999, "passed": False}


@pytest.mark.parametrize(
    ("settings", "kind"), [({"wrong": 0.05}, "ParityError"), ({"crash": "SIGSEGV"}, "RunnerError")]
)
def test_runners_that_fail_on_a_phone(tmp_path: Path, phone: Board, settings: dict[str, Any], kind: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (made,) = measure(phone, [Plan(bundle, "lite-arm")], phone.runner(bundle, **settings))
    assert (made["status"], made["error"]["kind"], made["timing"]) == ("failed", kind, None)


def test_a_runner_that_hangs_is_ended(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    monkeypatch.setattr(remote_job, "_FIRST_S", 1.5)
    (made,) = measure(board, [Plan(bundle, "lite-arm")], board.runner(bundle, hang_s=60.0))
    assert (made["status"], made["error"]["kind"]) == ("failed", "DeviceTimeout")
    board.assert_all_ended()


def test_outputs_that_are_not_the_networks(linux: Board, tmp_path: Path) -> None:
    """All zeros; nothing, where an output of before lies; the same for each input."""
    bundle = write_bundle(tmp_path / "bundle", inputs=2)
    always = write_bundle(tmp_path / "always")
    right = linux.runner(bundle)
    zeros = stand_in_runner.make(tmp_path / "zeros_run", [])
    same = stand_in_runner.make(tmp_path / "same_run", [always / GOLDEN])
    (silent := tmp_path / "silent_run").write_text(
        f'#!/bin/sh\nfor word; do [ "$before" = --output ] && target=$word; before=$word; done\n'
        f'{right} "$@" || exit\n[ -f seen ] && rm "$target"; touch seen\n'
    )
    silent.chmod(0o755)
    found = []
    for runner in (zeros, same, silent):
        (folder := tmp_path / f"in_{runner.name}").mkdir()
        shutil.copy(runner, folder / "mobileseg_lite_run")
        (made,) = measure(linux, [Plan(bundle, "lite-arm")], folder)
        assert (made["status"], made["timing"]) == ("failed", None)
        found.append((made["error"]["kind"], made["error"]["stage"], "has no file" in made["error"]["message"]))
    assert found == [("ParityError", "parity", False)] * 2 + [("RunnerError", "parity", True)]


def test_ctrl_c_leaves_nothing_on_the_device(board: Board, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    runner = board.runner(bundle, hang_s=60.0)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not board.running():
            time.sleep(0.02)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        measure(board, [Plan(bundle, "lite-arm")], runner)
    board.assert_all_ended()
    assert not board.work_folder().exists()


def test_a_second_program_that_cannot_run_leaves_nothing_either(linux: Board, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    runner = linux.runner(bundle)
    runner.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (8).to_bytes(2, "little"))
    program = runner.with_name("benchmark_bin")
    program.write_text(BENCHMARK_BIN)
    with pytest.raises(DeviceError, match="built for ELF machine 8"):
        measure(linux, [Plan(bundle, "lite-arm")], program)
    assert not linux.work_folder().exists()


def test_outputs_that_change_while_times_are_taken(linux: Board, tmp_path: Path) -> None:
    """The golden run was right; what the timed runs gave is not."""
    bundle = write_bundle(tmp_path / "bundle")
    right = linux.runner(bundle)
    folder = tmp_path / "switch"
    folder.mkdir()
    wrong = stand_in_runner.make(tmp_path / "wrong_run", [bundle / GOLDEN], wrong=0.5)
    switch = folder / "mobileseg_lite_run"
    case = f'case " $* " in *" --repeats 1 "*) exec {right} "$@";; esac; exec {wrong} "$@"'
    switch.write_text(f"#!/bin/sh\n{case}\n")
    switch.chmod(0o755)

    (made,) = measure(linux, [Plan(bundle, "lite-arm")], switch)

    assert made["status"] == "invalid"
    assert made["validity"]["reasons"] == [
        "output unequal: after the timed runs labels agree on 50.0000% of the pixels only",
        "output unusable: after the timed runs it has labels that are none of the network's classes",
    ]
    assert made["input"]["classes_present"] is None


def test_a_plan_that_cannot_be_measured_does_not_keep_the_others(board: Board, tmp_path: Path) -> None:
    bundle, broken = write_bundle(tmp_path / "bundle"), write_bundle(tmp_path / "broken")
    (broken / "model.nb").write_bytes(b"x")
    plans = [
        Plan(bundle, "onnxruntime"),
        Plan(tmp_path / "none", "lite-arm"),
        Plan(broken, "lite-arm"),
        Plan(bundle, "lite-arm", options={"precision": "fp16"}),
        Plan(bundle, "lite-arm", power_mode="fast"),
        Plan(bundle, "lite-arm"),
    ]

    made = measure(board, plans, board.runner(bundle))

    assert [each["status"] for each in made] == ["failed"] * 5 + ["ok"]
    messages = [each["error"]["message"] for each in made[:5]]
    for words, message in zip(
        [
            "has no Python for it; expected lite-arm",
            "is no bundle",
            "has 1 bytes",
            "takes no options",
            "--power_mode is 'fast'",
        ],
        messages,
        strict=True,
    ):
        assert words in message


def test_long_measurements_have_turns(linux: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(tmp_path / "bundle", inputs=3)
    monkeypatch.setattr(remote_job, "POLL_S", 0.1)
    rules = protocol("trtexec", min_s=1.2, warmup_s=0.05, **LAX)

    (made,) = measure(linux, [Plan(bundle, "lite-arm")], linux.runner(bundle, ms=10.0), rules)

    network = made["timing"]["network"]
    assert network["mean"] * network["count"] >= 1200
    assert made["input"]["count"] == 3
    assert set(made["protocol"]["turns"]) >= {0, 1, 2}
    during = [each["at_s"] for each in made["thermal"]["during"]]
    assert len(during) >= 3
    assert during == sorted(during)
    assert made["thermal"]["before"]["at_s"] <= during[0] <= during[-1] <= made["thermal"]["after"]["at_s"]


def test_the_state_is_read_in_turns_shorter_than_the_usual_pause(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_job, "POLL_S", 1000.0)
    bundle = write_bundle(tmp_path / "bundle", inputs=2)
    (made,) = measure(board, [Plan(bundle, "lite-arm")], board.runner(bundle, ms=100.0))
    assert made["protocol"]["turns"] == [0] * 6 + [1] * 6
    assert len(made["thermal"]["during"]) == 2  # one for each turn


def test_affinity(linux: Board, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    runner = linux.runner(bundle)
    assert linux.sshd is not None
    note = tmp_path / "note"
    linux.sshd.command("taskset", f'echo "$1" > {shlex.quote(str(note))}; shift; exec "$@"')
    (made,) = measure(linux, [Plan(bundle, "lite-arm", affinity=(0, 4, 5))], runner)
    assert made["backend"]["affinity"] == [0, 4, 5]
    assert note.read_text() == "31\n"
    linux.sshd.command("taskset", "echo no such core >&2; exit 1")
    (made,) = measure(linux, [Plan(bundle, "lite-arm", affinity=(99,))], runner)
    assert (
        "cannot keep a program to the cores [99] (taskset failed (exit status 1)); leave out"
        in made["error"]["message"]
    )


class Thermometer:
    """A device whose temperature a test sets."""

    label, kind, folder = "device", "ssh", "/"

    def __init__(self, temperatures: list[float | None]) -> None:
        self.temperatures = temperatures

    def section(self) -> dict[str, Any]:
        return record.empty()["device"]

    def state(self) -> dict[str, Any]:
        value = self.temperatures.pop(0) if len(self.temperatures) > 1 else self.temperatures[0]
        return {"temperature_c": {} if value is None else {"cpu": value, f"t{value}": 99.0}}


class Clock:
    """Time that passes in sleep only."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.mark.parametrize(
    ("temperatures", "seconds"),
    [
        ([40.0, 42.9, 90.0], 0),  # as warm as at the start
        ([40.0, 60.0, 50.0, 43.0, 90.0], 2 * remote_job.POLL_S),
        ([40.0, 60.0], 9.0),  # never: all of the time
        ([None], 9.0),
        ([40.0, None], 9.0),
    ],
)
def test_cooling_down(temperatures: list[float | None], seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(remote, "time", clock)
    device: Any = Thermometer(temperatures)
    session = remote._Session(device, None, protocol("quick", cooldown_s=9.0), None, lambda text: None)  # type: ignore[arg-type]
    session.cool_down()
    assert clock.now == seconds
    assert len(device.temperatures) == 1
