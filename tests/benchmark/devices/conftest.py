"""What tests of phones share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from paddle_mobileseg.benchmark.devices import adb
from tests.benchmark.devices.fake_adb_server import FakeAdbServer
from tests.benchmark.devices.opened_phone import Start


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
