"""Readings of Linux kernels."""

from __future__ import annotations

import subprocess

import pytest

from paddle_mobileseg.benchmark.devices import linux


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("36100", 36.1),
        ("39", 39.0),
        ("315", 31.5),
        ("-5000", -5.0),
        ("1500", 1.5),
        ("149", 149.0),
        ("0", None),  # a sensor that is off
        ("-273000", None),
        ("-40000", None),
        ("4231000", None),  # a voltage
        ("", None),
        ("nan", None),
        ("inf", None),
        ("warm", None),
    ],
)
def test_units_of_thermal_zones(text: str, degrees: float | None) -> None:
    assert linux.celsius(text) == degrees


def test_state() -> None:
    text = """zone|cpu|40000
zone|cpu|41000
zone|vbat|39000
zone||40000
zone|gpu|
cpu|cpu0|1500000|powersave
cpu|cpu1||
cpu|cpufreq|1|x
cpu|cpu2|0|
load|0.50 0.40 0.30 1/200 1234
nonsense
"""

    assert linux.parse_state(text) == {
        "temperature_c": {"cpu": 40.0, "cpu 2": 41.0},
        "frequency_mhz": {"cpu0": 1500.0},
        "governor": {"cpu0": "powersave"},
        "throttled": None,
        "battery_percent": None,
        "load_1min": 0.5,
    }


def test_nothing_readable_is_no_reading() -> None:
    assert linux.parse_state("zone||\nload|\nload|-1 0 0\n") == linux.empty_state()


def test_the_script_runs_here_without_a_word_on_stderr() -> None:
    done = subprocess.run(["sh", "-c", linux.STATE_SCRIPT], capture_output=True, text=True, check=True)

    assert done.stderr == ""
    state = linux.parse_state(done.stdout)
    with open("/proc/loadavg") as file:
        assert state["load_1min"] == pytest.approx(float(file.read().split()[0]), abs=2)


@pytest.mark.parametrize(
    ("present", "cpuinfo", "count"),
    [
        ("0-7\n", "", 8),
        ("0-3,6\n", "", 5),
        ("0\n", "", 1),
        ("5-3\n", "", None),
        ("", "processor : 0\nprocessor\t: 1\n", 2),
        ("", "", None),
    ],
)
def test_core_count(present: str, cpuinfo: str, count: int | None) -> None:
    assert linux.core_count(present, cpuinfo) == count


def core(number: int, implementer: str, part: str) -> str:
    return f"processor\t: {number}\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (
            core(0, "0x41", "0xd05") + core(1, "0x41", "0xd05") + core(2, "0x41", "0xd0b"),
            "2x Cortex-A55 + 1x Cortex-A76",
        ),
        (core(0, "0x51", "0x805"), "1x Kryo 4xx Silver"),
        (core(0, "0x61", "0x022"), "1x core 0x61/0x022"),
        ("processor : 0\nprocessor : 1\n" + core(2, "0x41", "0xd03"), "Cortex-A53"),
        ("processor : 0\nmodel name : Some  CPU\n", "Some CPU"),
        ("", None),
    ],
)
def test_cpu_name(cpuinfo: str, name: str | None) -> None:
    assert linux.cpu_name(cpuinfo) == name


@pytest.mark.parametrize(
    ("text", "gib"), [("MemTotal:        5761024 kB\n", 5.5), ("MemFree: 1 kB", None), ("MemTotal: 0 kB", None)]
)
def test_memory(text: str, gib: float | None) -> None:
    assert linux.memory_gib(text) == gib


def test_parts() -> None:
    assert linux.parts("lost\n--a\n1\n\n2\n--b\n--c\n3") == {"a": "1\n\n2\n", "b": "", "c": "3\n"}
