"""One file over HTTP, resumed where it broke off, also by a later process.

What has come is in a partial file; beside it stands what the server said about the file (its ETag or date, its length),
so that only the rest of the same file is asked for.
"""

from __future__ import annotations

import http.client
import json
import logging
import math
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse

from paddle_mobileseg import __version__
from paddle_mobileseg.files import DISK_FULL, write_json
from paddle_mobileseg.progress import progress

TIMEOUT_S = 30.0  # without a byte
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before each further attempt
MAX_BYTES = 1 << 30

_LOGGER = logging.getLogger("paddle_mobileseg")
_LOCAL = ("127.0.0.1", "localhost", "::1")
_WORTH_RETRYING = (408, 416, 425, 429)  # and 500 and above
_PIECE, _MIB = 1 << 16, 1 << 20


def check_allowed(url: str, came_from: str | None = None) -> None:
    """ValueError for an address that is not ``https``; ``http`` is allowed on this computer itself.

    Args:
        url: the address.
        came_from: the address that leads to it; one elsewhere may not lead to this computer.
    """
    parts = urlparse(url)
    local = parts.scheme == "http" and parts.hostname in _LOCAL
    if local and (came_from is None or urlparse(came_from).hostname in _LOCAL):
        return
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"{url} is not an https address; anybody on the way could change the file")


def said_path(part: Path) -> Path:
    """Where it is written what the server said about the file of which ``part`` is the beginning."""
    return part.with_name(part.name + ".json")


def can_resume(part: Path) -> bool:
    """Whether the server said of a partial file what tells it from another under the same address."""
    return "validator" in _read_said(part)


def download(url: str, part: Path, out: IO[bytes]) -> None:
    """Bring a partial file to its end.

    What breaks off, stalls, or is answered with "later" is tried again after a pause; every attempt keeps what has
    come, unless the server has another file by then.

    Args:
        url: what to download.
        part: the partial file.
        out: the same file, open for appending.

    Raises:
        OSError, http.client.HTTPException: no server, an answer that is none, or broken off too often.
        ValueError: a redirect to where it must not go, or a file that is too large.
    """
    for pause in (*PAUSES_S, None):
        try:
            return _attempt(url, part, out)
        except (OSError, http.client.HTTPException) as error:
            if pause is None or not _worth_retrying(error):
                raise
            have = out.seek(0, os.SEEK_END)
            _LOGGER.info("%s: %s; %d bytes are here, trying again in %g s", url, _reason(error), have, pause)
        time.sleep(pause)


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _WORTH_RETRYING or error.code >= 500
    if isinstance(error, urllib.error.URLError):  # no connection came about
        return False
    return not (isinstance(error, OSError) and error.errno in DISK_FULL)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _attempt(url: str, part: Path, out: IO[bytes]) -> None:
    said = _read_said(part)
    have = out.seek(0, os.SEEK_END)
    if have and have == said.get("total"):
        return
    validator = said.get("validator")
    if validator is None or have >= said.get("total", math.inf):
        have = 0
    headers = {"User-Agent": f"paddle_mobileseg/{__version__}", "Accept-Encoding": "identity"}
    if have and validator is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(_AllowedRedirects)
    try:
        response = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the file is shorter than what is here
            out.truncate(0)
        raise
    with response:
        begin = _begin(response, have, validator, out)
        total = _total(response, begin)
        if (total or 0) > MAX_BYTES:
            raise ValueError(f"it has {total} bytes, which is more than the {MAX_BYTES} allowed")
        out.truncate(begin)
        write_json(said_path(part), {"validator": _validator(response.headers), "total": total})
        _copy(response, out, begin, total, Path(urlparse(url).path).name)


class _AllowedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where a download itself may go."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_allowed(newurl, came_from=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _begin(response: Any, have: int, validator: str | None, out: IO[bytes]) -> int:
    """The place in the file at which the answer begins; OSError where it is neither the whole nor the rest."""
    if response.status == 200:
        return 0
    came = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status != 206 or not have or came is None:
        raise OSError(f"the server answered {response.status} {response.reason}; expected the file")
    now = _validator(response.headers)
    if int(came[1]) != have or (now is not None and now != validator):
        out.truncate(0)
        raise OSError("the server has another file by now; beginning again")
    return have


def _total(response: Any, begin: int) -> int | None:
    """Length of the whole file, where the server says it."""
    length = response.headers.get("Content-Length", "")
    return begin + int(length) if length.isdecimal() else None


def _validator(headers: Any) -> str | None:
    """What tells this file from a later one under the same address; a weak ETag does not."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _read_said(part: Path) -> dict[str, Any]:
    """Of ``validator`` and ``total`` what is known."""
    try:
        said = json.loads(said_path(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in said.items() if value is not None} if isinstance(said, dict) else {}


def _copy(response: Any, out: IO[bytes], begin: int, total: int | None, name: str) -> None:
    pieces = _pieces(response, out, begin)
    if total is None:
        size = max(pieces, default=begin)
    else:
        steps = math.ceil((total - begin) / _MIB)
        size = max(progress(pieces, total=steps, name=f"downloading {name} (MiB)"), default=begin)
    out.flush()
    if total is not None and size != total:
        raise OSError(f"it broke off after {size} of {total} bytes")


def _pieces(response: Any, out: IO[bytes], size: int) -> Iterator[int]:
    """Write what comes; yields the file's size whenever another MiB is full, and at the end."""
    yielded = size
    while piece := response.read1(_PIECE):
        out.write(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        if size - yielded >= _MIB:
            yield size
            yielded = size
    if size > yielded:
        yield size
