"""A device of each kind for tests of measuring: a made-up phone over adb, a server on this machine over ssh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.devices import Device
from paddle_mobileseg.benchmark.devices.remote import measure_remote
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol, protocol
from paddle_mobileseg.runtime.bundle import GOLDEN, describe_files, write_manifest
from tests.benchmark.devices import stand_in_runner
from tests.benchmark.devices.fake_adb_server import FakeAdbServer
from tests.benchmark.devices.sshd import LocalSshd, running
from tests.deploy.test_lite_cpp import lite_file
from tests.processes import wait_until

WHERE = "board.lan:2222"
LAX = {"max_noise": 1e9, "max_drift": 1e9}
QUICK = protocol("quick", warmup_runs=2, min_runs=12, **LAX)

BENCHMARK_BIN = """\
#!/bin/sh
echo "$@" > NOTE
for word in "$@"; do case $word in
--input_data_path=*) cat "${word#*=}" > NOTE.in;;
--repeats=*) repeats=${word#*=};;
esac; done
cat <<END
======= Model Info =======
optimized_model_file: model.nb
======= Runtime Info =======
benchmark_bin version: 2.13-rc
threads: 1
power_mode: 3
warmup: 2
repeats: $repeats
======= Backend Info =======
backend: arm
cpu precision: fp32
======= Perf Info =======
Time(unit: ms):
init  = 12.345
first = 9.870
min   = 4.100
max   = 5.900
avg   = 4.567
END
"""


def write_bundle(folder: Path, backend: str = "lite-arm", inputs: int = 1, program: str = "argmax int32") -> Path:
    """A bundle with a file that the stand-in for Paddle Lite runs: the channel with the largest value."""
    folder.mkdir(parents=True)
    (folder / "model.nb").write_bytes(lite_file(program))
    tensors = {}
    for number in range(inputs):
        x = np.random.default_rng(number).normal(size=(1, 3, 8, 10)).astype(np.float32)
        tensors |= {f"input_{number}": x, f"output_{number}": x.argmax(1).astype(np.int32)}
    np.savez(folder / GOLDEN, **tensors)
    about = {
        "network": "Largest",
        "num_classes": 3,
        "class_names": ["red", "green", "blue"],
        "palette": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        "input": {"name": "x", "dtype": "float32", "layout": "NCHW"},
        "backends": {backend: ["model.nb"]},
        "files": describe_files(folder, ["model.nb", GOLDEN]),
    }
    write_manifest(folder, {"transforms": [], "input_shape": [1, 3, 8, 10], "output_op": "argmax"}, about)
    return folder


class Board:
    """A device and what a test may do to it."""

    def __init__(self, device: Device, folder: Path, sshd: LocalSshd | None, adb: FakeAdbServer | None) -> None:
        self.device, self.sshd, self.adb = device, sshd, adb
        self._folder = folder

    def runner(self, bundle: Path, **settings: Any) -> Path:
        folder = self._folder / "runner"
        folder.mkdir(exist_ok=True)
        return stand_in_runner.make(folder / "mobileseg_lite_run", [bundle / GOLDEN], **settings)

    def work_folder(self) -> Path:
        """The work folder of the device, on this machine."""
        return Path(self.device.folder) if self.adb is None else self.adb.phones[0].path(self.device.folder)

    def running(self) -> bool:
        """Whether the runner runs, of this device: other tests may run at the same time."""
        return running(f"{self.work_folder()}/bin/mobileseg_lite_run", "--model")

    def assert_all_ended(self) -> None:
        wait_until(lambda: not self.running(), 20)


def measure(
    board: Board, plans: Sequence[Plan], runner: Path, rules: Protocol = QUICK, said: list[str] | None = None
) -> list[dict[str, Any]]:
    said = [] if said is None else said
    command = f"mobileseg benchmark --device {'adb:7a31c0de' if board.adb is not None else f'ssh:me@{WHERE}'}"
    made = list(measure_remote(board.device, plans, rules, command, runner, said.append))
    assert len(made) == len(plans)
    for each in made:
        record.validate(each)
    return made
