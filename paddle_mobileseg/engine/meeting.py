"""Where the processes of a launched job meet: small messages over TCP, with the first process in the middle.

Paddle's own collective operations over gloo fail when one process is 30 seconds late, wait for ever for one that never
comes, and do not say which one is missing. So processes meet here first. Each sends one message to process 0 and
gets the messages of all; large tensors go through Paddle right afterwards, when all are known to be there.

Messages are pickled, as those of ``paddle.distributed`` are: run jobs in a network that you trust.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import select
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from paddle_mobileseg import __version__

JOIN_S = 300.0  # for all processes to start
MEET_S = 1800.0  # for the last one to come: the first process may be writing a checkpoint meanwhile
_FAIL_S = 60.0  # for the others to take notice of a failure
_SILENCE_S = 30  # after which the kernel gives up a connection whose other end does not answer
_LENGTH = struct.Struct("!Q")
_FAILED = "failed"
_ENDED = "has ended before this one came here"
_NOTICE_S = 1.5  # the launcher kills everybody 3 s after one has died


class PeerError(ChildProcessError):
    """Another process of the job has failed or cannot be reached; the message names it."""


@dataclass
class _Peer:
    """The connection to another process."""

    number: int
    host: str
    log: str
    connection: socket.socket
    error: OSError | None = None  # with which the connection has ended; the kernel tells it once only

    def __str__(self) -> str:
        return f"rank {self.number} ({self.host}, {self.log})"


class Meeting:
    """One process's seat.

    Args:
        number: of this process, from 0.
        count: of all processes.
        address: host and port where process 0 waits. The port is free again afterwards.
        join_s, meet_s: seconds until a process that does not come is an error.

    Attributes:
        own_ip: address of this machine by which the others can reach it.

    Raises:
        PeerError: process 0 cannot be reached.
        ValueError: not all processes came, or they were started for different jobs.
    """

    def __init__(
        self, number: int, count: int, address: tuple[str, int], join_s: float = JOIN_S, meet_s: float = MEET_S
    ) -> None:
        self.number = number
        self.count = count
        self._meet_s = meet_s
        self._own = {"number": number, "count": count, "version": __version__, **_whereabouts()}
        self._peers = self._welcome(address, join_s) if number == 0 else [self._knock(address, join_s)]
        self.own_ip: str = self._peers[-1].connection.getsockname()[0]
        self._aware = False
        for peer in self._peers:
            _give_up_when_silent(peer.connection)
        atexit.register(self._leave)
        threading.Thread(target=self._watch, name="watch for lost processes", daemon=True).start()

    def exchange(self, kind: str, value: Any) -> list[Any]:
        """Every process's value, in the order of their numbers, in every process.

        Args:
            kind: what is exchanged; must be the same in all processes.
            value: anything that can be pickled.

        Raises:
            PeerError: a process has failed, ended, not come in time, or come to another place of the program.
        """
        if self.number:
            leader = self._peers[0]
            self._send(leader, (kind, value))
            kind, answer = self._receive(leader, self._meet_s)
        else:
            kind, answer = self._collect(kind, value)
            for peer in self._peers:
                with contextlib.suppress(PeerError) if kind == _FAILED else contextlib.nullcontext():
                    self._send(peer, (kind, answer))
        if kind == _FAILED:
            self._aware = True
            raise PeerError(answer)
        return answer

    def fail(self, text: str, wait: bool = True) -> None:
        """Tell the others, wherever they meet next, that this process cannot go on and why. Never raises.

        Args:
            text: why.
            wait: return when they have heard it, or after a minute: the launcher kills all soon after one has ended.
        """
        self._aware = True
        text = f"rank {self.number} ({self._own['host']}, {self._own['log']}) failed: {text}"
        for peer in self._peers:
            with contextlib.suppress(PeerError):
                self._send(peer, (_FAILED, text))
        for peer in self._peers if wait else []:
            with contextlib.suppress(PeerError):
                self._receive(peer, _FAIL_S)

    def _leave(self) -> None:
        """Let the others know that this end is no accident."""
        self._aware = True
        message = _framed((_FAILED, f"rank {self.number} ({self._own['host']}, {self._own['log']}) {_ENDED}"))
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.connection.settimeout(1.0)
                peer.connection.sendall(message)

    def _watch(self) -> None:
        """Say at once that a process has died, also where this one comes to no meeting before the launcher kills it.

        Where it never comes to one, as in an operation of NCCL that waits for the dead, this process ends, too.
        """
        gone = _first_lost(self._peers)
        if gone is None:
            return
        time.sleep(_NOTICE_S)
        if not self._aware:
            print(f"error: {_reason(gone, ConnectionResetError())}", file=sys.stderr, flush=True)
        time.sleep(self._meet_s)
        if not self._aware:
            os._exit(1)

    def _collect(self, kind: str, value: Any) -> tuple[str, Any]:
        """In process 0: what to answer to all."""
        kinds, values, failures = {0: kind}, [value], []
        for peer in self._peers:
            try:
                other, received = self._receive(peer, self._meet_s)
            except PeerError as error:
                failures.append(str(error))
                continue
            if other == _FAILED:
                failures.append(received)
            kinds[peer.number] = other
            values.append(received)
        if failures:
            return _FAILED, "; ".join(failures)
        if len(set(kinds.values())) > 1:
            return _FAILED, f"the processes are at different places of the program (by rank): {kinds}"
        return kind, values

    def _welcome(self, address: tuple[str, int], join_s: float) -> list[_Peer]:
        """In process 0: wait for all others."""
        peers: dict[int, _Peer] = {}
        end = time.monotonic() + join_s
        with _listener(address[1]) as listener:
            while len(peers) < self.count - 1:
                listener.settimeout(max(end - time.monotonic(), 0.01))
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    break
                hello = _read_hello(connection)
                if hello is None:
                    connection.close()  # something else that tries ports
                    continue
                peer = _Peer(hello["number"], hello["host"], hello["log"], connection)
                problem = self._mismatch(hello, peers)
                if problem:
                    self._answer([*peers.values(), peer], problem)
                    raise ValueError(problem)
                peers[peer.number] = peer
        missing = sorted(set(range(1, self.count)) - set(peers))
        text = ""
        if missing:
            text = (
                f"only {len(peers) + 1} of {self.count} processes have come within {join_s:.0f} s; missing: rank "
                f"{', '.join(map(str, missing))}. Start the launcher on every machine, and see what it says there"
            )
        self._answer(list(peers.values()), text)
        if missing:
            raise ValueError(text)
        return [peers[number] for number in sorted(peers)]

    def _mismatch(self, hello: dict[str, Any], peers: dict[int, _Peer]) -> str:
        """What is wrong with a process that has come; empty when nothing is."""
        number, where = hello["number"], f"rank {hello['number']} ({hello['host']}, {hello['log']})"
        if hello["version"] != __version__:
            return f"{where} runs paddle_mobileseg {hello['version']}, rank 0 {__version__}; install one everywhere"
        if hello["count"] != self.count:
            return (
                f"{where} was started in a job of {hello['count']} processes, rank 0 in one of {self.count}: "
                "PADDLE_TRAINERS_NUM must be the same; give --nnodes and --nproc_per_node to every launcher"
            )
        if number in peers or not 0 < number < self.count:
            other = peers.get(number)
            return (
                f"{where} has a number that {f'{other} has already' if other else 'is not among those expected'}: "
                "PADDLE_TRAINER_ID must be 0, 1, 2, ...; give each machine's launcher a --rank of its own"
            )
        return ""

    def _answer(self, peers: list[_Peer], problem: str) -> None:
        for peer in peers:
            with contextlib.suppress(PeerError):
                self._send(peer, {"problem": problem, "host": self._own["host"], "log": self._own["log"]})

    def _knock(self, address: tuple[str, int], join_s: float) -> _Peer:
        """In the others: connect to process 0, which may not have started yet."""
        end = time.monotonic() + join_s
        while True:
            try:
                connection = socket.create_connection(address, timeout=max(min(5.0, end - time.monotonic()), 0.01))
                break
            except OSError as error:
                if time.monotonic() >= end:
                    raise PeerError(_unreachable(self.number, address, join_s, error)) from None
                time.sleep(0.1)
        peer = _Peer(0, address[0], "its log", connection)
        with contextlib.suppress(OSError):  # the answer will not come then, which is told
            connection.sendall(json.dumps(self._own).encode() + b"\n")
        answer = self._receive(peer, join_s + 5)
        if answer["problem"]:
            raise ValueError(answer["problem"])
        return _Peer(0, answer["host"], answer["log"], connection)

    def _send(self, peer: _Peer, message: Any) -> None:
        try:
            peer.connection.settimeout(self._meet_s)
            peer.connection.sendall(_framed(message))
        except OSError as error:
            raise self._lost(peer, error) from None

    def _receive(self, peer: _Peer, seconds: float) -> Any:
        try:
            peer.connection.settimeout(seconds)
            (length,) = _LENGTH.unpack(_read(peer.connection, _LENGTH.size))
            data = _read(peer.connection, length)
        except OSError as error:
            raise self._lost(peer, error) from None
        return pickle.loads(data)

    def _lost(self, peer: _Peer, error: OSError) -> PeerError:
        self._aware = True
        return PeerError(_reason(peer, error))


def _reason(peer: _Peer, error: OSError) -> str:
    """What a connection's error means."""
    error = peer.error or error
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"{peer} has not come for {peer.connection.gettimeout():.0f} s: it hangs or is stopped"
    if isinstance(error, ConnectionError):
        return f"{peer} has ended without a word: killed, out of memory, or a crash"
    return f"{peer} cannot be reached any more ({error.strerror or error}): its machine or the network is down"


