"""Weights of other code bases: every tensor arrives under PaddleSeg's name, or the conversion fails and lists it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg import networks, registry
from paddle_mobileseg.weights import load_weights, read_weights
from paddle_mobileseg.weights.convert import convert
from paddle_mobileseg.weights.paddle_file import read_paddle
from tests.weights.torch_writer import write_torch

FILES = [
    f"{family}_{size}"
    for family, sizes in (("pp_mobileseg", 2), ("topformer", 3))
    for size in ("tiny", "base", "small")[:sizes]
]
STDC = {"stdc1": "STDC1", "stdc2": "STDC2"}


def torch_state(shared_dir: Path, name: str, num_classes: int = 150) -> dict[str, np.ndarray]:
    """Tensors under torch's names, each filled with a number of its own."""
    listed = json.loads((shared_dir / "reference" / "keys" / f"torch_{name}.keys.json").read_text())
    return {
        key: np.full([num_classes if side == 150 else side for side in shape], index, dtype)
        for index, (key, shape, dtype) in enumerate(listed)
    }


def arrives_whole(state: dict[str, np.ndarray], written: dict[str, np.ndarray]) -> bool:
    """Whether the numbers that fill the tensors are all there, but for the counters of seen batches."""
    kept = [array for name, array in state.items() if not name.endswith("num_batches_tracked")]
    numbers = sorted(float(array.flat[0]) for array in kept)
    return numbers == sorted(float(array.flat[0]) for array in written.values())


@pytest.mark.parametrize(
    ("file", "network"),
    [
        ("pp_mobileseg_tiny.pth", "pp_mobileseg_tiny"),
        ("topformer_tiny.pth", "topformer_tiny"),
        ("topformer_tiny_legacyformat.pth", "topformer_tiny"),
    ],
)
def test_mmsegmentations_files(shared_dir: Path, tmp_path: Path, file: str, network: str) -> None:
    source, output = shared_dir / "reference" / "oracles" / file, tmp_path / "model.pdparams"
    conversion = convert(source, output)
    direct, own = networks.get(network).build(), networks.get(network).build()
    load_weights(direct, source)
    load_weights(own, output)

    assert (conversion.name, conversion.num_classes, conversion.left_out, conversion.lacking) == (network, 150, [], [])
    assert conversion.summary() == f"{len(own.state_dict())} tensors of {network} with 150 classes"
    for name, tensor in direct.state_dict().items():
        np.testing.assert_array_equal(own.state_dict()[name].numpy(), tensor.numpy())
    loaded = paddle.load(str(output))
    theirs = networks.get(network).build_paddleseg()
    assert {n: list(t.shape) for n, t in loaded.items()} == {n: list(t.shape) for n, t in theirs.state_dict().items()}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_every_published_name(shared_dir: Path, tmp_path: Path, name: str, legacy: bool) -> None:
    state = torch_state(shared_dir, name, num_classes=11)
    conversion = convert(write_torch(tmp_path / "a.pth", state, legacy=legacy), tmp_path / "model.pdparams")
    written = read_paddle(tmp_path / "model.pdparams")

    assert (conversion.name, conversion.num_classes, conversion.tensors) == (name, 11, len(written))
    assert arrives_whole(state, written)
    assert written["decode_head.conv_seg.bias"].flat[0] == state["decode_head.conv_seg.bias"].flat[0]
    shapes = {n: list(t.shape) for n, t in networks.get(name).build(11).state_dict().items()}
    assert {n: list(array.shape) for n, array in written.items()} == shapes


@pytest.mark.parametrize("wrapper", [None, "state_dict", "state_dict_ema", "model"])
@pytest.mark.parametrize("form", ["module.", "no backbone."])
def test_wrappers_and_prefixes(shared_dir: Path, tmp_path: Path, wrapper: str | None, form: str) -> None:
    state = torch_state(shared_dir, "topformer_tiny")
    changed = {f"module.{n}" if form == "module." else n.removeprefix("backbone."): a for n, a in state.items()}
    conversion = convert(write_torch(tmp_path / "a.pth", changed, wrapper), tmp_path / "model.pdparams")

    assert (conversion.name, conversion.num_classes) == ("topformer_tiny", 150)
    assert arrives_whole(state, read_paddle(tmp_path / "model.pdparams"))


@pytest.mark.parametrize("prefix", ["backbone.", ""])
@pytest.mark.parametrize(
    ("name", "backbone", "injection", "classifier"),
    [
        ("pp_mobileseg_tiny", "MobileSeg_Tiny", "inj_module", ["head.weight", "head.bias"]),
        ("pp_mobileseg_base", "MobileSeg_Base", "inj_module", []),
        ("topformer_tiny", "TopTransformer_Tiny", "SIM", ["head.bn.weight", "head.l.weight"]),
        ("topformer_base", "TopTransformer_Base", "SIM", []),
    ],
)
def test_backbones_trained_on_imagenet(
    shared_dir: Path, tmp_path: Path, name: str, backbone: str, injection: str, classifier: list[str], prefix: str
) -> None:
    """They have no injection module, and some have a classifier; mmsegmentation's files have a prefix, others none."""
    whole = torch_state(shared_dir, name)
    state = {
        prefix + key.removeprefix("backbone."): array
        for key, array in whole.items()
        if key.startswith("backbone.") and injection not in key
    }
    more = {key: np.full([5], -1, np.float32) for key in classifier}
    output = tmp_path / "model.pdparams"
    conversion = convert(write_torch(tmp_path / "a.pth", {**state, **more}), output)
    written = read_paddle(output)

    assert (conversion.name, conversion.num_classes) == (backbone, None)
    assert conversion.left_out == classifier
    assert conversion.lacking and all(each.startswith(injection) for each in conversion.lacking)
    assert arrives_whole(state, written)
    registry.find(backbone, "backbones")(pretrained=str(output))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", STDC)
