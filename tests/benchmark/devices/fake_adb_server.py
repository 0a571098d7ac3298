"""An adb server with made-up phones, for the real ``adb`` client. It can break in all the ways that phones do.

    with FakeAdbServer(["snapdragon_855"]) as server:
        device = AdbDevice(environment=server.env)          # or: monkeypatch.setenv for each of server.env
        device.check()

- Phones: names of ``phones/*.yml``, or pairs ``(name, changes)`` such as ``("tensor_g3", {"state": "unauthorized"})``;
  see ``fake_phone``. ``server.phones[0]`` is the first: ``.path(remote)`` is one of its files on this machine,
  ``.set_temperatures(60.0)``, ``.set_dumpsys(...)``, ``.reboot()``, ``.free_kib``, ``.before_command`` change it.
- Programs that are pushed really run here: see ``stand_in_runner.make`` for one that does what mobileseg_lite_run does.
- Faults: ``FakeAdbServer(phones, faults=[Fault("drop", on="push")])`` or later ``server.faults.append(...)``.
- ``server.requests`` is what was asked, such as ``"shell ls /data"``, ``"push /data/local/tmp/x"``, ``"pull ..."``.

The client finds the server by ANDROID_ADB_SERVER_PORT. The server says that it has the client's own version: the client
ends a server of any other one. Made from the protocol's documents in Android's source (packages/modules/adb:
OVERVIEW.TXT, SERVICES.TXT, SYNC.TXT, shell_service.h) and from what the client 29.0.6 asks; no phone was recorded
(``record_phone`` does it where there is one).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.benchmark.devices.fake_phone import FakePhone

_CHUNK = 64 * 1024


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: ``drop`` (connection closed halfway; the program goes on), ``gone`` (closed halfway, phone away for
            ``absent`` requests), ``reboot`` (the same, and the phone restarts: programs end, files stay), ``hang`` (no
            answer), ``garbage`` (another answer than the protocol's), ``crash`` (shell: the program dies of SIGSEGV),
            ``no_space`` (push), ``corrupt`` (push, pull: one byte differs), ``truncate`` (push, pull: half of the file,
            as if it were all).
        on: ``shell``, ``push``, ``pull`` or ``host`` (questions to the server about the phone).
        match: part of the command line, of the remote path, or of the question.
        skip: of the requests that match, so many go well first.
        times: so many go wrong; -1: all.
        absent: see ``reboot`` and ``gone``.
        after_s: for a shell: how long its program runs before.
    """

    kind: str
    on: str
    match: str = ""
    skip: int = 0
    times: int = 1
    absent: int = 10
    after_s: float = 0.2


class FakeAdbServer:
    """See the module. A context manager; leaving it ends all programs of the phones."""

    def __init__(
        self,
        phones: Sequence[str | tuple[str, Mapping[str, Any]]] = ("snapdragon_855",),
        faults: Sequence[Fault] = (),
        environment: Mapping[str, str] | None = None,
        shell: str = "/bin/sh",
    ) -> None:
        self.faults = list(faults)
        self.requests: list[str] = []
        self.closing = threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix="fake-adb-")).resolve()
        self.phones: list[FakePhone] = []
        for number, each in enumerate(phones):
            name, changes = (each, {}) if isinstance(each, str) else each
            folder = self._folder / str(number)
            folder.mkdir()
            self.phones.append(FakePhone(name, folder, shell, environment, changes))
        self._lock = threading.Lock()

    def __enter__(self) -> FakeAdbServer:
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.fake = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        for phone in self.phones:
            phone.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def env(self) -> dict[str, str]:
        """Environment for adb's client: this process's, with the server's port and without a chosen phone."""
        others = {name: value for name, value in os.environ.items() if not name.startswith(("ANDROID_", "ADB"))}
        return {**others, "ANDROID_ADB_SERVER_PORT": str(self._server.server_address[1])}

    def phone(self, serial: str) -> FakePhone | None:
        return next((phone for phone in self.phones if phone.serial == serial), None)

    def fault(self, on: str, what: str) -> Fault | None:
        """The fault for this request, which is written down."""
        with self._lock:
            self.requests.append(f"{on} {what}")
            for fault in self.faults:
                if fault.on != on or fault.match not in what or fault.times == 0:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class _Server(socketserver.ThreadingTCPServer):
    fake: FakeAdbServer
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


class _Gone(Exception):  # noqa: N818
    """This connection ends here."""


