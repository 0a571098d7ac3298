from __future__ import annotations

import datetime
import getpass
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_mobileseg import machine


def test_description_has_every_field_and_fits_json() -> None:
    found = machine.describe()
    assert list(found) == [
        "cpu", "logical_cores", "memory_gib", "os", "python", "packages", "git_commit", "git_modified", "date",
    ]  # fmt: skip
    assert found["logical_cores"] == os.cpu_count()
    assert found["python"] == platform.python_version()
    assert datetime.datetime.fromisoformat(found["date"]).utcoffset() == datetime.timedelta(0)
    assert json.loads(json.dumps(found)) == found


def test_description_names_neither_host_nor_user_nor_folder() -> None:
    text = json.dumps(machine.describe())
    assert str(Path(machine.__file__).parents[1]) not in text
    assert str(Path.home()) not in text
    for private in (platform.node(), getpass.getuser()):
        assert f'"{private}"' not in text


def test_versions_come_from_metadata(monkeypatch) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        if name != "numpy":
            raise metadata.PackageNotFoundError(name)
        return "2.1"

    monkeypatch.setattr(machine.metadata, "version", version)
    assert machine.package_versions() == {"numpy": "2.1"}


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from paddle_mobileseg.machine import describe; describe(); "
        "print([name for name in ('paddle', 'paddleseg', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Fast  CPU @ 2GHz\n\nmodel name\t: Other\n", "Fast CPU @ 2GHz"),
        ("processor\t: 0\nBogoMIPS : 38\n\nHardware\t: Phone SoC\n", "Phone SoC"),
        ("processor : 0\nmodel name :\n", None),
        ("", None),
    ],
)
def test_processor_name(text: str, expected: str | None) -> None:
    assert machine.parse_cpu_model(text) == expected


def test_commit_of_a_checkout(tmp_path) -> None:
    assert machine._git_state(tmp_path) == (None, None)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert machine._git_state(tmp_path) == (None, None)  # no commit yet
    (tmp_path / "file").write_text("1")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit, modified = machine._git_state(tmp_path)
    assert commit is not None and len(commit) == 40 and modified is False
    (tmp_path / "file").write_text("2")
    assert machine._git_state(tmp_path) == (commit, True)


def test_a_missing_program_is_no_error() -> None:
    assert machine._output("no-such-program-anywhere") is None
    assert machine._output(sys.executable, "-c", "raise SystemExit(3)") is None
