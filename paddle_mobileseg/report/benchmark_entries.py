"""Records as the benchmark page needs them: numbered, made safe to show, grouped by device.

A record may come from anybody, so texts are shortened, control characters and long lists removed; the template escapes
what is left. Commands stay whole, so that they can be used; one beyond all reason is cut, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paddle_mobileseg.benchmark import identity, published
from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.record import STAGES, Record

UNKNOWN_DEVICE = "unknown device"
STAGE_NAMES = {stage: stage.replace("_", " ") for stage in STAGES}

_LONGEST = 160  # characters of a text
_LONGEST_COMMAND = 100_000
_LONGEST_OF = {"command": _LONGEST_COMMAND, "message": 1500, "source": 1500}  # of these fields
_MOST = 400  # entries of an object, or of a list that does not hold numbers only


@dataclass(frozen=True)
class Entry:
    """A record on the page.

    Attributes:
        number: from 1; the page's anchors are made of it.
        record: valid, with texts made safe to show.
        folder: where its file is, for the pictures beside it; ``None`` for what is not from a file.
        device: by which the page groups; records of one label are of one device.
        stand_in: the accuracy that the network's authors published, where the record has a latency that may be used and
            no accuracy that means something.
    """

    number: int
    record: Record
    folder: Path | None
    device: str
    stand_in: dict[str, Any] | None = None

    @property
    def network(self) -> str:
        """Name of the network, or else of the bundle."""
        return identity.network(self.record)

    @property
    def backend(self) -> str:
        return self.record["backend"]["requested"]

    @property
    def kind(self) -> str:
        """``measured``, ``imported``, ``published`` or ``estimated``."""
        return self.record["origin"]["kind"]

    @property
    def ok(self) -> bool:
        """Whether its numbers may be used."""
        return self.record["status"] == "ok"

    @property
    def reasons(self) -> list[str]:
        """Why its numbers must not be used, or why there are none."""
        error = self.record["error"]
        failure = [f"{error['kind']}{_at(error['stage'])}: {error['message']}"] if error else []
        return failure + self.record["validity"]["reasons"]

    @property
    def random_weights(self) -> bool:
        return self.record["model"]["weights"] == "random"

    @property
    def setting(self) -> str:
        """How it ran, in a few words: ``onnxruntime, 2 threads, fp32, 512x512, argmax``."""
        model, backend = self.record["model"], self.record["backend"]
        threads, shape = backend["threads"], model["input_shape"]
        power = backend["power_mode"]
        parts = (
            self.backend,
            None if threads is None else identity.threads_text(threads),
            None if power is None else f"power {power}",
            model["precision"],
            None if shape is None else identity.size(shape),
            model["output_op"],
        )
        return ", ".join(part for part in parts if part)

    @property
    def short(self) -> str:
        """As :attr:`setting`, without fp32 and arg-max; what is not recorded is called so."""
        model, threads = self.record["model"], self.record["backend"]["threads"]
        shape, precision, output = model["input_shape"], model["precision"], model["output_op"]
        parts = (
            self.backend,
            "threads not recorded" if threads is None else identity.threads_text(threads),
            "size not recorded" if shape is None else identity.size(shape),
            None if precision == "fp32" else precision or "precision not recorded",
            None if output == "argmax" else output or "output not recorded",
        )
        return ", ".join(part for part in parts if part)

    @property
    def name(self) -> str:
        return f"{self.network}, {self.setting}"

    @property
    def anchor(self) -> str:
        """Of the record's provenance."""
        return f"how-{self.number}"

    def summary(self, part: str) -> dict[str, Any] | None:
        """The times of ``network``, ``frame`` or a stage, in ms."""
        timing = self.record["timing"]
        if timing is None:
            return None
        return timing["stages"][part] if part in STAGES else timing[part]

    def statistic(self, part: str) -> str | None:
        """Which statistic :meth:`ms` gives: ``median``, or ``mean`` or ``min`` where a source has no better one."""
        found = identity.figure(self.summary(part))
        return None if found is None else found[0]

    def ms(self, part: str) -> float | None:
        """The time of ``network``, ``frame`` or a stage, of which :meth:`statistic` says what it is."""
        found = identity.figure(self.summary(part))
        return None if found is None else found[1]

    @property
    def latency_ms(self) -> float | None:
        """Of the network alone, where the numbers may be used."""
        return self.ms("network") if self.ok else None

    @property
    def miou(self) -> float | None:
        """0 to 1, where it means something."""
        accuracy = self.record["accuracy"]
        return None if accuracy is None or self.random_weights or not self.ok else accuracy["miou"]

    @property
    def shown_accuracy(self) -> dict[str, Any] | None:
        """What the charts show: its own accuracy where that means something, or else what stands in for it."""
        return self.record["accuracy"] if self.miou is not None else self.stand_in

    @property
    def input_size(self) -> str:
        """Width x height of the input whose latency it is."""
        shape = self.record["model"]["input_shape"]
        return "unknown" if shape is None else identity.size(shape)

    @property
    def file_mb(self) -> float | None:
        """All files that the backend needs, in 1,000,000 bytes; ``None`` where one is not known."""
        size = identity.file_bytes(self.record)
        return None if size is None else size / 1e6

    @property
    def peak_mb(self) -> float | None:
        peak = self.record["memory"]["peak_resident_bytes"]
        return None if peak is None else peak / 1e6


