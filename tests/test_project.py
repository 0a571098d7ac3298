"""The project's own files: versions, packaging, requirements, and nothing that ties them to one machine."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import paddle_mobileseg

PYTHONS = ("3.10", "3.11", "3.12")
TEXT_SUFFIXES = {"", ".cfg", ".html", ".in", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}


def requirement_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def project_files(repository: Path) -> list[Path]:
    """Text files that belong to the project: those that git knows or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git working tree")
    paths = [repository / name for name in listing.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path.suffix in TEXT_SUFFIXES]


def test_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("paddle_mobileseg") == paddle_mobileseg.__version__
    assert Version(paddle_mobileseg.__version__).release >= (0, 1, 0)


def test_importing_the_package_is_light() -> None:
    code = "import sys, paddle_mobileseg; print(*({'paddle', 'paddleseg', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_mobileseg_command_is_the_main_function_of_cli() -> None:
    entry = importlib.metadata.distribution("paddle_mobileseg").entry_points
    assert [(each.name, each.value) for each in entry if each.group == "console_scripts"] == [
        ("mobileseg", "paddle_mobileseg.cli:main")
    ]


def test_extras_are_those_promised() -> None:
    metadata = importlib.metadata.metadata("paddle_mobileseg")
    assert set(metadata.get_all("Provides-Extra") or []) == {
        *("train", "cpu", "gpu", "onnx", "onnxruntime", "tensorrt", "dev"),
    }


@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_pin_every_package_once_for_each_python(repository: Path, python: str) -> None:
    lines = [line for path in sorted((repository / "requirements").glob("*.txt")) for line in requirement_lines(path)]
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    wanted = [Requirement(line) for line in lines]
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate(environment)]
    assert all(re.fullmatch(r"==[^*,]+", str(each.specifier)) for each in wanted)
    names = [each.name for each in wanted]
    assert len(names) == len(set(names))
    assert {"paddlepaddle", "paddleseg", "numpy", "opencv-python-headless", "onnxruntime", "pytest"} <= set(names)
    assert not {"opencv-python", "opencv-contrib-python"} & set(names)


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_satisfy_what_the_package_requires(repository: Path, python: str) -> None:
    pins: dict[str, Version] = {}
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    for path in (repository / "requirements").glob("*.txt"):
        for pin in map(Requirement, requirement_lines(path)):
            if pin.marker is None or pin.marker.evaluate(environment):
                pins[pin.name] = Version(str(pin.specifier).removeprefix("=="))
    for required in map(Requirement, importlib.metadata.requires("paddle_mobileseg") or []):
        in_extra = any(
            required.marker is not None and required.marker.evaluate({**environment, "extra": extra})
            for extra in ("", "train", "cpu", "onnx", "onnxruntime", "dev")
        )
        if required.marker is None or in_extra:
            assert pins[required.name.lower()] in required.specifier, str(required)


def test_no_file_names_a_package_index_or_a_folder_of_one_machine(repository: Path) -> None:
    forbidden = re.compile(r"--(?:extra-)?index-url|--trusted-host|--find-links|pypi\.|mirror\.|/root/|/work/")
    # The one file that has to spell the words it looks for is this one.
    found = [
        f"{path.relative_to(repository)}:{number}: {line.strip()}"
        for path in project_files(repository)
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert found == []


def test_find_python_refuses_an_unsuitable_python_in_one_line(repository: Path, tmp_path: Path) -> None:
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\necho 'shim: python3.11: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", f'PYTHON="{shim}" "{repository}/tools/find_python.sh"'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and "3.10, 3.11 or 3.12" in done.stderr


def test_find_python_finds_one_that_runs(repository: Path, tmp_path: Path) -> None:
    """A command that does not start anything stands first on the PATH and is passed over."""
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["/bin/bash", str(repository / "tools" / "find_python.sh")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version = subprocess.run([done.stdout.strip(), "--version"], capture_output=True, text=True, check=True).stdout
    assert version.split()[1].rsplit(".", 1)[0] in PYTHONS
