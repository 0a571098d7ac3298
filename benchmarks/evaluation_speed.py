"""Evaluation against PaddleSeg's: what is not the network, a whole evaluation, and an exported file's.

The two sides take turns, the first to go changing every time, so that whatever else the machine does hits both; the
ratio is that of the medians, and above 1 ours is the faster. Both have the same number of threads. Processor time is
that of the process: it says more where others use the cores too. PaddleSeg's metrics are patched as far as they need
to run on Paddle 3: sums of whole arrays are 0-D there, and it concatenates them.

The first rows are what is not the network: in PaddleSeg from its output to the areas of intersection and union, here
from the logits before its last upsampling to the confusion matrix. That upsampling is PaddleSeg's network's own matter,
so it is counted once on our side only, and once on both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from paddle_mobileseg import machine, networks
from paddle_mobileseg.cpu import import_paddle, keep_freed_memory, use_all_cores

STRIDE = 8  # of the logits before the last upsampling
IMAGES = 4


class OneDimensionalSums:
    """Paddle, but that the sum of a whole array has one dimension."""

    def __getattr__(self, name: str) -> Any:
        import paddle

        return getattr(paddle, name)

    @staticmethod
    def sum(x: Any) -> Any:
        import paddle

        return paddle.sum(x).reshape([1])


def medians_ms(sides: Sequence[Callable[[], Any]], turns: int) -> list[tuple[float, float]]:
    """Median clock and processor time of each, after one turn that is not counted."""
    times: list[list[tuple[float, float]]] = [[] for _ in sides]
    for turn in range(1 + turns):
        for i in (0, 1) if turn % 2 else (1, 0):
            begin = time.perf_counter(), time.process_time()
            sides[i]()
            if turn:
                times[i].append((1000 * (time.perf_counter() - begin[0]), 1000 * (time.process_time() - begin[1])))
    return [(median(clock for clock, _ in taken), median(busy for _, busy in taken)) for taken in times]


def without_network(
    size_hw: tuple[int, int], classes: int, input_share: float, from_small: bool
) -> list[Callable[[], Any]]:
    """PaddleSeg's and our way from logits of an input of ``input_share`` of the image's size to counts.

    With ``from_small`` PaddleSeg's side makes its network's last upsampling too, as ours always does.
    """
    import paddle
    import paddle.nn.functional as F
    from paddleseg.core.infer import reverse_transform
    from paddleseg.utils.metrics import calculate_area

    from paddle_mobileseg.engine.upsampling import Axis, LogitMap, best_classes
    from paddle_mobileseg.metrics import ConfusionMatrix

    random = np.random.default_rng(0)
    input_hw = [int(side * input_share) for side in size_hw]
    low = random.normal(size=(1, classes, *(max(side // STRIDE, 1) for side in input_hw))).astype(np.float32)
    small = paddle.to_tensor(low)
    large = F.interpolate(small, input_hw, mode="bilinear")
    label = random.integers(0, classes, size_hw).astype(np.uint8)
    trans_info = [] if input_share == 1 else [("resize", size_hw)]
    found: dict[str, Any] = {}

    def theirs() -> None:
        logits = F.interpolate(small, input_hw, mode="bilinear") if from_small else large
        restored = reverse_transform(logits, trans_info, mode="bilinear")
        predicted = paddle.argmax(restored, axis=1, keepdim=True, dtype="int32")
        areas = calculate_area(predicted, paddle.to_tensor(label[None, None]).astype("int64"), classes)
        found["theirs"] = [each.numpy() for each in areas]

    def ours() -> None:
        rows, columns = (
            Axis(own).resize(side).resize(whole)
            for own, side, whole in zip(low.shape[2:], input_hw, size_hw, strict=True)
        )
        confusion = ConfusionMatrix(classes)
        confusion.update(best_classes([LogitMap(low[0], rows, columns)], size_hw), label)
        found["ours"] = [confusion.matrix.diagonal(), confusion.matrix.sum(0), confusion.matrix.sum(1)]

    ours()
    theirs()
    apart = sum(int(np.abs(a - b).sum()) for a, b in zip(found["ours"], found["theirs"], strict=True))
    assert apart <= 6 * size_hw[0] * size_hw[1] / 1e6, f"counts differ by {apart}"
    return [theirs, ours]


def write_images(folder: Path, size_hw: tuple[int, int], classes: int) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    lines = []
    for number in range(IMAGES):
        coarse = random.integers(0, 255, (size_hw[0] // 16 + 1, size_hw[1] // 16 + 1, 3), np.uint8)
        image = np.kron(coarse, np.ones((16, 16, 1), np.uint8))[: size_hw[0], : size_hw[1]]
        label = random.integers(0, classes, size_hw, np.uint8)
        for name, array in (("image", image), ("label", label)):
            Image.fromarray(array).save(folder / f"{name}{number}.png", compress_level=1)
        lines.append(f"image{number}.png label{number}.png")
    (folder / "val.txt").write_text("\n".join(lines))


def configuration(folder: Path, name: str, classes: int) -> Any:
    from paddle_mobileseg.config import Config

    data = {
        "type": "Dataset",
        "dataset_root": str(folder),
        "num_classes": classes,
        "transforms": [{"type": "Normalize"}],
    }
    logits = networks.get(name).build(classes).num_train_logits
    return Config.from_dict(
        {
            "batch_size": 1,
            "iters": 1,
            "train_dataset": {**data, "mode": "train", "train_path": "val.txt"},
            "val_dataset": {**data, "mode": "val"},
            "model": {**networks.get(name).model, "num_classes": classes},
            "optimizer": {"type": "Momentum", "momentum": 0.9},
            "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
            "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1] * logits},
        }
    )


def whole(
    folder: Path, name: str, classes: int, size_hw: tuple[int, int], threads: int
) -> tuple[list[Callable[[], Any]], list[Callable[[], Any]]]:
    """PaddleSeg's evaluate of PaddleSeg's network beside ours of our network, and beside ours of the exported file."""
    import paddle
    from paddleseg.core import evaluate as their_evaluate
    from paddleseg.datasets import Dataset as TheirDataset
    from paddleseg.transforms import Normalize as TheirNormalize

    from paddle_mobileseg.config import build
    from paddle_mobileseg.data.reading import read_image
    from paddle_mobileseg.engine import evaluate
    from paddle_mobileseg.engine.opening import build_network, open_model
    from paddle_mobileseg.engine.validation import validate_bundle
    from paddle_mobileseg.export import export_checkpoint
    from paddle_mobileseg.runtime import Session

    cfg = configuration(folder, name, classes)
    paddle.seed(0)
    upstream = networks.get(name).build_paddleseg(classes)
    paddle.save(networks.get(name).build(classes).state_dict(), str(folder / "model.pdparams"))
    checkpoint = open_model(folder / "model.pdparams", cfg)
    upstream.set_state_dict(paddle.load(str(folder / "model.pdparams")))
    network = build_network(checkpoint)
    images = [read_image(folder / "image0.png")]
    bundle = export_checkpoint(
        checkpoint, folder / "bundle", input_shape=[1, 3, *size_hw], formats=["onnx"], calib_images=images
    )
    session = Session(bundle.folder, "onnxruntime", threads)
    theirs = TheirDataset("val", str(folder), [TheirNormalize()], classes, val_path=str(folder / "val.txt"))
    ours = build.dataset(cfg, "val")

    def theirs_run() -> None:
        their_evaluate(upstream, theirs, print_detail=False)

    return [theirs_run, lambda: evaluate(network, ours)], [theirs_run, lambda: validate_bundle(session, cfg)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=["mobileseg_mobilenetv3", "pp_mobileseg_tiny"], metavar="NAME")
    parser.add_argument("--turns", type=int, default=5, help="measured runs of each side")
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 2048), help="height and width of the images")
    args = parser.parse_args()
    use_all_cores()
    keep_freed_memory()
    import_paddle()
    from paddleseg.utils import logger, metrics

    metrics.paddle = OneDimensionalSums()
    logger.log_level = 1
    size_hw = (args.size[0], args.size[1])
    threads = int(os.environ["OMP_NUM_THREADS"])
    about = machine.describe()
    versions = ", ".join(f"{name} {about['packages'][name]}" for name in ("paddlepaddle", "paddleseg", "onnxruntime"))
    print(f"{about['cpu']}, {about['logical_cores']} cores, threads {threads}, Python {about['python']}, {versions}")
    print(f"{date.today()}, images of {size_hw[1]}x{size_hw[0]}, medians of {args.turns}\n")
    print("| what | clock: PaddleSeg ms | ours ms | ratio | processor: PaddleSeg ms | ours ms | ratio |")
    print("|---|---|---|---|---|---|---|")

    def row(what: str, sides: list[Callable[[], Any]]) -> None:
        cells = [
            f"{theirs:.0f} | {ours:.0f} | {theirs / ours:.1f}"
            for theirs, ours in zip(*medians_ms(sides, args.turns), strict=True)
        ]
        print(f"| {what} | {' | '.join(cells)} |", flush=True)

    for classes in (19, 150):
        for share, text in ((0.5, "network at half the size"), (1.0, "network at the image's size")):
            row(f"{classes} classes, {text}", without_network(size_hw, classes, share, False))
            row("the same, last upsampling on both sides", without_network(size_hw, classes, share, True))
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder), size_hw, 19)
            dygraph, exported = whole(Path(folder), name, 19, size_hw, threads)
            title = networks.get(name).title
            row(f"`val`, {title}, {IMAGES} images", dygraph)
            row(f"`val --backend onnxruntime`, {title}, {IMAGES} images", exported)


if __name__ == "__main__":
    main()
