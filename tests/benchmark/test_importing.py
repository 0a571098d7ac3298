from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_mobileseg.benchmark import importers, record
from tests.benchmark.transcript_files import ALL, read, tool_of, transcript

# --- what every text gives ---


@pytest.mark.parametrize("name", ALL)
def test_every_record_says_where_it_is_from(name: str):
    text = transcript(name)
    for made in importers.read(tool_of(name), text):
        record.validate(made)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        assert made["origin"] == {
            "kind": "imported",
            "importer": tool_of(name),
            "source": None,
            "source_sha256": sha256,
        }
        assert made["id"] is None and made["created"] is None
        assert made["device"]["kind"] == "other" and made["tool"]["name"] == "paddle_mobileseg"
        for summary in (made["timing"] or {"stages": {}})["stages"].values():
            assert summary is None or (summary["raw"] is None) == (tool_of(name) != "mobileseg-run")


DISGUISES = {
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "old Mac": lambda text: text.replace("\n", "\r"),
    "colours": lambda text: "".join(f"\x1b[1;32m{line}\x1b[0m\n" for line in text.splitlines()),
    "byte order mark": lambda text: "\ufeff" + text,
    "time stamps": lambda text: "".join(f"2026-11-21T10:00:00.123Z {line}\n" for line in text.splitlines()),
    "logcat": lambda text: "".join(f"I/runner( 812): {line}\n" for line in text.splitlines()),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("name", ALL)
def test_how_text_was_kept_changes_nothing(name: str, disguise: str):
    plain = read(name)
    same = importers.read(tool_of(name), DISGUISES[disguise](transcript(name)))
    for each in (*plain, *same):
        each["key"] = each["origin"] = None
    assert same == plain


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.85, 0.95])
def test_text_that_was_cut_off_gives_no_other_numbers(name: str, share: float):
    """What is left is a failure, or says what the whole text says; never another number."""
    whole, text = read(name), transcript(name)
    cut = text[: int(len(text) * share)]
    try:
        made = importers.read(tool_of(name), cut[: cut.rfind("\n") + 1])
    except ValueError:
        return
    numbers = [each["timing"]["network"] or each["timing"]["stages"]["compute"] for each in whole if each["timing"]]
    for each in made:
        if each["status"] == "ok":
            summary = each["timing"]["network"] or each["timing"]["stages"]["compute"]
            said = {k: v for k, v in summary.items() if v is not None}
            assert any(said.items() <= other.items() for other in numbers)


def test_trtexec_without_its_end_is_invalid():
    text = transcript("trtexec-8.6")
    (made,) = importers.read("trtexec", text[: text.index("&&&& PASSED")])
    assert made["status"] == "invalid"
    assert made["validity"]["reasons"] == ["the text has no line '&&&& PASSED': it was cut off, or trtexec was ended"]


def test_litert_cut_inside_its_last_number():
    text = transcript("litert-cpu")
    (made,) = importers.read("litert", text[: text.index("Inference (avg): 105784") + len("Inference (avg): 105")])
    assert made["status"] == "failed" and "the text was cut off or put together" in made["error"]["message"]


# --- text that is wrong ---


@pytest.mark.parametrize("name", importers.NAMES)
@pytest.mark.parametrize("other", [each for each in ALL if not each.endswith("failed")])
def test_text_of_another_tool(name: str, other: str):
    if tool_of(other) == name:
        return
    with pytest.raises(ValueError, match=rf"expected the text of .*, but the first line is .*: use '{tool_of(other)}'"):
        importers.read(name, transcript(other))


