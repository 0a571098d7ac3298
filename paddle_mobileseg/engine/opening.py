"""What ``--model_path`` and ``--config`` mean: a checkpoint of ours, or a bare weights file with a configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from paddle import nn

from paddle_mobileseg import registry
from paddle_mobileseg.config import Config, build
from paddle_mobileseg.data.palette import default_palette
from paddle_mobileseg.engine.checkpoint import MANIFEST, Checkpoint, load_checkpoint
from paddle_mobileseg.files import sha256
from paddle_mobileseg.weights import load_state, read_weights


def open_model(model_path: str | Path, cfg: Config | None = None) -> Checkpoint:
    """Read a model to evaluate, predict with or export.

    Args:
        model_path: a checkpoint folder, the ``model.pdparams`` in it, or any published ``.pdparams`` or ``.pth`` file.
        cfg: replaces the checkpoint's own configuration; necessary for a bare weights file.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a bare weights file without a configuration, or a damaged file.
    """
    path = Path(model_path)
    if path.is_dir() or (path.parent / MANIFEST).is_file():
        checkpoint = load_checkpoint(path)
        return checkpoint if cfg is None else dataclasses.replace(checkpoint, config=cfg)
    weights = read_weights(model_path)
    if cfg is None:
        raise ValueError(f"{path} holds weights only; name the network that they belong to with --config")
    names, palette, ignore_index = _classes(cfg)
    return Checkpoint(path.parent, cfg, names, palette, ignore_index, 0, None, weights, sha256(path), [])


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


def _classes(cfg: Config) -> tuple[list[str], Any, int]:
    """Class names, palette and ignored label of a configuration's data set, also where its files are not here."""
    spec = cfg.val_dataset or cfg.train_dataset
    try:
        dataset = build.dataset(cfg, "val" if cfg.val_dataset else "train")
        return list(dataset.class_names), dataset.palette, dataset.ignore_index
    except (FileNotFoundError, ValueError):
        component = registry.find(spec["type"], "datasets")
        names = list(getattr(component, "CLASS_NAMES", ())) or [f"class {i}" for i in range(cfg.num_classes)]
        palette = getattr(component, "PALETTE", None)
        return names, default_palette(cfg.num_classes) if palette is None else palette, spec.get("ignore_index", 255)
