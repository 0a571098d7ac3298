"""Weights by URL, kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

_TIMEOUT_S = 30
_MAX_BYTES = 1 << 30
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Where downloads are kept: ``MOBILESEG_CACHE``, else ``~/.cache/paddle_mobileseg``."""
    return Path(os.environ.get("MOBILESEG_CACHE", Path.home() / ".cache" / "paddle_mobileseg"))


def cached_path(url: str) -> Path:
    """The file that a URL is kept in; its name begins with a hash, because many files are called ``model.pdparams``."""
    return cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{Path(urlparse(url).path).name}"


def fetch(url: str) -> Path:
    """Download a file once; later calls answer from the cache.

    Raises:
        OSError: the file cannot be had; the message says which file to put where by hand.
    """
    target = cached_path(url)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".download-")
    try:
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            size = 0
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if size > _MAX_BYTES:
                    raise OSError(f"it is larger than {_MAX_BYTES} bytes")
                out.write(chunk)
            expected = response.headers.get("Content-Length")
            if expected is not None and size != int(expected):
                raise OSError(f"it broke off after {size} of {expected} bytes")
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
    except (OSError, urllib.error.URLError) as error:
        os.unlink(temporary)
        raise OSError(
            f"could not download {url} ({error}); without a network, download it elsewhere and save it as {target}"
        ) from error
    return target
