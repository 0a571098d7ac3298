"""Frames, the way from a frame to labels, and parity of golden inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from paddle_mobileseg.benchmark.pipeline import MOST_IMAGES, SessionPipeline, check_parity, load_frames
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.samples import golden_images
from paddle_mobileseg.runtime.bundle import GOLDEN, describe_files, load_bundle, write_manifest
from paddle_mobileseg.runtime.session import Session
from tests.benchmark.synthetic import SIZE_HW, answer, images, make_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "largest")


def change(folder: Path, deploy: dict[str, Any] | None = None, **about: Any) -> None:
    """Rewrite a bundle's manifest."""
    bundle = load_bundle(folder)
    kept = {key: value for key, value in bundle.about.items() if key != "format"}
    files = describe_files(folder, [name for name in bundle.about["files"] if (folder / name).exists()])
    write_manifest(folder, bundle.deploy | (deploy or {}), {**kept, "files": files, **about})


def blocks(size_hw: tuple[int, int]) -> np.ndarray:
    """An image of three stripes, in each of which another channel is the largest."""
    labels = np.repeat(np.arange(3), size_hw[0] // 3)[:, None].repeat(size_hw[1], 1)
    return (np.eye(3, dtype=np.uint8)[labels] * 200).astype(np.uint8)


def test_frames_are_the_golden_images(folder: Path) -> None:
    frames = load_frames(Plan(folder, "onnxruntime"), load_bundle(folder))
    assert frames.kind == "golden"
    assert frames.size_hw == list(SIZE_HW)
    assert all(np.array_equal(found, image) for found, image in zip(frames.images, images(), strict=True))


def test_frames_have_the_cameras_size(folder: Path) -> None:
    frames = load_frames(Plan(folder, "onnxruntime", frame_hw=(60, 80)), load_bundle(folder))
    assert [image.shape for image in frames.images] == [(60, 80, 3)] * 2
    assert np.array_equal(frames.images[0], cv2.resize(images()[0], (80, 60), interpolation=cv2.INTER_LINEAR))


def test_frames_of_a_folder(folder: Path, tmp_path: Path) -> None:
    for number in range(40):
        size = (30, 40) if number else (12, 18)
        path = tmp_path / "pictures" / ("deep" if number % 2 else ".") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*size, 3), number, np.uint8))
    (tmp_path / "pictures" / "notes.txt").write_text("no image")
    frames = load_frames(Plan(folder, "onnxruntime", images=tmp_path / "pictures"), load_bundle(folder))
    assert frames.kind == "images"
    assert len(frames.images) == MOST_IMAGES
    assert {image.shape for image in frames.images} == {(12, 18, 3)}  # the first one's
    few = [
        load_frames(Plan(folder, "onnxruntime", images=tmp_path / "pictures"), load_bundle(folder), n) for n in (20, 1)
    ]
    assert [len(each.images) for each in few] == [4, 1]  # each is run at least five times
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no image in it"):
        load_frames(Plan(folder, "onnxruntime", images=tmp_path / "empty"), load_bundle(folder))


