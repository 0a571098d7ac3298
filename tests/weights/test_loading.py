"""Weights files: strict loading, both containers, damaged and hostile files."""

from __future__ import annotations

import logging
import pickle
import zipfile
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.backbones.strideformer import strideformer_tiny
from paddle_mobileseg.models.pp_mobileseg import PPMobileSeg
from paddle_mobileseg.weights import load_state, load_weights, read_weights, torch_file
from paddle_mobileseg.weights.torch_file import read_torch
from tests.weights.torch_writer import write_torch


def small() -> nn.Layer:
    return nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4))


def saved(path: Path, network: nn.Layer) -> Path:
    paddle.save(network.state_dict(), str(path))
    return path


def test_where_the_file_seems_to_belong_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pdparams", networks.get("pp_mobileseg_tiny").build(7))
    with pytest.raises(ValueError, match=r"does not fit PPMobileSeg: .*tensors of another shape") as raised:
        load_weights(networks.get("pp_mobileseg_tiny").build(11), path)
    assert "decode_head.conv_seg.weight: got [7, 256, 1, 1], expected [11, 256, 1, 1]" in str(raised.value)
    assert "The file seems to belong to pp_mobileseg_tiny with 7 classes. Check that" in str(raised.value)
    with pytest.raises(ValueError, match="The file seems to belong to pp_mobileseg_tiny with 7 classes"):
        load_weights(networks.get("topformer_tiny").build(7), path)
    with pytest.raises(ValueError, match="The file seems to belong to no network that is here"):
        load_weights(small(), saved(path, nn.Linear(2, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    network = small()
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    state["1._variance"][2] = value
    paddle.save(state, str(tmp_path / "model.pdparams"))
    with pytest.raises(ValueError, match=r"1 tensors with values that are not finite \(1\._variance\)"):
        load_weights(network, tmp_path / "model.pdparams")


def test_types(tmp_path: Path) -> None:
    """Floating-point numbers of any precision become the network's; whole numbers cannot be weights."""
    network, path = small(), tmp_path / "model.pdparams"
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    types = {"0.weight": np.float16, "0.bias": np.float64}
    paddle.save({name: array.astype(types.get(name, np.float32)) for name, array in state.items()}, str(path))
    load_weights(network, path)
    assert {str(tensor.dtype) for tensor in network.state_dict().values()} == {"paddle.float32"}
    np.testing.assert_allclose(network[0].weight.numpy(), state["0.weight"], atol=1e-3)
    paddle.save({**state, "0.bias": np.arange(4)}, str(path))
    with pytest.raises(ValueError, match=r"1 tensors that hold no floating-point numbers \(0\.bias: int64\)"):
        load_weights(network, path)


def test_a_web_page_and_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"model\.pdparams is not a weights file but a web page"):
        read_weights(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.pdparams is not a weights file: it is empty"):
        read_weights(path)


def test_a_network_translates_an_earlier_layout_wherever_it_loads(tmp_path: Path) -> None:
    class Renamed(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.new = nn.Linear(2, 2)

        def translate_weights(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            if "older.weight" in weights:
                raise ValueError("older.weight is damaged")
            return {name.replace("old.", "new."): array for name, array in weights.items()}

    weights = {"old.weight": np.ones([2, 2], np.float32), "old.bias": np.ones([2], np.float32)}
    network = Renamed()
    load_state(network, weights, "a file")
    np.testing.assert_array_equal(network.new.weight.numpy(), np.ones([2, 2]))
    paddle.save(weights, str(tmp_path / "model.pdparams"))
    other = Renamed()
    load_weights(other, tmp_path / "model.pdparams")
    np.testing.assert_array_equal(other.new.bias.numpy(), [1, 1])
    with pytest.raises(ValueError, match=r"^a file: older\.weight is damaged"):
        load_state(other, {"older.weight": np.ones([2, 2])}, "a file")


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


def classifier(image_channels: int = 3) -> nn.Layer:
    """``small`` with a module behind it that a pretrained file may lack, under the names of a file."""
    network = nn.Layer()
    network.conv, network.inj_module = nn.Conv2D(image_channels, 4, 1), nn.Linear(4, 4)
    return network


def pretrained(path: Path, **more: list[int]) -> Path:
    """A file with ``conv`` and, by name, further tensors of ones."""
    state = {f"conv.{name}": tensor for name, tensor in nn.Conv2D(3, 4, 1).state_dict().items()}
    paddle.save({**state, **{name.replace("_", "."): paddle.ones(shape) for name, shape in more.items()}}, str(path))
    return path


def test_what_a_file_may_lack_and_have_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = pretrained(tmp_path / "model.pdparams", head_weight=[4, 9], head_bias=[9])
    network = classifier()
    before = network.inj_module.weight.numpy().copy()
    with caplog.at_level(logging.INFO, "paddle_mobileseg"):
        load_weights(network, path, part="backbone", may_lack=["inj_module."], may_exceed=["head.", "fc."])

    np.testing.assert_array_equal(network.conv.weight.numpy(), read_weights(path)["conv.weight"])
    np.testing.assert_array_equal(network.inj_module.weight.numpy(), before)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 tensors are not in the file, the network keeps its own (inj_module.weight, inj_module.bias)",
        f"{path}: 2 tensors are not in the network, left out (head.weight, head.bias)",
    ]


def test_all_else_stays_strict(tmp_path: Path) -> None:
    path = pretrained(tmp_path / "model.pdparams", head_weight=[4, 9], neck_weight=[1])
    with pytest.raises(
        ValueError, match=r"1 tensors that the file has and the network lacks \(neck\.weight\)"
    ) as raised:
        load_weights(classifier(), path, may_lack=["inj_module."], may_exceed=["head."])
    assert "inj_module" not in str(raised.value)
    with pytest.raises(ValueError, match=r"2 tensors that the network has and the file lacks \(inj_module\.weight"):
        load_weights(classifier(), pretrained(tmp_path / "model.pdparams"))
    with pytest.raises(ValueError, match="another shape"):
        load_weights(classifier(5), pretrained(tmp_path / "model.pdparams"), may_lack=["inj_module.", "conv."])


def test_a_backbone_takes_an_imagenet_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = strideformer_tiny(inj_type="AAM")
    state = {name: t + 1 for name, t in source.state_dict().items() if not name.startswith("inj_module.")}
    path = str(tmp_path / "model.pdparams")
    paddle.save({**state, "fc.weight": paddle.ones([128, 1000])}, path)
    with caplog.at_level(logging.INFO, "paddle_mobileseg"):
        network = strideformer_tiny(inj_type="AAM", pretrained=path)

    for name, tensor in network.state_dict().items():
        if name in state:
            np.testing.assert_array_equal(tensor.numpy(), state[name].numpy())
    assert "inj_module.embedding_list.0.conv.weight" in caplog.text
    assert "1 tensors are not in the network, left out (fc.weight)" in caplog.text
    del state["smb1.conv.c.weight"]
    paddle.save(state, path)
    with pytest.raises(ValueError, match=r"the file lacks \(smb1\.conv\.c\.weight\)"):
        strideformer_tiny(inj_type="AAM", pretrained=path)


def test_ignore_head_for_another_number_of_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = (PPMobileSeg(classes, strideformer_tiny(inj_type="AAM")) for classes in (7, 3))
    path = saved(tmp_path / "model.pdparams", source)
    with pytest.raises(ValueError, match="2 tensors of another shape"):
        load_weights(target, path)
    own = target.decode_head.conv_seg.weight.numpy().copy()
    with caplog.at_level(logging.INFO, "paddle_mobileseg"):
        load_weights(target, path, ignore_head=True)

    assert "2 tensors of the head have another shape" in caplog.text
    assert "(decode_head.conv_seg.weight, decode_head.conv_seg.bias)" in caplog.text
    np.testing.assert_array_equal(target.decode_head.conv_seg.weight.numpy(), own)
    for name, tensor in source.state_dict().items():
        if "conv_seg" not in name:
            np.testing.assert_array_equal(target.state_dict()[name].numpy(), tensor.numpy())
    with pytest.raises(ValueError, match="Sequential has no head_prefixes"):
        load_weights(small(), saved(tmp_path / "small.pdparams", small()), ignore_head=True)


def test_ignore_head_says_nothing_about_the_backbone(tmp_path: Path) -> None:
    source = PPMobileSeg(3, strideformer_tiny(inj_type="AAM", in_channels=1))
    with pytest.raises(ValueError, match=r"1 tensors of another shape \(backbone\.smb1\.conv\.c\.weight"):
        load_weights(
            PPMobileSeg(7, strideformer_tiny(inj_type="AAM")),
            saved(tmp_path / "model.pdparams", source),
            ignore_head=True,
        )


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


@pytest.mark.parametrize("pickled", [b"\x80\x04N}b.", b"\x80\x04K\x01K\x02R.", b"\x80\x04K\x01Q."])
def test_torch_pickles_that_raise_something_else(tmp_path: Path, pickled: bytes) -> None:
    with pytest.raises(ValueError, match=r"a\.pth is not a torch checkpoint"):
        read_torch(torch_zip(tmp_path / "a.pth", pickled))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "state_dict_ema", "model"])
def test_what_torch_saves(tmp_path: Path, wrapper: str | None, legacy: bool) -> None:
    random = np.random.default_rng(0)
    state = {
        "module.a.weight": random.random((2, 3)).astype(np.float32),
        "module.b.running_mean": random.random(3).astype(np.float16),
        "module.b.num_batches_tracked": np.array(7),
    }
    path = write_torch(tmp_path / "a.pth", state, wrapper, legacy)
    read = read_torch(path)
    assert list(read) == list(state)
    for name, array in state.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    assert list(read_weights(path)) == ["a.weight", "b._mean"]
    assert list(read_weights(path.rename(tmp_path / "STDCNet.tar"))) == ["a.weight", "b._mean"]


def test_only_what_all_names_begin_with_is_taken_off(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    path = write_torch(tmp_path / "a.pth", {"module.a": one, "b": one})
    assert list(read_weights(path)) == ["module.a", "b"]


def test_numbers_beside_the_weights_are_read_as_nothing(tmp_path: Path) -> None:
    scalars = pickle.dumps({"best": np.float64(0.7)}, 2)[2:-1]
    path = write_torch(tmp_path / "a.pth", {"a": np.ones(2, np.float32)}, None)
    with zipfile.ZipFile(path) as archive:
        tensors, values = archive.read("archive/data.pkl")[2:-1], archive.read("archive/data/0")
    content = b"\x80\x02}(X\x0a\x00\x00\x00state_dict" + tensors + b"X\x04\x00\x00\x00meta" + scalars + b"u."
    torch_zip(path, content, _0=np.frombuffer(values, np.float32))
    np.testing.assert_array_equal(read_torch(path)["a"], [1, 1])


def test_a_torch_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_torch(tmp_path / "a.pth", {"a": np.ones(1000, np.float32)})
    monkeypatch.setattr(torch_file, "_MAX_BYTES", 3000)
    with pytest.raises(ValueError, match="bytes unpacked, which is more than the 3000 allowed"):
        read_torch(path)


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

    with pytest.raises(ValueError, match=r"not a torch checkpoint .*cut off"):
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
