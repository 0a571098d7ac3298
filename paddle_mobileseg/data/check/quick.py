"""A sample of the check, taken when a training starts: seconds, no worker processes, no random numbers."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from paddle_mobileseg.data.check.duplicates import list_findings
from paddle_mobileseg.data.check.findings import ERROR, NOTE, Finding
from paddle_mobileseg.data.check.images import image_findings, size_findings
from paddle_mobileseg.data.check.labels import class_findings, label_findings
from paddle_mobileseg.data.check.pair import PairReader
from paddle_mobileseg.data.check.survey import Split, Survey

PAIRS = 32  # read of each split
SECONDS = 2.0  # spent on each split, when at least LEAST pairs are read
LEAST = 4

_LOGGER = logging.getLogger("paddle_mobileseg")
# What ends a training when it meets such a file.
_FATAL = (
    "file-missing",
    "image-unreadable",
    "label-unreadable",
    "size-mismatch",
    "label-values",
    "label-colours",
    "swapped",
)
_SAMPLE_CLASSES = 0.25  # more classes than this share missing in a sample say that the sample is small
_ADVICE = "`mobileseg check-dataset` reads all files"


def check_sample(datasets: Mapping[str, Any], batch_size: int) -> None:
    """Read pairs spread evenly over each data set, and log what is suspicious.

    At most ``PAIRS`` of each, for at most about ``SECONDS``. The file lists are looked at as a whole. Data sets without
    a ``file_list`` of pairs are left out.

    Args:
        datasets: by split.
        batch_size: images a training step.

    Raises:
        ValueError: a file that training or evaluation would stop at: unreadable, or a label that does not fit.
    """
    splits = []
    for name, dataset in datasets.items():
        try:
            splits.append(Split.of(name, dataset))
        except ValueError:
            continue
    surveys = {split.name: _read(split) for split in splits}
    findings = list(list_findings(splits))
    for survey in surveys.values():
        findings += [*image_findings(survey), *label_findings(survey), *size_findings(survey, batch_size)]
    for finding in findings:
        if finding.level == ERROR and finding.code in _FATAL:
            raise ValueError(_stop_text(finding))
    findings += _class_findings(surveys)
    for finding in findings:
        if finding.level != NOTE:
            _LOGGER.warning("warning: %s: %s", ", ".join(finding.splits) or "data set", finding.message)


def _read(split: Split) -> Survey:
    survey, reader = Survey(split), PairReader(list(split.pairs))
    count = min(PAIRS, len(reader.pairs))
    begin = time.monotonic()
    for number in range(count):
        index = number * (len(reader.pairs) - 1) // max(count - 1, 1)
        survey.add(index, reader(index))
        if number + 1 >= LEAST and time.monotonic() - begin > SECONDS:
            break
    return survey


def _stop_text(finding: Finding) -> str:
    advice = f"; {finding.advice}" if finding.advice else ""
    files = "; ".join(item.text() for item in finding.items[:3]) + ("; ..." if len(finding.items) > 3 else "")
    return f"{finding.splits[0]} data, in a sample read before training: {finding.message}: {files}{advice}. {_ADVICE}"


def _class_findings(surveys: dict[str, Survey]) -> list[Finding]:
    parts = {name: (survey.labelled, len(survey.split.pairs)) for name, survey in surveys.items()}
    whole = all(read == total for read, total in parts.values())
    if whole:
        return list(class_findings(surveys))
    sample = " and ".join(f"{read} of {total:,} labels of {name}" for name, (read, total) in parts.items())
    found = list(class_findings(surveys, sample))
    return [f for f in found if len(f.items) <= _SAMPLE_CLASSES * surveys["train"].split.num_classes]
