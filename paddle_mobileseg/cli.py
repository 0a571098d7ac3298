"""The command ``mobileseg``. ``tools/*.py`` are the same commands under PaddleSeg's names."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paddle_mobileseg.cpu import import_paddle, keep_freed_memory, use_all_cores

EXIT_USER_ERROR = 1
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: words behind the program's name; ``sys.argv`` by default.

    Returns:
        The exit status: 0, 1 after a user's mistake or a failed check, 130 after Ctrl-C.
    """
    args = _parser().parse_args(argv)
    args.command_line = _command_line(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    use_all_cores()
    keep_freed_memory()
    try:
        if args.needs_paddle:
            import_paddle()
            _use_device(args.device)
        return args.run(args) or 0
    except KeyboardInterrupt as error:
        print(f"interrupted{': ' + str(error) if str(error) else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, KeyError, OSError, ImportError, FloatingPointError) as error:
        if args.debug:
            raise
        print(f"error: {error.args[0] if isinstance(error, KeyError) and error.args else error}", file=sys.stderr)
        return EXIT_USER_ERROR


def _command_line(words: Sequence[str]) -> str:
    """What a user types to get the same again, for the record of a run."""
    processes = os.environ.get("PADDLE_TRAINERS_NUM", "1")
    if processes == "1":
        return shlex.join(["mobileseg", *words])
    launch = ["python", "-m", "paddle.distributed.launch", "--nproc_per_node", processes]
    return shlex.join([*launch, f"tools/{words[0]}.py", *words[1:]])


def _use_device(name: str | None) -> None:
    import paddle

    if name == "gpu" and not paddle.is_compiled_with_cuda():
        raise ValueError("--device gpu needs a GPU build of PaddlePaddle; the one installed is for CPUs")
    if name is not None:
        paddle.set_device(name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mobileseg", description="Semantic segmentation for phones, with PaddlePaddle."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_scenes,
        _add_train,
        _add_val,
        _add_predict,
        _add_export,
        _add_benchmark,
        _add_report,
        _add_models,
        _add_weights,
    ):
        add(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, needs_paddle: bool = True
) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(run=run, needs_paddle=needs_paddle)
    if needs_paddle:
        parser.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU where there is one")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _config_arguments(parser: Any, required: bool) -> None:
    parser.add_argument("--config", required=required, help="YAML file (default: the checkpoint's own configuration)")
    parser.add_argument("--data_root", help="folder of the data set, in place of the configuration's")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY=VALUE", help="change values, such as model.num_classes=11"
    )


def _inference_arguments(parser: Any, switch: str) -> None:
    parser.add_argument("--model_path", required=True, help="checkpoint folder, or weights: file, URL or name")
    parser.add_argument(f"--{switch}", action="store_true", dest="augmented", help="use --scales and --flip_horizontal")
    parser.add_argument("--scales", nargs="+", type=float, default=[1.0], help="scales to average over")
    parser.add_argument("--flip_horizontal", action="store_true", help="average with the mirrored image")


def _augmentation(args: argparse.Namespace) -> dict[str, Any]:
    if any(scale <= 0 for scale in args.scales):
        raise ValueError(f"--scales is {args.scales}; expected numbers above 0")
    return {"scales": args.scales, "flip": args.flip_horizontal} if args.augmented else {}


def _load_config(args: argparse.Namespace, **changes: Any) -> Any:
    from paddle_mobileseg.config import load_config

    return _obey_device(args, load_config(args.config, overrides=args.opts, data_root=args.data_root, **changes))


def _open(args: argparse.Namespace) -> Any:
    """The model of --model_path with --config, --data_root and --opts applied."""
    from paddle_mobileseg.engine.opening import open_model

    if args.config is not None:
        return open_model(args.model_path, _load_config(args))
    checkpoint = open_model(args.model_path)
    if args.data_root is not None or args.opts:
        checkpoint = dataclasses.replace(checkpoint, config=checkpoint.config.with_changes(args.opts, args.data_root))
    _obey_device(args, checkpoint.config)
    return checkpoint


def _obey_device(args: argparse.Namespace, cfg: Any) -> Any:
    """The configuration, its ``device`` chosen unless --device says another; ``gpu`` there means where there is one."""
    if args.device is None and cfg.device == "cpu":
        _use_device("cpu")
    return cfg


# ------------------------------------------------------------------------------------------------------------ scenes
def _add_scenes(commands: Any) -> None:
    parser = _command(commands, "scenes", _scenes, "write a data set of synthetic street scenes", False)
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--train", type=int, default=240, help="training images")
    parser.add_argument("--val", type=int, default=40, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other scenes")


def _scenes(args: argparse.Namespace) -> None:
    from paddle_mobileseg.data.synthetic import write_dataset

    write_dataset(args.output, train=args.train, val=args.val, seed=args.seed)
    print(f"scenes are in {args.output}")


# ------------------------------------------------------------------------------------------------------------- train
def _add_train(commands: Any) -> None:
    parser = _command(commands, "train", _train, "train a network")
    _config_arguments(parser, required=True)
    parser.add_argument("--iters", type=int, help="iterations, in place of the configuration's")
    parser.add_argument("--batch_size", type=int, help="images a step, in place of the configuration's")
    parser.add_argument("--learning_rate", type=float, help="in place of the configuration's")
    parser.add_argument("--save_dir", help="folder for checkpoints and logs (output)")
    parser.add_argument("--save_interval", type=int, help="iterations between checkpoints (1000)")
    parser.add_argument("--keep_checkpoint_max", type=int, help="checkpoints to keep beside the best (5)")
    parser.add_argument("--log_iters", type=int, help="iterations between lines of the log (10)")
    parser.add_argument("--num_workers", type=int, help="processes that prepare batches (0)")
    parser.add_argument("--seed", type=int, help="of everything random (0)")
    parser.add_argument(
        "--do_eval", action="store_true", default=None, help="evaluate at every checkpoint and keep the best"
    )
    parser.add_argument("--use_vdl", action="store_true", default=None, help="write VisualDL logs")
    parser.add_argument("--use_ema", action="store_true", help="average the weights (decay 0.999 unless configured)")
    parser.add_argument("--resume_model", help="checkpoint folder to go on from")
    parser.add_argument(
        "--ignore_head",
        action="store_true",
        help="leave out the head's tensors of another shape in the weights of model.pretrained",
    )


def _train(args: argparse.Namespace) -> None:
    from paddle_mobileseg.engine import Trainer, TrainOptions
    from paddle_mobileseg.engine.interrupts import TrainingInterruptedError

    def given(*flags: str) -> dict[str, Any]:
        return {name: getattr(args, name) for name in flags if getattr(args, name) is not None}

    cfg = _load_config(
        args,
        iters=args.iters,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        train_config=given("save_interval", "keep_checkpoint_max", "log_iters", "num_workers", "seed", "use_vdl"),
    )
    settings = {**cfg.train_config, **given("save_dir", "do_eval", "resume_model")}
    if args.use_ema:
        settings.setdefault("ema_decay", 0.999)
    try:
        Trainer(cfg, TrainOptions(command=args.command_line, ignore_head=args.ignore_head, **settings)).run()
    except TrainingInterruptedError as stop:
        raise KeyboardInterrupt(str(stop)) from None


# --------------------------------------------------------------------------------------------------------------- val
def _add_val(commands: Any) -> None:
    parser = _command(commands, "val", _val, "evaluate a network on the validation data")
    _config_arguments(parser, required=False)
    _inference_arguments(parser, "aug_eval")
    parser.add_argument("--num_workers", type=int, help="processes that read images (0)")
    parser.add_argument("--save_dir", help="write val.json and a few predictions here")


def _val(args: argparse.Namespace) -> None:
    from paddle_mobileseg.engine.validation import validate

    checkpoint = _open(args)
    workers = checkpoint.config.test_config.get("num_workers", 0) if args.num_workers is None else args.num_workers
    result = validate(
        checkpoint,
        save_dir=args.save_dir,
        num_workers=workers,
        command=args.command_line,
        **_augmentation(args),
    )
    print(result.table())


# ----------------------------------------------------------------------------------------------------------- predict
def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", _predict, "predict labels for images")
    _config_arguments(parser, required=False)
    _inference_arguments(parser, "aug_pred")
    parser.add_argument("--image_path", required=True, help="an image, a folder, or a .txt list")
    parser.add_argument("--save_dir", default="output/result", help="output folder")


def _predict(args: argparse.Namespace) -> int:
    from paddle_mobileseg.data.preprocess import Preprocess
    from paddle_mobileseg.engine.opening import build_network, val_transforms
    from paddle_mobileseg.engine.predictor import find_images, predict
    from paddle_mobileseg.files import make_output_folder

    images = find_images(args.image_path)
    checkpoint = _open(args)
    preprocess = Preprocess.from_transforms(val_transforms(checkpoint.config))
    checkpoint.config.save(make_output_folder(args.save_dir) / "predict_config.yml")
    failures = predict(
        build_network(checkpoint), preprocess, images, args.save_dir, checkpoint.palette, **_augmentation(args)
    )
    print(f"predicted {len(images) - len(failures)} of {len(images)} images into {args.save_dir}")
    for line in failures:
        print(f"error: {line}", file=sys.stderr)
    return EXIT_USER_ERROR if failures else 0


# ------------------------------------------------------------------------------------------------------------ export
def _add_export(commands: Any) -> None:
    parser = _command(
        commands, "export", _export, "export a network to a bundle and prove that it gives the same labels"
    )
    _config_arguments(parser, required=False)
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
        _open(args),
        args.save_dir,
        output_op=args.output_op,
        input_shape=args.input_shape,
        formats=args.formats,
        calib_images=images,
        command=args.command_line,
    )
    print(bundle.summary())


# --------------------------------------------------------------------------------------------------------- benchmark
def _add_benchmark(commands: Any) -> None:
    parser = _command(commands, "benchmark", _benchmark, "measure the latency of a bundle on this machine", False)
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


# ------------------------------------------------------------------------------------------------------------ report
def _add_report(commands: Any) -> None:
    parser = _command(commands, "report", _report, "write one HTML page on a run", False)
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


# ------------------------------------------------------------------------------------------------------------ models
def _add_models(commands: Any) -> None:
    parser = _command(commands, "models", _models, "list the networks: size, work, published accuracy")
    parser.add_argument("--markdown", action="store_true", help="as the page docs/reference/networks.md")


def _models(args: argparse.Namespace) -> None:
    from paddle_mobileseg import networks, tables

    print(networks.reference_page() if args.markdown else tables.plain(networks.table()))


# ----------------------------------------------------------------------------------------------------------- weights
def _add_weights(commands: Any) -> None:
    from paddle_mobileseg.weights.commands import add_commands

    text = "published weights: list, download, convert"
    parser = commands.add_parser("weights", help=text, description=text)
    add_commands(parser.add_subparsers(metavar="COMMAND", required=True), _command)


if __name__ == "__main__":
    sys.exit(main())
