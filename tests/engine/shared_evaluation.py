"""What the test of sharing runs in one process and, as a script, in several: ``CHECKPOINT FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from paddle_mobileseg.config import build
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.engine import evaluate, load_checkpoint, parallel, predict
from paddle_mobileseg.engine.opening import build_network, val_transforms
from paddle_mobileseg.engine.parallel import Ranks
from paddle_mobileseg.engine.predictor import ImageFile


class StoppedError(Exception):
    """Raised in one process."""


def shared_evaluation(checkpoint_dir: Path, folder: Path, ranks: Ranks) -> dict[str, Any]:
    """Evaluate and predict on 1 to 5 images and on 15, then fail in several ways."""
    checkpoint = load_checkpoint(checkpoint_dir)
    network = build_network(checkpoint)
    preprocess = Preprocess.from_transforms(val_transforms(checkpoint.config))
    dataset = build.dataset(checkpoint.config, "val")
    files = list(dataset.file_list)
    found: dict[str, Any] = {"seen": {}}
    for count in (1, 2, 3, 4, 5, 15):
        dataset.file_list = (files * 3)[:count]
        seen: list[int] = []
        result = evaluate(
            network,
            dataset,
            batch_size=1 + count % 2,
            ranks=ranks,
            on_image=lambda index, sample, labels, seen=seen: seen.append(index),
        )
        found["seen"][str(count)] = seen
        images = [ImageFile(Path(path), f"{number}") for number, (path, _) in enumerate(dataset.file_list)]
        images[count // 2] = ImageFile(folder / "gone.jpg", "gone")
        failures = predict(
            network, preprocess, images, folder / str(count), checkpoint.palette, batch_size=2, ranks=ranks
        )
        found[str(count)] = {**result.as_dict(), "failures": failures}
    found["errors"] = [_error(network, dataset, files, ranks, case) for case in ("corrupt", "stopped", "interrupted")]
    return found


def _error(network: Any, dataset: Any, files: list[Any], ranks: Ranks, case: str) -> str:
    dataset.file_list = files * 3
    if case == "corrupt":
        dataset.file_list[13] = (__file__, files[0][1])

    def on_image(index: int, sample: dict[str, Any], labels: np.ndarray) -> None:
        if index == 13:
            raise StoppedError("enough") if case == "stopped" else KeyboardInterrupt

    try:
        evaluate(network, dataset, ranks=ranks, on_image=on_image)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "none"


if __name__ == "__main__":
    joined = parallel.join()
    output = Path(sys.argv[2])
    content = shared_evaluation(Path(sys.argv[1]), output, joined)
    (output / f"rank{joined.number}.json").write_text(json.dumps(content))
