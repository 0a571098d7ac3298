"""Weights files as named NumPy arrays, whatever their container."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paddle_mobileseg.weights.archive import is_archive, read_member
from paddle_mobileseg.weights.mmseg import to_paddleseg_names
from paddle_mobileseg.weights.paddle_file import read_paddle
from paddle_mobileseg.weights.torch_file import is_torch, read_torch

_HTML = (b"<!doctype", b"<html", b"<?xml")


def read_file(path: Path) -> dict[str, np.ndarray]:
    """Read the weights in a file. What kind of file it is, its content says, not its name.

    Args:
        path: a ``.pdparams`` file, an archive with one, or a torch checkpoint.

    Returns:
        Arrays by PaddleSeg's names.

    Raises:
        FileNotFoundError: no such file.
        OSError: it cannot be read, or is a folder.
        ValueError: the file is not a weights file, is damaged, or wants more than tensors (nothing in it is run).
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a .pdparams or .pth file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; expected a .pdparams or .pth file")
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise ValueError(f"{path} is not a weights file: it is empty")
    if head.lstrip().lower().startswith(_HTML):
        raise ValueError(f"{path} is not a weights file but a web page; a browser shows what it says")
    if is_torch(path, head):
        return to_paddleseg_names(read_torch(path))
    if is_archive(path):
        name, content = read_member(path)
        return read_paddle(f"{path} ({name})", content)
    return read_paddle(path)
