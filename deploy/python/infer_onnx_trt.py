"""TensorRT on a GPU: export to ONNX, build an engine, compare it with ONNX Runtime, time it. One line comes out.

Takes a network (--config and --model_path), a bundle (--bundle) or an ONNX file (--onnx_model_path). Nothing starts
before it is sure that TensorRT can run here; what is missing is named. Not run on a GPU yet: times are not measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

PRECISIONS = ("fp32", "fp16", "int8")
SIZE_HW = (512, 1024)  # PaddleSeg's
LEAST_AGREEMENT = 0.999  # of fp32; other precisions are measured


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_argument_group("what to run (one of: network, bundle, ONNX file)")
    source.add_argument("--config", help="YAML file of the network (default: the checkpoint's own configuration)")
    source.add_argument("--model_path", help="checkpoint folder, or weights: file, URL or name")
    source.add_argument("--bundle", help="bundle folder that has an ONNX file")
    source.add_argument("--onnx_model_path", help="ONNX file with one input and one output")
    parser.add_argument("--save_dir", default="output/tensorrt", help="bundle to write for a network (%(default)s)")
    parser.add_argument("--width", type=int, help=f"of the input (default: the graph's own, or {SIZE_HW[1]})")
    parser.add_argument("--height", type=int, help=f"of the input (default: the graph's own, or {SIZE_HW[0]})")
    parser.add_argument("--min_size", nargs=2, type=int, metavar=("W", "H"), help="least size; makes sizes dynamic")
    parser.add_argument("--max_size", nargs=2, type=int, metavar=("W", "H"), help="largest size; makes sizes dynamic")
    parser.add_argument("--output_op", choices=("none", "softmax", "argmax", "vim"), default="argmax")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the engine (%(default)s)")
    parser.add_argument("--calib_data", help="images to compare on and to calibrate int8 with, for a network")
    parser.add_argument(
        "--least_agreement", type=float, help=f"of labels; below, it fails ({LEAST_AGREEMENT} for fp32)"
    )
    parser.add_argument("--workspace_gib", type=float, default=1.0, help="GPU memory for one operator (%(default)s)")
    parser.add_argument("--cache_dir", help="folder of built engines (default: in the cache folder of the project)")
    parser.add_argument("--device_id", type=int, default=0, help="number of the GPU (%(default)s)")
    parser.add_argument("--warmup", type=int, default=50, help="runs before the timed ones (%(default)s)")
    parser.add_argument("--repeats", type=int, default=200, help="timed runs (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> None:
    """Raises:
    ValueError: arguments that contradict each other, or numbers out of range.
    """
    network = args.model_path is not None or args.config is not None
    if network + (args.bundle is not None) + (args.onnx_model_path is not None) != 1:
        raise ValueError("give one of: --config and --model_path, --bundle, --onnx_model_path")
    if network and args.model_path is None:
        raise ValueError("--config needs --model_path: the weights of the network")
    for name in ("width", "height", "repeats"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ValueError(f"--{name} is {value}; expected a whole number of at least 1")
    if args.warmup < 0:
        raise ValueError(f"--warmup is {args.warmup}; expected a whole number from 0")
    if (args.width is None) != (args.height is None):
        raise ValueError("give both --width and --height, or neither")
    if args.least_agreement is not None and not 0 <= args.least_agreement <= 1:
        raise ValueError(f"--least_agreement is {args.least_agreement}; expected a share from 0 to 1")


def lacking(args: argparse.Namespace) -> list[str]:
    """What this machine lacks for the whole way, so that no export is made in vain."""
    from paddle_mobileseg.runtime.tensorrt_backend import missing

    packages = ["onnxruntime"]
    if args.model_path is not None:
        packages += ["paddle", "paddleseg", "onnx", "paddle2onnx"]
    if args.precision != "fp32":
        packages.append("onnx")
    absent = [name for name in dict.fromkeys(packages) if importlib.util.find_spec(name) is None]
    return [f"the package {name} is not installed" for name in absent] + missing(args.device_id)


def export(args: argparse.Namespace) -> int:
    """Write the bundle with ``mobileseg export``, which proves it; its exit status."""
    from paddle_mobileseg.cli import main as mobileseg

    width, height = (args.width, args.height) if args.width is not None else SIZE_HW[::-1]
    dynamic = args.min_size is not None or args.max_size is not None
    words = ["export", "--model_path", args.model_path, "--save_dir", args.save_dir, "--formats", "onnx"]
    words += ["--output_op", args.output_op, "--input_shape", "1", "3", *(["-1", "-1"] if dynamic else [])]
    words += [] if dynamic else [str(height), str(width)]
    for name in ("config", "calib_data"):
        if getattr(args, name) is not None:
            words += [f"--{name}", getattr(args, name)]
    return mobileseg(words)


def prepared(args: argparse.Namespace, bundle_dir: str | None) -> tuple[Path, list[int], list[Any]]:
    """The ONNX file, the shape of its input (-1: any), and inputs to compare on (none for a file alone)."""
    if bundle_dir is None:
        import onnxruntime

        path = Path(args.onnx_model_path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its error classes share no base but Exception
            raise ValueError(f"ONNX Runtime cannot load {path}: {error}") from error
        return path, [n if isinstance(n, int) else -1 for n in session.get_inputs()[0].shape], []
    from paddle_mobileseg.runtime import load_bundle

    bundle = load_bundle(bundle_dir)
    files = bundle.files_of("onnxruntime")
    bundle.verify(files)
    return files[0], list(bundle.input_shape), [x for x, _ in bundle.golden()]


def shapes(args: argparse.Namespace, graph: list[int]) -> dict[str, list[int]]:
    """``min_shape``, ``opt_shape``, ``max_shape`` for a graph [N, 3, H, W] or [N, H, W, 3] and the sizes asked for."""
    if len(graph) != 4:
        raise ValueError(f"the graph's input is {graph}; expected [N, 3, H, W] or [N, H, W, 3]")
    rows = 1 if graph[3] == 3 and graph[1] != 3 else 2

    def full(size_wh: Any) -> list[int]:
        shape = [max(n, 1) for n in graph]
        shape[rows : rows + 2] = [size_wh[1], size_wh[0]]
        return shape

    own = graph[rows : rows + 2]
    best = (args.width, args.height) if args.width is not None else tuple(reversed(own if -1 not in own else SIZE_HW))
    if args.width is None and -1 in own:
        best = args.max_size or args.min_size or best
    return {
        "min_shape": full(args.min_size or best),
        "opt_shape": full(best),
        "max_shape": full(args.max_size or best),
    }


def examples(given: list[Any], shape: list[int], dtype: Any) -> list[Any]:
    """Those of the inputs that have the shape; random ones where none has."""
    import numpy as np

    fitting = [x for x in given if list(x.shape) == shape]
    if fitting:
        return fitting
    rng = np.random.default_rng(0)
    if np.dtype(dtype) == np.uint8:
        return [rng.integers(0, 256, shape).astype(np.uint8)]
    return [rng.normal(size=shape).astype(dtype)]


def compare_and_time(args: argparse.Namespace, path: Path, graph: list[int], given: list[Any]) -> tuple[str, float]:
    """The line to print, and the agreement of labels."""
    import numpy as np

    from paddle_mobileseg.runtime.onnxruntime_backend import OnnxRuntimeBackend
    from paddle_mobileseg.runtime.session import output_labels
    from paddle_mobileseg.runtime.tensorrt_backend import TensorRtBackend

    options = {name: getattr(args, name) for name in ("precision", "workspace_gib", "cache_dir", "device_id")}
    wanted = shapes(args, graph)
    calibration = given if args.precision == "int8" and given else None
    backend = TensorRtBackend([path], 1, calibration=calibration, **wanted, **options)
    reference = OnnxRuntimeBackend([path], 1)
    inputs = examples(given, wanted["opt_shape"], backend.input_dtype)
    equal = [output_labels(reference.run(x)) == output_labels(backend.run(x)) for x in inputs]
    agreement = float(np.mean(equal))
    times = []
    for i in range(args.warmup + args.repeats):
        backend.run(inputs[0])
        if i >= args.warmup:
            times.append(backend.last_gpu_ms)
    line = (
        f"{backend.describe()}, input {wanted['opt_shape']}: labels agree with ONNX Runtime on {agreement:.4%} "
        f"({len(inputs)} inputs); GPU {np.median(times):.3f} ms, 90 % below {np.percentile(times, 90):.3f} ms "
        f"(CUDA events, {args.repeats} runs after {args.warmup})"
    )
    return line, agreement


def run(args: argparse.Namespace) -> int:
    check(args)
    if problems := lacking(args):
        raise ImportError("TensorRT cannot run on this machine:\n  - " + "\n  - ".join(problems))
    if args.model_path is not None and (status := export(args)):
        return status
    path, graph, given = prepared(args, args.save_dir if args.model_path is not None else args.bundle)
    line, agreement = compare_and_time(args, path, graph, given)
    print(line)
    least = args.least_agreement
    if least is None:
        least = LEAST_AGREEMENT if args.precision == "fp32" else 0
    if agreement < least:
        raise ValueError(f"labels agree on {agreement:.4%}; needed are {least:.4%}")
    return 0


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        return run(args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, KeyError, OSError, ImportError) as error:
        if args.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
