"""Which images train and which validate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from paddle_mobileseg.data.importing.sources import Item, first, natural_order
from paddle_mobileseg.suggestion import did_you_mean

Split = dict[str, list[Item]]


def divide(items: Sequence[Item], share: float, seed: int, val_list: Path | None = None) -> tuple[Split, str]:
    """Divide images into ``train``, ``val`` and, where folders say so, ``test``.

    A list of the validation images decides; else folders called train, val and test, when every image is in one of
    them; else chance: ``share`` of the images, at least one, by a shuffle of the sorted names that depends on the seed
    only.

    Returns:
        The images of each part (``val`` is missing where ``share`` is 0), and a sentence about how they were found.

    Raises:
        ValueError: a share that leaves no image for a part, or a list with names that are no images.
    """
    if not 0 <= share < 1:
        raise ValueError(f"--val is {share}; expected a share of the images from 0 to below 1, such as 0.2")
    items = sorted(items, key=lambda item: natural_order(item.name))
    if val_list is not None:
        chosen = _listed(val_list, items)
        parts = {"train": [each for each in items if each.name not in chosen]}
        parts["val"] = [each for each in items if each.name in chosen]
        if not parts["train"]:
            raise ValueError(f"{val_list} names all images; none is left to train on")
        return parts, f"validation images as listed in {val_list}"
    found = {part: [each for each in items if each.part == part] for part in ("train", "val", "test")}
    found = {part: each for part, each in found.items() if each}
    if sum(map(len, found.values())) == len(items) and "train" in found and len(found) > 1:
        if "val" in found:
            return found, "parts as the folders or files are called"
        divided, sentence = _by_chance(found["train"], share, seed)
        return {**divided, "test": found["test"]}, f"test images as their folder is called; {sentence}"
    return _by_chance(items, share, seed)


def _by_chance(items: list[Item], share: float, seed: int) -> tuple[Split, str]:
    if share == 0:
        return {"train": items}, "no validation images, as asked for"
    if len(items) < 2:
        raise ValueError(
            "there is one image only, which cannot both train and validate; add images, or do without validation: "
            "--val 0"
        )
    order = list(items)
    random.Random(seed).shuffle(order)
    count = min(max(round(share * len(items)), 1), len(items) - 1)
    chosen = {item.name for item in order[:count]}
    parts = {"train": [each for each in items if each.name not in chosen]}
    return {
        **parts,
        "val": [each for each in items if each.name in chosen],
    }, f"validation images by chance, seed {seed}"


def _listed(path: Path, items: Sequence[Item]) -> set[str]:
    """Names of the images that a list names: by path, last name, or either without suffix; "image label" lines too."""
    if not path.is_file():
        raise FileNotFoundError(f"--val_list: no such file: {path}")
    known: dict[str, set[str]] = {}
    for item in items:
        name = PurePosixPath(item.name)
        for key in {item.name, name.name, name.stem, name.with_suffix("").as_posix()}:
            known.setdefault(key, set()).add(item.name)
    chosen: set[str] = set()
    unknown = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        words = [line, line.split("\t")[0], line.split()[0]]
        words += [word.removeprefix("images/") for word in words]
        names = next((known[word] for word in words if word in known), set())
        if len(names) == 1:
            chosen |= names
        else:
            unknown.append(line)
    if unknown:
        raise ValueError(
            f"{path}: {len(unknown)} of its lines name no image, or more than one: {first(unknown)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    if not chosen:
        raise ValueError(f"{path}: the list is empty")
    return chosen
