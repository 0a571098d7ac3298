"""Weights files: strict loading, both containers, damaged and hostile files."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.weights import load_weights, read_weights
from paddle_mobileseg.weights.download import cached_path, fetch
from paddle_mobileseg.weights.torch_file import read_torch


def small() -> nn.Layer:
    return nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4))


def saved(path: Path, network: nn.Layer) -> Path:
    paddle.save(network.state_dict(), str(path))
    return path


def test_round_trip(tmp_path: Path) -> None:
    source, target = small(), small()
    load_weights(target, saved(tmp_path / "model.pdparams", source))

    for name, tensor in source.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), target.state_dict()[name].numpy())


def test_another_network_is_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pdparams", nn.Sequential(nn.Conv2D(3, 5, 1), nn.Linear(2, 2)))
    network = small()
    before = network.state_dict()["0.weight"].numpy().copy()

    with pytest.raises(ValueError) as raised:
        load_weights(network, path)
    message = str(raised.value)
    assert "3 tensors that the network has and the file lacks" not in message
    assert "0.weight: got [5, 3, 1, 1], expected [4, 3, 1, 1]" in message
    assert "1.bias: got [2], expected [4]" in message
    assert "tensors that the network has and the file lacks (1._mean, 1._variance)" in message
    np.testing.assert_array_equal(network.state_dict()["0.weight"].numpy(), before)


def test_part_of_a_file(tmp_path: Path) -> None:
    whole = nn.Layer()
    whole.backbone, whole.head = small(), nn.Linear(1, 1)
    path = saved(tmp_path / "model.pdparams", whole)
    target = small()
    load_weights(target, path, part="backbone")

    np.testing.assert_array_equal(target[0].weight.numpy(), whole.backbone[0].weight.numpy())


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps([1, 2])])
def test_files_that_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"model\.pdparams"):
        read_weights(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        read_weights(tmp_path / "model.pdparams")


def torch_zip(path: Path, pickled: bytes, **storages: np.ndarray) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key[1:]}", array.tobytes())
    return path


def test_hostile_torch_file_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = torch_zip(tmp_path / "a.pth", pickle.dumps({"state_dict": Hostile()}))
    with pytest.raises(ValueError, match=r"asks for builtins.exec"):
        read_torch(path)
    assert not (tmp_path / "ran").exists()


def test_both_containers_hold_the_same(shared_dir: Path) -> None:
    oracles = shared_dir / "reference" / "oracles"
    new, old = (read_torch(oracles / f"topformer_tiny{kind}.pth") for kind in ("", "_legacyformat"))

    assert list(new) == list(old)
    assert len(new) > 100
    for name, array in new.items():
        np.testing.assert_array_equal(array, old[name])


def test_truncated_legacy_file(shared_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes((shared_dir / "reference" / "oracles" / "topformer_tiny_legacyformat.pth").read_bytes()[:-100])

    with pytest.raises(ValueError, match="expected"):
        read_torch(path)


def test_truncated_torch_file(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "a.pth", pickle.dumps({}))
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(ValueError, match="not a torch checkpoint"):
        read_torch(path)


def test_torch_tensors_may_not_reach_outside_their_storage(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "reference" / "oracles" / "pp_mobileseg_tiny.pth"
    broken = tmp_path / "broken.pth"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(broken, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[: len(data) // 2] if "/data/" in name else data)

    with pytest.raises(ValueError, match="expected"):
        read_torch(broken)


def test_download_without_network_names_the_file_to_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILESEG_CACHE", str(tmp_path))
    url = "http://127.0.0.1:9/dygraph/model.pdparams"

    with pytest.raises(OSError, match=str(cached_path(url))):
        fetch(url)
    assert list(tmp_path.iterdir()) == []
    cached_path(url).write_bytes(b"here")
    assert fetch(url).read_bytes() == b"here"
