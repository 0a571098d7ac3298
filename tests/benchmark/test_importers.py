from __future__ import annotations

import pytest

from paddle_mobileseg.benchmark import importers, record
from tests.benchmark.transcript_files import known, read, transcript

# What each text says, read off it by hand.


def test_paddle_lite_on_a_phone():
    (made,) = read("paddle-lite-android")
    assert made["status"] == "ok"
    assert known(made["timing"]) == {
        "unit": "ms",
        "first": {"load": 21.305, "network": 98.67},
        "stages": {"compute": {"count": 50, "min": 61.577, "mean": 62.723, "max": 66.895}},
    }
    assert known(made["model"]) == {
        "format": "lite-arm",
        "precision": "fp32",
        "files": [{"name": "pp_mobileseg_tiny.nb", "bytes": None, "sha256": None}],
        "input_shape": [1, 3, 512, 512],
    }
    assert known(made["backend"]) == {
        "requested": "paddle-lite",
        "actual": "Paddle Lite arm",
        "version": "v2.13-rc",
        "threads": 4,
        "power_mode": "0",
    }
    assert known(made["device"]) == {
        "kind": "other",
        "name": "Xiaomi MI 9",
        "os": "Android 10",
        "android": {"release": "10", "sdk": 29},
    }
    assert known(made["protocol"]) == {"warmup_runs": 10, "min_runs": 50}
    assert made["input"]["kind"] == "random"
    assert known(made["memory"]) == {}


def test_paddle_lite_appends_runs_to_one_file():
    gpu, cpu = read("paddle-lite-two-runs")
    assert known(gpu["timing"]["stages"]["compute"]) == {"count": 100, "min": 11.25, "mean": 12.5, "max": 14.75}
    assert gpu["memory"]["peak_resident_bytes"] == 96.25 * 2**20
    assert gpu["model"]["precision"] == "fp16" and gpu["backend"]["actual"] == "Paddle Lite opencl,arm"
    assert gpu["device"]["name"] == "OnePlus LE2110" and gpu["protocol"]["warmup_runs"] == 0
    assert known(cpu["timing"]) == {
        "unit": "ms",
        "first": {"load": 5.0},  # first is 0.000: not measured
        "stages": {"compute": {"count": 20, "min": 30.0, "mean": 31.0, "max": 33.0}},
    }
    assert (cpu["model"]["format"], cpu["model"]["input_shape"]) == ("lite-x86", None)  # two inputs
    assert cpu["input"]["kind"] == "unknown" and cpu["memory"]["peak_resident_bytes"] is None
    assert gpu["key"] != cpu["key"] and gpu["origin"] == cpu["origin"]


def test_paddle_lite_tables():
    """Of 2.8, which calls the longest time min, and of 2.3, which has the average only."""
    old, new = read("paddle-lite-table-2.3"), read("paddle-lite-table-2.8")
    assert [(each["model"]["network"], each["backend"]["threads"]) for each in new] == [
        ("mnasnet", 1),
        ("mobilenetv1", 1),
        ("mnasnet", 2),
    ]
    assert known(new[0]["timing"]) == {
        "unit": "ms",
        "stages": {"compute": {"count": 30, "min": 19.385, "mean": 19.65503, "max": 19.835}},
    }
    assert known(new[0]["protocol"]) == {"warmup_runs": 10, "min_runs": 30}
    assert [known(each["timing"]["stages"]["compute"]) for each in old] == [
        {"count": 30, "mean": 92.8641},
        {"count": 30, "mean": 60.4557},
    ]


def test_paddle_lite_log_of_2_8():
    (made,) = read("paddle-lite-log-2.8")
    assert known(made["timing"]) == {"unit": "ms", "stages": {"compute": {"count": 30, "mean": 31.8198}}}
    assert (made["backend"]["threads"], made["backend"]["power_mode"]) == (2, "0")
    assert made["model"]["files"][0]["name"] == "mobilenetv1.nb" and made["model"]["input_shape"] == [1, 3, 224, 224]


