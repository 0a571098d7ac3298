"""What tests of devices share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark.devices import adb
from paddle_mobileseg.benchmark.devices.adb import AdbDevice
from tests.benchmark.devices.boards import Board
from tests.benchmark.devices.fake_adb_server import FakeAdbServer
from tests.benchmark.devices.opened_phone import Start
from tests.benchmark.devices.sshd import LocalSshd


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts servers with these phones that end with the test."""
    monkeypatch.setattr(adb, "_PAUSE_S", 0.1)
    servers: list[FakeAdbServer] = []

    def begin(*phones: Any, **options: Any) -> FakeAdbServer:
        servers.append(FakeAdbServer(phones or ("snapdragon_855",), **options))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(params=["phone", "linux"])
def board(request: pytest.FixtureRequest) -> Board:
    return request.getfixturevalue(request.param)


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Board]:
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed (Debian: adb)")
    with FakeAdbServer() as adb:
        yield Board(AdbDevice(environment=adb.env), tmp_path, None, adb)


@pytest.fixture
def linux(tmp_path: Path) -> Iterator[Board]:
    (tmp_path / "sshd").mkdir()
    server = LocalSshd(tmp_path / "sshd")
    device = server.device()
    try:
        yield Board(device, tmp_path, server, None)
        device.cleanup()
    finally:
        server.close()
