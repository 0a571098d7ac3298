"""Images shared out to several processes: the results are those of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.engine.parallel import Ranks
from paddle_mobileseg.engine.sharing import ALONE, Shares
from tests.engine import shared_evaluation


def launch(tmp_path: Path, processes: int, *words: object) -> None:
    """Run a script in several processes, in a process group of its own that does not outlive the call."""
    options = ["--nproc_per_node", str(processes), "--log_dir", str(tmp_path / "log")]
    with open(tmp_path / "launcher.txt", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "paddle.distributed.launch", *options, *map(str, words)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        status = process.wait(500)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert status == 0, (tmp_path / "launcher.txt").read_text()[-3000:]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.suffix != ".json"}


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("images", [0, 1, 4, 5, 23])
def test_every_image_is_in_one_share(images: int, chunk: int, count: int) -> None:
    shares = [Shares(images, chunk, Ranks(number, count)) for number in range(count)]
    assert sorted(index for share in shares for index in share.indices) == list(range(images))
    chunks = sorted((each for share in shares for each in share.chunks), key=lambda each: each.start)
    assert chunks == Shares(images, chunk).chunks
    assert set(range(min(4, images))) <= set(shares[0].indices)
    if images == 23 and chunk == 1:
        assert max(len(share.indices) for share in shares) <= 23 / count + 5


def test_one_process_gives_its_results_as_they_come() -> None:
    made: list[int] = []
    results = (made.append(number) or number for number in range(5))
    assert [(each, len(made)) for each in Shares(5, 1, ALONE).rounds(results)] == [([n], n + 1) for n in range(5)]


@pytest.fixture(scope="module")
def single(varied: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a single process finds and writes."""
    folder = tmp_path_factory.mktemp("single")
    found = shared_evaluation.shared_evaluation(varied, folder, ALONE)
    return json.loads(json.dumps(found).replace(str(folder), "FOLDER")), files_below(folder)


@pytest.mark.parametrize("processes", [2, 3])
def test_results_are_those_of_a_single_process(
    single: tuple[dict[str, Any], dict[str, bytes]], varied: Path, tmp_path: Path, processes: int
) -> None:
    expected, files = single
    assert expected["errors"][0].startswith("ValueError: ") and "shared_evaluation.py" in expected["errors"][0]
    assert expected["errors"][1:] == ["StoppedError: enough", "KeyboardInterrupt: "]
    assert expected["15"]["images"] == 15 and len(expected["15"]["failures"]) == 1
    assert len(files) == 2 * (30 - 6)  # two of each of 1 + 2 + ... images but one in each folder
    folder = tmp_path / "several"
    folder.mkdir()
    launch(tmp_path, processes, shared_evaluation.__file__, varied, folder)

    found = [
        json.loads((folder / f"rank{number}.json").read_text().replace(str(folder), "FOLDER"))
        for number in range(processes)
    ]
    for count, seen in expected.pop("seen").items():
        shares = [each["seen"][count] for each in found]
        assert sorted(index for share in shares for index in share) == seen
        assert shares[0][:4] == seen[:4]
    for each in found:
        del each["seen"]
        each["errors"] = [error.replace("__main__.", "") for error in each["errors"]]
        assert each == expected
    assert files_below(folder) == files
    expected["seen"] = {count: list(range(int(count))) for count in ("1", "2", "3", "4", "5", "15")}


def test_val_and_predict_under_the_launcher(
    varied: Path, repository: Path, scenes: Path, tmp_path: Path, run: Any
) -> None:
    val = ["--model_path", varied, "--aug_eval", "--flip_horizontal"]
    predict = ["--model_path", varied, "--image_path", scenes / "images" / "val"]
    assert run("val", *val, "--save_dir", tmp_path / "one")[0] == 0
    assert run("predict", *predict, "--save_dir", tmp_path / "one")[0] == 0
    launch(tmp_path, 2, repository / "tools" / "val.py", *val, "--save_dir", tmp_path / "two")
    assert "mIoU" in (tmp_path / "log" / "workerlog.0").read_text()
    assert "mIoU" not in (tmp_path / "log" / "workerlog.1").read_text()
    launch(tmp_path, 2, repository / "tools" / "predict.py", *predict, "--save_dir", tmp_path / "two")

    records = [json.loads((tmp_path / folder / "val.json").read_text()) for folder in ("one", "two")]
    assert [record.pop("processes") for record in records] == [1, 2]
    for record in records:
        del record["elapsed_s"], record["command"]
    assert records[0] == records[1]
    assert len(list((tmp_path / "one" / "val_samples").iterdir())) == 3 * 5
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
