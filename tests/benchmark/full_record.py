"""Records with every field known, and with none, for tests."""

from __future__ import annotations

import json
import math

from paddle_mobileseg.benchmark import record
from paddle_mobileseg.benchmark.record import Record

SHA = "0123456789abcdef" * 4
STATE = {
    "at_s": 0.5,
    "temperature_c": {"cpu": 41.5},
    "frequency_mhz": {"cpu0": 1800.0},
    "governor": {"cpu0": "performance"},
    "throttled": False,
    "battery_percent": 87,
    "load_1min": 0.4,
}


def filled() -> Record:
    """A record with every field known, its statistics worked out by hand."""
    made = record.empty()
    made.update(id="r1", key="0123456789abcdef", created="2026-11-21T10:00:00+00:00", command="mobileseg benchmark")
    made.update(status="ok", validity={"valid": True, "reasons": []})
    made["tool"].update(version="0.1.0", git_commit="a" * 40, git_modified=False)
    made["model"].update(
        network="topformer_tiny",
        bundle="topformer",
        weights="trained",
        source_checkpoint_sha256=SHA,
        format="onnx",
        precision="fp32",
        files=[{"name": "model.onnx", "bytes": 5, "sha256": SHA}],
        parameters=1000,
        macs=2000,
        macs_size_hw=[64, 96],
        num_classes=7,
        input_shape=[1, 3, 64, 96],
        input_dtype="float32",
        output_op="argmax",
        output_dtype="int32",
    )
    made["toolchain"].update(python="3.11.7", packages={"onnxruntime": "1.31.1"}, export_tools={"paddle2onnx": "2.1.0"})
    made["device"].update(
        kind="adb", name="MI 9", soc="SM8150", cpu="Kryo 485", logical_cores=8, memory_gib=5.5, os="Android 10"
    )
    made["device"].update(abi="arm64-v8a", android={"release": "10", "sdk": 29}, gpu="Adreno 640", fingerprint="0" * 12)
    made["backend"].update(requested="onnxruntime", actual="onnxruntime CPUExecutionProvider", version="1.31.1")
    made["backend"].update(threads=2, affinity=[0, 1], power_mode="0", options={"level": 3})
    made["input"].update(kind="golden", count=2, classes_present=[3, 7], frame_hw=[480, 640])
    made["protocol"].update(preset="quick", warmup_runs=3, warmup_s=0.0, min_runs=4, min_s=0.0, group="g")
    made["protocol"].update(turns=[0, 0, 1, 1], turn_runs=2, pause_s=0.3, cooldown_s=0.0, limits={"max_noise": 0.5})
    network = {"count": 4, "min": 4.0, "mean": 5.5, "median": 5.5, "p90": 6.7, "p95": 6.85, "p99": 6.97, "max": 7.0}
    network |= {"std": math.sqrt(1.25), "raw": [4.0, 7.0, 5.0, 6.0]}
    made["timing"] = {
        "unit": "ms",
        "first": {"load": 30.0, "network": 20.0},
        "network": network,
        "frame": record.summary(count=4, mean=9.0),
        "stages": {
            "preprocess": record.summary(mean=1.0),
            "host_to_device": record.summary(mean=0.5),
            "compute": record.summary(min=3.5, mean=4.5, max=5.5),
            "device_to_host": record.summary(mean=0.5),
            "postprocess": record.summary(mean=2.0),
        },
    }
    made["memory"].update(peak_resident_bytes=200, before_load_bytes=100, device_peak_bytes=50)
    made["thermal"] = {"before": STATE, "during": [STATE], "after": STATE}
    made["parity"] = {"inputs": 2, "label_agreement": 1.0, "tolerance": 0.999, "passed": True}
    made["accuracy"] = {
        "of": "exported file",
        "dataset": "CamVid val",
        "images": 101,
        "miou": 0.7,
        "pixel_accuracy": 0.9,
    }
    made["accuracy"] |= {"iou": {"road": 0.9, "pole": None}, "source": "val.json"}
    made["operators"] = [{"name": "conv1", "type": "Conv", "ms": 1.25, "calls": 1}]
    made["samples"] = [{"image": "r1/a.jpg", "reference": "r1/a_reference.png", "labels": "r1/a_labels.png"}]
    return json.loads(json.dumps(made))  # nothing in it is shared


def failed() -> Record:
    made = record.empty()
    made["error"] = {"kind": "ValueError", "stage": "load", "message": "no such file"}
    return made
