"""An Android phone at the end of ``adb``."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import platform
import posixpath
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from paddle_mobileseg.benchmark.devices import adb_android, linux
from paddle_mobileseg.benchmark.devices.adb_client import AdbClient
from paddle_mobileseg.benchmark.devices.base import (
    FOLDER_PREFIX,
    Completed,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    check_abi,
    check_space,
    ended_when_late,
    lock,
    quote,
)
from paddle_mobileseg.files import atomic_path

ROOT = "/data/local/tmp"  # the folder of a phone in which the shell's user may write and execute
OLDEST_SDK = 21  # Android 5.0: the first with 64-bit ARM programs

_SHORT_S = 30.0  # for commands that do next to nothing
_SLOWEST_BYTES_PER_S = 1 << 20
_HASHES = {"sha256sum": "sha256", "md5sum": "md5", "md5": "md5"}  # program of the device: what it computes
_PAUSE_S = 1.0
_SLICE_S = 10.0
_NO_FOLDER, _NO_EXECUTION = 41, 42


class AdbDevice:
    """A phone. See :class:`paddle_mobileseg.benchmark.devices.base.Device` for what each method promises.

    The work folder's name belongs to this user and computer, so that what a killed run left is used again or removed.

    Args:
        serial: of the phone; ``None``: ``ANDROID_SERIAL``, else the only one attached.
        program: adb's client; ``None``: the variable ``ADB``, else ``adb`` on the ``PATH``.
        environment: of the client; ``None``: this process's.
    """

    kind = "adb"

    def __init__(
        self, serial: str | None = None, program: str | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.client = AdbClient(program, environment)
        self.serial = serial
        self.label = f"phone {serial}" if serial else "phone"
        owner = hashlib.sha256(f"{getpass.getuser()}@{platform.node()}".encode()).hexdigest()[:4]
        self.folder = f"{ROOT}/{FOLDER_PREFIX}{owner}"
        self.properties: dict[str, str] = {}
        self._hash_program: str | None = None
        self._lock: IO[bytes] | None = None

    def check(self, runner: Path | None = None) -> None:
        self.client.start()
        chosen = self.client.choose(self.serial)
        self.serial = chosen.serial
        self.label = f"phone {chosen.serial}"
        self.properties = adb_android.parse_properties(self._shell("getprop").stdout)
        if not self.properties:
            raise DeviceError(f"{self.label} does not say what it is (`adb shell getprop` prints nothing)")
        self.label = adb_android.name(self.properties) or "phone"  # goes into records with messages: no serial
        if self._lock is None:  # of the phone itself, which may be attached twice: by USB and over the network
            self._lock = lock(f"{adb_android.serial_number(self.properties, chosen.serial)}|{self.folder}", self.label)
        level = adb_android.sdk(self.properties)
        if level is None or level < OLDEST_SDK:
            release = self.properties.get("ro.build.version.release", "?")
            raise DeviceError(
                f"{self.label} has Android {release} (SDK {level or 'unknown'}); expected Android 5.0 "
                f"(SDK {OLDEST_SDK}) or newer: measure on another phone"
            )
        if runner is not None:
            check_abi(runner, adb_android.abis(self.properties), self.label)
        self._make_folder()

    def section(self) -> dict[str, Any]:
        return adb_android.section(self.properties, self._shell(linux.SECTION_SCRIPT).stdout, self._serial())

    def state(self) -> dict[str, Any]:
        return adb_android.parse_state(self._shell(adb_android.STATE_SCRIPT).stdout)

    def free_bytes(self) -> int:
        for command in ("df -k", "df"):
            done = self._shell(f"{command} {ROOT}")
            free = adb_android.parse_free_bytes(done.stdout) if done.returncode == 0 else None
            if free is not None:
                return free
        raise DeviceError(f"cannot read the free space of {self.label}: `df {ROOT}` says\n  {done.last_words()}")

    def push(self, local: Path, remote: str) -> None:
        if not local.is_file():
            raise FileNotFoundError(f"no file {local} to copy to {self.label}")
        if self._is_same(local, remote):
            return
        size = local.stat().st_size
        check_space(size, self.free_bytes(), local.name, self.label, ROOT)
        incoming = f"{self.folder}/incoming.part"
        self._must(f"mkdir -p {shlex.quote(posixpath.dirname(remote))}", f"make the folder of {remote}")
        self._copy("push", str(local.absolute()), incoming, size=size)
        if not self._is_same(local, incoming):
            raise DeviceLost(f"{local} arrived damaged on {self.label}; try again, or with another cable")
        place = f"chmod 755 {incoming} && mv {incoming} {shlex.quote(remote)}"
        self._must(place, f"put {remote} in its place")

    def pull(self, remote: str, local: Path) -> None:
        path = shlex.quote(remote)
        done = self._shell(f"[ -f {path} ] && (wc -c < {path} 2>/dev/null; true)")
        if done.returncode != 0:
            raise FileNotFoundError(f"no file {remote} on {self.label}")
        with atomic_path(local) as temporary:
            self._copy("pull", remote, str(temporary.absolute()), size=_size(done.stdout))
            if self._hash_program is not None and not self._is_same(temporary, remote):
                raise DeviceLost(f"{remote} of {self.label} arrived damaged; try again, or with another cable")

    def run(self, argv: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None) -> Completed:
        # The process writes its number down and becomes the program, so that it can be ended if the connection goes.
        started = ["sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh", self._pid_file(), *argv]
        line = f"cd {self.folder} && {quote(started, environment)}"
        with ended_when_late(self._end_run, f"{argv[0]} did not end within {timeout_s:g} s on {self.label}"):
            return self.client.shell(self._serial(), line, timeout_s)

    def wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(DeviceLost, DeviceTimeout):
                if self._is_up(min(left, _SLICE_S)):
                    self._end_run()
                    return
            time.sleep(max(0.0, min(_PAUSE_S, deadline - time.monotonic())))
        with contextlib.suppress(DeviceTimeout):
            self.client.must_work_if_there(self._serial(), self.label)
        raise DeviceLost(f"{self.label} was not back within {timeout_s:g} s; see that it is plugged in and unlocked")

    def cleanup(self) -> None:
        if self._lock is None:  # never checked, or another process's: its run and folder are not touched
            return
        try:
            with contextlib.suppress(DeviceError):
                self._end_run()
                self._shell(f"rm -rf {self.folder}")
        finally:
            self._lock.close()
            self._lock = None

    def _is_up(self, timeout_s: float) -> bool:
        """Whether Android has started completely, waiting up to this time for adb to reach it."""
        serial = self._serial()
        if ":" in serial:  # over the network: adb does not connect again by itself
            self.client.call("connect", serial, timeout_s=timeout_s)
        if self.client.call("wait-for-device", timeout_s=timeout_s, serial=serial).returncode != 0:
            return False
        done = self.client.shell(serial, "getprop sys.boot_completed", _SHORT_S)
        return done.stdout.strip() == "1"

    def _make_folder(self) -> None:
        """Make the work folder, see that programs run in it and which program computes hashes; end a killed run."""
        trial = f"{self.folder}/trial"
        script = f"""(
[ -d {self.folder} ] || mkdir -p {self.folder} || exit {_NO_FOLDER}
echo 'exit 7' > {trial} && chmod 755 {trial} || exit {_NO_FOLDER}
{trial}; [ $? = 7 ] || exit {_NO_EXECUTION}
rm {trial}
for p in {" ".join(_HASHES)}; do command -v $p > /dev/null && echo hash=$p && break; done; exit 0
)"""
        done = self._shell(script)
        if done.returncode == _NO_FOLDER:
            raise DeviceError(f"cannot write to {ROOT} of {self.label}:\n  {done.last_words()}")
        if done.returncode == _NO_EXECUTION:
            raise DeviceError(
                f"{self.label} does not run programs in {ROOT} (mounted noexec, or forbidden by its maker); measure on "
                f"another phone:\n  {done.last_words()}"
            )
        if done.returncode != 0:
            raise DeviceError(
                f"cannot prepare {self.folder} of {self.label}: {done.how_it_ended()}\n  {done.last_words()}"
            )
        found = [line[5:] for line in done.stdout.splitlines() if line.startswith("hash=")]
        self._hash_program = found[0] if found else None
        self._end_run()

    def _end_run(self) -> None:
        """Kill what :meth:`run` started, if it still runs: the process with that number whose folder is ours."""
        pid_file = self._pid_file()
        ours = f"[ /proc/$p/cwd -ef {self.folder} ]"
        self._shell(f"[ -f {pid_file} ] && read -r p < {pid_file} && {ours} && kill -9 $p; rm -f {pid_file}")

    def _is_same(self, local: Path, remote: str) -> bool:
        """Whether the device has this file's content under a name: by hash, or by fetching it where nothing hashes."""
        if self._hash_program is None:
            if self._shell(f"[ -f {shlex.quote(remote)} ]").returncode != 0:
                return False
            with tempfile.TemporaryDirectory() as folder:
                self._copy("pull", remote, str(Path(folder, "back")), size=local.stat().st_size)
                return _digest(Path(folder, "back"), "sha256") == _digest(local, "sha256")
        done = self._shell(f"{self._hash_program} {shlex.quote(remote)} 2>/dev/null", _copy_s(local.stat().st_size))
        return done.returncode == 0 and done.stdout.split()[:1] == [_digest(local, _HASHES[self._hash_program])]

    def _copy(self, direction: str, source: str, target: str, size: int) -> None:
        """``adb push`` or ``adb pull``.

        What the phone says against it has `remote` before it in adb's words: DeviceError. Of a connection that breaks
        the client says nothing, or something that changes with its version: DeviceLost.
        """
        what = f"cannot copy {source} {'to' if direction == 'push' else 'from'} {self.label}"
        try:
            done = self.client.call(direction, source, target, timeout_s=_copy_s(size), serial=self._serial())
        except DeviceTimeout as error:
            raise DeviceLost(f"{what}: {error}") from None
        said = done.stderr + done.stdout
        if "No space left" in said:
            raise DeviceError(f"{what}: no space left; remove something from it")
        if done.returncode != 0:
            raise self.client.error(what, done, lost=": remote " not in said)

    def _must(self, line: str, what: str) -> None:
        done = self._shell(line)
        if done.returncode != 0:
            raise DeviceError(f"cannot {what} on {self.label}: {done.how_it_ended()}\n  {done.last_words()}")

    def _shell(self, line: str, timeout_s: float | None = None) -> Completed:
        """A line for the device's shell that is to end soon; where it does not, the connection hangs."""
        try:
            return self.client.shell(self._serial(), line, timeout_s or _SHORT_S)
        except DeviceTimeout as error:
            raise DeviceLost(f"{self.label} does not answer: {error}") from None

    def _serial(self) -> str:
        if self.serial is None:
            raise DeviceError("the phone is not known yet; call check() first")
        return self.serial

    def _pid_file(self) -> str:
        return f"{self.folder}/run.pid"


def _size(text: str) -> int:
    """What ``wc -c`` printed; where there is none, much."""
    return int(text) if text.strip().isdigit() else 1 << 28


def _copy_s(size: int) -> float:
    return _SHORT_S + size / _SLOWEST_BYTES_PER_S


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
