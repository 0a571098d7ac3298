"""Phones over adb and ARM Linux boards over ssh: what the benchmark measures on besides this machine."""

from __future__ import annotations

from paddle_mobileseg.benchmark.devices.base import Completed, Device, DeviceError, DeviceLost, DeviceTimeout

__all__ = ["Completed", "Device", "DeviceError", "DeviceLost", "DeviceTimeout", "open_device"]


def open_device(spec: str) -> Device:
    """The device that ``--device`` names. Nothing is asked of it before its ``check()``.

    Args:
        spec: ``adb`` (the one phone that is attached, or ``ANDROID_SERIAL``), ``adb:SERIAL``, or
            ``ssh:[USER@]HOST[:PORT]``.

    Raises:
        ValueError: ``spec`` is neither.
    """
    kind, colon, address = spec.partition(":")
    if kind == "adb" and (address or not colon):
        from paddle_mobileseg.benchmark.devices.adb import AdbDevice

        return AdbDevice(address or None)
    if kind == "ssh" and address:
        from paddle_mobileseg.benchmark.devices.ssh import SshDevice

        return SshDevice(address)
    raise ValueError(
        f"unknown device {spec!r}; expected local, adb, adb:SERIAL (`adb devices` lists them) or ssh:[USER@]HOST[:PORT]"
    )
