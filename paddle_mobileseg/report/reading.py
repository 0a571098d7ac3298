"""The files of a run, its bundles and their benchmark records, read for the report. Nothing is computed again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_mobileseg.report.benchmark_entries import Entry, read_entries
from paddle_mobileseg.runtime.bundle import MANIFEST, read_manifest


@dataclass(frozen=True)
class BundleFiles:
    """An exported network: ``folder`` and the content of its ``deploy.yaml``."""

    folder: Path
    deploy: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """The section ``Bundle`` of ``deploy.yaml``."""
        return self.deploy["Bundle"]


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds; parts that are not there are ``None`` or empty.

    Attributes:
        folder: the run's.
        train: records of training, by iteration; of an iteration that was run twice, the later record.
        evaluations: records of evaluations during training, likewise.
        config: text of ``config.yml``.
        environment: ``environment.json``.
        scores: ``val.json``.
        checkpoint: ``best_model/checkpoint.json``.
        iters: iterations that the training was to have, as the log says.
        elapsed_s: seconds of all its parts, from resuming to resuming, that are in the log.
        ended: why it ended: ``complete``, ``early_stop``, ``interrupted``, ``error``; ``None`` where it did not say.
    """

    folder: Path
    train: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    config: str | None
    environment: dict[str, Any] | None
    scores: dict[str, Any] | None
    checkpoint: dict[str, Any] | None
    iters: float | None
    elapsed_s: float | None
    ended: str | None


def read_run(folder: str | Path) -> RunFiles:
    """Read a run folder.

    Raises:
        FileNotFoundError: no such folder, or neither a training log nor an evaluation in it.
        ValueError: a damaged file; the message names it and, for the log, the line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no run folder {folder}; expected the --save_dir of a training, such as output/run"
        )
    log = read_log(folder / "log.jsonl")
    scores = _read_json(folder / "val.json")
    if not log and scores is None:
        raise FileNotFoundError(
            f"{folder} holds no run: neither log.jsonl with records (written by training) nor val.json (written by "
            "`mobileseg val`); expected the --save_dir of a training"
        )
    config = folder / "config.yml"
    return RunFiles(
        folder=folder,
        train=_by_iteration(log, "train"),
        evaluations=_by_iteration(log, "val"),
        config=config.read_text(encoding="utf-8") if config.is_file() else None,
        environment=_read_json(folder / "environment.json"),
        scores=scores,
        checkpoint=_read_json(folder / "best_model" / "checkpoint.json"),
        iters=next((iters for each in reversed(log) if (iters := number(each.get("iters"))) is not None), None),
        elapsed_s=_elapsed_s(log),
        ended=str(log[-1].get("reason")) if log and log[-1]["kind"] == "stop" else None,
    )


def read_log(path: Path) -> list[dict[str, Any]]:
    """Records of a training log, one JSON object a line; none if there is no log.

    The last line may be broken, because training may have been killed while writing it; it is left out then.

    Raises:
        ValueError: another line is broken, or a record has no ``kind`` and ``iter``; names the file and the line.
    """
    if not path.is_file():
        return []
    lines = [
        (number, line) for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1) if line.strip()
    ]
    records = []
    for number, line in lines:
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == lines[-1][0]:
                break
            raise ValueError(f"{path}, line {number}, is not JSON ({error}); remove this line") from error
        if (
            not isinstance(record, dict)
            or not isinstance(record.get("kind"), str)
            or not isinstance(record.get("iter"), int)
        ):
            raise ValueError(f"{path}, line {number}: expected an object with 'kind' and 'iter', but got {line[:80]!r}")
        records.append(record)
    return records


def read_bundle(folder: str | Path) -> BundleFiles:
    """Read an exported bundle's ``deploy.yaml``.

    Raises:
        FileNotFoundError: no such folder, or no ``deploy.yaml`` in it.
        ValueError: the file is damaged, or has no section ``Bundle``.
    """
    folder = Path(folder)
    deploy = read_manifest(folder)
    if not isinstance(deploy, dict) or not isinstance(deploy.get("Bundle"), dict):
        raise ValueError(
            f"{folder / MANIFEST} has no section 'Bundle': it was not written by `mobileseg export`; "
            "export the checkpoint again"
        )
    return BundleFiles(folder, deploy)


def read_records(
    run: RunFiles, bundles: Sequence[BundleFiles], given: Sequence[str | Path]
) -> tuple[list[Entry], list[str]]:
    """Benchmark records of the bundles, or without bundles of the run's checkpoint.

    Args:
        run, bundles: what the records must be of, by the hashes of the files or of the checkpoint.
        given: record files, or folders of them.

    Returns:
        the records, in the order of their dates, and what to say of files that are no valid record, and of records of
        other networks.

    Raises:
        FileNotFoundError: a file or folder given is not there.
    """
    notices: list[str] = []
    found = read_entries([Path(path) for path in given], notices)
    if given and not found:
        notices.append(f"No benchmark record is in {', '.join(map(str, given))}.")
    ours = [entry for entry in found if _is_of(entry, run, bundles)]
    if foreign := len(found) - len(ours):
        what = "the bundles" if bundles else "the run"
        notices.append(
            f"{foreign} of {len(found)} benchmark records are not shown: they are not of {what}, or do not say of what."
        )
    if bundles and (others := sum(not _hashes(entry) <= _file_hashes(bundles) for entry in ours)):
        notices.append(f"{others} of {len(ours)} benchmark records are of another export of this checkpoint.")
    return ours, notices


def _is_of(entry: Entry, run: RunFiles, bundles: Sequence[BundleFiles]) -> bool:
    hashes = _hashes(entry)
    if hashes and hashes <= _file_hashes(bundles):
        return True
    if bundles:
        checkpoints = {bundle.about.get("source_checkpoint_sha256") for bundle in bundles}
    else:
        trained = (run.checkpoint or {}).get("sha256")
        checkpoints = {trained.get("model.pdparams") if isinstance(trained, dict) else None}
        checkpoints.add((run.scores or {}).get("checkpoint_sha256"))
    return entry.record["model"]["source_checkpoint_sha256"] in checkpoints - {None, ""}


def _hashes(entry: Entry) -> set[str]:
    return {str(file["sha256"]) for file in entry.record["model"]["files"]}


def _file_hashes(bundles: Sequence[BundleFiles]) -> set[str]:
    files = [noted for bundle in bundles for noted in (bundle.about.get("files") or {}).values()]
    return {str(noted["sha256"]) for noted in files if noted.get("sha256")}


def number(value: Any) -> float | None:
    """``value`` as a finite float; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _by_iteration(log: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    latest = {record["iter"]: record for record in log if record["kind"] == kind}
    return [latest[iteration] for iteration in sorted(latest)]


def _elapsed_s(log: list[dict[str, Any]]) -> float | None:
    longest = [0.0]
    for record in log:
        if record["kind"] == "resume":
            longest.append(0.0)
        longest[-1] = max(longest[-1], number(record.get("elapsed_s")) or 0.0)
    return sum(longest) or None


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); run the command that writes it again") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: expected a JSON object, but got a {type(content).__name__}; run the command that writes it again"
        )
    return content
