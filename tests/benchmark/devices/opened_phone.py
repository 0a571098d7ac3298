"""What tests of phones do again and again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.benchmark.devices.adb import AdbDevice
from tests.benchmark.devices.fake_adb_server import FakeAdbServer
from tests.processes import wait_until

Start = Callable[..., FakeAdbServer]
NEEDS_ADB = pytest.mark.skipif(shutil.which("adb") is None, reason="needs Debian's package adb")


def opened(server: FakeAdbServer, **options: Any) -> AdbDevice:
    device = AdbDevice(environment=server.env, **options)
    device.check()
    return device


def some_file(path: Path, size: int = 200_000) -> Path:
    path.write_bytes(np.random.default_rng(size).bytes(size))
    return path


def assert_all_ended(server: FakeAdbServer) -> None:
    wait_until(lambda: server.phones[0].running() == 0, 10)
