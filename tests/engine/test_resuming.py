"""Which checkpoint a training goes on from: the newest whole one, and only with the same configuration."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.resuming import TrainingCompleteError, _permit
from paddle_mobileseg.engine.run_folder import is_best_here
from tests.engine.resumed import assert_same_training, flip, losses, train, tree, write_sums


@pytest.fixture(scope="module")
def whole(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of four iterations with a checkpoint of each."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(load_config(config_file), folder, save_interval=1, ema_decay=0.9)
    return folder


TWELVE_CLASSES = [
    "model.num_classes=12",
    *(f"{split}_dataset.{setting}" for split in ("train", "val") for setting in ("type=Dataset", "num_classes=12")),
]
OPTIONS: dict[str, Any] = {"save_interval": 1, "ema_decay": 0.9}


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that has done three of the four iterations."""
    folder = Path(shutil.copytree(whole, tmp_path / "run", symlinks=True))
    shutil.rmtree(folder / "iter_4")
    (folder / "best_model").unlink()
    (folder / "best_model").symlink_to("iter_3")
    return folder


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "rubbish", "a log"])
def test_auto_begins_where_there_is_no_checkpoint_and_says_so(
    whole: Path, config_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, there: str
) -> None:
    caplog.set_level(logging.INFO, "paddle_mobileseg")
    folder = tmp_path / "runs" / "new"
    if there != "nothing":
        folder.mkdir(parents=True)
    if there == "rubbish":
        (folder / ".iter_2.abcd_123" / "iter_2").mkdir(parents=True)
        (folder / ".best_model.new").symlink_to("iter_2")
    if there == "a log":
        (folder / "log.jsonl").write_text('{"kind": "train", "iter": 1, "loss": 9}\n{"kin')
    train(load_config(config_file), folder, **OPTIONS)
    assert f"there is no whole checkpoint in {folder}: training begins at iteration 1" in caplog.text
    assert_same_training(whole, folder, "iter_4")
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((name, flip) for name in ("model.pdparams", "training.pdopt", "checkpoint.json", "samples/02_label.png")),
        *((name, Path.unlink) for name in ("training.pdopt", "SHA256SUMS")),
        *((name, lambda path: os.truncate(path, 10)) for name in ("model.pdparams", "SHA256SUMS")),
    ],
)
def test_auto_passes_over_damaged_checkpoints_and_deletes_nothing(
    run: Path, config_file: Path, caplog: pytest.LogCaptureFixture, file: str, damage: Callable[[Path], None]
) -> None:
    caplog.set_level(logging.INFO, "paddle_mobileseg")
    damage(run / "iter_3" / file)
    before = tree(run)
    trainer = Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", **OPTIONS))
    assert trainer.iteration == 2
    assert tree(run) == before
    assert "passed over" in caplog.text and f"{run / 'iter_3'}" in caplog.text
    assert f"going on from {run / 'iter_2'}, iteration 2 of 4" in caplog.text
    assert os.readlink(run / "best_model") == "iter_2"  # without evaluation the best one is the newest


def test_after_damage_training_ends_as_if_nothing_had_happened(whole: Path, run: Path, config_file: Path) -> None:
    flip(run / "iter_3" / "training.pdopt")
    (run / "iter_2" / "model.pdparams").unlink()
    train(load_config(config_file), run, **OPTIONS, keep_checkpoint_max=1)
    assert_same_training(whole, run, "iter_4")
    assert os.readlink(run / "best_model") == "iter_4"


def test_old_checkpoints_go_only_when_a_new_one_is_whole(run: Path, config_file: Path) -> None:
    """The only whole one stays although damaged ones have more iterations, and goes when there is a newer one."""
    for name in ("iter_2", "iter_3"):
        flip(run / name / "model.pdparams")
    trainer = Trainer(
        load_config(config_file), TrainOptions(str(run), resume_model="auto", keep_checkpoint_max=1, **OPTIONS)
    )
    seen = []
    save = trainer.save
    trainer.save = lambda: (seen.append(sorted(p.name for p in run.glob("iter_*"))), save())[1]  # type: ignore[func-returns-value,method-assign]
    trainer.run()
    assert seen == [["iter_1", "iter_2", "iter_3"], ["iter_2", "iter_3"], ["iter_3"]]
    assert [path.name for path in run.glob("iter_*")] == ["iter_4"]


