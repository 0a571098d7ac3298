"""What this machine says of its heat, its clock, its load, and of a process's memory: Linux's /proc and /sys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path("/")
_KIB = 1024


def read_state(root: Path = _ROOT, throttles_before: int | None = None) -> dict[str, Any]:
    """The schema's ``state`` without ``at_s``; what cannot be read is missing or ``None``.

    Args:
        root: of the file system, for tests.
        throttles_before: :func:`throttle_count` of an earlier moment; without it, ``throttled`` is not known.
    """
    throttles = throttle_count(root)
    cores = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*"), key=lambda path: int(path.name[3:]))
    frequency = {path.name: _number(path / "cpufreq/scaling_cur_freq") for path in cores}
    governor = {path.name: _text(path / "cpufreq/scaling_governor") for path in cores}
    load = _text(root / "proc/loadavg")
    return {
        "temperature_c": _temperatures(root),
        "frequency_mhz": {name: value / 1000 for name, value in frequency.items() if value},
        "governor": {name: value for name, value in governor.items() if value},
        "throttled": None if throttles_before is None or throttles is None else throttles > throttles_before,
        "battery_percent": next(
            (value for path in sorted(root.glob("sys/class/power_supply/*/capacity")) if (value := _number(path))), None
        ),
        "load_1min": float(load.split()[0]) if load else None,
    }


def throttle_count(root: Path = _ROOT) -> int | None:
    """How often the processor was slowed down for heat since its start; ``None`` where it does not say."""
    counts = [_number(path) for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")]
    return int(sum(count or 0 for count in counts)) if counts else None


def _temperatures(root: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        value = _number(zone / "temp")
        if value is not None:
            name = _text(zone / "type") or zone.name
            found[f"{name} {zone.name}" if name in found else name] = value / 1000
    return found


class Jiffies(NamedTuple):
    """Processor time of the whole machine since its start, in the kernel's ticks."""

    total: int
    steal: int


def jiffies(root: Path = _ROOT) -> Jiffies | None:
    """From /proc/stat; ``None`` where there is none."""
    text = _text(root / "proc/stat")
    numbers = [int(each) for each in (text or "").partition("\n")[0].split()[1:9]]  # guest time is part of user's
    return Jiffies(sum(numbers), numbers[7]) if len(numbers) == 8 else None


def steal_share(before: Jiffies | None, after: Jiffies | None) -> float | None:
    """Share of the processors' time between two moments that the host gave to other machines; ``None``: unknown."""
    if before is None or after is None or after.total <= before.total:
        return None
    return (after.steal - before.steal) / (after.total - before.total)


class Waiting(NamedTuple):
    """Nanoseconds that the threads of a process together had a processor, and waited for one with work to do."""

    ran: int
    waited: int


def waiting(pid: int | str = "self", root: Path = _ROOT) -> Waiting | None:
    """From /proc/PID/task/*/schedstat; ``None`` where the kernel does not count it."""
    texts = [text for path in root.glob(f"proc/{pid}/task/*/schedstat") if (text := _text(path)) is not None]
    rows = [[int(each) for each in text.split()[:2]] for text in texts]
    return Waiting(sum(row[0] for row in rows), sum(row[1] for row in rows)) if rows else None


class Memory(NamedTuple):
    """Resident memory of a process, bytes; ``None`` where it cannot be read."""

    now: int | None
    peak: int | None


def memory(pid: int | str = "self", root: Path = _ROOT) -> Memory:
    """From /proc/PID/status."""
    text = _text(root / f"proc/{pid}/status") or ""
    now, peak = (re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE) for name in ("VmRSS", "VmHWM"))
    return Memory(*(None if found is None else int(found[1]) * _KIB for found in (now, peak)))


def forget_peak(pid: int | str = "self", root: Path = _ROOT) -> None:
    """Let a process's peak begin anew at what it has now, where the kernel can."""
    try:
        (root / f"proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:  # also drivers that give EINVAL or EAGAIN
        return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return float(text) if text else None
    except ValueError:
        return None
