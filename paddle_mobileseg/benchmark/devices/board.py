"""What a Linux board says of itself, beside what every Linux says (:mod:`paddle_mobileseg.benchmark.devices.linux`)."""

from __future__ import annotations

import re
from typing import Any

from paddle_mobileseg.benchmark.describe import fingerprint
from paddle_mobileseg.benchmark.devices import linux

SECTION_SCRIPT = (
    linux.SECTION_SCRIPT
    + """\
echo "--os"; cat /etc/os-release 2>/dev/null
echo "--kernel"; uname -sr
echo "--model"; tr '\\0' '\\n' < /proc/device-tree/model 2>/dev/null
echo "--compatible"; tr '\\0' '\\n' < /proc/device-tree/compatible 2>/dev/null; :
"""
)
STATE_SCRIPT = (
    linux.STATE_SCRIPT
    + """\
for c in /sys/class/thermal/cooling_device*; do
t= v=; { read -r t < $c/type; read -r v < $c/cur_state; } 2>/dev/null
echo "cooling|$t|$v"
done
t=; { read -r t < /sys/devices/platform/soc/soc:firmware/get_throttled; } 2>/dev/null; echo "throttled|$t"
for p in /sys/class/power_supply/*; do
t= v=; { read -r t < $p/type; read -r v < $p/capacity; } 2>/dev/null
[ "$t" = Battery ] && echo "battery|$v"
done; :
"""
)


def parse_section(text: str, abi: str | None) -> dict[str, Any]:
    """The record's ``device`` from what the section's script printed."""
    found = linux.parts(text)
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)', found.get("os", ""), re.M)
    known = [part for part in (name and name[1], found.get("kernel", "").strip()) if part]
    cpu = linux.cpu_name(found.get("cpuinfo", ""))
    cores = linux.core_count(found.get("cores", ""), found.get("cpuinfo", ""))
    memory = linux.memory_gib(found.get("meminfo", ""))
    soc = found.get("compatible", "").split()[-1:]
    model = " ".join(found.get("model", "").split()) or None
    return {
        "kind": "ssh",
        "name": model or cpu,
        "soc": soc[0] if soc else None,
        "cpu": cpu,
        "logical_cores": cores,
        "memory_gib": memory,
        "os": ", ".join(known) or None,
        "abi": abi,
        "android": None,
        "gpu": found.get("gpu", "").strip() or None,
        "fingerprint": fingerprint(model, *soc, cpu, cores, memory, abi),
    }


def parse_state(text: str) -> dict[str, Any]:
    """The record's state from what the state's script printed.

    A Raspberry Pi says with the low bits of ``get_throttled`` what holds now: under-voltage, frequency capped,
    throttled, soft limit of the temperature. Elsewhere a processor whose cooling device is not at 0 is slowed down.
    """
    state = linux.parse_state(text)
    cooling: list[int] = []
    for line in text.splitlines():
        kind, _, rest = line.partition("|")
        if kind == "throttled" and re.fullmatch(r"(0x)?[0-9a-fA-F]+", rest):
            cooling.append(int(rest, 16) & 0xF)
        elif (
            kind == "cooling"
            and re.match(r"(?:thermal-)?cpufreq|Processor\|", rest)
            and rest.rpartition("|")[2].isdigit()
        ):
            cooling.append(int(rest.rpartition("|")[2]))
        elif kind == "battery" and rest.isdigit() and int(rest) <= 100:
            state["battery_percent"] = float(rest)
    state["throttled"] = any(cooling) if cooling else None
    return state
