"""Paddle Lite in a child process: right numbers, and no input or file that takes this process down with it."""

from __future__ import annotations

import ast
import gc
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_mobileseg.runtime import Session, lite_environment, load_bundle
from paddle_mobileseg.runtime.bundle import describe_files, write_manifest
from paddle_mobileseg.runtime.lite_backend import LiteBackend
from tests.processes import is_running, wait_until

WORKER = Path(lite_environment.__file__).with_name("lite_worker.py")


@pytest.fixture
def example(lite_files: Path) -> Callable[[str], tuple[Path, np.ndarray, np.ndarray]]:
    """Function name -> its file for x86, an input, and what Paddle gives for it."""

    def load(name: str) -> tuple[Path, np.ndarray, np.ndarray]:
        with np.load(lite_files / f"{name}.npz") as tensors:
            return lite_files / f"{name}_x86.nb", tensors["x"], tensors["y"]

    return load


def child_of(backend: LiteBackend) -> int:
    return backend._child._process.pid


@pytest.mark.parametrize("name", ["logits", "open"])
def test_logits_are_paddles(example: Any, name: str) -> None:
    path, x, y = example(name)
    output = LiteBackend([path], 1).run(x)
    assert (output.dtype, output.shape) == (np.float32, (1, 5, 32, 48))
    np.testing.assert_allclose(output, y, atol=1e-5)


@pytest.mark.parametrize("name", ["labels", "uint8"])
def test_labels_are_paddles(example: Any, name: str) -> None:
    path, x, y = example(name)
    output = LiteBackend([path], 1).run(x)
    assert (output.dtype, output.shape) == (np.int32, (1, 32, 48))
    assert len(np.unique(y)) >= 2
    assert (output == y).mean() > 0.999


def test_an_output_is_left_alone_by_later_runs(example: Any) -> None:
    path, x, y = example("logits")
    backend = LiteBackend([path], 1)
    first = backend.run(x)
    second = backend.run(-x)
    assert np.abs(second - first).max() > 0.1
    np.testing.assert_allclose(first, y, atol=1e-5)
    first[:] = 0  # writable, and nobody else's
    np.testing.assert_array_equal(backend.run(-x), second)


def test_sizes_and_batches_in_turn(example: Any) -> None:
    path, x, y = example("open")
    backend = LiteBackend([path], 1)
    for _ in range(2):
        np.testing.assert_allclose(backend.run(np.concatenate([x, x])), np.concatenate([y, y]), atol=1e-5)
        part = backend.run(x[:, :, :16, :24])
        assert part.shape == (1, 5, 16, 24)
        np.testing.assert_allclose(part[:, :, :12, :20], y[:, :, :12, :20], atol=1e-5)  # away from the cut


def test_input_in_another_order_of_memory(example: Any) -> None:
    path, x, y = example("logits")
    strided = np.asfortranarray(x)
    assert not strided.flags.c_contiguous
    np.testing.assert_allclose(LiteBackend([path], 1).run(strided), y, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_reach_the_mathematics_library(example: Any, threads: int) -> None:
    path, x, y = example("logits")
    backend = LiteBackend([path], threads)
    assert backend.threads == threads
    np.testing.assert_allclose(backend.run(x), y, atol=1e-5)


def test_version_is_the_environments(example: Any) -> None:
    assert LiteBackend([example("logits")[0]], 1).version == lite_environment.require().version


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((1, 3, 32, 48), np.float64),
        ((1, 3, 32, 48), np.float16),
        ((1, 3, 32, 48), np.uint8),
        ((3, 32, 48), np.float32),
        ((1, 1, 3, 32, 48), np.float32),
        ((1, 4, 32, 48), np.float32),
        ((1, 32, 48, 3), np.float32),
        ((0, 3, 32, 48), np.float32),
        ((1, 3, 0, 48), np.float32),
    ],
)
def test_wrong_input_is_refused_and_the_network_goes_on(example: Any, shape: tuple[int, ...], dtype: Any) -> None:
    path, x, y = example("logits")
    backend = LiteBackend([path], 1)
    with pytest.raises(ValueError, match=r"logits_x86\.nb takes float32 \[N, 3, H, W\].*but got"):
        backend.run(np.zeros(shape, dtype))
    np.testing.assert_allclose(backend.run(x), y, atol=1e-5)


def test_float_input_for_a_graph_that_takes_images(example: Any) -> None:
    path, _, _ = example("uint8")
    with pytest.raises(ValueError, match=r"takes uint8 \[N, H, W, 3\].*but got float32 \[1, 3, 32, 48\]"):
        LiteBackend([path], 1).run(np.zeros((1, 3, 32, 48), np.float32))


