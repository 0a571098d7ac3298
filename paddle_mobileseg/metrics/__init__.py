"""Quality of label maps."""

from paddle_mobileseg.metrics.confusion import ConfusionMatrix, Scores

__all__ = ["ConfusionMatrix", "Scores"]
