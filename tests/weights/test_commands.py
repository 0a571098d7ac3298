"""``mobileseg weights``, and weights of the catalogue in the other commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from paddle_mobileseg import networks
from paddle_mobileseg.data.synthetic import write_dataset
from paddle_mobileseg.weights import catalog, read_weights
from paddle_mobileseg.weights.catalog import Entry
from tests.weights.conftest import Site
from tests.weights.torch_writer import write_torch

Run = Callable[..., tuple[int, str, str]]
NAMES = list(catalog.entries())


@pytest.fixture
def served(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """An entry with weights of PP-MobileSeg-Tiny with 19 classes, on a server that has them."""
    paddle.seed(3)
    network = networks.get("pp_mobileseg_tiny").build(19)
    paddle.save(network.state_dict(), str(tmp_path / "saved"))
    content = (tmp_path / "saved").read_bytes()
    entry = Entry(
        name="tiny_cityscapes",
        kind="segmentation",
        url=site.url("/model.pdparams", lambda exchange: exchange.say(200, content)),
        container="pdparams",
        dataset="cityscapes",
        num_classes=19,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        test_size="64x64",
        licence="unknown",
        network="pp_mobileseg_tiny",
        recipe="pp_mobileseg/pp_mobileseg_tiny_ade20k_512x512_80k.yml",
    )
    monkeypatch.setattr(catalog, "entries", lambda: {entry.name: entry})
    return entry


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Ten classes, images of 64 x 64, one iteration."""
    scenes = tmp_path / "scenes"
    write_dataset(scenes, train=2, val=1, size_hw=(64, 64), progress=False)
    quickstart = Path(__file__).parents[2] / "configs" / "quickstart" / "pp_mobileseg_tiny_scenes.yml"
    normalize = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    path = tmp_path / "tiny.yml"
    changes = {
        "_base_": str(quickstart),
        "batch_size": 2,
        "iters": 1,
        "train_dataset": {"dataset_root": str(scenes), "transforms": [normalize]},
        "val_dataset": {"dataset_root": str(scenes), "transforms": [normalize]},
        "lr_scheduler": {"warmup_iters": 0, "learning_rate": 0.0},
    }
    path.write_text(yaml.safe_dump(changes))
    return path


def test_list(run: Run) -> None:
    status, out, _ = run("weights", "list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["name", *NAMES]
    line = next(line for line in out.splitlines() if line.startswith("mobileseg_mobilenetv3_cityscapes"))
    assert line.split()[1:] == ["mobileseg_mobilenetv3", "cityscapes", "19", "73.47", "73.72", "74.70", "pdparams"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--network", "STDC1"], ["stdc1_imagenet", "stdc1_imagenet_authors"]),
        (["--dataset", "camvid"], ["pp_liteseg_stdc1_camvid", "pp_liteseg_stdc2_camvid"]),
        (["--kind", "backbone", "--dataset", "imagenet"], [n for n in NAMES if "_imagenet" in n]),
        (["--kind", "backbone", "--dataset", "ade20k"], []),
    ],
)
def test_chosen_from_the_list(run: Run, words: list[str], expected: list[str]) -> None:
    _, out, _ = run("weights", "list", *words)
    assert [line.split()[0] for line in out.splitlines()[1:]] == expected
    _, out, _ = run("weights", "list", *words, "--json")
    assert [entry["name"] for entry in json.loads(out)] == expected


def test_all_that_is_known_as_json(run: Run, served: Entry) -> None:
    first = json.loads(run("weights", "list", "--json")[1])[0]
    assert (first["url"], first["std"], first["here"], first["sha256"]) == (served.url, [0.5, 0.5, 0.5], False, None)
    assert run("weights", "get", served.name)[0] == 0
    assert json.loads(run("weights", "list", "--json")[1])[0]["here"]
    assert run("weights", "list")[1].rstrip().endswith("here")


