"""A server on this computer that misbehaves as a test says, and a cache of its own for every test."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paddle_mobileseg.weights import transfer

Answer = Callable[["Exchange"], None]


class Exchange(http.server.BaseHTTPRequestHandler):
    """One request; an answer gets it and writes what it likes."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.site.requests.append({"path": self.path, **dict(self.headers.items())})
        answers = self.site.answers[self.path]
        self.close_connection = True
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def say(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        """Answer with a body, and with its length or another."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def say_rest(self, content: bytes, etag: str = '"1"') -> None:
        """Answer as a good server does: only the rest, if that is asked for and the file is still the same."""
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if begin == 0 or self.headers.get("If-Range") != etag:
            return self.say(200, content, ETag=etag)
        where = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        return self.say(206, content[begin:], Content_Range=where, ETag=etag)

    def log_message(self, *_: object) -> None:
        pass


class Site:
    """A server: the answers to the requests for each path in turn (the last one holds for all later ones), and the
    requests that came."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[dict[str, str]] = []
        self.closing = threading.Event()
        handler = type("SiteExchange", (Exchange,), {"site": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def url(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.address + path


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.closing.set()
    site.server.shutdown()
    thread.join()
    site.server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; attempts follow one another at once."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MOBILESEG_CACHE", str(folder))
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0, 0.0))
    return folder
