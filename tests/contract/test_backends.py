"""Every network on every backend with every output operation: the table of docs/reference/backends.md, cell by cell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import backend_matrix
from paddle_mobileseg import networks
from paddle_mobileseg.export.targets import unavailable

Cells = dict[tuple[str, str, str], dict[str, Any]]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "backends.md"


@pytest.fixture(scope="session")
def some_cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """One output operation of each network."""
    return make_cells(tmp_path_factory, "--one_output")


@pytest.fixture(scope="session")
def all_cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    return make_cells(tmp_path_factory)


def make_cells(tmp_path_factory: pytest.TempPathFactory, *options: str) -> Cells:
    """What the script behind the page gives for the formats that are possible here; as many networks at a time as there
    are cores, in processes of its own."""
    record = tmp_path_factory.mktemp("matrix") / "cells.json"
    formats = [each for each in backend_matrix.FORMATS if each not in unavailable()]
    script = ROOT / "benchmarks" / "backend_matrix.py"
    command = [sys.executable, str(script), "--json", str(record), "--formats", *formats, *options]
    done = subprocess.run(command, cwd=record.parent, capture_output=True, text=True)
    assert record.is_file(), done.stderr[-4000:]
    written = json.loads(record.read_text(encoding="utf-8"))
    return {(cell["network"], cell["target"], cell["output_op"]): cell for cell in written}


@pytest.mark.parametrize("target", backend_matrix.FORMATS)
@pytest.mark.parametrize("name", networks.names())
def test_labels_are_the_networks(some_cells: Cells, name: str, target: str) -> None:
    check(some_cells, name, target, *backend_matrix.outputs_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("output_op", backend_matrix.OUTPUTS)
@pytest.mark.parametrize("target", backend_matrix.FORMATS)
@pytest.mark.parametrize("name", networks.names())
def test_all_labels_are_the_networks(all_cells: Cells, name: str, target: str, output_op: str) -> None:
    check(all_cells, name, target, output_op)


def check(cells: Cells, name: str, target: str, output_op: str) -> None:
    if why := unavailable().get(target):
        pytest.skip(why)
    cell = cells[name, target, output_op]
    assert cell["error"] is None
    assert cell["bytes"] > 1_000_000
    assert cell["operators"] > 50
    if target == "lite-arm":
        assert cell["agreement"] is None  # not run; its graph is that of the x86 file, and was linted
    else:
        assert cell["agreement"] >= 0.999


def test_the_page_has_every_cell() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    header = next(line for line in lines if line.startswith("| network | paddle none"))
    columns = [f"{target} {output_op}" for target in backend_matrix.FORMATS for output_op in backend_matrix.OUTPUTS]
    assert header == "| " + " | ".join(["network", *columns]) + " |"
    table = lines[lines.index(header) + 2 :][: len(networks.names())]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table] == networks.names()
    for line in table:
        for column, value in zip(columns, line.strip("| ").split(" | ")[1:], strict=True):
            checked = column.startswith("lite-arm") and value == "checked"
            assert checked or 99.9 <= float(value) <= 100, (line, column)
