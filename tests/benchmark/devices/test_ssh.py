"""Boards over ssh: OpenSSH's client against a server of its own on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.devices import DeviceError, DeviceLost, DeviceTimeout, open_device
from paddle_mobileseg.benchmark.devices.board import parse_section, parse_state
from paddle_mobileseg.benchmark.devices.ssh import SshDevice
from paddle_mobileseg.benchmark.devices.ssh_errors import failure, without_hosts
from tests.benchmark.devices.sshd import LocalSshd, running
from tests.processes import wait_until

LONG = f"98765.{os.getpid()}"  # seconds; told apart from what other tests run
ODD_NAMES = ["a b", "it's", '"q"', "$(touch x)", "`touch x`", "two\nlines", "-rf", "a;touch x", "*", "back\\slash", "ü"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalSshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    server = LocalSshd(folder)
    yield server
    server.close()


@pytest.fixture
def device(server: LocalSshd) -> Iterator[SshDevice]:
    device = server.device()
    device.check()
    yield device
    device.cleanup()


@pytest.mark.parametrize(
    "address",
    ["", "-oProxyCommand=touch x", "a@-b", "-a@b", "host name", "host:", "host:0", "host:65536", "host:ssh", "a@"],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"no address; expected ssh:\[USER@\]HOST\[:PORT\]"):
        SshDevice(address)


@pytest.mark.parametrize("address", ["h$(x)", "host\n", "a'b", "[::1", "h;x", "a b@c", "h`x`", "h|x", "h%h"])
def test_no_word_of_a_shell_is_an_address(address: str) -> None:
    """OpenSSH puts the host into shell commands of the user's configuration."""
    with pytest.raises(ValueError, match="is no address"):
        SshDevice(address)


def test_addresses() -> None:
    for address in ("board", "pi@10.0.0.7", "pi@board.local:2222", "u.s-er@h_1", "pi@[fe80::1%eth0]:22", "[::1]"):
        assert SshDevice(address).label == address
    assert isinstance(open_device("ssh:pi@board:2222"), SshDevice)


def test_a_device(server: LocalSshd) -> None:
    device = server.device()
    device.check()

    assert device.folder.startswith(f"{server.home}/paddle_mobileseg-")
    section = device.section()
    assert section["kind"] == "ssh"
    assert section["logical_cores"] == os.cpu_count()
    assert section["memory_gib"] == pytest.approx(
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, abs=0.1
    )
    assert section == device.section()
    assert device.state()["load_1min"] >= 0
    free = os.statvfs(server.home).f_bavail * os.statvfs(server.home).f_frsize
    assert device.free_bytes() == pytest.approx(free, rel=0.01)
    device.cleanup()
    assert not Path(device.folder).exists()
    device.cleanup()


