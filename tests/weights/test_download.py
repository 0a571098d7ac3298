"""Downloads from servers that break off, stall, lie about length, send something else, or are not there."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg.weights import download, read_weights, transfer
from paddle_mobileseg.weights.download import cached_path, fetch, record_path
from tests.weights.conftest import Exchange, Site

CONTENT = bytes(range(256)) * 1000
OTHER = CONTENT[::-1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def good(exchange: Exchange) -> None:
    exchange.say_rest(CONTENT)


def half(exchange: Exchange) -> None:
    """The first half of the file, under the length of the whole."""
    exchange.say(200, CONTENT[: len(CONTENT) // 2], length=len(CONTENT), ETag='"1"')


def ranges(site: Site) -> list[str | None]:
    return [request.get("Range") for request in site.requests]


HALF = f"bytes={len(CONTENT) // 2}-"


def test_a_file_is_downloaded_once_and_its_hash_written_down(site: Site, cache: Path) -> None:
    url = site.url("/folder/model.pdparams?a=1", good)
    first, second = fetch(url), fetch(url)

    assert first == second == cached_path(url)
    assert first.name.endswith("-model.pdparams")
    assert first.read_bytes() == CONTENT
    assert len(site.requests) == 1
    assert json.loads(record_path(first).read_text()) == {"url": url, "sha256": sha256(CONTENT), "size": len(CONTENT)}
    assert sorted(cache.iterdir()) == sorted([first, record_path(first)])


def test_what_breaks_off_is_resumed(site: Site, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "paddle_mobileseg"):
        assert fetch(site.url("/a", half, good)).read_bytes() == CONTENT

    assert ranges(site) == [None, HALF]
    assert site.requests[1]["If-Range"] == '"1"'
    assert f"it broke off after {len(CONTENT) // 2} of {len(CONTENT)} bytes" in caplog.text
    assert [path for path in cache.iterdir() if "part" in path.name] == []


def test_a_later_process_resumes_what_an_earlier_one_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES_S", ())
    url = site.url("/a", half, good)
    with pytest.raises(OSError, match=f"it broke off after {len(CONTENT) // 2} of {len(CONTENT)} bytes"):
        fetch(url)
    assert not cached_path(url).exists()

    assert fetch(url).read_bytes() == CONTENT
    assert ranges(site) == [None, HALF]


def test_a_file_that_was_whole_when_the_process_was_killed_is_not_downloaded_again(site: Site) -> None:
    url = site.url("/a", good)
    part = cached_path(url).with_name(cached_path(url).name + ".part")
    part.write_bytes(CONTENT)
    transfer.said_path(part).write_text(json.dumps({"validator": '"1"', "total": len(CONTENT)}))

    assert fetch(url).read_bytes() == CONTENT
    assert site.requests == []


def test_a_server_that_ignores_ranges_sends_the_file_from_the_beginning(site: Site) -> None:
    url = site.url("/a", half, lambda exchange: exchange.say(200, CONTENT, ETag='"1"'))

    assert fetch(url).read_bytes() == CONTENT
    assert ranges(site) == [None, HALF]


def test_a_file_that_changes_between_two_attempts_is_not_mixed(site: Site) -> None:
    # The first server heeds If-Range, the second one sends the rest of the new file.
    heeds = site.url("/heeds", half, lambda exchange: exchange.say_rest(OTHER, etag='"2"'))
    assert fetch(heeds).read_bytes() == OTHER

    def rest_of_the_new(exchange: Exchange) -> None:
        begin = len(OTHER) // 2
        where = f"bytes {begin}-{len(OTHER) - 1}/{len(OTHER)}"
        exchange.say(206, OTHER[begin:], Content_Range=where, ETag='"2"')

    ignores = site.url("/ignores", half, rest_of_the_new, lambda exchange: exchange.say(200, OTHER, ETag='"2"'))
    site.requests.clear()
    assert fetch(ignores).read_bytes() == OTHER
    assert ranges(site) == [None, HALF, None]


def test_a_rest_that_begins_elsewhere_is_not_appended(site: Site) -> None:
    def elsewhere(exchange: Exchange) -> None:
        begin = len(CONTENT) // 2 + 1
        where = f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"
        exchange.say(206, CONTENT[begin:], Content_Range=where, ETag='"1"')

    assert fetch(site.url("/a", half, elsewhere, good)).read_bytes() == CONTENT
    assert ranges(site) == [None, HALF, None]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_without_a_strong_validator_nothing_is_resumed_or_left(
    site: Site, cache: Path, headers: dict[str, str]
) -> None:
    url = site.url("/a", lambda exchange: exchange.say(200, b"good", length=400, **headers))
    with pytest.raises(OSError, match="it broke off after 4 of 400 bytes"):
        fetch(url)

    assert ranges(site) == [None, None, None]
    assert list(cache.iterdir()) == []


def test_the_date_serves_where_there_is_no_etag(site: Site) -> None:
    date = "Fri, 01 Jan 2021 00:00:00 GMT"
    begin = len(CONTENT) // 2
    url = site.url(
        "/a",
        lambda exchange: exchange.say(200, CONTENT[:begin], length=len(CONTENT), Last_Modified=date),
        lambda exchange: exchange.say(
            206, CONTENT[begin:], Content_Range=f"bytes {begin}-{len(CONTENT) - 1}/*", Last_Modified=date
        ),
    )
    assert fetch(url).read_bytes() == CONTENT
    assert site.requests[1]["If-Range"] == date


def test_the_file_is_shorter_by_now(site: Site) -> None:
    url = site.url("/a", half, lambda exchange: exchange.say(416), good)

    assert fetch(url).read_bytes() == CONTENT
    assert ranges(site) == [None, HALF, None]


def test_a_server_that_stalls_is_left_and_asked_for_the_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.2)

    def stall(exchange: Exchange) -> None:
        half(exchange)
        site.closing.wait(5)

    assert fetch(site.url("/a", stall, good)).read_bytes() == CONTENT
    assert ranges(site) == [None, HALF]
    with pytest.raises(OSError, match=r"could not download .*/b \(.*timed out"):
        fetch(site.url("/b", lambda exchange: site.closing.wait(5)))


def test_a_length_that_is_too_small_leaves_a_file_that_is_no_weights_file(site: Site, cache: Path) -> None:
    paddle.save({"a": paddle.ones([100])}, str(cache / "saved"))
    whole = (cache / "saved").read_bytes()
    (cache / "saved").unlink()
    url = site.url("/model.pdparams", lambda exchange: exchange.say(200, whole[:200], length=200, ETag='"1"'))
    with pytest.raises(OSError, match="what the server sent is of no use: it is not a weights file that can be read"):
        read_weights(url)
    assert list(cache.iterdir()) == []
    assert len(site.requests) == 1

    site.url("/model.pdparams", lambda exchange: exchange.say(200, whole))
    np.testing.assert_array_equal(read_weights(url)["a"], np.ones(100))


def test_a_web_page_in_place_of_the_file(site: Site, cache: Path) -> None:
    page = b"\n<!DOCTYPE html><html><body>Log in first</body></html>"
    with pytest.raises(OSError, match="it is not a weights file but a web page"):
        read_weights(site.url("/model.pdparams", lambda exchange: exchange.say(200, page, Content_Type="text/html")))
    assert list(cache.iterdir()) == []


def test_another_file_than_the_catalogue_names_is_not_kept(site: Site, cache: Path) -> None:
    expected = sha256(OTHER)
    with pytest.raises(OSError, match=rf"its SHA-256 is {sha256(CONTENT)}, expected {expected}"):
        fetch(site.url("/a", good), sha256=expected)
    with pytest.raises(OSError, match=rf"sent {len(CONTENT)} bytes, expected 3"):
        fetch(site.url("/a", good), size=3)
    assert list(cache.iterdir()) == []
    assert fetch(site.url("/a", good), sha256=sha256(CONTENT), size=len(CONTENT)).read_bytes() == CONTENT


def test_another_file_than_at_the_first_use_is_not_kept(site: Site) -> None:
    url = site.url("/a", good, lambda exchange: exchange.say(200, OTHER))
    path = fetch(url)
    path.unlink()
    with pytest.raises(OSError, match=rf"is {sha256(OTHER)}, expected {sha256(CONTENT)} as at its first use") as raised:
        fetch(url)
    assert f"delete {record_path(path)}" in str(raised.value)
    record_path(path).unlink()
    assert fetch(url).read_bytes() == OTHER


@pytest.mark.parametrize("change", ["bit", "end"])
def test_damage_in_the_cache_is_noticed(site: Site, change: str) -> None:
    url = site.url("/a", good)
    path = fetch(url)
    damaged = bytearray(CONTENT)
    damaged[5] ^= 1
    path.write_bytes(damaged if change == "bit" else CONTENT[:-1])
    with pytest.raises(ValueError, match=rf"{path} is damaged: .* at its first use it was {sha256(CONTENT)}"):
        fetch(url)
    path.unlink()
    assert fetch(url).read_bytes() == CONTENT


def test_a_file_put_there_by_hand(site: Site, cache: Path) -> None:
    url = "https://example.invalid/dygraph/model.pdparams"
    cached_path(url).write_bytes(b"text")
    with pytest.raises(ValueError, match=rf"{cached_path(url)} is of no use: it is not a weights file"):
        read_weights(url)
    assert not record_path(cached_path(url)).exists()
    paddle.save({"a": paddle.ones([2])}, str(cached_path(url)))
    assert list(read_weights(url)) == ["a"]
    assert json.loads(record_path(cached_path(url)).read_text())["sha256"] == sha256(cached_path(url).read_bytes())


def test_without_a_server_the_message_names_the_file_to_put_there(cache: Path) -> None:
    url = "http://127.0.0.1:9/dygraph/model.pdparams"
    with pytest.raises(OSError, match=f"without a network, download it elsewhere and save it as {cached_path(url)}"):
        fetch(url)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)])
def test_statuses(site: Site, cache: Path, status: int, requests: int) -> None:
    with pytest.raises(OSError, match=str(status)):
        fetch(site.url("/a", lambda exchange: exchange.say(status, b"no")))
    assert len(site.requests) == requests
    assert list(cache.iterdir()) == []


def test_a_server_that_is_overloaded_for_a_moment(site: Site) -> None:
    assert fetch(site.url("/a", lambda exchange: exchange.say(503), good)).read_bytes() == CONTENT


def test_redirects(site: Site, cache: Path) -> None:
    def to(where: str) -> str:
        return site.url("/from", lambda exchange: exchange.say(302, Location=where))

    site.url("/a", good)
    assert fetch(to("/a")).read_bytes() == CONTENT
    cached_path(to("/a")).unlink()
    for where, why in (
        ("http://example.invalid/a", "is not an https address"),
        ("ftp://example.invalid/a", "is not an https address"),
        ("file:///etc/passwd", "is not allowed"),
    ):
        with pytest.raises(OSError, match=rf"{where}'? {why}"):
            fetch(to(where))
    site.requests.clear()
    with pytest.raises(OSError, match="infinite loop"):
        fetch(to("/from"))
    assert len(site.requests) < 20


def test_only_encrypted_addresses_and_none_that_lead_to_this_computer_from_elsewhere() -> None:
    for url in ("http://example.invalid/a", "http://localhost.example.invalid/a", "file:///etc/passwd", "https:///a"):
        with pytest.raises(ValueError, match="is not an https address"):
            fetch(url)
    transfer.check_allowed("http://localhost:8000/a")
    transfer.check_allowed("http://[::1]:8000/a")
    transfer.check_allowed("https://b.invalid/a", came_from="https://a.invalid/a")
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1/a is not an https address"):
        transfer.check_allowed("http://127.0.0.1/a", came_from="https://example.invalid/a")


def test_files_that_are_too_large(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_BYTES", len(CONTENT) - 1)
    with pytest.raises(
        OSError, match=f"it has {len(CONTENT)} bytes, which is more than the {len(CONTENT) - 1} allowed"
    ):
        fetch(site.url("/a", good))

    def endless(exchange: Exchange) -> None:
        exchange.protocol_version = "HTTP/1.0"
        exchange.send_response(200)
        exchange.end_headers()
        exchange.wfile.write(CONTENT)

    with pytest.raises(OSError, match=f"it is larger than {len(CONTENT) - 1} bytes"):
        fetch(site.url("/b", endless))
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(transfer, "MAX_BYTES", len(CONTENT))
    assert fetch(site.url("/b", endless)).read_bytes() == CONTENT


def test_two_that_want_the_same_file_download_it_once(site: Site) -> None:
    arrived, go = threading.Event(), threading.Event()

    def slow(exchange: Exchange) -> None:
        arrived.set()
        go.wait(5)
        good(exchange)

    url = site.url("/a", slow)
    read: list[bytes] = []
    threads = [threading.Thread(target=lambda: read.append(fetch(url).read_bytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert arrived.wait(5)
    go.set()
    for thread in threads:
        thread.join(10)

    assert read == [CONTENT] * 3
    assert len(site.requests) == 1


def test_progress_counts_what_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(transfer, "_MIB", 1000)
    monkeypatch.setattr(
        transfer, "progress", lambda items, total, name: told.append((total, name, list(items))) or told[-1][2]
    )
    fetch(site.url("/model.pdparams", half, good))

    assert [(total, name) for total, name, _ in told] == [
        (256, "downloading model.pdparams (MiB)"),
        (128, "downloading model.pdparams (MiB)"),
    ]
    assert [sizes[-1] for _, _, sizes in told] == [128_000, 256_000]


def test_a_cache_that_may_only_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(site.url("/a", good))
    record_path(path).unlink()

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(download, "write_json", refuse)
    assert fetch(site.url("/a", good)) == path
    assert not record_path(path).exists()


def test_a_cache_that_cannot_be_written(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path / "file" / "cache"))

    with pytest.raises(OSError, match=r"cannot write into the cache folder .*name another with MOBILESEG_CACHE"):
        fetch(site.url("/a", good))
