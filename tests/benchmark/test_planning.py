"""What is measured: bundles times backends times threads, and networks that are exported first."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paddle_mobileseg.benchmark import planning
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import protocol


class FakeBundle(SimpleNamespace):
    def files_of(self, backend: str) -> list[Path]:
        if backend not in self.about["backends"]:
            raise ValueError(f"no files for {backend}")
        return [self.folder / name for name in self.about["backends"][backend]]

    def verify(self) -> None:
        pass


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[Path, FakeBundle]:
    """Two bundles, of which the second has fewer files; of the backends onnxruntime and lite work here."""
    held = {
        "first": {"onnxruntime": ["a.onnx"], "lite": ["a_x86.nb"], "lite-arm": ["a_arm.nb"]},
        "second": {"onnxruntime": ["b.onnx"]},
    }
    made = {
        tmp_path / name: FakeBundle(
            folder=tmp_path / name,
            about={
                "backends": backends,
                "files": {f: {"sha256": f * 8} for files in backends.values() for f in files},
                "command": "mobileseg export",
            },
        )
        for name, backends in held.items()
    }
    monkeypatch.setattr(planning, "load_bundle", lambda folder: made[Path(folder)])
    monkeypatch.setattr(planning, "available_backends", lambda: ["onnxruntime", "paddle", "lite"])
    return made


def test_every_bundle_on_what_works_here(bundles: dict[Path, FakeBundle]) -> None:
    first, second = bundles
    found = planning.plans([first, second], None, [1, 2], device="local", profile=True)

    assert [(plan.bundle, plan.backend, plan.threads) for plan in found] == [
        (first, "onnxruntime", 1),
        (first, "onnxruntime", 2),
        (first, "lite", 1),
        (first, "lite", 2),
        (second, "onnxruntime", 1),
        (second, "onnxruntime", 2),
    ]
    assert all(plan.profile and plan.device == "local" for plan in found)


def test_on_a_device_it_is_the_file_for_arm(bundles: dict[Path, FakeBundle]) -> None:
    first, second = bundles

    assert [plan.backend for plan in planning.plans([first], None, [4], device="adb")] == ["lite-arm"]
    x86 = planning.plans([first], ["lite"], [2, 1, 2], device="ssh:computer")  # what is given twice counts once
    assert [(plan.backend, plan.threads) for plan in x86] == [("lite", 2), ("lite", 1)]
    with pytest.raises(ValueError, match="--backends is onnxruntime; on a device it is lite-arm"):
        planning.plans([first], ["onnxruntime"], [1], device="ssh:board")
    with pytest.raises(ValueError, match="--frame_size is for this machine"):
        planning.plans([first], None, [1], device="adb", frame_hw=(720, 1280))
    with pytest.raises(ValueError, match="no files for lite-arm"):
        planning.plans([second], None, [1], device="adb")


@pytest.mark.parametrize(
    ("backends", "message"), [(["onnx"], "unknown backend 'onnx'"), (["paddle"], "no files for paddle")]
)
def test_backends_that_cannot_be(bundles: dict[Path, FakeBundle], backends: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planning.plans(list(bundles), backends, [1], device="local")


def test_nothing_works_here(bundles: dict[Path, FakeBundle], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "available_backends", lambda: ["paddle"])
    with pytest.raises(ValueError, match="it has files for onnxruntime, lite, lite-arm, installed are paddle"):
        planning.plans(list(bundles)[:1], None, [1], device="local")


def test_the_key_is_that_of_what_is_measured(bundles: dict[Path, FakeBundle], tmp_path: Path) -> None:
    folder, bundle = next(iter(bundles.items()))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"one")
    quick = protocol("quick")

    def key(rules: Any = quick, fingerprint: str | None = "0" * 12, **changes: Any) -> str:
        return Plan(folder, **{"backend": "onnxruntime", **changes}).key(rules, bundle, fingerprint)  # type: ignore[arg-type]

    assert len(key()) == 16 and int(key(), 16) >= 0
    assert key() == key(profile=True)  # made in runs of its own
    changed = [
        key(backend="lite"),
        key(threads=2),
        key(affinity=(0,)),
        key(options={"onednn": False}),
        key(frame_hw=(720, 1280)),
        key(images=pictures),
        key(protocol("mlperf")),
        key(fingerprint="1" * 12),
    ]
    assert key(images=pictures) == key(images=pictures / "a.png")
    (pictures / "a.png").write_bytes(b"another")
    changed.append(key(images=pictures))
    (pictures / "b.png").write_bytes(b"more")
    changed.append(key(images=pictures))
    assert len({key(), *changed}) == 1 + len(changed)


def test_networks_are_exported_once(
    bundles: dict[Path, FakeBundle], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported: list[list[str]] = []

    def export(words: list[str]) -> str | None:
        if "topformer_base" in words:
            return "no memory"
        exported.append(words)
        folder = Path(words[words.index("--save_dir") + 1])
        bundles[folder] = FakeBundle(folder=folder, about={"command": shlex.join(["mobileseg", *words])})
        return None

    monkeypatch.setattr(planning, "_export", export)
    monkeypatch.setattr(planning, "load_bundle", lambda folder: bundles.get(folder) or load_nothing())
    arguments: Any = (
        ["topformer_tiny", "topformer_base"],
        None,
        "argmax",
        ["lite", "tensorrt"],
        "local",
        tmp_path / "b",
    )
    said: list[str] = []

    made, failed = planning.export_networks(*arguments, say=said.append)
    assert made == [tmp_path / "b" / "topformer_tiny_512x512_argmax"]
    assert failed == [planning.Failed("topformer_base", "no memory")]
    assert exported[0][5:] == [
        "--output_op",
        "argmax",
        "--input_shape",
        "1",
        "3",
        "512",
        "512",
        "--tolerance",
        "0.99",
        "--formats",
        "lite-x86",
        "onnx",
    ]
    assert said[0].startswith("1/2 ")

    again, _ = planning.export_networks(*arguments, say=said.append)
    assert again == made
    assert len(exported) == 1
    assert said[-3] == f"1/2 {made[0]}: there already"

    other = (*arguments[:3], ["onnxruntime"], *arguments[4:])
    planning.export_networks(*other, say=said.append)
    assert exported[1][-1] == "onnx"


def load_nothing() -> None:
    raise FileNotFoundError


def test_all_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(planning, "_is_there", lambda *_: True)
    made, _ = planning.export_networks(["all"], [64, 96], "vim", None, "adb", tmp_path, say=lambda _: None)
    assert len(made) == 12
    assert all(folder.name.endswith("_64x96_vim") for folder in made)


def test_an_export_that_is_interrupted_may_clean_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    half, program = tmp_path / "half", tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, time\nhalf = pathlib.Path({str(half)!r})\n"
        "try:\n    half.touch()\n    time.sleep(60)\nfinally:\n    time.sleep(0.5)\n    half.unlink()\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    def press() -> None:
        while not half.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        planning._export(["export"])
    assert not half.exists()


def test_networks_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="topformer_tiny"):
        planning.export_networks(["topformer_tinny"], None, "argmax", None, "local", tmp_path)
    with pytest.raises(ValueError, match="--image_size is"):
        planning.export_networks(["all"], [0, 64], "argmax", None, "local", tmp_path)
