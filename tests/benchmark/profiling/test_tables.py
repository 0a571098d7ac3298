"""CSV files and tables for the terminal, to the letter."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from paddle_mobileseg.benchmark.profiling.layers import LayerRow
from paddle_mobileseg.benchmark.profiling.tables import by_type, layer_text, operator_text, write_csv

OPERATORS = [
    {"name": "add.0", "type": "Add", "ms": 0.5, "calls": 2},
    {"name": 'conv "a", b', "type": "Conv", "ms": 6.0, "calls": 1},
    {"name": "conv.1", "type": "Conv", "ms": 3.5, "calls": 1},
]
LAYERS = [
    LayerRow("", "Net", (1, 3, 8, 6), None, 5, 0),
    LayerRow("stem", "Conv2D", (1, 3, 8, 6), (1, 4, 8, 6), 12, 576),
    LayerRow("head", "Conv2D", (1, 4, 8, 6), (1, 400, 8, 6), 1600, 76_800),
    LayerRow("aux", "Linear", None, None, 10, 0),
]


def test_operators_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "new" / "operators.csv"
    write_csv(OPERATORS, path)

    assert path.read_text().splitlines()[:3] == ["name,type,ms,calls", "add.0,Add,0.5,2", '"conv ""a"", b",Conv,6.0,1']
    with open(path, newline="") as file:
        rows = [{**row, "ms": float(row["ms"]), "calls": int(row["calls"])} for row in csv.DictReader(file)]
    assert rows == OPERATORS


def test_layers_as_csv(tmp_path: Path) -> None:
    write_csv(LAYERS, tmp_path / "layers.csv")
    assert (tmp_path / "layers.csv").read_text() == (
        "name,type,input_shape,output_shape,parameters,macs\n"
        ",Net,1x3x8x6,,5,0\n"
        "stem,Conv2D,1x3x8x6,1x4x8x6,12,576\n"
        "head,Conv2D,1x4x8x6,1x400x8x6,1600,76800\n"
        "aux,Linear,,,10,0\n"
    )


def test_a_table_takes_the_place_of_no_other(tmp_path: Path) -> None:
    paths = [write_csv(rows, tmp_path / "a-layers.csv") for rows in (LAYERS, LAYERS[:2], LAYERS, LAYERS[:2])]
    assert [path.name for path in paths] == ["a-layers.csv", "a-layers-2.csv", "a-layers.csv", "a-layers-2.csv"]
    assert [len(path.read_text().splitlines()) for path in paths] == [5, 3, 5, 3]


def test_no_rows_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows"):
        write_csv([], tmp_path / "a.csv")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write to"):
        write_csv(OPERATORS, tmp_path / "file" / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_by_type() -> None:
    assert by_type(OPERATORS) == [
        {"name": "Conv", "type": "Conv", "ms": 9.5, "calls": 2},
        {"name": "Add", "type": "Add", "ms": 0.5, "calls": 2},
    ]


def test_operators_for_the_terminal() -> None:
    assert operator_text(OPERATORS, top=2).splitlines() == [
        "time by type of operator (all 2):",
        "operator type  ms     share                       calls",
        "Conv           9.500  95.0%  ###################  2",
        "Add            0.500  5.0%   #                    2",
        "",
        "operators that take longest (2 of 3):",
        "operator     type  ms     share                calls",
        'conv "a", b  Conv  6.000  60.0%  ############  1',
        "conv.1       Conv  3.500  35.0%  #######       1",
    ]


def test_layers_for_the_terminal() -> None:
    assert layer_text(LAYERS, top=3).splitlines() == [
        "layers with the most multiply-accumulate operations (3 of 4):",
        "layer  type    input    output     parameters  MACs    share",
        "head   Conv2D  1x4x8x6  1x400x8x6  1,600       76,800  99.3%  ####################",
        "stem   Conv2D  1x3x8x6  1x4x8x6    12          576     0.7%",
        "       Net     1x3x8x6  -          5           0       0.0%",
        "all layers: 1,627 parameters, 77,376 MACs",
    ]


def test_times_of_zero_and_long_names() -> None:
    text = operator_text([{"name": "x" * 200, "type": "Add", "ms": 0.0, "calls": 1}])
    assert "0.0%" in text
    assert f"{'x' * 57}...  Add" in text
