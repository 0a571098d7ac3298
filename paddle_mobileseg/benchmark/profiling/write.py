"""What ``benchmark --profile`` writes and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark.profiling.layers import layers_of_bundle
from paddle_mobileseg.benchmark.profiling.tables import layer_text, operator_text, write_csv
from paddle_mobileseg.runtime.bundle import Bundle

_OPERATORS, _LAYERS = "-operators.csv", "-layers.csv"


def write_profile(operators: Sequence[Mapping[str, Any]], folder: str | Path, stem: str) -> str:
    """Write a record's ``operators`` to ``<stem>-operators.csv``; the tables as text.

    Raises:
        ValueError: there are none.
        OSError: the file cannot be written.
    """
    path = write_csv(operators, Path(folder) / f"{stem}{_OPERATORS}")
    return f"{operator_text(operators)}\nall of them: {path}"


def write_layers(bundle: Bundle, folder: str | Path, network: str | None = None) -> str:
    """Write a bundle's layers to ``<bundle>-layers.csv``; the table as text, or why there is none.

    Raises:
        KeyError: ``network`` is not in the list.
        OSError: the file cannot be written.
    """
    try:
        rows = layers_of_bundle(bundle, network)
    except (ValueError, ImportError) as error:
        return f"no counts per layer: {error}"
    path = write_csv(rows, Path(folder) / f"{bundle.folder.resolve().name}{_LAYERS}")
    return f"{layer_text(rows)}\nall of them: {path}"
