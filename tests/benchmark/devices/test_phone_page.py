"""docs/learn/phone.md: its commands need a phone, but their options are there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest


def commands(page: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", page, flags=re.S | re.M)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line[2:] for line in lines if line.startswith("$ mobileseg ")]


def test_options_exist(
    repository: Path, run: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = commands((repository / "docs/learn/phone.md").read_text(encoding="utf-8"))
    assert [line.split()[1] for line in found] == ["benchmark", "report"]
    for line in found:
        with pytest.raises(SystemExit) as ended:
            run(line.split()[1], "--help")
        assert ended.value.code == 0
        known = set(re.findall(r"--\w+", capsys.readouterr().out))
        assert set(re.findall(r"--\w+", line)) <= known
