"""TopFormer: pooling of the pyramid, injection modules, arguments, graphs of open size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg import networks
from paddle_mobileseg.backbones.top_transformer import (
    INJECTIONS,
    pool_adaptively,
    pool_by_fixed_windows,
    top_transformer_small,
    top_transformer_tiny,
)
from paddle_mobileseg.models.topformer import TopFormer
from tests.comparison import (
    apart,
    assert_same_maps,
    assert_same_tensors,
    give_random_weights,
    image,
    parameter_attributes,
    with_equal_weights,
)
from tests.exported import assert_as_the_network, export_both, patches


def counting(side: int) -> paddle.Tensor:
    """``[1, 1, side, side]``: 0, 1, 2, ... in reading order."""
    return paddle.arange(side * side, dtype="float32").reshape([1, 1, side, side])


def tiny(**arguments: str) -> TopFormer:
    network = TopFormer(11, top_transformer_tiny(**arguments), head_use_dw=True)
    give_random_weights(network, seed=0, gain=1.6)
    network.eval()
    return network


def test_adaptive_pooling_by_hand() -> None:
    pooled = pool_adaptively([counting(6), counting(3)])  # three rows to two: each sees the middle one

    assert pooled.shape == [1, 2, 2, 2]
    np.testing.assert_allclose(pooled[0, 0].numpy(), [[7, 10], [25, 28]], rtol=1e-6)
    np.testing.assert_allclose(pooled[0, 1].numpy(), [[2, 3], [5, 6]], rtol=1e-6)
    pooled = pool_adaptively([counting(5), counting(3)])  # five rows to two: 0 to 2, 2 to 4
    np.testing.assert_allclose(pooled[0, 0].numpy(), [[6, 8], [16, 18]], rtol=1e-6)


def test_pooling_by_fixed_windows_by_hand() -> None:
    pooled = pool_by_fixed_windows([counting(6), counting(3)])  # the first 4 x 4 and the first 2 x 2

    assert pooled.flatten().tolist() == [10.5, 2.0]
    # The smaller map allows two windows, the larger has seven rows for them: 0 to 3 and 4 to 6.
    pooled = pool_by_fixed_windows([counting(7), counting(4)])
    np.testing.assert_allclose(pooled[0, 0].numpy(), [[12, 15.5], [36.5, 40]], rtol=1e-6)
    assert pool_by_fixed_windows([counting(2), counting(1)]).flatten().tolist() == [1.5, 0.0]


@pytest.mark.parametrize(("size", "differ"), [((128, 192), False), ((96, 160), True)])
def test_poolings_differ_only_where_64_does_not_divide(size: tuple[int, int], differ: bool) -> None:
    x = image(size, dtype="float32")
    with paddle.no_grad():
        adaptive, floor = (tiny(pooling=each)(x)[0].numpy() for each in ("adaptive", "floor"))

    difference = apart(floor, adaptive)
    assert difference > 0.05 if differ else difference < 1e-5


@pytest.mark.parametrize("size", [(480, 480), (96, 160), (66, 450)])
def test_floor_is_what_paddleseg_does(size: tuple[int, int]) -> None:
    pair = tiny(pooling="floor"), networks.get("topformer_tiny").build_paddleseg(11)
    ours, theirs = with_equal_weights(pair, seed=0)
    with paddle.no_grad():
        assert_same_maps(ours(image(size)), theirs(image(size)))


@pytest.mark.parametrize("size", [(32, 32), (45, 61), (250, 333)])
def test_floor_works_where_paddleseg_fails(size: tuple[int, int]) -> None:
    with paddle.no_grad():
        logits = tiny(pooling="floor")(image(size, dtype="float32"))[0]

    assert logits.shape == [1, 11, *size]
    assert bool(paddle.isfinite(logits).all())


@pytest.mark.parametrize("name", INJECTIONS)
def test_injections_are_paddlesegs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from paddleseg.models.backbones import top_transformer as paddleseg

    low, semantics = (paddle.to_tensor(np.random.default_rng(s).normal(size=(2, 6, s, s + 3))) for s in (11, 4))
    ours, theirs = INJECTIONS[name](6, 8), paddleseg.SIM_BLOCK[name](6, 8)
    if name != "multi_sum":  # these three take the size from a variable `x` that does not exist
        monkeypatch.setattr(paddleseg, "x", low, raising=False)
    if name == "multi_sum_cbr":  # and this one lacks the ReLUs that its description and the authors' code have
        theirs.local_embedding.act = theirs.global_embedding.act = nn.ReLU()
    ours, theirs = with_equal_weights((ours, theirs), seed=1)
    found, expected = ours(low, semantics), theirs(low, semantics)

    assert found.shape == [2, 8, 11, 14]
    assert_same_maps([found], [expected])
    if name == "multi_sum_cbr":
        assert (expected.numpy() >= 0).all()


@pytest.mark.parametrize("name", INJECTIONS)
def test_injection_type_chooses_the_modules(name: str) -> None:
    backbone = top_transformer_tiny(injection_type=name, lr_mult=0.5)

    assert [type(module) for module in backbone.SIM] == [nn.Identity, *[INJECTIONS[name]] * 3]
    trained = [parameter for parameter in backbone.parameters() if not parameter.stop_gradient]
    assert {parameter.optimize_attr["learning_rate"] for parameter in trained} == {0.5}
    assert [list(each.shape) for each in backbone(image((64, 96), dtype="float32"))] == [
        [1, 128, 64 // s, 96 // s] for s in backbone.feat_strides
    ]


def test_without_injection_the_pyramid_and_the_semantics() -> None:
    backbone = top_transformer_small(injection=False)

    assert (backbone.feat_channels, backbone.feat_strides) == ([24, 48, 96, 128, 296], [4, 8, 16, 32, 64])
    assert [list(each.shape) for each in backbone(image((64, 128), dtype="float32"))] == [
        [1, c, 64 // s, 128 // s] for c, s in zip(backbone.feat_channels, backbone.feat_strides, strict=True)
    ]
    assert not [name for name in backbone.state_dict() if name.startswith("SIM")]


@pytest.mark.parametrize("name", ["topformer_base", "topformer_small", "topformer_tiny"])
def test_starts_as_paddlesegs(name: str) -> None:
    """From one seed the same values; learning rates and weight decay of each parameter too."""
    paddle.seed(5)
    ours = networks.get(name).build()
    paddle.seed(5)
    theirs = networks.get(name).build_paddleseg()

    assert_same_tensors((ours, theirs))
    attributes = parameter_attributes(ours)
    assert list(attributes.values()) == list(parameter_attributes(theirs).values())
    for key, (frozen, _, regularizer, optimize, _) in attributes.items():
        assert regularizer == "None"
        assert frozen or optimize == {"learning_rate": 0.1 if key.startswith("backbone.") else 1.0}


def test_stochastic_depth_grows_from_block_to_block() -> None:
    blocks = top_transformer_tiny(drop_path_rate=0.3).trans.transformer_blocks

    assert [block.drop_path.rate for block in blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert [block.drop_path.rate for block in top_transformer_tiny().trans.transformer_blocks] == [0.0] * 4


def test_imagenet_weights(tmp_path: Path) -> None:
    """A file without injections and with a classifier is taken."""
    path = str(tmp_path / "imagenet.pdparams")
    trained = {name: t for name, t in tiny().backbone.state_dict().items() if not name.startswith("SIM.")}
    paddle.save({**trained, "head.weight": paddle.ones([208, 10])}, path)
    loaded = top_transformer_tiny(pretrained=path).state_dict()

    for name, tensor in trained.items():
        np.testing.assert_array_equal(loaded[name].numpy(), tensor.numpy())


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=r"injection_type 'muli_sum'.*fuse_multi; did you mean 'multi_sum'\?"):
        top_transformer_tiny(injection_type="muli_sum")
    with pytest.raises(ValueError, match=r"pooling 'adaptiv'; .*did you mean 'adaptive'\?"):
        top_transformer_tiny(pooling="adaptiv")
    with pytest.raises(ValueError, match=r"channels must be equal; got \[16, 32, 64, 96, 208\]"):
        TopFormer(3, top_transformer_tiny(injection=False))


@pytest.mark.parametrize(("pooling", "output_op"), [("adaptive", "vim"), ("floor", "argmax")])
def test_a_graph_of_open_size(tmp_path: Path, pooling: str, output_op: str) -> None:
    network = tiny(pooling=pooling)
    with paddle.no_grad():  # so that no class wins everywhere
        bias = network.decode_head.conv_seg.bias
        bias.set_value(bias - network.low_logits(paddle.to_tensor(patches(150, 203))).mean([0, 2, 3]))
    for runner in export_both(network, tmp_path, output_op, [-1, 3, -1, -1]):
        for size in ((64, 128), (70, 101), (96, 160), (150, 203)):
            assert_as_the_network(runner, network, output_op, size)
