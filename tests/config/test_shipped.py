"""The configs of this repository load without their data, say what they are meant to, and train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paddle import nn
from PIL import Image

from paddle_mobileseg.config import Config, build, load_config
from paddle_mobileseg.config.parameter_groups import parameter_groups
from paddle_mobileseg.engine import Trainer, TrainOptions

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(path for path in CONFIGS.rglob("*.yml") if "_base_" not in path.parts)

# Devices x images a device, iterations and classes of every published recipe.
MOBILESEG = [
    f"mobileseg/mobileseg_{each}_cityscapes_1024x512_80k"
    for each in ("mobilenetv2", "mobilenetv3", "litehrnet18", "shufflenetv2", "ghostnet")
]
PP_LITESEG = [
    f"pp_liteseg/pp_liteseg_stdc{each}_cityscapes_1024x512_scale{scale}_160k"
    for each in (1, 2)
    for scale in ("0.5", "0.75", "1.0")
]
PP_LITESEG_CAMVID = [f"pp_liteseg/pp_liteseg_stdc{each}_camvid_960x720_10k" for each in (1, 2)]
PP_MOBILESEG = [f"pp_mobileseg/pp_mobileseg_{each}_ade20k_512x512_80k" for each in ("base", "tiny")]
TOPFORMER = [f"topformer/topformer_{each}_160k" for each in ("base_ade20k_512x512", "small_ade20k_512x512")]
TOPFORMER_TINY = [f"topformer/topformer_tiny_ade20k_{each}_160k" for each in ("448x448", "512x512")]
PADDLESEGS_TOPFORMER = [f"topformer/topformer_{each}_ade20k_512x512_160k" for each in ("base", "small", "tiny")]


def path_of(name: str) -> Path:
    return CONFIGS / f"{name}.yml"


def network_of(cfg: Config) -> nn.Layer:
    """The network of a config with random weights."""
    model = cfg.model
    model["backbone"].pop("pretrained", None)
    return build.component(model)


# ---------------------------------------------------------------------------------------------------- one training step
@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By type of data set, a folder with two images for each mode in its layout."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def write(path: Path, pixels: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def pair(image: str, label: str, classes: int) -> None:
        write(folder / image, rng.integers(0, 256, (64, 96, 3), dtype=np.uint8))
        write(folder / label, rng.integers(0, classes, (64, 96), dtype=np.uint8))

    for mode, part in (("train", "training"), ("val", "validation")):
        lines = []
        for i in range(2):
            city = f"{mode}/aachen/aachen_{i:06}_000019"
            pair(f"city/leftImg8bit/{city}_leftImg8bit.png", f"city/gtFine/{city}_gtFine_labelTrainIds.png", 19)
            pair(f"ade/images/{part}/ADE_{mode}_{i:08}.jpg", f"ade/annotations/{part}/ADE_{mode}_{i:08}.png", 151)
            pair(f"listed/{mode}{i}.jpg", f"listed/{mode}{i}.png", 10)
            lines.append(f"{mode}{i}.jpg {mode}{i}.png")
        (folder / "listed" / f"{mode}.txt").write_text("\n".join(lines))
    listed = dict.fromkeys(("Dataset", "CamVid", "SyntheticScenes"), folder / "listed")
    return {"Cityscapes": folder / "city", "ADE20K": folder / "ade", **listed}


def small(path: Path, roots: dict[str, Path]) -> Config:
    """A config with two crops of 64x64, no warm-up (whose first rate may be too small to move a float) and no files."""
    data = load_config(path).data
    data["batch_size"] = 2
    data["lr_scheduler"].pop("warmup_iters", None), data["lr_scheduler"].pop("warmup_start_lr", None)
    data["model"]["backbone"].pop("pretrained", None)
    for transform in data["train_dataset"]["transforms"]:
        if transform["type"] == "RandomPaddingCrop":
            transform["crop_size"] = [64, 64]
        if transform["type"] == "RandomResize":
            transform["scale"] = [256, 64]
    for loss in data["loss"]["types"]:
        if "min_kept" in loss:
            loss["min_kept"] = 2 * 64 * 64 // 16
    return Config.from_dict(data).with_changes(data_root=roots[data["train_dataset"]["type"]])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_training_step(path: Path, roots: dict[str, Path], tmp_path: Path) -> None:
    trainer = Trainer(small(path, roots), TrainOptions(str(tmp_path)))
    network = trainer.network
    before = {name: tensor.numpy().copy() for name, tensor in network.named_parameters()}
    assert network.num_train_logits == len(trainer.losses)

    step = next(trainer.steps())

    changed = {name for name, tensor in network.named_parameters() if not np.array_equal(tensor.numpy(), before[name])}
    trained = {name for name, tensor in network.named_parameters() if not tensor.stop_gradient}
    heads = tuple(network.head_prefixes)
    assert np.isfinite(step.loss) and step.loss > 0
    assert step.lr == pytest.approx(trainer.cfg.lr_scheduler["learning_rate"])
    assert [name for name in changed & trained if name.startswith("backbone.")]
    assert [name for name in changed & trained if name.startswith(heads)]
    running = {name for name in before if name.endswith(("._mean", "._variance"))}
    assert changed - trained <= running


# -------------------------------------------------------------------------------------------------------- what they say
PUBLISHED = {
    **dict.fromkeys(MOBILESEG, (4, 4, 80_000, 19)),
    **dict.fromkeys(PP_LITESEG, (4, 4, 160_000, 19)),
    **dict.fromkeys(PP_LITESEG_CAMVID, (4, 6, 10_000, 11)),
    **dict.fromkeys(PP_MOBILESEG, (2, 16, 80_000, 150)),
    **dict.fromkeys([f"{name}_2x8" for name in TOPFORMER + TOPFORMER_TINY], (8, 2, 160_000, 150)),
    **dict.fromkeys([f"{name}_4x8" for name in TOPFORMER + TOPFORMER_TINY], (8, 4, 160_000, 150)),
    **dict.fromkeys(PADDLESEGS_TOPFORMER, (4, 4, 160_000, 150)),
}


def text_with_bases(path: Path) -> str:
    """The text of a config and of those beside it that it builds on."""
    text = path.read_text()
    base = next((line.split()[1] for line in text.splitlines() if line.startswith("_base_: ") and "[" not in line), "")
    return text + text_with_bases(path.parent / base) if base else text


def test_every_published_row_has_a_recipe() -> None:
    assert len(PUBLISHED) == 5 + 6 + 2 + 2 + 8 + 3
    assert {path_of(name) for name in PUBLISHED} <= set(SHIPPED)


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items(), ids=lambda value: str(value).split("/")[-1])
def test_batches_iterations_and_classes(name: str, published: tuple[int, int, int, int]) -> None:
    devices, batch, iters, classes = published
    path = path_of(name)
    cfg = load_config(path)

    assert (cfg.batch_size, cfg.iters, cfg.num_classes) == (batch, iters, classes)
    assert f"batch {devices * batch} in all ({batch} on each of {devices} devices)" in text_with_bases(path).replace(
        "\n# ", " "
    )
    assert cfg.model["backbone"]["pretrained"].startswith("https://")
    assert "mIoU " in path.read_text()


SCHEDULES = [
    # (recipes, {iteration: rate}): the start, within and at the end of the warm-up, in the middle of the decay, the end
    (MOBILESEG, {0: 1e-5, 500: 0.002505, 1000: 0.005, 40_500: 0.005 * 0.5358867, 80_000: 0}),
    (PP_LITESEG, {0: 1e-5, 500: 0.002505, 1000: 0.005, 80_500: 0.005 * 0.5358867, 160_000: 0}),
    (PP_LITESEG_CAMVID, {0: 1e-5, 100: 0.005005, 200: 0.01, 5100: 0.01 * 0.5358867, 10_000: 0}),
    (PP_MOBILESEG, {0: 1e-6, 750: 0.0003005, 1500: 0.0006, 40_750: 0.0003, 80_000: 0}),
    (
        [f"{name}_{size}" for name in TOPFORMER for size in ("2x8", "4x8")],
        {0: 1.2e-10, 750: 6.000006e-5, 1500: 1.2e-4, 80_750: 6e-5, 160_000: 0},
    ),
    (
        [f"{name}_{size}" for name in TOPFORMER_TINY for size in ("2x8", "4x8")],
        {0: 3e-10, 750: 1.5000015e-4, 1500: 3e-4, 80_750: 1.5e-4, 160_000: 0},
    ),
    (PADDLESEGS_TOPFORMER, {0: 1e-6, 750: 0.0006005, 1500: 0.0012, 80_750: 0.0006, 160_000: 0}),
]


@pytest.mark.parametrize(("name", "rates"), [(name, rates) for names, rates in SCHEDULES for name in names])
def test_learning_rates(name: str, rates: dict[int, float]) -> None:
    scheduler = build.lr_scheduler(load_config(path_of(name)))
    found = {}
    for iteration in rates:
        scheduler.step(iteration)
        found[iteration] = scheduler.get_lr()
    assert found == pytest.approx(rates, rel=1e-6, abs=1e-15)


def test_every_published_recipe_has_its_schedule_checked() -> None:
    assert {name for names, _ in SCHEDULES for name in names} == set(PUBLISHED)


@pytest.mark.parametrize("name", MOBILESEG + PP_LITESEG + PP_LITESEG_CAMVID)
def test_losses_and_optimizer_of_the_convolutional_networks(name: str) -> None:
    cfg = load_config(path_of(name))
    min_kept = 250_000 if name in PP_LITESEG_CAMVID else 130_000
    ohem = {"type": "OhemCrossEntropyLoss", "min_kept": min_kept, "ignore_index": 255}

    assert cfg.loss == {"types": [ohem] * 3, "coef": [1, 1, 1]}
    assert [loss.thresh for _, loss in build.losses(cfg)] == [0.7] * 3
    assert cfg.optimizer == {"type": "Momentum", "momentum": 0.9, "weight_decay": 5e-4}


@pytest.mark.parametrize(
    ("name", "scaling", "test_scales"),
    [
        ("stdc1_cityscapes_1024x512_scale0.5_160k", [0.125, 1.5, 0.125], [0.5]),
        ("stdc2_cityscapes_1024x512_scale0.5_160k", [0.125, 1.5, 0.125], [0.5]),
        ("stdc1_cityscapes_1024x512_scale0.75_160k", [0.125, 1.5, 0.125], [0.75]),
        ("stdc2_cityscapes_1024x512_scale0.75_160k", [0.125, 1.5, 0.125], [0.75]),
        ("stdc1_cityscapes_1024x512_scale1.0_160k", [0.5, 2.0, 0.25], [1.0]),
        ("stdc2_cityscapes_1024x512_scale1.0_160k", [0.5, 2.0, 0.25], [1.0]),
        ("stdc1_camvid_960x720_10k", [0.5, 2.5, 0.25], [1.0]),
        ("stdc2_camvid_960x720_10k", [0.5, 2.5, 0.25], [1.0]),
    ],
)
def test_scales_of_pp_liteseg(name: str, scaling: list[float], test_scales: list[float]) -> None:
    from paddle_mobileseg.engine.evaluator import eval_settings

    cfg = load_config(path_of(f"pp_liteseg/pp_liteseg_{name}"))
    first = cfg.train_dataset["transforms"][0]

    assert [first[key] for key in ("min_scale_factor", "max_scale_factor", "scale_step_size")] == scaling
    assert eval_settings(cfg) == {"scales": test_scales, "flip": False}
    widths = cfg.model.get("arm_out_chs"), cfg.model.get("seg_head_inter_chs")
    assert widths == (([32, 64, 128], [32, 64, 64]) if "stdc1" in name else (None, None))


@pytest.mark.parametrize("name", TOPFORMER + TOPFORMER_TINY)
def test_topformers_authors_recipes(name: str) -> None:
    side = 448 if "448" in name else 512
    two, four = (load_config(path_of(f"{name}_{size}")).data for size in ("2x8", "4x8"))
    transforms = two["train_dataset"]["transforms"]

    assert {**two, "batch_size": 4} == four
    assert [each["type"] for each in transforms] == [
        "RandomResize", "RandomHorizontalFlip", "PhotoMetricDistortion", "RandomPaddingCrop", "Normalize",
    ]  # fmt: skip
    assert transforms[0] == {"type": "RandomResize", "scale": [2048, side], "ratio_range": [0.5, 2.0]}
    assert transforms[3]["crop_size"] == [side, side]
    assert transforms[3]["category_max_ratio"] == 0.75
    padding = np.array(transforms[3]["im_padding_value"])
    np.testing.assert_allclose(padding / 255, transforms[4]["mean"], rtol=1e-12)
    assert two["val_dataset"]["transforms"][0] == {
        "type": "Resize", "target_size": [2048, side], "keep_ratio": True, "size_divisor": 32,
    }  # fmt: skip
    assert two["model"].get("head_use_dw", False) == ("tiny" in name)
    assert two["model"]["backbone"]["drop_path_rate"] == 0.1


# ----------------------------------------------------------------------------------------------------- parameter groups
def factors_of(name: str) -> dict[str, tuple[float, float | None]]:
    """Learning-rate factor and own weight decay of each trainable parameter, under an optimizer without groups."""
    cfg = load_config(path_of(name))
    assert "custom_cfg" not in cfg.optimizer
    network = network_of(cfg)
    build.optimizer(cfg, network, 0.1)
    return {
        name: (each.optimize_attr["learning_rate"], None if each.regularizer is None else each.regularizer._coeff)
        for name, each in network.named_parameters()
        if not each.stop_gradient
    }


@pytest.mark.parametrize(
    ("name", "norms_without_decay"),
    [*zip(MOBILESEG, (0, 92, 12, 0, 158), strict=True), (PP_LITESEG_CAMVID[0], 0), (PP_LITESEG[3], 0)],
)
def test_factors_of_the_convolutional_networks(name: str, norms_without_decay: int) -> None:
    """One rate for all; the backbones whose published code says so keep batch norms from decaying."""
    factors = factors_of(name)
    own = {name: decay for name, (_, decay) in factors.items() if decay is not None}

    assert {rate for rate, _ in factors.values()} == {1.0}
    assert set(own.values()) <= {0.0}
    assert len(own) == norms_without_decay
    assert all(name.startswith("backbone.") and ("bn" in name or "norm" in name) for name in own)


def test_factors_of_paddlesegs_topformer() -> None:
    factors = factors_of(PADDLESEGS_TOPFORMER[2])

    assert {factor for name, factor in factors.items() if name.startswith("backbone.")} == {(0.1, None)}
    assert {factor for name, factor in factors.items() if name.startswith("decode_head.")} == {(1.0, None)}


def groups_of(name: str) -> list[tuple[dict[str, float], set[str]]]:
    """The groups that the optimizer gets: their options and their parameters' names."""
    cfg = load_config(path_of(name))
    network = network_of(cfg)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    settings = cfg.optimizer
    groups = parameter_groups(network, settings["custom_cfg"], settings["weight_decay"])
    return [
        ({key: value for key, value in group.items() if key != "params"}, {names[id(p)] for p in group["params"]})
        for group in groups
    ]


