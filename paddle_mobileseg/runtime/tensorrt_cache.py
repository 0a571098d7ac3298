"""Built TensorRT engines, kept on disk: an engine takes minutes to build, and fits one GPU and one TensorRT only."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paddle_mobileseg.files import atomic_path, cache_folder

_LOGGER = logging.getLogger("paddle_mobileseg")


def default_folder() -> Path:
    """``tensorrt`` in ``MOBILESEG_CACHE``, else in ``~/.cache/paddle_mobileseg``."""
    return cache_folder() / "tensorrt"


class EngineCache:
    """Engines by key, one file each: a line of JSON (key, SHA-256), then the serialized engine.

    A key has all that an engine depends on: GPU, compute capability, TensorRT, the model's SHA-256, precision, shapes.

    Args:
        folder: made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: dict[str, Any]) -> Path:
        """The file of a key."""
        return self.folder / f"{hashlib.sha256(_text(key)).hexdigest()[:32]}.engine"

    @contextlib.contextmanager
    def alone(self, key: dict[str, Any]) -> Iterator[None]:
        """Hold a key: of two processes that want the same engine, the second waits here, and then finds it built.

        Raises:
            OSError: the folder cannot be written; the message says how to choose another.
        """
        lock = self.path(key).with_suffix(".lock")
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(lock, "ab"))
            except OSError as error:
                raise OSError(
                    f"cannot write to the cache of TensorRT engines {self.folder} ({error.strerror or error}); choose "
                    "another folder with cache_dir or MOBILESEG_CACHE"
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _LOGGER.info("another process builds this TensorRT engine; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def load(self, key: dict[str, Any]) -> bytes | None:
        """The serialized engine, or ``None`` where there is none that is whole."""
        path = self.path(key)
        try:
            header, _, engine = path.read_bytes().partition(b"\n")
            described = json.loads(header)
            whole = described["key"] == key and described["sha256"] == hashlib.sha256(engine).hexdigest()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            _LOGGER.warning("the cached TensorRT engine %s is damaged; building it again", path)
            return None
        return engine

    def store(self, key: dict[str, Any], engine: bytes) -> None:
        """Keep an engine. A full disk costs a warning only: the engine that was built is still good for this run."""
        path = self.path(key)
        header = json.dumps({"key": key, "sha256": hashlib.sha256(engine).hexdigest()}).encode()
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(header + b"\n" + engine)
        except OSError as error:
            _LOGGER.warning("the TensorRT engine was not kept in %s: %s", path, error)


def _text(key: dict[str, Any]) -> bytes:
    return json.dumps(key, sort_keys=True).encode()
