"""A server of OpenSSH on this machine, for the user who runs the tests: own keys, own port, own folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from paddle_mobileseg.benchmark.devices.ssh import SshDevice
from tests.processes import children


class LocalSshd:
    """A server that can be stopped, started again and set up anew.

    Attributes:
        address: ``USER@127.0.0.1:PORT``.
        options: for :class:`SshDevice`: this server's known host key, and the user's key.
        bin: folder that comes first in the PATH of remote commands.
        home: of remote commands.
    """

    def __init__(self, folder: Path) -> None:
        for program in ("ssh", "ssh-keygen"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed (Debian: openssh-client)")
        self._sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if self._sshd is None:
            pytest.skip("sshd is not installed (Debian: openssh-server)")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks processes in that have no rights yet
        self.folder = folder
        self.bin, self.home = folder / "bin", folder / "home"
        self.bin.mkdir()
        self.home.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{self.port}"
        self.key = self.new_key("user")
        shutil.copy(self.key.with_suffix(".pub"), folder / "authorized_keys")
        self.host_key = self.new_key("host")
        self.known_hosts = folder / "known_hosts"
        self.trust()
        self._server: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._changing = threading.Lock()  # tests stop and start it from threads
        self.start()

    @property
    def options(self) -> list[str]:
        return self.options_with(self.key)

    def options_with(self, key: Path) -> list[str]:
        named = {
            "IdentityFile": key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
        }
        return ["-F", "/dev/null", *(f"-o{name}={value}" for name, value in named.items())]

    def device(self, folder: str | None = None, options: Sequence[str] | None = None) -> SshDevice:
        return SshDevice(self.address, folder, self.options if options is None else options, connect_timeout_s=5)

    def new_key(self, name: str) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True)
        return path

    def trust(self) -> None:
        """Make the server's key of now known to the client."""
        words = self.host_key.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {words[0]} {words[1]}\n")

    def start(self) -> None:
        """Start the server, unless it runs, or the test that had it is over."""
        with self._changing:
            if self._server is None and not self._closed:
                self._start()

    def _start(self) -> None:
        path = f"{self.bin}:{os.environ['PATH']}"
        config = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"PidFile {self.folder}/pid",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f'SetEnv "PATH={path}" "HOME={self.home}"',
        ]
        (self.folder / "config").write_text("\n".join(config) + "\n")
        self._log = open(self.folder / "log", "ab")  # noqa: SIM115 - closed by stop()
        self._server = subprocess.Popen(
            [str(self._sshd), "-D", "-e", "-f", str(self.folder / "config")], stdin=subprocess.DEVNULL, stderr=self._log
        )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._server.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        raise AssertionError("sshd does not listen: " + (self.folder / "log").read_text())

    def stop(self) -> None:
        """End the server and cut all its connections; what was started through them goes on."""
        with self._changing:
            if self._server is None:
                return
            for process in [*below(self._server.pid), self._server.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._server.wait()
            self._server = None
            self._log.close()

    def hang(self) -> None:
        """Answer nothing any more, as where the network is gone; :meth:`stop` ends it also then."""
        with self._changing:
            assert self._server is not None
            for process in [self._server.pid, *below(self._server.pid)]:
                os.kill(process, signal.SIGSTOP)

    def greet(self, words: str) -> None:
        """Print this before each command, as a login shell does whose ``.bashrc`` prints."""
        key = self.key.with_suffix(".pub").read_text()
        script = f'printf \\"{words}\\"; eval \\"$SSH_ORIGINAL_COMMAND\\"'
        (self.folder / "authorized_keys").write_text(f'command="{script}" {key}')

    def close(self) -> None:
        """Stop it for good."""
        self._closed = True
        self.stop()

    def command(self, name: str, script: str) -> None:
        """A program that remote commands find before the system's."""
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)


def below(parent: int) -> list[int]:
    """Processes of sshd below the server."""
    found = []
    for pid in children(parent):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                found += [*below(pid), pid]
    return found


def running(*words: str) -> bool:
    """Whether a process has these words, one after another, in its command line; a shell that got them in one text has
    not started the program yet."""
    wanted = "\0".join(["", *words, ""]).encode()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if wanted in b"\0" + line.read_bytes():
                return True
    return False