class _Connection(socketserver.BaseRequestHandler):
    """One connection of a client: questions to the server, then perhaps one service of a phone."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.fake = self.server.fake
        with contextlib.suppress(_Gone, OSError):
            while True:
                self._question(self._read(int(self._read(4), 16)).decode())

    def _question(self, service: str) -> None:
        if service == "host:version":
            self._okay_text("0029")
        elif service in ("host:devices", "host:devices-l"):
            self._stop_for(self.fake.fault("host", service), None)
            self._okay_text("".join(self._line(phone, service) for phone in self.fake.phones if phone.is_there()))
        elif service == "host:features" or service == "host:host-features":
            self._okay_text("shell_v2,cmd,stat_v2")
        elif service.startswith("host:connect:"):
            self.fake.fault("host", service)
            self._okay_text(f"connected to {service[13:]}")
        elif match := re.fullmatch(r"host-serial:(.+):(features|get-state|wait-for-any-device|get-serialno)", service):
            self._about_phone(match[1], match[2])
        elif match := re.fullmatch(r"host:(tport:serial|transport):(.+)", service):
            phone = self._reach(match[2])
            self.request.sendall(b"OKAY" + (struct.pack("<Q", 1) if match[1].startswith("tport") else b""))
            self._service(phone, self._read(int(self._read(4), 16)).decode())
        else:
            self._fail(f"unknown host service '{service}'")

    def _line(self, phone: FakePhone, service: str) -> str:
        if phone.state == "no permissions":
            state = (
                "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]"
            )
        else:
            state = phone.state
        about = f" model:{phone.model}" if phone.state == "device" else ""
        long = f"{phone.serial:<22} {state} usb:1-1{about} transport_id:1\n"
        return long if service.endswith("-l") else f"{phone.serial}\t{state}\n"

    def _about_phone(self, serial: str, question: str) -> None:
        if question == "wait-for-any-device":
            self.fake.requests.append(f"host {question}")
            self.request.sendall(b"OKAY")
            while True:
                phone = self.fake.phone(serial)
                if phone is not None and phone.state == "device" and phone.is_there():
                    break
                self._pause(0.05)
            self.request.sendall(b"OKAY")
            raise _Gone
        phone = self._reach(serial, question)
        self._okay_text({"features": ",".join(phone.features), "get-state": phone.state}.get(question, serial))

    def _reach(self, serial: str, question: str = "transport") -> FakePhone:
        phone = self.fake.phone(serial)
        self._stop_for(self.fake.fault("host", f"{serial} {question}"), phone)
        if phone is None or not phone.is_there():
            self._fail(f"device '{serial}' not found")
        elif phone.state == "offline":
            self._fail("device offline")
        elif phone.state == "unauthorized":
            self._fail("device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\nTry 'adb kill-server'.")
        elif phone.state == "no permissions":
            self._fail("insufficient permissions for device: user in plugdev group; are your udev rules wrong?")
        else:
            return phone
        raise _Gone

    def _service(self, phone: FakePhone, service: str) -> None:
        name, _, rest = service.partition(":")
        kind = name.split(",")[0]
        if kind in ("shell", "exec"):
            arguments = name.split(",")[1:]
            if "v2" in arguments and "shell_v2" not in phone.features:
                self._fail("unknown shell arguments")
            self._shell(phone, rest, "v2" in arguments)
        elif service == "sync:":
            self.request.sendall(b"OKAY")
            _Sync(self, phone).serve()
        else:
            self._fail("closed")
        raise _Gone

    def _shell(self, phone: FakePhone, line: str, packets: bool) -> None:
        fault = self.fake.fault("shell", line)
        if fault is not None and fault.kind in ("hang", "garbage"):
            self._stop_for(fault, phone)
        self.request.sendall(b"OKAY")

        def ready(process: subprocess.Popen[bytes]) -> bool:
            if fault is None:
                return True
            self._pause(fault.after_s)
            if fault.kind == "crash":
                phone.crash(process)
                return True
            self._stop_for(fault, phone)
            return False

        out, err, status = phone.command(line, ready, merged=not packets)
        if packets:
            for number, data in ((1, out), (2, err), (3, bytes([status % 256]))):
                for start in range(0, len(data), _CHUNK):
                    part = data[start : start + _CHUNK]
                    self.request.sendall(struct.pack("<BI", number, len(part)) + part)
        else:  # a terminal: one stream, with its line ends
            self.request.sendall(out.replace(b"\n", b"\r\n"))
        # Closing with words of the client unread would take from it what it has not read yet.
        self.request.shutdown(socket.SHUT_WR)
        self.request.settimeout(5)
        while self.request.recv(_CHUNK):
            pass

    def _stop_for(self, fault: Fault | None, phone: FakePhone | None) -> None:
        """Do what a fault of the connection says; does not come back then."""
        if fault is None:
            return
        if fault.kind == "hang":
            self.fake.closing.wait()
        elif fault.kind == "garbage":
            self.request.sendall(b"\x00\xffHTTP/1.1 400 Bad Request\r\n\r\n")
        elif fault.kind == "reboot" and phone is not None:
            phone.reboot(fault.absent)
        elif fault.kind == "gone" and phone is not None:
            phone.absent = fault.absent
        elif fault.kind != "drop":
            raise AssertionError(f"no fault {fault.kind!r} here")
        raise _Gone

    def _pause(self, seconds: float) -> None:
        """Wait; the connection ends when the server or the client does."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.fake.closing.wait(min(left, 0.05)):
                raise _Gone
        self.request.setblocking(False)
        try:
            if self.request.recv(1, socket.MSG_PEEK) == b"":
                raise _Gone
        except BlockingIOError:
            pass
        finally:
            self.request.setblocking(True)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.request.recv(count - len(data))
            if not part:
                raise _Gone
            data += part
        return data

    def _okay_text(self, text: str) -> None:
        self.request.sendall(b"OKAY" + b"%04x" % len(text.encode()) + text.encode())
        raise _Gone

    def _fail(self, text: str) -> None:
        self.request.sendall(b"FAIL" + b"%04x" % len(text.encode()) + text.encode())
        raise _Gone


