"""What is to be checked of a data set, and what the pairs of one split add up to."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_mobileseg.data.check.findings import Item, plural
from paddle_mobileseg.data.check.pair import FEW_COLOURS, MAX_VALUES, THUMB_SIDE, ImageFacts, LabelFacts, PairFacts
from paddle_mobileseg.data.file_lists import FilePair
from paddle_mobileseg.data.palette import default_palette

EXAMPLES = 3  # images remembered for each class
_PHOTO_VALUES = 64  # a photograph has more colours or gray levels


@dataclass(frozen=True)
class Split:
    """A part of a data set and what its labels should hold.

    Attributes:
        name: train, val or test.
        pairs: (image path, label path or None).
        ignored: the value in label files that does not count; ``None`` where there is none.
        first: the value in label files of class 0 (1 for ADE20K's files).
        class_names, palette: of ``num_classes`` classes; uint8 [num_classes, 3].
        has_own_palette: the palette is not the generated one.
        transforms: the steps of training or evaluation, objects.
        changes_labels: the data set's class makes other labels of those stored, in a way that is not known here.
    """

    name: str
    pairs: Sequence[FilePair]
    class_names: Sequence[str]
    palette: np.ndarray
    ignored: int | None = 255
    first: int = 0
    has_own_palette: bool = False
    img_channels: int = 3
    transforms: Sequence[Any] = ()
    changes_labels: bool = False

    @classmethod
    def of(cls, name: str, dataset: Any) -> Split:
        """What a data set (ours or PaddleSeg's) says about itself.

        Raises:
            ValueError: it has no ``file_list`` of pairs.
        """
        pairs = getattr(dataset, "file_list", None)
        if not isinstance(pairs, list) or not all(isinstance(p, (tuple, list)) and len(p) == 2 for p in pairs):
            raise ValueError(
                f"{type(dataset).__name__} has no file_list of (image, label) paths, so its files cannot be checked"
            )
        first = getattr(dataset, "FIRST_VALUE", 0)
        generated = default_palette(dataset.num_classes)
        palette = np.asarray(getattr(dataset, "palette", generated))
        names = getattr(dataset, "class_names", [f"class {number}" for number in range(dataset.num_classes)])
        return cls(
            name,
            [(str(image), None if label is None else str(label)) for image, label in pairs],
            [str(each) for each in names],
            palette,
            ignored=0 if first == 1 else getattr(dataset, "ignore_index", 255),
            first=first,
            has_own_palette=not np.array_equal(palette, generated),
            img_channels=getattr(dataset, "img_channels", 3),
            transforms=getattr(getattr(dataset, "transforms", None), "transforms", ()),
            changes_labels=_changes_labels(dataset),
        )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def class_of(self, value: int) -> int | None:
        """The class that a stored value means; ``None`` for any other value, the ignored one among them."""
        return value - self.first if self.first <= value < self.first + self.num_classes else None

    @property
    def allowed(self) -> str:
        """The values that labels may hold, in words."""
        ignored = "" if self.ignored is None else f" and {self.ignored} (ignored)"
        return f"{self.first} to {self.first + self.num_classes - 1}{ignored}"


def _changes_labels(dataset: Any) -> bool:
    """PaddleSeg's classes that read labels by code of their own: some map 0/255 to 0/1 and the like."""
    cls = type(dataset)
    if not cls.__module__.startswith("paddleseg."):
        return False
    from paddleseg.datasets.dataset import Dataset

    return cls.__getitem__ is not Dataset.__getitem__


class Survey:
    """Sums over the pairs of a split; about 1.2 kB an image, whatever its size.

    Attributes:
        split: what is checked.
        read: images that could be read.
        labelled: labels that could be read as class indices.
        found: by code, an item for each file concerned.
        class_pixels, class_images: pixels, and labels with at least one, of each class; int64 [num_classes].
        pixels_where_present: sum of the pixels with a class in the labels that have this class; int64 [num_classes].
        ignored_pixels, wrong_pixels: pixels of the ignored value, and of values that are no class.
        value_pixels, value_labels: by value as stored, pixels and labels.
        sizes: images by (width, height).
        modes: images by Pillow's mode.
        examples: for each class up to ``EXAMPLES`` indices of pairs, one of each part of the list, with its pixels.
        colours: pixels by colour of labels that are colour images; ``colour_masks`` of them.
        index_colours: by index, the colours that palette files show it in, with the first such pair.
    """

    def __init__(self, split: Split) -> None:
        self.split = split
        self.read = self.labelled = self.colour_masks = self.gray_masks = 0
        self.found: defaultdict[str, list[Item]] = defaultdict(list)
        self.class_pixels, self.class_images, self.pixels_where_present = np.zeros((3, split.num_classes), np.int64)
        self.ignored_pixels = self.wrong_pixels = 0
        self.value_pixels: Counter[int] = Counter()
        self.value_labels: Counter[int] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.modes: Counter[str] = Counter()
        self.examples: list[dict[int, tuple[int, int]]] = [{} for _ in range(split.num_classes)]
        self.colours: Counter[int] = Counter()
        self.index_colours: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self.indices = array("q")  # of the images that were read; the next three go with it
        self.thumbs = bytearray()
        self.digests: list[bytes] = []
        self.label_digests: list[bytes] = []

    def add(self, index: int, facts: PairFacts) -> None:
        """Take in the pair at ``index``."""
        image, label = facts.image, facts.label
        self._add_image(index, image)
        self.label_digests += [label.digest if label is not None else b""] if not image.problem else []
        if label is None:
            return
        if label.missing or (label.problem and not label.is_colour):
            code = "file-missing" if label.missing else "label-unreadable"
            self._report(code, index, label.problem, image=False)
            return
        if not image.problem and image.size != label.size:
            self._report("size-mismatch", index, _size_text(image, label))
        if self._looks_exchanged(image, label):
            many = "more than " if label.has_more_values else ""
            count = min(len(label.values), MAX_VALUES)
            detail = f"the image has {plural(image.colours, 'colour')}, the label {many}{count:,}"
            self._report("swapped", index, detail)
            return
        if label.is_colour:
            self._add_colours(index, label)
        else:
            self._add_values(index, label)

    def fingerprints(self) -> tuple[np.ndarray, np.ndarray]:
        """(indices int64 [n], thumbnails uint8 [n, side, side]) of the images that were read."""
        thumbs = np.frombuffer(bytes(self.thumbs), np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)
        return np.array(self.indices, dtype=np.int64), thumbs

    def item(self, index: int, detail: str = "", image: bool = True, label: bool = True) -> Item:
        """The files of a pair."""
        paths = self.split.pairs[index]
        return Item(paths[0] if image else None, paths[1] if label else None, detail)

    def _report(self, code: str, index: int, detail: str = "", image: bool = True, label: bool = True) -> None:
        self.found[code].append(self.item(index, detail, image, label))

    def _add_image(self, index: int, image: ImageFacts) -> None:
        if image.problem:
            self._report("file-missing" if image.missing else "image-unreadable", index, image.problem, label=False)
            return
        self.read += 1
        self.sizes[image.size] += 1
        self.modes[image.mode] += 1
        self.indices.append(index)
        self.digests.append(image.digest)
        self.thumbs += image.thumb
        if image.colours == 1:
            self._report("image-blank", index, "all pixels are equal", label=False)
        if image.gray:
            self._report("image-gray", index, f"stored as {image.mode}", label=False)
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
            self._report("image-alpha", index, f"stored as {image.mode}", label=False)
        if image.mode.startswith("I"):
            self._report("image-16-bit", index, f"brightest sample {image.brightest} of 255 as read", label=False)
            if image.brightest < FEW_COLOURS // 4:
                self._report("image-dark", index, f"brightest sample {image.brightest} of 255 as read", label=False)
        if image.orientation != 1:
            self._report("image-exif", index, f"EXIF orientation {image.orientation}", label=False)

    def _looks_exchanged(self, image: ImageFacts, label: LabelFacts) -> bool:
        """The image has as few colours as a label map, the label as many as a photograph."""
        few = max(self.split.num_classes + 2, 16)
        return not image.problem and image.colours <= few and len(label.values) > max(4 * few, _PHOTO_VALUES)

    def _add_colours(self, index: int, label: LabelFacts) -> None:
        many = "more than " if label.has_more_values else ""
        count = min(len(label.values), MAX_VALUES)
        self._report("label-colours", index, f"{label.mode}, {many}{count:,} colours", image=False)
        self.colour_masks += 1
        self.gray_masks += all(c >> 16 == c & 255 == c >> 8 & 255 for c in label.values)
        self.colours.update(label.values)
        if len(self.colours) > 2 * MAX_VALUES:
            self.colours = Counter(dict(self.colours.most_common(MAX_VALUES)))

    def _add_values(self, index: int, label: LabelFacts) -> None:
        split = self.split
        self.labelled += 1
        if label.format in ("JPEG", "MPO"):
            self._report("label-lossy", index, f"stored as {label.format}", image=False)
        wrong, classes = {}, {}
        for value, pixels in label.values.items():
            number = split.class_of(value)
            if value == split.ignored:
                self.ignored_pixels += pixels
            elif number is None:
                wrong[value] = pixels
            else:
                classes[number] = pixels
        counted = sum(classes.values())
        for number, pixels in classes.items():
            self.class_pixels[number] += pixels
            self.class_images[number] += 1
            self.pixels_where_present[number] += counted
            self._remember(number, index, pixels)
        self._count_values(index, label, wrong)
        if not classes and not wrong:
            self._report("label-ignored", index, f"all pixels are {split.ignored}", image=False)

    def _count_values(self, index: int, label: LabelFacts, wrong: dict[int, int]) -> None:
        self.value_pixels.update(label.values)
        self.value_labels.update(label.values.keys())
        if len(self.value_pixels) > 2 * MAX_VALUES:  # of broken 16-bit labels: those that occur most
            self.value_pixels = Counter(dict(self.value_pixels.most_common(MAX_VALUES)))
            self.value_labels = Counter({value: self.value_labels[value] for value in self.value_pixels})
        if wrong:
            self.wrong_pixels += sum(wrong.values())
            parts = [f"{value} in {pixels:,} pixels" for value, pixels in sorted(wrong.items())]
            more = f" and {len(parts) - 5} more values" if len(parts) > 5 else ""
            self._report("label-values", index, ", ".join(parts[:5]) + more, image=False)
        for value, colour in label.index_colours.items():
            self.index_colours[value].setdefault(colour, index)

    def _remember(self, number: int, index: int, pixels: int) -> None:
        """Of each part of the list, the pair with most pixels of a class."""
        part = index * EXAMPLES // len(self.split.pairs)
        best = self.examples[number].get(part)
        if best is None or pixels > best[1]:
            self.examples[number][part] = (index, pixels)


def _size_text(image: ImageFacts, label: LabelFacts) -> str:
    text = "image {} x {}, label {} x {}".format(*image.size, *label.size)
    if image.size == label.size[::-1]:
        turned = " as the image's EXIF orientation says" if image.orientation >= 5 else ""
        return f"{text} (width and height are exchanged: turn the label{turned})"
    return text
