"""The folder that a training writes: one training at a time, and never over another one's results."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from paddle_mobileseg.files import make_output_folder, recover, remove_folder

BEST, LOG = "best_model", "log.jsonl"


@contextlib.contextmanager
def claimed(folder: Path, resume_model: str | None) -> Iterator[None]:
    """Inside the block the folder exists, can be written, and is this training's alone.

    What a killed training left half written is put right first.

    Args:
        folder: where to train into.
        resume_model: a checkpoint to go on from; in the folder itself it allows to go on there.

    Raises:
        OSError: the folder cannot be written.
        FileExistsError: another training writes or has written there, or ``best_model`` is no symbolic link.
    """
    make_output_folder(folder)
    with _locked(folder):
        recover(folder)
        best = folder / BEST
        if best.exists() and not best.is_symlink():
            raise FileExistsError(
                f"{best} is a real folder or file, so no link to the best checkpoint can be made; rename it, or choose "
                "another --save_dir"
            )
        found = _results(folder)
        if found and (resume_model is None or folder.resolve() not in Path(resume_model).resolve().parents):
            newest = checkpoints(folder)
            advice = f"go on with it (--resume_model {newest[-1]})" if newest else "remove it"
            raise FileExistsError(
                f"{folder} has another training's results ({', '.join(path.name for path in found)}); {advice}, or "
                "choose another --save_dir"
            )
        yield


def checkpoints(folder: Path) -> list[Path]:
    """The folders ``iter_N`` in order of N."""
    numbered = [path for path in folder.glob("iter_*") if path.is_dir() and path.name[5:].isdigit()]
    return sorted(numbered, key=lambda path: int(path.name[5:]))


def point_best_to(checkpoint: Path) -> None:
    """Let ``best_model`` be a link to a checkpoint beside it, at once."""
    link = checkpoint.parent / BEST
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    os.symlink(checkpoint.name, temporary, target_is_directory=True)
    os.replace(temporary, link)


def remove_old(saved: Path, keep: int) -> None:
    """Remove the oldest checkpoints above ``keep`` (at least 1); never the best one nor ``saved``, the newest."""
    spared = {(saved.parent / BEST).resolve(), saved.resolve()}
    for path in checkpoints(saved.parent)[: -max(keep, 1)]:
        if path.resolve() not in spared:
            remove_folder(path)


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
