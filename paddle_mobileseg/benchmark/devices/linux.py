"""What Linux kernels, Android's among them, say of themselves under ``/proc`` and ``/sys``.

The scripts below are for any POSIX shell, and use hardly more than its builtins: old phones have few programs, and a
program for each of 80 thermal zones would take a second.
"""

from __future__ import annotations

import math
import re
from typing import Any

from paddle_mobileseg.machine import parse_cpu_model

# One line a reading: zone|type|value, cpu|cpu0|kHz|governor, load|0.5 0.4 0.3 1/200 1234
STATE_SCRIPT = """\
for z in /sys/class/thermal/thermal_zone*; do
t= v=; { read -r t < $z/type; read -r v < $z/temp; } 2>/dev/null
echo "zone|$t|$v"
done
for c in /sys/devices/system/cpu/cpu[0-9]*; do
f= g=; { read -r f < $c/cpufreq/scaling_cur_freq; read -r g < $c/cpufreq/scaling_governor; } 2>/dev/null
echo "cpu|${c##*/}|$f|$g"
done
l=; { read -r l < /proc/loadavg; } 2>/dev/null
echo "load|$l"
"""

SECTION_SCRIPT = """\
echo "--meminfo"; cat /proc/meminfo 2>/dev/null
echo "--cpuinfo"; cat /proc/cpuinfo 2>/dev/null
echo "--cores"; cat /sys/devices/system/cpu/present 2>/dev/null
echo "--gpu"; cat /sys/class/kgsl/kgsl-3d0/gpu_model 2>/dev/null
"""

_NO_TEMPERATURE = re.compile(
    r"vbat|ibat|volt|current|\bbcl|lvl|^soc$|soc-\d|pct|percent|power|-step$|charger-state", re.I
)
_ARM_PARTS = {  # MIDR part numbers of ARM's own cores, as arch/arm64/include/asm/cputype.h lists them
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1",
    0xD0C: "Neoverse-N1",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
}
_QUALCOMM_PARTS = {  # the same of Qualcomm's
    0x800: "Kryo 2xx Gold",
    0x801: "Kryo 2xx Silver",
    0x802: "Kryo 3xx Gold",
    0x803: "Kryo 3xx Silver",
    0x804: "Kryo 4xx Gold",
    0x805: "Kryo 4xx Silver",
}
_PARTS = {"0x41": _ARM_PARTS, "0x51": _QUALCOMM_PARTS}  # by implementer


def parse_state(text: str) -> dict[str, Any]:
    """What ``STATE_SCRIPT`` printed, as a record's state without ``at_s``; ``throttled`` and the battery unknown."""
    state = empty_state()
    for line in text.splitlines():
        kind, *fields = line.strip().split("|")
        if kind == "zone" and len(fields) == 2:
            value = celsius(fields[1])
            if fields[0] and value is not None and not _NO_TEMPERATURE.search(fields[0]):
                add_reading(state["temperature_c"], fields[0], value)
        elif kind == "cpu" and len(fields) == 3 and re.fullmatch(r"cpu\d+", fields[0]):
            if fields[1].isdigit() and int(fields[1]) > 0:
                state["frequency_mhz"][fields[0]] = int(fields[1]) / 1000
            if fields[2]:
                state["governor"][fields[0]] = fields[2]
        elif kind == "load" and fields:
            load = _number(fields[0].split(" ")[0])
            state["load_1min"] = load if load is not None and load >= 0 else None
    return state


def empty_state() -> dict[str, Any]:
    """A state in which nothing is known."""
    return {
        "temperature_c": {},
        "frequency_mhz": {},
        "governor": {},
        "throttled": None,
        "battery_percent": None,
        "load_1min": None,
    }


def celsius(text: str) -> float | None:
    """A thermal zone's ``temp`` in degrees Celsius.

    Kernels count in thousandths; older vendor kernels in tenths or whole degrees, which is told from the size. Sensors
    that are off say 0, -273 degrees or nonsense: ``None``.
    """
    value = _number(text.strip())
    if value is None or value == 0:
        return None
    if abs(value) >= 1000:
        value /= 1000
    elif abs(value) >= 150:
        value /= 10
    return value if -30 < value < 150 else None


def add_reading(readings: dict[str, float], name: str, value: float) -> None:
    """Put a reading in under its name, with a number behind where the name is taken (``battery``, ``battery 2``)."""
    unique, count = name, 1
    while unique in readings:
        count += 1
        unique = f"{name} {count}"
    readings[unique] = round(value, 3)


def parts(text: str) -> dict[str, str]:
    """Text by the name of the ``--name`` line before it."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if re.fullmatch(r"--\w+", line):
            name = line[2:]
            found[name] = ""
        elif name:
            found[name] += line + "\n"
    return found


def memory_gib(meminfo: str) -> float | None:
    """Memory in ``/proc/meminfo``, GiB with one decimal."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.M)
    return round(int(match[1]) / 2**20, 1) if match and int(match[1]) > 104857 // 2 else None


def core_count(present: str, cpuinfo: str) -> int | None:
    """Cores, those that sleep included, from the kernel's list such as ``0-3,6``; else those in ``/proc/cpuinfo``."""
    count = 0
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", present):
        count += max(int(last or first) - int(first) + 1, 0)
    return count or len(re.findall(r"^processor\s*:", cpuinfo, re.M)) or None


def cpu_name(cpuinfo: str) -> str | None:
    """Model of the processor; of ARM its cores (``4x Cortex-A55 + 4x Cortex-A76``), by the parts that are known."""
    counts: dict[str, int] = {}
    vendor = ""
    for name, value in re.findall(r"^CPU (implementer|part)\s*:\s*(0x[0-9a-fA-F]+)", cpuinfo, re.M):
        if name == "implementer":
            vendor = value.lower()
            continue
        known = _PARTS.get(vendor, {}).get(int(value, 16))
        core = known or f"core {vendor}/{value.lower()}"
        counts[core] = counts.get(core, 0) + 1
    if counts and sum(counts.values()) == len(re.findall(r"^processor\s*:", cpuinfo, re.M)):
        return " + ".join(f"{count}x {core}" for core, count in counts.items())
    if counts:  # old kernels name one core for all
        return " + ".join(counts)
    return parse_cpu_model(cpuinfo)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
