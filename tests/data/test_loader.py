"""Batches: order, reproducibility, errors, worker processes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data import transforms as T
from paddle_mobileseg.data import workers
from paddle_mobileseg.data.datasets import Dataset
from paddle_mobileseg.data.loader import Cursor, draw_sample, eval_samples, train_batches
from tests.processes import children, is_running, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="child processes are counted through /proc")
TRAIN = [T.ResizeStepScaling(0.5, 2.0, 0.25), T.RandomPaddingCrop([24, 16]), T.RandomHorizontalFlip(), T.Normalize()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven pairs; the label of image i is class i."""
    lines = []
    for i in range(7):
        rng = np.random.default_rng(i)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / f"image{i}.png")
        Image.fromarray(np.full((20, 30), i, np.uint8)).save(tmp_path / f"label{i}.png")
        lines.append(f"image{i}.png label{i}.png")
    (tmp_path / "train.txt").write_text("\n".join(lines))
    (tmp_path / "val.txt").write_text("\n".join(lines))
    return tmp_path


def make(root: Path, mode: str = "train", transforms: list | None = None) -> Dataset:
    steps = (TRAIN if mode == "train" else [T.Normalize()]) if transforms is None else transforms
    return Dataset(mode, str(root), steps, 7)


def assert_same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a["files"] == b["files"]
        np.testing.assert_array_equal(a["img"], b["img"])
        np.testing.assert_array_equal(a["label"], b["label"])


def test_batches(root: Path) -> None:
    batch = next(train_batches(make(root), 3, 10, seed=0))
    assert batch["img"].shape == (3, 3, 16, 24) and batch["img"].dtype == np.float32
    assert batch["label"].shape == (3, 16, 24) and batch["label"].dtype == np.int64
    for file, label in zip(batch["files"], batch["label"], strict=True):
        assert set(np.unique(label)) <= {int(Path(file).stem[-1]), 255}


def test_every_epoch_has_every_image_at_most_once_in_new_order(root: Path) -> None:
    files = [batch["files"] for batch in train_batches(make(root), 3, 40, seed=0)]
    epochs = [files[i] + files[i + 1] for i in range(0, 40, 2)]  # 7 images: two batches of three, one image left out
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    assert len({file for epoch in epochs for file in epoch}) == 7


def test_augmentations_differ_between_epochs(root: Path) -> None:
    (root / "train.txt").write_text("image0.png label0.png")
    dataset = make(root, transforms=[T.RandomDistort(brightness_prob=1), *TRAIN])
    images = [batch["img"].tobytes() for batch in train_batches(dataset, 1, 12, seed=0)]
    assert len(set(images)) == 12


def test_seed_decides(root: Path) -> None:
    first = list(train_batches(make(root), 2, 5, seed=3))
    assert_same(first, list(train_batches(make(root), 2, 5, seed=3)))
    other = list(train_batches(make(root), 2, 5, seed=-4))
    assert [batch["files"] for batch in first] != [batch["files"] for batch in other]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_continuing_gives_the_same_batches(root: Path, num_workers: int) -> None:
    whole = list(train_batches(make(root), 2, 9, seed=3))  # three batches an epoch
    for done, start in ((1, Cursor(0, 2)), (3, Cursor(1, 0)), (4, Cursor(1, 2)), (8, Cursor(2, 4))):
        assert Cursor().after(done, 2, 7) == start
        assert_same(whole[done:], list(train_batches(make(root), 2, 9 - done, 3, start, num_workers)))


@pytest.mark.parametrize("images", [5, 6, 7])
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
@pytest.mark.parametrize("offset", range(9))
def test_a_cursor_counts_as_taking_batch_after_batch_does(images: int, batch: int, offset: int) -> None:
    start = Cursor(2, offset)
    epoch, taken = 2, offset
    for batches in range(20):
        if taken + batch > images:  # what remains is less than a batch
            epoch, taken = epoch + 1, 0
        assert start.after(batches, batch, images) == Cursor(epoch, taken)
        assert start.after(batches // 2, batch, images).after(batches - batches // 2, batch, images) == Cursor(
            epoch, taken
        )
        taken += batch