def test_the_stdc_authors_imagenet_files(shared_dir: Path, tmp_path: Path, name: str, legacy: bool) -> None:
    """Torch checkpoints called .tar, with a classifier and every block a second time by stage."""
    state = torch_state(shared_dir, f"stdc_imagenet_{name}")
    for key in state:
        if key.split(".")[0] in ("x2", "x4", "x8", "x16", "x32"):
            state[key] = state[f"features.{key.split('.', 2)[2]}"]
    output = tmp_path / "model.pdparams"
    conversion = convert(write_torch(tmp_path / "STDCNet.tar", state, legacy=legacy), output)
    written = read_paddle(output)

    assert (conversion.name, conversion.lacking) == (STDC[name], [])
    features = {key: array for key, array in state.items() if key.startswith("features.")}
    assert arrives_whole(features, written)
    assert {each.split(".")[0] for each in conversion.left_out} == {
        *("conv_last", "fc", "bn", "linear", "x2", "x4", "x8", "x16", "x32")
    }
    assert "left out: conv_last (5), fc (1), bn (4), linear (1), x2 (5)" in conversion.summary()
    backbone = registry.find(STDC[name], "backbones")(pretrained=str(output))
    assert len(written) == len(backbone.state_dict())


def test_an_earlier_layout_of_pp_liteseg(shared_dir: Path, tmp_path: Path) -> None:
    listed = json.loads(
        (shared_dir / "reference" / "keys" / "paddleseg_pp_liteseg_stdc1.era_31395369.keys.json").read_text()
    )
    paddle.save({key: np.full(shape, 0.5, np.float32) for key, shape in listed}, str(tmp_path / "old.pdparams"))
    conversion = convert(tmp_path / "old.pdparams", tmp_path / "new.pdparams")

    assert (conversion.name, conversion.num_classes) == ("pp_liteseg_stdc1", 19)
    assert set(read_paddle(tmp_path / "new.pdparams")) == set(networks.get("pp_liteseg_stdc1").build().state_dict())


def test_what_is_left_over_or_missing_fails_and_is_listed(shared_dir: Path, tmp_path: Path) -> None:
    state = torch_state(shared_dir, "topformer_tiny")
    del state["backbone.tpm.stem.0.c.weight"]
    state["backbone.extra.weight"] = np.zeros(3, np.float32)
    path = write_torch(tmp_path / "a.pth", state)
    with pytest.raises(ValueError, match=r"a\.pth does not fit TopFormer") as raised:
        convert(path, tmp_path / "model.pdparams")
    assert "the file lacks (backbone.tpm.stem.0.c.weight)" in str(raised.value)
    assert "the network lacks (backbone.extra.weight)" in str(raised.value)
    assert "The file is nearest to topformer_tiny with 150 classes: 314 of its 315 tensors fit" in str(raised.value)
    backbone = {key: array for key, array in state.items() if key.startswith("backbone.")}
    with pytest.raises(ValueError, match=r"lacks \(extra\.weight\)"):
        convert(write_torch(path, backbone), tmp_path / "model.pdparams")
    whole = {key: array for key, array in torch_state(shared_dir, "topformer_tiny").items() if "backbone" in key}
    with pytest.raises(ValueError, match=r"1 tensors outside its backbone TopTransformer_Tiny \(neck\.weight\)"):
        convert(write_torch(path, {**whole, "neck.weight": np.zeros(3, np.float32)}), tmp_path / "model.pdparams")
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_by_name(shared_dir: Path, tmp_path: Path) -> None:
    path = write_torch(tmp_path / "a.pth", torch_state(shared_dir, "topformer_tiny", 7))
    output = tmp_path / "model.pdparams"
    assert convert(path, output, "topformer_tiny").num_classes == 7
    assert convert(path, output, "TopTransformer_Tiny").left_out == [
        name for name in read_weights(path) if name.startswith("decode_head.")
    ]
    output.unlink()
    with pytest.raises(KeyError, match="no network or backbone called 'topformer_tyni'; did you mean 'topformer_tiny'"):
        convert(path, output, "topformer_tyni")
    with pytest.raises(ValueError, match="The file seems to belong to topformer_tiny with 7 classes"):
        convert(path, output, "topformer_small")
    with pytest.raises(ValueError, match=r"expected a name that ends with \.pdparams"):
        convert(path, tmp_path / "model.onnx")
    assert not output.exists()


def test_a_file_of_no_network(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "a.pth", {"conv.weight": np.zeros([4, 3, 1, 1], np.float32)})
    with pytest.raises(ValueError, match=r"has the tensors of no network that is here; .* --network"):
        convert(path, tmp_path / "model.pdparams")


def test_a_folder_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "model.pdparams"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")

    with pytest.raises(IsADirectoryError, match="is a folder; expected a file to write"):
        convert(tmp_path / "a.pth", folder)
    with pytest.raises(IsADirectoryError, match=r"is a folder; expected a \.pdparams or \.pth file"):
        convert(folder, tmp_path / "other.pdparams")
    assert (folder / "notes.txt").read_text() == "mine"


def test_half_precision_is_written_as_the_network_has_it(shared_dir: Path, tmp_path: Path) -> None:
    state = {
        n: a.astype(np.float16) if a.dtype == np.float32 else a
        for n, a in torch_state(shared_dir, "topformer_tiny").items()
    }
    convert(write_torch(tmp_path / "a.pth", state), tmp_path / "model.pdparams")
    assert {array.dtype for array in read_paddle(tmp_path / "model.pdparams").values()} == {np.dtype("float32")}
