"""Phones over the real adb client, which talks to a server of ours: finding one, its description, a whole run."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from paddle_mobileseg.benchmark.devices import DeviceError, DeviceLost
from paddle_mobileseg.benchmark.devices.adb import AdbDevice
from paddle_mobileseg.benchmark.devices.adb_client import AdbClient
from paddle_mobileseg.benchmark.devices.base import with_status
from paddle_mobileseg.benchmark.record import schema
from tests.benchmark.devices import fake_phone, record_phone, stand_in_runner
from tests.benchmark.devices.fake_adb_server import FakeAdbServer
from tests.benchmark.devices.opened_phone import NEEDS_ADB, Start, opened
from tests.benchmark.devices.test_base import elf

pytestmark = NEEDS_ADB


def failure(
    server: FakeAdbServer, serial: str | None = None, runner: Path | None = None, **variables: str
) -> DeviceError:
    """What check() says, which must be for the user, not to be tried again."""
    with pytest.raises(DeviceError) as caught:
        AdbDevice(serial, environment={**server.env, **variables}).check(runner)
    assert type(caught.value) is DeviceError
    return caught.value


class TestFinding:
    def test_no_client(self, tmp_path: Path) -> None:
        with pytest.raises(DeviceError, match="there is no program no-adb; install Android's platform-tools"):
            AdbDevice(program="no-adb").check()
        with pytest.raises(DeviceError, match="there is no program /nowhere/adb"):
            AdbDevice(environment={"ADB": "/nowhere/adb", "PATH": "/usr/bin"}).check()

    def test_a_port_of_another_program(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def close_all() -> None:
                while True:
                    try:
                        listener.accept()[0].close()
                    except OSError:
                        return

            threading.Thread(target=close_all, daemon=True).start()
            device = AdbDevice(
                environment={"PATH": "/usr/bin", "ANDROID_ADB_SERVER_PORT": str(listener.getsockname()[1])}
            )
            with pytest.raises(DeviceError, match="ANDROID_ADB_SERVER_PORT"):
                device.check()
            listener.shutdown(socket.SHUT_RDWR)

    def test_no_device(self, start: Start) -> None:
        server = start("snapdragon_855")
        server.phones.clear()

        assert "`adb devices` lists none; switch on USB debugging" in str(failure(server))
        assert "no device X: " in str(failure(server, "X"))

    def test_several(self, start: Start) -> None:
        server = start("snapdragon_855", "tensor_g3", ("old_adbd", {"state": "offline"}))

        assert str(failure(server)).endswith(
            "choose one with --device adb:SERIAL or ANDROID_SERIAL:\n  7a31c0de (Example_Phone_855, device)\n"
            "  3B1AJEHX00A1B2 (Phone_8_Pro, device)\n  0a1b2c3d4e5f (offline)"
        )
        device = AdbDevice(environment={**server.env, "ANDROID_SERIAL": "3B1AJEHX00A1B2"})
        device.check()
        assert device.label == "Example Phone 8 Pro"
        other = AdbDevice("7a31c0de", environment={**server.env, "ANDROID_SERIAL": "3B1AJEHX00A1B2"})
        other.check()
        assert other.section()["name"] == "Example Phone 855"

    def test_unknown_serial(self, start: Start) -> None:
        error = failure(start("snapdragon_855", "tensor_g3"), "7a31c0df")

        assert "no device '7a31c0df'; attached: 7a31c0de (" in str(error)
        assert str(error).endswith("did you mean '7a31c0de'?")

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("unauthorized", "accept its question 'Allow USB debugging?'"),
            ("no permissions", "add a udev rule"),
            ("recovery", "restart it into Android"),
        ],
    )
    def test_states_that_the_user_must_change(self, start: Start, state: str, words: str) -> None:
        error = failure(start(("snapdragon_855", {"state": state})))

        assert f"device 7a31c0de is in state '{state}'" in str(error)
        assert words in str(error)

    def test_offline_may_pass(self, start: Start) -> None:
        server = start(("snapdragon_855", {"state": "offline"}))
        device = AdbDevice(environment=server.env)
        with pytest.raises(DeviceLost, match=r"is in state 'offline'.*adb reconnect offline"):
            device.check()

        server.phones[0].state = "device"
        device.check()

    def test_old_android(self, start: Start) -> None:
        assert "Example KitKat has Android 4.4.4 (SDK 19); expected Android 5.0 (SDK 21)" in str(
            failure(start("kitkat_armv7"))
        )

    @pytest.mark.parametrize(
        ("abis", "machine", "built"), [("armeabi-v7a,armeabi", 183, "arm64-v8a"), ("arm64-v8a", 62, "x86_64")]
    )
    def test_wrong_abi(self, start: Start, tmp_path: Path, abis: str, machine: int, built: str) -> None:
        server = start("snapdragon_855")
        server.phones[0].set_property("ro.product.cpu.abilist", abis)
        server.phones[0].set_property("ro.product.cpu.abi", abis.split(",")[0])
        error = failure(server, runner=elf(tmp_path / "runner", machine))

        assert f"is built for {built}, but Example Phone 855 runs {abis.replace(',', ', ')}" in str(error)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"read_only": True}, "cannot write to /data/local/tmp.*Read-only file system"),
            ({"noexec": True}, "does not run programs"),
        ],
    )
    @pytest.mark.parametrize("phone", ["snapdragon_855", "old_adbd"])
    def test_folder_that_is_no_use(self, start: Start, phone: str, changes: dict[str, Any], words: str) -> None:
        error = failure(start((phone, changes)))

        assert re.search(words, str(error), re.DOTALL)

    def test_two_at_once_would_measure_each_other(self, start: Start) -> None:
        server = start("snapdragon_855", "tensor_g3")
        first = opened(server, serial="7a31c0de")
        first.check()
        opened(server, serial="3B1AJEHX00A1B2")
        server.phones[0].write(f"{first.folder}/of the first", "")
        other = AdbDevice("7a31c0de", environment=server.env)
        with pytest.raises(DeviceError, match="is being measured by another process"):
            other.check()
        other.cleanup()  # as `--resume` does, whatever check() said
        assert server.phones[0].path(f"{first.folder}/of the first").exists()

        first.cleanup()
        opened(server, serial="7a31c0de")

    def test_a_phone_that_is_attached_twice_is_one(self, start: Start) -> None:
        """By USB and over the network, or to two servers: the second neither ends nor removes what the first has."""
        server = start("snapdragon_855", ("snapdragon_855", {"serial": "192.168.0.7:5555"}))
        server.phones[1].set_property("ro.serialno", server.phones[0].about["properties"]["ro.serialno"])
        first = opened(server, serial="7a31c0de")
        server.requests.clear()
        other = AdbDevice("192.168.0.7:5555", environment=server.env)
        with pytest.raises(DeviceError, match="Example Phone 855 is being measured by another process"):
            other.check()
        assert [each for each in server.requests if each.startswith("shell")] == [f"shell {with_status('getprop')}"]

        elsewhere = start("snapdragon_855")
        elsewhere.phones[0].set_property("ro.serialno", server.phones[0].about["properties"]["ro.serialno"])
        with pytest.raises(DeviceError, match="is being measured by another process"):
            opened(elsewhere)
        first.cleanup()
        other.check()

    def test_a_phone_must_be_checked_first(self) -> None:
        with pytest.raises(DeviceError, match=r"call check\(\) first"):
            AdbDevice().state()


class TestWhatItSays:
    def test_snapdragon_855(self, start: Start) -> None:
        server = start("snapdragon_855")
        device = opened(server)
        serial = server.phones[0].about["properties"]["ro.serialno"]

        assert device.section() == {
            "kind": "adb",
            "name": "Example Phone 855",
            "soc": "msmnile",
            "cpu": "4x Kryo 4xx Silver + 4x Kryo 4xx Gold",
            "logical_cores": 8,
            "memory_gib": 5.5,
            "os": "Android 10",
            "abi": "arm64-v8a",
            "android": {"release": "10", "sdk": 29},
            "gpu": "Adreno640v2",
            "fingerprint": hashlib.sha256(
                f"{serial}|Example/phone855/phone855:10/QKQ1.190825.002/1234567:user/release-keys".encode()
            ).hexdigest()[:12],
        }
        mhz = [1036.8] * 4 + [1056.0] * 3 + [1171.2]
        assert device.state() == {
            "temperature_c": {
                "cpu-0-0-usr": 36.1,
                "cpu-1-3-usr": 37.2,
                "gpuss-0-usr": 35.0,
                "battery": 31.2,
                "xo-therm-adc": 33.845,
                "skin": 38.4,
            },
            "frequency_mhz": {f"cpu{core}": value for core, value in enumerate(mhz)},
            "governor": {f"cpu{core}": "schedutil" for core in range(8)},
            "throttled": False,
            "battery_percent": 87.0,
            "load_1min": 2.31,
        }
        assert device.free_bytes() == 89767884 * 1024

    def test_tensor_g3(self, start: Start) -> None:
        device = opened(start("tensor_g3"))
        section, state = device.section(), device.state()

        assert section["soc"] == "Google Tensor G3"
        assert section["cpu"] == "4x Cortex-A510 + 4x Cortex-A715 + 1x Cortex-X3"
        assert (section["logical_cores"], section["memory_gib"], section["gpu"]) == (9, 11.2, "mali")
        assert section["android"] == {"release": "15", "sdk": 35}
        assert state["temperature_c"] == {
            "BIG": 58.0,
            "MID": 55.0,
            "LITTLE": 51.0,
            "G3D": 49.0,
            "TPU": 50.0,
            "battery": 38.9,
            "VIRTUAL-SKIN": 41.253,
        }
        assert state["throttled"] is True
        assert state["load_1min"] is None
        assert "cpu8" not in state["frequency_mhz"]

    def test_old_adbd(self, start: Start) -> None:
        device = opened(start("old_adbd"))
        section, state = device.section(), device.state()

        assert (section["soc"], section["cpu"], section["logical_cores"]) == ("msm8952", "Cortex-A53", 4)
        assert state["temperature_c"] == {"tsens_tz_sensor0": 39.0, "tsens_tz_sensor1": 40.0, "battery": 31.5}
        assert (state["throttled"], state["battery_percent"]) == (None, 42.0)
        assert device.free_bytes() == 891 * 2**20

    @pytest.mark.parametrize("phone", ["snapdragon_855", "tensor_g3", "old_adbd"])
    def test_sections_fit_the_schema_and_do_not_name_the_phone(self, start: Start, phone: str) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        server = start(phone)
        device = opened(server)
        section, state = device.section(), device.state()

        jsonschema.validate(section, schema()["properties"]["device"])
        jsonschema.validate({**state, "at_s": 0.0}, schema()["$defs"]["state"])
        assert server.phones[0].serial not in json.dumps([section, state])

    def test_a_state_is_one_command(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.requests.clear()
        device.state()

        assert len([each for each in server.requests if each.startswith("shell")]) == 1

    def test_a_phone_that_was_heated(self, start: Start) -> None:
        server = start()
        device = opened(server)
        server.phones[0].set_temperatures(61.5)

        assert set(device.state()["temperature_c"].values()) == {61.5}


@pytest.mark.parametrize("phone", ["snapdragon_855", "old_adbd"])
def test_a_runner_answers_golden_inputs(start: Start, tmp_path: Path, phone: str) -> None:
    """The stand-in for mobileseg_lite_run, from the push to the labels that come back."""
    rng = np.random.default_rng(0)
    x, labels = rng.random((1, 3, 4, 6), np.float32), rng.integers(0, 9, (1, 4, 6), np.int32)
    np.savez(tmp_path / "golden.npz", input_0=x, output_0=labels)
    runner = stand_in_runner.make(tmp_path / "mobileseg_lite_run", [tmp_path / "golden.npz"], ms=3.0)
    x.tofile(tmp_path / "in.bin")
    (tmp_path / "model.nb").write_bytes(b"nb")
    server = start(phone)
    device = AdbDevice(environment=server.env)
    device.check(runner)
    for name in ("mobileseg_lite_run", "model.nb", "in.bin"):
        device.push(tmp_path / name, f"{device.folder}/{name}")
    words = ["--model", "model.nb", "--input", "in.bin", "--shape", "1,3,4,6", "--output", "out.bin"]
    done = device.run([f"{device.folder}/mobileseg_lite_run", *words, "--warmup", "2", "--repeats", "4"], 30)
    device.pull(f"{device.folder}/out.bin", tmp_path / "out.bin")

    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["shape"], said["dtype"], len(said["times_ms"])) == ([1, 4, 6], "int32", 4)
    assert min(said["times_ms"]) >= 3.0
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out.bin", np.int32).reshape(1, 4, 6), labels)


@pytest.mark.parametrize("phone", ["snapdragon_855", "tensor_g3", "old_adbd"])
def test_a_recorded_phone_says_the_same_again(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phone: str
) -> None:
    server = start(phone)
    device = opened(server)
    monkeypatch.setattr(fake_phone, "PHONES", tmp_path)
    about = record_phone.record(AdbClient(environment=server.env))
    (tmp_path / "recorded.yml").write_text(yaml.safe_dump(about))
    again = opened(start("recorded"))

    assert server.phones[0].serial not in str(about)
    assert again.state() == device.state()
    assert again.free_bytes() == device.free_bytes()
    assert again.section() | {"fingerprint": ""} == device.section() | {"fingerprint": ""}
