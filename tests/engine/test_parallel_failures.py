"""Jobs in which one process fails, is killed, hangs or was started differently: all end, and say why."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
import yaml

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.loader import train_batches
from paddle_mobileseg.engine import TrainOptions, load_checkpoint
from paddle_mobileseg.engine.same_job import data_facts, job_facts
from tests.launched import Launcher, launched

# `mobileseg train` in which something goes wrong in one rank, in iteration 3.
SCRIPT = """
import os, sys
import numpy as np
import paddle
from paddle_mobileseg.cli import main
from paddle_mobileseg.engine import trainer as module

what, at, *words = sys.argv[1:]
here = os.environ["PADDLE_TRAINER_ID"] == at
original = module.train_batches
def changed(*words, **more):
    for number, batch in enumerate(original(*words, **more)):
        if here and number == 2:
            if what == "nan":
                batch["img"][:] = np.nan
            if what == "label":
                batch["label"][0, 0, 0] = 77
        yield batch
module.train_batches = changed
if what == "save" and here:
    def full(*words):
        raise OSError(28, "No space left on device", "model.pdparams")
    module.save_checkpoint = full
if what == "seed" and here:
    words += ["--seed", "5"]
if what == "root" and here:
    words += ["--data_root", os.environ["OTHER_ROOT"]]
sys.exit(main(["train", *words]))
"""


DATA = {"type": "SyntheticScenes", "mode": "train", "transforms": []}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "script.py"
    path.write_text(SCRIPT)
    return path


def assert_both_end(job: Launcher, failed: int, words: str) -> None:
    """The launcher fails; the rank has its error, and the other one names the rank and the error."""
    assert job.wait() not in (0, None), job.printed()
    own = next(line for line in job.log(failed).splitlines() if line.startswith("error: "))
    other = next((line for line in job.log(1 - failed).splitlines() if line.startswith("error: ")), "")
    assert words in own, job.printed()
    assert f"rank {failed} ({socket.gethostname()}, workerlog.{failed}) failed: " in other, job.printed()
    assert words in other, job.printed()


@pytest.mark.parametrize(
    ("what", "rank", "words"),
    [
        ("label", 0, "expected 0 to 9, or 255 (ignored)"),
        pytest.param("save", 0, "No space left on device", marks=pytest.mark.slow),  # as in test_hooks.py
    ],
)
def test_all_stop_where_one_fails(
    script: Path, config_file: Path, tmp_path: Path, what: str, rank: int, words: str
) -> None:
    folder = tmp_path / "out"
    more = ["--config", config_file, "--save_dir", folder, "--log_iters", "1", "--save_interval", "3"]
    with launched(tmp_path, script, what, rank, *more) as job:
        assert_both_end(job, rank, words)
        assert "--resume auto" in job.log(1 - rank)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    trained = [line["iter"] for line in lines if line["kind"] == "train"]
    assert trained == ([1, 2, 3] if what == "save" else [1, 2])
    assert not list(folder.glob("iter_*"))


def test_what_is_not_finite_in_one_process_stops_all_with_its_files(
    script: Path, config_file: Path, tmp_path: Path
) -> None:
    """NaN in rank 1's images: its loss may be finite all the same, and then the gradients of all are not."""
    folder = tmp_path / "out"
    with launched(tmp_path, script, "nan", 1, "--config", config_file, "--save_dir", folder) as job:
        assert job.wait() not in (0, None), job.printed()
        dataset = build.dataset(load_config(config_file), "train")
        *_, third = itertools.islice(train_batches(dataset, 2, 4, seed=0, rank=1, ranks=2), 3)
        for rank in (0, 1):
            error = next(line for line in job.log(rank).splitlines() if line.startswith("error: "))
            assert " finite at iteration 3" in error or "is nan at iteration 3" in error, job.printed()
            assert all(file in error for file in third["files"]), job.printed()
    assert not list(folder.glob("iter_*"))


@pytest.mark.slow
def test_an_image_that_is_damaged_on_one_machine(script: Path, config_file: Path, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "scenes")
    for path in (tmp_path / "scenes" / "images" / "train").iterdir():
        path.write_bytes(path.read_bytes()[:500])
    words = ["--config", config_file, "--save_dir", tmp_path / "out"]
    environment = {"OTHER_ROOT": str(tmp_path / "scenes")}
    with launched(tmp_path, script, "root", 1, *words, environment=environment) as job:
        assert_both_end(job, 1, str(tmp_path / "scenes" / "images" / "train"))


