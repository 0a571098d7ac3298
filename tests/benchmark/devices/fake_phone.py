"""A phone as far as adb's server sees it: files, and a shell that really runs what it is given.

A description in ``phones/*.yml`` says what the phone is. Its files lie in a folder; each command line runs in this
machine's ``sh``, where paths below /sys, /data and some of /proc are those of that folder, and the only programs are
those that the description names. ``getprop``, ``dumpsys`` and ``df`` print what it says.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

PHONES = Path(__file__).parent / "phones"
ROOT = "/data/local/tmp"

# Paths that are the phone's. /proc/PID stays this machine's, because the processes are.
_PHONE_PATH = re.compile(r"(?<![\w./-])(?=/(?:sys|data)(?:/|\b)|/proc/(?:meminfo|cpuinfo|loadavg|version|sys)\b)")


class FakePhone:
    """A phone.

    Args:
        name: of a file in ``phones``, without ``.yml``.
        folder: an empty one for its files.
        shell: that runs commands.
        environment: for its programs, besides ``PATH``.
        changes: what differs from the description, such as ``{"serial": "B", "state": "offline", "free_kib": 100}``.

    Attributes:
        state: as ``adb devices`` shows it: device, offline, unauthorized, no permissions.
        absent: requests for which it still cannot be reached; counts down.
        starting: commands after which Android has started completely; counts down.
        before_command: called with each command line before it runs; a test changes the phone with it.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        shell: str = "/bin/sh",
        environment: Mapping[str, str] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        about = yaml.safe_load((PHONES / f"{name}.yml").read_text(encoding="utf-8")) | dict(changes or {})
        self.about: dict[str, Any] = about
        self.serial: str = about["serial"]
        # Of its own, so that no other phone, of another run of the tests either, is taken for it.
        about["properties"]["ro.serialno"] = f"{self.serial}-{uuid.uuid4().hex[:8]}"
        self.features: list[str] = about["features"]
        self.state: str = about.get("state", "device")
        self.free_kib: int = about["free_kib"]
        self.absent = 0
        self.starting = 0
        self.before_command: Callable[[str], None] | None = None
        self.folder = folder
        self._environment = {"PATH": str(folder / "bin"), "HOME": "/", **(environment or {})}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._make_files()
        self._make_programs(shell)

    @property
    def model(self) -> str:
        return re.sub(r"\W", "_", self.about["properties"]["ro.product.model"])

    def path(self, remote: str) -> Path:
        """Where a file of the phone is on this machine."""
        return self.folder / remote.lstrip("/")

    def write(self, remote: str, text: str) -> None:
        """Change a file, such as a sensor's ``temp``."""
        path = self.path(remote)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def set_temperatures(self, celsius: float) -> None:
        """All thermal zones, and those of thermalservice, to one temperature."""
        for zone in self.path("/sys/class/thermal").glob("thermal_zone*/temp"):
            zone.write_text(f"{round(celsius * 1000)}\n")
        text = self.about["dumpsys"].get("thermalservice")
        if text:
            self.set_dumpsys(
                "thermalservice", re.sub(r"mValue=[\d.]+, mType=([0-5])", rf"mValue={celsius}, mType=\1", text)
            )

    def set_dumpsys(self, service: str, text: str) -> None:
        """What ``dumpsys SERVICE`` prints."""
        self.write(f"/.dumpsys/{service}", text)

    def set_property(self, name: str, value: str) -> None:
        self.about["properties"][name] = value
        lines = [f"[{key}]: [{each}]" for key, each in sorted(self.about["properties"].items())]
        self.write("/.properties/all", "\n".join(lines) + "\n")
        self.write(f"/.properties/{name}", value + "\n")

    def reboot(self, absent: int = 10, starting: int = 2) -> None:
        """Restart: programs end, it is away for so many requests and starts for so many commands; files stay."""
        self.end_programs()
        self.write("/proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")
        self.absent, self.starting = absent, starting
        self.set_property("sys.boot_completed", "0" if starting else "1")

    def is_there(self) -> bool:
        """Whether a request reaches it; counts down :attr:`absent`."""
        with self._lock:
            self.absent = max(0, self.absent - 1)
            return self.absent == 0

    def command(
        self, line: str, ready: Callable[[subprocess.Popen[bytes]], bool], merged: bool
    ) -> tuple[bytes, bytes, int]:
        """Run a command line: stdout, stderr (``merged``: in stdout) and exit status.

        ``ready`` gets the process that has just started and says whether its end is to be waited for.
        """
        if self.before_command is not None:
            self.before_command(line)
        with self._lock:
            if self.starting and "getprop sys.boot_completed" in line:
                self.starting -= 1
                if not self.starting:
                    self.set_property("sys.boot_completed", "1")
        with self._lock:
            if self._closed:
                return b"", b"", -1
            process = subprocess.Popen(
                [str(self.folder / "bin" / "sh"), "-c", _PHONE_PATH.sub(lambda _: str(self.folder), line)],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                start_new_session=True,
            )
            self._processes.append(process)
        if not ready(process):
            return b"", b"", -1
        out, err = process.communicate()
        here = str(self.folder).encode()
        return out.replace(here, b""), (err or b"").replace(here, b""), process.returncode

    def crash(self, process: subprocess.Popen[bytes], number: int = signal.SIGSEGV) -> None:
        """Send a signal to the program that a command line runs."""
        pid, deadline = process.pid, time.monotonic() + 5
        while time.monotonic() < deadline:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children:
                pid = int(children[-1])
            elif pid != process.pid:
                break
        os.kill(pid, number)

    def running(self) -> int:
        """How many command lines have not ended."""
        return sum(process.poll() is None for process in self._processes)

    def end_programs(self) -> None:
        """Kill all that runs, and wait for it: who started it may have gone with its connection."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """End all programs for good."""
        with self._lock:
            self._closed = True
        self.end_programs()

    def _make_files(self) -> None:
        self.path(ROOT).mkdir(parents=True)
        for number, (kind, value) in enumerate(self.about.get("thermal_zones", [])):
            zone = f"/sys/class/thermal/thermal_zone{number}"
            self.write(f"{zone}/type", f"{kind}\n")
            if value is not None:
                self.write(f"{zone}/temp", f"{value}\n")
        for number, (frequency_khz, governor) in enumerate(self.about.get("cores", [])):
            core = f"/sys/devices/system/cpu/cpu{number}"
            self.path(core).mkdir(parents=True)
            if frequency_khz is not None:
                self.write(f"{core}/cpufreq/scaling_cur_freq", f"{frequency_khz}\n")
                self.write(f"{core}/cpufreq/scaling_governor", f"{governor}\n")
        for remote, text in self.about.get("files", {}).items():
            self.write(remote, text)
        for service, text in self.about.get("dumpsys", {}).items():
            self.set_dumpsys(service, text)
        for name, value in list(self.about["properties"].items()):
            self.set_property(name, str(value))
        self.write("/proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")

    def _make_programs(self, shell: str) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "sh").symlink_to(shell)
        for name in self.about["programs"]:
            found = shutil.which(name)
            assert found is not None, f"this machine has no {name}"
            (programs / name).symlink_to(found)
        cat = shutil.which("cat")
        own = {
            "getprop": f"[ $# = 0 ] && exec {cat} {self.folder}/.properties/all\n"
            f'{cat} "{self.folder}/.properties/$1" 2>/dev/null || echo',
            "dumpsys": f'{cat} "{self.folder}/.dumpsys/$1" 2>/dev/null || echo "Can\'t find service: $1"',
            "df": self._df(),
        }
        if self.about.get("noexec"):
            own["chmod"] = "exit 0"
        if self.about.get("read_only"):
            own["mkdir"] = 'echo "mkdir: $2: Read-only file system" >&2; exit 1'
        for name, script in own.items():
            path = programs / name
            path.unlink(missing_ok=True)
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    def _df(self) -> str:
        if self.about.get("df") == "old":
            return (
                '[ "$1" = -k ] && { echo "$1: No such file or directory"; exit 1; }\n'
                'echo "Filesystem               Size     Used     Free   Blksize"\n'
                f'echo "/data                    1.6G   1.5G   {self.free_kib / 1024:.1f}M   4096"'
            )
        return (
            'echo "Filesystem      1K-blocks     Used Available Use% Mounted on"\n'
            f'echo "/dev/block/dm-5 115249236 25333896 {self.free_kib}  23% /data/user/0"'
        )