def damaged(path: Path, target: Path, how: str) -> Path:
    content = bytearray(path.read_bytes())
    if how == "empty":
        content.clear()
    elif how == "head only":
        del content[20:]
    elif how == "half":
        del content[len(content) // 2 :]
    elif how == "last byte missing":
        del content[-1]
    elif how == "text":
        content[:] = b"this is no network\n" * 100
    elif how == "other version":
        content[2:18] = b"v2.10".ljust(16, b"\0")
    elif how == "zeros for a program":
        (size,) = struct.unpack_from("<Q", content, 18)
        content[26 : 26 + size] = bytes(size)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    "how, message",
    [
        ("empty", "cut off"),
        ("head only", "cut off"),
        ("half", "cut off"),
        ("last byte missing", "cut off"),
        ("text", "no Paddle Lite file"),
        ("other version", r"converted by Paddle Lite 2\.10, and the Paddle Lite here is .*; get version 2\.10"),
        ("zeros for a program", r"(?s)cannot load .*its process died .*The file is damaged"),
    ],
)
def test_damaged_file(example: Any, tmp_path: Path, how: str, message: str) -> None:
    path, _, _ = example("logits")
    with pytest.raises(ValueError, match=message):
        LiteBackend([damaged(path, tmp_path / "model_x86.nb", how)], 1)


def test_file_for_arm(lite_files: Path) -> None:
    with pytest.raises(ValueError, match=r"labels_arm\.nb is for arm, expected one for x86; export"):
        LiteBackend([lite_files / "labels_arm.nb"], 1)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; export with format lite-x86"):
        LiteBackend([tmp_path / "model_x86.nb"], 1)


@pytest.mark.parametrize("timeout_s", [0, -1, "10", None, True, float("nan")])
def test_timeout_of_nothing(example: Any, timeout_s: Any) -> None:
    with pytest.raises(ValueError, match="timeout_s is"):
        LiteBackend([example("logits")[0]], 1, timeout_s=timeout_s)


def test_process_killed_between_runs(example: Any) -> None:
    path, x, _ = example("logits")
    backend = LiteBackend([path], 1)
    backend.run(x)
    os.kill(child_of(backend), signal.SIGKILL)
    wait_until(lambda: not is_running(child_of(backend)))
    with pytest.raises(ChildProcessError, match="died of SIGKILL"):
        backend.run(x)
    with pytest.raises(ChildProcessError, match=r"(?s)died of SIGKILL.*gone; open the bundle again"):
        backend.run(x)


def test_process_killed_in_the_middle_of_a_run(example: Any) -> None:
    path, x, _ = example("logits")
    backend = LiteBackend([path], 1)
    os.kill(child_of(backend), signal.SIGSTOP)  # so that the run is not over before the kill
    killer = threading.Timer(0.2, os.kill, (child_of(backend), signal.SIGKILL))
    killer.start()
    with pytest.raises(ChildProcessError, match="died of SIGKILL"):
        backend.run(x)
    killer.join()


def test_run_that_takes_too_long(example: Any) -> None:
    path, x, _ = example("logits")
    backend = LiteBackend([path], 1, timeout_s=0.2)
    os.kill(child_of(backend), signal.SIGSTOP)
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
        backend.run(x)
    assert not is_running(child_of(backend))
    with pytest.raises(ChildProcessError, match="open the bundle again"):
        backend.run(x)


def test_closed(example: Any) -> None:
    path, x, _ = example("logits")
    backend = LiteBackend([path], 1)
    backend.close()
    assert not is_running(child_of(backend))
    with pytest.raises(ChildProcessError, match="closed"):
        backend.run(x)
    backend.close()


def test_process_ends_with_the_object(example: Any) -> None:
    path, x, _ = example("logits")
    backend = LiteBackend([path], 1)
    backend.run(x)
    pid = child_of(backend)
    descriptors = len(os.listdir("/proc/self/fd"))
    del backend
    gc.collect()
    assert not is_running(pid)
    assert len(os.listdir("/proc/self/fd")) < descriptors


def test_no_process_is_left_by_a_file_that_cannot_be_loaded(example: Any, tmp_path: Path) -> None:
    path = damaged(example("logits")[0], tmp_path / "model_x86.nb", "zeros for a program")
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ValueError, match="cannot load"):
            LiteBackend([path], 1)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def in_another_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    head = "import os, signal, sys\nfrom pathlib import Path\nimport numpy as np\n"
    head += "from paddle_mobileseg.runtime.lite_backend import LiteBackend\n"
    head += "backend = LiteBackend([Path(sys.argv[1])], 1)\nx = np.zeros((1, 3, 32, 48), np.float32)\n"
    return subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_process_ends_when_its_parent_is_killed(example: Any) -> None:
    code = "print(backend._child._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    done = in_another_process(code, example("logits")[0])
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not is_running(int(done.stdout)))


