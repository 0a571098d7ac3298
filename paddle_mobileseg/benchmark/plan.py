"""What is to be measured: a bundle on a backend of a device."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark.protocol import Protocol
from paddle_mobileseg.data.input_files import ImageFile, find_images
from paddle_mobileseg.files import sha256
from paddle_mobileseg.runtime.bundle import Bundle
from paddle_mobileseg.runtime.session import files_key

LOCAL = "local"


@dataclass(frozen=True)
class Plan:
    """One measurement.

    Attributes:
        bundle: the bundle's folder.
        backend: one of :data:`paddle_mobileseg.runtime.BACKENDS`; on a device over adb or ssh ``lite-arm``.
        threads: of the network's operators.
        device: ``local``, ``adb``, ``adb:SERIAL`` or ``ssh:[USER@]HOST[:PORT]``.
        options: of the backend.
        affinity: cores that the process may use; ``None``: all.
        power_mode: Paddle Lite's, on devices.
        images: image or folder to measure with; ``None``: the images stored with the bundle.
        frame_hw: height and width of the camera's frames; ``None``: those of the images.
        profile: whether to take times per operator too, in runs of their own.
    """

    bundle: Path
    backend: str
    threads: int = 1
    device: str = LOCAL
    options: dict[str, Any] = field(default_factory=dict)
    affinity: tuple[int, ...] | None = None
    power_mode: str | None = None
    images: Path | None = None
    frame_hw: tuple[int, int] | None = None
    profile: bool = False

    def key(self, protocol: Protocol, bundle: Bundle, fingerprint: str | None) -> str:
        """16 hexadecimal digits that are equal when the same is measured in the same way on the same device."""
        asked = {
            "files": [bundle.about["files"][path.name]["sha256"] for path in self._files(bundle)],
            "plan": {k: v for k, v in asdict(self).items() if k not in ("bundle", "images", "profile", "device")},
            "images": None if self.images is None else _digest(tuple(map(_state, find_images(self.images)))),
            "protocol": asdict(protocol),
            "device": fingerprint,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def _files(self, bundle: Bundle) -> list[Path]:
        return bundle.files_of(files_key(self.backend))


def _state(file: ImageFile) -> tuple[Path, int, int]:
    about = file.path.stat()
    return file.path, about.st_size, about.st_mtime_ns


@functools.cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> tuple[str, ...]:
    """SHA-256 of each; read once, as long as they stay as they are."""
    return tuple(sha256(path) for path, _, _ in files)
