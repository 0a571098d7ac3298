"""Every network on every backend with every output operation: the table of docs/reference/backends.md, cell by cell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import backend_matrix
from paddle_mobileseg import networks
from paddle_mobileseg.export.targets import unavailable

Cells = dict[tuple[str, str, str], dict[str, Any]]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "backends.md"


@pytest.fixture(scope="session")
def cells() -> Cells:
    """What the exports that are possible here gave; two networks at a time."""
    formats = tuple(each for each in backend_matrix.FORMATS if each not in unavailable())
    done = backend_matrix.export_all(networks.names(), formats, 256, os.cpu_count() or 1, arm_runner=None)
    return {(cell["network"], cell["target"], cell["output_op"]): cell for cell in done}


@pytest.mark.parametrize("output_op", backend_matrix.OUTPUTS)
@pytest.mark.parametrize("target", backend_matrix.FORMATS)
@pytest.mark.parametrize("name", networks.names())
def test_labels_are_the_networks(cells: Cells, name: str, target: str, output_op: str) -> None:
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
