"""Writes what a real phone says of itself as a description for ``fake_phone``, without its serial number.

    python -m tests.benchmark.devices.record_phone my_phone            # phones/my_phone.yml
    ANDROID_SERIAL=... python -m tests.benchmark.devices.record_phone my_phone

Look through the file before you hand it on.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.benchmark.devices import adb_android, linux
from paddle_mobileseg.benchmark.devices.adb_client import AdbClient
from tests.benchmark.devices.fake_phone import PHONES, ROOT

_PROPERTIES = re.compile(
    r"ro\.(product\.(manufacturer|model|cpu\.\w+)|build\.(fingerprint|version\.(release|sdk))|board\.platform|"
    r"hardware(\.egl)?|soc\.\w+)|sys\.boot_completed"
)
_PROGRAMS = [
    "cat",
    "chmod",
    "cp",
    "env",
    "grep",
    "kill",
    "ls",
    "md5sum",
    "mkdir",
    "mv",
    "rm",
    "sha1sum",
    "sha256sum",
    "sleep",
    "taskset",
    "timeout",
    "uname",
    "wc",
]
_SCRIPT = f"""\
for z in /sys/class/thermal/thermal_zone*; do
t= v=; {{ read -r t < $z/type; read -r v < $z/temp; }} 2>/dev/null
echo "zone|$t|$v"
done
for p in {" ".join(_PROGRAMS)}; do command -v $p > /dev/null && echo "program|$p"; done
"""
_FILES = {
    "meminfo": "/proc/meminfo",
    "cpuinfo": "/proc/cpuinfo",
    "cores": "/sys/devices/system/cpu/present",
    "gpu": "/sys/class/kgsl/kgsl-3d0/gpu_model",
}


def record(client: AdbClient) -> dict[str, Any]:
    """The description of the phone that is attached."""
    client.start()
    serial = client.choose(None).serial

    def shell(line: str) -> str:
        return client.shell(serial, line, 60).stdout

    properties = adb_android.parse_properties(shell("getprop"))
    state = adb_android.parse_state(shell(adb_android.STATE_SCRIPT))
    lines = [line.split("|") for line in shell(_SCRIPT).splitlines()]
    texts = linux.parts(shell(linux.SECTION_SCRIPT))
    cores = range(linux.core_count(texts.get("cores", ""), texts.get("cpuinfo", "")) or 1)
    free, load = None, shell("cat /proc/loadavg 2>/dev/null")
    for style in ("df -k", "df"):
        free = free or adb_android.parse_free_bytes(shell(f"{style} {ROOT}"))
    return {
        "serial": "0123456789ab",
        "features": client.call("features", timeout_s=20, serial=serial).stdout.split(),
        "programs": [words[1] for words in lines if words[0] == "program"],
        "free_kib": (free or 0) // 1024,
        "properties": {name: value for name, value in properties.items() if _PROPERTIES.fullmatch(name)},
        "thermal_zones": [[words[1], words[2] or None] for words in lines if words[0] == "zone" and words[1]],
        "cores": [
            [round(state["frequency_mhz"].get(name, 0) * 1000) or None, state["governor"].get(name)]
            for name in (f"cpu{core}" for core in cores)
        ],
        "files": {path: texts[name] for name, path in _FILES.items() if texts.get(name)}
        | ({"/proc/loadavg": load} if load else {}),
        "dumpsys": {
            name: text
            for name in ("battery", "thermalservice")
            if "Can't find service" not in (text := shell(f"dumpsys {name}"))
        },
    }


def main(name: str) -> Path:
    """Record the phone under this name."""
    path = PHONES / f"{name}.yml"
    if path.exists():
        raise SystemExit(f"{path} exists; choose another name")
    text = yaml.safe_dump(record(AdbClient()), sort_keys=False, allow_unicode=True, width=120)
    path.write_text(f"# Recorded from a phone by tests/benchmark/devices/record_phone.py.\n{text}", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(main(sys.argv[1]))