HEAD = {
    f"decode_head.{name}"
    for name in (
        "linear_fuse.conv.weight",
        "linear_fuse.bn.weight",
        "linear_fuse.bn.bias",
        "conv_seg.weight",
        "conv_seg.bias",
    )
}


@pytest.mark.parametrize("name", [f"{TOPFORMER[0]}_2x8", f"{TOPFORMER_TINY[0]}_4x8"])
def test_groups_of_the_authors_topformer(name: str) -> None:
    groups = groups_of(name)

    assert [options for options, _ in groups] == [{"learning_rate": 10.0}, {}]
    assert groups[0][1] == HEAD
    assert all(name.startswith("backbone.") for name in groups[1][1])
    assert load_config(path_of(name)).optimizer["weight_decay"] == 0.01


@pytest.mark.parametrize("name", PP_MOBILESEG)
def test_groups_of_pp_mobileseg(name: str) -> None:
    """The head comes before the batch norms, so that its own have the normal decay; its rate is everybody's."""
    groups = groups_of(name)

    assert [options for options, _ in groups] == [{"weight_decay": 0.0}, {}, {"weight_decay": 0.0}, {}]
    positions, head, norms, rest = (names for _, names in groups)
    assert all(name.endswith("pos_embed") for name in positions)
    assert head == HEAD
    assert all(".bn." in name and name.startswith("backbone.") for name in norms)
    assert not [name for name in rest if ".bn." in name or "pos_embed" in name or "decode_head" in name]


def test_groups_of_the_camvid_recipe() -> None:
    groups = groups_of("pp_mobileseg/pp_mobileseg_tiny_camvid")

    assert [options for options, _ in groups] == [{"weight_decay": 0.0}, {"weight_decay": 0.0}, {}]
    assert "decode_head.linear_fuse.bn.weight" in groups[1][1]
