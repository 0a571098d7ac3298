"""Class weights for a loss, from how often each class occurs."""

from __future__ import annotations

import numpy as np

from paddle_mobileseg.data.check.survey import Survey

METHOD = (
    "median frequency balancing (Eigen and Fergus, arXiv 1411.4734; SegNet, arXiv 1511.00561): "
    "weight = median of all frequencies / frequency, where the frequency of a class is its pixels divided by the "
    "pixels with a class in the images where it occurs; 1 for a class that does not occur"
)


def class_weights(survey: Survey) -> list[float]:
    """Median frequency balancing, see ``METHOD``; three significant digits.

    Raises:
        ValueError: no label has a class.
    """
    present = survey.class_pixels > 0
    if not present.any():
        raise ValueError("class weights need labels with classes, and there are none")
    frequency = survey.class_pixels[present] / survey.pixels_where_present[present]
    weights = np.ones(len(present))
    weights[present] = np.median(frequency) / frequency
    return [float(f"{weight:.3g}") for weight in weights]


def loss_line(weights: list[float], coef: list[float]) -> str:
    """The line to paste into a YAML config: cross entropy with the weights, for as many logits as ``coef`` has."""
    listed = ", ".join(f"{weight:g}" for weight in weights)
    factors = ", ".join(f"{factor:g}" for factor in coef)
    return f"loss: {{types: [{{type: CrossEntropyLoss, weight: [{listed}]}}], coef: [{factors}]}}"