def test_a_fork_neither_runs_nor_ends_the_network(example: Any) -> None:
    code = """
pid = os.fork()
if pid == 0:
    try:
        backend.run(x)
    except RuntimeError as error:
        print(error, flush=True)
    backend.close()
    sys.exit(0)
os.waitpid(pid, 0)
print(backend.run(x).shape)
"""
    done = in_another_process(code, example("logits")[0])
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "this network belongs to the process that opened it; open the bundle in each process",
        "(1, 5, 32, 48)",
    ]


def test_two_networks_at_once(example: Any) -> None:
    found: dict[str, list[np.ndarray]] = {"logits": [], "labels": []}
    networks = {name: LiteBackend([example(name)[0]], 1) for name in found}

    def work(name: str) -> None:
        for _ in range(20):
            found[name].append(networks[name].run(example(name)[1]))

    threads = [threading.Thread(target=work, args=(name,)) for name in found for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: len(outputs) for name, outputs in found.items()} == {"logits": 40, "labels": 40}
    for name, outputs in found.items():
        for output in outputs:
            np.testing.assert_array_equal(output, outputs[0])
            np.testing.assert_allclose(output, example(name)[2], atol=1e-5)


@pytest.fixture
def environment_of_links(lite_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment in use, as if it were in another cache folder; gives the link that is all of it."""
    real = lite_environment.require()
    version = subprocess.run(
        [real.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(lite_environment.VARIABLE, raising=False)
    folder = lite_environment.default_folder()
    folder.mkdir(parents=True)
    link = folder / "venv-1"
    link.symlink_to(real.python.parents[1])
    marker = {"version": real.version, "venv": "venv-1", "python": version}
    (folder / "environment.json").write_text(json.dumps(marker))
    assert lite_environment.require().python == link / "bin" / "python"
    return link


def test_environment_deleted_meanwhile(example: Any, environment_of_links: Path) -> None:
    path, x, y = example("logits")
    backend = LiteBackend([path], 1)
    backend.run(x)
    environment_of_links.unlink()
    np.testing.assert_allclose(backend.run(x), y, atol=1e-5)
    with pytest.raises(ImportError, match="mobileseg lite setup"):
        LiteBackend([path], 1)


def test_environment_without_its_package(example: Any, environment_of_links: Path) -> None:
    environment_of_links.unlink()
    marker = json.loads((environment_of_links.parent / "environment.json").read_text())
    package = environment_of_links / "lib" / f"python{marker['python']}" / "site-packages" / "paddlelite"
    package.mkdir(parents=True)
    (package / "lite.so").touch()
    (environment_of_links / "bin").mkdir()
    (environment_of_links / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(ImportError, match=r"environment is damaged \(.*paddlelite.*\); run .* --force"):
        LiteBackend([example("logits")[0]], 1)


def test_environment_whose_python_does_not_start(example: Any, environment_of_links: Path) -> None:
    environment = lite_environment.require()
    broken = environment_of_links.parent / "python"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    environment = lite_environment.LiteEnvironment(broken, environment.version, environment.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paddle_mobileseg.runtime.lite_backend.require", lambda: environment)
        with pytest.raises(ImportError, match=r"cannot start .*python .*lite setup --force"):
            LiteBackend([example("logits")[0]], 1)


def test_worker_is_for_old_pythons_without_packages() -> None:
    tree = ast.parse(WORKER.read_text(encoding="utf-8"), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"paddlelite"}


def test_session(example: Any, lite_files: Path, make_bundle: Any) -> None:
    folder = make_bundle(input_shape=(1, 3, 32, 48))
    name = "labels_x86.nb"
    (folder / name).write_bytes((lite_files / name).read_bytes())
    bundle = load_bundle(folder)
    files = {**bundle.about["files"], **describe_files(folder, [name])}
    write_manifest(folder, bundle.deploy, {**bundle.about, "backends": {"lite": [name]}, "files": files})
    _, x, y = example("labels")
    labels = Session(folder, "lite").run_tensor(x)
    assert labels.dtype == np.int32
    assert (labels == y).mean() > 0.999
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    assert Session(folder, "lite", threads=2).run(image).shape == (32, 48)
    (folder / name).write_bytes((lite_files / name).read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"labels_x86\.nb has \d+ bytes, but \d+ were exported"):
        Session(folder, "lite")
