"""Measuring plans in processes of their own: what the records say, and what becomes of the processes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from paddle_mobileseg.benchmark import local, record
from paddle_mobileseg.benchmark.local import measure_local, outputs_folder
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import Protocol, protocol
from paddle_mobileseg.benchmark.record import Record
from paddle_mobileseg.runtime.bundle import GOLDEN, describe_files, load_bundle, write_manifest
from tests.benchmark.synthetic import MODULE, SIZE_HW, answer, images, make_bundle
from tests.processes import is_running, wait_until
from tests.runtime.test_arm_runner import HEAD, write_network

PROJECT = Path(__file__).parents[2]
# Other work on the machine that runs the tests must not matter.
CALM = {"max_noise": 1e6, "max_drift": 1e6, "min_cpu_share": 0.0, "max_steal": 1.0, "pause_s": 0.01}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("local") / "largest")


def synthetic(bundle: Path, kind: str, **options: Any) -> Plan:
    return Plan(bundle, "onnxruntime", options={"kind": kind, **options})


def measure(*plans: Plan, rules: Protocol | None = None, **how: Any) -> list[Record]:
    """Records, each of which is valid in form."""
    rules = rules or protocol("quick", **CALM)
    made = measure_local(plans, rules, "mobileseg benchmark", say=lambda text: None, module=MODULE, **how)
    for each in made:
        record.validate(each)
    return made


def test_a_record_of_a_known_backend(bundle: Path) -> None:
    (made,) = measure(synthetic(bundle, "busy", ms=2.0, first_ms=80.0))
    assert (made["status"], made["validity"], made["error"]) == ("ok", {"valid": True, "reasons": []}, None)
    network, timing = made["timing"]["network"], made["timing"]
    assert network["count"] == len(network["raw"]) == 20
    assert 2.0 <= network["min"] <= 2.5
    assert network["median"] >= 2.0
    assert timing["first"]["network"] >= 82.0
    assert timing["first"]["load"] > 0
    assert timing["stages"]["host_to_device"] is timing["stages"]["device_to_host"] is None
    assert timing["stages"]["compute"]["raw"] == network["raw"]
    assert timing["frame"]["min"] > network["min"]
    assert made["protocol"]["turns"] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert made["protocol"]["preset"] == "quick"
    backend = made["backend"]
    assert (backend["requested"], backend["actual"], backend["version"]) == ("onnxruntime", "synthetic busy", "1.0")
    assert backend["options"] == {"kind": "busy", "ms": 2.0, "first_ms": 80.0}
    assert made["parity"] == {"inputs": 2, "label_agreement": 1.0, "tolerance": 0.999, "passed": True}
    assert made["input"] == {"kind": "golden", "count": 2, "classes_present": [3, 3], "frame_hw": list(SIZE_HW)}
    assert made["model"]["input_shape"] == [1, 3, *SIZE_HW]
    assert made["command"] == "mobileseg benchmark"
    assert len(made["thermal"]["during"]) >= 4
    assert made["thermal"]["before"]["at_s"] <= made["thermal"]["during"][0]["at_s"] <= made["thermal"]["after"]["at_s"]


def test_memory_is_the_plans_own(bundle: Path) -> None:
    size = 200 << 20
    plain, large = measure(synthetic(bundle, "busy"), synthetic(bundle, "busy", load_bytes=size))
    grown = large["memory"]["peak_resident_bytes"] - large["memory"]["before_load_bytes"]
    assert size <= grown <= size + (50 << 20)
    assert plain["memory"]["peak_resident_bytes"] < size
    assert large["protocol"]["group"] == plain["protocol"]["group"]


@pytest.mark.parametrize(
    ("run", "counts"),
    [(1, True), (3, False), (15, True)],  # the first; a golden input's, which no application has; a timed one
)
def test_the_peak_of_memory_is_that_of_loading_and_running(bundle: Path, run: int, counts: bool) -> None:
    size = 200 << 20
    (made,) = measure(synthetic(bundle, "busy", spike_run=run, spike_bytes=size))
    grown = made["memory"]["peak_resident_bytes"] - made["memory"]["before_load_bytes"]
    assert (grown >= size) == counts


@pytest.mark.parametrize(
    ("kind", "options", "kinds", "stage", "message"),
    [
        ("crash", {"after": 0}, "crash", "first run", "died of SIGSEGV. Its last words:\n  terrible news"),
        ("crash", {"after": 12}, "crash", "timing", "died of SIGSEGV"),
        ("killed", {"after": 2}, "crash", "parity", "died of SIGKILL, perhaps because memory was full"),
        ("exit", {"after": 3}, "crash", "expected outputs", "failed (exit status 3)"),
        ("hang", {"after": 12}, "timeout", "timing", "timing: not done after 3 s"),
        ("busy", {"threats": 1}, "bad_input", "load", "backend 'onnxruntime' has no option 'threats'"),
    ],
)
def test_a_failure_is_a_record_and_the_others_go_on(
    bundle: Path, kind: str, options: dict[str, Any], kinds: str, stage: str, message: str
) -> None:
    failed, good = measure(synthetic(bundle, kind, **options), synthetic(bundle, "busy"), timeout_s=3.0)
    assert (failed["status"], failed["timing"], failed["validity"]["reasons"]) == ("failed", None, [])
    assert (failed["error"]["kind"], failed["error"]["stage"]) == (kinds, stage)
    assert message in failed["error"]["message"]
    assert failed["model"]["network"] == "Largest"
    assert good["status"] == "ok"


@pytest.mark.parametrize(
    ("kind", "ms", "reasons"),
    [
        ("late", 40.0, ["output late: golden outputs were complete only", "output late: for input"]),
        ("wrong", 1.0, ["wrong labels: "]),
    ],
)
def test_what_gives_wrong_or_late_labels_is_invalid(bundle: Path, kind: str, ms: float, reasons: list[str]) -> None:
    (made,) = measure(synthetic(bundle, kind, ms=ms))
    assert made["status"] == "invalid"
    got = made["validity"]["reasons"]
    assert [text[: len(start)] for text, start in zip(got, reasons, strict=True)] == reasons
    if kind == "wrong":
        right = np.mean([(answer(x.transpose(2, 0, 1)[None]) == 0).mean() for x in images()])
        assert made["parity"]["label_agreement"] == pytest.approx(right)
        assert made["parity"]["passed"] is False


def test_what_native_libraries_print_is_no_answer(bundle: Path) -> None:
    assert measure(synthetic(bundle, "print"))[0]["status"] == "ok"


def test_too_few_runs_are_invalid(bundle: Path) -> None:
    (made,) = measure(synthetic(bundle, "busy"), rules=protocol("quick", min_runs=4, **CALM))
    assert made["validity"]["reasons"] == ["too short: 4 timed runs; at least 10 are needed"]
    assert made["protocol"]["preset"] is None


def test_the_real_backend_in_stages(bundle: Path, tmp_path: Path) -> None:
    frame = images(1, (90, 120))[0]
    cv2.imwrite(str(tmp_path / "frame.png"), frame[:, :, ::-1])
    plan = Plan(bundle, "onnxruntime", images=tmp_path / "frame.png", frame_hw=(45, 60), affinity=(0,))
    made = measure_local([plan], protocol("quick", min_runs=30, **CALM), None, say=lambda text: None)[0]
    record.validate(made)
    # So small a network may be too fast for the clock.
    assert all(reason.startswith("clock too coarse") for reason in made["validity"]["reasons"])
    stages = made["timing"]["stages"]
    assert all(stages[name]["count"] == 30 for name in stages)
    parts = [stages[name]["raw"] for name in ("host_to_device", "compute", "device_to_host")]
    assert np.allclose(np.sum(parts, axis=0), made["timing"]["network"]["raw"])
    whole = np.sum([stages[name]["raw"] for name in stages], axis=0)
    assert np.allclose(whole, made["timing"]["frame"]["raw"])
    assert made["backend"]["actual"] == "onnxruntime CPUExecutionProvider"
    assert made["backend"]["affinity"] == [0]
    assert made["input"]["kind"] == "images"
    assert made["input"]["frame_hw"] == [45, 60]
    assert made["parity"]["label_agreement"] == 1.0


def test_a_program_that_tells_its_own_times(bundle: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle, tmp_path / "bundle")
    write_network(copied / "model_arm.nb")
    about = {key: value for key, value in load_bundle(copied).about.items() if key != "format"}
    about["backends"] = {"lite-arm": ["model_arm.nb"]}
    about["files"] = describe_files(copied, ["model_arm.nb", GOLDEN])
    write_manifest(copied, load_bundle(copied).deploy, about)
    code = HEAD.replace("args = parser", 'parser.add_argument("--warmup", required=True)\nargs = parser')
    code += 'y = x.argmax(1).astype("int32")\ny.tofile(args.output)\n'
    code += 'print(json.dumps({"shape": list(y.shape), "dtype": "int32", "times_ms": [99.0, 7.5]}))\n'
    (tmp_path / "runner.py").write_text(code)
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'runner.py'))}"
    plan = Plan(copied, "lite-arm", options={"arm_runner": command})
    (made,) = measure_local([plan], protocol("quick", min_runs=10, **CALM), None, say=lambda text: None)
    record.validate(made)
    assert (made["status"], made["validity"]["reasons"]) == ("ok", [])
    assert made["timing"]["network"]["raw"] == made["timing"]["stages"]["compute"]["raw"] == [7.5] * 10
    assert made["timing"]["first"]["network"] is None  # each run has a warm-up of its own
    assert made["memory"] == dict.fromkeys(made["memory"])
    assert "its own times" in made["backend"]["actual"]


@pytest.mark.parametrize(
    ("change", "kind", "stage", "message"),
    [
        ({"backend": "paddle"}, "bad_input", "load", "holds no files for the backend 'paddle'"),
        ({"backend": "nothing"}, "bad_input", "load", "unknown backend 'nothing'"),
        ({"affinity": (999,)}, "bad_input", "start", "affinity is [999]; expected some of the cores"),
        ({"frame_hw": (0, 5)}, "bad_input", "images", "frame_hw is (0, 5)"),
        ({"images": Path("missing.png")}, "missing_file", "images", "missing.png"),
        ({"bundle": Path("missing")}, "missing_file", "start", "missing is no bundle"),
        ({"power_mode": "high"}, "bad_input", "start", "power_mode is 'high'; it is for devices"),
        ({"threads": 0}, "bad_input", "load", "threads is 0"),
        ({"options": {"kind": {1, 2}}}, "bad_input", "start", "options of the backend must be texts"),
    ],
)
def test_bad_plans_are_failures(bundle: Path, change: dict[str, Any], kind: str, stage: str, message: str) -> None:
    plan = Plan(**{"bundle": bundle, "backend": "onnxruntime", **change})
    (made,) = measure_local([plan], protocol("quick"), None, say=lambda text: None)
    assert (made["status"], made["error"]["kind"], made["error"]["stage"]) == ("failed", kind, stage)
    assert message in made["error"]["message"]


def test_a_damaged_image_is_a_failure(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    (made,) = measure_local(
        [Plan(bundle, "onnxruntime", images=tmp_path)], protocol("quick"), None, say=lambda text: None
    )
    record.validate(made)
    assert (made["error"]["kind"], made["error"]["stage"]) == ("bad_input", "images")
    assert "bad.png" in made["error"]["message"]


def test_labels_of_the_golden_inputs_are_kept(bundle: Path, tmp_path: Path) -> None:
    measure(synthetic(bundle, "crash"), synthetic(bundle, "busy"), outputs=tmp_path)
    assert not outputs_folder(tmp_path, 0).exists()
    folder = outputs_folder(tmp_path, 1)
    for number, image in enumerate(images()):
        assert np.array_equal(np.load(folder / f"image_{number}.npy"), image)
        labels = np.load(folder / f"labels_{number}.npy")
        assert labels.dtype == np.int32
        assert np.array_equal(labels, answer(image.transpose(2, 0, 1)[None].astype(np.float32))[0])


def test_a_measurement_is_not_lost_for_a_picture(bundle: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "0").write_text("in the way")
    rules = protocol("quick", **CALM)
    (made,) = measure_local([synthetic(bundle, "busy")], rules, None, said.append, tmp_path, module=MODULE)
    assert (made["status"], made["timing"]["network"]["count"]) == ("ok", 20)
    assert any("no labels for pictures" in text for text in said)


def test_without_golden_inputs_there_is_no_parity(bundle: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(bundle, tmp_path / "bare")
    loaded = load_bundle(bare)
    del loaded.about["files"][GOLDEN]
    write_manifest(bare, loaded.deploy, loaded.about)
    (made,) = measure(synthetic(bare, "busy"), outputs=tmp_path / "outputs")
    assert (made["status"], made["parity"], made["input"]["kind"]) == ("ok", None, "random")
    assert list(outputs_folder(tmp_path / "outputs", 0).iterdir()) == []


def test_rest_is_no_time_that_a_step_takes(bundle: Path) -> None:
    rules = protocol("quick", cooldown_s=1.0, warmup_s=0.0, **CALM)
    (made,) = measure(synthetic(bundle, "busy"), rules=rules, timeout_s=20.0)
    assert made["status"] == "ok"
    (made,) = measure(synthetic(bundle, "hang", after=0), rules=rules, timeout_s=1.0)
    assert made["error"]["message"].endswith("not done after 2 s; ended")


@pytest.mark.parametrize("fails", [False, True])
def test_times_per_operator_come_from_a_process_of_their_own(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    from paddle_mobileseg.benchmark import profiling

    operators = [{"name": "a", "type": "ArgMax", "ms": 0.5, "calls": 1}]

    def profile_bundle(folder: Path, backend: str, threads: int, runs: int, options: Any) -> Any:
        assert (folder, backend, threads) == (bundle, "onnxruntime", 1)
        if fails:
            raise ValueError("not offered")
        return operators

    monkeypatch.setattr(profiling, "profile_bundle", profile_bundle)
    plan = Plan(bundle, "onnxruntime", options={"kind": "busy"}, profile=True)
    said: list[str] = []
    made = measure_local([plan], protocol("quick", **CALM), None, said.append, module=MODULE)[0]
    assert made["status"] == "ok"
    assert made["operators"] == (None if fails else operators)
    assert any("no times per operator: not offered" in text for text in said) is fails


def test_no_plans() -> None:
    assert measure_local([], protocol("quick"), None, say=lambda text: None) == []


_CALLER = """
import sys
from pathlib import Path
from paddle_mobileseg.benchmark.local import measure_local
from paddle_mobileseg.benchmark.plan import Plan
from paddle_mobileseg.benchmark.protocol import protocol
bundle, pid_file, module = sys.argv[1:]
options = {"kind": "hang", "after": 6, "pid_file": pid_file}
made = measure_local([Plan(Path(bundle), "onnxruntime", options=options)], protocol("quick"), None, module=module)
print("RECORD", made)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(bundle: Path, tmp_path: Path, number: int) -> None:
    pid_file = tmp_path / "pid"
    words = [sys.executable, "-c", _CALLER, str(bundle), str(pid_file), MODULE]
    caller = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: pid_file.is_file() and pid_file.read_text())
    pid = int(pid_file.read_text())
    time.sleep(0.5)  # it hangs in a run
    caller.send_signal(number)
    out, err = caller.communicate(timeout=20)
    wait_until(lambda: not is_running(pid))
    assert "RECORD" not in out
    if number == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt")


def test_worker_module_is_there() -> None:
    asked = json.dumps({"do": "open", "plan": {}, "protocol": {}}) + "\n"
    words = [sys.executable, "-m", local.MODULE, str(os.getpid())]
    done = subprocess.run(words, input=asked, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=True)
    assert json.loads(done.stdout)["error"]["stage"] == "start"
