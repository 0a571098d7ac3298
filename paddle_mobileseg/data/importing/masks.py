"""Labels that are images of their own: class indices, colours, or black and white."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paddle_mobileseg.data.importing import mask_values
from paddle_mobileseg.data.importing.class_table import BACKGROUND, Row, distinct_names, palette_of
from paddle_mobileseg.data.importing.sources import (
    IGNORED,
    Item,
    Picture,
    Source,
    by_stem,
    find_files,
    first,
    part_of_name,
)
from paddle_mobileseg.data.reading import IMAGE_SUFFIXES, read_image, read_label
from paddle_mobileseg.progress import progress

if TYPE_CHECKING:
    from PIL import Image

MAX_FOUND_COLOURS = 64
_LOSSY = (".jpg", ".jpeg")
_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class _Meaning:
    """What the masks of a folder say: the classes, and how a mask becomes labels.

    Attributes:
        table: lines to give as ``--classes`` for the same masks.
    """

    names: list[str]
    palette: np.ndarray | None
    table: list[str]
    notes: list[str]
    read: Callable[[Path], np.ndarray]


@dataclass(frozen=True)
class _Seen:
    """What one mask holds; ``values`` is None where it has other colours than grey ones."""

    path: Path
    values: set[int] | None
    colours: set[int]
    palette: np.ndarray | None


def read_masks(
    images: Path, labels: Path, rows: Sequence[Row] = (), ignore_background: bool = False, label_suffix: str = ""
) -> Source:
    """Pair images and masks of the same name, and find out what the masks say.

    Masks are read by colour where ``rows`` have colours, where a mask has colours other than grey without a palette,
    and where palettes contradict one another; otherwise by value.

    Args:
        rows: the classes; empty: as the masks have them.
        ignore_background: the background (value 0, black) gets no class.
        label_suffix: what a mask's name has behind the image's.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a mask that cannot be read or understood; names the file and what to do.
    """
    files, masks = _pair(images, labels, label_suffix)
    pairs = {name: labels / masks[stem] for stem, name in files.items() if stem in masks}
    lossy = next((path for path in pairs.values() if path.suffix.lower() in _LOSSY), None)
    if lossy is not None:
        raise ValueError(f"{lossy}: JPEG changes the values of pixels, so that it cannot hold labels; save it as PNG")
    without_label = [name for stem, name in files.items() if stem not in masks]
    without_image = [name for stem, name in masks.items() if stem not in files]
    if not pairs:
        return Source([], [], without_label=without_label, without_image=without_image)
    if any(row.colour for row in rows):
        meaning = _coloured(list(rows), ignore_background)
    else:
        meaning = _found_meaning(list(pairs.values()), rows, ignore_background)

    def draw(path: Path, _: Picture) -> np.ndarray:
        return meaning.read(path)

    items = [
        Item(name, images / name, functools.partial(draw, path), path, part_of_name(name))
        for name, path in pairs.items()
    ]
    return Source(
        items, meaning.names, meaning.palette, meaning.table, without_label, without_image, notes=meaning.notes
    )


def _pair(images: Path, labels: Path, label_suffix: str) -> tuple[dict[str, str], dict[str, str]]:
    """Names of images and of masks by what they have in common."""
    if images == labels and not label_suffix:
        raise ValueError(
            f"{images} is given for both images and masks; put them into two folders, or say with --label_suffix what "
            "the masks' names have behind the images' (such as _mask)"
        )
    masks = by_stem(find_files(labels, IMAGE_SUFFIXES, leave_out=images), labels, label_suffix)
    names = find_files(images, IMAGE_SUFFIXES, leave_out=labels)
    if images == labels:
        names = [name for name in names if name not in masks.values()]
    return by_stem(names, images), masks


def _found_meaning(paths: list[Path], rows: Sequence[Row], ignore_background: bool) -> _Meaning:
    """Look into every mask."""
    seen = [_look(path) for path in progress(paths, len(paths), "looking at masks")]
    palettes = [(each.values, each.palette) for each in seen if each.values is not None and each.palette is not None]
    contradicting = mask_values.contradict(palettes)
    if contradicting or any(each.values is None for each in seen):
        notes = ["the masks' palettes contradict one another: read by colour"] if contradicting else []
        if rows:
            raise ValueError(
                f"the masks are told apart by colour, but --classes has no colours; give each class one, such as "
                f"'{rows[0].name} 128 64 128' a line (without --classes the colours found become the classes)"
            )
        return _coloured(_found_rows(seen), ignore_background, notes)
    values = set[int]().union(*(each.values or set() for each in seen))
    classes = mask_values.classes(values, rows, ignore_background)
    palette = palettes[0][1] if len(palettes) == len(seen) else None
    table = classes.table

    def read(path: Path) -> np.ndarray:
        found = _values(path)
        assert found is not None  # it was so when all were looked at
        return table[found]

    return _Meaning(
        classes.names, classes.colours(palette), [row.name for row in rows] or classes.names, classes.notes, read
    )


def _look(path: Path) -> _Seen:
    values = _values(path)
    if values is None:
        return _Seen(path, None, set(_different(_codes(read_image(path)))), None)
    present = _different(values)
    if present[-1] > 255:
        raise ValueError(
            f"{path}: values up to {present[-1]}; labels are from 0 to 255. Are these numbers of objects, or colours?"
        )
    palette = _palette(path)
    colours = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1) if palette is None else palette
    return _Seen(path, set(present), set(_codes(colours[None])[0][present].tolist()), palette)


def _values(path: Path) -> np.ndarray | None:
    """The values [H, W] of a mask with one channel, or with three equal ones; None for other colours."""
    with _opened(path) as image:
        one_channel = image.mode in ("1", "L", "P", "I") or image.mode.startswith("I;")
    if one_channel:
        return read_label(path)
    red, green, blue = np.moveaxis(read_image(path), 2, 0)
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else None


def _opened(path: Path) -> Image.Image:
    from PIL import Image

    try:
        return Image.open(path)
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and others on damaged headers
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path}: corrupt or truncated mask: {error}") from error


def _palette(path: Path) -> np.ndarray | None:
    """uint8 [256, 3] of a palette image, black where its palette ends; None for others."""
    with _opened(path) as image:
        listed = image.getpalette("RGB") if image.mode == "P" else None
    if listed is None:
        return None
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(listed) // 3] = np.reshape(listed, (-1, 3))
    return palette


def _found_rows(seen: list[_Seen]) -> list[Row]:
    """The colours of all masks as classes: black is background, the others are called after their values."""
    colours = sorted(set[int]().union(*(each.colours for each in seen)))
    if len(colours) > MAX_FOUND_COLOURS:
        most = max(seen, key=lambda each: len(each.colours))
        raise ValueError(
            f"the masks have {len(colours)} colours, {len(most.colours)} of them in {most.path}; are edges smoothed, "
            "or was it JPEG once? Give the classes' colours with --classes (a file with 'name red green blue' a line)"
        )
    rows = [Row("rgb_{}_{}_{}".format(*colour), colour) for colour in map(_colour, colours)]
    return [Row(BACKGROUND, _BLACK) if row.colour == _BLACK else row for row in rows]


def _coloured(rows: list[Row], ignore_background: bool, notes: Sequence[str] = ()) -> _Meaning:
    """Masks whose colours are the classes'."""
    if ignore_background:
        if not any(row.is_background or row.colour == _BLACK for row in rows):
            rows = [*rows, Row("ignore", _BLACK)]
        rows = [Row("ignore", row.colour) if row.is_background else row for row in rows]
    names = distinct_names(rows)
    coded = sorted((_code(row), IGNORED if row.is_ignored else names.index(row.name)) for row in rows)
    codes = np.array([code for code, _ in coded], dtype=np.int32)
    labels = np.array([label for _, label in coded]).astype(np.uint8)
    table = ["{} {} {} {}".format(row.name, *(row.colour or _BLACK)) for row in rows]
    palette = palette_of(rows, names)

    def read(path: Path) -> np.ndarray:
        found = _codes(read_image(path))
        place = np.minimum(np.searchsorted(codes, found), len(codes) - 1)
        wrong = codes[place] != found
        if wrong.any():
            unknown = [str(_colour(code)) for code in _different(found[wrong])]
            raise ValueError(
                f"{path}: {int(wrong.sum())} pixels have colours of no class: {first(unknown)}. Add them to --classes "
                "('ignore red green blue' leaves them out), or repair the mask: edges must not be smoothed. "
                "Masks of class indices want --classes without colours"
            )
        return labels[place]

    return _Meaning(names, None if palette is None else np.array(palette, dtype=np.uint8), table, list(notes), read)


def _different(values: np.ndarray) -> list[int]:
    """The values that occur, sorted."""
    flat = values.ravel()
    if flat.dtype == np.uint8:
        return np.flatnonzero(np.bincount(flat, minlength=256)).tolist()
    changes = np.flatnonzero(flat[1:] != flat[:-1])  # few: labels come in areas
    return np.unique(flat[np.concatenate([[0], changes + 1])]).tolist()


def _codes(rgb: np.ndarray) -> np.ndarray:
    """Colours uint8 [H, W, 3] as one number each, int32 [H, W]."""
    wide = rgb.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _code(row: Row) -> int:
    red, green, blue = row.colour or _BLACK
    return red << 16 | green << 8 | blue


def _colour(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255
