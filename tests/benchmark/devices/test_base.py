"""Words for a device's shell, processors of programs, and names of devices."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from paddle_mobileseg.benchmark.devices import DeviceError, open_device
from paddle_mobileseg.benchmark.devices.base import (
    Completed,
    abi_of,
    check_abi,
    check_space,
    lock,
    quote,
    split_status,
    with_status,
    without_address,
)


def elf(path: Path, machine: int, order: str = "<") -> Path:
    ident = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    path.write_bytes(ident + struct.pack(f"{order}HH", 3, machine) + bytes(44))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["printf", "%s|", "a b", "it's", '"x"', "$HOME", "`id`", "a\nb", "*", "", "\\", "; rm -rf /", "Ä€"],
        ["printf", "%s|", "-n", "--", "&& false"],
    ],
)
def test_a_shell_gets_exactly_these_words(words: list[str]) -> None:
    done = subprocess.run(["sh", "-c", with_status(quote(words))], capture_output=True, text=True, check=True)

    assert split_status(done.stdout) == ("".join(f"{word}|" for word in words[2:]), 0)


def test_environment_is_set_for_the_program_only() -> None:
    line = quote(["sh", "-c", "echo $A"], {"A": "x 'y' $HOME"})
    done = subprocess.run(["sh", "-c", f"{line}; echo [$A]"], capture_output=True, text=True, check=True, env={})

    assert done.stdout == "x 'y' $HOME\n[]\n"


@pytest.mark.parametrize(
    ("words", "environment"), [([], {}), (["a\0b"], {}), (["a"], {"A B": "1"}), (["a"], {"": "1"})]
)
def test_what_no_shell_can_run_is_refused(words: list[str], environment: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        quote(words, environment)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("hi\n\nmobileseg-exit-status:0\n", ("hi\n", 0)),
        ("hi\r\n\r\nmobileseg-exit-status:139\r\n", ("hi\n", 139)),
        ("\nmobileseg-exit-status:5\nno end\nmobileseg-exit-status:3\n", ("\nmobileseg-exit-status:5\nno end", 3)),
        ("hi\n\nmobileseg-exit-status:1", None),  # cut off: may be 1 or 139
        ("hi\n\nmobileseg-exit-sta", None),
        ("hi\n", None),
        ("", None),
    ],
)
def test_the_exit_status_is_what_is_said_last(output: str, expected: tuple[str, int] | None) -> None:
    assert split_status(output) == expected


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, "failed (exit status 1)"),
        (139, "died of SIGSEGV"),
        (134, "died of SIGABRT"),
        (128, "failed (exit status 128)"),
    ],
)
def test_how_a_program_ended(status: int, words: str) -> None:
    assert Completed(status, "", "").how_it_ended() == words


@pytest.mark.parametrize(
    ("machine", "abi"), [(183, "arm64-v8a"), (40, "armeabi-v7a"), (62, "x86_64"), (3, "x86"), (8, "ELF machine 8")]
)
def test_abi_is_read_from_the_header(tmp_path: Path, machine: int, abi: str) -> None:
    assert abi_of(elf(tmp_path / "runner", machine)) == abi
    assert abi_of(elf(tmp_path / "runner", machine, ">")) == abi


def test_a_program_for_another_processor_is_refused_with_what_to_build(tmp_path: Path) -> None:
    runner = elf(tmp_path / "runner", 62)

    with pytest.raises(
        DeviceError, match=r"built for x86_64, but phone runs arm64-v8a, armeabi-v7a; build.* for arm64-v8a"
    ):
        check_abi(runner, ["arm64-v8a", "armeabi-v7a"], "phone")
    check_abi(runner, ["arm64-v8a", "x86_64"], "phone")


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "notes").write_text("hello")
    (tmp_path / "short").write_bytes(b"\x7fELF")

    assert abi_of(tmp_path / "script") is None
    for name in ("notes", "short"):
        with pytest.raises(ValueError, match="no ELF header"):
            abi_of(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"deploy/lite/cpp"):
        abi_of(tmp_path / "missing")


def test_space_leaves_something_for_the_device() -> None:
    check_space(1 << 20, 17 << 20, "model", "phone", "/data")
    with pytest.raises(
        DeviceError, match=r"no space on phone for model: 1\.0 MiB and 16\.0 MiB to spare needed, 17\.0 MiB free"
    ):
        check_space((1 << 20) + 1, 17 << 20, "model", "phone", "/data")


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        ("mobileseg benchmark --device adb:7a31c0de --output r", "mobileseg benchmark --device adb --output r"),
        ("mobileseg benchmark --device=adb:192.168.0.7:5555", "mobileseg benchmark --device=adb"),
        (
            "mobileseg benchmark --device ssh:me@board.lan:2222 --threads 1",
            "mobileseg benchmark --device ssh:HOST --threads 1",
        ),
        ("mobileseg benchmark --device 'ssh:me@[fe80::1%eth0]'", "mobileseg benchmark --device ssh:HOST"),
        ("mobileseg benchmark --bundle 'a b' --device adb", "mobileseg benchmark --bundle 'a b' --device adb"),
        ("mobileseg  benchmark --device local", "mobileseg  benchmark --device local"),
        ("it's --device adb:X", "'it'\"'\"'s' --device adb"),
        (None, None),
    ],
)
def test_commands_for_records_name_no_device(command: str | None, hidden: str | None) -> None:
    assert without_address(command) == hidden


def test_a_lock_is_held_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = lock("phone X", "a phone")
    lock("phone Y", "a phone").close()
    with pytest.raises(DeviceError, match="a phone is being measured by another process"):
        lock("phone X", "a phone")
    first.close()
    lock("phone X", "a phone").close()
    assert "X" not in "".join(path.name for path in tmp_path.iterdir())
    (tmp_path / "none").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(DeviceError, match=r"cannot write .*\.lock, which keeps a phone for one process"):
        lock("phone X", "a phone")


@pytest.mark.parametrize("spec", ["adb:", "usb", "", "ssh", "ssh:", "ADB", "adbx:1", "local"])
def test_unknown_devices_are_refused_with_what_there_is(spec: str) -> None:
    with pytest.raises(ValueError, match="expected local, adb, adb:SERIAL"):
        open_device(spec)


def test_a_serial_may_hold_a_colon() -> None:
    device = open_device("adb:192.168.0.7:5555")

    assert (device.kind, device.label) == ("adb", "phone 192.168.0.7:5555")
    assert open_device("adb").label == "phone"