def test_one_measurement_at_a_time(server: LocalSshd, device: SshDevice) -> None:
    other = server.device()
    (Path(device.folder) / "of the first").touch()
    with pytest.raises(DeviceError, match="is being measured by another process"):
        other.check()
    other.cleanup()
    assert (Path(device.folder) / "of the first").exists()
    device.check()
    device.cleanup()
    other.check()
    other.cleanup()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSshd]:
    """A server that tests leave as it is."""
    server = LocalSshd(tmp_path_factory.mktemp("quiet"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def quiet_device(quiet: LocalSshd) -> Iterator[SshDevice]:
    device = quiet.device()
    device.check()
    yield device
    device.cleanup()


@pytest.mark.parametrize("word", ODD_NAMES)
def test_words_arrive_as_they_are(quiet_device: SshDevice, word: str) -> None:
    device = quiet_device
    done = device.run(["printf", "%s|", "x", word], 10, {"VALUE": word})
    assert (done.returncode, done.stdout, done.stderr) == (0, f"x|{word}|", "")
    assert device.run(["sh", "-c", 'printf %s "$VALUE"'], 10, {"VALUE": word}).stdout == word
    assert os.listdir(device.folder) == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_and_folders_of_any_name(quiet: LocalSshd, tmp_path: Path, name: str) -> None:
    before = set(os.listdir(quiet.home))
    device = quiet.device(f"{quiet.home}/{name}")
    device.check()
    local = tmp_path / "x"
    local.write_bytes(bytes(range(256)) * 100 + b"\r\n\n")
    remote = f"{device.folder}/in {name}/{name}"

    device.push(local, remote)
    assert Path(remote).read_bytes() == local.read_bytes()
    assert device.run(["cat", remote], 10).returncode == 0
    device.pull(remote, tmp_path / "back")

    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    assert device.free_bytes() > 0
    assert set(os.listdir(quiet.home)) - before == {name}
    device.cleanup()
    assert set(os.listdir(quiet.home)) == before


def test_a_program_that_is_the_same_is_not_copied_again(device: SshDevice, tmp_path: Path) -> None:
    local = tmp_path / "program"
    local.write_text("#!/bin/sh\necho one\n")
    remote = f"{device.folder}/bin/program"
    device.push(local, remote)
    assert device.run([remote], 10).returncode == 126  # it may not be run here either
    local.chmod(0o755)
    before = os.stat(remote).st_ino
    device.push(local, remote)
    assert os.stat(remote).st_ino == before
    assert device.run([remote], 10).stdout == "one\n"
    local.write_text("#!/bin/sh\necho two\n")
    device.push(local, remote)
    assert device.run([remote], 10).stdout == "two\n"
    assert os.listdir(f"{device.folder}/bin") == ["program"]


def test_how_programs_end(device: SshDevice) -> None:
    assert device.run(["sh", "-c", "echo out; echo err >&2; exit 255"], 10).returncode == 255
    done = device.run(["sh", "-c", "echo out; kill -SEGV $$"], 10)
    assert (done.how_it_ended(), done.stdout) == ("died of SIGSEGV", "out\n")
    assert device.run(["/nowhere/at all"], 10).returncode == 127
    assert device.run(["sh", "-c", "echo a; echo; echo mobileseg-exit-status:7"], 10).returncode == 0
    with pytest.raises(FileNotFoundError, match="has no file"):
        device.pull(f"{device.folder}/none", Path("none"))
    with pytest.raises(ValueError, match="without NUL"):
        device.run(["a\0b"], 10)


def test_what_is_too_slow_ends_with_all_that_it_started(device: SshDevice) -> None:
    script = f"sleep {LONG} & sleep {LONG}"
    with pytest.raises(DeviceTimeout, match=r"sh did not end within 0\.5 s on .*; it was killed"):
        device.run(["sh", "-c", script], 0.5)
    assert not running("sleep", LONG)
    assert device.run(["true"], 10).returncode == 0
    assert os.listdir(device.folder) == []


def test_a_server_that_goes_and_comes_back(server: LocalSshd, device: SshDevice) -> None:
    threading.Timer(0.5, server.stop).start()
    with pytest.raises(DeviceLost):
        device.run(["sleep", LONG], 60)
    assert running("sleep", LONG)  # sshd does not end what it started
    with pytest.raises(DeviceLost, match="refused"):
        device.state()
    start = time.monotonic()
    with pytest.raises(DeviceLost, match=r"did not come back in 0\.3 s"):
        device.wait(0.3)
    assert time.monotonic() - start < 20
    threading.Timer(0.5, server.start).start()

    device.wait(30)

    assert not running("sleep", LONG)
    assert device.run(["echo", "again"], 10).stdout == "again\n"


def test_a_connection_that_breaks_while_a_file_is_copied(server: LocalSshd, device: SshDevice, tmp_path: Path) -> None:
    local, remote = tmp_path / "big", f"{device.folder}/big"
    local.write_bytes(b"x" * 1000)
    server.command("cat", "sleep 3")
    threading.Timer(0.5, server.stop).start()
    with pytest.raises(DeviceLost):
        device.push(local, remote)
    assert not Path(remote).exists()
    (server.bin / "cat").unlink()
    server.start()
    device.wait(10)
    device.push(local, remote)
    assert Path(remote).read_bytes() == local.read_bytes()
    server.command("cat", "echo damaged")
    with pytest.raises(DeviceLost, match="did not arrive"):
        device.pull(remote, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_the_users_configuration(server: LocalSshd, tmp_path: Path) -> None:
    """An alias holds; settings that are for people at a terminal do not get in the way."""
    config = tmp_path / "config"
    config.write_text(
        f"Host board\n HostName 127.0.0.1\n Port {server.port}\n User {server.address.partition('@')[0]}\n"
        f" IdentityFile {server.key}\n IdentitiesOnly yes\n UserKnownHostsFile {server.known_hosts}\n"
        f" ControlMaster auto\n ControlPath {tmp_path}/mine\n ControlPersist 60\n LogLevel QUIET\n"
        " RemoteCommand tmux\n RequestTTY force\n LocalForward 1 localhost:1\n ExitOnForwardFailure yes\n"
    )
    device = SshDevice("board", ssh_options=["-F", str(config)])
    device.check()
    assert device.run(["printf", "a\\nb"], 10).stdout == "a\nb"
    private = device._private
    assert running("ssh", "-M", "-S", f"{private}/control")
    device.cleanup()
    assert not running("-S", f"{private}/control")
    assert not (tmp_path / "mine").exists()


def test_ctrl_c_ends_what_runs_on_the_board(device: SshDevice) -> None:
    main = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        device.run(["sleep", LONG], 60)
    assert not running("sleep", LONG)


def refused(device: SshDevice) -> str:
    with pytest.raises(DeviceError) as caught:
        device.check()
    return str(caught.value)


def test_connections_that_are_refused(server: LocalSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = server.new_key("other")
    assert "does not accept your key" in refused(server.device(options=server.options_with(other)))
    server.known_hosts.write_text("")
    message = refused(server.device())
    assert "host key is not known here; connect once by hand" in message
    assert server.known_hosts.read_text() == ""
    server.trust()
    server.stop()
    server.host_key = server.new_key("host2")
    server.start()
    assert "host key is another one than before" in refused(server.device())
    server.trust()
    device = server.device()
    device.check()
    device.cleanup()
    server.stop()
    assert "Connection refused" in refused(server.device())
    assert "no host of that name" in refused(SshDevice("nobody.invalid", ssh_options=server.options))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no program ssh; install OpenSSH's client" in refused(server.device())


@pytest.mark.parametrize(
    ("command", "script", "message"),
    [
        ("uname", "echo Darwin", "runs Darwin; expected Linux"),
        ("chmod", "exit 0", "programs there may not be run"),
        ("mkdir", "echo Read-only file system >&2; exit 1", "cannot be written (Read-only file system"),
    ],
)
def test_boards_that_cannot_be_used(server: LocalSshd, command: str, script: str, message: str) -> None:
    server.command(command, script)
    assert message in refused(server.device())


def test_another_folder_where_the_first_cannot_be_written(server: LocalSshd) -> None:
    server.command("mkdir", f'case "$*" in *{server.home}*) exit 1; esac; exec /bin/mkdir "$@"')
    device = server.device()
    device.check()
    assert device.folder.startswith("/var/tmp/paddle_mobileseg-")
    device.cleanup()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo Filesystem; echo /dev/x 100 99 1 99% /", "no space on .* for x: .* needed, 0.0 MiB free"),
        ("echo nonsense", "df printed 'nonsense'; expected a table"),
        ("exit 1", "cannot say how much space is free"),
    ],
)
def test_no_space(server: LocalSshd, device: SshDevice, tmp_path: Path, script: str, message: str) -> None:
    (tmp_path / "x").write_bytes(b"x")
    server.command("df", script)
    with pytest.raises(DeviceError, match=message):
        device.push(tmp_path / "x", f"{device.folder}/x")
    assert os.listdir(device.folder) == []


def test_space_that_runs_out(server: LocalSshd, device: SshDevice, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 10)
    server.command("cat", "head -c 5; echo cat: write error: No space left on device >&2; exit 1")
    with pytest.raises(DeviceError, match=r"(?s)cannot copy x to .*No space left on device") as caught:
        device.push(tmp_path / "x", f"{device.folder}/x")
    assert not isinstance(caught.value, DeviceLost)
    assert os.listdir(device.folder) == []


def test_programs_for_another_processor(server: LocalSshd, tmp_path: Path) -> None:
    program = tmp_path / "mobileseg_lite_run"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (8).to_bytes(2, "little"))
    with pytest.raises(DeviceError, match=r"is built for ELF machine 8, but .* runs \S+; build"):
        server.device().check(program)
    server.command("uname", '[ "$1" = -m ] && echo aarch64 || echo Linux')
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (183).to_bytes(2, "little"))
    device = server.device()
    device.check(program)
    assert device.section()["abi"] == "arm64-v8a"
    device.cleanup()
    server.command("getconf", "echo 32")  # 64-bit kernel, 32-bit system
    with pytest.raises(DeviceError, match=r"is built for arm64-v8a, but .* runs armeabi-v7a"):
        server.device().check(program)


