"""The same picture more than once, and lists whose names say that a label belongs to another image.

Exact: the decoded pixels are equal, so that a copy under another name or in another lossless format is found.

Near: both pictures as gray 32 x 32 thumbnails (area averages). A pair whose 64-bit difference hash (dHash: is each of
9 x 8 cells brighter than its right neighbour) differs in at most 8 bits is compared in full: the thumbnails' mean
difference is at most 2 and the largest at most 12 gray levels, and their correlation at least 0.998. Of 50 CamVid
images, copies as JPEG of quality 10 to 90 or WebP, at half and double size stayed within 1.7, 8 and 0.9993;
neighbouring frames of CamVid's videos begin at 1.8, 26 and 0.9978. Mirrored, cropped or recoloured copies are not
found.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from paddle_mobileseg.data.check.findings import ERROR, NOTE, WARNING, Finding, Item, plural
from paddle_mobileseg.data.check.survey import Split, Survey
from paddle_mobileseg.data.file_lists import FilePair
from paddle_mobileseg.progress import progress

HASH_BITS = 8
MEAN_DIFFERENCE = 2.0
LARGEST_DIFFERENCE = 12
CORRELATION = 0.998
_LEAST_CONTRAST = 2.0  # standard deviation of a thumbnail: flatter pictures have nothing to compare
_AT_ONCE = 4_000_000  # hashes compared at once
_MOST = 10_000  # near pairs listed

_Place = tuple[str, int]  # split, index of the pair


def duplicate_findings(surveys: dict[str, Survey]) -> Iterator[Finding]:
    """Pictures that occur more than once, exactly or nearly."""
    by_digest: defaultdict[bytes, list[tuple[_Place, bytes]]] = defaultdict(list)
    for name, survey in surveys.items():
        for index, digest, label in zip(survey.indices, survey.digests, survey.label_digests, strict=True):
            by_digest[digest].append(((name, index), label))
    groups = [places for places in by_digest.values() if len(places) > 1]
    across: defaultdict[tuple[str, ...], list[Item]] = defaultdict(list)
    within: defaultdict[str, list[Item]] = defaultdict(list)
    conflicts: list[Item] = []
    for group in groups:
        first: dict[str, int] = {}
        for (name, index), _ in group:
            first.setdefault(name, index)
        labels = {label for _, label in group if label}
        other = "" if len(labels) < 2 else "; their labels differ"
        if len({_file(surveys, *place) for place in first.items()}) > 1:  # the same file is a matter of the lists
            across[tuple(first)].append(_pair_item(surveys, list(first.items())[:2], f"equal pixels{other}"))
        for name, index in first.items():
            again = [i for (n, i), _ in group if n == name and _file(surveys, n, i) != _file(surveys, name, index)]
            within[name] += [_pair_item(surveys, [(name, index), (name, i)], f"equal pixels{other}") for i in again]
        if other:
            places = [place for place, _ in group]
            conflicts.append(_pair_item(surveys, places[:2], f"{len(labels)} different labels"))
    yield from _exact(across, within, conflicts)
    yield from _near_findings(surveys)


def _exact(
    across: Mapping[tuple[str, ...], list[Item]], within: Mapping[str, list[Item]], conflicts: list[Item]
) -> Iterator[Finding]:
    for splits, items in across.items():
        yield Finding(
            ERROR,
            "duplicate-across",
            splits,
            f"{plural(len(items), 'picture is', 'pictures are')} in {' and in '.join(splits)}: scores on what was "
            "trained on say nothing about other images",
            "take the copies out of one of the lists",
            items,
        )
    for name, items in within.items():
        if items:
            text = f"{plural(len(items), 'image is a copy', 'images are copies')} of another one of the same list"
            yield Finding(WARNING, "duplicate-within", (name,), text, "they count twice: take the copies out", items)
    if conflicts:
        text = f"{plural(len(conflicts), 'picture occurs', 'pictures occur')} with different labels"
        advice = "one of the labels is wrong, or belongs to another image"
        yield Finding(WARNING, "duplicate-other-label", (), text, advice, conflicts)


def _near_findings(surveys: dict[str, Survey]) -> Iterator[Finding]:
    names = list(surveys)
    for number, name in enumerate(names):
        for other in names[number:]:
            found = list(near_pairs(surveys[name], surveys[other]))
            if not found:
                continue
            items = [
                _pair_item(surveys, [(name, i), (other, j)], f"thumbnails differ by {mean:.1f} gray levels")
                for i, j, mean in found
            ]
            count = f"at least {plural(len(items), 'pair')}" if len(items) == _MOST else plural(len(items), "pair")
            if name != other:
                text = (
                    f"{count} of nearly equal pictures, one in {name} and one in {other}: the same picture compressed "
                )
                text += "or resized again, or frames of a still camera"
                advice = "look at them on the page; take real copies out of one of the lists"
                yield Finding(WARNING, "near-duplicate-across", (name, other), text, advice, items)
            else:
                text = f"{count} of nearly equal pictures in {name}"
                yield Finding(NOTE, "near-duplicate-within", (name,), text, "", items)


def near_pairs(first: Survey, second: Survey) -> Iterator[tuple[int, int, float]]:
    """Near duplicates that are no exact ones: (index in first, index in second, mean difference), at most 10,000.

    With ``first is second``, each pair once.
    """
    (a_index, a_thumbs), (b_index, b_thumbs) = first.fingerprints(), second.fingerprints()
    a_rows, b_rows = _distinct(first.digests, a_thumbs), _distinct(second.digests, b_thumbs)
    if not len(a_rows) or not len(b_rows):
        return
    a_hash, b_hash = difference_hash(a_thumbs[a_rows]), difference_hash(b_thumbs[b_rows])
    count, step = 0, max(_AT_ONCE // len(b_rows), 1)
    starts = range(0, len(a_rows), step)
    for start in progress(starts, len(starts), f"comparing {first.split.name} with {second.split.name}"):
        before = start if first is second else 0
        distance = np.bitwise_count(a_hash[start : start + step, None] ^ b_hash[None, before:])
        for row, column in np.argwhere(distance <= HASH_BITS).tolist():
            i, j = a_rows[start + row], b_rows[before + column]
            if (first is second and j <= i) or first.digests[i] == second.digests[j]:
                continue
            mean = _difference(a_thumbs[i], b_thumbs[j])
            if mean is not None:
                yield int(a_index[i]), int(b_index[j]), mean
                count += 1
                if count == _MOST:
                    return


def difference_hash(thumbs: np.ndarray) -> np.ndarray:
    """dHash of thumbnails uint8 [n, side, side]: uint64 [n]."""
    small = np.array([cv2.resize(thumb, (9, 8), interpolation=cv2.INTER_AREA) for thumb in thumbs])
    bits = small[:, :, 1:] < small[:, :, :-1]
    return np.packbits(bits.reshape(len(thumbs), 64), axis=1).view(np.uint64)[:, 0]


def _difference(first: np.ndarray, second: np.ndarray) -> float | None:
    """Mean difference of two thumbnails in gray levels; ``None`` where they are not nearly equal."""
    difference = np.abs(first.astype(np.int16) - second)
    if difference.max() > LARGEST_DIFFERENCE or difference.mean() > MEAN_DIFFERENCE:
        return None
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    return float(difference.mean()) if correlation >= CORRELATION else None


def _distinct(digests: Sequence[bytes], thumbs: np.ndarray) -> np.ndarray:
    """Rows of the first of each group of equal pictures that has some contrast."""
    rows = np.array(
        sorted({digest: row for row, digest in reversed(list(enumerate(digests)))}.values()), dtype=np.int64
    )
    if not len(rows):
        return rows
    contrast = np.array([thumbs[row].std() for row in rows])
    return rows[contrast >= _LEAST_CONTRAST]


def list_findings(splits: Sequence[Split]) -> Iterator[Finding]:
    """What the lists alone tell, before any file is read: lines twice, shared files, labels of other images."""
    places: defaultdict[str, list[_Place]] = defaultdict(list)
    for split in splits:
        twice: defaultdict[str, list[int]] = defaultdict(list)
        labels: defaultdict[str, set[str]] = defaultdict(set)
        for index, (image, label) in enumerate(split.pairs):
            twice[os.path.abspath(image)].append(index)
            if label is not None:
                labels[os.path.abspath(label)].add(os.path.abspath(image))
        for path, indices in twice.items():
            places[path].append((split.name, indices[0]))
        repeated = [_item(split.pairs[i[0]], f"listed {len(i)} times") for i in twice.values() if len(i) > 1]
        if repeated:
            text = f"{plural(len(repeated), 'image is', 'images are')} listed more than once"
            yield Finding(WARNING, "listed-twice", (split.name,), text, "they count as often as listed", repeated)
        shared = [Item(None, path, f"of {len(images)} images") for path, images in labels.items() if len(images) > 1]
        if shared:
            text = f"{plural(len(shared), 'label belongs', 'labels belong')} to several images"
            yield Finding(WARNING, "label-shared", (split.name,), text, "each image needs a label of its own", shared)
        yield from _name_mismatches(split)
    both = [(p[0], p[1]) for p in places.values() if len(p) > 1]
    if both:
        names = tuple(dict.fromkeys(name for pair in both for name, _ in pair))
        by_name = {split.name: split for split in splits}
        items = [_item(by_name[name].pairs[index], f"also in {other}") for (name, index), (other, _) in both]
        text = f"{plural(len(items), 'image file is', 'image files are')} listed in {' and in '.join(names)}"
        yield Finding(ERROR, "listed-across", names, text, "scores on what was trained on say nothing", items)


def _name_mismatches(split: Split) -> Iterator[Finding]:
    """Pairs whose label has the name of another image of the list: lists that are out of step."""
    pairs = [(image, label) for image, label in split.pairs if label is not None]
    images, labels = _own_parts([p[0] for p in pairs]), _own_parts([p[1] for p in pairs])
    if len(set(images)) < len(images) or len(set(labels)) < len(labels):
        return
    owner = {name: row for row, name in enumerate(labels)}
    wrong = [(row, owner[name]) for row, name in enumerate(images) if name in owner and owner[name] != row]
    if wrong:
        items = [_item(pairs[row], f"by name its label is {Path(pairs[other][1]).name}") for row, other in wrong]
        text = f"{plural(len(items), 'image has', 'images have')} a label that by its name belongs to another image"
        yield Finding(WARNING, "name-mismatch", (split.name,), text, "compare the lines of the list", items)


def _own_parts(paths: Sequence[str]) -> list[str]:
    """File names without folder, ending, and the ending that all have in common, such as ``_labelTrainIds``."""
    stems = [Path(path).stem for path in paths]
    columns = zip(*(stem[::-1] for stem in stems), strict=False)
    common = "".join(column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
    length = len(common.rstrip("0123456789"))  # digits belong to the number
    return [stem[: len(stem) - length] for stem in stems] if len(stems) > 1 else stems


def _file(surveys: Mapping[str, Survey], name: str, index: int) -> str:
    return os.path.abspath(surveys[name].split.pairs[index][0])


def _item(pair: FilePair, detail: str) -> Item:
    return Item(pair[0], pair[1], detail)


def _pair_item(surveys: Mapping[str, Survey], places: Sequence[_Place], detail: str) -> Item:
    """Two images."""
    first, second = (surveys[name].split.pairs[index][0] for name, index in places)
    return Item(first, None, detail, second)
