"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddle_mobileseg.files import atomic_path, recover, remove_folder, write_text


def fill(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "file").write_text(text)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_path(tmp_path / "a") as temporary:
            fill(temporary, text)
    assert (tmp_path / "a" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_whatever_stops_the_replacement_the_old_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    fill(tmp_path / "a", "old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(error), atomic_path(tmp_path / "a") as temporary:
        fill(temporary, "new")
    assert (tmp_path / "a" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_recovery_after_a_kill(tmp_path: Path) -> None:
    fill(tmp_path / ".iter_3.abcdefgh" / "iter_3", "half")
    fill(tmp_path / ".iter_4.1234_678" / "previous", "old")
    fill(tmp_path / ".iter_5.abcdefgh" / "previous", "old")
    fill(tmp_path / "iter_5", "new")
    (tmp_path / ".log.jsonl.abcdefgh").mkdir()
    (tmp_path / ".log.jsonl.abcdefgh" / "log.jsonl").touch()
    recover(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iter_4", "iter_5"]
    assert (tmp_path / "iter_4" / "file").read_text() == "old"
    assert (tmp_path / "iter_5" / "file").read_text() == "new"


def test_recovery_leaves_what_no_writer_of_ours_made(tmp_path: Path) -> None:
    fill(tmp_path / ".some.settings", "mine")
    (tmp_path / ".iter_3.abcdefgh").touch()
    (tmp_path / "iter_3.abcdefgh").mkdir()
    recover(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_removed_leaves_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "a", "x")
    remove_folder(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "precious.txt").write_text("weights")

    with pytest.raises(IsADirectoryError, match="runs is a folder, which stays as it is"):
        write_text(tmp_path / "runs", "a report")
    assert (tmp_path / "runs" / "precious.txt").read_text() == "weights"
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
