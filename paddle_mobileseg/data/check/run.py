"""The whole check: every pair of every split is read, then the rules look at the sums."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddle_mobileseg.data.check.balance import METHOD, class_weights, loss_line
from paddle_mobileseg.data.check.duplicates import duplicate_findings, list_findings
from paddle_mobileseg.data.check.findings import ERROR, LEVELS, WARNING, Finding
from paddle_mobileseg.data.check.images import image_findings, size_findings, size_statistics
from paddle_mobileseg.data.check.labels import class_findings, label_findings, split_table
from paddle_mobileseg.data.check.pair import ImageFacts, PairFacts, PairReader
from paddle_mobileseg.data.check.survey import Split, Survey
from paddle_mobileseg.data.workers import ordered_map
from paddle_mobileseg.files import write_json
from paddle_mobileseg.progress import progress

FORMAT = 1
_MOST_DEATHS = 20  # of worker processes; more are no matter of single files


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        surveys: the sums, by split.
        findings: errors first, then warnings, then notes.
        weights: suggested class weights, from the training labels; ``None`` without any.
        coef: the configured factors of the losses, for the line that can be pasted.
    """

    surveys: dict[str, Survey]
    findings: list[Finding]
    weights: list[float] | None = None
    coef: list[float] = field(default_factory=lambda: [1.0])

    def count(self, level: str) -> int:
        """Findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def loss_line(self) -> str | None:
        """What can be pasted into the YAML to train with the suggested weights."""
        return None if self.weights is None else loss_line(self.weights, self.coef)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "format": FORMAT,
            "counts": {level: self.count(level) for level in LEVELS},
            "findings": [finding.as_dict() for finding in self.findings],
            "splits": {name: _split_dict(survey) for name, survey in self.surveys.items()},
            "class_weights": {"weights": self.weights, "method": METHOD, "yaml": self.loss_line},
        }

    def save(self, path: str | Path, command: str = "") -> None:
        """Write ``check.json``."""
        write_json(path, {**self.as_dict(), "command": command})


def check_dataset(
    splits: Sequence[Split],
    problems: Iterable[Finding] = (),
    num_workers: int | None = None,
    batch_size: int = 1,
    coef: Sequence[float] = (1.0,),
) -> Checked:
    """Read every pair of every split and judge them.

    Args:
        splits: what to check, with the same classes.
        problems: what was found before, such as a split that cannot be opened.
        num_workers: processes that read; ``None``: one for each core, at most 8; 0: this process.
        batch_size: images a training step.
        coef: factors of the losses.

    Raises:
        ValueError: ``num_workers`` is no whole number from 0.
        ChildProcessError: worker processes die again and again.
    """
    surveys = {split.name: Survey(split) for split in splits}
    findings = [*problems, *list_findings(splits)]
    for survey in surveys.values():
        workers = _cores() if num_workers is None else num_workers
        pairs = read_pairs(survey.split, workers)
        with closing(pairs):
            for index, facts in progress(pairs, len(survey.split.pairs), f"reading {survey.split.name}"):
                survey.add(index, facts)
    findings += judge(surveys, batch_size)
    train = surveys.get("train")
    known = train is not None and train.class_pixels.any() and not train.split.changes_labels
    weights = class_weights(train) if train is not None and known else None
    return Checked(surveys, sorted(findings, key=lambda finding: LEVELS.index(finding.level)), weights, list(coef))


def judge(surveys: dict[str, Survey], batch_size: int = 1) -> list[Finding]:
    """What the rules say about surveys of all pairs."""
    findings: list[Finding] = []
    for survey in surveys.values():
        findings += [*image_findings(survey), *label_findings(survey), *size_findings(survey, batch_size)]
    return [*findings, *class_findings(surveys), *duplicate_findings(surveys)]


def read_pairs(split: Split, num_workers: int) -> Generator[tuple[int, PairFacts], None, None]:
    """(index, facts) of every pair, in order.

    A file that kills the worker process which reads it becomes an unreadable image; the rest is read all the same.
    """
    reader = PairReader(list(split.pairs))
    done = deaths = 0
    while done < len(reader.pairs):
        results = ordered_map(reader, done, len(reader.pairs), num_workers)
        try:
            with closing(results):
                for facts in results:
                    yield done, facts
                    done += 1
        except ChildProcessError as error:
            deaths += 1
            if deaths > _MOST_DEATHS:
                raise
            yield done, PairFacts(ImageFacts(problem=f"reading it (or its label) ended the process: {error}"), None)
            done += 1


def opening_problem(name: str, error: Exception) -> Finding:
    """The finding for a split that cannot be opened."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return Finding(ERROR, "not-opened", (name,), f"the data set cannot be opened: {text}")


def names_problem(root: str, found: Sequence[str], num_classes: int) -> list[Finding]:
    """The finding for a labels.txt whose number of lines is not that of the classes: it is not used then."""
    if not found or len(found) == num_classes:
        return []
    text = f"labels.txt in {root} has {len(found)} names, but num_classes is {num_classes}: the names are not used"
    return [Finding(WARNING, "class-names", (), text, "correct labels.txt or num_classes")]


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def _split_dict(survey: Survey) -> Mapping[str, Any]:
    split = survey.split
    return {
        "pairs": len(split.pairs),
        "images_read": survey.read,
        "labels_read": survey.labelled,
        "num_classes": split.num_classes,
        "allowed_values": split.allowed,
        "pixels": {
            "with_class": int(survey.class_pixels.sum()),
            "ignored": survey.ignored_pixels,
            "no_class": survey.wrong_pixels,
        },
        "classes": split_table(survey),
        "values": {str(value): pixels for value, pixels in sorted(survey.value_pixels.items())},
        "sizes": size_statistics(survey),
        "modes": dict(survey.modes),
    }