def _at(stage: str | None) -> str:
    return f" in {stage}" if stage else ""


def read_records(sources: Sequence[Path], problems: list[str]) -> list[tuple[Record, Path | None]]:
    """All records of files and folders, by date, each with the folder that it is in.

    Args:
        sources: record files, or folders that are searched with all below them.
        problems: takes a line for each file that cannot be read.

    Raises:
        FileNotFoundError: a source is not there.
    """
    found = records.read_folder(*sources, problems=problems)
    problems[:] = [clean(problem, _LONGEST * 3) for problem in problems]
    folders = _folders(sources)
    return [(record, folders.get(record["id"])) for record in found]


def read_entries(sources: Sequence[Path], problems: list[str]) -> list[Entry]:
    """As :func:`read_records`, as entries."""
    return make_entries(read_records(sources, problems))


def same_networks(found: Sequence[Record], published: Iterable[Record]) -> list[Record]:
    """Those of the published records whose network is among those found, and which are not among them already."""
    networks = {record["model"]["network"] for record in found}
    known = {record["id"] for record in found}
    return [each for each in published if each["model"]["network"] in networks and each["id"] not in known]


def make_entries(found: Sequence[tuple[Record, Path | None]]) -> list[Entry]:
    """Records with their folders as entries, numbered in this order."""
    cleaned = [clean(record) for record, _ in found]
    labels = _device_labels(cleaned)
    return [
        Entry(number, record, folder, label)
        for number, (record, (_, folder), label) in enumerate(zip(cleaned, found, labels, strict=True), 1)
    ]


def _folders(sources: Sequence[Path]) -> dict[str, Path]:
    """The folder of each record by its id, which its file is called after; one with pictures where there are copies."""
    folders: dict[str, Path] = {}
    for source in map(Path, sources):
        for path in [source] if source.is_file() else sorted(source.rglob("*.json")):
            folders.setdefault(path.stem, path.parent)
    return folders


def _device_labels(found: Sequence[Record]) -> list[str]:
    """A label for each record's device; two machines of one name are told apart by their fingerprints."""
    names = [
        each["device"]["name"] or each["device"]["soc"] or each["device"]["cpu"] or UNKNOWN_DEVICE for each in found
    ]
    prints: dict[str, set[str]] = {}
    for name, each in zip(names, found, strict=True):
        prints.setdefault(name, set()).update(filter(None, [each["device"]["fingerprint"]]))
    labels = []
    for name, each in zip(names, found, strict=True):
        if len(prints[name]) > 1:
            name += f" ({each['device']['fingerprint'] or 'no fingerprint'})"
        labels.append(name)
    return labels


def clean(value: Any, longest: int = _LONGEST) -> Any:
    """A copy for the page: texts without control characters and at most ``longest`` long, long lists cut.

    Lists of numbers stay whole: they are times. A list holds one kind of thing, as the schema says.
    """
    if isinstance(value, str):
        text = "".join(character if character.isprintable() else " " for character in value)
        return text if len(text) <= longest else text[: longest - 1] + "…"
    if isinstance(value, dict):
        items = list(value.items())[:_MOST]
        return {clean(key): clean(each, _LONGEST_OF.get(key, longest)) for key, each in items}
    if isinstance(value, list):
        return value if value and isinstance(value[0], int | float) else [clean(each) for each in value[:_MOST]]
    return value


def clean_command(command: str | None) -> str | None:
    """As :func:`clean`, of a command: only one beyond all reason is cut, see :func:`is_cut`."""
    return clean(command, _LONGEST_COMMAND)


def is_cut(command: str) -> bool:
    """Whether a command of the page is not whole, so that it cannot be used."""
    return len(command) == _LONGEST_COMMAND and command.endswith("…")


def with_published_accuracy(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, with what stands in for an accuracy that was not measured."""
    found = []
    for entry in entries:
        model, stand_in = entry.record["model"], None
        if entry.kind != "published" and entry.latency_ms is not None and entry.miou is None:
            stand_in = published.accuracy(entry.network, model["num_classes"])
        found.append(replace(entry, stand_in=stand_in))
    return found


def own_entries(entries: Sequence[Entry]) -> list[Entry]:
    """What the page is about: all but the published ones beside it, or these where there is nothing else."""
    return [entry for entry in entries if entry.kind != "published"] or list(entries)


def devices(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries by device, in the order of the first of each."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.device, []).append(entry)
    return groups


def fastest_first(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The fastest entry of each network, by latency, and the rest by network; usable and measured ones come first."""

    def order(entry: Entry) -> tuple[bool, bool, bool, float, int]:
        time = entry.ms("network")
        return not entry.ok, entry.kind != "measured", time is None, time or 0.0, entry.number

    by_speed = sorted(entries, key=order)
    leaders: dict[str, Entry] = {}
    for entry in by_speed:
        leaders.setdefault(entry.network, entry)
    first = list(leaders.values())
    chosen = {entry.number for entry in first}
    rest = [entry for entry in by_speed if entry.number not in chosen]
    return first, sorted(rest, key=lambda entry: entry.network)