def _framed(message: Any) -> bytes:
    data = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(data)) + data


def _first_lost(peers: list[_Peer]) -> _Peer | None:
    """Wait for the first process whose connection ends without its good-bye; ``None`` where nobody is left."""
    if not hasattr(select, "POLLRDHUP"):  # Linux has it
        return None
    open_ones = {peer.connection.fileno(): peer for peer in peers}
    watched = select.poll()
    for descriptor in open_ones:
        watched.register(descriptor, select.POLLRDHUP)
    while open_ones:
        for descriptor, _ in watched.poll():
            watched.unregister(descriptor)
            peer = open_ones.pop(descriptor)
            try:
                rest = peer.connection.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except OSError as error:
                rest, peer.error = b"", error
            if _ENDED.encode() not in rest:
                return peer
    return None


class _EndedError(ConnectionResetError):
    """The other end has closed the connection."""


def _read(connection: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        received = connection.recv_into(view[done:])
        if received == 0:
            raise _EndedError
        done += received
    return bytes(data)


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("", port), backlog=1024)
    except OSError as error:
        raise OSError(f"port {port}, where the processes are to meet, cannot be used: {error.strerror}") from error


def _read_hello(connection: socket.socket) -> dict[str, Any] | None:
    """What a process says of itself first, as a line of JSON; ``None`` for anything else."""
    connection.settimeout(5.0)
    try:
        hello = json.loads(connection.makefile("rb").readline(4096))
    except (OSError, ValueError):
        return None
    kinds = {"number": int, "count": int, "version": str, "host": str, "log": str}
    if not isinstance(hello, dict) or any(not isinstance(hello.get(key), kind) for key, kind in kinds.items()):
        return None
    return hello


def _whereabouts() -> dict[str, str]:
    """Where this process's messages are, for those who look for them."""
    local = os.environ.get("PADDLE_RANK_IN_NODE", "?")
    return {"host": socket.gethostname(), "log": f"workerlog.{local}"}


def _give_up_when_silent(connection: socket.socket) -> None:
    """Let the kernel end a connection whose other machine has not answered for a while."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Linux has all of these, macOS some.
    settings = {
        "TCP_KEEPIDLE": _SILENCE_S // 3,
        "TCP_KEEPINTVL": _SILENCE_S // 6,
        "TCP_KEEPCNT": 4,
        "TCP_USER_TIMEOUT": _SILENCE_S * 1000,
    }
    for name, value in settings.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _unreachable(number: int, address: tuple[str, int], seconds: float, error: OSError) -> str:
    host, port = address
    text = (
        f"rank {number} could not reach rank 0 at {host}:{port} within {seconds:.0f} s "
        f"({error.strerror or error}). Is the launcher running on that machine, with --rank 0, and does a firewall let "
        "the machines talk?"
    )
    if host.startswith("127.") and os.environ.get("PADDLE_NNODES", "1") != "1":
        text += f" {host} is every machine's own: give each launcher --host with the address of its machine"
    return text
