"""The state in which a network begins to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle import nn

from paddle_mobileseg.engine.checkpoint import load_checkpoint
from paddle_mobileseg.engine.gradients import names_not_finite
from paddle_mobileseg.weights.loading import listing


def check_pretrained(spec: Any) -> None:
    """Check every checkpoint folder that a model's specification names as ``pretrained`` against its hashes.

    Raises:
        FileNotFoundError: such a folder is no checkpoint.
        ValueError: it is damaged.
    """
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key == "pretrained" and isinstance(value, str) and Path(value).is_dir():
                load_checkpoint(value)
            check_pretrained(value)


def check_finite(network: nn.Layer) -> None:
    """Refuse weights or batch norm statistics that are not finite.

    Raises:
        ValueError: with their names.
    """
    broken = names_not_finite(network.state_dict())
    if broken:
        raise ValueError(
            f"{listing('tensors of the network are not finite before training', broken)}; check the weights that "
            "model.pretrained or model.backbone.pretrained names"
        )


def freeze_backbone(network: nn.Layer) -> None:
    """Take the backbone's parameters out of training: no gradients, no updates, no weight decay.

    Raises:
        ValueError: the network has no backbone.
    """
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, nn.Layer):
        raise ValueError(f"freeze_backbone: {type(network).__name__} has no backbone; leave it out")
    for parameter in backbone.parameters():
        parameter.stop_gradient = True


def training_mode(network: nn.Layer, backbone_frozen: bool) -> None:
    """Put the network into training mode; a frozen backbone stays in eval mode, so that its batch norms use their
    statistics, which stay as they are, and nothing in it is dropped."""
    network.train()
    if backbone_frozen:
        network.backbone.eval()
