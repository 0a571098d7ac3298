"""Made-up benchmark records that look real: networks on backends of a computer and a phone, with what can go wrong."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.data.palette import CAMVID, write_label_png

CLASSES = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian", "bicyclist",
]  # fmt: skip
# name: parameters, MACs, relative time, mIoU
NETWORKS = {
    "pp_mobileseg_tiny": (1_480_000, 630_000_000, 1.1, 0.652),
    "pp_mobileseg_base": (5_620_000, 1_910_000_000, 2.3, 0.701),
    "mobileseg_mobilenetv2": (2_890_000, 3_120_000_000, 1.7, 0.668),
    "mobileseg_mobilenetv3": (3_980_000, 1_650_000_000, 1.3, 0.689),
    "mobileseg_litehrnet18": (1_510_000, 2_080_000_000, 4.4, 0.671),
    "mobileseg_shufflenetv2": (1_930_000, 1_240_000_000, 0.95, 0.649),
    "mobileseg_ghostnet": (3_310_000, 1_020_000_000, 1.25, 0.658),
    "pp_liteseg_t": (8_010_000, 4_310_000_000, 2.0, 0.736),
    "pp_liteseg_b": (12_110_000, 7_900_000_000, 3.4, 0.752),
    "topformer_tiny": (1_390_000, 520_000_000, 0.8, 0.627),
    "topformer_small": (3_020_000, 1_060_000_000, 1.2, 0.664),
    "topformer_base": (5_060_000, 1_590_000_000, 1.6, 0.688),
}
# name: relative time, format, what ran, version
BACKENDS = {
    "onnxruntime": (1.0, "onnx", "onnxruntime CPUExecutionProvider", "1.23.2"),
    "paddle": (1.35, "paddle", "Paddle Inference, oneDNN", "3.3.1"),
    "lite": (1.9, "lite-x86", "Paddle Lite x86", "2.12"),
    "lite-arm": (3.1, "lite-arm", "Paddle Lite ARM", "2.14-rc"),
}
COMPUTER: dict[str, Any] = {
    "kind": "local",
    "name": "Example CPU @ 2.50GHz",
    "cpu": "Example CPU @ 2.50GHz",
    "logical_cores": 2,
    "memory_gib": 23.5,
    "os": "Debian GNU/Linux 12 (bookworm)",
    "abi": "x86_64",
    "fingerprint": "0a1b2c3d4e5f",
}
PHONE: dict[str, Any] = {
    "kind": "adb",
    "name": "Example Phone 9",
    "soc": "Example SoC 855",
    "logical_cores": 8,
    "memory_gib": 5.6,
    "os": "Linux 4.14",
    "abi": "arm64-v8a",
    "android": {"release": "11", "sdk": 30},
    "fingerprint": "f0e1d2c3b4a5",
}
START = datetime.datetime(2026, 11, 20, 9, 0, tzinfo=datetime.timezone.utc)
SHA = "5f2b9c01" * 8


def make_record(
    network: str = "pp_mobileseg_tiny",
    backend: str = "onnxruntime",
    device: dict[str, Any] = COMPUTER,
    threads: int = 1,
    number: int = 0,
    runs: int = 50,
    **changes: Any,
) -> records.Record:
    """A record of status ok; ``changes`` replace whole sections."""
    rng = np.random.default_rng(number + 17 * len(network))
    parameters, macs, cost, miou = NETWORKS.get(network, NETWORKS["pp_mobileseg_tiny"])
    factor, form, actual, version = BACKENDS.get(backend, BACKENDS["onnxruntime"])
    base = 9.0 * cost * factor / threads**0.8
    made = records.empty()
    made["id"] = f"20261120T09{number % 60:02d}00Z-{number:04d}"
    made["key"] = f"{number:016x}"
    made["created"] = (START + datetime.timedelta(minutes=number)).isoformat()
    made["tool"].update(version="0.6.0", git_commit="0123456789abcdef0123456789abcdef01234567", git_modified=False)
    made["command"] = (
        f"mobileseg benchmark --bundle {network} --backends {backend} --threads {threads} --output records"
    )
    made["status"], made["error"], made["validity"] = "ok", None, {"valid": True, "reasons": []}
    made["model"].update(
        network=network,
        bundle=network,
        weights="trained",
        source_checkpoint_sha256=SHA,
        format=form,
        precision="fp32",
        files=[{"name": f"model.{form}", "bytes": parameters * 4 + 51_234, "sha256": SHA}],
        parameters=parameters,
        macs=macs,
        macs_size_hw=[352, 480],
        num_classes=len(CLASSES),
        input_shape=[1, 3, 352, 480],
        input_dtype="float32",
        output_op="argmax",
    )
    made["toolchain"].update(
        python="3.11.7", packages={backend: version, "numpy": "1.26.4"}, export_tools={"paddle2onnx": "2.1.0"}
    )
    made["device"].update(device)
    made["backend"].update(requested=backend, actual=actual, version=version, threads=threads)
    made["input"].update(kind="golden", count=3, classes_present=[9, 11, 8], frame_hw=[720, 960])
    made["protocol"].update(preset="paddle-lite", warmup_runs=10, min_runs=min(runs, 50), group="20261120T0900")
    made["timing"] = make_timing(rng, base, runs, split=backend == "paddle")
    made["memory"].update(peak_resident_bytes=int(90e6 + parameters * 14 + macs * 0.02), before_load_bytes=61_000_000)
    agreement = 0.99993 if backend.startswith("lite") else 1.0
    made["parity"] = {"inputs": 3, "label_agreement": agreement, "tolerance": 0.999, "passed": True}
    made["accuracy"] = make_accuracy(miou, backend)
    if device is PHONE:
        made["thermal"] = make_thermal(rng)
    if backend == "onnxruntime":
        made["operators"] = make_operators(rng, base)
    made.update(changes)
    return made


def make_timing(rng: np.random.Generator, base: float, runs: int, split: bool) -> dict[str, Any]:
    drift = np.linspace(0, rng.choice([0.0, 0.01, 0.06]), runs)
    jitter = rng.gamma(1.5, 0.012, runs) + drift
    jitter[rng.integers(runs)] += 0.25
    network = base * (1 + jitter)
    before, after = 2.4 * (1 + rng.gamma(1.5, 0.02, runs)), 0.9 * (1 + rng.gamma(1.5, 0.02, runs))
    stages: dict[str, Any] = dict.fromkeys(records.STAGES)
    stages["preprocess"], stages["postprocess"] = records.summarize(before), records.summarize(after)
    if split:
        parts = {"host_to_device": 0.02, "compute": 0.95, "device_to_host": 0.03}
        stages |= {name: records.summarize(network * share) for name, share in parts.items()}
    else:
        stages["compute"] = records.summarize(network)
    return {
        "unit": "ms",
        "first": {"load": 180.0 + base, "network": base * 3.1},
        "network": records.summarize(network),
        "frame": records.summarize(before + network + after),
        "stages": stages,
    }


def make_accuracy(miou: float, backend: str) -> dict[str, Any]:
    """Scores whose mean is ``miou``; those of Paddle Lite differ a little, those of paddle are the checkpoint's."""
    offsets = np.linspace(0.24, -0.24, len(CLASSES))
    iou = dict(zip(CLASSES, (round(float(miou + each), 4) for each in offsets), strict=True))
    if backend.startswith("lite"):
        iou["pole"] = round(iou["pole"] - 0.0031, 4)
    return {
        "of": "checkpoint" if backend == "paddle" else "exported file",
        "dataset": "camvid",
        "images": 233,
        "miou": float(np.mean(list(iou.values()))),
        "pixel_accuracy": 0.91,
        "iou": iou,
        "source": "mobileseg val --save_dir scores",
    }


