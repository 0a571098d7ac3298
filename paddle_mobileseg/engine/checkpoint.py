"""Checkpoints: folders that need nothing else, neither the YAML nor the data set.

``iter_400/`` holds ``model.pdparams`` (the weights to use, PaddleSeg's format, float32), ``training.pdopt`` (the arrays
that training needs to go on, in the same format), ``checkpoint.json`` (configuration, classes, palette, scores, and the
rest of the training's state), ``samples/`` (a few validation images with labels, for golden tensors and parity), and
``SHA256SUMS`` of all these files, which ``sha256sum -c`` reads too. Reading a checkpoint runs no code from it. A folder
is filled under a temporary name and renamed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from paddle_mobileseg.config import Config
from paddle_mobileseg.files import atomic_path, sha256, write_json, write_text
from paddle_mobileseg.weights import read_weights
from paddle_mobileseg.weights.loading import listing
from paddle_mobileseg.weights.paddle_file import read_paddle

FORMAT = 2
WEIGHTS, TRAINING, MANIFEST, SUMS = "model.pdparams", "training.pdopt", "checkpoint.json", "SHA256SUMS"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "iter": int,
    "metrics": (dict, type(None)),
    "config": dict,
    "class_names": list,
    "palette": list,
    "ignore_index": int,
    "samples": list,
    "training": dict,
}


class FormatError(ValueError):
    """A checkpoint that another version of this project wrote."""


@dataclass(frozen=True)
class TrainingState:
    """What training needs to go on: see :mod:`paddle_mobileseg.engine.state`.

    Attributes:
        arrays: by name, such as ``network/backbone.conv.weight``.
        values: plain numbers, text, lists and mappings, by name.
    """

    arrays: dict[str, np.ndarray]
    values: dict[str, Any]


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
        weights: float32 arrays by PaddleSeg's names.
        sha256: of ``model.pdparams``.
        samples: (image, label) files of a few validation images; label ``None`` where there is none.
        training: the values of the training's state.
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
    training: dict[str, Any] = field(default_factory=dict)
    training_sha256: str = ""

    def training_state(self) -> TrainingState:
        """What training needs to go on.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: it is damaged, or has values that are not finite.
        """
        file = self.folder / TRAINING
        _check_sha256(file, self.training_sha256)
        arrays = read_paddle(file)
        for what, named in ((WEIGHTS, self.weights), (TRAINING, arrays)):
            if broken := _not_finite(named):
                raise ValueError(
                    f"{self.folder / what} has {listing('tensors that are not finite', broken)}: the training that "
                    "wrote it had diverged; use an earlier checkpoint"
                )
        return TrainingState(arrays, self.training)


def save_checkpoint(
    folder: str | Path,
    weights: Mapping[str, np.ndarray],
    training_state: TrainingState,
    manifest: Mapping[str, Any],
    samples: Sequence[tuple[str, str | None]],
) -> None:
    """Write a checkpoint folder atomically; one that is there already is kept until the new one is whole.

    Args:
        folder: its name, such as ``output/run/iter_400``.
        weights: arrays by name.
        training_state: see :class:`TrainingState`.
        manifest: the rest, for ``checkpoint.json``.
        samples: (image, label) files to copy.

    Raises:
        FloatingPointError: values that are not finite; nothing is written.
        OSError: the folder cannot be written; nothing is left of it.
    """
    folder = Path(folder)
    if broken := _not_finite(weights) or _not_finite(training_state.arrays):
        raise FloatingPointError(
            f"{folder} is not written: {listing('tensors are not finite', broken)}, so the training has diverged. "
            "Earlier checkpoints are untouched; a lower learning rate usually helps"
        )
    content = {**manifest, "format": FORMAT, "training": training_state.values}
    try:
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            paddle.save(dict(weights), str(temporary / WEIGHTS))
            paddle.save(training_state.arrays, str(temporary / TRAINING))
            (temporary / "samples").mkdir()
            content["samples"] = [_copy_samples(pair, temporary, number) for number, pair in enumerate(samples)]
            files = [path for path in temporary.rglob("*") if path.is_file()]
            sums = {str(path.relative_to(temporary)): sha256(path) for path in files}
            content["sha256"] = {name: sums[name] for name in (WEIGHTS, TRAINING)}
            write_json(temporary / MANIFEST, content)
            sums[MANIFEST] = sha256(temporary / MANIFEST)
            write_text(temporary / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    except OSError as error:
        raise OSError(
            f"the checkpoint {folder} cannot be written: {error.strerror or error}. Earlier checkpoints are "
            "untouched; put that right (often: the disk is full), then go on with --resume auto"
        ) from error


def _copy_samples(pair: tuple[str, str | None], folder: Path, number: int) -> dict[str, str | None]:
    copied: dict[str, str | None] = {}
    for kind, path in zip(("image", "label"), pair, strict=True):
        if path is None:
            copied[kind] = None
            continue
        suffix = Path(path).suffix
        copied[kind] = f"samples/{number:02d}_{kind}{suffix if re.fullmatch(r'[.][A-Za-z0-9]+', suffix) else ''}"
        shutil.copyfile(path, folder / copied[kind])  # type: ignore[operator]
    return copied


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder and check all its files but ``training.pdopt`` against the recorded hashes.

    Args:
        path: the folder, or the ``model.pdparams`` in it.

    Raises:
        FileNotFoundError: no such folder, one that is no checkpoint, or one that lacks a file.
        FormatError: another version of this project wrote it.
        ValueError: a file is damaged.
    """
    folder = Path(path)
    if folder.name == WEIGHTS:
        folder = folder.parent
    manifest_file = folder / MANIFEST
    if not manifest_file.is_file():
        raise FileNotFoundError(
            f"{path} is no checkpoint: there is no {manifest_file}; expected a folder such as output/run/best_model"
        )
    sums = _read_sums(folder)
    manifest = _read_manifest(manifest_file)
    if not sums:
        raise FileNotFoundError(f"{folder / SUMS} is missing; use another checkpoint")
    for name in sorted({WEIGHTS, *sums} - {TRAINING, MANIFEST}):
        _check_sha256(folder / name, sums.get(name, ""))
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
            sha256=sums[WEIGHTS],
            samples=[(folder / s["image"], folder / s["label"] if s["label"] else None) for s in manifest["samples"]],
            training=manifest["training"],
            training_sha256=sums.get(TRAINING, ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{manifest_file} cannot be used: {error}") from error


def metrics_of(folder: Path) -> dict[str, Any] | None:
    """The scores in a checkpoint, read alone; ``None`` where there are none or they cannot be read."""
    try:
        return _read_manifest(folder / MANIFEST)["metrics"]
    except (OSError, ValueError):
        return None


def _read_sums(folder: Path) -> dict[str, str]:
    """The recorded hash of each file; the manifest is checked against its own. Empty where there is no such record."""
    file = folder / SUMS
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [re.fullmatch(r"([0-9a-f]{64})  ([\w./-]+)", line) for line in lines]
    sums = {entry[2]: entry[1] for entry in entries if entry is not None}
    if len(sums) != len(lines) or any(Path(name).is_absolute() or ".." in Path(name).parts for name in sums):
        raise ValueError(f"{file} is damaged: expected lines of a sha256 and a file's name; use another checkpoint")
    _check_sha256(folder / MANIFEST, sums.get(MANIFEST, ""))
    return sums


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); use another checkpoint") from error
    if not isinstance(manifest, dict):
        raise ValueError(f"{file} is damaged: it holds no mapping; use another checkpoint")
    if manifest.get("format") != FORMAT:
        raise FormatError(
            f"{file} has format {manifest.get('format')!r}, which another version of paddle_mobileseg wrote; this one "
            f"reads format {FORMAT}. A copy of its {WEIGHTS} alone can be used with --config"
        )
    wrong = [key for key, kind in _KINDS.items() if not isinstance(manifest.get(key), kind)]
    if wrong:
        raise ValueError(f"{file} is damaged: {', '.join(wrong)} missing or of a wrong kind; use another checkpoint")
    return manifest


def _not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]


def _check_sha256(file: Path, recorded: str) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; use another checkpoint")
    found = sha256(file)
    if found != recorded:
        raise ValueError(
            f"{file} is damaged: its sha256 is {found}, recorded is {recorded or 'none'}; use another checkpoint"
        )
