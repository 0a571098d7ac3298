"""YAML with inheritance to a checked ``Config``, and from there to dataset, model, losses and optimizer."""

from paddle_mobileseg.config import build
from paddle_mobileseg.config.consistency import check_losses
from paddle_mobileseg.config.load import Config, load_config

__all__ = ["Config", "build", "check_losses", "load_config"]