def test_auto_begins_anew_where_all_checkpoints_are_damaged(
    whole: Path, run: Path, config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in run.glob("iter_*"):
        flip(path / "checkpoint.json")
    train(load_config(config_file), run, **OPTIONS)
    assert caplog.text.count("passed over") == 3
    assert_same_training(whole, run, "iter_4")


def test_auto_does_not_begin_anew_over_what_another_version_wrote(run: Path, config_file: Path) -> None:
    manifest = run / "iter_3" / "checkpoint.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 1}))
    (run / "iter_3" / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="has format 1"):
        Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", **OPTIONS))


@pytest.mark.parametrize("name", ["iter_3", "best_model", "iter_3/model.pdparams", "iter_9", "."])
def test_a_damaged_checkpoint_asked_for_names_the_newest_whole_one(run: Path, config_file: Path, name: str) -> None:
    flip(run / "iter_3" / "samples" / "00_image.jpg")
    with pytest.raises(
        (ValueError, FileNotFoundError), match=rf"; the newest whole checkpoint .* --resume {run}/iter_2"
    ):
        Trainer(load_config(config_file), TrainOptions(str(run), resume_model=str(run / name), **OPTIONS))


def test_a_state_that_does_not_fit_is_refused_though_its_sums_are_right(run: Path, config_file: Path) -> None:
    def read() -> None:
        Trainer(load_config(config_file), TrainOptions(str(run / "other"), resume_model=str(run / "iter_1"), **OPTIONS))

    file = run / "iter_1" / "training.pdopt"
    good = load_checkpoint(run / "iter_1").training_state().arrays
    names = list(good)
    network = next(name for name in names if name.startswith("network"))
    moment = next(name for name in names if name.endswith("moment2"))
    average = next(name for name in names if name.startswith("average"))
    for name, message in ((network, "another network"), (moment, "does not fit AdamW"), (average, "averaged weights")):
        for change in ({}, {name: np.zeros([1, 2, 3], np.float32)}):
            paddle.save({**{key: array for key, array in good.items() if key != name}, **change}, str(file))
            write_sums(file.parent)
            with pytest.raises(ValueError, match=rf"{message}|is \[1, 2, 3\], expected \["):
                read()
    paddle.save({**good, "optimizer/no.such.weight/moment1": np.zeros(1, np.float32)}, str(file))
    write_sums(file.parent)
    with pytest.raises(ValueError, match=r"names that the network lacks \(no\.such\.weight\)"):
        read()
    paddle.save(good, str(file))
    manifest = json.loads((run / "iter_1" / "checkpoint.json").read_text())
    for key in manifest["training"]:
        values = {**manifest["training"], key: "x"}
        (run / "iter_1" / "checkpoint.json").write_text(json.dumps({**manifest, "training": values}))
        write_sums(file.parent)
        with pytest.raises(ValueError, match=rf"does not hold the state of a training: {key} missing or of a wrong"):
            read()


def test_the_end_of_a_training_is_no_error_for_auto(
    whole: Path, config_file: Path, run_command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = shutil.copytree(whole, tmp_path / "run", symlinks=True)
    (folder / "best_model").unlink()
    (folder / "best_model").symlink_to("iter_3")  # a kill between the last checkpoint and the link
    before = tree(folder)
    words = ["train", "--config", config_file, "--save_dir", folder, "--opts", "train_config.ema_decay=0.9"]
    status, _, err = run_command(*words, "--resume", "auto")
    assert status == 0
    assert f"{folder / 'iter_4'} has 4 iterations and the configuration asks for 4: nothing is left to train" in err
    assert "error" not in err
    assert tree(folder) == before
    assert os.readlink(folder / "best_model") == "iter_4"
    status, _, err = run_command(*words, "--resume_model", folder / "iter_4")
    assert status == 1
    assert "error: " in err and "nothing is left to train; set iters higher" in err


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command ``mobileseg`` with these words: its exit status, what it prints, and its error output."""
    from paddle_mobileseg.cli import main

    def call(*words: object) -> tuple[int, str, str]:
        root = logging.getLogger()
        handlers = root.handlers[:]
        root.handlers.clear()  # so that the command sets up its own
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        finally:
            root.handlers[:] = handlers
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def test_a_training_that_gained_no_more_is_complete(run: Path, config_file: Path) -> None:
    manifest = json.loads((run / "iter_3" / "checkpoint.json").read_text())
    manifest["training"]["without_gain"] = 2
    (run / "iter_3" / "checkpoint.json").write_text(json.dumps(manifest))
    write_sums(run / "iter_3")
    cfg, options = load_config(config_file), {**OPTIONS, "do_eval": True, "resume_model": "auto"}
    with pytest.raises(TrainingCompleteError, match="early_stop, 2 evaluations without gain: nothing is left to train"):
        Trainer(cfg, TrainOptions(str(run), early_stop=2, **options))
    trainer = Trainer(cfg, TrainOptions(str(run), early_stop=3, **options))
    assert (trainer.iteration, trainer.without_gain) == (3, 2)


CHANGES = [
    (["batch_size=1"], {}, ["batch_size: 2 -> 1"]),
    (["iters=6", "lr_scheduler.learning_rate=0.02"], {}, ["iters: 4 -> 6", "lr_scheduler.learning_rate: 0.01 -> 0.02"]),
    (
        ["train_dataset.transforms.0.crop_size=[32, 32]"],
        {},
        [r"train_dataset.transforms.0.crop_size: \[64, 64\] -> \["],
    ),
    (["optimizer.beta1=0.8"], {}, ["optimizer.beta1: 'not set' -> 0.8"]),
    ([], {"seed": 5}, ["seed: 0 -> 5"]),
    ([], {"ema_decay": None}, ["ema_decay: 0.9 -> None"]),
    ([], {"ema_decay": 0.99, "accumulate": 2}, ["accumulate: 1 -> 2", "ema_decay: 0.9 -> 0.99"]),
    ([], {"precision": "bf16"}, ["precision: 'fp32' -> 'bf16'", "amp_level: 'not set' -> 'O1'"]),
    ([], {"freeze_backbone": True}, ["freeze_backbone: False -> True"]),
]


@pytest.mark.parametrize(("overrides", "options", "lines"), CHANGES)
def test_a_changed_configuration_is_listed_and_needs_consent(
    run: Path,
    config_file: Path,
    caplog: pytest.LogCaptureFixture,
    overrides: list[str],
    options: dict,
    lines: list[str],
) -> None:
    caplog.set_level(logging.INFO, "paddle_mobileseg")
    cfg = load_config(config_file, overrides=overrides)
    options = {**OPTIONS, "resume_model": "auto", **options}
    before = tree(run)
    with pytest.raises(ValueError, match="iter_3 is of a training with another configuration") as refusal:
        Trainer(cfg, TrainOptions(str(run), **options))
    for line in lines:
        assert re.search(rf"\n  {line}", str(refusal.value)), str(refusal.value)
    assert str(refusal.value).count("->") == len(lines)
    assert tree(run) == before

    trainer = train(cfg, run, allow_changes=True, **options)
    assert trainer.iteration == cfg.iters
    for line in lines:
        assert re.search(rf"\n  {line}", caplog.text)


def test_a_new_schedule_begins_where_it_would_be(run: Path, config_file: Path) -> None:
    cfg = load_config(config_file, overrides=["iters=6", "lr_scheduler.learning_rate=0.02"])
    train(cfg, run, allow_changes=True, **OPTIONS)
    rates = [rate for iteration, _, rate in losses(run) if iteration > 3]
    np.testing.assert_allclose(rates, [0.02 * (1 - n / 6) ** 0.9 for n in (3, 4, 5)], rtol=1e-12)


def test_an_average_begins_with_the_weights_where_there_was_none(config_file: Path, tmp_path: Path) -> None:
    cfg = load_config(config_file)
    train(cfg, tmp_path, 2)
    trainer = Trainer(cfg, TrainOptions(str(tmp_path), resume_model="auto", ema_decay=0.9, allow_changes=True))
    assert trainer.average is not None and trainer.average.updates == 0
    for name, array in load_checkpoint(tmp_path / "iter_2").weights.items():
        np.testing.assert_array_equal(trainer.average.average[name].numpy(), array)


@pytest.mark.parametrize(
    ("overrides", "options"),
    [
        (["test_config.flip_horizontal=True", "device=cpu", "export.transforms=[{type: Normalize}]"], {}),
        (["train_config.save_interval=7", "train_config.log_iters=3", "train_config.keep_checkpoint_max=2"], {}),
        (["model.backbone.pretrained=/nowhere/weights.pdparams"], {}),
        ([], {"num_workers": 2, "save_interval": 3, "log_iters": 2, "keep_checkpoint_max": 1, "do_eval": True}),
    ],
)
def test_what_cannot_change_the_weights_may_change(
    run: Path, config_file: Path, overrides: list[str], options: dict[str, Any]
) -> None:
    cfg = load_config(config_file, overrides=overrides)
    Trainer(cfg, TrainOptions(str(run), resume_model="auto", **{**OPTIONS, **options}))


def test_data_that_have_moved_are_noted_and_other_data_refused(
    run: Path, scenes: Path, config_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddle_mobileseg")
    moved = shutil.copytree(scenes, tmp_path / "elsewhere")
    cfg = load_config(config_file, data_root=moved)
    Trainer(cfg, TrainOptions(str(run), resume_model="auto", **OPTIONS))
    assert f"note: train_dataset.dataset_root has moved from {scenes} to {moved}" in caplog.text
    lines = (moved / "train.txt").read_text().splitlines()
    (moved / "train.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match="the training data had 6 images and has 5"):
        Trainer(cfg, TrainOptions(str(run), resume_model="auto", **OPTIONS))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.backbone.type=MobileSeg_Base"], "another network"),
        (TWELVE_CLASSES, r"conv_seg.weight is \[10, .*expected \[12, "),
    ],
)
def test_another_network_is_always_refused(
    run: Path, config_file: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    cfg, options = load_config(config_file, overrides=overrides), {**OPTIONS, "resume_model": str(run / "iter_1")}
    with pytest.raises(ValueError, match=message):
        Trainer(cfg, TrainOptions(str(tmp_path / "other"), allow_changes=True, **options))


def test_another_optimizer_is_always_refused(run: Path, config_file: Path) -> None:
    cfg = load_config(config_file, overrides=["optimizer={type: SGD, momentum: 0.9}"])
    with pytest.raises(ValueError, match="optimizer AdamW, not Momentum"):
        Trainer(cfg, TrainOptions(str(run), resume_model="auto", allow_changes=True, **OPTIONS))


def test_changes_do_not_go_on_beside_later_checkpoints_without_them(run: Path, config_file: Path) -> None:
    cfg = load_config(config_file, overrides=["batch_size=1"])
    options = {**OPTIONS, "resume_model": str(run / "iter_1"), "allow_changes": True}
    with pytest.raises(ValueError, match=r"checkpoints behind iter_1 \(up to iter_3\).*choose another --save_dir"):
        Trainer(cfg, TrainOptions(str(run), **options))
    trainer = Trainer(cfg, TrainOptions(str(run.parent / "other"), **options))
    assert (trainer.iteration, trainer.cursor.offset) == (1, 2)


def test_a_folder_of_that_name_on_another_machine_does_not_count(run: Path) -> None:
    options = SimpleNamespace(allow_changes=True)
    checkpoint = load_checkpoint(run / "iter_1")
    refused = pytest.raises(ValueError, match="checkpoints behind iter_1")
    for leads, expected in ((True, refused), (False, nullcontext())):
        with expected:
            _permit(SimpleNamespace(leads=leads, options=options, folder=run), checkpoint, ["x"])  # type: ignore[arg-type]


def test_another_number_of_processes_is_noted_and_goes_on_in_the_data(
    run: Path, config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddle_mobileseg")
    manifest = json.loads((run / "iter_3" / "checkpoint.json").read_text())
    manifest["training"].update(ranks=3, epoch=2, offset=5)
    (run / "iter_3" / "checkpoint.json").write_text(json.dumps(manifest))
    write_sums(run / "iter_3")
    trainer = Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", **OPTIONS))
    assert "note: 3 process(es) before, 1 now" in caplog.text
    assert (trainer.cursor.epoch, trainer.cursor.offset) == (2, 5)


def evaluated(folder: Path, scores: dict[int, float | None], best: float) -> None:
    """Let checkpoints look as if they had been evaluated."""
    for number, miou in scores.items():
        file = folder / f"iter_{number}" / "checkpoint.json"
        manifest = json.loads(file.read_text())
        manifest["metrics"] = None if miou is None else {"miou": None if miou == "undefined" else miou}
        manifest["training"]["best_miou"] = best
        file.write_text(json.dumps(manifest))
        write_sums(file.parent)


@pytest.mark.parametrize(
    ("scores", "best", "link", "expected"),
    [
        ({1: 0.2, 2: 0.5, 3: 0.4}, 0.5, "iter_2", "iter_2"),
        ({1: 0.2, 2: 0.5, 3: 0.6}, 0.6, "iter_2", "iter_3"),  # killed before the link was set
        ({1: 0.5, 2: 0.5, 3: 0.5}, 0.5, "iter_1", "iter_1"),  # the first of equal ones stays
        ({1: 0.2, 2: 0.5, 3: 0.4}, 0.5, "iter_99", "iter_2"),  # a link to nothing
        ({1: 0.2, 2: 0.5, 3: 0.4}, 0.5, None, "iter_2"),
        ({1: 0.2, 2: 0.3, 3: 0.1}, 0.9, "iter_99", "iter_2"),  # the best one has been deleted
        ({1: None, 2: None, 3: None}, -1.0, None, None),  # never evaluated
        ({1: "undefined", 2: "undefined", 3: None}, -1.0, None, "iter_2"),  # all labels ignored: the newest
    ],
)
def test_the_link_to_the_best_checkpoint_is_put_right(
    run: Path, config_file: Path, scores: dict, best: float, link: str | None, expected: str | None
) -> None:
    evaluated(run, scores, best)
    (run / "best_model").unlink()
    if link is not None:
        (run / "best_model").symlink_to(link)
    trainer = Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", do_eval=True, **OPTIONS))
    assert trainer.best_miou == best
    assert (os.readlink(run / "best_model") if (run / "best_model").is_symlink() else None) == expected


def test_a_best_checkpoint_behind_the_one_gone_on_from_is_not_the_best(run: Path, config_file: Path) -> None:
    evaluated(run, {1: 0.2, 2: 0.1}, 0.2)
    flip(run / "iter_3" / "model.pdparams")  # best_model leads there
    Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", do_eval=True, **OPTIONS))
    assert os.readlink(run / "best_model") == "iter_1"


def test_another_folder_has_a_best_checkpoint_of_its_own(run: Path, config_file: Path, tmp_path: Path) -> None:
    evaluated(run, {1: 0.2, 2: 2.0, 3: 0.4}, 2.0)
    other = tmp_path / "other"
    options = TrainOptions(str(other), resume_model=str(run / "iter_3"), do_eval=True, **OPTIONS)
    Trainer(load_config(config_file), options).run()
    assert os.readlink(other / "best_model") == "iter_4"
    records = [json.loads(line) for line in (other / "log.jsonl").read_text().splitlines()]
    assert [each["best"] for each in records if each["kind"] == "checkpoint"] == [True]
    assert (records[-1]["best_miou"], records[-1]["best_checkpoint"]) == (2.0, "iter_4")


@pytest.mark.parametrize(
    ("scores", "link", "expected"),
    [
        ({1: 0.5, 2: 0.6}, "iter_1", True),
        ({1: 0.6, 2: 0.6}, "iter_1", False),
        ({1: 0.6, 2: None}, "iter_1", False),
        ({1: None, 2: 0.1}, "iter_1", True),
        ({2: 0.1}, "iter_99", True),
        ({2: None}, "iter_99", False),
    ],
)
def test_whether_a_checkpoint_is_better_than_the_linked_one(
    run: Path, scores: dict[int, float | None], link: str, expected: bool
) -> None:
    evaluated(run, scores, 0.9)
    (run / "best_model").unlink()
    (run / "best_model").symlink_to(link)
    assert is_best_here(run / "iter_2") is expected


def test_two_cannot_go_on_from_one_folder_at_once(run: Path, config_file: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from paddle_mobileseg.engine.run_folder import claimed\n"
        "with claimed(Path(sys.argv[1]), 'auto'): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script, str(run)], stdin=pipe, stdout=pipe) as first:
        assert first.stdout is not None and first.stdout.readline() == b"held\n"
        with pytest.raises(FileExistsError, match="another training is writing"):
            Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", **OPTIONS))
        first.kill()
    Trainer(load_config(config_file), TrainOptions(str(run), resume_model="auto", **OPTIONS))
