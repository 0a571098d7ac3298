"""``mobileseg weights list | get | convert``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

if TYPE_CHECKING:
    from paddle_mobileseg.weights.catalog import Entry

_SCORES = ("miou", "miou_flip", "miou_ms_flip")


def add_commands(commands: Any, command: Callable[..., Any]) -> None:
    """Add the commands to a subparser.

    Args:
        commands: what ``add_subparsers`` gave.
        command: adds one: (commands, name, function, help, needs_paddle) to its parser.
    """
    parser = command(commands, "list", _list, "list the published weights", False)
    parser.add_argument("--network", help="only those of this network or backbone")
    parser.add_argument("--dataset", help="only those trained on this data set")
    parser.add_argument("--kind", help="only whole networks (segmentation) or backbones (backbone)")
    parser.add_argument("--json", action="store_true", help="everything that is known of them, as JSON")
    parser = command(commands, "get", _get, "download published weights and print where they are", False)
    parser.add_argument("name", help="name in the list, or https address")
    parser.add_argument("--output", help="copy the file to this path or into this folder")
    parser = command(commands, "convert", _convert, "write weights of another layout as .pdparams")
    parser.add_argument("file", help="a .pth, .pdparams or archive: path, address, or name in the list")
    parser.add_argument("--output", required=True, help=".pdparams file to write")
    parser.add_argument("--network", help="network or backbone (default: the one whose tensors the file has)")


def _list(args: argparse.Namespace) -> None:
    from paddle_mobileseg import tables

    chosen = _chosen(args)
    if args.json:
        known = [{**dataclasses.asdict(e), "path": str(e.path), "here": e.path.is_file()} for e in chosen]
        print(json.dumps(known, indent=1))
        return
    rows: list[tuple[str, ...]] = [("name", "of", "data set", "classes", "mIoU", "flip", "ms+flip", "container", "")]
    for entry in chosen:
        state = "here" if entry.path.is_file() else "by hand" if entry.by_hand else ""
        scores = [f"{entry.metrics[name]:.2f}" if name in entry.metrics else "-" for name in _SCORES]
        classes = str(entry.num_classes)
        rows.append((entry.name, entry.owner, entry.dataset, classes, *scores, entry.container, state))
    print(tables.plain(rows))


def _chosen(args: argparse.Namespace) -> list[Entry]:
    """The entries that fit all filters."""
    from paddle_mobileseg.config.checks import one_of
    from paddle_mobileseg.weights import catalog

    chosen = list(catalog.entries().values())
    for flag, attribute in (("network", "owner"), ("dataset", "dataset"), ("kind", "kind")):
        wanted = getattr(args, flag)
        if wanted is not None:
            one_of(wanted, f"--{flag}", sorted({getattr(each, attribute) for each in catalog.entries().values()}))
            chosen = [each for each in chosen if getattr(each, attribute) == wanted]
    return chosen


def _get(args: argparse.Namespace) -> None:
    from paddle_mobileseg.files import atomic_path
    from paddle_mobileseg.weights import catalog
    from paddle_mobileseg.weights.sources import fetch_entry, locate

    if args.name.startswith(("http://", "https://")):
        path, name = locate(args.name), Path(urlparse(args.name).path).name
    else:
        entry = catalog.get(args.name)
        path, name = fetch_entry(entry), f"{entry.name}.{entry.container}"
    if args.output is not None:
        target = Path(args.output)
        target = target / name if target.is_dir() else target
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
        path = target
    print(path)


def _convert(args: argparse.Namespace) -> None:
    from paddle_mobileseg.weights.convert import convert

    print(convert(args.file, args.output, args.network).summary())
    print(f"written to {args.output}")
