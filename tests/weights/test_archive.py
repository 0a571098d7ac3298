"""Weights in archives: one file is read, nothing is unpacked, and nothing that an archive can do gets further."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg.weights import archive, read_weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.pdparams"
    paddle.save({"a": paddle.arange(5, dtype="float32")}, str(path))
    return path.read_bytes()


def packed(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in members.items():
                out.writestr(name, content)
        return path
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=str(path)) as raised:
        read_weights(path)
    return str(raised.value)


@pytest.mark.parametrize(("name", "mode"), [("w.tar.gz", "w:gz"), ("w.tar", "w"), ("w.tar.gz", "w"), ("w.zip", "")])
def test_the_weights_file_in_an_archive(tmp_path: Path, saved: bytes, name: str, mode: str) -> None:
    """PaddleSeg's archives have a folder with the file; macOS's zip adds a file of attributes to each."""
    members = {"net/": b"", "net/model.pdparams": saved, "__MACOSX/net/._model.pdparams": b"x", "net/README": b"?"}
    read = read_weights(packed(tmp_path / name, {n: c for n, c in members.items() if n != "net/"}, mode))

    np.testing.assert_array_equal(read["a"], np.arange(5))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["w.tar.gz", "w.zip"])
def test_none_or_several(tmp_path: Path, saved: bytes, name: str) -> None:
    assert "no .pdparams file in it" in refused(packed(tmp_path / name, {"model.pdopt": saved}))
    both = packed(tmp_path / name, {"a/model.pdparams": saved, "b/model.pdparams": saved})
    assert "several weights files (a/model.pdparams, b/model.pdparams)" in refused(both)


@pytest.mark.parametrize("name", ["w.tar.gz", "w.zip"])
def test_a_path_that_leads_outside_is_no_matter_because_nothing_is_written(
    tmp_path: Path, saved: bytes, name: str
) -> None:
    outside = tmp_path / "outside.pdparams"
    (tmp_path / "in").mkdir()
    path = packed(tmp_path / "in" / name, {"../outside.pdparams": saved})
    assert list(read_weights(path)) == ["a"]
    path = packed(tmp_path / "in" / name, {str(outside): saved})
    assert list(read_weights(path)) == ["a"]
    assert not outside.exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_the_like_in_tar(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "w.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("model.pdparams")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    assert "model.pdparams is a link, folder or device, expected a file" in refused(path)


def test_links_in_zip(tmp_path: Path) -> None:
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w") as out:
        member = zipfile.ZipInfo("model.pdparams")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(member, "/etc/passwd")
    assert "model.pdparams is a link" in refused(path)


@pytest.mark.parametrize("name", ["w.tar.gz", "w.zip"])
def test_bombs(tmp_path: Path, saved: bytes, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100_000)
    bomb = packed(tmp_path / name, {"model.pdparams": bytes(1_000_000)})
    assert bomb.stat().st_size < 5_000
    assert "unpacks to more than 100000 bytes" in refused(bomb)
    if name.endswith("gz"):  # what stands before the weights has to be unpacked too
        assert "unpacks to more than" in refused(packed(bomb, {"x": bytes(1_000_000), "model.pdparams": saved}))
    else:
        assert list(read_weights(packed(bomb, {"x": bytes(1_000_000), "model.pdparams": saved}))) == ["a"]


@pytest.mark.parametrize("name", ["w.tar.gz", "w.zip"])
def test_damaged_archives(tmp_path: Path, saved: bytes, name: str) -> None:
    noise = os.urandom(2000)
    path = packed(tmp_path / name, {"README": noise, "model.pdparams": saved})
    whole = path.read_bytes()
    for damaged in (whole[:1000], whole[:-20], b"PK\x03\x04" + bytes(100), gzip.compress(b"no tar archive" * 100)):
        path.write_bytes(damaged)
        assert "damaged archive" in refused(path)
    changed = bytearray(whole)
    changed[len(whole) // 2 if name.endswith("gz") else whole.index(b"model.pdparams") + 20] ^= 0xFF
    path.write_bytes(changed)
    assert "damaged archive" in refused(path)


def test_an_encrypted_zip(tmp_path: Path, saved: bytes) -> None:
    path = packed(tmp_path / "w.zip", {"model.pdparams": saved})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag says that it is encrypted
    path.write_bytes(content)
    assert "damaged archive" in refused(path)


def test_text_in_the_weights_file_of_an_archive(tmp_path: Path) -> None:
    assert "(model.pdparams) is not a weights file" in refused(packed(tmp_path / "w.zip", {"model.pdparams": b"text"}))
