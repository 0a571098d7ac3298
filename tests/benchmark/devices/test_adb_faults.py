"""Phones over the real adb client: files and programs, and all that can break meanwhile."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark.devices import DeviceError, DeviceLost, DeviceTimeout, adb, adb_client
from paddle_mobileseg.benchmark.devices.adb import AdbDevice
from tests.benchmark.devices.fake_adb_server import Fault
from tests.benchmark.devices.opened_phone import NEEDS_ADB, Start, assert_all_ended, opened, some_file

pytestmark = NEEDS_ADB


class TestFiles:
    @pytest.mark.parametrize(
        "phone", ["snapdragon_855", "old_adbd", ("old_adbd", {"programs": ["cat", "chmod", "mkdir", "mv", "rm"]})]
    )
    @pytest.mark.parametrize("name", ["model.nb", "a folder/it's $(a) 'model'.nb"])
    def test_there_and_back(self, start: Start, tmp_path: Path, phone: Any, name: str) -> None:
        server = start(phone)
        device = opened(server)
        source = some_file(tmp_path / "source")
        device.push(source, f"{device.folder}/{name}")
        device.push(source, f"{device.folder}/{name}")  # there already
        device.pull(f"{device.folder}/{name}", tmp_path / "back")

        assert (tmp_path / "back").read_bytes() == source.read_bytes()
        assert server.phones[0].path(f"{device.folder}/{name}").stat().st_mode & 0o777 == 0o755
        assert len([each for each in server.requests if each.startswith("push")]) == 1

    def test_another_content_takes_the_place(self, start: Start, tmp_path: Path) -> None:
        device = opened(start())
        for size in (10, 0, 300_000):
            device.push(some_file(tmp_path / "source", size), f"{device.folder}/x")
            device.pull(f"{device.folder}/x", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == (tmp_path / "source").read_bytes()

    @pytest.mark.parametrize("kind", ["drop", "gone", "reboot", "garbage", "hang", "corrupt", "truncate"])
    def test_a_push_that_breaks_can_be_tried_again(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        server = start()
        device = opened(server)
        monkeypatch.setattr(adb, "_copy_s", lambda size: 1.0)
        target = f"{device.folder}/x"
        device.push(some_file(tmp_path / "old", 1000), target)
        server.faults.append(Fault(kind, on="push", absent=5))
        with pytest.raises(DeviceLost):
            device.push(some_file(tmp_path / "new"), target)

        assert server.phones[0].path(target).read_bytes() == (tmp_path / "old").read_bytes()
        device.wait(20)
        device.push(tmp_path / "new", target)
        assert server.phones[0].path(target).read_bytes() == (tmp_path / "new").read_bytes()

    @pytest.mark.parametrize("kind", ["drop", "gone", "reboot", "garbage", "hang", "corrupt", "truncate"])
    def test_a_pull_that_breaks_can_be_tried_again(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        server = start()
        device = opened(server)
        monkeypatch.setattr(adb, "_copy_s", lambda size: 1.0)
        device.push(some_file(tmp_path / "source"), f"{device.folder}/x")
        (tmp_path / "back").write_text("before")
        server.faults.append(Fault(kind, on="pull", absent=5))
        with pytest.raises(DeviceLost):
            device.pull(f"{device.folder}/x", tmp_path / "back")

        assert (tmp_path / "back").read_text() == "before"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "source"]
        device.wait(20)
        device.pull(f"{device.folder}/x", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == (tmp_path / "source").read_bytes()

    def test_no_space(self, start: Start, tmp_path: Path) -> None:
        server = start(("snapdragon_855", {"free_kib": 17 * 1024}))
        device = opened(server)
        device.push(some_file(tmp_path / "small", 1 << 20), f"{device.folder}/x")
        with pytest.raises(
            DeviceError, match=r"no space on Example Phone 855.*big: 1\.0 MiB and 16\.0 MiB.*17\.0 MiB free"
        ):
            device.push(some_file(tmp_path / "big", (1 << 20) + 1), f"{device.folder}/y")

        server.faults.append(Fault("no_space", on="push"))
        with pytest.raises(DeviceError, match="no space left") as caught:
            device.push(some_file(tmp_path / "other", 1000), f"{device.folder}/y")
        assert not isinstance(caught.value, DeviceLost)

    def test_no_file_name_is_an_option_of_adb(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = opened(start())
        monkeypatch.chdir(tmp_path)
        device.push(some_file(Path("--sync")), f"{device.folder}/x")
        device.pull(f"{device.folder}/x", Path("-a"))

        assert (tmp_path / "-a").read_bytes() == (tmp_path / "--sync").read_bytes()

    def test_missing_files(self, start: Start, tmp_path: Path) -> None:
        device = opened(start())

        with pytest.raises(FileNotFoundError, match=r"no file .*missing to copy"):
            device.push(tmp_path / "missing", f"{device.folder}/x")
        with pytest.raises(FileNotFoundError, match=r"no file .*/x on Example Phone"):
            device.pull(f"{device.folder}/x", tmp_path / "x")
        assert list(tmp_path.iterdir()) == []


class TestRunning:
    @pytest.mark.parametrize("phone", ["snapdragon_855", "old_adbd"])
    def test_exactly_these_words(self, start: Start, phone: str) -> None:
        device = opened(start(phone))
        words = ["a b", "it's", '"', "$HOME", "`ls`", "*", "", "\\", ";", "&&", "Ä€", "-x"]
        done = device.run(
            ["sh", "-c", 'for w in "$@"; do echo "[$w]"; done; echo "$VALUE"; pwd', "sh", *words],
            10,
            {"VALUE": "1 '2'"},
        )

        expected = "".join(f"[{word}]\n" for word in words) + f"1 '2'\n{device.folder}\n"
        assert (done.returncode, done.stdout) == (0, expected.replace("[\\]", done.stdout.split("\n")[7]))
        assert done.stdout.split("\n")[7].startswith("[\\")

    @pytest.mark.parametrize("phone", ["snapdragon_855", "old_adbd"])
    @pytest.mark.parametrize("status", [0, 1, 2, 126, 255])
    def test_exit_status(self, start: Start, phone: str, status: int) -> None:
        done = opened(start(phone)).run(["sh", "-c", f"echo out; echo err >&2; exit {status}"], 10)

        assert done.returncode == status
        assert (done.stdout, done.stderr) == (("out\n", "err\n") if phone == "snapdragon_855" else ("out\nerr\n", ""))

    def test_what_is_no_program(self, start: Start) -> None:
        done = opened(start()).run(["./nothing"], 10)

        assert done.returncode == 127
        assert "not found" in done.last_words()

    @pytest.mark.parametrize("phone", ["snapdragon_855", "old_adbd"])
    def test_a_crash_is_told_by_its_signal(self, start: Start, phone: str) -> None:
        server = start(phone, faults=[Fault("crash", on="shell", match="sleep 30")])
        done = opened(server).run(["sleep", "30"], 20)

        assert (done.returncode, done.how_it_ended()) == (139, "died of SIGSEGV")

    def test_any_bytes_and_much_of_them(self, start: Start) -> None:
        device = opened(start())
        done = device.run(
            ["sh", "-c", r"printf '\377\000x\r\ny'; i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done"],
            20,
        )

        assert done.returncode == 0
        assert done.stdout.startswith("\ufffd\0x\ny0123456789\n")
        assert len(done.stdout) == 5 + 20000 * 11

    @pytest.mark.parametrize("phone", ["snapdragon_855", "old_adbd"])
    def test_what_takes_too_long_is_killed_on_the_phone(self, start: Start, phone: str) -> None:
        server = start(phone)
        device = opened(server)
        with pytest.raises(DeviceTimeout, match=r"sleep did not end within 0\.5 s on Example"):
            device.run(["sleep", "100"], 0.5)

        assert_all_ended(server)
        assert device.run(["sh", "-c", "echo again"], 10).stdout == "again\n"

    def test_a_connection_that_is_cut_leaves_no_program_behind(self, start: Start) -> None:
        server = start(faults=[Fault("drop", on="shell", match="sleep 100")])
        device = opened(server)
        with pytest.raises(DeviceLost, match="lost the phone in a command"):
            device.run(["sleep", "100"], 20)

        assert server.phones[0].running() == 1
        device.wait(20)
        assert_all_ended(server)

    def test_a_killed_computer_leaves_no_program_behind(self, start: Start) -> None:
        server = start(faults=[Fault("drop", on="shell", match="sleep 100")])
        with pytest.raises(DeviceLost):
            opened(server).run(["sleep", "100"], 20)
        opened(server)

        assert_all_ended(server)

    def test_programs_of_others_are_not_killed(self, start: Start) -> None:
        server = start()
        device = opened(server)
        sleeper = subprocess.Popen(["sleep", "100"], cwd="/")
        try:
            server.phones[0].write(f"{device.folder}/run.pid", f"{sleeper.pid}\n")
            device.wait(20)
            assert sleeper.poll() is None
        finally:
            sleeper.kill()
            sleeper.wait()

    @pytest.mark.parametrize("kind", ["garbage", "reboot", "gone", "drop"])
    def test_what_breaks_a_command(self, start: Start, kind: str) -> None:
        server = start()
        device = opened(server)
        server.faults.append(Fault(kind, on="shell", match="echo hi", absent=5))
        with pytest.raises(DeviceLost):
            device.run(["sh", "-c", "echo hi; sleep 5"], 20)

        device.wait(20)
        assert device.run(["sh", "-c", "echo hi"], 20).stdout == "hi\n"

    def test_a_phone_that_hangs(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        server = start()
        device = opened(server)
        monkeypatch.setattr(adb, "_SHORT_S", 0.5)
        server.faults.append(Fault("hang", on="shell", times=-1))

        with pytest.raises(DeviceLost, match="does not answer"):
            device.state()
        with pytest.raises(DeviceLost):
            device.run(["true"], 0.5)

    def test_a_server_that_hangs(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        server = start(faults=[Fault("hang", on="host", times=-1)])
        monkeypatch.setattr(adb_client, "_LIST_S", 0.5)

        with pytest.raises(DeviceTimeout, match=r"did not end within 0\.5 s"):
            AdbDevice(environment=server.env).check()

    def test_authorisation_taken_back(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.phones[0].state = "unauthorized"

        with pytest.raises(DeviceError, match="accept its question") as caught:
            device.run(["true"], 5)
        assert type(caught.value) is DeviceError


class TestComingBack:
    def test_messages_do_not_name_the_phone(self, start: Start, tmp_path: Path) -> None:
        """They go into records; adb's own words have the serial number."""
        server = start()
        device = opened(server)
        server.phones[0].absent = 10**6
        for call in (
            lambda: device.run(["true"], 5),
            device.state,
            lambda: device.pull(f"{device.folder}/x", tmp_path / "x"),
            lambda: device.wait(0.5),
        ):
            with pytest.raises(DeviceLost) as caught:
                call()
            assert "7a31c0de" not in str(caught.value)
        with pytest.raises(DeviceLost, match="device 'SERIAL' not found"):
            device.state()

    def test_after_a_restart_the_files_are_there(self, start: Start, tmp_path: Path) -> None:
        server = start()
        device = opened(server)
        device.push(some_file(tmp_path / "x"), f"{device.folder}/x")
        boot_id = server.phones[0].path("/proc/sys/kernel/random/boot_id").read_text()
        server.phones[0].reboot(absent=20, starting=2)
        device.wait(30)

        assert device.run(["cat", "/proc/sys/kernel/random/boot_id"], 5).stdout != boot_id
        server.requests.clear()
        device.push(tmp_path / "x", f"{device.folder}/x")
        assert not [each for each in server.requests if each.startswith("push")]

    def test_a_phone_that_starts_is_not_back_yet(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.phones[0].reboot(absent=0, starting=1000)

        with pytest.raises(DeviceLost, match=r"was not back within 1\.5 s"):
            device.wait(1.5)

    def test_a_phone_that_stays_away(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.phones[0].absent = 10**6
        begin = time.monotonic()

        with pytest.raises(DeviceLost, match="was not back within 1 s"):
            device.wait(1)
        assert time.monotonic() - begin < 15

    def test_a_phone_that_comes_back_unauthorised(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.phones[0].state = "unauthorized"

        with pytest.raises(DeviceError, match="accept its question 'Allow USB debugging"):
            device.wait(1)

    def test_a_phone_on_the_network_is_connected_again(self, start: Start) -> None:
        server = start(("tensor_g3", {"serial": "192.168.0.7:5555"}))
        device = opened(server)
        server.phones[0].absent = 5
        device.wait(20)

        assert "host host:connect:192.168.0.7:5555" in server.requests


class TestLeavings:
    def test_cleanup_removes_the_folder_and_ends_programs(self, start: Start, tmp_path: Path) -> None:
        server = start(faults=[Fault("drop", on="shell", match="sleep 100")])
        device = opened(server)
        device.push(some_file(tmp_path / "x"), f"{device.folder}/deep/x")
        server.phones[0].write("/data/local/tmp/of another", "")
        with pytest.raises(DeviceLost):
            device.run(["sleep", "100"], 20)
        device.cleanup()

        assert [path.name for path in server.phones[0].path("/data/local/tmp").iterdir()] == ["of another"]
        assert_all_ended(server)

    def test_cleanup_says_nothing_when_the_phone_is_gone(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.phones.clear()
        device.cleanup()
        AdbDevice(environment=server.env).cleanup()

    def test_what_a_killed_run_left_is_used_again(self, start: Start, tmp_path: Path) -> None:
        server = start()
        first = opened(server)
        first.push(some_file(tmp_path / "x"), f"{first.folder}/x")
        folder = first.folder
        del first
        second = opened(server)
        server.requests.clear()
        second.push(tmp_path / "x", f"{folder}/x")

        assert second.folder == folder
        assert not [each for each in server.requests if each.startswith("push")]