def test_the_known_ends_of_a_client() -> None:
    lost = [
        "client_loop: send disconnect: Broken pipe",
        "Connection timed out",
        "",
        "ssh: connect to host b: No route to host",
    ]
    lost += ["System is booting up. Unprivileged users are not permitted to log in yet.", "something else"]
    for text in lost:
        assert isinstance(failure("b", text), DeviceLost), text
    assert not isinstance(failure("b", "Unable to negotiate with b: no matching cipher found"), DeviceLost)


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        (
            "ssh: connect to host 10.0.0.7 port 22: Connection refused",
            "ssh: connect to host ... port 22: Connection refused",
        ),
        ("Connection to real.name.lan closed by remote host.", "Connection to ... closed by remote host."),
        ("Connection reset by 10.0.0.7 port 22", "Connection reset by ... port 22"),
        ("Connection reset by peer", "Connection reset by peer"),
        ("kex_exchange_identification: Connection closed by fe80::1%eth0 port 22",) * 2,
        ("me@10.0.0.7: Permission denied (publickey).", "...: Permission denied (publickey)."),
        ("ssh: Could not resolve hostname jump.lan: Name or service not known",) * 2,
        ("client_loop: send disconnect: Broken pipe, board-2 and board",) * 2,
    ],
)
def test_messages_for_records_name_no_host(said: str, hidden: str) -> None:
    """Of an alias the real host, of a jump host its name."""
    known = {"fe80::1%eth0": "...", "jump.lan": "...", "and board": "and ..."}
    for name, instead in known.items():
        hidden = hidden.replace(name, instead)
    assert without_hosts(said, ["board", ""]) == hidden


