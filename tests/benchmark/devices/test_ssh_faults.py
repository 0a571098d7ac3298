"""Boards over ssh: other names of one board, links that die without a word, shells that print, numbers used again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddle_mobileseg.benchmark.devices import DeviceError, DeviceLost, ssh
from paddle_mobileseg.benchmark.devices.ssh import SshDevice
from paddle_mobileseg.benchmark.plan import Plan
from tests.benchmark.devices.boards import Board, measure, write_bundle
from tests.benchmark.devices.sshd import LocalSshd, running
from tests.processes import is_running

LONG = f"87654.{os.getpid()}"  # seconds; told apart from what other tests run


@pytest.fixture
def server(linux: Board) -> LocalSshd:
    assert linux.sshd is not None
    return linux.sshd


@pytest.fixture
def device(linux: Board) -> SshDevice:
    assert isinstance(linux.device, SshDevice)
    return linux.device


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A program of the same user that leads a process group and is none of ours."""
    process = subprocess.Popen(["sleep", LONG], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_board_by_another_name_is_the_same_board(server: LocalSshd, device: SshDevice, tmp_path: Path) -> None:
    """The second neither ends the first one's runner nor removes its files."""
    config = tmp_path / "config"
    user = server.address.partition("@")[0]
    config.write_text(f"Host board\n HostName 127.0.0.1\n Port {server.port}\n User {user}\nHost 127.0.0.1\n User x\n")
    options = ["-F", str(config), *server.options[2:]]
    device.check()
    (Path(device.folder) / "of the first").touch()
    for address in ("board", f"{user}@board", f"{user}@127.0.0.1:{server.port}"):
        other = SshDevice(address, ssh_options=options)
        with pytest.raises(DeviceError, match="is being measured by another process"):
            other.check()
        other.cleanup()
        assert (Path(device.folder) / "of the first").exists()
    device.cleanup()
    other = SshDevice("board", ssh_options=options)
    other.check()
    other.cleanup()


def test_a_link_that_dies_without_a_word(server: LocalSshd, device: SshDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not done in time, and cannot be ended either, is a lost connection: it may be tried again."""
    device.check()
    monkeypatch.setattr(ssh, "_SHORT_S", 0.5)
    server.hang()
    with pytest.raises(DeviceLost, match=r"does not answer: .* not done after 0\.5 s"):
        device.run(["sleep", LONG], 0.5)
    server.stop()
    server.start()
    device.wait(20)
    assert not running("sleep", LONG)
    assert device.run(["echo", "again"], 10).stdout == "again\n"


def test_a_measurement_whose_link_dies_in_a_short_command(
    linux: Board, server: LocalSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    usual, hangs = linux.device.run, [True]

    def run(argv: list[str], timeout_s: float, *others: object) -> object:
        if argv[0] == "rm" and hangs:
            hangs.clear()
            server.hang()
            with monkeypatch.context() as patch:
                patch.setattr(ssh, "_SHORT_S", 0.5)
                try:
                    return usual(argv, 0.5, *others)  # type: ignore[arg-type]
                finally:
                    server.stop()
                    server.start()
        return usual(argv, timeout_s, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(linux.device, "run", run)
    (made,) = measure(linux, [Plan(bundle, "lite-arm")], linux.runner(bundle))
    assert (made["status"], made["error"]) == ("ok", None)
    assert made["backend"]["options"]["connections_lost"] == 1


@pytest.mark.parametrize("words", ["Welcome!\\n", "no end of a line", "\\n\\nmobileseg-exit-status:0\\n"])
def test_a_login_shell_that_prints(server: LocalSshd, device: SshDevice, tmp_path: Path, words: str) -> None:
    server.greet(words)
    device.check()
    assert device.folder.startswith(f"{server.home}/paddle_mobileseg-")
    assert device.section()["logical_cores"] == os.cpu_count()
    content = bytes(range(256)) * 100 + b"\r\n"
    (tmp_path / "x").write_bytes(content)
    device.push(tmp_path / "x", f"{device.folder}/x")
    assert Path(device.folder, "x").read_bytes() == content
    device.pull(f"{device.folder}/x", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert device.run(["echo", "out"], 10).stdout == "out\n"
    assert device.run(["sh", "-c", "exit 3"], 10).returncode == 3


def start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("started", ["0", "", "as noted"])
def test_a_number_that_another_process_has_now(
    device: SshDevice, sleeper: subprocess.Popen[bytes], started: str
) -> None:
    """Of a client that died: the note stays, the program ended by itself, its number was given again."""
    device.check()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    time_noted = start_time(sleeper.pid) if started == "as noted" else started
    note = Path(device.folder) / ".run-0-1"
    note.write_text(f"{boot} {sleeper.pid} {time_noted}\n")
    device.wait(10)
    assert not note.exists()
    if started == "as noted":
        assert sleeper.wait(10) == -9
    else:
        assert is_running(sleeper.pid)


@pytest.mark.parametrize("content", ["", "x", "- - -\n", "no-boot 1 1\n"])
def test_notes_that_make_no_sense_end_nothing(
    device: SshDevice, sleeper: subprocess.Popen[bytes], content: str
) -> None:
    device.check()
    (Path(device.folder) / ".run-0-1").write_text(content)
    device.wait(10)
    assert os.listdir(device.folder) == []
    assert is_running(sleeper.pid)
