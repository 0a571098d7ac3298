"""Files that are whole or not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_said_with_the_name_of_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*/page\.html'$"),
        atomic_path(tmp_path / "page.html"),
        open("/dev/full", "w") as full,
    ):
        full.write("x")
    assert list(tmp_path.iterdir()) == []


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


# A process forks children that replace a folder or a file, or remove a folder; each is killed just before the n-th
# thing that it does to the disk. Then recover runs and is killed in the same way; then once more to its end.
KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from paddle_mobileseg.files import atomic_path, recover, remove_folder

EVENTS = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree")
root, action = Path(sys.argv[1]), sys.argv[2]


def replace():
    with atomic_path(root / "a") as temporary:
        if (root / "a").is_dir():
            temporary.mkdir()
            (temporary / "one").write_text("new")
            (temporary / "two").write_text("new")
        else:
            temporary.write_text("new")


def killed(function, count):
    pid = os.fork()
    if pid == 0:
        left = count

        def strike():
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def fsync(descriptor, real=os.fsync):
            strike()
            real(descriptor)

        def hook(event, arguments):
            if event in EVENTS or event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
                strike()

        sys.addaudithook(hook)
        os.fsync = fsync
        function()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def prepare():
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    if action == "replace a file":
        (root / "a").write_text("old")
    else:
        (root / "a").mkdir()
        (root / "a" / "one").write_text("old")
        (root / "a" / "two").write_text("old")


def content():
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in files}


work = (lambda: remove_folder(root / "a")) if action == "remove" else replace
seen = []
for first in range(1, 1000):
    prepare()
    if not killed(work, first):
        break
    for second in range(1, 1000):
        left = killed(lambda: recover(root), second)
        if not left:
            break
        recovered = killed(lambda: recover(root), 10**9)
        seen.append(content())
        prepare()
        killed(work, first)
    seen.append(content())
print(json.dumps([first, seen]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("action", ["replace a file", "replace a folder", "remove"])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, action: str) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "root"), action]
    moments, seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    names = ["a"] if action == "replace a file" else ["a/one", "a/two"]
    old, new = ({name: text for name in names} for text in ("old", "new"))
    assert moments >= (3 if action == "remove" else 6)
    assert len(seen) > moments
    assert old in seen
    assert ({} if action == "remove" else new) in seen
    for content in seen:
        assert content in ([old, {}] if action == "remove" else [old, new])
