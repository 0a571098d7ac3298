"""Weights files as named NumPy arrays, whatever their container."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import paddle

from paddle_mobileseg.weights.download import fetch
from paddle_mobileseg.weights.mmseg import to_paddleseg_names
from paddle_mobileseg.weights.torch_file import read_torch


def read_weights(source: str | Path) -> dict[str, np.ndarray]:
    """Read a ``.pdparams`` state_dict or an mmsegmentation ``.pth`` checkpoint.

    Args:
        source: a path or an ``http(s)`` URL.

    Returns:
        Arrays by PaddleSeg's names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a weights file, or is damaged.
    """
    path = fetch(str(source)) if str(source).startswith(("http://", "https://")) else Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; expected a .pdparams or .pth file")
    if path.suffix in (".pth", ".pt"):
        return to_paddleseg_names(read_torch(path))
    try:
        state = paddle.load(str(path), return_numpy=True)
    except (pickle.UnpicklingError, EOFError, ValueError, RuntimeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"{path} is not a weights file that Paddle can read, or it is damaged ({error})") from error
    # Older files hold a table of Paddle's own names under this key; it is no tensor.
    tensors = (
        {n: np.asarray(v) for n, v in state.items() if n != "StructuredToParameterName@@"}
        if isinstance(state, dict)
        else {}
    )
    if not tensors or any(array.dtype == object for array in tensors.values()):
        raise ValueError(f"{path} holds no state_dict: expected named tensors, got {type(state).__name__}")
    return tensors