def test_a_killed_computer_leaves_no_connection_and_no_program(server: LocalSshd, tmp_path: Path) -> None:
    script = (
        "import sys; from paddle_mobileseg.benchmark.devices.ssh import SshDevice\n"
        "device = SshDevice(sys.argv[1], ssh_options=sys.argv[3:]); device.check()\n"
        "print(device._private, flush=True); device.run(['sleep', sys.argv[2]], 60)"
    )
    words = [sys.executable, "-c", script, server.address, LONG, *server.options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    private = process.stdout.readline().strip()
    wait_until(lambda: running("sleep", LONG))
    process.kill()
    process.wait()
    process.stdout.close()
    device = server.device()
    device.check()

    wait_until(lambda: not running("sleep", LONG) and not running("-S", f"{private}/control"))
    assert device.run(["true"], 10).returncode == 0
    device.cleanup()
    shutil.rmtree(private)


def test_a_folder_that_a_restart_removed(device: SshDevice, tmp_path: Path) -> None:
    """As one below /tmp."""
    (tmp_path / "x").write_bytes(b"x")
    shutil.rmtree(device.folder)
    device.wait(10)
    device.push(tmp_path / "x", f"{device.folder}/x")
    assert device.run(["cat", "x"], 10).stdout == "x"


RASPBERRY_PI = """\
--meminfo
MemTotal:        3884360 kB
--cpuinfo
processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd08
processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd08
Model\t\t: Raspberry Pi 4 Model B Rev 1.2
--cores
0-3
--gpu
--os
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
--kernel
Linux 6.6.31+rpt-rpi-v8
--model
Raspberry Pi 4 Model B Rev 1.2
--compatible
raspberrypi,4-model-b
brcm,bcm2711
"""


def test_a_boards_description() -> None:
    section = parse_section(RASPBERRY_PI, "arm64-v8a")
    assert section | {"fingerprint": None} == {
        "kind": "ssh",
        "name": "Raspberry Pi 4 Model B Rev 1.2",
        "soc": "brcm,bcm2711",
        "cpu": "2x Cortex-A72",
        "logical_cores": 4,
        "memory_gib": 3.7,
        "os": "Debian GNU/Linux 12 (bookworm), Linux 6.6.31+rpt-rpi-v8",
        "abi": "arm64-v8a",
        "android": None,
        "gpu": None,
        "fingerprint": None,
    }
    assert parse_section(RASPBERRY_PI, "armeabi-v7a")["fingerprint"] != section["fingerprint"]
    made = record.empty() | {"device": section, "error": {"kind": "x", "stage": None, "message": "x"}}
    record.validate(made)
    record.validate(made | {"device": parse_section("", None)})


@pytest.mark.parametrize(
    ("lines", "throttled"),
    [
        ("throttled|0\n", False),
        ("throttled|50000\n", False),  # it was, since it started
        ("throttled|50005\n", True),
        ("throttled|\n", None),
        ("cooling|cpufreq-cpu0|0\ncooling|fan|3\n", False),
        ("cooling|thermal-cpufreq-0|2\n", True),
        ("cooling|gpu-fan|2\n", None),
    ],
)
def test_a_boards_state(lines: str, throttled: bool | None) -> None:
    text = "zone|cpu-thermal|48312\nzone|cpu-thermal|50000\ncpu|cpu0|1800000|ondemand\ncpu|cpu1||\n"
    text += "load|0.42 0.3 0.2 1/1 1\n"
    assert parse_state(text + lines + "battery|77\n") == {
        "temperature_c": {"cpu-thermal": 48.312, "cpu-thermal 2": 50.0},
        "frequency_mhz": {"cpu0": 1800.0},
        "governor": {"cpu0": "ondemand"},
        "throttled": throttled,
        "battery_percent": 77.0,
        "load_1min": 0.42,
    }
    assert parse_state("battery|101\n")["battery_percent"] is None
