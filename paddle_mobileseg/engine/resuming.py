"""Which checkpoint a training goes on from, and whether it is still the same training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddle_mobileseg.config import Config
from paddle_mobileseg.engine import parallel
from paddle_mobileseg.engine.checkpoint import Checkpoint, FormatError, TrainingState, load_checkpoint
from paddle_mobileseg.engine.run_folder import checkpoints, repair_best
from paddle_mobileseg.engine.state import check_values, counting_options, resume

if TYPE_CHECKING:
    from paddle_mobileseg.engine.trainer import Trainer

AUTO = "auto"
# Keys of a configuration that cannot change the trained weights. The checkpoint has what "pretrained" names; what
# counts of train_config is among the options, as is to_static_training.
_FREE = ("train_config", "test_config", "test_dataset", "export", "device", "to_static_training", "pretrained")
_MISSING = "not set"
_LOGGER = logging.getLogger("paddle_mobileseg")


class TrainingCompleteError(Exception):
    """``--resume auto`` has found the end of the training: nothing is left to do."""


class Resumption:
    """A checkpoint to go on from, read whole.

    Attributes:
        checkpoint: the checkpoint.
        state: its training's state.
    """

    def __init__(self, checkpoint: Checkpoint, state: TrainingState) -> None:
        self.checkpoint = checkpoint
        self.state = state

    def lacks_evaluation(self, trainer: Trainer) -> bool:
        """Whether the checkpoint was to be evaluated, and an interruption has cut that short."""
        done, options = self.checkpoint.iteration, trainer.options
        due = done % options.save_interval == 0 or done == trainer.cfg.iters
        return options.do_eval and due and self.checkpoint.metrics is None

    def apply(self, trainer: Trainer) -> None:
        """Put a trainer, just built, where it was.

        Raises:
            ValueError: the training data has another number of images, and ``allow_changes`` is not set; or the state
                does not fit the network or the optimizer.
        """
        before, now = self.state.values["train_images"], len(trainer.train_dataset)
        if before != now:
            change = f"the training data had {before} images and has {now}"
            _permit(trainer, self.checkpoint, [change])
        changes = _changes(self.checkpoint.config, trainer.cfg)
        new_schedule = any(key.startswith(("lr_scheduler", "iters")) for key in changes)
        resume(trainer, self.checkpoint, self.state, new_schedule)


def find(trainer: Trainer) -> Resumption | None:
    """The checkpoint that the options name, in every process; ``None`` where training begins.

    Raises:
        FileNotFoundError, ValueError: the checkpoint is damaged; the message names the newest whole one beside it.
        ValueError: the configuration has been changed and ``allow_changes`` is not set, or nothing is left to train.
        TrainingCompleteError: nothing is left to train, with ``auto``.
    """
    wanted, found = trainer.options.resume_model, None
    if wanted is None:
        return None
    if trainer.leads:
        found = _newest_whole(trainer.folder) if wanted == AUTO else _named(Path(wanted))
    found = parallel.broadcast(found, trainer.ranks)
    if found is None:
        _say(trainer, f"there is no whole checkpoint in {trainer.folder}: training begins at iteration 1")
        return None
    _check_same_training(trainer, found)
    folder = found.checkpoint.folder
    if trainer.leads and not trainer.options.dry_run and folder.parent.resolve() == trainer.folder.resolve():
        repair_best(folder, trainer.options.do_eval, found.state.values["best_miou"])
    _check_not_complete(trainer, found)
    _say(trainer, f"going on from {folder}, iteration {found.checkpoint.iteration} of {trainer.cfg.iters}")
    return found


def _check_not_complete(trainer: Trainer, found: Resumption) -> None:
    options, done, iters = trainer.options, found.checkpoint.iteration, trainer.cfg.iters
    patience, waited = options.early_stop if options.do_eval else None, found.state.values["without_gain"]
    if done == iters and found.lacks_evaluation(trainer):
        return
    if done >= iters:
        why, advice = f"has {done} iterations and the configuration asks for {iters}", "set iters higher"
    elif patience is not None and waited >= patience:
        why, advice = f"ended a training by early_stop, {waited} evaluations without gain", "set early_stop higher"
    else:
        return
    text = f"{found.checkpoint.folder} {why}: nothing is left to train"
    raise TrainingCompleteError(text) if options.resume_model == AUTO else ValueError(f"{text}; {advice}")


def _read(path: Path) -> Resumption:
    checkpoint = load_checkpoint(path)
    state = checkpoint.training_state()
    check_values(state.values, str(checkpoint.folder))
    return Resumption(checkpoint, state)


def _newest_whole(folder: Path) -> Resumption | None:
    """The checkpoint of most iterations in a training's folder that is whole. Damaged ones are named and left alone."""
    for path in reversed(checkpoints(folder)):
        try:
            return _read(path)
        except FormatError:
            raise
        except (FileNotFoundError, ValueError) as error:
            _LOGGER.warning("passed over: %s", error)
    return None


