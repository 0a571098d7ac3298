"""Whose a training's folder is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions
from paddle_mobileseg.engine.run_folder import checkpoints, claimed, point_best_to, remove_old

CLAIM = "import sys; from pathlib import Path; from paddle_mobileseg.engine.run_folder import claimed\n"
HOLD = "with claimed(Path(sys.argv[1]), None): print('held', flush=True); sys.stdin.read()"


def test_another_trainings_results_are_not_written_over(trained: Path, config_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=r"log.jsonl, iter_4\); go on with it \(--resume auto\)"):
        Trainer(load_config(config_file), TrainOptions(str(trained)))
    with claimed(trained, str(trained / "best_model")):
        pass
    with claimed(trained, "auto"):
        pass
    other = tmp_path / "other" / "iter_7"
    other.mkdir(parents=True)
    with pytest.raises(FileExistsError, match="choose another --save_dir"), claimed(trained, str(other)):
        pass


def test_a_folder_with_other_things_or_an_empty_log_is_free(tmp_path: Path) -> None:
    for name in ("log.jsonl", "val.json", "iter_notes"):
        (tmp_path / name).touch()
    with claimed(tmp_path, None):
        pass


def test_two_trainings_at_once_into_one_folder_are_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLAIM + HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(FileExistsError, match="another training is writing"), claimed(tmp_path, None):
            pass
        first.kill()
    with claimed(tmp_path, None):
        assert list(tmp_path.iterdir()) == []


def test_a_real_best_model_is_refused_at_the_start(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "best_model").mkdir()
    with pytest.raises(FileExistsError, match="best_model is a real folder"):
        Trainer(load_config(config_file), TrainOptions(str(tmp_path)))


def test_what_a_killed_training_left_is_put_right(tmp_path: Path) -> None:
    holder = tmp_path / ".iter_3.ab_12xyz"
    (holder / "iter_3").mkdir(parents=True)
    (holder / "previous").mkdir()
    with claimed(tmp_path, str(tmp_path / "iter_3")):
        assert [path.name for path in tmp_path.iterdir()] == ["iter_3"]


def test_later_checkpoints_than_the_one_just_saved_stay_and_do_not_count(tmp_path: Path) -> None:
    """They are of an earlier training that went further, and may be damaged."""
    for number in (1, 2, 3, 100, 20):
        (tmp_path / f"iter_{number}").mkdir()
    point_best_to(tmp_path / "iter_1")
    remove_old(tmp_path / "iter_3", keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["iter_1", "iter_2", "iter_3", "iter_20", "iter_100"]
    remove_old(tmp_path / "iter_3", keep=1)
    assert [path.name for path in checkpoints(tmp_path)] == ["iter_1", "iter_3", "iter_20", "iter_100"]
    assert not list(tmp_path.glob(".*"))


def test_half_a_link_to_the_best_checkpoint_goes(tmp_path: Path) -> None:
    (tmp_path / ".best_model.new").symlink_to("iter_3")
    with claimed(tmp_path, "auto"):
        assert not list(tmp_path.iterdir())
