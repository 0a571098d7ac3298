"""Every command in the documents runs as it is written, on small data."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddle_mobileseg.runtime import lite_environment

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", *sorted(str(p.relative_to(REPOSITORY)) for p in (REPOSITORY / "docs").rglob("*.md"))]

# What is added to a command so that it ends soon: the same command, less work.
SHORTER = (
    "--iters 2 --opts batch_size=1 train_config.save_interval=2 train_config.log_iters=1 lr_scheduler.warmup_iters=1 "
    "val_dataset.transforms.0.target_size=[96,96] train_dataset.transforms.1.crop_size=[64,64]"
)
# Set-up and tests run elsewhere: `make test` runs this, CI runs `make setup`, `make test-slow` the whole demo.
ELSEWHERE = ("make ", "source ", "pip ", "git ", "apt-get ", "mobileseg lite setup")


def blocks(document: str, language: str) -> list[str]:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


def commands() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        for block in blocks(document, "bash"):
            lines = [line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
            found += [(document, line) for line in lines if line and not line.startswith(ELSEWHERE)]
    return found


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like the repository's root after a (quick) demo."""
    root = tmp_path_factory.mktemp("root") / "paddle_mobileseg"
    root.mkdir()
    for name in ("benchmarks", "configs", "deploy", "tools"):
        (root / name).symlink_to(REPOSITORY / name)
    shutil.copytree(REPOSITORY / "docs", root / "docs")  # which commands of the pages write again
    shared = Path(os.environ.get("MOBILESEG_SHARED", REPOSITORY.parent / "shared"))
    if shared.is_dir():
        (root.parent / "shared").symlink_to(shared)
    run("tools/demo.sh output/demo --quick", root)
    monkeypatch = pytest.MonkeyPatch()
    if (lite := lite_environment.find()) is not None:
        monkeypatch.setenv("MOBILESEG_LITE_PYTHON", str(lite.python))
    monkeypatch.setenv("MOBILESEG_CACHE", str(root / "cache"))
    for name in ("mobileseg_mobilenetv3_cityscapes", "pp_mobileseg_tiny_ade20k"):
        put_into_cache(name)
    yield root
    monkeypatch.undo()


def put_into_cache(name: str) -> None:
    """A file with random tensors in the place of a published one: there is no network here."""
    import paddle

    from paddle_mobileseg import networks
    from paddle_mobileseg.weights import catalog

    entry = catalog.get(name)
    entry.path.parent.mkdir(parents=True, exist_ok=True)
    paddle.save(networks.get(entry.network).build(entry.num_classes).state_dict(), str(entry.path))


def shorter(command: str) -> str:
    """The same training, less of it; --opts may be there already and takes all that follows."""
    words, _, values = SHORTER.partition(" --opts ")
    return f"{command} {values} {words}" if " --opts " in command else f"{command} {SHORTER}"


def run(command: str, folder: Path) -> str:
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def follow(command: str, workplace: Path) -> None:
    """Run a command of a page, with less work where that can be said."""
    if "backend_matrix" in command:
        command += " --networks topformer_tiny --formats paddle --size 64"
    elif "benchmarks/" in command:
        command += " --turns 1 --size 64 64" + ("" if "backend_speed" in command else " --networks topformer_tiny")
    elif "mobileseg benchmark" in command:
        command = re.sub(
            r"--networks (\S+ )*?(?=--)", "--networks topformer_tiny ", re.sub(r"--image_size \d+ \d+", "", command)
        )
        command += " --image_size 64 64" if "--networks" in command else ""
        command += " --repeats 10 --warmup 1" + ("" if "--backends" in command else " --backends onnxruntime")
    trains = " train " in command or "tools/train.py" in command
    run(shorter(command) if trains else command, workplace)


def test_the_demo_ends_with_a_report(workplace: Path) -> None:
    report = (workplace / "output" / "demo" / "report.html").read_text(encoding="utf-8")

    assert "PPMobileSeg" in report
    assert "onnxruntime" in report
    assert (workplace / "output" / "demo" / "bundle" / "deploy.yaml").is_file()


@pytest.mark.parametrize(("document", "command"), commands())
def test_commands(workplace: Path, document: str, command: str) -> None:
    if "../shared" in command and not (workplace.parent / "shared").exists():
        pytest.skip("needs CamVid: ../shared does not exist (set MOBILESEG_SHARED)")
    follow(command, workplace)


@pytest.mark.parametrize(("document", "block"), [(d, b) for d in DOCUMENTS for b in blocks(d, "python")])
def test_python(workplace: Path, document: str, block: str) -> None:
    if not (workplace / "output" / "bundle").exists():
        run("mobileseg export --model_path output/demo/run/best_model --save_dir output/bundle", workplace)
    if "output/own/bundle" in block and not (workplace / "output" / "own" / "bundle").exists():
        for each in (command for page, command in commands() if page == document):
            follow(each, workplace)
    (workplace / "block.py").write_text(block)
    run(f"{sys.executable} block.py", workplace)


@pytest.mark.slow
def test_the_whole_demo_learns(tmp_path: Path) -> None:
    import json

    run_folder = tmp_path / "demo"
    subprocess.run(["bash", "tools/demo.sh", str(run_folder)], cwd=REPOSITORY, check=True, timeout=3600)
    assert json.loads((run_folder / "run" / "val.json").read_text())["miou"] >= 0.80
