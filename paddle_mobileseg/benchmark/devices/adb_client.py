"""Calls of Android's own ``adb`` client, and what its words mean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from paddle_mobileseg.benchmark.devices.base import (
    Completed,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    split_status,
    with_status,
)
from paddle_mobileseg.child_process import how_it_ended, last_words
from paddle_mobileseg.suggestion import did_you_mean

_START_S = 60.0
_LIST_S = 20.0
_INSTALL = (
    "install Android's platform-tools (Debian, Ubuntu: `apt-get install adb`; "
    "macOS: `brew install android-platform-tools`)"
)
_LOST = re.compile(
    r"device (still )?(offline|connecting|authorizing)|device '.*' not found|device not found|no devices|closed|"
    r"protocol (fault|error)|couldn't read|failed to (read|write|get feature set)|connection (reset|refused|failed)|"
    r"broken pipe|\bEOF\b|transport|no response|daemon",
    re.IGNORECASE,
)
_NEEDS_USER = {
    "unauthorized": "unlock the phone and accept its question 'Allow USB debugging?' (no question: revoke USB "
    "debugging authorisations in the developer options and plug the cable in again)",
    "no permissions": "this user may not open the USB device: add a udev rule for it (Debian, Ubuntu: `apt-get install "
    "android-sdk-platform-tools-common`, then be in the group plugdev and log in again), or set the phone's USB "
    "mode to file transfer",
    "recovery": "restart it into Android",
    "sideload": "restart it into Android",
    "bootloader": "restart it into Android",
    "rescue": "restart it into Android",
}


@dataclass(frozen=True)
class Attached:
    """A line of ``adb devices -l``.

    Attributes:
        serial: such as ``emulator-5554``, ``192.168.0.7:5555``.
        state: ``device`` is the one that works; ``offline``, ``unauthorized``, ``no permissions``, ``recovery`` ...
        model: as adb writes it, with ``_`` for blanks; empty where the state hides it.
    """

    serial: str
    state: str
    model: str

    def __str__(self) -> str:
        return f"{self.serial} ({', '.join(word for word in (self.model, self.state) if word)})"


def parse_devices(text: str) -> list[Attached]:
    """What ``adb devices -l`` printed."""
    found = []
    for line in text.partition("List of devices attached")[2].splitlines():
        match = re.match(r"(\S+)\s+(no permissions|\S+)", line)
        if match:
            model = re.search(r"\bmodel:(\S+)", line)
            found.append(Attached(match[1], match[2], model[1] if model else ""))
    return found


class AdbClient:
    """The ``adb`` program; never a shell on this machine.

    Args:
        program: of the client; ``None``: the environment's ``ADB``, else ``adb`` on the ``PATH``.
        environment: for it, such as ``ANDROID_ADB_SERVER_PORT``; ``None``: this process's.
    """

    def __init__(self, program: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.environment = dict(os.environ if environment is None else environment)
        self.program = program or self.environment.get("ADB") or "adb"

    def start(self) -> None:
        """See that the program is there and talks to adb's server, which it starts where none runs.

        Raises:
            DeviceError: it is not, with what to install.
        """
        if shutil.which(self.program, path=self.environment.get("PATH")) is None:
            raise DeviceError(f"there is no program {self.program}; {_INSTALL}, or name it with the variable ADB")
        try:
            done = self._run(["start-server"], _START_S)
        except DeviceTimeout as error:
            raise DeviceError(f"adb's server does not answer ({error}); end it with `adb kill-server`") from None
        if done.returncode != 0:
            raise DeviceError(
                f"`{self.program} start-server` {how_it_ended(done.returncode)}; is its port "
                f"(ANDROID_ADB_SERVER_PORT, 5037) taken by another program? Last words:\n  {last_words(done.stderr)}"
            )

    def devices(self) -> list[Attached]:
        """What is attached."""
        done = self.call("devices", "-l", timeout_s=_LIST_S)
        if done.returncode != 0:
            raise self.error("cannot list the devices", done)
        return parse_devices(done.stdout)

    def choose(self, serial: str | None) -> Attached:
        """The device to use, in state ``device``.

        Args:
            serial: of it; ``None``: ``ANDROID_SERIAL``, else the only one.

        Raises:
            DeviceLost: it is offline.
            DeviceError: there is none, or several, or not this one, or it must be unlocked, authorised ...
        """
        serial = serial or self.environment.get("ANDROID_SERIAL") or None
        attached = self.devices()
        if not attached:
            raise DeviceError(
                f"no device{f' {serial}' if serial else ''}: `{self.program} devices` lists none; switch on USB "
                "debugging on the phone, plug it in with a cable that carries data and unlock it (docs/learn/phone.md)"
            )
        if serial is None and len(attached) > 1:
            raise DeviceError(
                f"{len(attached)} devices are attached; choose one with --device adb:SERIAL or ANDROID_SERIAL:\n  "
                + "\n  ".join(map(str, attached))
            )
        chosen = attached[0] if serial is None else next((each for each in attached if each.serial == serial), None)
        if chosen is None:
            raise DeviceError(
                f"no device {serial!r}; attached: {', '.join(map(str, attached))}"
                + did_you_mean(serial, [each.serial for each in attached])
            )
        _needs_user(chosen, f"device {chosen.serial}")
        if chosen.state != "device":
            raise DeviceLost(
                f"device {chosen.serial} is in state '{chosen.state}': wait until it has started, or plug it in again "
                f"(`{self.program} reconnect offline`)"
            )
        return chosen

    def must_work_if_there(self, serial: str, label: str) -> None:
        """Raise DeviceError where this device is attached in a state that only the user can change."""
        for each in self.devices():
            if each.serial == serial:
                _needs_user(each, label)

    def call(self, *words: str, timeout_s: float, serial: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the client. Raises DeviceTimeout when it did not end in time (it is killed)."""
        return self._run(["-s", serial, *words] if serial else list(words), timeout_s)

    def shell(self, serial: str, line: str, timeout_s: float) -> Completed:
        """Run a line in the device's shell; its exit status is read from what it prints last (old devices give none).

        Raises:
            DeviceLost: the connection went before the end.
            DeviceTimeout: the line did not end in time; it may still run on the device.
        """
        done = self.call("shell", with_status(line), timeout_s=timeout_s, serial=serial)
        ended = split_status(done.stdout)
        if ended is None:
            raise self.error("lost the phone in a command", done, lost=True)
        return Completed(ended[1], ended[0], done.stderr.replace("\r\n", "\n"))

    def error(self, what: str, done: subprocess.CompletedProcess[str], lost: bool = False) -> DeviceError:
        """The exception for a client that failed, by its words; ``lost`` decides where those do not."""
        words = f"{done.stderr}\n{done.stdout[-2000:]}"
        if done.args[1] == "-s":
            words = words.replace(done.args[2], "SERIAL")  # messages go into records
        for state, sign in (("unauthorized", "device unauthorized"), ("no permissions", "insufficient permissions")):
            if sign in words:
                return DeviceError(f"{what}: {last_words(words).strip()}; {_NEEDS_USER[state]}")
        message = f"{what}: `adb` {how_it_ended(done.returncode)}; last words:\n  {last_words(words)}"
        return DeviceLost(message) if lost or _LOST.search(words) else DeviceError(message)

    def _run(self, words: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        command = [self.program, *words]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self.environment,
                encoding="utf-8",
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            verb = words[2] if words[0] == "-s" else words[0]
            raise DeviceTimeout(f"`adb {verb}` did not end within {timeout_s:g} s") from None
        except OSError as error:
            raise DeviceError(f"cannot run {self.program}: {error.strerror or error}; {_INSTALL}") from error


def _needs_user(found: Attached, label: str) -> None:
    if found.state in _NEEDS_USER:
        raise DeviceError(f"{label} is in state '{found.state}': {_NEEDS_USER[found.state]}")