def _named(path: Path) -> Resumption:
    """The checkpoint of that path; a link such as ``best_model`` stands for where it leads."""
    if path.is_symlink() and path.exists():
        path = path.resolve()
    try:
        return _read(path)
    except (FileNotFoundError, ValueError) as error:
        for folder in (path, path.parent, path.parent.parent):  # of a run's folder, a checkpoint, or its weights
            whole = _newest_whole(folder)
            if whole is not None:
                newest = whole.checkpoint.folder
                raise type(error)(
                    f"{error}; the newest whole checkpoint there is {newest}: --resume {newest}"
                ) from error
        raise


def _check_same_training(trainer: Trainer, found: Resumption) -> None:
    """Refuse what would make another training of it, unless the user has agreed to that."""
    before, cfg = found.checkpoint.config, trainer.cfg
    optimizers = before.optimizer["type"], cfg.optimizer["type"]
    if optimizers[0] != optimizers[1]:
        raise ValueError(
            f"{found.checkpoint.folder} was trained with the optimizer {optimizers[0]}, not {optimizers[1]}; resume "
            "with the same"
        )
    values = found.state.values
    now = counting_options(trainer.options)
    changes = {
        **_changes(before, cfg),
        **{
            name: (values["options"].get(name, _MISSING), now.get(name, _MISSING))
            for name in sorted({*values["options"], *now})
        },
    }
    lines = [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changes.items() if old != new]
    if lines:
        _permit(trainer, found.checkpoint, lines)
    for key, (old, new) in _moved(before, cfg).items():
        _say(trainer, f"note: {key} has moved from {old} to {new}")
    if values["ranks"] != trainer.ranks.count:
        _say(
            trainer,
            f"note: {values['ranks']} process(es) before, {trainer.ranks.count} now: an iteration takes another number "
            "of images, and the shuffled data goes on where it was",
        )


def _permit(trainer: Trainer, checkpoint: Checkpoint, lines: list[str]) -> None:
    """Say what has changed, if the user has agreed to changes.

    Raises:
        ValueError: the user has not, or (in the first process) later checkpoints of the unchanged training lie in the
            same folder.
    """
    text = "".join(f"\n  {line}" for line in lines)
    folder = checkpoint.folder
    if not trainer.options.allow_changes:
        raise ValueError(
            f"{folder} is of a training with another configuration; what has changed:{text}\nGo on as it was (its "
            "configuration is in config.yml beside it), or with the changes: --allow_changes"
        )
    # The first process's folder counts: one of that name on another machine is of no interest.
    inside = trainer.leads and folder.parent.resolve() == trainer.folder.resolve()
    later = checkpoints(folder.parent) if inside else []
    if later and later[-1].resolve() != folder.resolve():
        raise ValueError(
            f"{folder.parent} has checkpoints behind {folder.name} (up to {later[-1].name}) that were trained without "
            f"these changes; choose another --save_dir. What has changed:{text}"
        )
    _say(trainer, f"going on from {folder} with a changed configuration:{text}")


def _changes(before: Config, now: Config) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, with both; less those that cannot change the trained weights, and places of data."""
    return {key: pair for key, pair in _differences(before, now) if not key.endswith("dataset_root")}


def _moved(before: Config, now: Config) -> dict[str, tuple[Any, Any]]:
    return {key: pair for key, pair in _differences(before, now) if key.endswith("dataset_root")}


def _differences(before: Config, now: Config) -> Iterator[tuple[str, tuple[Any, Any]]]:
    old, new = (cfg.leaves(_FREE) for cfg in (before, now))
    for key in dict.fromkeys([*old, *new]):
        pair = old.get(key, _MISSING), new.get(key, _MISSING)
        if pair[0] != pair[1]:
            yield key, pair


def _say(trainer: Trainer, text: str) -> None:
    if trainer.leads:
        _LOGGER.info("%s", text)
