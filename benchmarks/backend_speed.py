"""Labels of our exported networks on each CPU backend, against PaddleSeg's own export in Paddle Inference.

For each network the same random weights go into PaddleSeg's classes and into ours. PaddleSeg's side is what its export
writes for `--output_op argmax` (logits at the input's size, then arg-max) and runs in Paddle Inference with default
settings; where Paddle's default, oneDNN, cannot run that graph, without oneDNN. All take turns of one image on the same
input, and the processor time of all threads and of Paddle Lite's process counts: other work on the machine hardly moves
it. A ratio above 1 is faster than PaddleSeg's.

With 150 classes, 15 occur in the labels: those that win most pixels; 1000 is taken from the classifier's bias of the
others. That changes nothing for the baseline, and is what VIM is for. Networks with fewer classes are left as they are.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from paddle_mobileseg import machine, networks
from paddle_mobileseg.cpu import import_paddle

os.environ.setdefault("OMP_NUM_THREADS", "1")
import_paddle()
import paddle  # noqa: E402
from paddle import Tensor, nn  # noqa: E402

from paddle_mobileseg.export import onnx_convert  # noqa: E402
from paddle_mobileseg.export.fold import folded  # noqa: E402
from paddle_mobileseg.export.static import GRAPH, WEIGHTS, DeployNetwork, GraphSpec  # noqa: E402
from paddle_mobileseg.export.targets import TARGETS, Graphs  # noqa: E402
from paddle_mobileseg.runtime import lite_environment  # noqa: E402
from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend  # noqa: E402
from paddle_mobileseg.runtime.paddle_backend import PaddleBackend  # noqa: E402

Run = Callable[[np.ndarray], np.ndarray]
BASELINE = "PaddleSeg"
REFERENCE = "ORT full"
COLUMNS = ["Paddle", "Paddle oneDNN", "ORT full", "ORT argmax", "ORT vim", "Lite argmax", "Lite vim"]
MANY_CLASSES, PRESENT = 150, 15


class FullLabels(nn.Layer):
    """Arg-max of a network's logits at the input's size, as PaddleSeg exports it."""

    def __init__(self, network: nn.Layer) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return paddle.argmax(self.network(x)[0], axis=1, dtype="int32")


def save(network: nn.Layer, folder: Path, shape: list[int]) -> list[Path]:
    """The Paddle graph of ``FullLabels``."""
    folder.mkdir()
    full = FullLabels(network)
    full.eval()
    spec = paddle.static.InputSpec(shape, "float32", "x")
    paddle.jit.save(paddle.jit.to_static(full, input_spec=[spec], full_graph=True), str(folder / "model"))
    return [folder / GRAPH, folder / WEIGHTS]


def default_inference(files: list[Path]) -> Run:
    """Paddle Inference with nothing set but that one thread computes."""
    import paddle.inference

    config = paddle.inference.Config(*map(str, files))
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(1)
    predictor = paddle.inference.create_predictor(config)
    given = predictor.get_input_handle(predictor.get_input_names()[0])
    made = predictor.get_output_handle(predictor.get_output_names()[0])

    def run(x: np.ndarray) -> np.ndarray:
        given.reshape(x.shape)
        given.copy_from_cpu(x)
        predictor.run()
        return made.copy_to_cpu()

    return run


def baseline(files: list[Path], x: np.ndarray) -> Run:
    try:
        run = default_inference(files)
        run(x)
    except (RuntimeError, ValueError, OSError):  # the default of Paddle 3.3.1 cannot run interpolation
        return PaddleBackend(files, 1, onednn=False).run
    return run


def image(height: int, width: int) -> np.ndarray:
    """``[1, 3, height, width]`` of squares in random colours, so that several classes come out."""
    colours = 2 * np.random.default_rng(1).normal(size=(1, 3, height // 24 + 1, width // 24 + 1))
    return np.kron(colours, np.ones((1, 1, 24, 24)))[:, :, :height, :width].astype(np.float32)


def build(name: str, x: np.ndarray) -> tuple[nn.Layer, nn.Layer]:
    """Our network and PaddleSeg's, with the same weights, in eval mode."""
    record = networks.get(name)
    paddle.seed(0)
    ours, theirs = record.build(), record.build_paddleseg()
    ours.eval()
    if record.num_classes == MANY_CLASSES:
        with paddle.no_grad():
            labels = ours(paddle.to_tensor(x))[0].argmax(1).numpy()
        counts = np.bincount(labels.ravel(), minlength=MANY_CLASSES)
        absent = np.argsort(-counts, kind="stable")[PRESENT:]
        classifiers = [each for each in ours.sublayers() if isinstance(each, nn.Conv2D) and each.bias is not None]
        bias = classifiers[-1].bias
        assert bias.shape == [MANY_CLASSES]
        lowered = bias.numpy()
        lowered[absent] -= 1000
        bias.set_value(lowered)
    theirs.set_state_dict(ours.state_dict())
    theirs.eval()
    return ours, theirs


