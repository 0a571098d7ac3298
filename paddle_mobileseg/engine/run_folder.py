"""The folder that a training writes: one training at a time, and never over another one's results."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from paddle_mobileseg.engine.checkpoint import metrics_of
from paddle_mobileseg.files import make_output_folder, recover, remove_folder, sync

BEST, LOG = "best_model", "log.jsonl"
_NEW_BEST = f".{BEST}.new"


@contextlib.contextmanager
def claimed(folder: Path, resume_model: str | None) -> Iterator[None]:
    """Inside the block the folder exists, can be written, and is this training's alone.

    What a killed training left half written is put right first.

    Args:
        folder: where to train into.
        resume_model: a checkpoint to go on from; in the folder itself, or ``auto``, it allows to go on there.

    Raises:
        OSError: the folder cannot be written.
        FileExistsError: another training writes or has written there, or ``best_model`` is no symbolic link.
    """
    make_output_folder(folder)
    with _locked(folder):
        recover(folder)
        (folder / _NEW_BEST).unlink(missing_ok=True)
        best = folder / BEST
        if best.exists() and not best.is_symlink():
            raise FileExistsError(
                f"{best} is a real folder or file, so no link to the best checkpoint can be made; rename it, or choose "
                "another --save_dir"
            )
        found = _results(folder)
        if found and not _goes_on_in(folder, resume_model):
            advice = "go on with it (--resume auto)" if checkpoints(folder) else "remove it"
            raise FileExistsError(
                f"{folder} has another training's results ({', '.join(path.name for path in found)}); {advice}, or "
                "choose another --save_dir"
            )
        yield


def checkpoints(folder: Path) -> list[Path]:
    """The folders ``iter_N`` in order of N."""
    numbered = [path for path in folder.glob("iter_*") if path.is_dir() and path.name[5:].isdigit()]
    return sorted(numbered, key=_number)


def point_best_to(checkpoint: Path) -> None:
    """Let ``best_model`` be a link to a checkpoint beside it, at once."""
    link = checkpoint.parent / BEST
    temporary = link.with_name(_NEW_BEST)
    temporary.unlink(missing_ok=True)
    os.symlink(checkpoint.name, temporary, target_is_directory=True)
    os.replace(temporary, link)
    sync(link.parent)


def is_best_here(checkpoint: Path) -> bool:
    """Whether it has a higher mIoU than what ``best_model`` beside it leads to, or that leads nowhere.

    A training that goes on in another folder may have had its best checkpoint in the first one.
    """
    here, best = ((metrics_of(path) or {}).get("miou") for path in (checkpoint, checkpoint.parent / BEST))
    return here is not None and (best is None or here > best)


def repair_best(resumed: Path, evaluates: bool, best_miou: float) -> None:
    """Let ``best_model`` be what it was, or was about to be, when training wrote the checkpoint that it goes on from.

    Args:
        resumed: that checkpoint.
        evaluates: whether the best one is chosen by evaluation; otherwise it is the newest.
        best_miou: of the evaluations up to then.
    """
    link = resumed.parent / BEST
    if not evaluates:
        if link.resolve() != resumed.resolve():
            point_best_to(resumed)
        return
    known = [path for path in checkpoints(resumed.parent) if _number(path) <= _number(resumed)]
    metrics = {path: metrics_of(path) for path in known}
    evaluated = {path: each["miou"] for path, each in metrics.items() if each is not None}
    scores = {path: miou for path, miou in evaluated.items() if miou is not None}
    best = [path for path in scores if scores[path] == best_miou]
    if link.exists() and link.resolve() in [path.resolve() for path in best]:
        return
    if scores:
        point_best_to(best[0] if best else max(scores, key=lambda path: scores[path]))
    elif evaluated:
        point_best_to(max(evaluated, key=_number))  # the newest, while no class occurs


def remove_old(saved: Path, keep: int) -> None:
    """Remove the oldest checkpoints above ``keep`` (at least 1).

    Spared are the best one, ``saved``, and what has more iterations than it: that is of an earlier training, was
    perhaps passed over as damaged, and does not count.
    """
    spared = {(saved.parent / BEST).resolve(), saved.resolve()}
    own = [path for path in checkpoints(saved.parent) if _number(path) <= _number(saved)]
    for path in own[: -max(keep, 1)]:
        if path.resolve() not in spared:
            remove_folder(path)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name[5:])


def _goes_on_in(folder: Path, resume_model: str | None) -> bool:
    if resume_model is None or resume_model == "auto":
        return resume_model is not None
    resumed = Path(resume_model).resolve()
    return folder.resolve() in (resumed, *resumed.parents)


def _results(folder: Path) -> list[Path]:
    log = folder / LOG
    written = [log] if log.is_file() and log.stat().st_size else []
    return [*written, *checkpoints(folder)[-1:]]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock on the folder, which the kernel releases however the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileExistsError(f"another training is writing to {folder}; choose another --save_dir") from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)
