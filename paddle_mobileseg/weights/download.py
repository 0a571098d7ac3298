"""Weights by URL, kept in a cache folder.

Beside a file in the cache stands its SHA-256, written down at its first use; a file that has another one later is
damaged, and is not used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse

from paddle_mobileseg.files import cache_folder, write_json
from paddle_mobileseg.files import sha256 as sha256_of
from paddle_mobileseg.weights import transfer

_LOGGER = logging.getLogger("paddle_mobileseg")


def cached_path(url: str) -> Path:
    """The file that a URL is kept in; its name begins with a hash, because many files are called ``model.pdparams``."""
    return cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{Path(urlparse(url).path).name}"


def record_path(cached: Path) -> Path:
    """Where the SHA-256 of a file in the cache is written down."""
    return cached.with_name(cached.name + ".json")


def fetch(
    url: str, *, sha256: str | None = None, size: int | None = None, check: Callable[[Path], Any] | None = None
) -> Path:
    """Download a file once; later calls answer from the cache. Processes that want the same file wait for the first.

    Args:
        url: ``https``; ``http`` only from this computer itself.
        sha256: of the file, where it is known; otherwise that of the first use holds for all later ones.
        size: in bytes, where it is known.
        check: is given the file before it is used for the first time; raises ValueError for what is no such file.

    Raises:
        ValueError: a URL that is not ``https``, or a damaged file in the cache.
        OSError: the file cannot be had, or is another than expected (it is not kept then); the message says which file
            to put where by hand.
    """
    transfer.check_allowed(url)
    target = cached_path(url)
    if target.is_file():
        verify(target, url, sha256, check)
        return target
    with contextlib.ExitStack() as claim:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part, out = claim.enter_context(_claimed(target))
        except OSError as error:
            raise OSError(
                f"cannot write into the cache folder {target.parent} ({error.strerror or error}); "
                "name another with MOBILESEG_CACHE"
            ) from error
        try:
            if not target.is_file():
                transfer.download(url, part, out)
                os.fsync(out.fileno())
                _accept(part, target, url, sha256, size, check)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OSError(
                f"could not download {url} ({str(error) or type(error).__name__}); without a network, download it "
                f"elsewhere and save it as {target}"
            ) from error
    return target


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The partial file of ``target``, open for appending and locked against other processes, which wait here."""
    part = target.with_name(target.name + ".part")
    while True:
        with open(part, "ab") as out:
            try:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _LOGGER.info("another process downloads %s; waiting for it", target.name)
                fcntl.flock(out, fcntl.LOCK_EX)
            # While we waited, the other may have renamed the file or begun another under its name.
            if not part.exists() or not os.path.samestat(os.fstat(out.fileno()), part.stat()):
                continue
            try:
                yield part, out
            finally:
                if target.is_file() or out.seek(0, os.SEEK_END) == 0 or not transfer.can_resume(part):
                    part.unlink(missing_ok=True)
                    transfer.said_path(part).unlink(missing_ok=True)
            return


def _accept(
    part: Path, target: Path, url: str, sha256: str | None, size: int | None, check: Callable[[Path], Any] | None
) -> None:
    """Give a downloaded file its name, if it is the right one; otherwise empty it, for it would be no use to go on."""
    actual, actual_size = sha256_of(part), part.stat().st_size
    expected = sha256 or _recorded(target)
    try:
        if size is not None and actual_size != size:
            raise ValueError(f"the server sent {actual_size} bytes, expected {size}; they were not kept")
        if expected is not None and actual != expected:
            since = "" if sha256 else f" as at its first use (delete {record_path(target)} if the new one is right)"
            raise ValueError(
                f"the server sent another file, which was not kept: its SHA-256 is {actual}, expected {expected}{since}"
            )
        if check is not None:
            _check(part, check, "what the server sent")
    except ValueError:
        os.truncate(part, 0)
        raise
    write_json(record_path(target), {"url": url, "sha256": actual, "size": actual_size})
    os.replace(part, target)


def verify(target: Path, url: str, sha256: str | None, check: Callable[[Path], Any] | None) -> None:
    """ValueError where a file in the cache is not the one expected; the first use writes down which one it is."""
    actual, recorded = sha256_of(target), _recorded(target)
    expected = sha256 or recorded
    if expected is not None and actual != expected:
        since = "expected" if sha256 else "at its first use it was"
        raise ValueError(
            f"{target} is damaged: its SHA-256 is {actual}, {since} {expected}; delete it and get it again"
        )
    if recorded is None:  # put there by hand
        if check is not None:
            _check(target, check, str(target))
        with contextlib.suppress(OSError):  # a cache that may only be read
            write_json(record_path(target), {"url": url, "sha256": actual, "size": target.stat().st_size})


def _check(path: Path, check: Callable[[Path], Any], what: str) -> None:
    try:
        check(path)
    except ValueError as error:
        raise ValueError(f"{what} is of no use: {str(error).replace(str(path), 'it')}") from error


def _recorded(target: Path) -> str | None:
    try:
        return json.loads(record_path(target).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
