"""Evaluation against plain NumPy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
from PIL import Image

from paddle_mobileseg.config import build, load_config
from paddle_mobileseg.data.datasets import Dataset
from paddle_mobileseg.data.loader import eval_samples
from paddle_mobileseg.data.transforms import Normalize
from paddle_mobileseg.engine import evaluate, load_checkpoint
from paddle_mobileseg.engine.evaluator import evaluate_labels
from paddle_mobileseg.engine.opening import build_network

NORMALIZE = {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def network(varied: Path) -> paddle.nn.Layer:
    return build_network(load_checkpoint(varied))


def miou_by_loops(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> float:
    ious = []
    for c in range(classes):
        inter = sum(int(((p == c) & (t == c) & (t != 255)).sum()) for p, t in pairs)
        union = sum(int((((p == c) | (t == c)) & (t != 255)).sum()) for p, t in pairs)
        if union:
            ious.append(inter / union)
    return float(np.mean(ious))


def test_scores_equal_an_independent_computation(network: paddle.nn.Layer, config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    pairs = []
    result = evaluate(network, dataset, on_image=lambda _, sample, labels: pairs.append((labels, sample["label"])))

    assert result.images == len(pairs) == 5
    assert all(len(np.unique(labels)) > 3 for labels, _ in pairs)
    assert result.scores.miou == pytest.approx(miou_by_loops(pairs, 10), abs=1e-12)
    assert "mIoU" in result.table()


def test_evaluation_keeps_the_training_mode(network: paddle.nn.Layer, config_file: Path) -> None:
    network.train()
    evaluate(network, build.dataset(load_config(config_file), "val"))
    assert network.training
    network.eval()


def test_images_without_labels_cannot_be_evaluated(network: paddle.nn.Layer, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{scenes}/images/val/0003.jpg\n")
    dataset = Dataset("test", str(tmp_path), [Normalize()], 10, test_path="list.txt")
    with pytest.raises(ValueError, match=r"0003\.jpg has no label"):
        evaluate(network, dataset)


def test_paddlesegs_own_data_set(scenes: Path, tmp_path: Path) -> None:
    lines = (scenes / "val.txt").read_text().splitlines()
    (tmp_path / "val_list.txt").write_text("".join(f"{scenes}/{a} {scenes}/{b}\n" for a, b in map(str.split, lines)))
    section = {"type": "OpticDiscSeg", "dataset_root": str(tmp_path), "transforms": [NORMALIZE]}
    cfg = SimpleNamespace(data={"val_dataset": section}, val_dataset=section, num_classes=2)
    dataset = build.dataset(cfg, "val")

    assert type(dataset).__module__.startswith("paddleseg.")
    assert dataset.class_names == ["class 0", "class 1"]
    assert dataset.palette.shape == (2, 3)
    sample = next(iter(eval_samples(dataset)))
    assert sample["img"].shape == (1, 3, 72, 96)
    np.testing.assert_array_equal(sample["label"], np.asarray(Image.open(scenes / lines[0].split()[1])))


def test_batches_are_chunks_of_which_equal_sizes_go_together(config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    dataset.transforms = lambda sample: sample
    shapes = [(1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 4, 8), (1, 3, 8, 8), (1, 3, 4, 8)]
    seen: list[list[tuple[int, ...]]] = []

    class Spy(paddle.nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            seen[-1].append(tuple(x.shape))
            return [paddle.nn.functional.one_hot((x[:, 0] > 0).astype("int64"), 10).transpose([0, 3, 1, 2])]

    class Shapes:
        num_classes, ignore_index, class_names = 10, 255, dataset.class_names

        def __len__(self) -> int:
            return len(shapes)

        def sample(self, index: int, seed: int) -> dict[str, Any]:
            image = np.full(shapes[index][1:], index - 2.5, np.float32)
            label = np.full(shapes[index][2:], int(index > 2), np.uint8)
            return {"img": image, "label": label, "trans_info": [], "file": f"{index}.png"}

    order: list[int] = []
    for batch_size in (1, 2, 3, 9):
        seen.append([])
        order.clear()
        result = evaluate(Spy(), Shapes(), batch_size=batch_size, on_image=lambda index, *_: order.append(index))
        assert result.scores.accuracy == 1
        assert order == [0, 1, 2, 3, 4]
    assert seen == [
        shapes,
        [(2, 3, 8, 8), (1, 3, 4, 8), (1, 3, 8, 8), (1, 3, 4, 8)],
        [(2, 3, 8, 8), (1, 3, 4, 8), (1, 3, 8, 8), (1, 3, 4, 8)],
        [(3, 3, 8, 8), (2, 3, 4, 8)],
    ]
    with pytest.raises(ValueError, match="batch_size is 0"):
        evaluate(Spy(), Shapes(), batch_size=0)


def test_the_table_marks_classes_that_the_labels_lack(config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    absent, predicted = dataset.num_classes - 2, dataset.num_classes - 1

    def label(samples: Any) -> list[np.ndarray]:
        for sample in samples:
            sample["label"] = np.minimum(sample["label"], 3)
        return [
            np.where(np.arange(sample["label"].size).reshape(sample["label"].shape) == 0, predicted, sample["label"])
            for sample in samples
        ]

    result = evaluate_labels(label, dataset)
    lines = {
        line.split("|")[1].strip(): line.split("|")[2].strip() for line in result.table().splitlines() if "|" in line
    }
    names = dataset.class_names
    assert lines[names[absent]] == "absent"
    assert lines[f"{names[predicted]} (not in the labels)"] == "0.0000"
    assert lines[names[0]] not in ("absent", "0.0000")
    assert result.as_dict()["labelled_pixels"][names[predicted]] == 0
    assert result.table().splitlines()[-1] == result.summary()


def test_labels_of_another_size_name_the_file(config_file: Path) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    with pytest.raises(ValueError, match=r"0000\.jpg: prediction has shape \(2, 2\), label \(72, 96\)"):
        evaluate_labels(lambda samples: [np.zeros((2, 2), int) for _ in samples], dataset)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_that_cannot_be_read_is_named(
    network: paddle.nn.Layer, config_file: Path, tmp_path: Path, num_workers: int
) -> None:
    dataset = build.dataset(load_config(config_file), "val")
    (tmp_path / "cut.jpg").write_bytes(Path(dataset.file_list[3][0]).read_bytes()[:900])
    dataset.file_list[3] = (str(tmp_path / "cut.jpg"), dataset.file_list[3][1])
    with pytest.raises(ValueError, match=r"cut\.jpg: corrupt or truncated image"):
        evaluate(network, dataset, num_workers=num_workers, batch_size=2)
