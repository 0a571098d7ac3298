"""The accuracy of a record that a choice may go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paddle_mobileseg.benchmark import identity, published
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.data import class_names
from paddle_mobileseg.suggestion import did_you_mean

_ALIKE = (  # names that data sets have for much the same
    ("person", "pedestrian"),
    ("sidewalk", "pavement"),
    ("rider", "bicyclist"),
    ("tree", "vegetation"),
    ("traffic sign", "sign_symbol"),
)
_CLASSES = {"ade20k": class_names.ADE20K, "camvid": class_names.CAMVID, "cityscapes": class_names.CITYSCAPES}


@dataclass(frozen=True)
class Score:
    """An accuracy.

    Attributes:
        value: share from 0 to 1; ``None`` where none is known.
        kind: what the value is and on which images, in words; only values of equal kind may be compared.
        note: what to know of this one beside it.
        why_not: why the record cannot be chosen, for want of a class.
        of_all_classes: whether the value is of all classes, whichever were asked for.
    """

    value: float | None
    kind: str | None
    note: str = ""
    why_not: str | None = None
    of_all_classes: bool = True


def of(record: Record, classes: Sequence[str] = ()) -> Score:
    """The accuracy of a record: measured, or else published for its network; with ``classes`` the mean of their IoU."""
    accuracy, model = record["accuracy"], record["model"]
    random = model["weights"] == "random"
    if accuracy is not None and accuracy["of"] != "published" and not random:
        return _measured(accuracy, classes, _size(record))
    if accuracy is None or accuracy["of"] != "published":
        accuracy = published.accuracy(identity.network(record), model["num_classes"])
    if accuracy is None:
        why = "random weights, whose accuracy means nothing; none is published" if random else "accuracy not known"
        return Score(None, None, why, "no IoU by class: " + why if classes else None)
    return _published(accuracy, classes, random, _size(record))


def _size(record: Record) -> str:
    """Of the input whose latency is known. An accuracy that may be of other sizes counts among records of one size
    only: else the smallest input, which is the fastest, would keep the accuracy of the largest."""
    shape = record["model"]["input_shape"]
    return "an input of unknown size" if shape is None else identity.size(shape)


def _measured(accuracy: dict[str, Any], classes: Sequence[str], size: str) -> Score:
    count = "" if accuracy["images"] is None else f", {accuracy['images']} images"
    where, note = f"on {accuracy['dataset']}{count}", ""
    if accuracy["of"] == "checkpoint":
        where, note = f"{where}, of the checkpoint; latency at {size}", "of the checkpoint, not of the exported file"
    if not classes:
        if accuracy["miou"] is None:
            return Score(None, None, "no mIoU was measured")
        return Score(accuracy["miou"], f"measured mIoU {where}", note)
    found = accuracy["iou"]
    if found is None:
        return Score(None, None, note, "no IoU by class was measured")
    if missing := [name for name in classes if name not in found]:
        return Score(None, None, note, _no_class(missing[0], list(found), accuracy["dataset"]))
    if absent := [name for name in classes if found[name] is None]:
        return Score(None, None, note, f"class {absent[0]!r} is in none of the images evaluated")
    mean = sum(found[name] for name in classes) / len(classes)
    return Score(mean, f"measured mean IoU of {', '.join(classes)} {where}", note, of_all_classes=False)


def _published(accuracy: dict[str, Any], classes: Sequence[str], random: bool, size: str) -> Score:
    """An author's mIoU: it is of all classes, whatever classes are asked for."""
    known = _CLASSES.get(accuracy["dataset"].lower())
    whose = "measured here with random weights" if random else "of the authors' weights"
    note = f"{accuracy['source']}; {whose}"
    if known and (missing := [name for name in classes if name not in known]):
        return Score(None, None, note, _no_class(missing[0], known, accuracy["dataset"]))
    if accuracy["miou"] is None:
        return Score(None, None, note)
    every = f" (of all classes, not of {', '.join(classes)})" if classes else ""
    kind = f"published mIoU on {accuracy['dataset']}{every} at the authors' sizes; latency at {size}"
    return Score(accuracy["miou"], kind, note)


def _no_class(name: str, known: Sequence[str], dataset: str) -> str:
    alike = [other for group in _ALIKE if name in group for other in group if other in known]
    hint = f"; did you mean {alike[0]!r}?" if alike else did_you_mean(name, known)
    return f"no class {name!r} in {dataset}{hint}"