@pytest.mark.parametrize("name", importers.NAMES)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "but it is empty; give all that the tool printed"),
        (" \n\n", "but it is empty"),
        ("hello\nworld", "but the first line is 'hello'; give all that the tool printed"),
        ("x" * 500, f"but the first line is '{'x' * 100}'"),
    ],
)
def test_text_of_no_tool(name: str, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        importers.read(name, text)


def test_unknown_importer():
    with pytest.raises(KeyError, match="unknown importer 'ncn'; did you mean 'ncnn'"):
        importers.read("ncn", "")


def test_units_that_a_text_states_are_converted():
    text = transcript("trtexec-8.6").replace("min = 5.01874 ms", "min = 5018.74 us")
    assert importers.read("trtexec", text)[0]["timing"]["network"]["min"] == pytest.approx(5.01874)
    text = transcript("paddle-lite-android").replace("Time(unit: ms)", "Time(unit: us)")
    compute = importers.read("paddle-lite", text)[0]["timing"]["stages"]["compute"]
    assert compute["mean"] == pytest.approx(0.062723)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "trtexec-8.6",
            "min = 5.01874 ms",
            "min = 5.01874 fortnights",
            "times have the unit 'fortnights', expected one of",
        ),
        ("trtexec-8.6", "min = 5.01874 ms", "min = 5.01874", "times have the unit ''"),
        (
            "trtexec-8.6",
            "min = 5.01874 ms",
            "min = 5018.74 ms",
            "cannot be right: timing.network: min is 5018.74 ms and",
        ),
        ("paddle-lite-android", "unit: ms", "unit: ticks", "times have the unit 'ticks'"),
        ("paddle-lite-android", "max   = 66.895", "max   = 0.066895", "cannot be right: timing.stages.compute: min is"),
        ("litert-cpu", "timings in us", "timings in cycles", "times have the unit 'cycles'"),
        ("ncnn-cpu", "max =    3.16", "max = 0.00316", "cannot be right: timing.network: min is 3.05 ms"),
        (
            "onnxruntime-1.16",
            "Max Latency: 0.00190312 s",
            "Max Latency: 0.00190312 ms",
            "cannot be right: timing.network",
        ),
    ],
)
def test_text_that_contradicts_itself(name: str, old: str, new: str, message: str):
    text = transcript(name)
    assert old in text
    with pytest.raises(ValueError, match=message):
        importers.read(tool_of(name), text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("trtexec-8.6", "mean = 5.06068 ms", "mean = nan ms"),
        ("trtexec-8.6", "mean = 5.06068 ms", "mean = inf ms"),
        ("paddle-lite-android", "avg   = 62.723", "avg   = -nan"),
        ("paddle-lite-android", "avg   = 62.723", "avg   = -1.5"),
        ("litert-cpu", "Inference (avg): 105784", "Inference (avg): nan"),
        ("onnxruntime-1.22", "7.270205", "inf"),
    ],
)
def test_times_that_are_no_numbers_are_a_failure(name: str, old: str, new: str):
    text = transcript(name)
    assert old in text
    (made,) = importers.read(tool_of(name), text.replace(old, new))
    assert made["status"] == "failed" and made["error"]["message"].startswith("a time is ")


@pytest.mark.parametrize("size", ["nan", "inf", "-1", "0"])
def test_sizes_that_are_no_numbers_are_not_known(size: str):
    text = transcript("paddle-lite-two-runs").replace("peak  = 96.250", "")
    assert importers.read("paddle-lite", text)[0]["memory"]["peak_resident_bytes"] is None
    text = transcript("paddle-lite-two-runs").replace("96.250", size)
    assert importers.read("paddle-lite", text)[0]["memory"]["peak_resident_bytes"] is None
    text = (
        transcript("litert-cpu")
        .replace("(MB): 5.4761", f"(MB): {size}")
        .replace("monitoring: 32.5", f"monitoring: {size}")
    )
    (made,) = importers.read("litert", text)
    assert made["model"]["files"][0]["bytes"] is None and made["memory"]["peak_resident_bytes"] is None


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(ALL), start=st.floats(0, 1), stop=st.floats(0, 1), put=st.text(max_size=8))
def test_any_damage_gives_valid_records_or_an_error(name: str, start: float, stop: float, put: str):
    text = transcript(name)
    low, high = sorted((int(start * len(text)), int(stop * len(text))))
    try:
        made = importers.read(tool_of(name), text[:low] + put + text[high:])
    except ValueError as error:
        assert str(error)
    else:
        for each in made:
            record.validate(each)


# --- files ---


