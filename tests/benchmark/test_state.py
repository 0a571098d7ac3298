"""Heat, clock, load and memory as Linux tells them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paddle_mobileseg.benchmark import state


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_machine_that_says_everything(tmp_path: Path) -> None:
    for zone, kind, value in ((0, "acpitz", 27800), (1, "x86_pkg_temp", 51000), (2, "acpitz", -5000)):
        put(tmp_path, f"sys/class/thermal/thermal_zone{zone}/type", f"{kind}\n")
        put(tmp_path, f"sys/class/thermal/thermal_zone{zone}/temp", f"{value}\n")
    for core, frequency in ((0, 1_800_000), (10, 800_000)):
        put(tmp_path, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", f"{frequency}\n")
        put(tmp_path, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "powersave\n")
    put(tmp_path, "sys/class/power_supply/BAT0/capacity", "83\n")
    put(tmp_path, "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3\n")
    put(tmp_path, "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "4\n")
    assert state.throttle_count(tmp_path) == 7
    assert [state.read_state(tmp_path, before)["throttled"] for before in (None, 7, 6)] == [None, False, True]
    put(tmp_path, "proc/loadavg", "0.52 0.58 0.59 1/467 12345\n")
    assert state.read_state(tmp_path) == {
        "temperature_c": {"acpitz": 27.8, "x86_pkg_temp": 51.0, "acpitz thermal_zone2": -5.0},
        "frequency_mhz": {"cpu0": 1800.0, "cpu10": 800.0},
        "governor": {"cpu0": "powersave", "cpu10": "powersave"},
        "throttled": None,
        "battery_percent": 83.0,
        "load_1min": 0.52,
    }


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "unknown\n")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "\n")
    found = state.read_state(tmp_path)
    assert found["temperature_c"] == found["frequency_mhz"] == found["governor"] == {}
    assert found["battery_percent"] is found["load_1min"] is found["throttled"] is None
    assert state.jiffies(tmp_path) is None
    assert state.memory(root=tmp_path) == (None, None)
    state.forget_peak(root=tmp_path)


def test_time_that_the_host_took(tmp_path: Path) -> None:
    put(tmp_path, "proc/stat", "cpu  100 1 50 800 9 0 0 40 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    before = state.jiffies(tmp_path)
    put(tmp_path, "proc/stat", "cpu  160 1 60 810 9 0 0 60 30 0\n")
    after = state.jiffies(tmp_path)
    assert before == (1000, 40) and after == (1100, 60)
    assert state.steal_share(before, after) == 0.2
    assert state.steal_share(before, before) is state.steal_share(None, after) is None


def test_waiting_is_that_of_all_threads(tmp_path: Path) -> None:
    put(tmp_path, "proc/7/task/7/schedstat", "100 20 3\n")
    put(tmp_path, "proc/7/task/8/schedstat", "50 5 1\n")
    assert state.waiting(7, tmp_path) == (150, 25)
    assert state.waiting(8, tmp_path) is None


def test_memory_is_in_bytes(tmp_path: Path) -> None:
    put(tmp_path, "proc/7/status", "Name:\tpython\nVmPeak:\t 9000 kB\nVmHWM:\t    3000 kB\nVmRSS:\t    2000 kB\n")
    assert state.memory(7, tmp_path) == (2_048_000, 3_072_000)


def test_this_process_has_memory() -> None:
    before = state.memory()
    assert before.now is not None and before.peak is not None and before.peak >= before.now > 1 << 20
    block = np.ones(64 << 20, np.uint8)
    after = state.memory()
    assert after.now is not None and 60 << 20 <= after.now - before.now <= 80 << 20
    del block
    state.forget_peak()
    forgotten = state.memory()
    assert after.peak is not None and forgotten.peak is not None and forgotten.peak < after.peak - (48 << 20)
