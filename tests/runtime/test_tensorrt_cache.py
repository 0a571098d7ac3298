from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.runtime.tensorrt_cache import EngineCache, default_folder

KEY: dict[str, Any] = {
    "gpu": "A",
    "compute_capability": "8.6",
    "tensorrt": "11.4.0.106",
    "model_sha256": "0" * 64,
    "precision": "fp32",
    "shapes": [None, [1, 3, 64, 64], None],
}


def test_an_engine_comes_back(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "new" / "folder")
    assert cache.load(KEY) is None
    engine = bytes(range(256)) + b"\n\n{}\n"
    with cache.alone(KEY):
        cache.store(KEY, engine)
    assert cache.load(dict(reversed(KEY.items()))) == engine


@pytest.mark.parametrize("changed", KEY)
def test_everything_in_the_key_counts(tmp_path: Path, changed: str) -> None:
    cache = EngineCache(tmp_path)
    cache.store(KEY, b"engine")
    other = {**KEY, changed: [[1, 3, 64, 64], None, None] if changed == "shapes" else "other"}
    assert cache.load(other) is None
    assert cache.path(other) != cache.path(KEY)


@pytest.mark.parametrize("content", [b"", b"no json\nengine", b"[]\nengine", b'{"key": 1}\nengine'])
def test_a_file_of_another_kind_is_no_engine(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    cache = EngineCache(tmp_path)
    cache.path(KEY).write_bytes(content)
    assert cache.load(KEY) is None
    assert "is damaged; building it again" in caplog.text


@pytest.mark.parametrize("position", [2, -1])
def test_a_changed_byte_is_found(tmp_path: Path, position: int) -> None:
    cache = EngineCache(tmp_path)
    cache.store(KEY, b"engine")
    content = bytearray(cache.path(KEY).read_bytes())
    content[position] ^= 1
    cache.path(KEY).write_bytes(bytes(content))
    assert cache.load(KEY) is None
    cache.path(KEY).write_bytes(bytes(content)[:-3])
    assert cache.load(KEY) is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cache_dir or MOBILESEG_CACHE"), EngineCache(tmp_path / "file" / "x").alone(KEY):
        pass


def test_an_engine_that_cannot_be_kept_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = EngineCache(tmp_path)
    cache.path(KEY).mkdir()  # a folder under the engine's name
    cache.store(KEY, b"engine")
    assert "was not kept" in caplog.text
    assert cache.load(KEY) is None


def test_the_second_process_waits_for_the_first(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from paddle_mobileseg.runtime.tensorrt_cache import EngineCache\n"
        f"cache, key = EngineCache(Path(sys.argv[1])), {KEY!r}\n"
        "print('ready', flush=True)\n"
        "with cache.alone(key): print(cache.load(key))"
    )
    cache = EngineCache(tmp_path)
    with cache.alone(KEY):
        child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
        cache.store(KEY, b"built")
    assert child.communicate(timeout=30)[0] == "b'built'\n"


def test_where_engines_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "tensorrt"
    monkeypatch.delenv("MOBILESEG_CACHE")
    assert default_folder() == Path.home() / ".cache" / "paddle_mobileseg" / "tensorrt"
