"""Checkpoints: folders that need nothing else, neither the YAML nor the data set.

``iter_400/`` holds ``model.pdparams`` (the weights to use, PaddleSeg's format), ``training.pdopt`` (everything that
training needs to go on), ``checkpoint.json`` (configuration, classes, palette, scores, hashes) and ``samples/`` (a few
validation images with labels, for golden tensors and parity). A folder is filled under a temporary name and renamed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from paddle_mobileseg.config import Config
from paddle_mobileseg.files import atomic_path, sha256, write_json
from paddle_mobileseg.weights import read_weights

FORMAT = 1
WEIGHTS, TRAINING, MANIFEST = "model.pdparams", "training.pdopt", "checkpoint.json"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "iter": int,
    "metrics": (dict, type(None)),
    "config": dict,
    "class_names": list,
    "palette": list,
    "ignore_index": int,
    "samples": list,
    "sha256": dict,
}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been read and checked.

    Attributes:
        folder: where it lies; of weights that come without a checkpoint, their file.
        config: the configuration it was trained with.
        class_names: a name for each class.
        palette: ``[C, 3]`` uint8 RGB.
        ignore_index: label that does not count.
        iteration: of training.
        metrics: scores of the last evaluation (``miou``, ``accuracy``, ...), or ``None``.
        weights: arrays by PaddleSeg's names.
        sha256: of ``model.pdparams``.
        samples: (image, label) files of a few validation images; label ``None`` where there is none.
        training_sha256: of ``training.pdopt``; empty where there is none.
    """

    folder: Path
    config: Config
    class_names: list[str]
    palette: np.ndarray
    ignore_index: int
    iteration: int
    metrics: dict[str, Any] | None
    weights: dict[str, np.ndarray]
    sha256: str
    samples: list[tuple[Path, Path | None]]
    training_sha256: str = ""

    def training_state(self) -> dict[str, Any]:
        """Weights, optimiser, EMA and random state: see :func:`paddle_mobileseg.engine.state.training_state`.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: it is damaged.
        """
        _check_sha256(self.folder / TRAINING, self.training_sha256)
        return paddle.load(str(self.folder / TRAINING))


def save_checkpoint(
    folder: str | Path,
    weights: dict[str, np.ndarray],
    training_state: dict[str, Any],
    manifest: dict[str, Any],
    samples: Sequence[tuple[str, str | None]],
) -> None:
    """Write a checkpoint folder atomically; one that is there already is kept until the new one is whole.

    Args:
        folder: its name, such as ``output/run/iter_400``.
        weights: arrays by name.
        training_state: what ``paddle.save`` can store.
        manifest: the rest, for ``checkpoint.json``; hashes and sample names are added.
        samples: (image, label) files to copy.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        paddle.save(dict(weights), str(temporary / WEIGHTS))
        paddle.save(training_state, str(temporary / TRAINING))
        (temporary / "samples").mkdir()
        listed = []
        for number, pair in enumerate(samples):
            kinds = zip(("image", "label"), pair, strict=True)
            listed.append({kind: _copy_sample(path, temporary / "samples", number, kind) for kind, path in kinds})
        hashes = {name: sha256(temporary / name) for name in (WEIGHTS, TRAINING)}
        write_json(temporary / MANIFEST, {"format": FORMAT, **manifest, "samples": listed, "sha256": hashes})


def _copy_sample(path: str | None, folder: Path, number: int, kind: str) -> str | None:
    if path is None:
        return None
    name = f"{number:02d}_{kind}{Path(path).suffix}"
    shutil.copyfile(path, folder / name)
    return f"samples/{name}"


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder and check its weights against the recorded hash.

    Args:
        path: the folder, or the ``model.pdparams`` in it.

    Raises:
        FileNotFoundError: no such folder, or one that is no checkpoint.
        ValueError: the manifest or the weights are damaged, or of an unknown format.
    """
    folder = Path(path)
    if folder.name == WEIGHTS:
        folder = folder.parent
    manifest_file = folder / MANIFEST
    if not manifest_file.is_file():
        raise FileNotFoundError(
            f"{path} is no checkpoint: there is no {manifest_file}; expected a folder such as output/run/best_model"
        )
    manifest = _read_manifest(manifest_file)
    hashes = manifest["sha256"]
    _check_sha256(folder / WEIGHTS, hashes.get(WEIGHTS, ""))
    try:
        return Checkpoint(
            folder=folder,
            config=Config.from_dict(manifest["config"]),
            class_names=manifest["class_names"],
            palette=np.array(manifest["palette"], np.uint8),
            ignore_index=manifest["ignore_index"],
            iteration=manifest["iter"],
            metrics=manifest["metrics"],
            weights=read_weights(folder / WEIGHTS),
            sha256=hashes[WEIGHTS],
            samples=[(folder / s["image"], folder / s["label"] if s["label"] else None) for s in manifest["samples"]],
            training_sha256=hashes.get(TRAINING, ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{manifest_file} cannot be used: {error}") from error


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); use another checkpoint") from error
    if not isinstance(manifest, dict):
        raise ValueError(f"{file} is damaged: it holds no mapping; use another checkpoint")
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{file} has format {manifest.get('format')!r}; this version reads format {FORMAT}")
    wrong = [key for key, kind in _KINDS.items() if not isinstance(manifest.get(key), kind)]
    if wrong:
        raise ValueError(f"{file} is damaged: {', '.join(wrong)} missing or of a wrong kind; use another checkpoint")
    return manifest


def _check_sha256(file: Path, recorded: str) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; use another checkpoint")
    found = sha256(file)
    if found != recorded:
        raise ValueError(
            f"{file} is damaged: its sha256 is {found}, recorded is {recorded or 'none'}; use another checkpoint"
        )
