"""The catalogue: every entry checked against the project, its numbers against the authors' tables."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from paddle_mobileseg import networks, registry
from paddle_mobileseg.weights import catalog, download, locate, read_weights
from paddle_mobileseg.weights.catalog import Entry
from paddle_mobileseg.weights.sources import fetch_entry, is_remote
from tests.weights.conftest import Site
from tests.weights.torch_writer import write_torch

ENTRIES = catalog.entries().values()
BCEBOS = "https://paddleseg.bj.bcebos.com/dygraph"

# Copied by hand from the authors' tables: mIoU, with mirrored images, with several scales too.
PUBLISHED = {
    "pp_mobileseg_base_ade20k": (41.57,),
    "pp_mobileseg_tiny_ade20k": (36.39,),
    "mobileseg_mobilenetv2_cityscapes": (73.94, 74.32, 75.33),
    "mobileseg_mobilenetv3_cityscapes": (73.47, 73.72, 74.70),
    "mobileseg_litehrnet18_cityscapes": (70.75, 71.62, 72.40),
    "mobileseg_shufflenetv2_cityscapes": (69.46, 70.00, 70.90),
    "mobileseg_ghostnet_cityscapes": (71.88, 72.22, 73.11),
    "pp_liteseg_stdc1_cityscapes_scale0.5": (73.10, 73.89),
    "pp_liteseg_stdc1_cityscapes_scale0.75": (76.03, 76.74),
    "pp_liteseg_stdc1_cityscapes_scale1.0": (77.04, 77.73, 77.46),
    "pp_liteseg_stdc2_cityscapes_scale0.5": (75.25, 75.65),
    "pp_liteseg_stdc2_cityscapes_scale0.75": (78.75, 79.23),
    "pp_liteseg_stdc2_cityscapes_scale1.0": (79.04, 79.52, 79.85),
    "pp_liteseg_stdc1_camvid": (73.30, 73.89, 73.66),
    "pp_liteseg_stdc2_camvid": (75.10, 75.85, 75.48),
    "topformer_tiny_ade20k": (32.49, 32.75),
    "topformer_small_ade20k": (35.60, 35.83),
    "topformer_base_ade20k": (38.28, 38.59),
    "topformer_tiny_448_2x8_authors": (32.5,),
    "topformer_tiny_448_4x8_authors": (33.4,),
    "topformer_tiny_512_2x8_authors": (33.6,),
    "topformer_tiny_512_4x8_authors": (34.6,),
    "topformer_small_512_2x8_authors": (36.5,),
    "topformer_small_512_4x8_authors": (37.0,),
    "topformer_base_512_2x8_authors": (38.3,),
    "topformer_base_512_4x8_authors": (39.2,),
}
CLASSES = {"cityscapes": 19, "camvid": 11, "ade20k": 150, "imagenet": 1000}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_is_of_something_that_is_here(entry: Entry, repository: Path) -> None:
    if entry.kind == "segmentation":
        assert entry.network in networks.names()
        assert entry.name.startswith(entry.network)
    else:
        assert entry.backbone in registry.ours("backbones")
    assert entry.num_classes == CLASSES[entry.dataset]
    assert not entry.recipe or (repository / "configs" / entry.recipe).is_file()
    end = "" if entry.by_hand else {"pdparams": "/model.pdparams", "pth": ".pth"}.get(entry.container, entry.container)
    assert entry.url.endswith(end)


def test_every_network_and_its_backbone_is_published() -> None:
    published = {entry.network for entry in ENTRIES if entry.network}
    assert published == {name for name in networks.names() if networks.get(name).in_paddleseg}
    backbones = {networks.get(name).model["backbone"]["type"] for name in published}
    assert {entry.backbone for entry in ENTRIES if entry.backbone} == backbones


def test_what_the_recipes_start_from_is_listed(repository: Path) -> None:
    texts = [path.read_text() for path in (repository / "configs").rglob("*.yml")]
    urls = {url for text in texts for url in re.findall(r"pretrained: (https://\S+)", text)}
    assert len(urls) >= 12
    assert [url for url in urls if catalog.by_url(url) is None] == []


def test_addresses_differ() -> None:
    urls = [entry.url for entry in ENTRIES if not entry.by_hand]
    assert len(set(urls)) == len(urls)
    assert len({entry.path for entry in ENTRIES}) == len(ENTRIES)


def test_scores_are_those_of_the_authors_tables() -> None:
    for name, scores in PUBLISHED.items():
        metrics = catalog.get(name).metrics
        assert tuple(metrics.values()) == scores
        assert tuple(metrics) == ("miou", "miou_flip", "miou_ms_flip")[: len(scores)]
    others = [entry.name for entry in ENTRIES if "miou" in entry.metrics and entry.name not in PUBLISHED]
    assert all("_mmseg" in name or name == "pp_mobileseg_base_cityscapes" for name in others)


@pytest.mark.parametrize(
    ("name", "url", "container", "mean", "test_size"),
    [
        (
            "mobileseg_mobilenetv3_cityscapes",
            f"{BCEBOS}/cityscapes/mobileseg_mobilenetv3_cityscapes_1024x512_80k/model.pdparams",
            "pdparams",
            (0.5, 0.5, 0.5),
            "2048x1024",
        ),
        (
            "pp_liteseg_stdc2_camvid",
            f"{BCEBOS}/camvid/pp_liteseg_stdc2_camvid_960x720_10k/model.pdparams",
            "pdparams",
            (0.5, 0.5, 0.5),
            "960x720",
        ),
        (
            "topformer_base_imagenet",
            f"{BCEBOS}/backbone/topformer_base_imagenet_pretrained.zip",
            "zip",
            (0.485, 0.456, 0.406),
            "224x224",
        ),
        (
            "stdc1_imagenet",
            "https://bj.bcebos.com/paddleseg/dygraph/PP_STDCNet1.tar.gz",
            "tar.gz",
            (0.485, 0.456, 0.406),
            "224x224",
        ),
    ],
)
def test_entries_as_published(name: str, url: str, container: str, mean: tuple[float, ...], test_size: str) -> None:
    entry = catalog.get(name)
    assert (entry.url, entry.container, entry.mean, entry.test_size) == (url, container, mean, test_size)
    assert catalog.by_url(url) is entry


GOOD = {
    "name": "a",
    "kind": "segmentation",
    "url": "https://example.invalid/a.pdparams",
    "container": "pdparams",
    "dataset": "camvid",
    "num_classes": 11,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "test_size": "960x720",
    "licence": "unknown",
    "network": "pp_liteseg_stdc1",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "head"}, "kind is 'head'"),
        ({"container": "rar"}, "container is 'rar'"),
        ({"url": "http://example.invalid/a"}, "not an https address"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"mean": [0.5]}, "expected three numbers"),
        ({"licence": None}, "licence is missing"),
        ({"network": None}, "an entry of kind segmentation has network"),
        ({"backbone": "STDC1"}, "and not the other of network, backbone"),
        ({"metrics": {"mIoU": 70.0}}, "unknown key 'mIoU'; did you mean 'miou'"),
        ({"metrics": {"miou": 700.0}}, "miou is 700.0"),
        ({"sha256": "abc"}, "sha256 is 'abc'"),
        ({"notess": "?"}, "unknown key 'notess'; did you mean 'notes'"),
    ],
)
def test_mistakes_in_the_catalogue(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "catalog.yml"
    changed = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    path.write_text(yaml.safe_dump({"entries": [changed]}))
    with pytest.raises(ValueError, match=message):
        catalog.read_catalog(path)


def test_a_good_catalogue_and_two_entries_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yml"
    path.write_text(yaml.safe_dump({"entries": [GOOD]}))
    assert catalog.read_catalog(path)["a"].std == (0.5, 0.5, 0.5)
    path.write_text(yaml.safe_dump({"entries": [GOOD, GOOD]}))
    with pytest.raises(ValueError, match=r"catalog\.yml: a: two entries have this name"):
        catalog.read_catalog(path)


# ------------------------------------------------------------------------------------------------------ what names mean
@pytest.fixture
def served(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """An entry of a catalogue of one, on a server that has it."""
    paddle.save({"a": paddle.full([3], 2.0)}, str(tmp_path / "saved"))
    content = (tmp_path / "saved").read_bytes()
    url = site.url("/model.pdparams", lambda exchange: exchange.say(200, content))
    entry = Entry(**{**GOOD, "url": url, "mean": (0.5,) * 3, "std": (0.5,) * 3, "name": "net_camvid"})
    monkeypatch.setattr(catalog, "entries", lambda: {entry.name: entry})
    return entry


def test_a_name_an_address_and_a_path(served: Entry, site: Site, tmp_path: Path) -> None:
    for source in ("net_camvid", served.url, served.path):
        np.testing.assert_array_equal(read_weights(source)["a"], [2, 2, 2])
    assert len(site.requests) == 1
    assert [is_remote(source) for source in ("net_camvid", served.url, served.path, "elsewhere")] == [
        True,
        True,
        False,
        False,
    ]


def test_what_is_on_the_disk_comes_first(served: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_camvid").mkdir()

    assert locate("net_camvid") == Path("net_camvid")
    assert not is_remote("net_camvid")


def test_names_that_are_nearly_right(served: Entry) -> None:
    with pytest.raises(FileNotFoundError, match=r"catalogue has no weights of that name; did you mean 'net_camvid'\?"):
        read_weights("net_camvit")
    with pytest.raises(KeyError, match=r"no weights called 'net_camvit'; did you mean 'net_camvid'\?"):
        catalog.get("net_camvit")
    for path in ("net_camvit.pdparams", "folder/net_camvit"):
        with pytest.raises(FileNotFoundError, match=f"there is no weights file {path}; expected"):
            read_weights(path)


def test_the_catalogues_hash_counts(served: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    known = replace(served, sha256="0" * 64)
    monkeypatch.setattr(catalog, "entries", lambda: {known.name: known})
    for source in (known.name, known.url):
        with pytest.raises(OSError, match=f"expected {'0' * 64}"):
            locate(source)


def test_what_only_a_browser_can_download(cache: Path) -> None:
    entry = catalog.get("stdc1_imagenet_authors")
    with pytest.raises(
        FileNotFoundError, match=rf"from {entry.url} \(STDCNet813M.*; save it as {entry.path}"
    ) as raised:
        read_weights("stdc1_imagenet_authors")
    assert "can only be downloaded with a browser" in str(raised.value)
    write_torch(entry.path, {"a": np.ones(2, np.float32)})
    assert fetch_entry(entry) == entry.path == cache / "stdc1_imagenet_authors.pth"
    assert download.record_path(entry.path).is_file()
    entry.path.write_bytes(entry.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged"):
        fetch_entry(entry)