def test_ranks_with_different_seeds_do_not_start(script: Path, config_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with launched(tmp_path, script, "seed", 1, "--config", config_file, "--save_dir", folder) as job:
        assert job.wait() not in (0, None), job.printed()
        for rank in (0, 1):
            assert "the option seed is 0 in rank 0 and 5 in rank 1" in job.log(rank), job.printed()
    assert not folder.exists()


@pytest.mark.parametrize("change", ["order", "one less"])
def test_other_lists_of_files_differ_and_other_places_do_not(scenes: Path, tmp_path: Path, change: str) -> None:
    def facts(folder: Path) -> dict[str, object]:
        return data_facts(build.component({**DATA, "dataset_root": str(folder)}, "dataset"))

    shutil.copytree(scenes, tmp_path / "moved")
    assert facts(tmp_path / "moved") == facts(scenes)
    listed = tmp_path / "moved" / "train.txt"
    first, second, *rest = listed.read_text().splitlines(keepends=True)
    listed.write_text("".join([second, first, *rest] if change == "order" else [second, *rest]))
    differing = [name for name, value in facts(tmp_path / "moved").items() if value != facts(scenes)[name]]
    files = "the list of training files (its SHA-256)"
    assert differing == ([files] if change == "order" else ["the number of training images", files])


def test_only_what_may_differ_between_machines_may_differ(config_file: Path) -> None:
    cfg = load_config(config_file)
    own = job_facts(cfg, TrainOptions("output", num_workers=2, command="here"))
    places = ["train_dataset.dataset_root=/elsewhere", "model.pretrained=other.pdparams"]
    assert job_facts(cfg.with_changes(places), TrainOptions("other", command="there")) == own
    for changed, name in (
        (job_facts(cfg.with_changes(["optimizer.weight_decay=0.5"]), TrainOptions()), "optimizer.weight_decay of the"),
        (job_facts(cfg, TrainOptions(accumulate=2)), "the option accumulate"),
        ({**own, "the version of numpy": "1.0"}, "the version of numpy"),
    ):
        assert next(key for key in own if changed[key] != own[key]).startswith(name)


def training(
    folder: Path, config_file: Path, repository: Path, iters: int = 200, **settings: object
) -> contextlib.AbstractContextManager[Launcher]:
    words = ["--config", config_file, "--save_dir", folder / "out", "--log_iters", "1", "--save_interval", "2"]
    return launched(folder, repository / "tools" / "train.py", *words, "--iters", iters, "--resume", "auto", **settings)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_job_which_goes_on_with_any_number(
    config_file: Path, repository: Path, tmp_path: Path, killed: int
) -> None:
    with training(tmp_path / "first", config_file, repository) as job:
        job.wait_until((tmp_path / "first" / "out" / "iter_2").is_dir)
        os.kill(job.pids()[killed], signal.SIGKILL)
        assert job.wait() not in (0, None)
        words = f"rank {killed} ({socket.gethostname()}, workerlog.{killed}) has ended without a word"
        assert words in job.log(1 - killed), job.printed()
    if killed == 0:
        return
    saved = max(int(path.name[5:]) for path in (tmp_path / "first" / "out").glob("iter_*"))

    shutil.copytree(tmp_path / "first" / "out", tmp_path / "again" / "out", symlinks=True)
    for folder, processes in (("first", 2), ("again", 1)):
        with training(tmp_path / folder, config_file, repository, 200, processes=processes) as job:
            job.wait_until(lambda: f"iteration {saved} of 200" in job.log(0))
            ready = tmp_path / folder / "out" / f"iter_{saved + 4}"
            job.wait_until(ready.is_dir)
        assert load_checkpoint(ready).iteration == saved + 4


def test_one_process_goes_on_as_two(config_file: Path, repository: Path, tmp_path: Path) -> None:
    with training(tmp_path, config_file, repository, 4, processes=1) as job:
        assert job.wait() == 0, job.printed()
    config = yaml.safe_load((tmp_path / "out" / "config.yml").read_text())
    assert config["iters"] == 4
    words = ["--config", config_file, "--save_dir", tmp_path / "out", "--iters", "6", "--resume", "auto"]
    script = repository / "tools" / "train.py"
    with launched(tmp_path / "two", script, *words, "--allow_changes", processes=2) as job:
        assert job.wait() == 0, job.printed()
    assert load_checkpoint(tmp_path / "out" / "iter_6").iteration == 6


def test_a_process_that_hangs_ends_the_job(config_file: Path, repository: Path, tmp_path: Path) -> None:
    settings = {"environment": {"MOBILESEG_RANK_TIMEOUT": "15"}}
    with training(tmp_path, config_file, repository, **settings) as job:
        log = tmp_path / "out" / "log.jsonl"
        job.wait_until(lambda: log.is_file() and log.read_text().count("\n") >= 2)
        os.kill(job.pids()[1], signal.SIGSTOP)
        assert job.wait() not in (0, None)
        name = f"rank 1 ({socket.gethostname()}, workerlog.1)"
        lost = [
            f"{name} has not come for 15 s: it hangs or is stopped",
            "a process was lost while gradients were exchanged",
        ]
        assert any(words in job.log(0) for words in lost), job.printed()


@pytest.mark.slow  # test_meeting.py has it with threads
def test_rank_0_that_never_starts(config_file: Path, repository: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "if os.environ['PADDLE_TRAINER_ID'] == '0':\n"
        "    time.sleep(100)\n"
        "from paddle_mobileseg.cli import main\n"
        "sys.exit(main(['train', *sys.argv[1:]]))\n"
    )
    words = ["--config", config_file, "--save_dir", tmp_path / "out"]
    with launched(tmp_path, script, *words, environment={"MOBILESEG_RANK_TIMEOUT": "2"}) as job:
        assert job.wait() not in (0, None)
        assert "error: rank 1 could not reach rank 0 at " in job.log(1), job.printed()