def test_the_shuffled_epoch_goes_on_with_another_batch_size_and_number_of_processes(root: Path) -> None:
    one_by_one = [batch["files"][0] for batch in train_batches(make(root), 1, 14, seed=3)]
    start = Cursor().after(2, 1, 7)
    assert start == Cursor(0, 2)
    pairs = [list(train_batches(make(root), 1, 4, 3, start, rank=rank, ranks=2)) for rank in (0, 1)]
    files = [batch["files"][0] for both in zip(*pairs, strict=True) for batch in both]
    # Images 2 to 5 of the epoch; the last one alone is no batch of two; then four of the next epoch.
    assert files == [*one_by_one[2:6], *one_by_one[7:11]]


def test_a_position_behind_the_end_of_a_smaller_data_set_is_the_next_epoch(root: Path) -> None:
    assert_same(
        list(train_batches(make(root), 2, 3, 3, Cursor(1, 100))), list(train_batches(make(root), 2, 3, 3, Cursor(2)))
    )


def test_batches_are_those_of_earlier_versions(root: Path) -> None:
    """Training recipes stay what they are: the order is pinned."""
    names = [[Path(file).stem[-1] for file in batch["files"]] for batch in train_batches(make(root), 3, 5, seed=0)]
    assert names == [["2", "4", "3"], ["6", "5", "0"], ["1", "3", "6"], ["0", "4", "2"], ["5", "2", "0"]]


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_give_the_same(root: Path, num_workers: int) -> None:
    expected = list(train_batches(make(root), 2, 8, seed=3))
    assert_same(expected, list(train_batches(make(root), 2, 8, seed=3, num_workers=num_workers)))
    val = make(root, "val")
    pairs = zip(eval_samples(val), eval_samples(val, num_workers), strict=True)
    for here, there in pairs:
        assert here["file"] == there["file"] and here["trans_info"] == there["trans_info"]
        np.testing.assert_array_equal(here["img"], there["img"])
        np.testing.assert_array_equal(here["label"], there["label"])
    assert not children()


def test_more_workers_than_batches_and_none_at_all(root: Path) -> None:
    assert len(list(train_batches(make(root), 2, 3, seed=0, num_workers=5))) == 3
    assert list(train_batches(make(root), 2, 0, seed=0, start=Cursor(1), num_workers=2)) == []
    assert not children()