def make_thermal(rng: np.random.Generator) -> dict[str, Any]:
    def state(at_s: float, warm: float) -> dict[str, Any]:
        return {
            "at_s": at_s,
            "temperature_c": {"cpu-0-0": round(31 + warm, 1), "battery": round(28 + warm / 4, 1)},
            "frequency_mhz": {"cpu0": 1785.0, "cpu7": round(2841.6 - 40 * warm, 1)},
            "governor": {"cpu0": "schedutil", "cpu7": "schedutil"},
            "throttled": False,
            "battery_percent": 84.0,
            "load_1min": 0.6,
        }

    warm = float(rng.uniform(4, 16))
    return {"before": state(0, 0), "during": [state(2, warm / 2), state(4, warm)], "after": state(6, warm * 0.8)}


def make_operators(rng: np.random.Generator, base: float) -> list[dict[str, Any]]:
    kinds = ["Conv"] * 26 + ["Resize", "Mul", "Add", "HardSigmoid", "MatMul", "Softmax", "ArgMax", "Transpose"]
    shares = rng.dirichlet(np.array([2.0] * 26 + [3, 0.6, 0.6, 0.4, 1.5, 0.5, 4, 0.4]))
    return [
        {"name": f"p2o.{kind}.{i}", "type": kind, "ms": float(share * base), "calls": 1}
        for i, (kind, share) in enumerate(zip(kinds, shares, strict=True))
    ]


def failed(record: records.Record, message: str, kind: str = "RuntimeError", stage: str = "run") -> records.Record:
    return record | {
        "status": "failed",
        "error": {"kind": kind, "stage": stage, "message": message},
        "validity": {"valid": False, "reasons": []},
        "timing": None,
        "accuracy": None,
        "operators": None,
        "parity": None,
        "samples": [],
    }


