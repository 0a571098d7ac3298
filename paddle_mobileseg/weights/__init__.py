"""Reading published weights and loading them strictly."""

from paddle_mobileseg.weights.files import read_weights
from paddle_mobileseg.weights.loading import load_state, load_weights

__all__ = ["load_state", "load_weights", "read_weights"]
