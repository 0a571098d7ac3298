"""The files that the authors publish: where they are, what they hold, what they score."""

from __future__ import annotations

import functools
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from paddle_mobileseg.config import checks
from paddle_mobileseg.files import cache_folder
from paddle_mobileseg.suggestion import did_you_mean
from paddle_mobileseg.weights.download import cached_path
from paddle_mobileseg.weights.transfer import check_allowed

CATALOG = Path(__file__).with_name("catalog.yml")
KINDS = ("segmentation", "backbone")
CONTAINERS = ("pdparams", "tar.gz", "zip", "pth")
METRICS = ("miou", "miou_flip", "miou_ms_flip", "top1")


@dataclass(frozen=True)
class Entry:
    """A published file.

    Attributes:
        name: what a user types in place of a path.
        kind: ``"segmentation"`` (a whole network) or ``"backbone"``.
        url: where it is; with ``by_hand`` a page that only a browser can download from.
        container: ``"pdparams"``, an archive with one (``"tar.gz"``, ``"zip"``), or torch's ``"pth"``.
        dataset: that it was trained on (a backbone: for classification).
        num_classes: of its head.
        mean, std: of the normalised RGB image in 0 to 1.
        test_size: of the images that it was evaluated on, width x height.
        licence: as far as it is known.
        network: of a whole network, its name in :mod:`paddle_mobileseg.networks`.
        backbone: of a backbone, the name of the component.
        recipe: the YAML below ``configs/`` that evaluates it.
        metrics: as published, in percent: ``miou``, ``miou_flip`` (with mirrored images), ``miou_ms_flip`` (and several
            scales), ``top1``.
        sha256, size: of the file (size in bytes), where they are known.
        by_hand: whether only a browser can download it.
        notes: what else a user should know.
    """

    name: str
    kind: str
    url: str
    container: str
    dataset: str
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test_size: str
    licence: str
    network: str = ""
    backbone: str = ""
    recipe: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    sha256: str | None = None
    size: int | None = None
    by_hand: bool = False
    notes: str = ""

    @property
    def owner(self) -> str:
        """The network or the backbone that it is of."""
        return self.network or self.backbone

    @property
    def path(self) -> Path:
        """The file in the cache, whether it is there or not."""
        return cache_folder() / f"{self.name}.{self.container}" if self.by_hand else cached_path(self.url)


@functools.cache
def entries() -> dict[str, Entry]:
    """All entries by name, in the order of the file."""
    return read_catalog(CATALOG)


def by_url(url: str) -> Entry | None:
    """The entry that is downloaded from an address."""
    return next((entry for entry in entries().values() if entry.url == url and not entry.by_hand), None)


def get(name: str) -> Entry:
    """The entry called ``name``.

    Raises:
        KeyError: there is none; the message names the nearest.
    """
    if name not in entries():
        raise KeyError(
            f"the catalogue has no weights called {name!r}{did_you_mean(name, entries())} "
            "(`mobileseg weights list` shows all)"
        )
    return entries()[name]


def read_catalog(path: Path) -> dict[str, Entry]:
    """Read and check a catalogue.

    Raises:
        ValueError: an entry is not as :class:`Entry` says; the message names it.
    """
    read: dict[str, Entry] = {}
    for index, given in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))["entries"]):
        where = f"{path.name}: {given.get('name', f'entry {index}')}"
        entry = _entry(given, where)
        if entry.name in read:
            raise ValueError(f"{where}: two entries have this name; rename one of them")
        read[entry.name] = entry
    return read


def _entry(given: dict[str, Any], where: str) -> Entry:
    known = {each.name: each for each in fields(Entry)}
    checks.known_keys(given, known, where)
    for name, each in known.items():
        if name not in given and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{where}: {name} is missing")
    checks.one_of(given["kind"], f"{where}: kind", KINDS)
    checks.one_of(given["container"], f"{where}: container", CONTAINERS)
    checks.integer(given["num_classes"], f"{where}: num_classes", 1)
    check_allowed(given["url"])
    whose = {"segmentation": "network", "backbone": "backbone"}[given["kind"]]
    if {"network", "backbone"} & set(given) != {whose}:
        raise ValueError(
            f"{where}: an entry of kind {given['kind']} has {whose}, and not the other of network, backbone"
        )
    metrics = given.get("metrics", {})
    checks.known_keys(metrics, METRICS, f"{where}: metrics")
    for name, value in metrics.items():
        checks.number(value, f"{where}: metrics.{name}", 0, 100)
    for name in ("mean", "std"):
        if len(checks.numbers(given[name], f"{where}: {name}")) != 3:
            raise ValueError(f"{where}: {name} is {given[name]}; expected three numbers, for R, G and B")
    if given.get("sha256") is not None and not re.fullmatch("[0-9a-f]{64}", str(given["sha256"])):
        raise ValueError(f"{where}: sha256 is {given['sha256']!r}; expected 64 hexadecimal digits")
    return Entry(**{**given, "mean": tuple(given["mean"]), "std": tuple(given["std"])})
