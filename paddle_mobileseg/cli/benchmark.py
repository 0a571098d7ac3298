"""Measuring and what follows from it: ``benchmark``, ``import-benchmark``, ``compare``, ``choose`` and ``report``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.cli.common import command

_PRESETS = ("quick", "paddle-lite", "mlperf", "trtexec")
_OTHER_TOOLS = ("paddle-lite", "trtexec", "litert", "ncnn", "onnxruntime", "mobileseg-run")
RECORDS = "output/records"
_DEVICE_COOLDOWN_S = 60.0


def add_benchmark(commands: Any) -> None:
    parser = command(commands, "benchmark", _benchmark, "measure bundles on backends and devices", False)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bundle", nargs="+", type=Path, metavar="DIR", help="bundle folders")
    what.add_argument(
        "--networks", nargs="+", metavar="NAME", help="networks of `mobileseg models`, or all; exported first"
    )
    parser.add_argument(
        "--image_size", nargs=2, type=int, metavar=("H", "W"), help="with --networks: default is the recipe's"
    )
    parser.add_argument(
        "--output_op", choices=("none", "argmax", "vim"), help="with --networks: what graphs give (argmax)"
    )
    parser.add_argument(
        "--bundles_dir", type=Path, default=Path("output/bundles"), help="with --networks: where bundles are kept"
    )
    parser.add_argument("--backends", nargs="+", help="such as onnxruntime lite (default: every one that works here)")
    parser.add_argument("--backend_options", nargs="+", default=[], metavar="KEY=VALUE", help="such as onednn=false")
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="numbers of threads to measure with")
    parser.add_argument("--device", default="local", help="local, adb, adb:SERIAL or ssh:[USER@]HOST[:PORT]")
    parser.add_argument("--runner", type=Path, help="for devices: mobileseg_lite_run, or a folder with its libraries")
    parser.add_argument("--preset", choices=_PRESETS, default="quick", help="protocol (docs/learn/benchmark.md)")
    parser.add_argument("--warmup", type=int, help="runs before the measured ones, in place of the preset's")
    parser.add_argument("--repeats", type=int, help="least number of measured runs, in place of the preset's")
    parser.add_argument("--min_seconds", type=float, help="least duration of the measured runs, likewise")
    parser.add_argument("--cooldown_s", type=float, help="longest wait before a measurement (0; on devices 60)")
    parser.add_argument("--images", type=Path, help="image or folder to measure with (default: the bundle's own)")
    parser.add_argument(
        "--frame_size", nargs=2, type=int, metavar=("W", "H"), help="camera size of whole frames (default: the images')"
    )
    parser.add_argument("--affinity", nargs="+", type=int, metavar="CORE", help="cores that may be used")
    parser.add_argument("--power_mode", help="Paddle Lite's, on devices: high, low, full, no_bind")
    parser.add_argument("--profile", action="store_true", help="also time per operator, and work per layer (CSV)")
    parser.add_argument(
        "--accuracy", nargs="+", type=Path, default=[], metavar="VAL_JSON", help="scores that `mobileseg val` wrote"
    )
    parser.add_argument("--no_samples", action="store_true", help="no pictures beside the records")
    parser.add_argument("--interleave", action="store_true", help="bundles take turns, for a comparison")
    parser.add_argument("--resume", action="store_true", help="leave out what --output has a valid record of")
    parser.add_argument("--output", type=Path, default=Path(RECORDS), help="folder of the records")


def _benchmark(args: argparse.Namespace) -> int:
    from paddle_mobileseg.benchmark import planning, sweep
    from paddle_mobileseg.benchmark.protocol import protocol
    from paddle_mobileseg.files import make_output_folder

    if args.runner is not None and args.device == "local":
        raise ValueError("--runner is for devices; on this machine the variable MOBILESEG_ARM_RUNNER names one")
    cooldown = _DEVICE_COOLDOWN_S if args.cooldown_s is None and args.device != "local" else args.cooldown_s
    how = protocol(
        args.preset, warmup_runs=args.warmup, min_runs=args.repeats, min_s=args.min_seconds, cooldown_s=cooldown
    )
    which: dict[str, Any] = {
        "options": _options(args.backend_options),
        "affinity": tuple(args.affinity) if args.affinity else None,
        "power_mode": args.power_mode,
        "images": args.images,
        "frame_hw": tuple(args.frame_size[::-1]) if args.frame_size else None,
        "profile": args.profile,
    }
    failed: list[planning.Failed] = []
    if args.networks:
        planning.check(args.backends, args.threads, args.device, which)  # before minutes of exports
        make_output_folder(args.output)
        bundles, failed = planning.export_networks(
            args.networks, args.image_size, args.output_op or "argmax", args.backends, args.device, args.bundles_dir
        )
    else:
        bundles = args.bundle
        for name in ("image_size", "output_op"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} is for --networks; a bundle has its own")
    plans = planning.plans(bundles, args.backends, args.threads, device=args.device, **which)
    return sweep.run(
        sweep.Sweep(
            plans,
            how,
            args.output,
            args.command_line,
            args.resume,
            args.interleave,
            args.runner,
            args.accuracy,
            not args.no_samples,
            failed,
        )
    )


def _options(words: list[str]) -> dict[str, Any]:
    """KEY=VALUE as YAML reads it."""
    options = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(f"--backend_options has {word!r}; expected KEY=VALUE such as onednn=false")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--backend_options has {word!r}; {value!r} is no value ({error})") from error
        if not _is_plain(options[key]):
            raise ValueError(
                f"--backend_options has {word!r}; expected a text, a number, true, false, or a list of them (what "
                "looks like a date needs quotes)"
            )
    return options


def _is_plain(value: Any) -> bool:
    """Whether JSON has it."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def add_import_benchmark(commands: Any) -> None:
    parser = command(
        commands, "import-benchmark", _import_benchmark, "make records of what another tool printed", False
    )
    parser.add_argument("file", type=Path, help="text that the tool printed")
    parser.add_argument("--from", dest="tool", choices=_OTHER_TOOLS, required=True, help="the tool")
    parser.add_argument("--network", help="what was measured, such as pp_mobileseg_tiny")
    parser.add_argument("--device_name", help="what it was measured on, such as 'Snapdragon 855'")
    parser.add_argument("--bundle", type=Path, help="bundle whose file was measured")
    parser.add_argument("--output", type=Path, default=Path(RECORDS), help="folder of the records")


