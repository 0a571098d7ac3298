"""What ``--model_path`` and ``--config`` mean: a checkpoint of ours, or a bare weights file with a configuration."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from paddle import nn

from paddle_mobileseg import registry
from paddle_mobileseg.config import Config, build
from paddle_mobileseg.data.palette import default_palette
from paddle_mobileseg.engine.checkpoint import MANIFEST, Checkpoint, load_checkpoint
from paddle_mobileseg.files import sha256
from paddle_mobileseg.weights import load_state, locate, read_weights
from paddle_mobileseg.weights.sources import entry_of, is_remote


def open_model(model_path: str | Path, cfg: Config | None = None) -> Checkpoint:
    """Read a model to evaluate, predict with or export.

    Args:
        model_path: a checkpoint folder, the ``model.pdparams`` in it, any published weights file, the URL of one, or
            its name in the catalogue (what is on the disk under a name comes first).
        cfg: replaces the checkpoint's own configuration; necessary for a bare weights file.

    Raises:
        FileNotFoundError: nothing there, or a link to something that is not there.
        OSError: the URL cannot be downloaded.
        ValueError: a bare weights file without a configuration, or a damaged file.
    """
    if not is_remote(model_path):
        path = locate(model_path)
        _check_exists(path)
        if path.is_dir() or (path.parent / MANIFEST).is_file():
            checkpoint = load_checkpoint(path)
            return checkpoint if cfg is None else dataclasses.replace(checkpoint, config=cfg)
    if cfg is None:
        raise ValueError(
            f"{model_path} holds weights only; name the network that they belong to with --config{_recipe(model_path)}"
        )
    path = locate(model_path)
    weights = read_weights(path)
    names, palette, ignore_index = _classes(cfg)
    return Checkpoint(path, cfg, names, palette, ignore_index, 0, None, weights, sha256(path), [])


def build_network(checkpoint: Checkpoint) -> nn.Layer:
    """The checkpoint's network with its weights, in eval mode.

    Raises:
        ValueError: the weights do not fit the network that the configuration names.
    """
    network = build.component(without_pretrained(checkpoint.config.model))
    load_state(network, checkpoint.weights, str(checkpoint.folder))
    network.eval()
    return network


def without_pretrained(spec: Any) -> Any:
    """A component's specification less the weights that its parts would load first: the checkpoint has them all."""
    if isinstance(spec, dict):
        return {key: without_pretrained(value) for key, value in spec.items() if key != "pretrained"}
    return [without_pretrained(value) for value in spec] if isinstance(spec, list) else spec


def val_transforms(cfg: Config) -> list[dict[str, Any]]:
    """The steps between an image and the network when it is not trained, as in the YAML.

    Raises:
        ValueError: the configuration has none.
    """
    transforms = cfg.val_dataset.get("transforms")
    if transforms is None:
        raise ValueError(
            "the configuration has no val_dataset.transforms, which say how images are prepared for the network; "
            "add them"
        )
    return transforms


def _recipe(model_path: str | Path) -> str:
    """The value of --config for weights of the catalogue, where there is a recipe for them."""
    entry = entry_of(model_path)
    return f" configs/{entry.recipe}" if entry is not None and entry.recipe else ""


def _check_exists(path: Path) -> None:
    """FileNotFoundError for a path that is not there; a link that leads nowhere is told as one."""
    if path.exists():
        return
    for each in (path, path.parent):
        if each.is_symlink() and not each.exists():
            raise FileNotFoundError(
                f"{each} is a link to {os.readlink(each)}, which is not there; copy a checkpoint with cp -rL, which "
                "follows links, or copy the iter_N folder too"
            )
    raise FileNotFoundError(
        f"there is no {path}; expected a checkpoint folder such as output/run/best_model or output/run/iter_400, or a "
        ".pdparams or .pth file"
    )


def _classes(cfg: Config) -> tuple[list[str], Any, int]:
    """Class names, palette and ignored label of a configuration's data set, also where its files are not here."""
    try:
        dataset = build.dataset(cfg, "val" if cfg.val_dataset else "train")
    except (OSError, ValueError):
        spec = cfg.val_dataset or cfg.train_dataset
        dataset = registry.find(spec["type"], "datasets")
        names = getattr(dataset, "CLASS_NAMES", [f"class {i}" for i in range(cfg.num_classes)])
        palette = getattr(dataset, "PALETTE", default_palette(cfg.num_classes))
        return list(names), palette, spec.get("ignore_index", 255)
    return list(dataset.class_names), dataset.palette, dataset.ignore_index
