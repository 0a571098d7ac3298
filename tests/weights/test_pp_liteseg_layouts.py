"""The layouts in which PP-LiteSeg and STDC weights were published, each with random tensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.backbones.stdc import stdc1, stdc2
from paddle_mobileseg.weights import load_weights
from paddle_mobileseg.weights.mmseg import to_paddleseg_names

FACTORIES = {1: stdc1, 2: stdc2}
LAYOUTS = ("", ".era_31395369", ".era_d23b93d2")
STAGES = ("x2.", "x4.", "x8.", "x16.", "x32.")

Weights = dict[str, np.ndarray]


def published(shared_dir: Path, name: str) -> Weights:
    """Random tensors under the names of a published file.

    Those that the file holds twice are the same: the stages' tensors come in the order of ``features``.
    """
    keys = json.loads((shared_dir / "reference" / "keys" / f"{name}.keys.json").read_text())
    rng = np.random.default_rng(0)
    weights = {key: rng.normal(size=shape).astype(np.float32) for key, shape, *_ in keys}
    features = [key for key in weights if key.removeprefix("backbone.").startswith("features.")]
    twice = [key for key in weights if key.removeprefix("backbone.").startswith(STAGES)]
    assert len(twice) in (0, len(features))
    for key, original in zip(twice, features, strict=False):
        weights[key] = weights[original]
    return weights


def saved(weights: Weights, path: Path) -> Path:
    paddle.save({name: paddle.to_tensor(each) for name, each in weights.items()}, str(path))
    return path


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_loads(shared_dir: Path, tmp_path: Path, number: int, layout: str) -> None:
    weights = published(shared_dir, f"paddleseg_pp_liteseg_stdc{number}{layout}")
    network = networks.get(f"pp_liteseg_stdc{number}").build()
    load_weights(network, saved(weights, tmp_path / "model.pdparams"))

    own = network.state_dict()
    assert {name for name in own if name not in weights} == (
        {f"ppseg_head.arm_list.{i}._scale" for i in range(3)} if layout else set()
    )
    for name, tensor in own.items():
        np.testing.assert_array_equal(tensor.numpy(), weights.get(name, np.ones(1, np.float32)), err_msg=name)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_backbone_of_every_layout(shared_dir: Path, tmp_path: Path, number: int, layout: str) -> None:
    weights = published(shared_dir, f"paddleseg_pp_liteseg_stdc{number}{layout}")
    backbone = FACTORIES[number](pretrained=str(saved(weights, tmp_path / "model.pdparams")))

    for name, tensor in backbone.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[f"backbone.{name}"], err_msg=name)


@pytest.mark.parametrize("number", [1, 2])
def test_the_authors_imagenet_files(shared_dir: Path, tmp_path: Path, number: int) -> None:
    weights = to_paddleseg_names(published(shared_dir, f"torch_stdc_imagenet_stdc{number}"))
    assert {name.split(".")[0] for name in weights} == {
        *("features", "x2", "x4", "x8", "x16", "x32", "conv_last", "fc", "bn", "linear")
    }
    path = saved(weights, tmp_path / "model.pdparams")
    backbone = FACTORIES[number](pool_counts_padding=True, pretrained=str(path))

    for name, tensor in backbone.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name], err_msg=name)
    with pytest.raises(ValueError, match="does not fit STDCNet"):
        FACTORIES[3 - number](pretrained=str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("backbone.x4.0.0.bn._mean", r"x4\.0\.0\.bn\._mean should be features\.1\.bn\._mean under another name"),
        ("backbone.x16.0.1.conv_list.0.conv.weight", r"should be features\.5\.conv_list\.0\.conv\.weight"),
    ],
)
def test_duplicates_must_agree(shared_dir: Path, tmp_path: Path, name: str, message: str) -> None:
    weights = published(shared_dir, "paddleseg_pp_liteseg_stdc1.era_d23b93d2")
    weights[name] = weights[name] + np.float32(1e-3)
    with pytest.raises(ValueError, match=message):
        load_weights(networks.get("pp_liteseg_stdc1").build(), saved(weights, tmp_path / "model.pdparams"))


def test_a_duplicate_may_not_stand_alone(shared_dir: Path, tmp_path: Path) -> None:
    weights = published(shared_dir, "paddleseg_pp_liteseg_stdc1.era_d23b93d2")
    del weights["backbone.features.0.conv.weight"]
    with pytest.raises(ValueError, match=r"x2\.0\.0\.conv\.weight .* stands alone"):
        load_weights(networks.get("pp_liteseg_stdc1").build(), saved(weights, tmp_path / "model.pdparams"))


@pytest.mark.parametrize("name", ["backbone.x64.0.0.bn.bias", "backbone.x2.1.0.bn.bias", "backbone.fc.weight", "x.y"])
def test_other_tensors_are_not_hidden(shared_dir: Path, tmp_path: Path, name: str) -> None:
    weights = published(shared_dir, "paddleseg_pp_liteseg_stdc1.era_d23b93d2")
    weights[name] = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match=rf"1 tensors that the file has and the network lacks \({name}\)"):
        load_weights(networks.get("pp_liteseg_stdc1").build(), saved(weights, tmp_path / "model.pdparams"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["backbone.features.7.conv_list.3.bn.bias", "seg_heads.2.conv_out.weight"])
def test_what_is_missing_is_missed(shared_dir: Path, tmp_path: Path, layout: str, name: str) -> None:
    weights = published(shared_dir, f"paddleseg_pp_liteseg_stdc1{layout}")
    for each in [each for each in weights if each in (name, name.replace("features.7", "x32.0.1"))]:
        del weights[each]
    with pytest.raises(ValueError, match=rf"1 tensors that the network has and the file lacks \({name}\)"):
        load_weights(networks.get("pp_liteseg_stdc1").build(), saved(weights, tmp_path / "model.pdparams"))


def test_scales_are_missing_together_or_not_at_all(shared_dir: Path, tmp_path: Path) -> None:
    weights = published(shared_dir, "paddleseg_pp_liteseg_stdc1")
    del weights["ppseg_head.arm_list.1._scale"]
    with pytest.raises(ValueError, match=r"file lacks \(ppseg_head.arm_list.1._scale\)"):
        load_weights(networks.get("pp_liteseg_stdc1").build(), saved(weights, tmp_path / "model.pdparams"))
