"""The command ``val``: evaluate a checkpoint or a bundle, and keep scores and a few predictions for the report."""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from paddle_mobileseg.config import Config, build
from paddle_mobileseg.data.palette import encode_label_png
from paddle_mobileseg.data.pictures import Encoded, encode_jpeg, write_all
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.checkpoint import Checkpoint
from paddle_mobileseg.engine.evaluator import Evaluation, eval_settings, evaluate, evaluate_labels
from paddle_mobileseg.engine.opening import build_network
from paddle_mobileseg.engine.parallel import Ranks
from paddle_mobileseg.engine.sharing import ALONE
from paddle_mobileseg.files import make_output_folder, sha256, write_json

_SAMPLES = 6


class MissedMetricError(ValueError):
    """A score is further from ``test_config.expected`` than its tolerance; the message has both."""


class BundleSession(Protocol):
    """What is used of :class:`paddle_mobileseg.runtime.Session`, which is of a later stage."""

    backend: str
    bundle: Any

    def run(self, image: np.ndarray) -> np.ndarray: ...


def validate(
    checkpoint: Checkpoint,
    save_dir: str | Path | None = None,
    num_workers: int = 0,
    command: str = "",
    ranks: Ranks | None = None,
    **settings: Any,
) -> Evaluation:
    """Evaluate a checkpoint on its configuration's validation data.

    Args:
        checkpoint: what to evaluate.
        save_dir: receives ``val.json``, ``val_config.yml`` and, of a few images, ``val_samples/NNN_image.jpg``,
            ``NNN_label.png`` and ``NNN_prediction.png``; ``None`` writes nothing.
        num_workers: processes that read images.
        command: the command line, for the record.
        ranks: of this process, where several share the images out; only the first one writes.
        **settings: ``scales``, ``flip``, ``flip_vertical``, ``window`` and ``batch_size`` of
            :func:`paddle_mobileseg.engine.evaluate`, in place of what the configuration's ``test_config`` says.

    Raises:
        ValueError, FileNotFoundError: no validation data, or a file of it cannot be used.
        OSError: ``save_dir`` cannot be written.
    """
    cfg = checkpoint.config
    settings = {**eval_settings(cfg), **settings}
    dataset = _validation_data(cfg)
    network = build_network(checkpoint)
    record = _Record(cfg, dataset, save_dir, ranks or ALONE)
    result = evaluate(network, dataset, num_workers=num_workers, on_image=record.keep, ranks=ranks, **settings)
    origin = {"backend": "dygraph", "checkpoint_sha256": checkpoint.sha256, "iter": checkpoint.iteration}
    record.write(result, {**origin, "eval": _described(settings), "command": command})
    return result


def validate_bundle(
    session: BundleSession,
    cfg: Config,
    save_dir: str | Path | None = None,
    num_workers: int = 0,
    command: str = "",
    ranks: Ranks | None = None,
) -> Evaluation:
    """Evaluate an exported bundle on a configuration's validation data, with the bundle's own preprocessing.

    Args:
        session: runs the bundle.
        cfg: of it only the validation data count, less their transforms.
        save_dir, num_workers, command, ranks: as in :func:`validate`.

    Raises:
        ValueError, FileNotFoundError: as :func:`validate`, or other classes than the bundle's.
        OSError: ``save_dir`` cannot be written.
    """
    bundle = session.bundle
    dataset = _validation_data(cfg, transforms=[])
    for what, theirs, ours in (
        ("num_classes", bundle.about["num_classes"], dataset.num_classes),
        ("ignore_index", bundle.about.get("ignore_index", dataset.ignore_index), dataset.ignore_index),
    ):
        if theirs != ours:
            raise ValueError(
                f"{bundle.folder} was exported with {what} {theirs}, but the validation data have {ours}; evaluate it "
                "on the data that it is for (--config, --data_root)"
            )
    record = _Record(cfg, dataset, save_dir, ranks or ALONE)

    def label(samples: Sequence[dict[str, Any]]) -> Sequence[np.ndarray]:
        labels = []
        for sample in samples:
            image = np.ascontiguousarray(sample["img"][0].transpose(1, 2, 0), np.uint8)
            try:
                labels.append(session.run(image))
            except ValueError as error:
                raise ValueError(f"{sample['file']}: {error}") from error
        return labels

    result = evaluate_labels(label, dataset, num_workers, record.keep, ranks=ranks)
    origin = {
        "backend": session.backend,
        "bundle_sha256": sha256(bundle.folder / "deploy.yaml"),
        "checkpoint_sha256": bundle.about.get("source_checkpoint_sha256"),
    }
    record.write(result, {**origin, "eval": {"flip": False, "scales": [1.0]}, "command": command})
    return result


