"""What the commands share: how one is declared, and the arguments and steps that several have."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

EXIT_USER_ERROR = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, [], ()) else super()._get_help_string(action)


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, needs_paddle: bool = True
) -> Any:
    """A parser for the command ``name``, which calls ``run``; with ``--device`` where Paddle is needed."""
    parser = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
    parser.set_defaults(run=run, needs_paddle=needs_paddle)
    if needs_paddle:
        parser.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU where there is one")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def config_arguments(parser: Any, required: bool) -> None:
    """What :func:`read_config` reads."""
    parser.add_argument("--config", required=required, help="YAML file (default: the checkpoint's own configuration)")
    parser.add_argument("--data_root", help="folder of the data set, in place of the configuration's")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY=VALUE", help="change values, such as model.num_classes=11"
    )


def inference_arguments(parser: Any, switch: str) -> None:
    """What :func:`augmentation` reads; ``switch`` turns scales and flips on."""
    parser.add_argument(f"--{switch}", action="store_true", dest="augmented", help="use --scales and --flip_*")
    parser.add_argument("--scales", nargs="+", type=float, default=[1.0], help="scales to average over")
    parser.add_argument("--flip_horizontal", action="store_true", help="average with the mirrored image")
    parser.add_argument("--flip_vertical", action="store_true", help="average with the image upside down")
    parser.add_argument("--is_slide", action="store_true", help="look at the image through a sliding window")
    parser.add_argument("--crop_size", nargs=2, type=int, metavar=("W", "H"), help="size of the window")
    parser.add_argument("--stride", nargs=2, type=int, metavar=("W", "H"), help="from one window to the next")
    parser.add_argument("--batch_size", type=int, help="images at a time, those of equal size together (1)")


def augmentation(args: argparse.Namespace, section: dict[str, Any]) -> dict[str, Any]:
    """``scales``, ``flip``, ``flip_vertical``, ``window`` and ``batch_size`` as asked for; what is not there is for the
    configuration's ``test_config``, ``section``, to decide."""
    from paddle_mobileseg.engine.inference import SlidingWindow

    settings: dict[str, Any] = {}
    if any(scale <= 0 for scale in args.scales):
        raise ValueError(f"--scales is {args.scales}; expected numbers above 0")
    if args.augmented:
        settings = {"scales": args.scales, "flip": args.flip_horizontal, "flip_vertical": args.flip_vertical}
    if args.is_slide:
        sizes = [tuple(getattr(args, name) or section.get(name) or ()) for name in ("crop_size", "stride")]
        if not all(sizes):
            raise ValueError("--is_slide needs --crop_size W H and --stride W H")
        settings["window"] = SlidingWindow(*sizes)
    elif args.crop_size or args.stride:
        raise ValueError("--crop_size and --stride are those of the sliding window; add --is_slide")
    if args.batch_size is not None:
        if args.batch_size < 1:
            raise ValueError(f"--batch_size is {args.batch_size}; expected a whole number of at least 1")
        settings["batch_size"] = args.batch_size
    return settings


def read_config(args: argparse.Namespace, **changes: Any) -> Any:
    """The configuration of --config with --data_root, --opts and changes applied."""
    from paddle_mobileseg.config import load_config

    return obey_device(args, load_config(args.config, overrides=args.opts, data_root=args.data_root, **changes))


def open_checkpoint(args: argparse.Namespace) -> Any:
    """The model of --model_path with --config, --data_root and --opts applied."""
    from paddle_mobileseg.engine.opening import open_model

    if args.config is not None:
        return open_model(args.model_path, read_config(args))
    checkpoint = open_model(args.model_path)
    if args.data_root is not None or args.opts:
        checkpoint = dataclasses.replace(checkpoint, config=checkpoint.config.with_changes(args.opts, args.data_root))
    obey_device(args, checkpoint.config)
    return checkpoint


def obey_device(args: argparse.Namespace, cfg: Any) -> Any:
    """The configuration, its ``device`` chosen unless --device says another; ``gpu`` there means where there is one."""
    if args.device is None and cfg.device == "cpu":
        use_device("cpu")
    return cfg


def use_device(name: str | None) -> None:
    """Let Paddle compute on ``cpu`` or ``gpu``; ``None`` leaves it to Paddle."""
    import paddle

    if name == "gpu" and not paddle.is_compiled_with_cuda():
        raise ValueError("--device gpu needs a GPU build of PaddlePaddle; the one installed is for CPUs")
    if name is not None:
        paddle.set_device(name)