def test_noise_only_where_there_is_nothing_else(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    change(folder)
    frames = load_frames(Plan(folder, "onnxruntime"), load_bundle(folder))
    assert (frames.kind, frames.size_hw, len(frames.images)) == ("random", list(SIZE_HW), 1)
    change(folder, {"input_shape": [1, 3, -1, -1]})
    assert load_frames(Plan(folder, "onnxruntime"), load_bundle(folder)).size_hw == [512, 512]
    assert check_parity(Session(folder)) is None


@pytest.mark.parametrize("frame_hw", [(0, 4), (4, -1), (2.5, 4), (True, 4), (4, 20000)])
def test_frame_sizes_out_of_range(folder: Path, frame_hw: Any) -> None:
    with pytest.raises(ValueError, match=r"frame_hw is .*expected height and width"):
        load_frames(Plan(folder, "onnxruntime", frame_hw=frame_hw), load_bundle(folder))


def test_a_frame_of_another_size_than_the_graphs(folder: Path) -> None:
    session = Session(folder)
    frame = blocks((96, 160))
    pipeline = SessionPipeline(session, frame)
    x, info = pipeline.prepare(frame)
    assert x.shape == (1, 3, *SIZE_HW)
    labels = pipeline.finish(pipeline.backend.run(x), info)
    assert (labels.dtype, labels.shape) == (np.int32, (96, 160))
    assert (labels == answer(frame.transpose(2, 0, 1)[None])[0]).mean() > 0.95


def test_a_frame_that_the_transforms_resize(folder: Path) -> None:
    change(folder, {"transforms": [{"type": "Resize", "target_size": list(SIZE_HW[::-1])}]})
    session = Session(folder)
    frame = blocks((96, 160))
    pipeline = SessionPipeline(session, frame)
    x, info = pipeline.prepare(frame)
    assert np.array_equal(pipeline.finish(pipeline.backend.run(x), info), session.run(frame))


def test_a_normalised_golden_input_becomes_the_image_again(folder: Path) -> None:
    golden: dict[str, np.ndarray] = {}
    normalize = {"type": "Normalize", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    change(folder, {"transforms": [normalize]})
    session = Session(folder)
    for number, image in enumerate(images()):
        x, _ = session.prepare(image)
        golden |= {f"input_{number}": x, f"output_{number}": session.run_tensor(x)}
    np.savez(folder / GOLDEN, **golden)
    described = {**session.bundle.about["input"]}
    described["normalization"] = {"scale": 255.0, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    change(folder, input=described)
    bundle = load_bundle(folder)
    assert all(np.array_equal(*pair) for pair in zip(golden_images(bundle), images(), strict=True))


def test_the_processors_clock_is_the_backends(folder: Path) -> None:
    session = Session(folder)
    assert SessionPipeline(session, images()[0]).cpu_clock is not None
    session.backend = "tensorrt"
    assert SessionPipeline(session, images()[0]).cpu_clock is None
    session.backend, session.runner.pid = "lite", 1  # type: ignore[attr-defined]
    clock = SessionPipeline(session, images()[0]).cpu_clock
    assert clock is not None
    assert 0 < clock() <= clock()


@pytest.mark.parametrize(
    ("rows", "least"),
    [
        ([], 0.999),
        ([{"stage": "dynamic->onnxruntime", "tolerance": 0.98}], 0.98),
        ([{"stage": "dynamic->paddle", "tolerance": 0.5}], 0.999),
        ([{"stage": "predict->onnxruntime", "tolerance": None}], 0.999),
        ([{"stage": "dynamic->onnxruntime", "tolerance": 0.99, "undecided": 0.05}], 0.99 * 0.95),
    ],
)
def test_the_tolerance_is_the_exports(folder: Path, rows: list[Any], least: float) -> None:
    change(folder, parity=rows)
    found = check_parity(Session(folder))
    assert found is not None and not found.late
    assert found.section == {"inputs": 2, "label_agreement": 1.0, "tolerance": least, "passed": True}


def test_wrong_labels_do_not_pass(folder: Path) -> None:
    with np.load(folder / GOLDEN) as tensors:
        golden = dict(tensors)
    golden["output_1"][0, :12] = (golden["output_1"][0, :12] + 1) % 3  # half of one of two
    np.savez(folder / GOLDEN, **golden)
    change(folder)
    slept: list[float] = []
    found = check_parity(Session(folder), slept.append)
    assert found is not None
    assert found.section == {"inputs": 2, "label_agreement": 0.75, "tolerance": 0.999, "passed": False}
    assert 1.9 < sum(slept) < 2.1 and not found.late


@pytest.mark.parametrize(("pixels", "passes"), [(1, True), (2, False)])
def test_labels_just_above_and_below_the_tolerance(folder: Path, pixels: int, passes: bool) -> None:
    with np.load(folder / GOLDEN) as tensors:
        golden = dict(tensors)
    golden["output_0"].reshape(-1)[:pixels] += 3
    np.savez(folder / GOLDEN, **golden)
    change(folder)
    found = check_parity(Session(folder), lambda seconds: None)  # of 1536 pixels 0.999 are needed
    assert found is not None and found.section["passed"] is passes


def test_an_output_of_another_shape_does_not_pass(folder: Path) -> None:
    with np.load(folder / GOLDEN) as tensors:
        golden = {name: value[..., :-1] if name.startswith("output") else value for name, value in tensors.items()}
    np.savez(folder / GOLDEN, **golden)
    change(folder)
    found = check_parity(Session(folder), lambda seconds: None)
    assert found is not None and found.section["label_agreement"] == 0.0