def invalid(record: records.Record, *reasons: str) -> records.Record:
    return record | {"status": "invalid", "validity": {"valid": False, "reasons": list(reasons)}}


def make_samples(folder: Path, name: str, size_hw: tuple[int, int] = (180, 240), wrong: bool = True) -> dict[str, str]:
    """Pictures of a made-up street beside a record: a section of ``samples``."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    height, width = size_hw
    rows, columns = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    labels = np.where(rows < 0.4, 0, np.where(rows < 0.58, 1, 3)).astype(np.uint8)
    labels[(rows > 0.58) & (abs(columns - 0.5) > 0.12 + 0.55 * (rows - 0.5))] = 4
    labels[(rows > 0.3) & (rows < 0.62) & (abs(columns - 0.15) < 0.1)] = 5
    labels[(rows > 0.55) & (rows < 0.78) & (abs(columns - 0.62) < 0.1)] = 8
    labels[(rows > 0.5) & (rows < 0.75) & (abs(columns - 0.33) < 0.018)] = 9
    noise = np.random.default_rng(1).normal(0, 12, (height, width, 1)) + 24 * np.sin(9 * columns + 4 * rows)[..., None]
    image = np.clip(CAMVID[labels] * 0.6 + 60 + noise, 0, 255).astype(np.uint8)
    other = labels.copy()
    if wrong:
        other[(rows > 0.5) & (rows < 0.53) & (abs(columns - 0.33) < 0.018)] = 1
        other[(rows > 0.55) & (rows < 0.78) & (abs(columns - 0.625) < 0.1)] = 8
    section = {part: f"samples/{name}-{part}.{'jpg' if part == 'image' else 'png'}" for part in
               ("image", "reference", "labels")}  # fmt: skip
    Image.fromarray(image).save(folder / section["image"], quality=90)
    write_label_png(folder / section["reference"], labels, CAMVID)
    write_label_png(folder / section["labels"], other, CAMVID)
    return section


def make_folder(folder: Path, runs: int = 50, size_hw: tuple[int, int] = (180, 240)) -> Path:
    """Twelve networks on four backends of two devices: invalid, failed, imported and estimated records among them."""
    number = 0
    for device, backends in ((COMPUTER, ("onnxruntime", "paddle", "lite")), (PHONE, ("lite-arm",))):
        for network in NETWORKS:
            for backend in backends:
                for threads in (1, 2) if backend != "lite" else (1,):
                    made = make_record(network, backend, device, threads, number, runs)
                    if backend == "onnxruntime" and threads == 2 and network.endswith(("tiny", "base")):
                        made["samples"] = [make_samples(folder, network, size_hw, wrong=network != "topformer_tiny")]
                    records.write(folder, _spoiled(made, number))
                    number += 1
    for more in _others(number):
        records.write(folder, more)
    return folder


def _spoiled(made: records.Record, number: int) -> records.Record:
    if number == 8:
        return failed(made, "the process ended with signal 6 (SIGABRT); it said: Check failed: kernel pool2d", "Crash")
    if number == 61:
        return failed(made, "the device went away after 3 tries; connect it, then give --resume", "DeviceLost", "push")
    if number == 23:
        return invalid(made, "the machine was too noisy: the middle half of the runs spreads over 31 % of the median")
    if number == 64:
        return invalid(made, "37 runs took 1.4 s; the protocol asks for 50", "the device throttled its clock")
    if number in (30, 31):
        made["model"]["weights"] = "random"
    if number == 40:
        made["accuracy"] = None
    return made


def _others(number: int) -> list[records.Record]:
    """An import, and an estimate for the phone."""
    imported = make_record("pp_liteseg_t", "lite-arm", PHONE, 4, number)
    imported["origin"] = {"kind": "imported", "importer": "paddle-lite", "source": "log.txt", "source_sha256": SHA}
    imported["timing"] |= {"frame": None, "stages": dict.fromkeys(records.STAGES), "first": None}
    imported["timing"]["network"] = records.summary(count=50, min=31.2, mean=32.9, median=32.4, p90=35.0, max=41.0)
    imported["memory"] = {"peak_resident_bytes": None, "before_load_bytes": None, "device_peak_bytes": None}
    estimated = make_record("topformer_small", "lite-arm", PHONE, 4, number + 1)
    estimated["origin"]["kind"] = "estimated"
    estimated["origin"]["source"] = "scaled by MACs from topformer_base"
    estimated["timing"] |= {"frame": None, "stages": dict.fromkeys(records.STAGES), "first": None}
    estimated["timing"]["network"] = records.summary(mean=12.8)
    return [imported, estimated]
