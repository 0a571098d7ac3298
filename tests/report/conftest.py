"""A run, a bundle's metadata and benchmark records with made-up, plausible numbers."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from paddle_mobileseg.benchmark import record as records

CLASSES = ["sky", "building", "road", "pavement", "tree", "car", "person", "pole", "sign", "lane mark"]
IOU = [0.964, 0.912, 0.951, 0.843, 0.887, 0.861, 0.652, 0.547, 0.713, None]
PALETTE = [
    [70, 130, 180],
    [70, 70, 70],
    [128, 64, 128],
    [244, 35, 232],
    [107, 142, 35],
    [0, 0, 142],
    [220, 20, 60],
    [153, 153, 153],
    [220, 220, 0],
    [255, 255, 255],
]
SHA = "5f2b9c01" * 8
MACHINE = {
    "cpu": "Example CPU @ 2.50GHz",
    "logical_cores": 2,
    "memory_gib": 23.5,
    "os": "Debian GNU/Linux 12 (bookworm), x86_64",
    "python": "3.11.7",
    "packages": {"paddlepaddle": "3.3.1", "paddleseg": "2.8.0", "onnxruntime": "1.31.1"},
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
    "git_modified": False,
    "date": "2026-01-02T03:04:05+00:00",
}


@dataclass(frozen=True)
class Made:
    """Folders that the generator filled."""

    run: Path
    bundle: Path
    records: Path
    class_names: list[str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window; tests that look at a page are skipped where it is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_everything(tmp_path)


@pytest.fixture
def made_at_full_size(tmp_path: Path) -> Made:
    return make_everything(tmp_path, size_hw=(360, 480))


def make_everything(root: Path, samples: int = 8, size_hw: tuple[int, int] = (36, 48)) -> Made:
    run = make_run(root / "run")
    make_samples(run, samples, size_hw)
    bundle = make_bundle(root / "bundle")
    return Made(run, bundle, make_records(root / "records", bundle), CLASSES)


def make_run(run: Path) -> Path:
    (run / "best_model").mkdir(parents=True)
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in make_log()), encoding="utf-8")
    config = {
        "batch_size": 8,
        "iters": 1200,
        "model": {"type": "PPMobileSeg", "backbone": {"type": "MobileSeg_Tiny"}, "num_classes": len(CLASSES)},
        "train_dataset": {"type": "SyntheticScenes", "mode": "train"},
        "val_dataset": {"type": "SyntheticScenes", "mode": "val"},
        "optimizer": {"type": "AdamW", "weight_decay": 0.01},
        "lr_scheduler": {
            "type": "PolynomialDecay",
            "learning_rate": 0.006,
            "end_lr": 0,
            "power": 1.0,
            "warmup_iters": 100,
        },
    }
    (run / "config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    write(
        run / "environment.json",
        {**MACHINE, "command": "mobileseg train --config quickstart.yml --save_dir run", "options": {}},
    )
    write(
        run / "best_model" / "checkpoint.json",
        {
            "format": 2,
            "iter": 1200,
            "config": config,
            "class_names": CLASSES,
            "palette": PALETTE,
            "ignore_index": 255,
            "network": "PPMobileSeg",
            "num_parameters": 1492345,
            "sha256": {"model.pdparams": SHA},
            "metrics": {"miou": 0.8144},
        },
    )
    write(
        run / "val.json",
        {
            "miou": 0.8144,
            "accuracy": 0.951,
            "kappa": 0.936,
            "dice": 0.889,
            "iou": dict(zip(CLASSES, IOU, strict=True)),
            "images": 120,
            "dataset": "SyntheticScenes",
            "checkpoint_sha256": SHA,
            "config": config,
            "eval": {"flip": False, "scales": [1.0]},
            "command": "mobileseg val --model_path run/best_model --save_dir run",
            "date": "2026-01-02T03:20:00+00:00",
            "elapsed_s": 21.5,
        },
    )
    return run


def make_log(iters: int = 1200, step: int = 5) -> list[dict]:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(step, iters + 1, step):
        lr = 0.006 * min(i / 100, (iters - i) / (iters - 100))
        loss = 0.35 + 1.9 * math.exp(-i / 180) + 0.05 * rng.standard_normal()
        lines.append(
            {
                "kind": "train",
                "iter": i,
                "loss": loss,
                "lr": lr,
                "images_per_s": 30 + rng.standard_normal(),
                "elapsed_s": i * 0.27,
            }
        )
        if i % 200 == 0:
            miou = 0.82 * (1 - math.exp(-i / 260))
            iou = dict.fromkeys(CLASSES[:-1], miou)
            lines.append(
                {"kind": "val", "iter": i, "miou": miou, "accuracy": 0.9, "iou": iou, "elapsed_s": i * 0.27 + 10}
            )
    return lines


def make_samples(run: Path, count: int, size_hw: tuple[int, int]) -> None:
    folder = run / "val_samples"
    folder.mkdir()
    height, width = size_hw
    rows, columns = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    colours = np.array(PALETTE, np.uint8)
    for n in range(count):
        rng = np.random.default_rng(n)
        label = np.where(rows < 0.35, 0, np.where(rows < 0.6, 1, 2)).astype(np.uint8)
        label[(rows > 0.55) & (rows < 0.75) & (abs(columns - rng.uniform(0.2, 0.8)) < 0.1)] = 5
        label[(rows > 0.2) & (rows < 0.7) & (abs(columns - rng.uniform(0.1, 0.9)) < 0.02)] = 7
        label[rows > 0.97] = 255
        prediction = np.roll(label, (1, 2), (0, 1))
        prediction[prediction == 255] = 2
        noise = rng.normal(0, 14, (height, width, 1)) + 30 * np.sin(9 * columns + 4 * rows)[..., None]
        image = np.clip(colours[np.where(label == 255, 2, label)] * 0.7 + 50 + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{n:03d}_image.png")
        for kind, values in (("label", label), ("prediction", prediction)):
            Image.fromarray(values).save(folder / f"{n:03d}_{kind}.png")


def make_bundle(bundle: Path) -> Path:
    bundle.mkdir()
    contents = {"model.json": 150_000, "model.pdiparams": 6_100_000, "model.onnx": 6_200_000, "golden.npz": 2_000_000}
    for name, size in contents.items():
        with open(bundle / name, "wb") as file:
            file.truncate(size)
    stages = [("dynamic->paddle", 1.0, 1.0, 0.0), ("dynamic->onnxruntime", 0.999987, 0.99871, 3.1e-5)]
    about = {
        "format": 2,
        "network": "PPMobileSeg",
        "num_classes": len(CLASSES),
        "class_names": CLASSES,
        "palette": PALETTE,
        "ignore_index": 255,
        "input": {"name": "x", "layout": "NCHW", "dtype": "float32", "size_hw": [360, 480]},
        "files": {
            name: {"sha256": f"{n}a1b2c3d4e5f0123" * 4, "bytes": size}
            for n, (name, size) in enumerate(contents.items())
        },
        "source_checkpoint_sha256": SHA,
        "num_parameters": 1492345,
        "macs": 612_000_000,
        "macs_size_hw": [360, 480],
        "backends": {"paddle": ["model.json", "model.pdiparams"], "onnxruntime": ["model.onnx"]},
        "parity": [
            {
                "stage": stage,
                "images": 4,
                "label_agreement": labels,
                "boundary_agreement": boundary,
                "max_abs_diff": diff,
                "mean_abs_diff": None,
                "tolerance": 0.999,
                "passed": True,
            }
            for stage, labels, boundary, diff in stages
        ],
    }
    (bundle / "deploy.yaml").write_text(
        yaml.safe_dump({"Deploy": {"model": "model.json"}, "Bundle": about}), encoding="utf-8"
    )
    return bundle


def make_records(folder: Path, bundle: Path) -> Path:
    for backend, threads, times, first, frame in (
        ("paddle", 1, [60.0, 61.26, 66.0], 410.0, None),
        ("onnxruntime", 1, [20.0, 38.44, 40.0], 55.0, 44.4),
        ("onnxruntime", 2, [20.0, 23.51, 26.0], 40.0, 29.94),
    ):
        records.write(folder, make_record(bundle, backend, threads, times, first, frame))
    return folder


def make_record(
    bundle: Path, backend: str, threads: int, times: list[float], first: float, frame: float | None
) -> records.Record:
    """A valid record of a bundle's files."""
    about = yaml.safe_load((bundle / "deploy.yaml").read_text(encoding="utf-8"))["Bundle"]
    made = records.empty()
    made["status"], made["validity"] = "ok", {"valid": True, "reasons": []}
    made["created"] = MACHINE["date"]
    made["command"] = "mobileseg benchmark --bundle bundle"
    made["tool"] |= {key: MACHINE[key] for key in ("git_commit", "git_modified")}
    made["toolchain"] |= {"python": MACHINE["python"], "packages": MACHINE["packages"]}
    made["device"] |= {key: MACHINE[key] for key in ("cpu", "logical_cores", "memory_gib", "os")}
    made["device"]["name"] = MACHINE["cpu"]
    made["backend"] |= {"requested": backend, "actual": backend, "threads": threads}
    made["model"] |= {
        "network": "pp_mobileseg_tiny",
        "bundle": bundle.name,
        "weights": "trained",
        "source_checkpoint_sha256": about["source_checkpoint_sha256"],
        "files": [{"name": name, **about["files"][name]} for name in about["backends"][backend]],
        "precision": "fp32",
        "input_shape": [1, 3, 360, 480],
    }
    made["input"] |= {"kind": "golden", "count": 4, "frame_hw": None if frame is None else [720, 1280]}
    made["timing"] = {
        "unit": "ms",
        "first": {"load": 100.0, "network": first},
        "network": records.summarize(times),
        "frame": None if frame is None else records.summarize([frame]),
        "stages": dict.fromkeys(records.STAGES),
    }
    made["memory"]["peak_resident_bytes"] = 123_400_000
    return made


def write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
