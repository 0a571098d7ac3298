"""A bundle runs on a machine that has neither Paddle nor the packages of training."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.data.reading import read_label
from paddle_mobileseg.runtime import Session

SESSION = {"numpy", "cv2", "yaml", "onnxruntime"}
INFER = {*SESSION, "PIL", "tqdm"}
DISTRIBUTIONS = {"numpy", "opencv-python-headless", "pillow", "pyyaml", "tqdm", "onnxruntime"}
# What these ask for themselves, and what a new environment has.
THEIR_OWN = {"flatbuffers", "packaging", "protobuf", "coloredlogs", "humanfriendly", "sympy", "mpmath"}
TRAINING = ("backbones", "engine", "export", "layers", "losses", "metrics", "models", "report")

# Refuses to import packages, as if they were not installed, and our own code for training, as if it were not copied.
REFUSE = """
import importlib.abc, json, sys
ALLOWED, REFUSED = json.loads(sys.argv.pop(1)), json.loads(sys.argv.pop(1))

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names or ".".join(name.split(".")[:2]) in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def alone(code: str, *words: object, packages: set[str] = INFER, training: bool = False) -> subprocess.CompletedProcess:
    """Run Python code where only these packages are there, and our code for training only if asked for."""
    # `_yaml` is a part of PyYAML; the other names are what an editable installation puts into every process.
    allowed = [*packages, "paddle_mobileseg", "_yaml", "sitecustomize", "usercustomize"]
    refused = [] if training else [f"paddle_mobileseg.{name}" for name in TRAINING]
    arguments = [json.dumps(allowed), json.dumps(refused), *map(str, words)]
    return subprocess.run(
        [sys.executable, "-c", REFUSE + code, *arguments], capture_output=True, text=True, check=False
    )


def picture() -> np.ndarray:
    image = np.zeros((24, 32, 3), np.uint8)
    image[..., 0], image[5:20, 8:, 1], image[10:, 20:, 2] = 90, 150, 220
    return image


@pytest.fixture
def moved(make_bundle: Any, tmp_path: Path) -> Path:
    """A bundle that lies in another folder than the one it was written to."""
    return Path(shutil.move(make_bundle(), tmp_path / "elsewhere"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    Image.fromarray(picture()).save(folder / "a.png")
    Image.fromarray(picture()[:17]).save(folder / "below" / "b.jpg", quality=95)
    writer = cv2.VideoWriter(str(folder / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (32, 24))
    for _ in range(3):
        writer.write(picture()[:, :, ::-1].copy())
    writer.release()
    return folder


def check_results(out: Path) -> None:
    labels = out / "pseudo_color_prediction"
    np.testing.assert_array_equal(read_label(labels / "a.png"), picture().argmax(2))
    assert (read_label(labels / "below" / "b.png") == picture()[:17].argmax(2)).mean() > 0.8
    assert sorted(path.name for path in (labels / "v.mp4").iterdir()) == [f"{i:06d}.png" for i in range(3)]
    assert (read_label(labels / "v.mp4" / "000001.png") == picture().argmax(2)).mean() > 0.8
    overlays = out / "added_prediction"
    assert {str(p.relative_to(overlays)) for p in overlays.rglob("*.*")} == {"a.jpg", "below/b.jpg", "v.mp4"}


def test_a_session_needs_four_packages(moved: Path) -> None:
    code = """
import numpy as np
from paddle_mobileseg.runtime import Session
image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
print(Session(sys.argv[1], "onnxruntime", threads=1).run(image).tolist())
"""
    done = alone(code, moved, packages=SESSION)
    assert done.stderr == ""
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert json.loads(done.stdout) == Session(moved).run(image).tolist() == image.argmax(2).tolist()


def test_infer_needs_pillow_and_tqdm_beside(moved: Path, source: Path, repository: Path, tmp_path: Path) -> None:
    code = f"import runpy; runpy.run_path({str(repository / 'deploy' / 'python' / 'infer.py')!r}, run_name='__main__')"
    out = tmp_path / "out"
    words = ("--bundle", moved, "--input", source, "--save_dir", out)
    done = alone(code, *words)
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout == f"labelled 2 images and 1 video, whose sound is not copied, into {out}\n"
    check_results(out)

    done = alone(code, *words, packages=SESSION)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: this needs the package 'PIL', which is not installed: pip install Pillow\n"
    done = alone(code, *words, "--backend", "paddle")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_every_command_says_what_it_does(repository: Path) -> None:
    code = "from paddle_mobileseg.cli import main; main(sys.argv[1:])"
    done = alone(code, "--help", packages=SESSION)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("train", "export", "infer", "benchmark"):
        assert f"\n    {command} " in done.stdout
        each = alone(code, command, "--help", packages=SESSION)
        assert each.stdout.startswith(f"usage: -c {command}") or each.stdout.startswith(f"usage: mobileseg {command}")


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (("train", "--config", "x.yml"), "paddle"),
        (("val", "--model_path", "x"), "paddle"),
        (("predict", "--model_path", "x", "--image_path", "x"), "paddle"),
        (("export", "--model_path", "x"), "paddle"),
        (("report", "--run", "x"), "jinja2"),
    ],
)
def test_commands_of_training_say_what_to_install(words: tuple[str, ...], package: str) -> None:
    code = "from paddle_mobileseg.cli import main; sys.exit(main(sys.argv[1:]))"
    done = alone(code, *words, training=True)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: this needs the package {package!r}, which is not installed: pip install 'paddle_mobileseg[train,cpu]'"
    )
    assert "pip install --no-deps paddleseg==" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_in_a_new_environment(moved: Path, source: Path, repository: Path, tmp_path: Path) -> None:
    """``pip install paddle_mobileseg[onnxruntime]`` installs nothing of training, and that is enough."""
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(repository / "paddle_mobileseg", copy / "paddle_mobileseg")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(repository / name, copy)
    venv.create(tmp_path / "venv", with_pip=True)
    scripts = tmp_path / "venv" / "bin"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}

    def run(*words: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(word) for word in words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    done = run(scripts / "python", "-m", "pip", "install", "-q", f"{copy}[onnxruntime]")
    assert done.returncode == 0, done.stderr
    listed = json.loads(run(scripts / "python", "-m", "pip", "list", "--format", "json").stdout)
    names = {each["name"].lower().replace("_", "-") for each in listed}
    assert names - THEIR_OWN - {"pip", "setuptools"} == {*DISTRIBUTIONS, "paddle-mobileseg"}
    shutil.rmtree(copy)

    done = run(scripts / "mobileseg", "infer", "--bundle", moved, "--input", source, "--save_dir", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    check_results(tmp_path / "out")
    assert run(scripts / "mobileseg", "benchmark", "--bundle", moved, "--repeats", 2).returncode == 0
