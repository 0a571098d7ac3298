"""From an image to what an exported graph takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_mobileseg.data.preprocess import Preprocess, TransInfo


class GraphInput:
    """The steps before a graph, as its manifest has them, and the check of a tensor that is ready.

    Args:
        deploy: the manifest's section ``Deploy``.
        described: ``Bundle.input`` of the manifest: ``dtype`` ``float32`` (NCHW) or ``uint8`` (NHWC RGB, normalised by
            the graph), and ``resize_hw``, the size to which the graph itself resizes images (``None``: it does not).

    Raises:
        ValueError: unknown transforms.
    """

    def __init__(self, deploy: dict[str, Any], described: dict[str, Any]) -> None:
        self.shape: list[int] = deploy["input_shape"]
        self.dtype = np.dtype(described.get("dtype", "float32"))
        self.layout: str = described.get("layout", "NCHW")
        self._resized_inside = described.get("resize_hw") is not None
        self._preprocess = Preprocess.from_transforms(deploy["transforms"])

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, TransInfo]:
        """One image, as many times as the graph's batch has places.

        Args:
            image: ``[H, W, 3]`` uint8 RGB.

        Returns:
            an array of the graph's shape and dtype, and what happened to the image's size, for
            :meth:`paddle_mobileseg.data.preprocess.Preprocess.restore`.

        Raises:
            ValueError: no such image.
        """
        x, trans_info = self._preprocess(image)
        if self._resized_inside:
            trans_info = [("resize", (image.shape[0], image.shape[1]))]
        if self.dtype == np.uint8:
            x = x.transpose(1, 2, 0).astype(np.uint8)  # whole numbers: nothing but the size was changed
        return np.ascontiguousarray(np.repeat(x[None], max(self.shape[0], 1), axis=0)), trans_info

    def check(self, x: Any) -> None:
        """Raises:
        ValueError: ``x`` is no array of the dtype and shape that the graph takes; both are named.
        """
        shape = ", ".join("any" if n == -1 else str(n) for n in self.shape)
        wanted = f"expected a {self.dtype} array [{', '.join(self.layout)}] = [{shape}]"
        if not isinstance(x, np.ndarray):
            raise ValueError(f"{wanted}, but got {type(x).__name__}")
        fits = x.ndim == 4 and all(n > 0 and want in (-1, n) for n, want in zip(x.shape, self.shape, strict=True))
        if x.dtype != self.dtype or not fits:
            raise ValueError(f"{wanted}, but got {x.dtype} {list(x.shape)}")
