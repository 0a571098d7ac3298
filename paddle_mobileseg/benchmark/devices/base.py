"""What a device is to the benchmark, whatever carries the commands: adb or ssh.

A device runs argument lists, takes and gives files, and says what it is and how warm it is. Connections break: whatever
raises :class:`DeviceLost` may be tried again after :meth:`Device.wait`; any other :class:`DeviceError` needs the user.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import re
import shlex
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from paddle_mobileseg.child_process import how_it_ended, last_words

FOLDER_PREFIX = "paddle_mobileseg-"
LEAST_FREE_BYTES = 16 << 20  # left over after a push, so that the device itself goes on working

_ABI_OF_MACHINE = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a", 243: "riscv64"}
_EXIT_MARK = "mobileseg-exit-status:"


class DeviceError(OSError):
    """A device that cannot be used as it is; the message says what the user can do."""


class DeviceLost(DeviceError):  # noqa: N818 - says what happened
    """The connection went, or the device restarted: the same may work after :meth:`Device.wait`."""


class DeviceTimeout(DeviceError):  # noqa: N818
    """A command took too long; it was ended on the device."""


@dataclass(frozen=True)
class Completed:
    """A command that ended on a device.

    Attributes:
        returncode: exit status as a shell says it: 126 not executable, 127 not found, 128 + N died of signal N.
        stdout: text with ``\\n`` line ends.
        stderr: the same; of devices before Android 7 empty, because there stdout has both.
    """

    returncode: int
    stdout: str
    stderr: str

    def how_it_ended(self) -> str:
        """``failed (exit status 1)``, ``died of SIGSEGV``."""
        return how_it_ended(self.returncode if self.returncode <= 128 else 128 - self.returncode)

    def last_words(self) -> str:
        """The last lines of its error output, or of its output where that is empty; indented."""
        return last_words(self.stderr if self.stderr.strip() else self.stdout)


class Device(Protocol):
    """A phone or board. Remote paths are absolute, below :attr:`folder`.

    Attributes:
        kind: ``adb`` or ``ssh``, as in records.
        label: for messages, which records keep: after :meth:`check` of a phone its model, never its serial number.
        folder: the work folder on the device; :meth:`check` makes it, :meth:`cleanup` removes it.
    """

    kind: str
    label: str
    folder: str

    def check(self, runner: Path | None = None) -> None:
        """Find the device and see that it can be measured on; with ``runner`` also that this program can run there.

        Must be called before the others. Raises DeviceError that says what to do, DeviceLost.
        """

    def section(self) -> dict[str, Any]:
        """The record's ``device``."""

    def state(self) -> dict[str, Any]:
        """The record's ``$defs/state`` without ``at_s``; what cannot be read is ``None`` or left out."""

    def free_bytes(self) -> int:
        """Free space of :attr:`folder`, bytes."""

    def push(self, local: Path, remote: str) -> None:
        """Copy a file, checked by its hash; nothing is copied where the same is there already.

        The file may be executed if it may be here. Folders on the way are made. A broken copy never has the name.
        """

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the device, checked by its hash; a broken copy never has the name.

        Raises FileNotFoundError where the device has no such file.
        """

    def run(self, argv: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None) -> Completed:
        """Run a program in :attr:`folder` with these exact words and, besides the device's own, this environment.

        Never raises for what the program's exit status is. After ``timeout_s`` it is killed: DeviceTimeout.
        """

    def wait(self, timeout_s: float) -> None:
        """Wait until commands run again, after a disconnect or while the device starts.

        Raises DeviceLost when it was not back in time.
        """

    def cleanup(self) -> None:
        """Remove the work folder, and end what still runs from it. Says nothing when the device is gone.

        Does nothing where :meth:`check` did not get the device, which another process measures.
        """


def lock(name: str, label: str) -> IO[bytes]:
    """Keep a device for this process, until the file is closed or the process ends.

    Args:
        name: of the device itself, however it is reached, and its work folder; the lock is one of this user on this
            computer.
        label: of the device, for the message.

    Raises:
        DeviceError: another process, or another object of this one, has it; or there is no folder for the lock.
    """
    digest = hashlib.sha256(f"{getpass.getuser()}|{name}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"{FOLDER_PREFIX}{digest}.lock")
    try:
        file = open(path, "ab")  # noqa: SIM115 - kept open
    except OSError as error:
        raise DeviceError(f"cannot write {path}, which keeps {label} for one process: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise DeviceError(
            f"{label} is being measured by another process; wait for that: two at once measure each other"
        ) from None
    return file


@contextlib.contextmanager
def ended_when_late(end: Callable[[], object], what: str) -> Iterator[None]:
    """A program runs on a device within the block: ``end`` ends it when it is too slow, and after Ctrl-C.

    Raises:
        DeviceTimeout: with ``what``.
    """
    try:
        yield
    except DeviceTimeout:
        end()
        raise DeviceTimeout(f"{what}; it was killed") from None
    except KeyboardInterrupt:
        with contextlib.suppress(DeviceError):
            end()
        raise


def without_address(command: str | None) -> str | None:
    """A command line for records, in which ``adb:SERIAL`` is ``adb`` and ``ssh:[USER@]HOST[:PORT]`` is ``ssh:HOST``."""
    if command is None:
        return None
    try:
        words = shlex.split(command)
    except ValueError:  # not a shell's line: as words between blanks
        words = command.split()
    hidden = [re.sub(r"^(--\w+=)?(?:(adb):.+|(ssh:).+)$", _hidden, word, flags=re.S) for word in words]
    return command if hidden == words else shlex.join(hidden)


def _hidden(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{found[2] or 'ssh:HOST'}"


def quote(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """One line for a POSIX shell that runs exactly these words (adb and ssh join their arguments with blanks)."""
    if not argv or any("\0" in word for word in argv):
        raise ValueError(f"cannot run {list(argv)!r}; expected words without NUL, at least one")
    for name in environment or {}:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} is no name of an environment variable")
    settings = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
    return " ".join([*settings, shlex.join(argv)])


def with_status(line: str) -> str:
    """A shell line that says its exit status last; :func:`split_status` takes that off again.

    How a client ended does not tell a program's own exit status from a connection that was lost: this does.
    """
    return f"{line.rstrip()}; s=$?; echo; echo {_EXIT_MARK}$s"


def split_status(output: str) -> tuple[str, int] | None:
    """Output and exit status of a line made by :func:`with_status`; ``None`` where the status is missing: cut off."""
    text, mark, status = output.replace("\r\n", "\n").rpartition(f"\n{_EXIT_MARK}")
    return (text, int(status)) if mark and status.endswith("\n") and status.strip().isdigit() else None


def abi_of(program: Path) -> str | None:
    """Android's name of the processor that a program was built for, from its ELF header; ``None`` for a script.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither an ELF program nor a script that begins with ``#!``.
    """
    if not program.is_file():
        raise FileNotFoundError(f"no runner {program}; build deploy/lite/cpp for the device (docs/learn/cpp.md)")
    with open(program, "rb") as file:
        head = file.read(20)
    if head.startswith(b"#!"):
        return None
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        raise ValueError(f"{program} is not a program for a device (no ELF header); expected a mobileseg_lite_run")
    (machine,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    return _ABI_OF_MACHINE.get(machine, f"ELF machine {machine}")


def check_abi(runner: Path, abis: Sequence[str], label: str) -> None:
    """Raise DeviceError where a runner was built for another processor than the device's (its ABIs, best first)."""
    abi = abi_of(runner)
    if abi is not None and abi not in abis:
        raise DeviceError(
            f"{runner} is built for {abi}, but {label} runs {', '.join(abis) or 'an unknown ABI'}; build "
            f"deploy/lite/cpp for {abis[0] if abis else 'it'} (docs/learn/cpp.md) and give that with --runner"
        )


def check_space(needed: int, free: int, what: str, label: str, folder: str) -> None:
    """Raise DeviceError where ``needed`` bytes do not go into ``free`` with something left for the device."""
    if needed + LEAST_FREE_BYTES > free:
        raise DeviceError(
            f"no space on {label} for {what}: {mib(needed)} and {mib(LEAST_FREE_BYTES)} to spare needed, "
            f"{mib(free)} free in {folder}; remove something from it"
        )


def mib(count: int) -> str:
    """Bytes as ``1.5 MiB``."""
    return f"{count / 2**20:.1f} MiB"
