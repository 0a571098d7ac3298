"""Checkpoint folders: damage of any file, values that are not finite, disks that are full or cannot be written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg.config import load_config
from paddle_mobileseg.engine import Trainer, TrainOptions, load_checkpoint
from paddle_mobileseg.engine.checkpoint import FormatError, TrainingState, metrics_of, save_checkpoint
from paddle_mobileseg.files import recover
from paddle_mobileseg.weights import read_weights
from tests.engine.resumed import write_sums


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "iter_4", tmp_path / "iter_4"))


def flip(file: Path, byte: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[byte if byte >= 0 else len(content) // 2] ^= 1
    file.write_bytes(content)


def read_all(folder: Path) -> TrainingState:
    return load_checkpoint(folder).training_state()


def test_every_file_has_its_sum_which_sha256sum_knows(copy: Path) -> None:
    files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    lines = [line.split("  ") for line in (copy / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == files - {"SHA256SUMS"}
    assert len(lines) == 3 + 8  # weights, state, manifest; four images with labels
    manifest = json.loads((copy / "checkpoint.json").read_text())  # which names the weights' sum, as reports need it
    recorded = {name: value for value, name in lines}
    assert manifest["sha256"] == {name: recorded[name] for name in ("model.pdparams", "training.pdopt")}
    if shutil.which("sha256sum"):
        command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
        assert subprocess.run(command, cwd=copy, capture_output=True).returncode == 0


def test_a_flipped_bit_in_any_file_and_a_missing_or_cut_file_is_named(copy: Path) -> None:
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        good = file.read_bytes()
        for position in (0, len(good) // 2, len(good) - 1):
            flip(file, position)
            with pytest.raises((ValueError, FileNotFoundError), match=r"(is damaged|is missing|cannot be used)"):
                read_all(copy)
        file.write_bytes(good[: len(good) // 2])
        with pytest.raises((ValueError, FileNotFoundError), match=r"(is damaged|is missing)"):
            read_all(copy)
        file.unlink()
        with pytest.raises(FileNotFoundError, match=rf"{file.name}( is missing|;)"):
            read_all(copy)
        file.write_bytes(good)
    read_all(copy)


def test_what_lies_beside_the_files_of_a_checkpoint_does_no_harm(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    read_all(copy)


def test_a_folder_that_is_none_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ['{"format": 2, "iter"', "[]", "null", '{"format": 2}', "\xff"])
def test_a_manifest_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoint.json").write_text(text, encoding="latin-1")
    write_sums(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint\.json is damaged"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "change", [{"samples": [3]}, {"config": {}}, {"palette": None}, {"iter": "x"}, {"training": 0}]
)
def test_a_manifest_with_wrong_values_is_refused(copy: Path, change: dict[str, object]) -> None:
    manifest = json.loads((copy / "checkpoint.json").read_text())
    (copy / "checkpoint.json").write_text(json.dumps({**manifest, **change}))
    write_sums(copy)
    with pytest.raises(ValueError, match="iter_4"):
        load_checkpoint(copy)


@pytest.mark.parametrize("line", ["x" * 64 + "  a", "0" * 64 + "  ../../etc/passwd", "0" * 64 + "  /etc/passwd", "\0"])
def test_sums_that_are_none_or_leave_the_folder_are_refused(copy: Path, line: str) -> None:
    with open(copy / "SHA256SUMS", "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match="SHA256SUMS is damaged"):
        load_checkpoint(copy)


def test_the_format_of_earlier_versions_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_text(json.dumps({"format": 1, "iter": 4, "sha256": {}}))
    with pytest.raises(FormatError, match=r"has format 1, which another version .* wrote; this one reads format 2"):
        load_checkpoint(tmp_path)


def test_reading_a_state_runs_no_code_from_it(copy: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (copy / "training.pdopt").write_bytes(pickle.dumps({"network/a": Hostile()}))
    write_sums(copy)
    with pytest.raises(ValueError, match=r"training\.pdopt is not a weights file that can be read \(it asks for"):
        read_all(copy)
    assert not (tmp_path / "ran").exists()


def test_weights_and_state_are_float32_arrays_of_the_network(copy: Path) -> None:
    checkpoint = load_checkpoint(copy)
    state = checkpoint.training_state()
    assert {array.dtype for array in checkpoint.weights.values()} == {np.dtype(np.float32)}
    for group in ("network", "average"):
        assert {name.partition("/")[2] for name in state.arrays if name.startswith(group)} == set(checkpoint.weights)
    for name, array in checkpoint.weights.items():
        np.testing.assert_array_equal(array, state.arrays[f"average/{name}"])  # trained with EMA: what is evaluated
    kinds = {name.rpartition("/")[2] for name in state.arrays if name.startswith("optimizer")}
    assert kinds == {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"}
    beta = state.arrays["optimizer/decode_head.conv_seg.weight/beta1_pow_acc"]
    assert beta == pytest.approx(0.9**5)  # Paddle keeps the power that the next of the steps needs
    values = state.values
    assert (values["iteration"], values["epoch"], values["offset"], values["average_updates"]) == (4, 1, 2, 4)
    assert values["schedule"]["last_epoch"] == 4


def test_metrics_are_read_alone(copy: Path) -> None:
    metrics = metrics_of(copy)
    assert metrics is not None and metrics["miou"] == load_checkpoint(copy).metrics["miou"]  # type: ignore[index]
    (copy / "checkpoint.json").write_text("{")
    assert metrics_of(copy) is None
    assert metrics_of(copy / "nothing") is None


@pytest.mark.parametrize("part", ["weights", "network", "average", "optimizer"])
def test_what_is_not_finite_is_neither_written_nor_resumed_from(
    trained: Path, config_file: Path, tmp_path: Path, part: str
) -> None:
    good = load_checkpoint(trained / "iter_2")
    state = good.training_state()
    weights, arrays = dict(good.weights), dict(state.arrays)
    bad = weights if part == "weights" else arrays
    name = next(name for name in bad if name.startswith(part) or part == "weights")
    bad[name] = np.full_like(bad[name], np.nan)
    manifest = json.loads((good.folder / "checkpoint.json").read_text())
    folder = tmp_path / "run" / "iter_2"
    with pytest.raises(FloatingPointError, match=rf"iter_2 is not written: 1 tensors are not finite \({name}\)"):
        save_checkpoint(folder, weights, dataclasses.replace(state, arrays=arrays), manifest, [])
    assert not folder.exists()

    shutil.copytree(good.folder, folder)
    paddle.save(weights, str(folder / "model.pdparams"))
    paddle.save(arrays, str(folder / "training.pdopt"))
    write_sums(folder)
    options = TrainOptions(str(tmp_path / "other"), ema_decay=0.9, resume_model=str(folder))
    with pytest.raises(ValueError, match=rf"1 tensors that are not finite \({name}\): the training that wrote it had"):
        Trainer(load_config(config_file), options)


def test_a_training_that_diverges_keeps_its_last_good_checkpoint(config_file: Path, tmp_path: Path) -> None:
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path)))
    trainer.save()
    trainer.iteration = 1
    trainer.network.decode_head.conv_seg.bias.set_value(paddle.full([10], float("inf")))
    with pytest.raises(FloatingPointError, match=r"iter_1 is not written: 1 tensors are not finite .*conv_seg\.bias"):
        trainer.save()
    assert [path.name for path in tmp_path.iterdir()] == ["iter_0"]
    assert trainer.saved == tmp_path / "iter_0"
    read_all(tmp_path / "iter_0")


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Files cannot grow beyond 200 kB (EFBIG; Python ignores SIGXFSZ): a full disk without a disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("again", [False, True])
def test_a_disk_that_fills_up_leaves_the_checkpoint_before(copy: Path, again: bool) -> None:
    good = load_checkpoint(copy)
    state, manifest = good.training_state(), json.loads((copy / "checkpoint.json").read_text())
    name = "iter_4" if again else "iter_6"
    with (
        small_files(),
        pytest.raises(OSError, match=rf"checkpoint .*{name} cannot be written: File too large. Earlier"),
    ):
        save_checkpoint(copy.parent / name, good.weights, state, manifest, [])
    assert [path.name for path in copy.parent.iterdir()] == ["iter_4"]
    read_all(copy)


def test_no_space_left_at_every_single_write(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC from each call that writes, in turn."""
    good = load_checkpoint(copy)
    good_state, manifest = good.training_state(), json.loads((copy / "checkpoint.json").read_text())
    samples = [(str(image), str(label)) for image, label in good.samples]
    weights = dict(list(good.weights.items())[:5])  # few, for the sake of time
    state = TrainingState(dict(list(good_state.arrays.items())[:5]), good_state.values)
    left = 0

    def failing(function):  # type: ignore[no-untyped-def]
        def call(*args, **keywords):  # type: ignore[no-untyped-def]
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **keywords)

        return call

    for module, name in (
        (paddle, "save"), (shutil, "copyfile"), (os, "fsync"), (os, "rename"), (os, "replace"),
        (Path, "write_text"), (Path, "mkdir"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, failing(getattr(module, name)))
    kept = []
    for allowed in range(1000):
        left = allowed
        try:
            save_checkpoint(copy, weights, state, manifest, samples)
            break
        except OSError as error:
            assert "No space left on device" in str(error)
        left = 1000
        if not copy.exists():  # not even the old folder could be given its name back; the next start does it
            recover(copy.parent)
        assert [path.name for path in copy.parent.iterdir()] == ["iter_4"]
        kept.append(len(read_all(copy).arrays))
    assert len(kept) > 25
    assert set(kept[:-1]) == {len(good_state.arrays)}  # the last failure is of the folder's own sync: all is there
    assert load_checkpoint(copy).weights.keys() == weights.keys()


def mounted(folder: Path, *options: str) -> bool:
    """Mount a small file system there, where this user may."""
    folder.mkdir(exist_ok=True)
    if sys.platform != "linux" or shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode == 0


def test_a_really_full_disk(config_file: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, "-t", "tmpfs", "-o", "size=36m", "tmpfs"):
        pytest.skip("a small file system cannot be mounted by this user")
    try:
        run = disk / "run"
        options = TrainOptions(str(run), save_interval=1, keep_checkpoint_max=9)
        with pytest.raises(OSError, match=r"iter_\d cannot be written: No space left on device"):
            Trainer(load_config(config_file), options).run()
        saved = sorted(path.name for path in run.glob("iter_*"))
        assert saved and not list(run.glob(".*"))
        for name in saved:
            read_all(run / name)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_cannot_be_written(config_file: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, "-t", "tmpfs", "-o", "size=36m", "tmpfs"):
        pytest.skip("a file system that can only be read cannot be mounted by this user")
    try:
        trainer = Trainer(load_config(config_file), TrainOptions(str(disk / "run")))
        trainer.save()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        trainer.iteration = 1
        with pytest.raises(OSError, match=r"iter_1 cannot be written: .*Read-only file system"):
            trainer.save()
        read_all(disk / "run" / "iter_0")
        with pytest.raises(OSError, match=r"cannot write to .*Read-only file system; choose another output folder"):
            Trainer(load_config(config_file), TrainOptions(str(disk / "run"), resume_model="auto"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_this_user_may_not_write(copy: Path) -> None:
    good = load_checkpoint(copy)
    copy.parent.chmod(0o500)
    try:
        with pytest.raises(OSError, match=r"iter_9 cannot be written: .*Permission denied"):
            save_checkpoint(copy.parent / "iter_9", good.weights, good.training_state(), {}, [])
    finally:
        copy.parent.chmod(0o700)
    read_all(copy)


def test_a_folder_that_is_deleted_during_training_is_made_again(
    config_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(load_config(config_file), TrainOptions(str(tmp_path / "run")))
    trainer.save()
    assert not caplog.text
    shutil.rmtree(tmp_path / "run")
    trainer.iteration = 1
    trainer.save()
    assert f"{tmp_path / 'run'} has been deleted during the training; it is made again" in caplog.text
    read_all(tmp_path / "run" / "iter_1")


def test_weights_alone_are_a_file_of_paddle_seg(copy: Path) -> None:
    assert read_weights(copy / "model.pdparams").keys() == paddle.load(str(copy / "model.pdparams")).keys()
