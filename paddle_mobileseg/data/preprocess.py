"""The deterministic steps before a network, from their YAML form: what a deployed network does with an image.

Needs NumPy and OpenCV only. Evaluation, prediction and the exported bundle all go through these transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data.sample import Transform

TransInfo = list[tuple[str, tuple[int, int]]]

_DETERMINISTIC: dict[str, type] = {
    each.__name__: each for each in (T.Resize, T.ResizeByLong, T.ResizeByShort, T.LimitLong, T.Padding, T.Normalize)
}


class Preprocess:
    """Image -> network input, and labels back to the image's size.

    Example:
        >>> steps = [{"type": "Resize", "target_size": [512, 512]}, {"type": "Normalize"}]
        >>> preprocess = Preprocess.from_transforms(steps)
        >>> x, trans_info = preprocess(image)  # float32 [3, 512, 512]
        >>> labels = preprocess.restore(network(x), trans_info)  # [H, W] of the image
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self._compose = T.Compose(transforms)

    @classmethod
    def from_transforms(cls, specs: Sequence[dict[str, Any]]) -> Preprocess:
        """Make it from the ``transforms`` list of a val data set or of deploy.yaml.

        Raises:
            ValueError: a random or unknown transform, or arguments that one does not accept; named.
        """
        if not isinstance(specs, (list, tuple)):
            raise ValueError(f"transforms must be a list, but got {specs!r}")
        return cls([_build(spec) for spec in specs])

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, TransInfo]:
        """Apply the steps.

        Args:
            image: uint8 [H, W, 3], RGB. Not changed.

        Returns:
            float32 [3, h, w] and the list of (step, (height, width) before it) for :meth:`restore`.

        Raises:
            ValueError: another shape or dtype, or an image that does not fit (larger than Padding's size).
        """
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"expected an image as uint8 [height, width, 3] in RGB order, but got {got}")
        if image.size == 0:
            raise ValueError(f"the image is empty: {list(image.shape)}")
        sample = self._compose.apply({"img": image})
        return sample["img"], sample["trans_info"]

    @staticmethod
    def restore(labels: np.ndarray, trans_info: TransInfo) -> np.ndarray:
        """Take labels of the network's input size back to the image's own: crop padding, resize (nearest).

        Args:
            labels: integers [h, w], any integer dtype, which is kept.
            trans_info: as given by calling this object, or by a data set.

        Returns:
            labels [H, W].

        Raises:
            ValueError: labels are not [h, w], or an unknown step.
        """
        if labels.ndim != 2:
            raise ValueError(f"expected labels [height, width], but got {list(labels.shape)}")
        for step, (height, width) in reversed(trans_info):
            if step == "padding":
                labels = labels[:height, :width]
            elif step == "resize":
                labels = resize_nearest(labels, height, width)
            else:
                raise ValueError(f"trans_info has the unknown step {step!r}; known are 'resize' and 'padding'")
        return labels


def resize_nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Labels [h, w] of any dtype -> [height, width]; each pixel takes the source pixel floor(i * h / height)."""
    if labels.shape == (height, width):
        return labels
    rows = np.arange(height) * labels.shape[0] // height
    columns = np.arange(width) * labels.shape[1] // width
    return labels[rows[:, None], columns]


def _build(spec: dict[str, Any]) -> Transform:
    arguments = dict(spec) if isinstance(spec, dict) else {}
    name = arguments.pop("type", None)
    if name not in _DETERMINISTIC:
        known = ", ".join(_DETERMINISTIC)
        raise ValueError(
            f"transform {name!r} cannot be part of deployment: only the deterministic {known} are. "
            "Check the val_dataset's transforms"
        )
    if arguments.get("interp") == "RANDOM" or isinstance(arguments.get("short_size"), (list, tuple)):
        raise ValueError(f"transform {name!r} with {arguments} is random and cannot be part of deployment")
    try:
        return _DETERMINISTIC[name](**arguments)
    except TypeError as error:
        raise ValueError(f"transform {name!r}: {error}") from error