def test_trtexec_latency_is_transfers_and_computation():
    (made,) = read("trtexec-8.6")
    assert made["status"] == "ok" and made["command"] == "trtexec --onnx=seg/model.onnx --fp16 --useCudaGraph"
    assert known(made["timing"]["network"]) == {
        "count": 647,
        "min": 5.01874,
        "mean": 5.06068,
        "median": 5.05786,
        "p90": 5.08,
        "p95": 5.1,
        "p99": 5.15,
        "max": 5.21875,
    }
    stages = made["timing"]["stages"]
    assert [stages[name]["mean"] for name in ("host_to_device", "compute", "device_to_host")] == [0.26, 4.64068, 0.16]
    assert (stages["compute"]["p99"], stages["device_to_host"]["p90"], stages["host_to_device"]["max"]) == (
        4.7,
        0.17,
        0.3,
    )
    assert stages["preprocess"] is None and made["timing"]["first"] is None and made["timing"]["frame"] is None
    assert known(made["model"]) == {
        "format": "onnx",
        "precision": "fp16",
        "files": [{"name": "model.onnx", "bytes": None, "sha256": None}],
        "input_shape": [1, 3, 512, 512],
    }
    assert (made["backend"]["actual"], made["backend"]["version"]) == ("TensorRT", "8.6.1")
    assert (
        made["backend"]["options"]["CUDA Graph"] == "Enabled" and made["backend"]["options"]["Inference Streams"] == "1"
    )
    assert made["device"]["gpu"] == made["device"]["name"] == "NVIDIA GeForce RTX 3070"
    assert known(made["protocol"]) == {"warmup_s": 0.2, "min_runs": 10, "min_s": 3.0}
    assert made["input"]["kind"] == "random"


def test_trtexec_without_transfers_is_computation_only():
    (made,) = read("trtexec-10.9-engine")
    assert made["timing"]["network"] is None
    assert {name: each for name, each in made["timing"]["stages"].items() if each} == {
        "compute": record.summary(
            count=2077, min=1.38855, mean=1.44357, median=1.39775, p90=1.40308, p95=1.67834, p99=2.57642, max=3.00439
        )
    }
    assert made["timing"]["first"] == {"load": pytest.approx(103.31), "network": None}
    model = made["model"]
    assert (model["format"], model["precision"], model["files"][0]["name"]) == ("tensorrt", None, "seg.engine")
    assert "GPU-0000" not in str(made)  # a serial number


@pytest.mark.parametrize(
    ("digits", "version"),
    [("v8601", "8.6.1"), ("v8401", "8.4.1"), ("v100900", "10.9.0"), ("v101401", "10.14.1"), ("v8.6.1", "8.6.1")],
)
def test_trtexec_version_of_its_first_line(digits: str, version: str):
    text = f"&&&& RUNNING TensorRT.trtexec [TensorRT {digits}] [b34] # trtexec --onnx=a.onnx\n"
    assert importers.read("trtexec", text)[0]["backend"]["version"] == version


@pytest.mark.parametrize(
    ("said", "precision"),
    [
        ("FP32", "fp32"),
        ("FP32+FP16", "fp16"),
        ("FP32+FP16+INT8", "int8"),
        ("FP32+BF16", "bf16"),
        ("Strongly Typed", None),
    ],
)
def test_trtexec_precision_is_the_lowest(said: str, precision: str | None):
    text = transcript("trtexec-8.6").replace("Precision: FP32+FP16", f"Precision: {said}")
    assert importers.read("trtexec", text)[0]["model"]["precision"] == precision


def test_trtexec_summary_alone():
    lines = transcript("trtexec-8.6").splitlines()
    start = next(i for i, line in enumerate(lines) if "=== Performance summary" in line)
    (made,) = importers.read("trtexec", "\n".join(line.split("[I] ")[-1] for line in lines[start : start + 8]))
    assert made["status"] == "ok" and made["timing"]["network"]["mean"] == 5.06068
    assert made["timing"]["network"]["count"] is None and made["backend"]["version"] is None