def test_eval_samples(root: Path) -> None:
    samples = list(eval_samples(make(root, "val", [T.Resize([48, 32]), T.Normalize()])))
    assert [Path(sample["file"]).name for sample in samples] == [f"image{i}.png" for i in range(7)]
    assert samples[2]["img"].shape == (1, 3, 32, 48) and samples[2]["label"].shape == (20, 30)
    assert samples[2]["trans_info"] == [("resize", (20, 30))]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_corrupt_image_in_the_middle(root: Path, num_workers: int) -> None:
    data = (root / "image3.png").read_bytes()
    (root / "image3.png").write_bytes(data[: len(data) // 2])
    samples = eval_samples(make(root, "val"), num_workers)
    assert [Path(sample["file"]).stem for sample in islice(samples, 3)] == ["image0", "image1", "image2"]
    with pytest.raises(ValueError, match=r"image3\.png: corrupt or truncated"):
        next(samples)
    with pytest.raises(ValueError, match=r"image3\.png: corrupt or truncated"):
        list(train_batches(make(root), 2, 8, seed=0, num_workers=num_workers))
    assert not children()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_vanishes(root: Path, num_workers: int) -> None:
    dataset = make(root, "val")
    (root / "label1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"label1\.png"):
        list(eval_samples(dataset, num_workers))


def test_stopping_early_leaves_no_process(root: Path) -> None:
    for batch in train_batches(make(root), 2, 1000, seed=0, num_workers=2):
        assert len(children()) == 2 and batch["img"].shape[0] == 2
        break
    assert not children()


def test_an_exception_of_the_consumer_leaves_no_process(root: Path) -> None:
    batches = train_batches(make(root), 2, 1000, seed=0, num_workers=2)
    next(batches)
    with pytest.raises(ZeroDivisionError):
        batches.throw(ZeroDivisionError)  # type: ignore[attr-defined]
    assert not children()


def test_a_killed_worker_is_an_error(root: Path) -> None:
    batches = train_batches(make(root), 2, 1000, seed=0, num_workers=2)
    next(batches)
    os.kill(max(children()), signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="was ended by SIGKILL"):
        list(islice(batches, 50))
    assert not children()


def test_workers_end_with_their_parent(root: Path) -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[2]); from test_loader import *\n"
        "batches = train_batches(make(Path(sys.argv[1])), 2, 10**6, seed=0, num_workers=2); next(batches)\n"
        "print(*children(), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(root), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_ctrl_c_stops_a_script_with_its_workers(root: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_loader import *\n"
        "for i, batch in enumerate(train_batches(make(Path(sys.argv[1])), 2, 10**6, seed=0, num_workers=2)):\n"
        "    if i == 0: print(*children(), flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(root), str(Path(__file__).parent)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None and parent.stderr is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        os.killpg(parent.pid, signal.SIGINT)
        messages = parent.stderr.read()
    assert messages.count("Traceback") == 1 and "KeyboardInterrupt" in messages
    assert len(pids) == 2 and not any(is_running(pid) for pid in pids)


def test_a_script_from_standard_input_can_use_workers(root: Path) -> None:
    script = (
        "from paddle_mobileseg.data.datasets import Dataset\nfrom paddle_mobileseg.data.loader import eval_samples\n"
        f"print(len(list(eval_samples(Dataset('val', {str(root)!r}, [], 7), 2))))\n"
    )
    assert subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True).stdout.strip() == "7"


def test_what_cannot_be_sent_to_workers_is_refused(root: Path) -> None:
    dataset = make(root, "val", [lambda sample: sample])
    assert len(list(eval_samples(dataset))) == 7
    with pytest.raises(ValueError, match="cannot be rebuilt in a worker process"):
        list(eval_samples(dataset, 2))


def test_what_cannot_be_rebuilt_in_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("a_module_without_file")
    exec("def task(position): return position", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(ValueError, match=r"cannot be rebuilt in a worker process.*a_module_without_file"):
        list(workers.ordered_map(module.task, 0, 4, 2))
    assert not children()


def test_results_survive_prints_in_workers() -> None:
    assert list(workers.ordered_map(print, 0, 3, 2)) == [None, None, None]


def test_an_exception_that_cannot_be_pickled_keeps_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_module.py").write_text(
        "class OddError(Exception):\n"
        "    def __init__(self, one, two):\n"
        "        super().__init__(f'odd {one} {two}')\n"
        "def task(position):\n"
        "    raise OddError(1, 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("odd_module")
    with pytest.raises(RuntimeError, match="OddError: odd 1 2"):
        list(workers.ordered_map(module.task, 0, 2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 8}, "7 images, fewer than one batch of 8: set batch_size lower, or add images"),
        ({"batch_size": 1, "ranks": 8}, r"\(1 for each of 8 processes\): start fewer processes, or add images"),
        ({"ranks": 4}, "one batch of 8 .*: set batch_size lower, start fewer processes, or add images"),
        ({"batch_size": 0}, "batch_size"),
        ({"count": -1}, "count"),
        ({"start": Cursor(0, -1)}, "start.offset"),
        ({"start": Cursor(1.5, 0)}, "start.epoch"),
        ({"num_workers": -1}, "num_workers"),
        ({"num_workers": "2"}, "num_workers"),
    ],
)
def test_wrong_arguments_are_refused_at_once(root: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_batches(make(root), **{"batch_size": 2, "count": 5, "seed": 0, **arguments})


def test_images_of_different_sizes_in_a_batch(root: Path) -> None:
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(root / "image0.png")
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(root / "label0.png")
    with pytest.raises(ValueError, match=r"after the transforms, .*a batch needs one size"):
        list(train_batches(make(root, transforms=[T.Normalize()]), 7, 1, seed=0))


def test_data_set_without_labels_cannot_train(root: Path) -> None:
    (root / "test.txt").write_text("image0.png\n")
    with pytest.raises(ValueError, match=r"image0\.png: no label"):
        next(train_batches(make(root, "test", [T.Normalize()]), 1, 1, seed=0))


def test_paddlesegs_own_data_sets(root: Path) -> None:
    registry = pytest.importorskip("paddle_mobileseg.registry")
    dataset = registry.upstream("Dataset")("train", str(root), TRAIN, 7, train_path=str(root / "train.txt"))
    first = list(train_batches(dataset, 2, 3, seed=0))
    assert first[0]["img"].shape == (2, 3, 16, 24) and first[0]["files"][0].endswith(".png")
    assert_same(first, list(train_batches(dataset, 2, 3, seed=0)))
    dataset = registry.upstream("Dataset")("val", str(root), [T.Normalize()], 7, val_path=str(root / "val.txt"))
    sample = next(eval_samples(dataset))
    assert sample["img"].shape == (1, 3, 20, 30) and sample["label"].shape == (20, 30)
    (root / "image2.png").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"image2\.png: Dataset cannot read it"):
        draw_sample(dataset, 2, 0)
