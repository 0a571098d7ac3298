"""Choosing a network: lists that never mix what cannot be compared, and reasons for all that is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.benchmark.choose import Choice, Limits, choose, run
from tests.benchmark.made_records import accuracy, failed, invalid, made

HERE, THERE = "0123456789ab", "ba9876543210"
NETWORK = Limits(what="network")


def names(choice: Choice) -> list[list[str]]:
    """Networks in each list."""
    return [[each.name.split()[0] for each in front.candidates] for front in choice.fronts]


def reasons(choice: Choice) -> dict[str, str]:
    return {each.name.split()[0]: each.reason for each in choice.left_out}


def scored(name: str, ms: float, miou: float, **changes: Any) -> records.Record:
    return made(name, ms, accuracy=accuracy(miou), **changes)


def test_the_pareto_list_and_who_is_beaten() -> None:
    choice = choose([scored("a", 10, 0.6), scored("b", 20, 0.7), scored("c", 25, 0.65)], NETWORK)

    assert names(choice) == [["a", "b"]]
    assert choice.fronts[0].accuracy == "measured mIoU on camvid, 101 images"
    assert reasons(choice) == {"c": "beaten by b onnxruntime 1 thread 96x64 argmax"}


@pytest.mark.parametrize(
    ("limits", "kept", "left"),
    [
        ({"max_latency_ms": 10.0}, [["a"]], {"b": "too slow: 20 ms, limit 10"}),
        ({"max_latency_ms": 9.0, "max_size_mb": 1.0}, [], {"a": "too slow: 10 ms, limit 9; too large: 5 MB, limit 1"}),
        ({"max_size_mb": 5.0}, [["a", "b"]], {}),
        ({"max_size_mb": 4.9}, [], {"a": "too large: 5 MB, limit 4.9"}),
        ({"min_miou": 0.65}, [["b"]], {"a": "not accurate enough: 0.6000, limit 0.65"}),
        ({"min_miou": 0.7}, [["b"]], {}),
    ],
)
def test_limits(limits: dict[str, float], kept: list[list[str]], left: dict[str, str]) -> None:
    choice = choose([scored("a", 10, 0.6), scored("b", 20, 0.7)], Limits(what="network", **limits))

    assert names(choice) == kept
    assert reasons(choice).items() >= left.items()


def test_another_statistic_and_the_whole_frame() -> None:
    record = made("a", [10.0] * 18 + [30.0] * 2, frame=40.0, accuracy=accuracy())

    assert choose([record], Limits(statistic="max", what="network")).fronts[0].candidates[0].latency_ms == 30
    assert choose([record]).fronts[0].candidates[0].latency_ms == 40
    assert choose([record]).fronts[0].candidates[0].about == "frame 640x480"
    without = choose([made("a", 10)])
    assert reasons(without) == {"a": "no median of the frame; it has one of the network"} and not without.fronts


def test_repetitions_are_one_candidate_and_share_an_accuracy() -> None:
    choice = choose([made("a", 10), scored("a", 12, 0.6), made("a", 30)], NETWORK)

    assert names(choice) == [["a"]]
    assert choice.fronts[0].candidates[0].latency_ms == 12
    assert choice.fronts[0].candidates[0].about == "3 repetitions"
    assert len(choice.fronts[0].candidates[0].records) == 3


def test_accuracies_of_other_images_are_in_other_lists() -> None:
    choice = choose(
        [
            scored("a", 10, 0.6),
            made("b", 10, accuracy=accuracy(0.5, dataset="cityscapes")),
            made("c", 10, accuracy=accuracy(0.4, images=3)),
        ],
        NETWORK,
    )

    assert sorted(map(tuple, names(choice))) == [("a",), ("b",), ("c",)]


def test_published_accuracies_are_marked_and_apart() -> None:
    random = {"model__weights": "random", "model__num_classes": 150}
    choice = choose(
        [scored("a", 10, 0.1), made("topformer_tiny", 20, **random), made("pp_mobileseg_tiny", 15, **random)], NETWORK
    )

    assert names(choice) == [["a"], ["pp_mobileseg_tiny"]]
    assert choice.fronts[1].accuracy == "published mIoU on ade20k at the authors' sizes; latency at 96x64"
    assert choice.fronts[1].candidates[0].score == 0.3639
    assert "random weights" in choice.fronts[1].candidates[0].about
    assert "topformer_tiny" in reasons(choice)


def test_a_smaller_input_does_not_keep_the_accuracy_of_a_larger_one() -> None:
    small = {"model__input_shape": [1, 3, 32, 48]}
    published = {"model__weights": "random", "model__num_classes": 150}
    choice = choose(
        [made("topformer_tiny", 10, **small, **published), made("topformer_tiny", 40, **published)], NETWORK
    )
    assert [front.accuracy.partition("; ")[2] for front in choice.fronts] == ["latency at 48x32", "latency at 96x64"]
    assert choice.left_out == []

    of_checkpoint = {"accuracy": accuracy(0.6, of="checkpoint")}
    choice = choose([made("a", 10, **small, **of_checkpoint), made("a", 40, **of_checkpoint)], NETWORK)
    assert [len(front.candidates) for front in choice.fronts] == [1, 1]
    of_files = [made("a", 10, **small, accuracy=accuracy(0.6)), made("a", 40, accuracy=accuracy(0.6))]
    assert len(choose(of_files, NETWORK).fronts) == 1  # each file was evaluated by itself


def test_the_checkpoints_accuracy_is_not_the_files() -> None:
    choice = choose([scored("a", 10, 0.6), made("a_int8", 5, accuracy=accuracy(0.6, of="checkpoint"))], NETWORK)

    assert sorted(map(tuple, names(choice))) == [("a",), ("a_int8",)]


def test_an_accuracy_stays_when_the_same_is_measured_again_with_another() -> None:
    scenes = made("a", 11, accuracy=accuracy(0.99, dataset="scenes", images=10))
    choice = choose([scored("a", 10, 0.5), scored("a", 10, 0.7), scenes, made("a", 12)], NETWORK)

    assert [(front.accuracy, front.candidates[0].score) for front in choice.fronts] == [
        ("measured mIoU on camvid, 101 images", 0.7),
        ("measured mIoU on scenes, 10 images", 0.99),
    ]
    assert {front.candidates[0].latency_ms for front in choice.fronts} == {10.5}


def test_settings_that_differ_are_in_the_names() -> None:
    choice = choose([scored("a", 10, 0.7), scored("a", 20, 0.7, backend__options={"onednn": False})], NETWORK)

    name = "a onnxruntime 1 thread 96x64 argmax"
    assert [each.name for each in choice.fronts[0].candidates] == [f"{name} (options {{}})"]
    assert choice.left_out[0].name == f'{name} (options {{"onednn": false}})'


def test_accuracy_of_random_weights_does_not_count() -> None:
    choice = choose([made("own", 10, model__weights="random", accuracy=accuracy(0.9))], NETWORK)

    assert choice.fronts[0].accuracy is None
    assert choice.fronts[0].candidates[0].score is None
    assert "random weights" in choice.fronts[0].candidates[0].about
    strict = choose(
        [made("own", 10, model__weights="random", accuracy=accuracy(0.9))], Limits(what="network", min_miou=0.1)
    )
    assert reasons(strict) == {"own": "accuracy not known"}


def test_classes() -> None:
    camvid = made("a", 10, accuracy=accuracy(0.6, road=0.9, pedestrian=0.3, car=None))
    city = made("b", 20, accuracy=accuracy(0.5, dataset="cityscapes", road=0.8, person=0.6))
    choice = choose([camvid, city], Limits(what="network", classes=("person", "road")))

    assert names(choice) == [["b"]]
    assert choice.fronts[0].candidates[0].score == pytest.approx(0.7)
    assert choice.fronts[0].accuracy == "measured mean IoU of person, road on cityscapes, 101 images"
    assert reasons(choice) == {"a": "no class 'person' in camvid; did you mean 'pedestrian'?"}
    absent = choose([camvid], Limits(what="network", classes=("car",)))
    assert reasons(absent) == {"a": "class 'car' is in none of the images evaluated"}


def test_classes_of_published_accuracies() -> None:
    published = made("pp_mobileseg_tiny", 10, model__weights="random", model__num_classes=150)
    asked = choose([published], Limits(what="network", classes=("person", "road")))

    assert (
        asked.fronts[0].accuracy
        == "published mIoU on ade20k (of all classes, not of person, road) at the authors' sizes; latency at 96x64"
    )
    assert reasons(choose([published], Limits(what="network", classes=("person",), min_miou=0.4))) == {
        "pp_mobileseg_tiny": "IoU of person not known, only the mIoU of all classes"
    }
    assert reasons(choose([published], Limits(what="network", classes=("pedestrian",)))) == {
        "pp_mobileseg_tiny": "no class 'pedestrian' in ade20k; did you mean 'person'?"
    }


def test_what_must_not_be_used_is_left_out_with_the_reason() -> None:
    good = scored("a", 10, 0.5)
    choice = choose(
        [good, invalid(made("b", 5)), failed(made("c", 5)), made("d", 5, device=THERE)], NETWORK, device=HERE
    )

    assert names(choice) == [["a"]]
    assert reasons(choice) == {
        "b": "invalid: too noisy",
        "c": "failed: it fell over",
        "d": "another device: Device ba, 2 cores [ba9876543210]",
    }


def test_imported_records_have_a_list_of_their_own() -> None:
    imported = {"kind": "imported", "importer": "trtexec", "source": "t.txt", "source_sha256": "0" * 64}
    choice = choose([scored("a", 10, 0.6), scored("b", 5, 0.9, origin=imported)], NETWORK)

    assert [(front.latency, each) for front, each in zip(choice.fronts, names(choice), strict=True)] == [
        ("measured", ["a"]),
        ("imported", ["b"]),
    ]


def test_imports_and_publications_are_no_repetitions_of_what_was_measured() -> None:
    imported = {"kind": "imported", "importer": "trtexec", "source": "t.txt", "source_sha256": "0" * 64}
    published = {"kind": "published", "importer": None, "source": "a paper", "source_sha256": None}
    choice = choose([made("a", 10), made("a", 6, origin=imported), made("a", 2, origin=published)], NETWORK)

    assert [(front.latency, front.candidates[0].latency_ms) for front in choice.fronts] == [
        ("measured", 10),
        ("imported", 6),
    ]
    assert reasons(choice) == {"a": "published latency: other conditions, not measured here"}


def test_nothing_left_names_the_nearest() -> None:
    records_ = [scored("a", 100, 0.5), scored("b", 12, 0.5), scored("c", 30, 0.5), scored("d", 40, 0.5)]
    choice = choose(records_, Limits(what="network", max_latency_ms=10))

    assert [each.name.split()[0] for each in choice.nearest] == ["b", "c", "d"]
    assert choice.nearest[0].excess == pytest.approx(1.2)
    assert "Nothing keeps to the limits." in choice.text()


def both(factors: dict[str, float]) -> list[records.Record]:
    """Networks measured on both devices: 10, 20, ... ms there, times the factor here."""
    made_ = []
    for number, (name, factor) in enumerate(factors.items(), 1):
        made_ += [made(name, 10.0 * number, device=THERE), made(name, 10.0 * number * factor, device=HERE)]
    return made_


def test_estimates_are_apart_with_the_error_of_leaving_one_out() -> None:
    measured = [*both({"a": 2.0, "b": 2.0, "c": 4.0}), made("new", 50, device=THERE)]
    plain = choose(measured, NETWORK, device=HERE)
    choice = choose(measured, NETWORK, device=HERE, estimate=True)

    assert [front.latency for front in plain.fronts] == ["measured"]
    assert reasons(plain)["new"].startswith("another device")
    assert [front.latency for front in choice.fronts] == ["measured", "estimated"]
    each = choice.fronts[1].candidates[0]
    assert each.name == "new onnxruntime 1 thread 96x64 argmax (estimated)"
    assert each.latency_ms == pytest.approx(50 * (2 * 2 * 4) ** (1 / 3))
    assert each.error == pytest.approx(1.0)  # c from a and b: 2 in place of 4
    assert "(within 100%)" in choice.text()


def test_too_few_networks_on_both_give_no_estimate() -> None:
    choice = choose([*both({"a": 2.0, "b": 2.0}), made("new", 50, device=THERE)], NETWORK, device=HERE, estimate=True)

    assert [front.latency for front in choice.fronts] == ["measured"]
    assert any("no estimate: 2 network(s)" in each.reason for each in choice.left_out)


def test_sizes_of_one_network_are_one_network() -> None:
    small = [made("a", 1.0, device=device, model__input_shape=[1, 3, 32, 32]) for device in (HERE, THERE)]
    two = [*both({"a": 2.0, "b": 2.0}), *small, made("new", 50, device=THERE)]
    three = [*both({"a": 4.0, "b": 2.0, "c": 2.0}), *small, made("new", 50, device=THERE)]

    assert len(choose(two, NETWORK, device=HERE, estimate=True).fronts) == 1
    each = choose(three, NETWORK, device=HERE, estimate=True).fronts[1].candidates[0]
    assert each.latency_ms == pytest.approx(50 * 2.0)  # a's factors 4 and 1 count as 2
    assert each.error == pytest.approx(0.0, abs=1e-9)


def test_an_estimate_is_for_each_backend_of_the_device() -> None:
    onnx = both({"a": 2.0, "b": 2.0, "c": 2.0})
    lite = [made(each, 5.0, device=HERE, backend__requested="lite", model__format="lite-arm") for each in "abc"]
    choice = choose([*onnx, *lite, made("new", 40, device=THERE)], NETWORK, device=HERE, estimate=True)
    found = {each.name.split()[1]: (each.latency_ms, each.size_mb) for each in choice.fronts[-1].candidates}

    # from 10, 20, 30 ms there: a, b, c take 20, 40, 60 and 5, 5, 5 here; the size of another format is not known
    assert found["onnxruntime"] == (pytest.approx(80.0), 5.0)
    assert found["lite"] == (pytest.approx(40 * (5 / 10 * 5 / 20 * 5 / 30) ** (1 / 3)), None)


def test_what_was_measured_here_is_not_estimated() -> None:
    choice = choose(both({"a": 2.0, "b": 2.0, "c": 2.0}), NETWORK, device=HERE, estimate=True)

    assert [front.latency for front in choice.fronts] == ["measured"]


def test_the_device_must_be_named_where_there_are_several() -> None:
    several = [made(device=HERE), made(device=THERE)]

    with pytest.raises(ValueError, match=r"of 2 devices.*Device 01.*Device ba"):
        choose(several)
    assert choose(several, NETWORK, device="device BA").device.startswith("Device ba")
    with pytest.raises(ValueError, match=r"0 devices are called 'phone'.*Device 01"):
        choose(several, device="phone")
    with pytest.raises(ValueError, match="2 devices are called 'device'"):
        choose(several, device="device")
    with pytest.raises(ValueError, match="measure first"):
        choose([])


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_latency_ms": 0}, "max_latency_ms is 0"),
        ({"max_size_mb": float("nan")}, "max_size_mb is nan"),
        ({"min_miou": 70}, "such as 0.7 for 70 %"),
        ({"statistic": "mediam"}, "did you mean 'median'"),
        ({"what": "stage"}, "expected one of frame, network"),
    ],
)
def test_limits_out_of_range(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**limits)


def test_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    target = records.write(folder, scored("a", 10, 0.6, device=HERE))
    records.write(folder, scored("b", 20, 0.7, device=THERE))
    text, status = run([folder], device_record=target, limits=NETWORK, json_path=tmp_path / "c.json")

    assert status == 0 and text.startswith("device: Device 01")
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["fronts"][0]["candidates"][0]["latency_ms"] == 10
    assert run([folder], device="Device ba", limits=Limits(what="network", max_latency_ms=1))[1] == 1
    with pytest.raises(ValueError, match="given twice"):
        run([folder], device_record=target, device=HERE)
    with pytest.raises(FileNotFoundError):
        run([tmp_path / "none"])