def test_trtexec_input_that_is_not_random_and_has_two_tensors():
    text = transcript("trtexec-8.6").replace("Using random values for input x", "Loading values for input x")
    binding = "[02/06/2024-17:24:40] [I] Input binding for x with dimensions 1x3x512x512 is created.\n"
    assert binding in text
    (made,) = importers.read("trtexec", text.replace(binding, binding + binding.replace("for x", "for y")))
    assert made["input"]["kind"] == "unknown" and made["model"]["input_shape"] is None


def test_trtexec_without_a_summary_is_a_failure():
    text = transcript("trtexec-8.6")
    (made,) = importers.read("trtexec", text[: text.index("=== Performance summary")])
    assert made["status"] == "failed" and made["error"]["message"].startswith("the text ends before the times")


def test_trtexec_latency_alone_is_the_network():
    latency = "min = 1 ms, max = 3 ms, mean = 2 ms, percentile(50%) = 2 ms, percentile(99%) = 3 ms"
    text = f"=== Performance summary ===\nLatency: {latency}"
    (made,) = importers.read("trtexec", text)
    assert made["timing"]["network"]["p99"] == 3.0 and not any(made["timing"]["stages"].values())


def test_litert_is_microseconds():
    (made,) = read("litert-cpu")
    assert known(made["timing"]) == {
        "unit": "ms",
        "first": {"load": 87.639, "network": 106.436},
        "stages": {
            "compute": {
                "count": 50,
                "min": 105.416,
                "mean": 105.784,
                "median": 105.718,
                "p95": 106.281,
                "max": 106.528,
                "std": 0.26,
            }
        },
    }
    assert made["model"]["files"] == [{"name": "topformer_tiny.tflite", "bytes": 5476100, "sha256": None}]
    assert (made["backend"]["actual"], made["backend"]["threads"]) == ("LiteRT XNNPACK delegate", 4)
    assert known(made["protocol"]) == {"warmup_runs": 1, "warmup_s": 0.5, "min_runs": 50, "min_s": 1.0}
    assert made["memory"]["peak_resident_bytes"] == 32.5 * 2**20
    assert made["command"] == "./benchmark_model --graph=seg/topformer_tiny.tflite --num_threads=4 --num_runs=50"


def test_litert_of_2019():
    (made,) = read("litert-old")
    compute = {"count": 100, "min": 101.417, "mean": 104.036, "max": 109.982, "std": 1.565}
    assert known(made["timing"]["stages"]["compute"]) == compute
    assert known(made["timing"]["first"]) == {"load": 3.33}
    assert made["backend"]["threads"] == 1 and made["memory"]["peak_resident_bytes"] is None


def test_litert_in_logcat():
    (made,) = read("litert-logcat")
    assert known(made["timing"]["stages"]["compute"]) == {"count": 3, "min": 1040.0, "mean": 1040.0, "max": 1040.0}
    assert made["timing"]["first"] == {"load": 1361.24, "network": 1250.0}
    assert made["backend"]["actual"] == "LiteRT GPU delegate" and made["model"]["files"][0]["name"] == "seg.tflite"


@pytest.mark.parametrize(
    "path", ["seg.tflite", "/data/local/tmp/seg.tflite", "C:\\models\\my nets\\seg.tflite", "./a b/seg.tflite"]
)
def test_files_are_named_without_their_folder(path: str):
    text = transcript("litert-cpu").replace("[seg/topformer_tiny.tflite]", f"[{path}]")
    assert importers.read("litert", text)[0]["model"]["files"][0]["name"] == "seg.tflite"


def test_litert_cut_off_inside_its_last_line():
    text = transcript("litert-cpu")
    (made,) = importers.read("litert", text[: text.index("Inference (avg): 105784")])
    assert made["status"] == "failed" and made["error"]["message"].startswith("there is no time of inference in")


def test_litert_average_only():
    (made,) = importers.read("litert", "INFO: Inference timings in us: Init: 10, Inference (avg): 1500.5\n")
    assert known(made["timing"]["stages"]["compute"]) == {"mean": 1.5005}


