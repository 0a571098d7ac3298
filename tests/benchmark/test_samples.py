"""Pictures beside benchmark records: what is in the files, and that records share them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.benchmark.samples import golden_images, golden_labels, write_samples
from paddle_mobileseg.data.preprocess import Preprocess
from paddle_mobileseg.runtime.bundle import Bundle, describe_files, load_bundle, write_manifest

PALETTE = np.array([(10, 20, 30), (200, 100, 50), (0, 250, 0)], np.uint8)


def image(height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    """Smooth, so that JPEG keeps it within a few values."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, np.full_like(rows, 40 + seed)], -1).astype(np.uint8)


def labels(height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.int32)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "samples").iterdir()}


def test_files_hold_what_was_given(tmp_path: Path) -> None:
    (section,) = write_samples(tmp_path, [image(120, 160)], [labels(120, 160)], [labels(120, 160, 1)], PALETTE)
    assert list(section) == ["image", "reference", "labels"]
    assert all(re.fullmatch(r"samples/[0-9a-f]{16}\.(jpg|png)", name) for name in section.values())
    shown = np.asarray(Image.open(tmp_path / section["image"]))
    assert Image.open(tmp_path / section["image"]).format == "JPEG"
    np.testing.assert_allclose(shown.astype(int), image(120, 160), atol=12)
    assert abs(shown.astype(int) - image(120, 160)).mean() < 2
    own = Image.open(tmp_path / section["labels"])
    assert own.mode == "P"
    np.testing.assert_array_equal(np.asarray(own), labels(120, 160, 1))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / section["reference"])), labels(120, 160))
    np.testing.assert_array_equal(np.asarray(own.convert("RGB")), PALETTE[labels(120, 160, 1)])


def test_what_is_equal_is_written_once(tmp_path: Path) -> None:
    first = write_samples(tmp_path, [image()], [labels()], [labels()], PALETTE)
    assert first[0]["reference"] == first[0]["labels"]
    written = files(tmp_path)
    assert len(written) == 2
    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "samples").iterdir()}
    second = write_samples(tmp_path, [image()], [labels()], [labels(seed=1)], PALETTE)
    assert second[0]["image"] == first[0]["image"] and second[0]["reference"] == first[0]["reference"]
    assert second[0]["labels"] != first[0]["labels"]
    assert {name: files(tmp_path)[name] for name in written} == written and len(files(tmp_path)) == 3
    assert {name: (tmp_path / "samples" / name).stat().st_ino for name in inodes} == inodes  # not even rewritten


def test_a_damaged_file_is_put_right(tmp_path: Path) -> None:
    (section,) = write_samples(tmp_path, [image()], [labels()], [labels()], PALETTE)
    whole = files(tmp_path)
    (tmp_path / section["labels"]).write_bytes(b"half")
    write_samples(tmp_path, [image()], [labels()], [labels()], PALETTE)
    assert files(tmp_path) == whole


def test_two_samples_at_most(tmp_path: Path) -> None:
    pictures = [image(seed=n) for n in range(3)]
    maps = [labels(seed=n) for n in range(3)]
    section = write_samples(tmp_path, pictures, maps, maps, PALETTE)
    assert len(section) == 2 and len(files(tmp_path)) == 4
    assert write_samples(tmp_path / "none", [], [], [], PALETTE) == []
    assert not (tmp_path / "none").exists()


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    big = np.zeros((300, 1024), np.uint8)
    big[:, 512:] = 2
    (section,) = write_samples(tmp_path, [image(300, 1024)], [big], [big], PALETTE)
    assert {Image.open(tmp_path / name).size for name in section.values()} == {(512, 150)}
    small = np.asarray(Image.open(tmp_path / section["labels"]))
    assert (small[:, :256] == 0).all() and (small[:, 256:] == 2).all()


def test_labels_of_a_resizing_graph_are_shown_at_the_images_size(tmp_path: Path) -> None:
    halves = np.array([[0, 1]], np.int32)
    (section,) = write_samples(tmp_path, [image(4, 8)], [halves], [halves], PALETTE)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / section["labels"])), [[0] * 4 + [1] * 4] * 4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"references": []}, "1 images, 0 references and 1 labels"),
        ({"images": [image().astype(np.float32)]}, "but got float32"),
        ({"images": [image()[..., 0]]}, "but got uint8 .6, 8."),
        ({"images": [image()[:0]]}, "expected an image"),
        ({"labels": [labels() + 254]}, "labels as integers.*from 25\\d to 25\\d"),
        ({"labels": [labels() - 1]}, "from -1 to 1"),
        ({"references": [labels().astype(np.float32)]}, "reference as integers.*float32"),
        ({"references": [labels()[None]]}, "reference as integers"),
        ({"labels": [labels()[:3]]}, r"reference \[6, 8\] and labels \[3, 8\]"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    arguments = {"images": [image()], "references": [labels()], "labels": [labels()], **changes}
    with pytest.raises(ValueError, match=said):
        write_samples(tmp_path, palette=PALETTE, **arguments)
    assert not (tmp_path / "samples").exists()


def make_bundle(folder: Path, dtype: str, normalization: Any, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Bundle:
    folder.mkdir()
    tensors = {
        f"{kind}_{i}": each
        for i, pair in enumerate(pairs)
        for kind, each in zip(("input", "output"), pair, strict=True)
    }
    np.savez(folder / "golden.npz", **tensors)
    about = {
        "network": "PPMobileSeg",
        "num_classes": 3,
        "class_names": ["a", "b", "c"],
        "palette": PALETTE.tolist(),
        "input": {"dtype": dtype, "normalization": normalization},
        "backends": {},
        "files": describe_files(folder, ["golden.npz"]),
    }
    write_manifest(folder, {"transforms": [], "input_shape": [2, 3, 6, 8], "output_op": "none"}, about)
    return load_bundle(folder)


@pytest.mark.parametrize(
    "arguments", [{}, {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, {"mean": [0.5], "std": [0.5]}]
)
def test_golden_images_are_those_that_were_normalised(tmp_path: Path, arguments: dict[str, list[float]]) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    x, _ = Preprocess.from_transforms([{"type": "Normalize", **arguments}])(wanted)
    described = {"scale": 255.0, "mean": arguments.get("mean", [0.5]), "std": arguments.get("std", [0.5])}
    logits = np.zeros((2, 3, 6, 8), np.float32)
    logits[0, 2, :3] = 1
    logits[1] = np.nan
    bundle = make_bundle(tmp_path / "bundle", "float32", described, [(np.repeat(x[None], 2, 0), logits)])
    (found,) = golden_images(bundle)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(golden_labels(bundle)[0], [[2] * 8] * 3 + [[0] * 8] * 3)


def test_golden_images_of_other_inputs(tmp_path: Path) -> None:
    wanted = [image(), image(seed=9)]
    pairs = [(each[None], labels(seed=n)[None]) for n, each in enumerate(wanted)]
    bundle = make_bundle(tmp_path / "bytes", "uint8", {"scale": 255.0, "mean": [0.5], "std": [0.5]}, pairs)
    for found, each in zip(golden_images(bundle), wanted, strict=True):
        np.testing.assert_array_equal(found, each)
    np.testing.assert_array_equal(golden_labels(bundle)[1], labels(seed=1))
    raw = image().transpose(2, 0, 1)[None].astype(np.float32)
    plain = make_bundle(tmp_path / "plain", "float32", None, [(raw, labels()[None])])
    np.testing.assert_array_equal(golden_images(plain)[0], image())
    (plain.folder / "golden.npz").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"golden\.npz has 5 bytes"):
        golden_images(plain)