def _import_benchmark(args: argparse.Namespace) -> None:
    from paddle_mobileseg.benchmark import importers

    written = importers.import_file(
        args.tool,
        args.file,
        network=args.network,
        device_name=args.device_name,
        bundle=args.bundle,
        output=args.output,
    )
    for path in written:
        print(f"record: {path}")


def add_compare(commands: Any) -> None:
    parser = command(commands, "compare", _compare, "faster, slower or cannot tell: records against the first", False)
    parser.add_argument("records", nargs="+", type=Path, help="records, or folders of them; the first is compared with")
    parser.add_argument("--baseline", type=Path, help="folder of records to look for regressions against")
    parser.add_argument("--max_ratio", type=float, help="with --baseline: a larger ratio is a regression (1.05)")
    parser.add_argument("--what", choices=("network", "frame"), default="network", help="the network, or whole frames")
    parser.add_argument("--json", type=Path, help="file for the result")


def _compare(args: argparse.Namespace) -> int:
    from paddle_mobileseg.benchmark import compare

    if args.baseline is None and args.max_ratio is not None:
        raise ValueError("--max_ratio is for --baseline; without one each record is compared with the first")
    max_ratio = compare.MAX_RATIO if args.max_ratio is None else args.max_ratio
    text, status = compare.run(args.records, args.baseline, max_ratio, args.json, args.what)
    print(text)
    return status


def add_choose(commands: Any) -> None:
    parser = command(commands, "choose", _choose, "the best networks for a device and a budget, from records", False)

    def add(name: str, **settings: Any) -> None:
        parser.add_argument(*dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}")), **settings)

    add("records", nargs="+", type=Path, default=[], help="records, or folders of them")
    add("device_record", type=Path, help="a record, or a folder of them, of the device to choose for")
    parser.add_argument("--device", help="the device by a part of its name, or by its fingerprint")
    add("max_latency_ms", type=float, help="the longest time")
    add("max_size_mb", type=float, help="of all files that the backend needs, 10^6 bytes")
    add("min_miou", type=float, help="least mIoU, a share from 0 to 1")
    add("classes", type=_names, default=(), help="comma between: their mean IoU counts in place of the mIoU")
    add("statistic", default="median", help="of the times: min, mean, median, p90, p95, p99, max")
    add("what", choices=("frame", "network"), default="frame", help="camera frame to labels, or the network alone")
    add("estimate", action="store_true", help="also estimate, apart, networks that were measured on other devices")
    add("json", type=Path, help="file for the result")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected names with commas between, such as person,road")
    return names


def _choose(args: argparse.Namespace) -> int:
    from paddle_mobileseg.benchmark import choose

    if not args.records and args.device_record is None:
        raise ValueError("give records to choose from: --records output/records, or --device-record FILE_OR_FOLDER")
    limits = choose.Limits(
        args.max_latency_ms, args.max_size_mb, args.min_miou, args.classes, args.statistic, args.what
    )
    text, status = choose.run(args.records, args.device_record, args.device, limits, args.estimate, args.json)
    print(text)
    return status


def add_report(commands: Any) -> None:
    parser = command(commands, "report", _report, "write one HTML page on measurements, or on a training", False)
    parser.add_argument("records", nargs="*", type=Path, help="records that benchmark wrote, or folders of them")
    parser.add_argument("--run", type=Path, dest="run_dir", help="folder that training wrote: a page on the training")
    parser.add_argument("--bundle", nargs="*", type=Path, default=[], help="with --run: bundle folders")
    parser.add_argument("--output", type=Path, default=Path("report.html"), help="HTML file to write")


def _report(args: argparse.Namespace) -> None:
    if args.run_dir is not None:
        from paddle_mobileseg.report import write_report

        path = write_report(args.run_dir, args.output, bundle_dirs=args.bundle, records=args.records)
    elif args.bundle:
        raise ValueError("--bundle is for the page on a training; give its folder with --run")
    elif not args.records:
        raise ValueError("give folders of records (mobileseg report output/records), or a training with --run")
    else:
        from paddle_mobileseg.report.benchmark_page import write_benchmark_report

        path = write_benchmark_report(args.records, args.output, args.command_line)
    print(f"report: {path}")
