"""docs/reference/bundle.md against the manifest that an export writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from paddle_mobileseg.export import export_checkpoint
from paddle_mobileseg.runtime.bundle import FORMAT, MANIFEST_JSON

SCALARS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "mapping": (dict,),
}


class Row(NamedTuple):
    """A key of the page; NAME in it stands for any name, [] for each item of a list."""

    key: str
    type: str
    example: Any

    def names(self, key: str) -> bool:
        return re.fullmatch(_pattern(self.key), key) is not None

    def is_below(self, key: str) -> bool:
        parts = self.key.split(".")
        return any(re.fullmatch(_pattern(".".join(parts[:count])), key) for count in range(1, len(parts)))


def _pattern(key: str) -> str:
    return re.escape(key).replace("NAME", r"[^\[\]]+")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "bundle.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = [line for line in cells if len(line) == 5 and line[0].startswith("`")]
    assert all(line[1] and re.fullmatch(r"`.+`", line[4]) for line in found)
    return [Row(line[0].strip("`"), line[1], yaml.safe_load(line[4].strip("`"))) for line in found]


def fits(value: Any, kind: str) -> bool:
    """Is a value of the type that the page names? "X or Y" belongs together: lists hold "number or null", say."""
    if kind.startswith("list of "):
        inner = kind.removeprefix("list of ")
        if isinstance(value, list):
            return all(fits(each, inner) for each in value)
        return " or " in inner and fits(value, inner.partition(" or ")[2])
    return any(
        kind == "any"
        or (kind == "null" and value is None)
        or (kind.startswith('"') and value == kind.strip('"'))
        or (isinstance(value, SCALARS.get(kind, ())) and (kind == "boolean" or not isinstance(value, bool)))
        for kind in kind.split(" or ")
    )


def keys_of(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every key below one, with its value."""
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys_of(inner, f"{key}.{name}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            for name, each in inner.items():
                yield from keys_of(each, f"{key}[].{name}")


def test_examples_are_of_their_types(rows: list[Row]) -> None:
    assert len(rows) > 50
    assert len({row.key for row in rows}) == len(rows)
    assert [row.key for row in rows if not fits(row.example, row.type)] == []
    assert next(row.example for row in rows if row.key == "Bundle.format") == FORMAT


def test_every_key_of_a_manifest_is_on_the_page(
    rows: list[Row], checkpoint: Any, make_scene: Any, tmp_path: Path
) -> None:
    image = make_scene(0, 64, 80)
    bundle = export_checkpoint(
        checkpoint,
        tmp_path / "bundle",
        calib_images=[image],
        calib_labels=[np.zeros(image.shape[:2], np.uint8)],
        output_op="none",
        formats=("paddle", "onnx"),
    )
    content = json.loads((bundle.folder / MANIFEST_JSON).read_text(encoding="utf-8"))
    assert list(content) == ["Deploy", "Bundle"]
    seen = set()
    for section in content:
        for key, value in keys_of(content[section], section):
            row = next((row for row in sorted(rows, key=lambda row: "NAME" in row.key) if row.names(key)), None)
            if row is None:  # a mapping whose keys are on the page needs no row of its own
                assert isinstance(value, dict) and any(row.is_below(key) for row in rows), f"{key} is not on the page"
                continue
            seen.add(row.key)
            assert fits(value, row.type), f"{key} is {value!r}; the page says {row.type}"
    only_where_rounding_decides = ["Bundle.parity[].decided_agreement", "Bundle.parity[].undecided"]
    assert sorted({row.key for row in rows} - seen) == only_where_rounding_decides
