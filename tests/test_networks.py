"""The records of the networks, and the page made of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from paddle_mobileseg import networks, tables
from paddle_mobileseg.cli import main


def test_all_twelve_are_there() -> None:
    assert [name for name in networks.names() if networks.get(name).in_paddleseg] == [
        "mobileseg_ghostnet",
        "mobileseg_litehrnet18",
        "mobileseg_mobilenetv2",
        "mobileseg_mobilenetv3",
        "mobileseg_shufflenetv2",
        "pp_liteseg_stdc1",
        "pp_liteseg_stdc2",
        "pp_mobileseg_base",
        "pp_mobileseg_tiny",
        "topformer_base",
        "topformer_small",
        "topformer_tiny",
    ]


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'topformer_tiny'"):
        networks.get("topformer_tinny")


def test_two_networks_of_one_name_are_refused() -> None:
    record = networks.get("topformer_tiny")
    networks.add(record)  # the same one again

    with pytest.raises(ValueError, match="two networks are called 'topformer_tiny'"):
        networks.add(dataclasses.replace(record, num_classes=3))


def test_the_page_of_the_documentation_is_up_to_date(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it says is what the command says; a network that was added since may be missing until `make docs` runs."""
    assert main(["models", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    page = (repository / "docs" / "reference" / "networks.md").read_text(encoding="utf-8").splitlines()

    assert [line for line in page if line not in lines] == [], "run `make docs`"
    added = [line.split("|")[1].strip() for line in lines if line not in page]
    assert [name for name in added if networks.get(name).in_paddleseg] == [], "run `make docs`"


def test_the_table_has_published_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}

    assert "1,492,298" in lines["pp_mobileseg_tiny"]
    for name, score in (
        ("pp_mobileseg_tiny", "36.39 %"),
        ("mobileseg_mobilenetv3", "73.47 %"),
        ("pp_liteseg_stdc2", "79.04 %"),
        ("topformer_base", "38.30 %"),  # the authors' own, not PaddleSeg's training of it
    ):
        assert score in lines[name]


def test_tables() -> None:
    rows = [("name", "n"), ("a", "10"), ("long name", "2")]

    assert tables.plain(rows) == "name       n\na          10\nlong name  2"
    assert tables.markdown(rows) == "| name | n |\n|---|---|\n| a | 10 |\n| long name | 2 |"
