"""The commands as a user types them, and one clear line for each mistake."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from paddle_mobileseg.cli import _command_line, common, export, main
from paddle_mobileseg.config import load_config
from paddle_mobileseg.data.synthetic import write_dataset
from paddle_mobileseg.export.lite_convert import PRECISIONS
from paddle_mobileseg.export.request import FORMATS
from paddle_mobileseg.export.static import INPUT_FORMATS
from paddle_mobileseg.export.targets import TARGETS
from paddle_mobileseg.runtime.bundle import OUTPUT_OPS

Run = Callable[..., tuple[int, str, str]]
NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_dataset(folder, train=4, val=4, size_hw=(64, 96), progress=False)
    return folder


@pytest.fixture(scope="module")
def config(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    quickstart = Path(__file__).parents[1] / "configs" / "quickstart" / "pp_mobileseg_tiny_scenes.yml"
    path = tmp_path_factory.mktemp("config") / "tiny.yml"
    crop = [{"type": "RandomPaddingCrop", "crop_size": [64, 64]}, NORMALIZE]
    path.write_text(
        yaml.safe_dump(
            {
                "_base_": str(quickstart),
                "batch_size": 2,
                "iters": 2,
                "train_dataset": {"dataset_root": str(scenes), "transforms": crop},
                "val_dataset": {"dataset_root": str(scenes)},
                "lr_scheduler": {"warmup_iters": 1},
                "train_config": {"save_interval": 2, "log_iters": 1},
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def trained(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "output"
    assert main(["train", "--config", str(config), "--save_dir", str(folder), "--do_eval"]) == 0
    return folder


def refused(run: Run, *words: object) -> str:
    """The one line that a mistake is answered with."""
    status, _, err = run(*words)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 1
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


def test_from_training_to_prediction(run: Run, trained: Path, scenes: Path, tmp_path: Path) -> None:
    assert (trained / "best_model" / "model.pdparams").is_file()
    status, out, _ = run("val", "--model_path", trained / "best_model", "--save_dir", tmp_path)
    assert status == 0
    assert f"mIoU {json.loads((tmp_path / 'val.json').read_text())['miou']:.4f}" in out

    images = scenes / "images" / "val"
    status, out, _ = run(
        "predict", "--model_path", trained / "best_model", "--image_path", images, "--save_dir", tmp_path
    )
    assert (status, out) == (0, f"predicted 4 of 4 images into {tmp_path}\n")
    assert len(list((tmp_path / "pseudo_color_prediction").glob("*.png"))) == 4


def test_sections_of_paddlesegs_newer_files_are_obeyed_and_flags_come_first(
    run: Run, config: Path, scenes: Path, tmp_path: Path
) -> None:
    data = load_config(config).data
    del data["train_config"]
    data["global"] = {"data_format": "NCHW", "device": "cpu", "num_workers": 0}
    data["train"] = {"save_dir": str(tmp_path / "run"), "do_eval": True, "save_interval": 2, "resume_model": None}
    data["test"] = {"aug_eval": True, "scales": 0.5}
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(data))

    assert run("train", "--config", path)[0] == 0
    trained = tmp_path / "run" / "best_model"
    assert "resume_model" not in (tmp_path / "run" / "config.yml").read_text()

    def evaluated(*flags: str) -> dict[str, Any]:
        assert run("val", "--model_path", trained, "--save_dir", tmp_path / "val", *flags)[0] == 0
        return json.loads((tmp_path / "val" / "val.json").read_text())

    by_section = evaluated()
    assert by_section["eval"] == {"flip": False, "scales": [0.5]}
    assert by_section["miou"] == json.loads((trained / "checkpoint.json").read_text())["metrics"]["miou"]
    assert evaluated("--aug_eval", "--scales", "1.0", "--flip_horizontal")["eval"] == {"flip": True, "scales": [1.0]}
    assert evaluated("--opts", "test.aug_eval=False")["eval"] == {"flip": False, "scales": [1.0]}

    images = scenes / "images" / "val"
    words = ["predict", "--config", path, "--model_path", trained / "model.pdparams"]
    assert run(*words, "--image_path", images, "--save_dir", tmp_path / "predicted")[0] == 0
    words = ["export", "--config", path, "--model_path", trained / "model.pdparams", "--formats", "paddle"]
    assert run(*words, "--input_shape", "1", "3", "64", "96", "--save_dir", tmp_path / "bundle")[0] == 0
    assert run("train", "--config", path, "--save_dir", tmp_path / "other")[0] == 0
    assert (tmp_path / "other" / "iter_2" / "model.pdparams").is_file()


@pytest.mark.parametrize(
    ("device", "flags", "chosen"),
    [("cpu", [], [None, "cpu"]), ("cpu", ["--device", "cpu"], ["cpu"]), ("gpu", [], [None])],
)
def test_the_cpu_is_used_where_the_configuration_says_so(
    run: Run,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    flags: list[str],
    chosen: list[str | None],
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump({**load_config(config).data, "global": {"device": device}}))
    asked: list[str | None] = []
    monkeypatch.setattr(common, "use_device", asked.append)

    assert run("val", "--config", path, "--model_path", tmp_path / "none", *flags)[0] == 1
    assert asked == chosen


def test_an_unreadable_image_fails_the_command_but_not_the_others(
    run: Run, trained: Path, scenes: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    shutil.copytree(scenes / "images" / "val", source)
    (source / "broken.png").write_bytes(b"\x89PNG\r\n")
    status, out, err = run(
        "predict", "--model_path", trained / "best_model", "--image_path", source, "--save_dir", tmp_path
    )

    assert status == 1
    assert "predicted 4 of 5" in out
    assert "broken.png" in err.splitlines()[-1]


def test_tools_are_the_same_commands(repository: Path) -> None:
    for tool, command in {"train": "train", "val": "val", "predict": "predict", "export_model": "export"}.items():
        done = subprocess.run(
            [sys.executable, str(repository / "tools" / f"{tool}.py"), "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(f"usage: mobileseg {command} ")


# ------------------------------------------------------------------------------------------------------- mistakes
def test_missing_config(run: Run, tmp_path: Path) -> None:
    assert "nowhere.yml" in refused(run, "train", "--config", tmp_path / "nowhere.yml")


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("train_config.save_intervall=3", ["save_intervall", "save_interval"]),
        ("model.backbone.type=MobileSeg_Tyni", ["model.backbone", "MobileSeg_Tyni", "MobileSeg_Tiny"]),
        ("model.num_clases=3", ["num_clases", "num_classes"]),
        ("model.num_classes=3", ["num_classes", "3", "10"]),
        ("loss.coef=[1, 0.4]", ["2", "1"]),
        ("batch_size=400", ["400", "4"]),
    ],
)
def test_mistakes_in_the_configuration(run: Run, config: Path, tmp_path: Path, option: str, parts: list[str]) -> None:
    line = refused(run, "train", "--config", config, "--save_dir", tmp_path, "--opts", option)
    assert all(part in line for part in parts), line


def test_label_value_out_of_range(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    broken = data / "labels" / "train" / "0002.png"
    cv2.imwrite(str(broken), np.full((64, 96), 77, np.uint8))
    line = refused(run, "train", "--config", config, "--data_root", data, "--save_dir", tmp_path / "out")

    assert str(broken) in line
    assert "77" in line


def test_image_and_label_of_different_sizes(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    cv2.imwrite(str(data / "labels" / "train" / "0001.png"), np.zeros((60, 96), np.uint8))
    line = refused(run, "train", "--config", config, "--data_root", data, "--save_dir", tmp_path / "out")

    assert "0001.png" in line
    assert "0001.jpg" in line


def test_empty_and_missing_data(run: Run, config: Path, scenes: Path, tmp_path: Path) -> None:
    assert "nowhere" in refused(run, "train", "--config", config, "--data_root", tmp_path / "nowhere")
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    (data / "train.txt").write_text("")
    assert "train.txt" in refused(run, "train", "--config", config, "--data_root", data, "--save_dir", tmp_path / "o")


def test_a_gpu_that_is_not_there(run: Run, config: Path, tmp_path: Path) -> None:
    import paddle

    if paddle.is_compiled_with_cuda():
        pytest.skip("this PaddlePaddle is a GPU build")
    line = refused(run, "train", "--config", config, "--save_dir", tmp_path, "--device", "gpu")
    assert "GPU build of PaddlePaddle" in line


def test_the_recorded_command_names_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in ("", "two", "0", "1"):
        monkeypatch.setenv("PADDLE_TRAINERS_NUM", count)
        assert _command_line(["train", "--config", "a b.yml"]) == "mobileseg train --config 'a b.yml'"
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "2")
    expected = "python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py --config a.yml"
    assert _command_line(["train", "--config", "a.yml"]) == expected
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "1")
    monkeypatch.setenv("PADDLE_MASTER", "a:7000")
    words = "--nproc_per_node 1 --nnodes 2 --master a:7000 tools/train.py --config a.yml"
    assert _command_line(["train", "--config", "a.yml"]) == f"python -m paddle.distributed.launch {words}"


def test_checkpoint_of_another_network(run: Run, trained: Path, config: Path, tmp_path: Path) -> None:
    other = ["--opts", "model.backbone.type=MobileSeg_Base"]
    line = refused(run, "val", "--config", config, "--model_path", trained / "best_model", *other)
    assert "does not fit PPMobileSeg" in line
    (tmp_path / "text.pdparams").write_text("hello")
    assert "text.pdparams" in refused(run, "val", "--config", config, "--model_path", tmp_path / "text.pdparams")
    assert "no checkpoint" in refused(run, "val", "--model_path", tmp_path)


def test_output_folder_that_cannot_be_written(
    run: Run, config: Path, trained: Path, scenes: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    for words in (
        ["train", "--config", config, "--save_dir", blocked / "out"],
        ["predict", "--model_path", trained / "best_model", "--image_path", scenes / "images", "--save_dir", blocked],
        ["val", "--model_path", trained / "best_model", "--save_dir", blocked],
    ):
        assert "cannot write to" in refused(run, *words)


def test_ctrl_c_ends_with_130_and_a_whole_checkpoint(config: Path, repository: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "tools/train.py",
        "--config",
        str(config),
        "--iters",
        "5000",
        "--save_dir",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("iter 2/"):
            process.send_signal(2)
    assert process.wait(timeout=120) == 130, "".join(lines)
    assert "Traceback" not in "".join(lines)
    last = lines[-1]
    folder = Path(last.strip().rsplit(" ", 1)[-1])
    assert last.startswith("interrupted: stopped after iteration ")
    assert (folder / "checkpoint.json").is_file()
    assert main(["val", "--model_path", str(folder)]) == 0


def test_choices_of_export_are_the_exporters() -> None:
    """The command names them itself, because its help has to come without loading PaddlePaddle."""
    options = {action.dest: action for action in export_parser()._actions}
    assert tuple(options["formats"].choices) == FORMATS == tuple(TARGETS)
    assert tuple(options["lite_precision"].choices) == PRECISIONS
    assert tuple(options["input_format"].choices) == INPUT_FORMATS
    assert tuple(options["output_op"].choices) == OUTPUT_OPS


def export_parser() -> argparse.ArgumentParser:
    commands = argparse.ArgumentParser().add_subparsers()
    export.add_export(commands)
    return commands.choices["export"]
