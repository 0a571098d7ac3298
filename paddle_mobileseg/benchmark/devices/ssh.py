"""An ARM Linux board, or any Linux computer, over ssh: with the OpenSSH client and the user's own configuration.

``ssh:board`` is what ``ssh board`` is: aliases, keys and jump hosts of ``~/.ssh/config`` hold. The server's key has to
be known already, and the client never asks for a password. One connection is kept open and shared by all commands. No
word of a command is read by a shell on the board: each is quoted once.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import platform
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from paddle_mobileseg.benchmark.devices import board
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
    split_status,
    with_status,
)
from paddle_mobileseg.benchmark.devices.ssh_errors import failure, without_hosts
from paddle_mobileseg.files import sha256

_ADDRESS = re.compile(
    r"(?:(?P<user>[\w.][\w.@+\\-]*)@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.][\w.-]*))(?::(?P<port>\d{1,5}))?",
    re.A,
)  # nothing that begins with "-" or that a shell of the user's ssh configuration would read
_OPTIONS = {
    "BatchMode": "yes",  # nobody is there to type a password
    "ClearAllForwardings": "yes",
    "ControlMaster": "no",
    "ControlPersist": "no",  # the shared connection is this program's child, and ends with it
    "LogLevel": "INFO",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "6",
}
_ABIS = {"aarch64": "arm64-v8a", "arm64": "arm64-v8a", "armv7l": "armeabi-v7a", "armv8l": "armeabi-v7a", "i686": "x86"}
# Waits for the end of its input, which this process holds open: were that killed, the connection ends, too.
_UNTIL_WE_END = "exec sh -c 'read -r line'"
_LONGEST_SOCKET = 80  # of the about 104 bytes that a socket's path may have; ssh adds 17

_SHORT_S = 30.0  # for commands that do next to nothing

_CHECK = """\
echo "$HOME"; uname -s; uname -m; getconf LONG_BIT 2>/dev/null || echo; command -v sha256sum || echo
uname -n; cat /etc/machine-id /proc/device-tree/serial-number 2>/dev/null | tr -d '\\0'; :"""
_TRY_FOLDER = """\
mkdir -p {0} && cd {0} && printf '#!/bin/sh\\nexit 0\\n' > .try-{1} && chmod 755 .try-{1} || exit 3
./.try-{1}; s=$?; rm -f .try-{1}; [ $s = 0 ] || exit 4
"""
# The shell that sshd starts leads a process group of its own; the boot, its number and when it started are kept until
# the program ends: another process may have the number later. All that are there are ended: one process measures at a
# time, so that others are left over from one that was killed.
_NOTE_GROUP = "read -r b < /proc/sys/kernel/random/boot_id; set -- $(cat /proc/$$/stat); echo $b $5 ${{22}} > {0}"
_KILL_GROUPS = """\
read -r now < /proc/sys/kernel/random/boot_id
for f in {0}/.run-*; do [ -f "$f" ] || continue
read -r b g t < "$f"; set -- $(cat "/proc/$g/stat" 2>/dev/null)
[ "$b $t" = "$now ${{22:-gone}}" ] && kill -s KILL -- "-$g" 2>/dev/null; rm -f "$f"; done; :
"""


class SshDevice:
    """A Linux machine that ssh reaches; see :class:`paddle_mobileseg.benchmark.devices.base.Device`.

    Args:
        address: ``[USER@]HOST[:PORT]``; the host may be an alias of ``~/.ssh/config``, or ``[IPv6 address]``.
        folder: work folder on the device, absolute; by default one of this user and computer in the first of the home
            folder, ``/var/tmp`` and ``/tmp`` that can be written and run programs.
        ssh_options: further words for the client, such as ``-F FILE``.
        connect_timeout_s: of one attempt to connect.

    Raises:
        ValueError: no such address.
    """

    kind = "ssh"

    def __init__(
        self,
        address: str,
        folder: str | None = None,
        ssh_options: Sequence[str] = (),
        connect_timeout_s: int = 10,
    ) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match["port"] or 22) < 65536:
            raise ValueError(f"ssh:{address} is no address; expected ssh:[USER@]HOST[:PORT], such as ssh:pi@board:22")
        host = match["ipv6"] or match["host"]
        self.label = self._address = address
        self.folder = folder or ""
        self._folder = folder
        self._destination = f"{match['user']}@{host}" if match["user"] else host
        self._options = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
        self._options += [f"-oConnectTimeout={connect_timeout_s}", *(["-p", match["port"]] if match["port"] else [])]
        self._options += ssh_options
        self._connect_timeout_s = connect_timeout_s
        self._private = _private_folder()
        self._control = f"{self._private}/control"
        self._token = secrets.token_hex(4)
        self._runs = 0
        self._checked_once = False
        self._taken: IO[bytes] | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._abis: list[str] = []
        self._held: list[subprocess.Popen[bytes]] = []
        weakref.finalize(self, _close, self._held, self._private)

    def check(self, runner: Path | None = None) -> None:
        """See :class:`Device`. DeviceError: no ssh, unknown host or key, no Linux, no usable folder, wrong ABI."""
        try:
            self._look(runner)
        except BaseException:
            self.cleanup()
            raise

    def _look(self, runner: Path | None) -> None:
        done = self._shell(_CHECK, _SHORT_S)
        home, system, machine, bits, hasher, *identity = [*done.stdout.splitlines(), "", "", "", "", ""]
        if system != "Linux":
            raise DeviceError(f"{self.label} runs {system or 'an unknown system'}; expected Linux")
        if not hasher:
            raise DeviceError(f"{self.label} has no sha256sum, which checks what is copied; install coreutils there")
        abi = _ABIS.get(machine, machine)
        if self._taken is None:  # of the board itself, which may have several addresses, and of the user there
            self._taken = lock(f"{' '.join(identity)}|{home}|{self._folder}", self.label)
        self._abis = ["armeabi-v7a" if abi == "arm64-v8a" and bits == "32" else abi]
        self.folder = self._usable_folder(home)
        self._kill_groups()
        if runner is not None:
            check_abi(runner, self._abis, self.label)
        self.label = self.section()["name"] or "board"
        self._checked_once = True

    def _usable_folder(self, home: str) -> str:
        owner = hashlib.sha256(f"{getpass.getuser()}@{platform.node()}".encode()).hexdigest()[:4]
        name = f"{FOLDER_PREFIX}{owner}"
        candidates = [self._folder] if self._folder else [f"{home}/{name}", f"/var/tmp/{name}", f"/tmp/{name}"]
        why = []
        for folder in candidates:
            done = self._shell(_TRY_FOLDER.format(shlex.quote(folder), self._token), _SHORT_S)
            if done.returncode == 0:
                return folder
            reason = "programs there may not be run (mounted noexec?)" if done.returncode == 4 else "cannot be written"
            why.append(f"{folder}: {reason} ({' '.join(done.stderr.split())})")
        raise DeviceError(f"{self.label} has no folder to work in; " + "; ".join(why))

    def section(self) -> dict[str, Any]:
        """The record's ``device``: kind ``ssh``, the board's name from its device tree, else the processor's."""
        return board.parse_section(
            self._checked(board.SECTION_SCRIPT, "be asked what it is"), self._abis[0] if self._abis else None
        )

    def state(self) -> dict[str, Any]:
        """The record's state; throttling as a Raspberry Pi says it, or by a cooling device that acts."""
        return board.parse_state(self._checked(board.STATE_SCRIPT, "be asked for its state"))

    def free_bytes(self) -> int:
        """Free space of the work folder, as ``df`` says."""
        folder = shlex.quote(self.folder)  # which a restart may have emptied, as below /tmp
        text = self._checked(f"mkdir -p -- {folder} && df -Pk -- {folder}", "say how much space is free")
        fields = text.splitlines()[-1].split()
        if len(fields) < 4 or not fields[3].isdigit():
            raise DeviceError(f"{self.label}: df printed {text.strip()!r}; expected a table with free KiB")
        return int(fields[3]) * 1024

    def push(self, local: Path, remote: str) -> None:
        """See :class:`Device`. DeviceError: no space; FileNotFoundError: no such file here."""
        wanted = sha256(local)
        target, part = shlex.quote(remote), shlex.quote(f"{remote}.{self._token}.part")
        mode = "755" if os.access(local, os.X_OK) else "644"
        there = self._shell(f"[ ! -f {target} ] || {{ sha256sum < {target} && chmod {mode} {target}; }}", 120)
        if there.stdout.split()[:1] == [wanted]:
            return
        check_space(local.stat().st_size, self.free_bytes(), local.name, self.label, self.folder)
        script = (
            f"mkdir -p -- {shlex.quote(os.path.dirname(remote) or '.')} && cat > {part} && sha256sum < {part} "
            f"&& chmod {mode} {part}"
        )
        with open(local, "rb") as file:
            done = self._shell(script, 600, file)
        if done.returncode != 0:
            self._shell(f"rm -f -- {part}", _SHORT_S)
            raise DeviceError(f"cannot copy {local.name} to {self.label}:{remote}:\n  {done.last_words()}")
        if done.stdout.split()[:1] != [wanted]:
            raise DeviceLost(f"{local.name} did not arrive at {self.label} as it was sent")
        self._checked(f"mv -f -- {part} {target}", f"rename {remote}")

    def pull(self, remote: str, local: Path) -> None:
        """See :class:`Device`."""
        source = shlex.quote(remote)
        done = self._shell(f"[ -f {source} ] && sha256sum < {source}", 120)
        if done.returncode != 0:
            raise FileNotFoundError(f"{self.label} has no file {remote}")
        part = local.with_name(f".{local.name}.{self._token}.part")
        try:
            returncode, content, stderr = self._ssh(f"cat -- {source}", 600)
            if returncode != 0:
                raise self._failure(stderr)
            part.write_bytes(content)
            if sha256(part) != done.stdout.split()[0]:
                raise DeviceLost(f"{remote} did not arrive from {self.label} as it is there")
            os.replace(part, local)
        finally:
            part.unlink(missing_ok=True)

    def run(self, argv: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None) -> Completed:
        """See :class:`Device`. The program's whole process group is ended with it when it is too slow."""
        with self._lock:
            self._runs += 1
            note = shlex.quote(f"{self.folder}/.run-{self._token}-{self._runs}")
        start = f"cd {shlex.quote(self.folder)} || exit; {_NOTE_GROUP.format(note)}"
        script = with_status(f"( {start}; {quote(argv, environment)} )") + f"; rm -f {note}"
        with ended_when_late(self._kill_groups, f"{argv[0]} did not end within {timeout_s:g} s on {self.label}"):
            return self._status(script, timeout_s)

    def wait(self, timeout_s: float) -> None:
        """See :class:`Device`. What still runs from before the disconnect is ended."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._drop_master()
            try:
                self._kill_groups()
                return
            except DeviceLost as error:
                if time.monotonic() >= deadline:
                    raise DeviceLost(f"{self.label} did not come back in {timeout_s:g} s: {error}") from error
            time.sleep(min(1.0, max(deadline - time.monotonic(), 0.0)))

    def cleanup(self) -> None:
        """See :class:`Device`; the connection is closed too."""
        if self._taken is None:  # never checked, or another process's: its runs and folder are not touched
            return self._give_up()
        with contextlib.suppress(OSError):
            if self.folder:
                self._kill_groups()
                self._shell(f"rm -rf -- {shlex.quote(self.folder)}", 60)
        self._give_up()

    def _give_up(self) -> None:
        self._drop_master()
        if self._taken is not None:
            self._taken.close()
            self._taken = None

    def _failure(self, said: str) -> DeviceError:
        """Once the device is known, without host, user and port: messages get into records, which name nobody."""
        if self._checked_once:
            said = without_hosts(said, re.split(r"[@:\[\]]+", self._address))
        return failure(self.label, said)

    def _kill_groups(self) -> None:
        self._shell(_KILL_GROUPS.format(shlex.quote(self.folder or ".")), _SHORT_S)

    def _checked(self, script: str, purpose: str) -> str:
        done = self._shell(script, 60)
        if done.returncode != 0:
            raise DeviceError(f"{self.label} cannot {purpose}:\n  {done.last_words()}")
        return done.stdout

    def _shell(self, script: str, timeout_s: float, stdin: IO[bytes] | None = None) -> Completed:
        """Run a script of ours, whatever its exit status; where it does not end, the connection hangs."""
        try:
            return self._status(with_status(f"( {script}\n)"), timeout_s, stdin)
        except DeviceTimeout as error:
            raise DeviceLost(f"{self.label} does not answer: {error}") from None

    def _status(self, script: str, timeout_s: float, stdin: IO[bytes] | None = None) -> Completed:
        _, stdout, stderr = self._ssh(script, timeout_s, stdin)
        found = split_status(stdout.decode(errors="replace"))
        if found is None:
            raise self._failure(stderr)
        return Completed(found[1], found[0], stderr.replace("\r\n", "\n"))

    def _ssh(self, script: str, timeout_s: float, stdin: IO[bytes] | None = None) -> tuple[int, bytes, str]:
        """The client's exit status, what one script in the board's ``sh`` prints, and error output."""
        self._connect()
        mark = f"mobileseg-start:{self._token}\n"  # the login shell before it may print what its .bashrc says
        script = f"echo {mark}{script}"
        process = self._client(
            ["-S", self._control, *self._options, "--", self._destination, f"exec sh -c {shlex.quote(script)}"],
            stdin or subprocess.DEVNULL,
            subprocess.PIPE,
        )
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DeviceTimeout(f"{self.label}: not done after {timeout_s:g} s") from error
        finally:
            if process.returncode is None:  # the shared connection has its pipes too, so that they may not end
                process.kill()
                process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        return process.returncode, out.partition(mark.encode())[2], err.decode(errors="replace")

    def _connect(self) -> None:
        """Open the connection that all commands share, unless it is open."""
        with self._lock:
            if self._master is not None and self._master.poll() is None:
                return
            self._drop_master()
            with open(f"{self._private}/said", "w+b") as said:
                words = ["-M", "-S", self._control, *self._options, "--", self._destination, _UNTIL_WE_END]
                master = self._client(words, subprocess.PIPE, subprocess.DEVNULL, said)
                self._master = master
                self._held[:] = [master]
                deadline = time.monotonic() + self._connect_timeout_s + 20
                while not os.path.exists(self._control) and master.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                if os.path.exists(self._control):
                    return
                self._drop_master()
                said.seek(0)
                text = said.read().decode(errors="replace")
            raise self._failure(text or "Connection timed out")

    def _drop_master(self) -> None:
        if self._master is not None:
            _end(self._master)
            self._master = None
            self._held.clear()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._control)

    def _client(self, words: list[str], stdin: Any, stdout: Any, stderr: Any = subprocess.PIPE) -> subprocess.Popen:
        try:
            return subprocess.Popen(
                ["ssh", *words], stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )  # Ctrl-C is for this program, which ends what it started
        except FileNotFoundError as error:
            raise DeviceError(
                "there is no program ssh; install OpenSSH's client (Debian: openssh-client) to measure on ssh:..."
            ) from error


def _private_folder() -> str:
    """For the shared connection's socket, whose path must be short."""
    folder = tempfile.mkdtemp(prefix="mobileseg-")
    if len(folder) > _LONGEST_SOCKET:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="mobileseg-", dir="/tmp")
    return folder


def _end(process: subprocess.Popen) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(held: list[subprocess.Popen], private: str) -> None:
    for process in held:
        _end(process)
    shutil.rmtree(private, ignore_errors=True)