def check_expected(result: Evaluation, cfg: Config) -> None:
    """Compare scores with a configuration's ``test_config.expected``; nothing is done where there is none.

    A score above the tolerance fails too, as in detectron2: it says that something is not as it was when the
    expectation was written down.

    Raises:
        MissedMetricError: a score is missed; names what was expected, got and allowed.
    """
    expected = dict(cfg.test_config.get("expected", {}))
    tolerance = expected.pop("tolerance", 0.0)
    scores = result.as_dict()
    missed = [
        f"{name} is {'undefined' if scores[name] is None else format(scores[name], '.6f')}, expected {wanted:g}"
        for name, wanted in expected.items()
        if scores[name] is None or abs(scores[name] - wanted) > tolerance
    ]
    if missed:
        raise MissedMetricError(f"{'; '.join(missed)}, with a tolerance of {tolerance:g} (test_config.expected)")


class _Record:
    """What an evaluation leaves in its folder: written by the first process, from what all of them keep."""

    def __init__(self, cfg: Config, dataset: Any, save_dir: str | Path | None, ranks: Ranks) -> None:
        self._cfg = cfg
        self._dataset = dataset
        self._ranks = ranks
        self._folder = None if save_dir is None else Path(save_dir)
        if self._folder is not None and ranks.number == 0:
            make_output_folder(self._folder)
        self._chosen = set() if save_dir is None else {i * len(dataset) // _SAMPLES for i in range(_SAMPLES)}
        self._kept: list[Encoded] = []
        self._begin = time.monotonic()

    def keep(self, index: int, sample: dict[str, Any], labels: np.ndarray) -> None:
        """For ``on_image``: remember a few images with their labels and predictions."""
        if index not in self._chosen:
            return
        # The report knows 255 as "not judged", whatever the data set has for it.
        label = np.where(sample["label"] == self._dataset.ignore_index, 255, sample["label"])
        palette = self._dataset.palette
        self._kept += [
            (f"{index:03d}_image.jpg", encode_jpeg(read_image(sample["file"]))),
            (f"{index:03d}_label.png", encode_label_png(label, palette)),
            (f"{index:03d}_prediction.png", encode_label_png(labels, palette)),
        ]

    def write(self, result: Evaluation, about: dict[str, Any]) -> None:
        """``val.json``, ``val_config.yml`` and ``val_samples``."""
        kept = [each for of_one in parallel.gather(self._kept, self._ranks) for each in of_one]
        if self._folder is None or self._ranks.number != 0:
            return
        shutil.rmtree(self._folder / "val_samples", ignore_errors=True)  # of an earlier evaluation
        write_all(self._folder / "val_samples", kept)
        record = {
            **result.as_dict(),
            "dataset": self._cfg.val_dataset["type"],
            "dataset_folder": Path(self._cfg.val_dataset.get("dataset_root") or "").name or None,
            **about,
            "expected": self._cfg.test_config.get("expected"),
            "processes": self._ranks.count,
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "elapsed_s": time.monotonic() - self._begin,
        }
        write_json(self._folder / "val.json", record)
        self._cfg.save(self._folder / "val_config.yml")


def _validation_data(cfg: Config, **changes: Any) -> Any:
    if not cfg.val_dataset:
        raise ValueError("the configuration has no val_dataset to evaluate on")
    changed = Config({**cfg.data, "val_dataset": {**cfg.val_dataset, **changes}})
    return build.dataset(changed if changes else cfg, "val")


def _described(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for the record: scales and flip, and of the others what is used."""
    unused = {"flip_vertical": False, "window": None, "batch_size": 1}
    described = {name: value for name, value in settings.items() if name not in unused or value != unused[name]}
    described["scales"] = list(settings["scales"])
    if (window := described.pop("window", None)) is not None:
        described |= {"crop_size": list(window.crop_wh), "stride": list(window.stride_wh)}
    return described
