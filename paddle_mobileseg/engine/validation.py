"""The command ``val``: evaluate a checkpoint and keep scores and a few predictions for the report."""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.config import build
from paddle_mobileseg.data.palette import write_label_png
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine.checkpoint import Checkpoint
from paddle_mobileseg.engine.evaluator import Evaluation, eval_settings, evaluate
from paddle_mobileseg.engine.opening import build_network
from paddle_mobileseg.engine.predictor import write_jpeg
from paddle_mobileseg.files import make_output_folder, write_json

_SAMPLES = 6


def validate(
    checkpoint: Checkpoint,
    save_dir: str | Path | None = None,
    scales: Sequence[float] | None = None,
    flip: bool | None = None,
    num_workers: int = 0,
    command: str = "",
) -> Evaluation:
    """Evaluate a checkpoint on its configuration's validation data.

    Args:
        checkpoint: what to evaluate.
        save_dir: receives ``val.json``, ``val_config.yml`` and, of a few images, ``val_samples/NNN_image.jpg``,
            ``NNN_label.png`` and ``NNN_prediction.png``; ``None`` writes nothing.
        scales: factors of the input size to average over; by default as the configuration's ``test_config`` says.
        flip: also average with the mirrored image; by default likewise.
        num_workers: processes that read images.
        command: the command line, for the record.

    Raises:
        ValueError, FileNotFoundError: no validation data, or a file of it cannot be used.
    """
    if not checkpoint.config.val_dataset:
        raise ValueError("the configuration has no val_dataset to evaluate on")
    settings = eval_settings(checkpoint.config)
    scales = settings["scales"] if scales is None else scales
    flip = settings["flip"] if flip is None else flip
    dataset = build.dataset(checkpoint.config, "val")
    network = build_network(checkpoint)
    folder = None if save_dir is None else make_output_folder(save_dir)
    if folder is not None:
        shutil.rmtree(folder / "val_samples", ignore_errors=True)  # of an earlier evaluation
    chosen = {i * len(dataset) // _SAMPLES for i in range(_SAMPLES)}

    def keep(index: int, sample: dict[str, Any], labels: np.ndarray) -> None:
        if folder is None or index not in chosen:
            return
        name = folder / "val_samples" / f"{index:03d}"
        # The report knows 255 as "not judged", whatever the data set has for it.
        label = np.where(sample["label"] == dataset.ignore_index, 255, sample["label"])
        write_jpeg(Path(f"{name}_image.jpg"), read_image(sample["file"]))
        write_label_png(Path(f"{name}_label.png"), label, dataset.palette)
        write_label_png(Path(f"{name}_prediction.png"), labels, dataset.palette)

    begin = time.monotonic()
    result = evaluate(network, dataset, scales, flip, num_workers, keep)
    if folder is not None:
        record = {
            **result.as_dict(),
            **_origin(checkpoint),
            "eval": {"flip": flip, "scales": list(scales)},
            "command": command,
            "elapsed_s": time.monotonic() - begin,
        }
        write_json(folder / "val.json", record)
        checkpoint.config.save(folder / "val_config.yml")
    return result


def _origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """What was evaluated on what, and when."""
    return {
        "dataset": checkpoint.config.val_dataset["type"],
        "checkpoint_sha256": checkpoint.sha256,
        "iter": checkpoint.iteration,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }
