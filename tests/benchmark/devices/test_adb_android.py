"""What Android's programs print."""

from __future__ import annotations

import pytest

from paddle_mobileseg.benchmark.devices import adb_android
from paddle_mobileseg.benchmark.devices.adb_client import Attached, parse_devices

HAL = "Current temperatures from HAL:\n"


def state(battery: str = "", thermal: str = "") -> dict[str, object]:
    return adb_android.parse_state(f"--sys\n--battery\n{battery}\n--thermal\n{thermal}\n")


def test_devices() -> None:
    text = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
emulator-5554          device product:sdk_gphone64 model:sdk_gphone64_x86_64 device:emu64x transport_id:1
0123456789ABCDEF       unauthorized usb:1-2 transport_id:2
????????????           no permissions (user in plugdev group; are your udev rules wrong?); see [http://x] usb:1-3
192.168.0.7:5555       offline transport_id:4

"""

    assert parse_devices(text) == [
        Attached("emulator-5554", "device", "sdk_gphone64_x86_64"),
        Attached("0123456789ABCDEF", "unauthorized", ""),
        Attached("????????????", "no permissions", ""),
        Attached("192.168.0.7:5555", "offline", ""),
    ]
    assert parse_devices("List of devices attached\n\n") == []
    assert parse_devices("error: something") == []


def test_properties() -> None:
    text = "[a.b]: [1]\r\n[empty]: []\r\n[c]: [x [y]: z]\r\n[lines]: [one\ntwo]\nnoise\n"

    assert adb_android.parse_properties(text) == {"a.b": "1", "c": "x [y]: z", "lines": "one\ntwo"}


@pytest.mark.parametrize(
    ("text", "free"),
    [
        (
            "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/block/dm-5 100 40 60 40% /data/user/0\n",
            60 * 1024,
        ),
        ("Filesystem 1K-blocks Used Available Use% Mounted on\ntmpfs on data 100 100 0 100% /data\n", 0),
        ("Filesystem Size Used Free Blksize\n/data 12.0G 3.2G 8.5G 4096\n", int(8.5 * 2**30)),
        ("Filesystem Size Used Free Blksize\n/data 512.0M 511.5M 512.0K 4096\n", 512 * 1024),
        ("Filesystem Size Used Free Blksize\n/data 512 12 500 4096\n", 500),
        ("Filesystem Size Used Free Blksize\n", None),
        ("Filesystem Size Used Free Blksize\n/data\n", None),
        ("df: /data/local/tmp: Permission denied\n", None),
        ("", None),
    ],
)
def test_free_bytes(text: str, free: int | None) -> None:
    assert adb_android.parse_free_bytes(text) == free


@pytest.mark.parametrize(
    ("text", "percent", "degrees"),
    [
        ("  present: true\n  level: 87\n  scale: 100\n  temperature: 312\n", 87.0, 31.2),
        ("  level: 3\n  scale: 4\n  temperature: -52\n", 75.0, -5.2),
        ("  present: false\n  level: 0\n  scale: 0\n  temperature: 0\n", None, None),  # a board without one
        ("  level: 50\n  scale: 0\n", None, None),
        ("  level: 101\n  scale: 100\n  temperature: 2147483647\n", None, None),
        ("Can't find service: battery\n", None, None),
    ],
)
def test_battery(text: str, percent: float | None, degrees: float | None) -> None:
    found = state(battery=text)

    assert found["battery_percent"] == percent
    assert found["temperature_c"] == ({} if degrees is None else {"battery": degrees})


@pytest.mark.parametrize(
    ("text", "readings", "throttled"),
    [
        (
            f"Thermal Status: 0\n{HAL}Temperature{{mValue=38.4, mType=3, mName=skin, mStatus=0}}\n",
            {"skin": 38.4},
            False,
        ),
        (f"Thermal Status: 3\n{HAL}Temperature{{mValue=NaN, mType=0, mName=cpu, mStatus=0}}\n", {}, True),
        (
            "Thermal Status: 1\nCached temperatures:\nTemperature{mValue=41.0, mType=3, mName=skin, mStatus=1}\n",
            {"skin": 41.0},
            True,
        ),
        (
            f"{HAL}Temperature{{mValue=64.0, mType=8, mName=soc}}\nTemperature{{mValue=4.1, mType=6, mName=vbat}}\n",
            {},
            None,
        ),
        (
            f"{HAL}Temperature{{mValue=0.0, mType=0, mName=cpu}}\nTemperature{{mValue=x, mType=0, mName=cpu}}\n",
            {},
            None,
        ),
        ("Can't find service: thermalservice\n", {}, None),
        ("Permission Denial: can't dump thermalservice\n", {}, None),
    ],
)
def test_thermalservice(text: str, readings: dict[str, float], throttled: bool | None) -> None:
    found = state(thermal=text)

    assert (found["temperature_c"], found["throttled"]) == (readings, throttled)


@pytest.mark.parametrize(
    ("maker", "model", "name"),
    [
        ("samsung", "SM-S921B", "Samsung SM-S921B"),
        ("OnePlus", "ONEPLUS A6000", "ONEPLUS A6000"),
        ("Google", "Pixel 8", "Google Pixel 8"),
        ("", "X", "X"),
        ("Maker", "", "Maker"),
        ("", "", None),
    ],
)
def test_names_say_the_maker_once(maker: str, model: str, name: str | None) -> None:
    assert adb_android.name({"ro.product.manufacturer": maker, "ro.product.model": model}) == name


def test_section_of_a_phone_that_says_nothing_has_no_values() -> None:
    section = adb_android.section({}, "", "SERIAL")

    assert {key for key, value in section.items() if value is not None} == {"kind", "fingerprint"}


def test_fingerprints_tell_phones_and_builds_apart() -> None:
    def of(serial: str, **properties: str) -> str:
        return adb_android.section({f"ro.{key}": value for key, value in properties.items()}, "", serial)["fingerprint"]

    assert of("usb", serialno="A") == of("192.168.0.7:5555", serialno="A")  # however it is connected
    assert (
        len(
            {
                of("A"),
                of("B"),
                of("x", serialno="B2"),
                adb_android.section({"ro.build.fingerprint": "y"}, "", "A")["fingerprint"],
            }
        )
        == 4
    )
