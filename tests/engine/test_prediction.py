"""Prediction on image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine import load_checkpoint, predict, predictor
from paddle_mobileseg.engine.inference import SlidingWindow, infer_labels
from paddle_mobileseg.engine.opening import build_network, val_transforms
from paddle_mobileseg.engine.predictor import find_images, recoloured


@pytest.fixture(scope="module")
def network(varied: Path) -> paddle.nn.Layer:
    return build_network(load_checkpoint(varied))


def test_prediction_on_a_folder_goes_on_past_bad_files(
    network: paddle.nn.Layer, varied: Path, scenes: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    image = cv2.imread(str(scenes / "images" / "val" / "0000.jpg"))
    cv2.imwrite(str(source / "a.png"), image)
    cv2.imwrite(str(source / "below" / "b.jpg"), image[:50, :61])
    (source / "broken.jpg").write_bytes(b"no image")
    checkpoint = load_checkpoint(varied)
    preprocess = Preprocess.from_transforms(checkpoint.config.val_dataset["transforms"])

    failures = predict(network, preprocess, find_images(source), tmp_path / "out", checkpoint.palette)
    assert len(failures) == 1
    assert "broken.jpg" in failures[0]
    labels = Image.open(tmp_path / "out" / "pseudo_color_prediction" / "a.png")
    assert labels.mode == "P"
    assert len(np.unique(np.asarray(labels))) > 3
    tensor, trans_info = preprocess(image[:, :, ::-1])
    np.testing.assert_array_equal(np.asarray(labels), infer_labels(network, tensor[None], trans_info))
    assert cv2.imread(str(tmp_path / "out" / "added_prediction" / "below" / "b.jpg")).shape == (50, 61, 3)


def test_an_image_that_does_not_fit_is_passed_over(
    network: paddle.nn.Layer, varied: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [predictor.ImageFile(scenes / "images" / "val" / f"{i:04d}.jpg", str(i)) for i in range(4)]
    files.append(predictor.ImageFile(tmp_path / "gone.jpg", "gone"))
    inner = Preprocess.from_transforms(val_transforms(load_checkpoint(varied).config))
    errors = {0: ValueError("larger than the padding"), 2: cv2.error("assertion failed")}
    calls = iter(range(4))

    def preprocess(image: np.ndarray) -> Any:
        error = errors.get(next(calls))
        if error is not None:
            raise error
        return inner(image)

    failures = predict(network, preprocess, files, tmp_path / "out", np.zeros((10, 3), np.uint8))
    assert failures[0] == f"{files[0].path}: larger than the padding"
    assert failures[1].startswith(f"{files[2].path}: ")
    assert failures[2] == f"{files[4].path}: No such file or directory"
    assert {path.name for path in (tmp_path / "out" / predictor.LABELS).iterdir()} == {"1.png", "3.png"}

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(predictor, "write_all", full)
    with pytest.raises(OSError, match="no space left"):
        predict(network, inner, files[1:2], tmp_path / "out", np.zeros((10, 3), np.uint8))


def test_a_list_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    for name in ("a/x.jpg", "../a/x.jpg", ".hidden.jpg", "my photo.jpg", "y.png"):
        (folder / name).touch()
    lines = [
        "# images",
        "a/x.jpg",
        "../a/x.jpg",
        "a/../../evil.jpg",
        ".hidden.jpg",
        "my photo.jpg",
        "y.png labels/y.png",
    ]
    (folder / "list.txt").write_text("\n".join([*lines, "", f"{folder}/a/x.jpg", ".."]))
    found = find_images(folder / "list.txt")
    assert [file.name for file in found] == [
        *("a/x_jpg", "a/x_jpg_2", "evil", ".hidden", "my photo", "y", "a/x_jpg_3", "image")
    ]
    wanted = ["a/x.jpg", "../a/x.jpg", "../evil.jpg", ".hidden.jpg", "my photo.jpg", "y.png", "a/x.jpg", "."]
    assert [file.path.resolve() for file in found[:-1]] == [(folder / name).resolve() for name in wanted[:-1]]


def test_numbers_do_not_meet_names_that_are_there(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.png", "x_jpg.png"):
        (tmp_path / name).touch()
    names = [file.name for file in find_images(tmp_path)]
    assert len(set(names)) == 3
    assert set(names) == {"x_jpg", "x_png", "x_jpg_2"}


def test_what_image_path_means(scenes: Path, tmp_path: Path) -> None:
    assert len(find_images(scenes / "images" / "val")) == 5
    assert [file.path.name for file in find_images(scenes / "val.txt")] == [f"{i:04d}.jpg" for i in range(5)]
    for name in ("x.jpg", "x.png"):
        (tmp_path / name).touch()
    assert sorted(file.name for file in find_images(tmp_path)) == ["x_jpg", "x_png"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in it"):
        find_images(tmp_path / "empty")


def test_prediction_looks_as_evaluation_does(
    network: paddle.nn.Layer, varied: Path, scenes: Path, tmp_path: Path
) -> None:
    preprocess = Preprocess.from_transforms(val_transforms(load_checkpoint(varied).config))
    images = find_images(scenes / "val.txt")
    how: dict[str, Any] = {"scales": (0.5, 1.0), "flip_vertical": True, "window": SlidingWindow((64, 64), (40, 50))}
    palette = np.arange(30, dtype=np.uint8).reshape(10, 3)
    assert predict(network, preprocess, images, tmp_path, palette, batch_size=3, **how) == []
    for file in images:
        tensor, trans_info = preprocess(read_image(file.path))
        saved = Image.open(tmp_path / predictor.LABELS / f"{file.name}.png")
        expected = infer_labels(network, tensor[None], trans_info, **how)
        assert (np.asarray(saved) == expected).mean() > 0.999  # images of a batch are summed in another order
        np.testing.assert_array_equal(np.array(saved.getpalette()).reshape(-1, 3)[:10], palette)


def test_more_classes_than_a_palette_png_holds_are_told_for_each_image(scenes: Path, tmp_path: Path) -> None:
    class Last(paddle.nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            ramp = paddle.arange(300, dtype="float32").reshape([1, 300, 1, 1])
            return [ramp.expand([x.shape[0], 300, *x.shape[2:]])]

    preprocess = Preprocess.from_transforms([{"type": "Resize", "target_size": [16, 8]}, {"type": "Normalize"}])
    images = find_images(scenes / "val.txt")[:2]
    failures = predict(Last(), preprocess, images, tmp_path, np.zeros((256, 3), np.uint8))
    assert failures == [
        f"{file.path}: class 299 does not fit into a palette PNG, which holds 0 to 255" for file in images
    ]


def test_custom_colours_replace_the_first_ones() -> None:
    palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    assert recoloured(palette, [9, 8, 7, 255, 0, 1]).tolist() == [[9, 8, 7], [255, 0, 1], [7, 8, 9]]
    assert recoloured(palette, []).tolist() == palette.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    for wrong in ([1, 2], [1, 2, 256], [0] * 12, [-1, 0, 0]):
        with pytest.raises(
            ValueError, match=r"custom_color is .*; expected red, green and blue, 0 to 255, of at most 3"
        ):
            recoloured(palette, wrong)


def test_the_command_takes_paddlesegs_flags(run: Any, varied: Path, scenes: Path, tmp_path: Path) -> None:
    image = scenes / "images" / "val" / "0001.jpg"
    words = ["--model_path", varied, "--image_path", image, "--save_dir", tmp_path]
    window = ["--is_slide", "--crop_size", 64, 48, "--stride", 32, 32]
    status, printed, _ = run("predict", *words, "--aug_pred", "--flip_vertical", *window, "--custom_color", 9, 8, 7)
    assert (status, printed) == (0, f"predicted 1 of 1 images into {tmp_path}\n")
    checkpoint = load_checkpoint(varied)
    tensor, trans_info = Preprocess.from_transforms(val_transforms(checkpoint.config))(read_image(image))
    how: dict[str, Any] = {"flip_vertical": True, "window": SlidingWindow((64, 48), (32, 32))}
    saved = Image.open(tmp_path / predictor.LABELS / "0001.png")
    np.testing.assert_array_equal(
        np.asarray(saved), infer_labels(build_network(checkpoint), tensor[None], trans_info, **how)
    )
    assert saved.getpalette()[:3] == [9, 8, 7]
    assert saved.getpalette()[3:6] == checkpoint.palette[1].tolist()
    status, _, error = run("predict", *words, "--crop_size", 64, 64)
    assert (status, "add --is_slide" in error) == (1, True)
    status, _, error = run("predict", *words, "--is_slide", "--crop_size", 64, 64)
    assert (status, error) == (1, "error: --is_slide needs --crop_size W H and --stride W H\n")
