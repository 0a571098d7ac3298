"""YAML files and their inheritance."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_mobileseg.config.reading import dump_yaml, merge, parse_yaml, read_config

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1E5", 1e5), ("-2e+3", -2000.0), ("1.0e6", 1e6), (".5e1", 5.0), ("6.0e-4", 6e-4)],
)
def test_numbers_with_exponent_need_no_dot_or_sign(text: str, value: float) -> None:
    parsed = parse_yaml(f"x: {text}")["x"]
    assert isinstance(parsed, float)
    assert parsed == value


@pytest.mark.parametrize("text", ["e4", "1e", "1e4m", "'1e4'", "e", "-e4"])
def test_what_only_looks_like_a_number_stays_text(text: str) -> None:
    assert parse_yaml(f"x: {text}")["x"] == text.strip("'")


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab1e.-+: 'ü\n", max_size=8)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a1e-", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), _values, max_size=4))
def test_written_yaml_reads_back_the_same(data: dict[str, Any]) -> None:
    assert parse_yaml(dump_yaml(data)) == data


def test_keys_keep_their_order_and_repeated_parts_are_written_out() -> None:
    part = {"b": 1}
    assert dump_yaml({"z": part, "a": part}) == "z:\n  b: 1\na:\n  b: 1\n"


def test_yaml_anchors_and_merge_keys_work() -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


def test_a_merge_key_inside_an_anchored_mapping_is_no_duplicate() -> None:
    text = "p: {z: &z {x: 0}, q: &q {<<: *z, x: 1}}\nc: {<<: *q, x: 2}\n"
    assert parse_yaml(text) == {"p": {"z": {"x": 0}, "q": {"x": 1}}, "c": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3"),
        ("a: 1\n\tb: 2\n", "line 2"),
        ("a: 1\nb: {x: 1}\na: 2\n", "'a' is written twice in one mapping, in lines 1 and 3"),
        ("a: {x: 1, y: 2, x: 3}\n", "'x' is written twice in one mapping, in lines 1 and 1"),
        ("a: 2024-01-31\n", "a is datetime.date(2024, 1, 31); expected text, a number"),
        ("a:\n  1: b\n", "a.1: the key 1 is not text; put it in quotes"),
        ("a: !!python/object:os.system {}\n", "not valid YAML in line 1"),
        ("a: \x00\n", "not valid YAML: unacceptable character"),
        ("a: &a\n  b: *a\n", "a YAML alias refers to something that contains it"),
        ("a: 1\n---\nb: 2\n", "line 2"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_mappings_are_merged_lists_and_values_replaced() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": {"d": 1}}
    over = {"a": {"y": [3], "z": 4}, "b": {"new": 1}, "c": 5}
    assert merge(over, base) == {"a": {"x": 1, "y": [3], "z": 4}, "b": {"new": 1}, "c": 5}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": {"d": 1}}


def test_inherited_false_drops_the_base_at_its_level_only() -> None:
    base = {"a": {"x": 1, "deep": {"p": 1, "q": 2}}, "b": {"y": 2}}
    over = {"a": {"deep": {"_inherited_": False, "q": 3}}, "b": {"_inherited_": False, "z": 1}}
    assert merge(over, base) == {"a": {"x": 1, "deep": {"q": 3}}, "b": {"z": 1}}


def test_inherited_is_removed_where_there_is_nothing_to_inherit() -> None:
    assert merge({"a": {"_inherited_": False, "x": 1}, "b": [{"_inherited_": True, "y": 2}]}, {}) == {
        "a": {"x": 1},
        "b": [{"y": 2}],
    }


def test_bases_are_relative_to_their_file_and_the_first_wins(write: Write, tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    write("x: root\ny: root\nz: root\nonly_root: 1\n", "root.yml")
    write("_base_: ../root.yml\nx: one\ny: one\n", "bases/one.yml")
    write("x: two\nz: two\nonly_two: 1\n", "bases/two.yml")
    path = write("_base_: [bases/one.yml, bases/two.yml]\nx: own\n")
    assert read_config(path) == {"x": "own", "y": "one", "z": "root", "only_root": 1, "only_two": 1}


def test_inherited_false_drops_what_any_of_several_bases_has(write: Write) -> None:
    write("a: {x: 1}\n", "one.yml")
    write("a: {y: 2}\n", "two.yml")
    assert read_config(write("_base_: [one.yml, two.yml]\na: {_inherited_: False, z: 3}\n")) == {"a": {"z": 3}}


def test_a_missing_base_is_named_with_the_file_that_asks_for_it(write: Write, tmp_path: Path) -> None:
    path = write("_base_: nowhere/base.yml\n")
    with pytest.raises(FileNotFoundError) as caught:
        read_config(path)
    assert (
        str(caught.value)
        == f"{path}: `_base_` names 'nowhere/base.yml', but {tmp_path}/nowhere/base.yml does not exist"
    )


def test_a_circle_of_bases_is_named(write: Write) -> None:
    write("_base_: b.yml\n", "a.yml")
    write("_base_: a.yml\n", "b.yml")
    with pytest.raises(ValueError, match=r"goes in a circle: a\.yml -> b\.yml -> a\.yml"):
        read_config(write("_base_: a.yml\n"))


def test_one_base_reached_in_two_ways_is_no_circle(write: Write) -> None:
    write("x: 1\n", "root.yml")
    write("_base_: root.yml\n", "a.yml")
    write("_base_: root.yml\ny: 2\n", "b.yml")
    assert read_config(write("_base_: [a.yml, b.yml]\n")) == {"x": 1, "y": 2}


@pytest.mark.parametrize("base", ["{a: 1}", "[1]", "5", "null"])
def test_base_must_be_paths(write: Write, base: str) -> None:
    with pytest.raises(ValueError, match=r"`_base_` is .* expected a path or a list of paths"):
        read_config(write(f"_base_: {base}\n"))


def test_a_missing_file_is_named_with_the_nearest(write: Write, tmp_path: Path) -> None:
    near = write("a: 1\n", "pp_mobileseg_tiny.yml")
    with pytest.raises(FileNotFoundError) as caught:
        read_config(tmp_path / "pp_mobilseg_tiny.yml")
    assert str(caught.value) == (
        f"config file {tmp_path / 'pp_mobilseg_tiny.yml'} does not exist; did you mean {str(near)!r}?"
    )
    with pytest.raises(FileNotFoundError, match=r"config file nowhere/config.yml does not exist$"):
        read_config("nowhere/config.yml")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=re.escape(f"{tmp_path} is a folder; expected a config file")):
        read_config(tmp_path)


def test_a_binary_file_is_no_config(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(b"\x80\x04\x95\xff\xfe\x00")
    with pytest.raises(ValueError, match=re.escape(f"{path} is not a text file")):
        read_config(path)


@pytest.mark.parametrize(("text", "found"), [("", "empty"), ("- a\n- b\n", "a list"), ("just words\n", "a str")])
def test_the_top_level_must_be_a_mapping(write: Write, text: str, found: str) -> None:
    path = write(text)
    with pytest.raises(ValueError, match=re.escape(f"{path}: the top level is {found}; expected a mapping")):
        read_config(path)


def test_an_error_in_a_base_names_the_base(write: Write) -> None:
    base = write("a: [1\n", "base.yml")
    with pytest.raises(ValueError, match=re.escape(f"{base}: not valid YAML in line 2")):
        read_config(write("_base_: base.yml\n"))
