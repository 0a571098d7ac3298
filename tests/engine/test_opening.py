"""What --model_path and --config mean."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import load_checkpoint, opening
from paddle_mobileseg.engine.opening import build_network, open_model, val_transforms


def test_a_bare_weights_file_needs_a_configuration(trained: Path, config_file: Path, tmp_path: Path) -> None:
    bare = tmp_path / "model.pdparams"
    bare.write_bytes((trained / "best_model" / "model.pdparams").read_bytes())
    with pytest.raises(ValueError, match="--config"):
        open_model(bare)
    opened = open_model(bare, load_config(config_file))

    assert opened.class_names == load_checkpoint(trained / "best_model").class_names
    assert opened.sha256 == load_checkpoint(trained / "best_model").sha256
    build_network(opened)
    wrong = load_config(config_file, overrides=["model.backbone.type=MobileSeg_Base"])
    with pytest.raises(ValueError, match="does not fit PPMobileSeg"):
        build_network(open_model(bare, wrong))


def test_a_url_is_downloaded_once_and_only_with_a_configuration(
    trained: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def locate(url: str) -> Path:
        asked.append(url)
        return kept

    kept = config_file.parent / "0123-model.pdparams"
    kept.write_bytes((trained / "best_model" / "model.pdparams").read_bytes())
    monkeypatch.setattr(opening, "locate", locate)
    url = "https://example.org/weights/model.pdparams"
    with pytest.raises(ValueError, match=rf"{url} holds weights only.*--config"):
        open_model(url)
    assert asked == []
    opened = open_model(url, load_config(config_file))
    assert asked == [url]
    assert opened.sha256 == load_checkpoint(trained / "best_model").sha256


def test_a_link_that_leads_nowhere_is_told_as_one(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "best_model").symlink_to(os.readlink(trained / "best_model"))
    for path in (tmp_path / "best_model", tmp_path / "best_model" / "model.pdparams"):
        with pytest.raises(FileNotFoundError, match=r"best_model is a link to iter_\d, which is not there.*cp -rL"):
            open_model(path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*elsewhere; expected a checkpoint folder such as"):
        open_model(tmp_path / "elsewhere")


def test_transforms_of_a_configuration_without_validation_data() -> None:
    with pytest.raises(ValueError, match=r"no val_dataset\.transforms.*add them"):
        val_transforms(SimpleNamespace(val_dataset={}))


def test_classes_are_known_without_the_data(trained: Path, config_file: Path, tmp_path: Path) -> None:
    bare = tmp_path / "model.pdparams"
    bare.write_bytes((trained / "best_model" / "model.pdparams").read_bytes())
    opened = open_model(bare, load_config(config_file, data_root=str(tmp_path / "gone")))
    stored = load_checkpoint(trained / "best_model")
    assert opened.class_names == stored.class_names
    np.testing.assert_array_equal(opened.palette, stored.palette)
    assert opened.ignore_index == 255

    absent = {"type": "ADE20K", "dataset_root": str(tmp_path / "gone")}
    names, palette, _ = opening._classes(SimpleNamespace(data={}, val_dataset=absent, num_classes=150))
    assert (names[0], names[149], len(palette)) == ("wall", "flag", 150)
