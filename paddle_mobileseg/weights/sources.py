"""What a user may give as weights: a path, an address, or a name in the catalogue."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from paddle_mobileseg.suggestion import did_you_mean
from paddle_mobileseg.weights import catalog, download
from paddle_mobileseg.weights.files import read_file

_LOGGER = logging.getLogger("paddle_mobileseg")
IN_CHECKPOINT = "model.pdparams"  # the weights in the folder of a checkpoint
_SUFFIXES = (".pdparams", ".pth", ".pt", ".tar", ".gz", ".zip")


def entry_of(source: str | Path) -> catalog.Entry | None:
    """The entry of the catalogue that a source means: by its address, or by its name if no file has it."""
    text = str(source)
    if _is_url(text):
        return catalog.by_url(text)
    return None if Path(text).exists() else catalog.entries().get(text)


def is_remote(source: str | Path) -> bool:
    """Whether a source is an address or a name in the catalogue."""
    return _is_url(str(source)) or entry_of(source) is not None


def locate(source: str | Path) -> Path:
    """The file that a source means, downloaded if it is not here yet.

    Args:
        source: a path; an ``https`` address; a name in the catalogue. What is on the disk under a name comes before the
            catalogue, so a relative path never turns into something else.

    Returns:
        A path; where it is what was given, there need not be a file.

    Raises:
        FileNotFoundError: a mere name that neither the disk nor the catalogue knows; the message has the nearest.
        OSError: the download failed, or the file can only be downloaded by hand; the message says where to put it.
        ValueError: the file in the cache is damaged, or the address is not ``https``.
    """
    entry, text = entry_of(source), str(source)
    if entry is not None:
        return fetch_entry(entry)
    if _is_url(text):
        return download.fetch(text, check=read_file)
    if not Path(text).exists() and "/" not in text and not text.endswith(_SUFFIXES):
        raise FileNotFoundError(
            f"there is no weights file {text}, and the catalogue has no weights of that name"
            f"{did_you_mean(text, catalog.entries())} (`mobileseg weights list` shows all)"
        )
    return Path(text)


def fetch_entry(entry: catalog.Entry) -> Path:
    """The file of an entry, downloaded if it is not here yet; what the catalogue notes on it is logged.

    Raises:
        OSError, ValueError: as in :func:`locate`.
    """
    if not entry.by_hand:
        if entry.notes:
            _LOGGER.info("%s: %s", entry.name, entry.notes)
        return download.fetch(entry.url, sha256=entry.sha256, size=entry.size, check=read_file)
    if not entry.path.is_file():
        note = f" ({entry.notes})" if entry.notes else ""
        raise FileNotFoundError(
            f"{entry.name} can only be downloaded with a browser, from {entry.url}{note}; save it as {entry.path}"
        )
    download.verify(entry.path, entry.url, entry.sha256, read_file)
    return entry.path


def read_weights(source: str | Path) -> dict[str, np.ndarray]:
    """Read the weights that a source means.

    Args:
        source: as in :func:`locate`: a ``.pdparams`` file, a ``.tar.gz`` or ``.zip`` archive with one in it, a torch
            checkpoint, or the folder of a checkpoint of ours.

    Returns:
        Arrays by PaddleSeg's names.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a weights file, is damaged, or wants more than tensors (nothing in it is run).
        OSError: the download failed.
    """
    path = locate(source)
    return read_file(path / IN_CHECKPOINT if (path / IN_CHECKPOINT).is_file() else path)


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))
