"""What the authors published, as records."""

from __future__ import annotations

import pytest

from paddle_mobileseg import networks
from paddle_mobileseg.benchmark import published, record
from paddle_mobileseg.weights import catalog


def by_id() -> dict[str, record.Record]:
    return {each["id"]: each for each in published.records()}


def test_every_record_keeps_to_the_schema_and_says_where_it_is_from() -> None:
    found = published.records()
    for each in found:
        record.validate(each)
        assert each["origin"]["kind"] == "published" and each["origin"]["source"]
    assert len({each["id"] for each in found}) == len(found)


def test_all_networks_are_there() -> None:
    assert {each["model"]["network"] for each in published.records()} == set(networks.names())


@pytest.mark.parametrize(
    ("name", "statistic", "milliseconds", "miou"),
    [
        ("published-pp_mobileseg_base-Xiaomi_Mi_9-512x512", "min", 265.5, 0.4157),
        ("published-pp_mobileseg_tiny-Xiaomi_Mi_9-512x512", "min", 215.3, 0.3639),
        ("published-topformer_base-Xiaomi_Mi_9-512x512", "min", 480.6, 0.3828),
        ("published-mobileseg_ghostnet-Snapdragon_855-256x256", "mean", 25.8131, 0.7188),  # 38.74 frames a second
        ("published-mobileseg_litehrnet18-NVIDIA_V100-2048x1024", "mean", 95.2381, 0.7075),  # 10.5
        ("published-pp_liteseg_stdc1-NVIDIA_GTX_1080_Ti-1024x512", "mean", 3.65497, 0.7310),  # 273.6
        ("published-pp_liteseg_stdc2-NVIDIA_GTX_1080_Ti-1536x768", "mean", 9.74659, 0.7875),  # 102.6
    ],
)
def test_figures(name: str, statistic: str, milliseconds: float, miou: float) -> None:
    each = by_id()[name]

    assert published.figure(each) == (statistic, pytest.approx(milliseconds, rel=1e-5))
    assert each["accuracy"]["miou"] == miou
    known = {key for key, value in each["timing"]["network"].items() if value is not None}
    assert known == {statistic}  # nothing else was published


def test_conversions_and_conditions_are_said() -> None:
    found = by_id()
    phone = found["published-pp_mobileseg_base-Xiaomi_Mi_9-512x512"]
    frames = found["published-mobileseg_ghostnet-Snapdragon_855-256x256"]

    expected = "Xiaomi Mi 9 (Snapdragon 855), Paddle Lite, 512x512, 1 thread, fp32, with vim, min"
    assert published.conditions(phone) == expected
    assert "Converted from 38.74 frames a second" in frames["origin"]["source"]
    expected = "Snapdragon 855, Paddle Lite, 256x256, 1 thread, precision not said, output not said, mean"
    assert published.conditions(frames) == expected


def test_accuracies_of_a_data_set_by_its_number_of_classes() -> None:
    assert published.accuracy("pp_mobileseg_base", 150)["miou"] == 0.4157
    assert published.accuracy("pp_mobileseg_base", 19)["miou"] == 0.7783
    assert published.accuracy("pp_mobileseg_base", 11) is None
    assert published.accuracy("my_net", 150) is None
    assert published.accuracy("pp_mobileseg_base", None) is None


def test_the_catalogue_is_not_repeated() -> None:
    """A figure that the catalogue has is taken from it."""
    for each in published.records():
        source = each["accuracy"]["source"]
        if source.startswith("published beside"):
            scores = [
                entry.metrics.get("miou")
                for entry in catalog.entries().values()
                if (entry.network, entry.dataset) == (each["model"]["network"], each["accuracy"]["dataset"])
            ]
            assert round(each["accuracy"]["miou"] * 100, 2) not in scores
