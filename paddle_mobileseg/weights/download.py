"""Weights by URL, kept in a cache folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from paddle_mobileseg.files import atomic_path

_TIMEOUT_S = 30
_MAX_BYTES = 1 << 30
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Where downloads are kept: ``MOBILESEG_CACHE``, else ``~/.cache/paddle_mobileseg``."""
    return Path(os.environ.get("MOBILESEG_CACHE") or Path.home() / ".cache" / "paddle_mobileseg")


def cached_path(url: str) -> Path:
    """The file that a URL is kept in; its name begins with a hash, because many files are called ``model.pdparams``."""
    return cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{Path(urlparse(url).path).name}"


def fetch(url: str) -> Path:
    """Download a file once; later calls answer from the cache.

    Args:
        url: ``https``; ``http`` only from this computer itself.

    Raises:
        ValueError: a URL that is not ``https``.
        OSError: the file cannot be had; the message says which file to put where by hand.
    """
    _check_encrypted(url)
    target = cached_path(url)
    if target.is_file():
        return target
    try:
        with atomic_path(target) as temporary:
            _download(url, temporary)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise OSError(
            f"could not download {url} ({error}); without a network, download it elsewhere and save it as {target}"
        ) from error
    return target


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where ``fetch`` itself may go."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_encrypted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, path: Path) -> None:
    opener = urllib.request.build_opener(_EncryptedRedirects)
    with path.open("wb") as out, opener.open(url, timeout=_TIMEOUT_S) as response:
        size = 0
        while chunk := response.read(_CHUNK):
            size += len(chunk)
            if size > _MAX_BYTES:
                raise OSError(f"it is larger than {_MAX_BYTES} bytes")
            out.write(chunk)
        expected = response.headers.get("Content-Length")
        if expected is not None and size != int(expected):
            raise OSError(f"it broke off after {size} of {expected} bytes")


def _check_encrypted(url: str) -> None:
    parts = urlparse(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise ValueError(f"{url} is not an https address; anybody on the way could change the file")