class _Sync:
    """The file service of a phone."""

    def __init__(self, connection: _Connection, phone: FakePhone) -> None:
        self._connection, self._phone = connection, phone
        self._read, self._send = connection._read, connection.request.sendall

    def serve(self) -> None:
        while True:
            name, size = struct.unpack("<4sI", self._read(8))
            path = self._read(size).decode() if name != b"QUIT" else ""
            if name in (b"STAT", b"STA2", b"LST2"):
                self._stat(name, path)
            elif name == b"SEND":
                self._receive(path)
            elif name == b"RECV":
                self._give(path)
            else:
                return

    def _stat(self, name: bytes, path: str) -> None:
        try:
            about = self._phone.path(path).stat()
            mode, size, changed, error = about.st_mode, about.st_size, int(about.st_mtime), 0
        except OSError as problem:
            mode, size, changed, error = 0, 0, 0, problem.errno or 2
        if name == b"STAT":
            self._send(struct.pack("<4sIII", name, mode, size, changed))
        else:
            self._send(
                struct.pack("<4sIQQIIIIQqqq", name, error, 0, 0, mode, 1, 2000, 2000, size, changed, changed, changed)
            )

    def _receive(self, words: str) -> None:
        path, _, mode = words.rpartition(",")
        fault = self._connection.fake.fault("push", path)
        content = b""
        while True:
            name, size = struct.unpack("<4sI", self._read(8))
            if name == b"DONE":
                break
            content += self._read(size)
            if fault is not None and fault.kind not in ("corrupt", "truncate", "no_space"):
                self._connection._stop_for(fault, self._phone)
        if (fault is not None and fault.kind == "no_space") or len(content) > self._phone.free_kib * 1024:
            return self._fail(f"couldn't write to {path}: No space left on device")
        target = self._phone.path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_changed(content, fault))
            target.chmod(int(mode) & 0o777)
        except OSError as error:
            return self._fail(f"couldn't create file: {error.strerror}")
        self._send(struct.pack("<4sI", b"OKAY", 0))

    def _give(self, path: str) -> None:
        fault = self._connection.fake.fault("pull", path)
        try:
            content = self._phone.path(path).read_bytes()
        except OSError as error:
            return self._fail(f"open failed: {error.strerror}")
        if fault is not None and fault.kind not in ("corrupt", "truncate"):
            half = content[: len(content) // 2][:_CHUNK]
            self._send(struct.pack("<4sI", b"DATA", len(half)) + half)
            self._connection._stop_for(fault, self._phone)
        content = _changed(content, fault)
        for start in range(0, len(content), _CHUNK):
            part = content[start : start + _CHUNK]
            self._send(struct.pack("<4sI", b"DATA", len(part)) + part)
        self._send(struct.pack("<4sI", b"DONE", 0))

    def _fail(self, text: str) -> None:
        self._send(struct.pack("<4sI", b"FAIL", len(text)) + text.encode())


def _changed(content: bytes, fault: Fault | None) -> bytes:
    if fault is not None and fault.kind == "corrupt":
        return content[:-1] + bytes([content[-1] ^ 1])
    return content[: len(content) // 2] if fault is not None and fault.kind == "truncate" else content