def test_a_filter_that_is_nearly_right(run: Run) -> None:
    status, _, err = run("weights", "list", "--network", "topfomer_tiny")
    assert (status, err.splitlines()[0].split(" expected")[0]) == (
        1,
        "error: --network is 'topfomer_tiny'; did you mean 'topformer_tiny'?",
    )


def test_get(run: Run, served: Entry, tmp_path: Path) -> None:
    status, out, _ = run("weights", "get", served.name)
    assert (status, out) == (0, f"{served.path}\n")
    for source, output, written in (
        (served.name, tmp_path / "new" / "a.pdparams", tmp_path / "new" / "a.pdparams"),
        (served.name, tmp_path, tmp_path / "tiny_cityscapes.pdparams"),
        (served.url, tmp_path, tmp_path / "model.pdparams"),
    ):
        assert run("weights", "get", source, "--output", output)[:2] == (0, f"{written}\n")
        assert written.read_bytes() == served.path.read_bytes()
    status, _, err = run("weights", "get", "tiny_cityscape")
    assert status == 1
    assert "no weights called 'tiny_cityscape'; did you mean 'tiny_cityscapes'?" in err


def test_convert(run: Run, tmp_path: Path) -> None:
    state = {n: t.numpy() for n, t in networks.get("topformer_tiny").build(5).state_dict().items()}
    torch_names = {
        n.replace("._mean", ".running_mean").replace("._variance", ".running_var"): a for n, a in state.items()
    }
    source, output = write_torch(tmp_path / "a.pth", torch_names), tmp_path / "a.pdparams"
    status, out, _ = run("weights", "convert", source, "--output", output)
    assert (status, out) == (0, f"315 tensors of topformer_tiny with 5 classes\nwritten to {output}\n")
    for name, array in read_weights(output).items():
        np.testing.assert_array_equal(array, state[name])
    status, _, err = run("weights", "convert", source, "--output", output, "--network", "topformer_tyni")
    assert (status, "did you mean 'topformer_tiny'?" in err) == (1, True)


def test_fine_tuning_on_another_number_of_classes(
    run: Run, served: Entry, config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "paddle_mobileseg")
    out = tmp_path / "run"
    train = ["train", "--config", config, "--save_dir", out, "--opts", f"model.pretrained={served.name}"]
    status, _, err = run(*train)
    assert status == 1
    assert "seems to belong to pp_mobileseg_tiny with 19 classes" in err
    assert run(*train, "model.backbone.pretrained=/nowhere.pdparams", "--ignore_head")[0] == 0
    assert (
        f"{served.name}: 2 tensors of the head have another shape, the network keeps its own "
        "(decode_head.conv_seg.weight, decode_head.conv_seg.bias)"
    ) in caplog.messages
    # The learning rate is 0: what was loaded is what was saved, but for the average's rounding.
    published, trained = read_weights(served.name), read_weights(out / "iter_1" / "model.pdparams")
    assert trained["decode_head.conv_seg.weight"].shape == (10, 256, 1, 1)
    for name in ("backbone.smb1.conv.c.weight", "decode_head.linear_fuse.conv.weight"):
        np.testing.assert_allclose(trained[name], published[name], rtol=1e-6)


def test_ignoring_the_head_of_nothing(run: Run, config: Path, tmp_path: Path) -> None:
    status, _, err = run("train", "--config", config, "--save_dir", tmp_path / "run", "--ignore_head")
    assert (status, "give some with --opts model.pretrained=NAME" in err) == (1, True)


def test_evaluating_weights_by_name(run: Run, served: Entry, config: Path) -> None:
    status, _, err = run("val", "--model_path", served.name)
    assert status == 1
    assert f"with --config configs/{served.recipe}" in err
    status, _, err = run("val", "--model_path", served.name, "--config", config)
    assert status == 1
    assert f"{served.path} does not fit PPMobileSeg" in err
    status, _, err = run("val", "--model_path", "tiny_cityscape")
    assert (status, "did you mean 'tiny_cityscapes'?" in err) == (1, True)
