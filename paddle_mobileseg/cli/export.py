"""What follows a training: the commands ``export``, ``benchmark`` and ``report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paddle_mobileseg.cli.common import command, config_arguments, open_checkpoint


def add_export(commands: Any) -> None:
    parser = command(
        commands, "export", _export, "export a network to a bundle and prove that it gives the same labels"
    )
    config_arguments(parser, required=False)
    parser.add_argument("--model_path", required=True, help="checkpoint folder, or weights: file, URL or name")
    parser.add_argument("--save_dir", default="output/inference_model", help="bundle folder to write")
    parser.add_argument(
        "--output_op", choices=("none", "softmax", "argmax", "vim"), default="argmax", help="what the graph gives"
    )
    parser.add_argument("--input_shape", nargs="+", type=int, help="N C H W, -1 for any (default: -1 3 -1 -1)")
    parser.add_argument(
        "--formats", nargs="+", choices=("paddle", "onnx"), default=["paddle", "onnx"], help="files to write"
    )
    parser.add_argument("--calib_data", help="images for the parity check (default: those stored with the checkpoint)")


def _export(args: argparse.Namespace) -> None:
    from paddle_mobileseg.data.reading import read_image
    from paddle_mobileseg.engine.predictor import find_images
    from paddle_mobileseg.export import export_checkpoint

    images = [read_image(f.path) for f in find_images(args.calib_data)[:8]] if args.calib_data else None
    bundle = export_checkpoint(
        open_checkpoint(args),
        args.save_dir,
        output_op=args.output_op,
        input_shape=args.input_shape,
        formats=args.formats,
        calib_images=images,
        command=args.command_line,
    )
    print(bundle.summary())


def add_benchmark(commands: Any) -> None:
    parser = command(commands, "benchmark", _benchmark, "measure the latency of a bundle on this machine", False)
    parser.add_argument("--bundle", required=True, help="bundle folder")
    parser.add_argument("--output", help="JSON file to write (default: latency.json in the bundle)")
    parser.add_argument("--backends", nargs="+", help="paddle, onnxruntime (default: every one that is installed)")
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="numbers of threads to measure with")
    parser.add_argument("--warmup", type=int, default=3, help="runs before the measured ones")
    parser.add_argument("--repeats", type=int, default=20, help="measured runs")


def _benchmark(args: argparse.Namespace) -> None:
    from paddle_mobileseg.benchmark import benchmark_bundle

    print(
        benchmark_bundle(
            args.bundle, args.output, args.backends, args.threads, args.warmup, args.repeats, command=args.command_line
        )
    )


def add_report(commands: Any) -> None:
    parser = command(commands, "report", _report, "write one HTML page on a run", False)
    parser.add_argument("--run", required=True, dest="run_dir", help="folder that training wrote (--save_dir)")
    parser.add_argument("--bundle", nargs="*", default=[], help="bundle folders")
    parser.add_argument("--latency", help="JSON file that benchmark wrote")
    parser.add_argument("--output", default="report.html", help="HTML file to write")


def _report(args: argparse.Namespace) -> None:
    from paddle_mobileseg.report import write_report

    path = write_report(
        Path(args.run_dir),
        Path(args.output),
        bundle_dirs=[Path(b) for b in args.bundle],
        latency_json=Path(args.latency) if args.latency else None,
    )
    print(f"report: {path}")
