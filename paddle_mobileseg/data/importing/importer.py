"""Import: read the labels, draw them, write the data set."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from paddle_mobileseg.data.importing import formats, output, recipe
from paddle_mobileseg.data.importing.class_table import check_count, palette_of, read_rows
from paddle_mobileseg.data.importing.sources import IGNORED, Item, Source, check_matches, read_picture
from paddle_mobileseg.data.importing.splits import Split, divide
from paddle_mobileseg.data.importing.summary import Part, Summary
from paddle_mobileseg.data.palette import default_palette, write_label_png
from paddle_mobileseg.progress import progress

BACKGROUNDS = ("class", "ignore")


@dataclass(frozen=True)
class ImportOptions:
    """What is imported, and how.

    Attributes:
        images: folder of images, subfolders included.
        labels: folder of masks or JSON files, or one COCO file.
        output: the folder to write: new, empty, or with ``overwrite`` an earlier import.
        format: ``"masks"``, ``"labelme"``, ``"coco"``, or None to recognise it.
        classes: names, or one text file (see :func:`.class_table.read_rows`); empty: as the labels have them.
        background: whether pixels without a shape, or of value 0 or black, are a ``"class"`` or are to ``"ignore"``.
        label_suffix: what a mask's name has behind its image's, such as ``_mask``.
        val: share of the images to validate with, 0 for none.
        val_list: text file that names the validation images.
        seed: of the division by chance.
        network: that the configuration trains.
        link: make hard links to the images in place of copies.
        skip_unmatched: leave out images without label and labels without image.
    """

    images: str | os.PathLike[str]
    labels: str | os.PathLike[str]
    output: str | os.PathLike[str]
    format: str | None = None
    classes: Sequence[str] = ()
    background: str = "class"
    label_suffix: str = ""
    val: float = 0.2
    val_list: str | os.PathLike[str] | None = None
    seed: int = 0
    network: str = "pp_mobileseg_tiny"
    link: bool = False
    overwrite: bool = False
    skip_unmatched: bool = False


def import_dataset(options: ImportOptions) -> Summary:
    """Write a data set folder from images and labels of one's own; what is written and read: docs/learn/own-data.md.

    The folder appears when it is complete. It holds images/, labels/ (8-bit palette PNGs of class indices, 255 for
    none), train.txt, val.txt and test.txt as far as there are such images, classes.txt, config.yml and import.json.

    Raises:
        ValueError, KeyError, FileNotFoundError: something in the options or the files; says what to do.
        OSError: the folder cannot be written.
    """
    from paddle_mobileseg import networks

    networks.get(options.network)
    if options.background not in BACKGROUNDS:
        raise ValueError(f"--background is {options.background!r}; expected one of {', '.join(BACKGROUNDS)}")
    images, labels, target = (Path(path).resolve() for path in (options.images, options.labels, options.output))
    output.check(target, [images, labels], options.overwrite)
    rows = read_rows(options.classes) if options.classes else []
    ignore = options.background == "ignore"
    name, source = formats.read(options.format, images, labels, rows, ignore, options.label_suffix)
    check_matches(source, options.skip_unmatched)
    check_count(source.class_names)
    palette = source.palette
    if palette is None:
        colours = palette_of(rows, source.class_names)
        palette = default_palette(len(source.class_names)) if colours is None else np.array(colours, dtype=np.uint8)
    parts, how = divide(
        source.items, options.val, options.seed, None if options.val_list is None else Path(options.val_list)
    )
    with output.new_folder(target) as folder:
        written = {
            part: _write_part(folder, part, items, source, palette, options.link) for part, items in parts.items()
        }
        notes = [*source.notes, *_left_out(source)]
        summary = Summary(target, name, source.class_names, written, how, notes, sizes=_sizes(written))
        _write_rest(folder, target, options, source, palette, parts, summary)
    return summary


def _write_part(
    folder: Path, part: str, items: Sequence[Item], source: Source, palette: np.ndarray, link: bool
) -> Part:
    """Images and labels of a part of the data set."""
    result = Part(len(source.class_names))
    for item in progress(items, len(items), f"importing {part} images"):
        picture = read_picture(item.path)
        labels = picture.upright(item.draw(picture))
        if labels.shape != picture.size_hw:
            (height, width), (label_height, label_width) = picture.size_hw, labels.shape
            raise ValueError(
                f"image and label differ in size: {item.path} is {width} x {height} (upright), "
                f"{item.label} is {label_width} x {label_height}; give the image that was labelled"
            )
        place = folder / "images" / item.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if link:
            _link(item.path, place)
        else:
            shutil.copyfile(item.path, place)
        write_label_png(folder / label_name(item.name), labels, palette)
        result.add(picture.size_hw, np.bincount(labels.ravel(), minlength=IGNORED + 1))
    return result


def label_name(image: str) -> str:
    """Where the labels of an image are, below the data set's folder."""
    return f"labels/{PurePosixPath(image).with_suffix('.png')}"


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        raise OSError(
            f"cannot link {source} into {target.parent}: {error.strerror}; leave out --link to copy"
        ) from error


def _write_rest(
    folder: Path,
    target: Path,
    options: ImportOptions,
    source: Source,
    palette: np.ndarray,
    parts: Split,
    summary: Summary,
) -> None:
    """Lists, classes, configuration, record."""
    from paddle_mobileseg.config import load_config

    spaced = any(character.isspace() for item in source.items for character in item.name)
    separator = "\t" if spaced else " "
    for part, items in parts.items():
        lines = [f"images/{item.name}{separator}{label_name(item.name)}\n" for item in items]
        (folder / f"{part}.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "classes.txt").write_text("".join(f"{line}\n" for line in source.table), encoding="utf-8")
    train = summary.parts["train"]
    text = recipe.config_text(
        str(target),
        options.network,
        source.class_names,
        palette,
        summary.sizes,
        train.images,
        "val" in parts,
        separator,
    )
    (folder / "config.yml").write_text(text, encoding="utf-8")
    load_config(folder / "config.yml")
    output.write_record(folder, _record(options, summary))


def _record(options: ImportOptions, summary: Summary) -> dict[str, Any]:
    return {
        "images": str(options.images),
        "labels": str(options.labels),
        "format": summary.format,
        "background": options.background,
        "seed": options.seed,
        "network": options.network,
        "classes": summary.class_names,
        "parts": {name: part.images for name, part in summary.parts.items()},
    }


def _left_out(source: Source) -> list[str]:
    counts = {"image(s) without a label": source.without_label, "label(s) without an image": source.without_image}
    return [f"left out: {len(names)} {what}" for what, names in counts.items() if names]


def _sizes(parts: dict[str, Part]) -> recipe.Sizes:
    return recipe.sizes_for([size for name in ("train", "val") if name in parts for size in parts[name].sizes_hw])
