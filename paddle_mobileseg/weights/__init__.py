"""Published weights: where they are, reading them, loading them strictly."""

from paddle_mobileseg.weights.loading import CLASSIFIERS, load_state, load_weights
from paddle_mobileseg.weights.sources import locate, read_weights

__all__ = ["CLASSIFIERS", "load_state", "load_weights", "locate", "read_weights"]
