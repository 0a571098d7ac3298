"""The benchmark of a bundle, with sessions that only count."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from paddle_mobileseg.benchmark import benchmark_bundle, bundle, latency, read_record


class CountingSession:
    made: list[tuple[str, int]]

    def __init__(self, folder: Path, backend: str, threads: int) -> None:
        self.backend, self.threads = backend, threads
        CountingSession.made.append((backend, threads))

    def run_tensor(self, x: np.ndarray) -> np.ndarray:
        assert x.shape == (1, 3, 4, 6)
        return np.zeros((1, 4, 6), np.int32)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A bundle's folder; loading it gives one with files for two backends and golden inputs of two sizes."""
    inputs = [np.zeros(shape, np.float32) for shape in ((1, 3, 4, 6), (1, 3, 8, 8), (1, 3, 4, 6))]
    about = {
        "backends": {"paddle": ["a"], "onnxruntime": ["b"]},
        "files": {"a": {"sha256": "12", "bytes": 3}},
        "network": "Net",
        "source_checkpoint_sha256": "ab",
    }
    loaded = SimpleNamespace(
        folder=tmp_path, about=about, output_op="argmax", golden=lambda: [(x, None) for x in inputs]
    )
    CountingSession.made = []
    monkeypatch.setattr(bundle, "load_bundle", lambda path: loaded)
    monkeypatch.setattr(bundle, "Session", CountingSession)
    monkeypatch.setattr(bundle, "available_backends", lambda: ["onnxruntime", "paddle", "other"])
    monkeypatch.setattr(latency, "PAUSE_S", 0)
    return tmp_path


def test_every_backend_with_every_number_of_threads(folder) -> None:
    text = benchmark_bundle(folder, threads=[1, 2], warmup=0, repeats=2, command="again")
    assert CountingSession.made == [("onnxruntime", 1), ("onnxruntime", 2), ("paddle", 1), ("paddle", 2)]
    record = read_record(folder / "latency.json")
    assert [(m["backend"], m["threads"], m["inputs"]) for m in record["measurements"]] == [
        ("onnxruntime", 1, 2),
        ("onnxruntime", 2, 2),
        ("paddle", 1, 2),
        ("paddle", 2, 2),
    ]
    assert record["command"] == "again"
    assert record["model"] == {
        "network": "Net", "num_parameters": None, "macs": None, "source_checkpoint_sha256": "ab",
        "output_op": "argmax", "files": {"a": "12"},
    }  # fmt: skip
    lines = text.splitlines()
    assert lines[0].split() == ["backend", "threads", "median", "ms", "p90", "ms", "min", "ms", "first", "ms"]
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["onnxruntime", "1"],
        ["onnxruntime", "2"],
        ["paddle", "1"],
        ["paddle", "2"],
    ]
    assert lines[5:] == ["input 6x4 (width x height), 2 repeats each", f"record: {folder / 'latency.json'}"]


def test_backends_and_record_as_asked_for(folder) -> None:
    benchmark_bundle(folder, folder / "there" / "r.json", backends=["paddle"], repeats=1)
    assert CountingSession.made == [("paddle", 1)]
    assert len(read_record(folder / "there" / "r.json")["measurements"]) == 1


def test_no_backend_for_the_bundle(folder, monkeypatch) -> None:
    monkeypatch.setattr(bundle, "available_backends", lambda: ["other"])
    with pytest.raises(ValueError, match="files for paddle, onnxruntime, installed are other"):
        benchmark_bundle(folder)