def put(folder: Path, content: str | bytes) -> Path:
    path = folder / "said.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_import_writes_records(tmp_path: Path):
    source = put(tmp_path, transcript("ncnn-cpu"))
    paths = importers.import_file("ncnn", source, device_name="Board", output=tmp_path / "records")
    assert len(paths) == 4 and {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o444}
    made = record.read_folder(tmp_path / "records")
    assert [each["id"] for each in sorted(made, key=lambda each: each["id"])] == sorted(path.stem for path in paths)
    assert {each["origin"]["source"] for each in made} == {"said.txt"}
    assert {each["origin"]["source_sha256"] for each in made} == {hashlib.sha256(source.read_bytes()).hexdigest()}
    assert {each["device"]["name"] for each in made} == {"Board"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_windows(tmp_path: Path, encoding: str):
    source = put(tmp_path, transcript("onnxruntime-1.16").encode(encoding))
    (path,) = importers.import_file("onnxruntime", source, network="topformer_tiny", output=tmp_path / "records")
    made = record.read(path)
    assert made["model"]["network"] == "topformer_tiny" and made["timing"]["network"]["mean"] == 1.85739
    assert made["origin"]["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_one_network_cannot_be_given_for_several(tmp_path: Path):
    with pytest.raises(ValueError, match="is of 3 models, and one network or bundle was given for them"):
        importers.import_file("ncnn", put(tmp_path, transcript("ncnn-cpu")), network="x", output=tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_import_of_no_file_and_of_wrong_text_name_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*none.txt"):
        importers.import_file("ncnn", tmp_path / "none.txt", output=tmp_path)
    with pytest.raises(ValueError, match=r"said.txt: expected the text of ncnn's benchncnn"):
        importers.import_file("ncnn", put(tmp_path, transcript("trtexec-8.6")), output=tmp_path / "records")
    assert not (tmp_path / "records").exists()


def manifest(folder: Path, shape: list[int]) -> Path:
    """A bundle's manifest; imports read no other file of it."""
    from paddle_mobileseg.runtime.bundle import write_manifest

    files = {name: {"sha256": "a" * 64, "bytes": 7} for name in ("model.onnx", "model_arm.nb")}
    about = {
        "network": "PPMobileSeg",
        "architecture": "pp_mobileseg_tiny",
        "num_classes": 2,
        "class_names": ["a", "b"],
        "palette": [[0, 0, 0], [1, 1, 1]],
        "input": {"dtype": "float32"},
        "backends": {"onnxruntime": ["model.onnx"], "lite-arm": ["model_arm.nb"]},
        "targets": {"onnx": {"precision": "fp32"}, "lite-arm": {"precision": "int8-weights"}},
        "files": files,
    }
    folder.mkdir()
    write_manifest(folder, {"transforms": [], "input_shape": shape, "output_op": "argmax"}, about)
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new", "files", "precision"),
    [
        ("paddle-lite-android", "pp_mobileseg_tiny.nb", "model_arm.nb", ["model_arm.nb"], "int8-weights"),
        ("trtexec-8.6", "", "", ["model.onnx"], "fp16"),
        ("trtexec-10.9-engine", "", "", ["seg.engine"], None),
        ("onnxruntime-1.16", "", "", ["model.onnx"], "fp32"),
        ("mobileseg-run-board", "1, 3, 256, 256", "1, 3, 512, 512", ["model_arm.nb"], "int8-weights"),
    ],
)
def test_a_bundle_tells_what_was_measured(
    tmp_path: Path, name: str, old: str, new: str, files: list[str], precision: str | None
):
    folder = manifest(tmp_path / "net", [1, 3, 512, 512])
    source = put(tmp_path, transcript(name).replace(old, new) if old else transcript(name))
    path, *_ = importers.import_file(tool_of(name), source, bundle=folder, output=tmp_path / "records")
    model = record.read(path)["model"]
    assert (model["network"], model["bundle"], model["num_classes"]) == ("pp_mobileseg_tiny", "net", 2)
    assert model["input_shape"] == [1, 3, 512, 512] and [each["name"] for each in model["files"]] == files
    assert model["precision"] == precision
    assert (model["files"][0]["bytes"] == 7) == (name != "trtexec-10.9-engine")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "paddle-lite-android",
            [1, 3, 512, 512],
            "the text is of pp_mobileseg_tiny.nb, the bundle .* has model_arm.nb",
        ),
        ("trtexec-8.6", [1, 3, 256, 256], r"the text is of the input \[1, 3, 512, 512\], the bundle takes \[1, 3, 256"),
        ("litert-cpu", [1, 3, 512, 512], "a bundle holds no files for LiteRT's benchmark_model"),
        ("ncnn-cpu", [1, 3, 512, 512], "is of 3 models"),
    ],
)
def test_a_bundle_that_is_not_of_the_text(tmp_path: Path, name: str, shape: list[int], message: str):
    folder = manifest(tmp_path / "net", shape)
    with pytest.raises(ValueError, match=message):
        importers.import_file(
            tool_of(name), put(tmp_path, transcript(name)), bundle=folder, output=tmp_path / "records"
        )
    assert not (tmp_path / "records").exists()
