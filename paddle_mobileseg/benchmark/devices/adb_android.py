"""What Android's own programs print: ``getprop``, ``dumpsys battery``, ``dumpsys thermalservice``, ``df``."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from paddle_mobileseg.benchmark.devices import linux

STATE_SCRIPT = f"""\
echo "--sys"
{linux.STATE_SCRIPT}echo "--battery"; dumpsys battery 2>/dev/null
echo "--thermal"; dumpsys thermalservice 2>/dev/null
"""

# Kinds of android.os.Temperature that are no temperatures: BCL_VOLTAGE, BCL_CURRENT, BCL_PERCENTAGE.
_BATTERY_LIMITS = (6, 7, 8)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_properties(text: str) -> dict[str, str]:
    """What ``getprop`` printed, ``[name]: [value]`` a line; empty values are left out."""
    found = re.findall(r"^\[([^\]]+)\]: \[(.*?)\]\s*$", text, re.MULTILINE | re.DOTALL)
    return {name: value.strip() for name, value in found if value.strip()}


def abis(properties: dict[str, str]) -> list[str]:
    """ABIs that a device runs, best first."""
    listed = properties.get("ro.product.cpu.abilist", "").split(",")
    older = [properties.get(name, "") for name in ("ro.product.cpu.abi", "ro.product.cpu.abi2")]
    return list(dict.fromkeys(abi.strip() for abi in [*listed, *older] if abi.strip()))


def sdk(properties: dict[str, str]) -> int | None:
    """Android's API level."""
    level = properties.get("ro.build.version.sdk", "")
    return int(level) if level.isdigit() else None


def name(properties: dict[str, str]) -> str | None:
    """Manufacturer and model; the manufacturer once where the model begins with it."""
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    if model.lower().startswith(maker.lower()):
        return model or None
    return f"{maker[:1].upper()}{maker[1:]} {model}".strip()


def serial_number(properties: dict[str, str], serial: str) -> str:
    """What the phone says, which is the same however it is connected; else what adb calls it."""
    return properties.get("ro.serialno") or properties.get("ro.boot.serialno") or serial


def section(properties: dict[str, str], system: str, serial: str) -> dict[str, Any]:
    """The record's ``device``, from ``getprop`` and what :data:`linux.SECTION_SCRIPT` printed.

    ``serial`` goes into the fingerprint's hash only, where the phone does not say its own.
    """
    texts = linux.parts(system)
    release, level = properties.get("ro.build.version.release"), sdk(properties)
    identity = f"{serial_number(properties, serial)}|{properties.get('ro.build.fingerprint', '')}"
    chip = f"{properties.get('ro.soc.manufacturer', '')} {properties.get('ro.soc.model', '')}".strip()
    return {
        "kind": "adb",
        "name": name(properties),
        "soc": chip or properties.get("ro.board.platform") or properties.get("ro.hardware"),
        "cpu": linux.cpu_name(texts.get("cpuinfo", "")),
        "logical_cores": linux.core_count(texts.get("cores", ""), texts.get("cpuinfo", "")),
        "memory_gib": linux.memory_gib(texts.get("meminfo", "")),
        "os": f"Android {release}" if release else None,
        "abi": next(iter(abis(properties)), None),
        "android": {"release": release, "sdk": level} if release and level else None,
        "gpu": texts.get("gpu", "").strip() or properties.get("ro.hardware.egl"),
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:12],
    }


def parse_state(text: str) -> dict[str, Any]:
    """What :data:`STATE_SCRIPT` printed, as a record's state without ``at_s``."""
    texts = linux.parts(text)
    state = linux.parse_state(texts.get("sys", ""))
    level, degrees = _battery(texts.get("battery", ""))
    state["battery_percent"] = level
    readings, state["throttled"] = _thermal(texts.get("thermal", ""))
    for sensor, value in readings:
        linux.add_reading(state["temperature_c"], sensor, value)
    if degrees is not None and "battery" not in map(str.lower, state["temperature_c"]):
        state["temperature_c"]["battery"] = degrees
    return state


def _battery(text: str) -> tuple[float | None, float | None]:
    """Charge in percent and temperature in degrees (given in tenths) of ``dumpsys battery``."""
    found = dict(re.findall(r"^\s*(present|level|scale|temperature): (\w+|-?\d+)\s*$", text, re.MULTILINE))
    if found.get("present") == "false":
        return None, None
    number = {key: int(value) for key, value in found.items() if re.fullmatch(r"-?\d+", value)}
    scale = number.get("scale", 100)
    level = 100 * number["level"] / scale if "level" in number and 0 <= number["level"] <= scale > 0 else None
    tenths = number.get("temperature", 0)
    return level, tenths / 10 if tenths and -300 < tenths < 1500 else None


def _thermal(text: str) -> tuple[list[tuple[str, float]], bool | None]:
    """Temperatures and whether the phone holds itself back, from ``dumpsys thermalservice`` (Android 10 and later).

    The section 'Current temperatures from HAL' is preferred to the cached ones. Status 0 is THROTTLING_NONE.
    """
    status = re.search(r"^\s*Thermal Status: (\d+)", text, re.MULTILINE)
    cached, _, rest = text.partition("Current temperatures from HAL:")
    current = rest.partition("Current cooling devices")[0]
    pattern = re.compile(r"Temperature\{mValue=([^,]+), mType=(-?\d+), mName=([^,}]+)")
    readings = []
    for value, kind, sensor in pattern.findall(current) or pattern.findall(cached):
        try:
            degrees = float(value)
        except ValueError:
            continue
        if math.isfinite(degrees) and degrees != 0 and -30 < degrees < 150 and int(kind) not in _BATTERY_LIMITS:
            readings.append((sensor, degrees))
    return readings, None if status is None else int(status[1]) > 0


def parse_free_bytes(text: str) -> int | None:
    """Free bytes in what ``df -k FOLDER`` printed, or the ``df`` of Android 5 and before; ``None``: not understood."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    header = next((each for each in lines if each[0] == "Filesystem"), None)
    if header is None or lines[-1] is header:
        return None
    words = lines[-1]
    if "Free" in header and "Blksize" in header:  # Filesystem Size Used Free Blksize, such as 12.0G
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", words[3]) if len(words) >= 4 else None
        return int(float(match[1]) * _UNITS.get(match[2], 1)) if match else None
    used_share = next((index for index, word in enumerate(words) if re.fullmatch(r"\d+%", word)), 0)
    return int(words[used_share - 1]) * 1024 if used_share >= 3 and words[used_share - 1].isdigit() else None