def write(network: nn.Layer, folder: Path, shape: list[int], output_op: str, target: str) -> list[Path]:
    """A target's files, as `mobileseg export` writes them."""
    for each in (folder, folder / "work"):
        each.mkdir(parents=True)
    spec = GraphSpec(output_op, shape)
    deploy = DeployNetwork(network, spec)
    deploy.eval()
    written = TARGETS[target].write(Graphs(deploy, spec, folder / "work"), folder)
    return [folder / each for each in written.files]


def runners(name: str, folder: Path, x: np.ndarray) -> dict[str, Run]:
    """What runs the network, by column."""
    shape = list(x.shape)
    ours, theirs = build(name, x)
    ours = folded(ours)
    runs: dict[str, Run] = {BASELINE: baseline(save(theirs, folder / "theirs", shape), x)}
    files = write(ours, folder / "paddle", shape, "argmax", "paddle")
    runs["Paddle"] = PaddleBackend(files, 1, onednn=False).run
    runs["Paddle oneDNN"] = PaddleBackend(files, 1).run
    graph, weights = save(ours, folder / "full", shape)
    onnx_convert.convert(graph, weights, folder / "full" / "model.onnx")
    runs["ORT full"] = OnnxRuntimeBackend([folder / "full" / "model.onnx"], 1).run
    for output_op in ("argmax", "vim"):
        onnx = write(ours, folder / f"onnx_{output_op}", shape, output_op, "onnx")
        runs[f"ORT {output_op}"] = OnnxRuntimeBackend(onnx, 1).run
        if lite_environment.find() is not None:
            from paddle_mobileseg.runtime.lite_backend import LiteBackend

            lite = write(ours, folder / f"lite_{output_op}", shape, output_op, "lite-x86")
            runs[f"Lite {output_op}"] = LiteBackend(lite, 1).run
    return runs


def processor_s() -> float:
    """Processor time of this process and, on Linux, of its running children."""
    seconds = time.process_time()
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            seconds += time.clock_gettime(~int(pid) << 3 | 2)  # the clock of another process, see clock_getcpuclockid
    return seconds


def measure(runs: dict[str, Run], x: np.ndarray, turns: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Median milliseconds of each, and its labels."""
    labels = {column: run(x) for column, run in runs.items()}
    spent: dict[str, list[float]] = {column: [] for column in runs}
    for _ in range(turns):
        for column, run in runs.items():
            begin = processor_s()
            run(x)
            spent[column].append(1000 * (processor_s() - begin))
    return {column: median(times) for column, times in spent.items()}, labels


def check(name: str, labels: dict[str, np.ndarray]) -> None:
    """All of ours but VIM, which is defined otherwise, give the same labels.

    PaddleSeg's are not compared: its PP-MobileSeg has another gate (see backbones/strideformer.py).
    """
    for column in set(labels) - {BASELINE, REFERENCE, "ORT vim", "Lite vim"}:
        agreement = np.mean(labels[column] == labels[REFERENCE])
        if agreement < 0.999:
            raise AssertionError(f"{name}: {column} has {agreement:.2%} of the labels of {REFERENCE}")


def row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NAME", default=networks.names(), help="default: all")
    parser.add_argument("--turns", type=int, default=7, help="measured images of each")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), help="height and width")
    args = parser.parse_args()
    about = machine.describe()
    names = ("paddlepaddle", "paddleseg", "onnxruntime", "paddle2onnx", "numpy")
    versions = ", ".join(f"{name} {about['packages'].get(name, '-')}" for name in names)
    lite = lite_environment.find()
    versions += f", paddlelite {lite.version if lite else '-'}"
    print(f"{about['cpu']}, {about['logical_cores']} cores, Python {about['python']}, {versions}, {date.today()}")
    print(f"{args.size[1]}x{args.size[0]}, one thread, {args.turns} turns, load average {os.getloadavg()[0]:.1f}\n")
    x = image(*args.size)
    print(row("network", "classes present", f"{BASELINE} ms", *COLUMNS, "vim against full: ORT, Lite"))
    print("|" + "---|" * (len(COLUMNS) + 4))
    milliseconds = []
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            spent, labels = measure(runners(name, Path(folder), x), x, args.turns)
        check(name, labels)
        ratios = [f"{spent[BASELINE] / spent[c]:.1f}" if c in spent else "-" for c in COLUMNS]
        record = networks.get(name)
        present = f"{len(np.unique(labels[REFERENCE]))} of {record.num_classes}"
        saved = [
            f"{spent[a] / spent[b]:.1f}"
            for a, b in (("ORT full", "ORT vim"), ("Lite argmax", "Lite vim"))
            if b in spent
        ]
        print(row(record.title, present, round(spent[BASELINE]), *ratios, ", ".join(saved)), flush=True)
        milliseconds.append(row(record.title, *(round(spent[c]) if c in spent else "-" for c in [BASELINE, *COLUMNS])))
    print("\n" + row("ms", BASELINE, *COLUMNS) + "\n|" + "---|" * (len(COLUMNS) + 2))
    print("\n".join(milliseconds))


if __name__ == "__main__":
    main()
