"""Changes that come from the command line."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paddle_mobileseg.config.overrides import apply_overrides, set_data_root


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("a.b=1", 1),
        ("a.b=1e-4", 1e-4),
        ("a.b=true", True),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={type: X}", {"type": "X"}),
        ("a.b=x=y=z", "x=y=z"),
        ("a.b=https://host/path?q=1", "https://host/path?q=1"),
        ("a.b=", None),
        ("a.b=null", None),
        ("a.b=None", None),
        ("a.b=0.75,1.0,1.25", [0.75, 1.0, 1.25]),
        ("a.b=one,two", "one,two"),
        (" a.b =text", "text"),
    ],
)
def test_values(override: str, value: Any) -> None:
    data: dict[str, Any] = {"a": {"b": 0}}
    apply_overrides(data, [override])
    assert data == {"a": {"b": value}}
    assert type(data["a"]["b"]) is type(value)


def test_items_of_lists_new_keys_and_order() -> None:
    data: dict[str, Any] = {"loss": {"types": [{"type": "A"}, {"type": "B"}], "coef": [1, 2]}}
    apply_overrides(data, ["loss.types.1.type=C", "loss.coef.0=3", "loss.types.0.new=1", "loss.coef.0=4", "top=5"])
    assert data == {"loss": {"types": [{"type": "A", "new": 1}, {"type": "C"}], "coef": [4, 2]}, "top": 5}


def test_optional_sections_are_started() -> None:
    data: dict[str, Any] = {"test_config": {"aug_eval": True}}
    apply_overrides(data, ["train_config.seed=3", "test_config.scales=0.5"])
    assert data == {"test_config": {"aug_eval": True, "scales": 0.5}, "train_config": {"seed": 3}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a.b", "override 'a.b' is not understood; expected a.b.c=value, such as model.num_classes=11"),
        ("=5", "is not understood"),
        ("a..b=5", "is not understood"),
        ("backbon.c=1", "the config has no 'backbon'; did you mean 'backbone'? it has: backbone, list"),
        ("backbone.tipe.x=1", "backbone has no 'tipe'; did you mean 'type'?"),
        ("backbone.type.x=1", "backbone.type is 'X' and has no 'x' below it"),
        ("list.2=1", "list is a list; expected a position from 0 to 1, got '2'"),
        ("list.-1=1", "list is a list; expected a position from 0 to 1, got '-1'"),
        ("list.first.x=1", "list is a list; expected a position from 0 to 1, got 'first'"),
        ("backbone.type=[1", "override 'backbone.type=[1': not valid YAML"),
    ],
)
def test_overrides_that_are_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        apply_overrides({"backbone": {"type": "X"}, "list": [1, 2]}, [override])


def test_data_root_takes_list_files_below_the_old_root_along() -> None:
    data = {
        "train_dataset": {"dataset_root": "data/old/", "train_path": "data/old/lists/train.txt"},
        "val_dataset": {"dataset_root": "data/old", "val_path": "val.txt"},
        "test_dataset": {"dataset_root": "data/old", "test_path": "/elsewhere/test.txt"},
        "batch_size": 2,
    }
    set_data_root(data, "/new")
    assert data == {
        "train_dataset": {"dataset_root": "/new", "train_path": "/new/lists/train.txt"},
        "val_dataset": {"dataset_root": "/new", "val_path": "val.txt"},
        "test_dataset": {"dataset_root": "/new", "test_path": "/elsewhere/test.txt"},
        "batch_size": 2,
    }


def test_data_root_where_the_config_has_none() -> None:
    data: dict[str, Any] = {"train_dataset": {"train_path": "train.txt"}}
    set_data_root(data, "new")
    assert data == {"train_dataset": {"train_path": "train.txt", "dataset_root": "new"}}
