"""The commands about data sets: ``scenes``, ``import-dataset`` and ``check-dataset``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from paddle_mobileseg.cli.common import EXIT_USER_ERROR, command, config_arguments, read_config


def add_scenes(commands: Any) -> None:
    parser = command(commands, "scenes", _scenes, "write a data set of synthetic street scenes", False)
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--train", type=int, default=240, help="training images")
    parser.add_argument("--val", type=int, default=40, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other scenes")


def _scenes(args: argparse.Namespace) -> None:
    from paddle_mobileseg.data.synthetic import write_dataset

    write_dataset(args.output, train=args.train, val=args.val, seed=args.seed)
    print(f"scenes are in {args.output}")


def add_import_dataset(commands: Any) -> None:
    text = "make a data set with a configuration from images and masks, LabelMe or COCO labels of your own"
    parser = command(commands, "import-dataset", _import_dataset, text)
    parser.add_argument("--images", required=True, help="folder of images, subfolders included")
    parser.add_argument("--labels", required=True, help="folder of masks or JSON files, or one COCO file")
    parser.add_argument("--output", required=True, help="folder to write: new or empty")
    parser.add_argument("--format", choices=("masks", "labelme", "coco"), help="of the labels; else recognised")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="NAME",
        help="the classes' names, or one text file with a 'name' or 'name red green blue' a line; else as found",
    )
    parser.add_argument(
        "--background",
        choices=("class", "ignore"),
        default="class",
        help="what pixels without a shape, or of value 0 or black, are: a class, or to ignore",
    )
    parser.add_argument("--label_suffix", default="", help="what a mask's name has behind the image's, such as _mask")
    parser.add_argument("--val", type=float, default=0.2, help="share of the images to validate with; 0: none")
    parser.add_argument("--val_list", help="text file that names the validation images, one a line")
    parser.add_argument("--seed", type=int, default=0, help="another number chooses other validation images")
    parser.add_argument("--network", default="pp_mobileseg_tiny", help="to train (see mobileseg models)")
    parser.add_argument("--link", action="store_true", help="hard links to the images in place of copies")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier import")
    parser.add_argument(
        "--skip_unmatched", action="store_true", help="leave out images without label and labels without image"
    )


def _import_dataset(args: argparse.Namespace) -> None:
    from paddle_mobileseg.data.importing import ImportOptions, import_dataset

    chosen = {field.name: getattr(args, field.name) for field in dataclasses.fields(ImportOptions)}
    print(import_dataset(ImportOptions(**chosen)).text())


def add_check_dataset(commands: Any) -> None:
    parser = command(commands, "check-dataset", _check_dataset, "read all images and labels and say what is wrong")
    config_arguments(parser, required=True)
    parser.add_argument("--save_dir", default="output/dataset_check", help="folder for check.json and check.html")
    parser.add_argument(
        "--splits", nargs="+", choices=("train", "val", "test"), help="parts to check (default: train and val)"
    )
    parser.add_argument("--num_workers", type=int, help="processes that read (default: one for each core)")


def _check_dataset(args: argparse.Namespace) -> int:
    from paddle_mobileseg.config import build
    from paddle_mobileseg.data.check import Split, check_dataset
    from paddle_mobileseg.data.check.run import names_problem, opening_problem
    from paddle_mobileseg.data.check.summary import summary
    from paddle_mobileseg.data.datasets import read_class_names
    from paddle_mobileseg.data.file_lists import missing_files_allowed
    from paddle_mobileseg.files import make_output_folder
    from paddle_mobileseg.report.dataset_page import write_page

    cfg = read_config(args)
    folder = make_output_folder(args.save_dir)
    chosen = dict.fromkeys(args.splits or [name for name in ("train", "val") if f"{name}_dataset" in cfg.data])
    splits, problems = [], []
    for name in chosen:
        try:
            with missing_files_allowed():
                splits.append(Split.of(name, build.dataset(cfg, name)))
        except Exception as error:  # what PaddleSeg's classes raise for a bad list
            problems.append(opening_problem(name, error))
    root = cfg.train_dataset.get("dataset_root")
    if root is not None and Path(root).is_dir():
        problems += names_problem(root, read_class_names(Path(root)), cfg.num_classes)
    checked = check_dataset(splits, problems, args.num_workers, cfg.batch_size, cfg.loss["coef"])
    print(summary(checked))
    checked.save(folder / "check.json", args.command_line)
    subtitle = ", ".join(filter(None, (cfg.train_dataset["type"], root)))
    write_page(checked, folder / "check.html", args.command_line, subtitle)
    print(f"details: {folder / 'check.html'}, {folder / 'check.json'}")
    return EXIT_USER_ERROR if checked.count("error") else 0
