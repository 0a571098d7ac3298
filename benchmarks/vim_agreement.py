"""How VIM's labels differ from those of full interpolation, and when it pays.

Every validation image goes through a trained network once; both kinds of labels are made from the same logits, at the
size that the validation transforms give, and compared with each other and with the true labels there. Then both exports
run in ONNX Runtime on one image, taking turns, the first to go changing every time; the ratio is that of the medians,
and above 1 VIM is the faster.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from paddle_mobileseg import machine
from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.preprocess import resize_nearest
from paddle_mobileseg.engine.opening import build_network, open_model
from paddle_mobileseg.export.fold import folded
from paddle_mobileseg.export.onnx_convert import ONNX_FILE, convert
from paddle_mobileseg.export.parity import class_boundary
from paddle_mobileseg.export.static import DeployNetwork, GraphSpec, save_static
from paddle_mobileseg.layers import valid_interpolate
from paddle_mobileseg.metrics.confusion import ConfusionMatrix
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend


class Comparison:
    """Sums over images."""

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        self.present: list[int] = []
        self.changed_images = self.pixels = self.changed = self.boundary = self.changed_at_boundary = 0
        self.scores = {name: ConfusionMatrix(num_classes, ignore_index) for name in ("full", "vim")}

    def add(self, low: paddle.Tensor, size_hw: list[int], align_corners: bool, truth: np.ndarray) -> None:
        """Logits ``[1, C, h, w]`` and true labels ``[H, W]`` of any size."""
        up = F.interpolate(low, size_hw, mode="bilinear", align_corners=align_corners)
        full = up.argmax(1).numpy().astype(np.int32)
        vim = valid_interpolate(low, size_hw, align_corners).numpy()
        changed, boundary = full != vim, class_boundary(full)
        self.present.append(len(np.unique(low.argmax(1).numpy())))
        self.changed_images += bool(changed.any())
        self.pixels += full.size
        self.changed += int(changed.sum())
        self.boundary += int(boundary.sum())
        self.changed_at_boundary += int(changed[boundary].sum())
        truth = resize_nearest(truth, *size_hw)
        for name, labels in (("full", full), ("vim", vim)):
            self.scores[name].update(labels[0], truth)

    def rows(self) -> list[tuple[str, str]]:
        """What the table shows."""
        miou = {name: matrix.scores().miou for name, matrix in self.scores.items()}
        return [
            ("images", str(len(self.present))),
            (
                "classes present: least, median, most",
                f"{min(self.present)}, {median(self.present):g}, {max(self.present)}",
            ),
            ("same label, all pixels", f"{1 - self.changed / self.pixels:.6%}"),
            ("same label, pixels at class boundaries", f"{1 - self.changed_at_boundary / max(self.boundary, 1):.6%}"),
            (
                "pixels that differ, of them at boundaries",
                f"{self.changed} of {self.pixels}, {self.changed_at_boundary}",
            ),
            ("images with any difference", str(self.changed_images)),
            ("mIoU, full interpolation", f"{miou['full']:.6f}"),
            ("mIoU, VIM", f"{miou['vim']:.6f}"),
        ]


def time_both(network: Any, x: np.ndarray, rounds: int, threads: int) -> dict[str, float]:
    """Median milliseconds of ``argmax`` and ``vim`` in ONNX Runtime."""
    runners = {}
    with tempfile.TemporaryDirectory() as temporary:
        for output_op in ("argmax", "vim"):
            folder = Path(temporary) / output_op
            folder.mkdir()
            spec = GraphSpec(output_op, x.shape)
            files = save_static(DeployNetwork(folded(network), spec), folder, spec)
            convert(*(folder / name for name in files), folder / ONNX_FILE)
            runners[output_op] = OnnxRuntimeBackend([folder / ONNX_FILE], threads)
    times: dict[str, list[float]] = {name: [] for name in runners}
    for i in range(rounds + 1):
        for name in sorted(runners, reverse=bool(i % 2)):
            start = time.perf_counter()
            runners[name].run(x)
            if i:  # the first is a warm-up
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: median(values) for name, values in times.items()}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_path", required=True, help="a checkpoint of `mobileseg train`, or a .pdparams file")
    parser.add_argument("--config", help="with a .pdparams file: the YAML that it was trained with")
    parser.add_argument("--data_root", help="of the validation data, in place of the configuration's")
    parser.add_argument("--images", type=int, default=0, help="how many; 0: all")
    parser.add_argument("--rounds", type=int, default=30, help="of timing; 0: none")
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime")
    args = parser.parse_args()
    checkpoint = open_model(args.model_path, load_config(args.config) if args.config else None)
    config = checkpoint.config
    spec = {**config.val_dataset, **({"dataset_root": args.data_root} if args.data_root else {})}
    dataset = build.component(spec)
    network = build_network(checkpoint)
    align_corners = getattr(network, "align_corners", False)
    comparison = Comparison(config.num_classes, checkpoint.ignore_index)
    x = np.empty(0)
    for i in range(min(args.images or len(dataset), len(dataset))):
        sample = dataset[i]
        x = sample["img"][None]
        with paddle.no_grad():
            low = network.low_logits(paddle.to_tensor(x))
        comparison.add(low, list(x.shape[2:]), align_corners, np.squeeze(sample["label"]))
    rows = comparison.rows()
    if args.rounds:
        times = time_both(network, x, args.rounds, args.threads)
        ratio = times["argmax"] / times["vim"]
        rows.append(
            (f"ONNX Runtime, {args.threads} thread(s), ms: argmax, vim", f"{times['argmax']:.1f}, {times['vim']:.1f}")
        )
        rows.append(("time of argmax over vim", f"{ratio:.2f}"))
    about, versions = machine.describe(), machine.package_versions()
    shown = {name: versions.get(name) for name in ("paddlepaddle", "onnxruntime", "numpy")}
    size = "x".join(str(n) for n in x.shape[2:])
    print(f"{config.model['type']}, {config.num_classes} classes, {size}; {about['cpu']}; {shown}; {date.today()}\n")
    print("| what | value |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