def test_ncnn_has_a_record_for_each_line():
    made = read("ncnn-cpu")
    assert [each["model"]["network"] for each in made] == ["squeezenet", "mobilenet_v2", "vgg16_int8", "squeezenet"]
    assert [each["backend"]["threads"] for each in made] == [4, 4, 4, 1]
    assert known(made[2]["timing"]) == {
        "unit": "ms",
        "network": {"count": 8, "min": 1538.76, "mean": 1540.79, "max": 1544.81},
    }
    assert known(made[0]["backend"]) == {
        "requested": "ncnn",
        "actual": "ncnn CPU",
        "threads": 4,
        "power_mode": "2",
        "options": {"cooling_down": 1},
    }
    assert made[0]["command"] == "./benchncnn 8 4 0 -1 1" and made[3]["command"] == "./benchncnn 8 1 0 -1 1"
    assert len({each["key"] for each in made}) == 4


@pytest.mark.parametrize("prompt", ["me@host:~/ncnn$ ", "C:\\Users\\me\\Desktop>", "", "$ "])
@pytest.mark.parametrize("program", ["../build/benchmark/benchncnn", "benchncnn.exe"])
def test_commands_are_without_what_the_shell_says(prompt: str, program: str):
    text = transcript("ncnn-cpu").replace("$ ./benchncnn 8 4", f"{prompt}{program} 8 4")
    made = importers.read("ncnn", text)
    assert made[0]["command"] == f"{program} 8 4 0 -1 1" and len(made) == 4


def test_ncnn_that_crashed():
    text = "$ ls\nbenchncnn\n$ ./benchncnn 8 4 0 -1 1\nloop_count = 8\nnum_threads = 4\nSegmentation fault\n"
    (made,) = importers.read("ncnn", text)
    assert made["status"] == "failed" and made["error"]["message"] == "Segmentation fault"
    assert made["backend"]["threads"] == 4 and made["model"]["network"] is None


def test_ncnn_on_a_gpu_with_failures():
    made = {each["model"]["network"]: each for each in read("ncnn-vulkan")}
    assert made["squeezenet"]["status"] == "invalid" and made["squeezenet"]["timing"]["network"]["mean"] == 0.93
    assert made["squeezenet"]["device"]["gpu"] == "GeForce RTX 3090"
    assert made["squeezenet"]["backend"]["actual"] == "ncnn Vulkan, GPU 1"
    failures = {name: each["error"]["message"] for name, each in made.items() if each["status"] == "failed"}
    assert failures == {
        "blazeface": "fopen blazeface.param failed; the times are of an empty network",
        "tiny": "all times are 0, less than the text has digits for",
        "broken": "a time is nan ms",
    }


def test_onnxruntime_has_seconds_and_milliseconds():
    (made,) = read("onnxruntime-1.16")
    wanted = {"count": 100, "min": 1.83404, "mean": 1.85739, "median": 1.85674, "p90": 1.87215, "p95": 1.87393}
    wanted |= {"p99": 1.90312, "max": 1.90312}
    assert known(made["timing"]["network"]) == pytest.approx(wanted)
    assert made["timing"]["first"] == {"load": pytest.approx(10.2016), "network": 2.0}
    assert made["memory"]["peak_resident_bytes"] == 36696064
    assert made["backend"]["threads"] == 4 and made["backend"]["options"] == {"execution_provider": "cpu"}
    assert made["model"]["files"][0]["name"] == "model.onnx" and made["protocol"]["min_runs"] == 100


@pytest.mark.parametrize(
    ("options", "runs"), [("-r 100 -m times", 100), ("-t 10 -r 100 -m times", 100), ("-t 10 -r 100", None), ("", None)]
)
def test_onnxruntime_runs_that_were_asked_for(options: str, runs: int | None):
    text = transcript("onnxruntime-1.16").replace("-r 100 -m times", options)
    assert importers.read("onnxruntime", text)[0]["protocol"]["min_runs"] == runs


def test_onnxruntime_of_2025_gives_the_average_only():
    (made,) = read("onnxruntime-1.22")
    assert known(made["timing"]) == {
        "unit": "ms",
        "first": {"load": pytest.approx(169.475)},  # the first run is 0 ms: not measured
        "network": {"count": 10, "mean": 7.270205},
    }
    assert made["backend"]["actual"] == "onnxruntime SpaceMITExecutionProvider"


