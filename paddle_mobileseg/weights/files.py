"""Weights files as named NumPy arrays, whatever their container."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paddle_mobileseg.weights.download import fetch
from paddle_mobileseg.weights.mmseg import to_paddleseg_names
from paddle_mobileseg.weights.paddle_file import read_paddle
from paddle_mobileseg.weights.torch_file import read_torch


def read_weights(source: str | Path) -> dict[str, np.ndarray]:
    """Read a ``.pdparams`` state_dict or an mmsegmentation ``.pth`` checkpoint.

    Args:
        source: a path or an ``https`` URL.

    Returns:
        Arrays by PaddleSeg's names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a weights file, is damaged, or wants more than tensors (nothing in it is run).
        OSError: the download failed.
    """
    path = fetch(str(source)) if str(source).startswith(("http://", "https://")) else Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; expected a .pdparams or .pth file")
    if path.suffix in (".pth", ".pt"):
        return to_paddleseg_names(read_torch(path))
    return read_paddle(path)