def test_our_program_on_a_board_gives_single_runs():
    whole, short = read("mobileseg-run-board")
    times = [41.25, 41.0, 41.5, 41.25, 42.0, 41.125, 41.25, 41.375, 41.25, 41.25, 41.5, 41.75]
    assert (whole["status"], whole["validity"]) == ("ok", {"valid": True, "reasons": []})
    assert whole["timing"]["network"] == record.summarize(times)
    assert whole["timing"]["first"] == {"load": 52.125, "network": 66.5}
    stages = {name: each["mean"] for name, each in whole["timing"]["stages"].items() if each}
    assert stages == pytest.approx({"host_to_device": 0.125, "compute": 41.125, "device_to_host": 0.0625})
    assert known(whole["model"]) == {
        "files": [{"name": "model_arm.nb", "bytes": None, "sha256": None}],
        "input_shape": [1, 3, 256, 256],
    }
    assert known(whole["backend"]) == {
        "requested": "mobileseg-run",
        "actual": "Paddle Lite light predictor",
        "version": "2.13-rc",
        "threads": 4,
        "power_mode": "no_bind",
    }
    assert known(whole["protocol"]) == {"warmup_runs": 10, "min_runs": 12, "turns": [0] * 12}
    assert known(whole["memory"]) == {"peak_resident_bytes": 40 * 2**20, "before_load_bytes": 5 * 2**20}
    assert whole["command"].startswith("./mobileseg_lite_run --model bundle/model_arm.nb --input in.bin")
    assert whole["parity"] is None and whole["toolchain"]["packages"] == {"paddle_lite": "2.13-rc"}
    assert short["status"] == "invalid" and short["backend"]["threads"] == 1
    assert short["validity"]["reasons"] == [
        "too short: 3 timed runs; at least 10 are needed",
        "no warm-up: the first run of the process is one of those that count",
    ]


def test_our_programs_line_alone_and_in_a_narrow_window():
    text = transcript("mobileseg-run-board")
    line = next(line for line in text.splitlines() if line.startswith("{"))
    narrow = "\n".join(line[start : start + 80] for start in range(0, len(line), 80))
    whole = importers.read("mobileseg-run", text)[0]
    for said in (line, narrow):
        (made,) = importers.read("mobileseg-run", said)
        assert made["timing"] == whole["timing"] and made["backend"] == whole["backend"]
        assert made["command"] is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("41.000000, 41.500000", "NaN, 41.500000", "the runner printed the time nan ms; expected numbers"),
        ("41.000000, 41.500000", "-41.0, 41.500000", "the time -41.0 ms"),
        ("41.000000, 41.500000", "0.000000, 41.500000", "the time 0.0 ms"),
        ("41.000000, 41.500000", "41.500000", "upload_ms of another length than times_ms"),
        ('"int32"', '"float16"', "expected a line such as"),
        ('"before_load_bytes": 5242880, "peak_rss_bytes": 41943040}', "", "the text ends within the line of JSON"),
    ],
)
def test_our_programs_line_that_makes_no_sense_is_a_failure(old: str, new: str, message: str):
    line = next(line for line in transcript("mobileseg-run-board").splitlines() if line.startswith("{"))
    assert old in line
    (made,) = importers.read("mobileseg-run", line.replace(old, new, 1))
    assert made["status"] == "failed" and message in made["error"]["message"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobileseg-run-failed", "error: in.bin has 786432 bytes; expected 3145728"),
        ("paddle-lite-failed", "Mode file[model_arm.nb] not exist!"),
        ("trtexec-failed", "ModelImporter.cpp:951: --- End node ---; Failed to parse onnx file; Parsing model failed"),
        ("litert-failed", "Could not open 'missing.tflite'."),
        ("onnxruntime-failed", "[E:onnxruntime:, sequential_executor.cc:514 ExecuteKernel] Non-zero status code"),
    ],
)
def test_runs_that_failed_are_records(name: str, message: str):
    (made,) = read(name)
    assert made["status"] == "failed" and made["timing"] is None
    assert made["error"]["message"].startswith(message)
