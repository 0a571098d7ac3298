"""JSON lines and VisualDL's records, read back."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest
from visualdl import LogReader, LogWriter
from visualdl.reader.graph_reader import GraphReader

from paddle_mobileseg import networks
from paddle_mobileseg.config import build
from paddle_mobileseg.data.palette import VOID_COLOUR
from paddle_mobileseg.engine.graph import network_graph
from paddle_mobileseg.engine.logs import JsonLines, WholeAppends, run_id
from paddle_mobileseg.engine.visualdl import GRAPH, OWNER, RECORDS, VisualDL, sample_picture

TRAIN = {
    "kind": "train",
    "loss": 0.5,
    "lr": 0.01,
    "losses": {"a/b": 0.25},
    "step_s": 2.0,
    "note": "text",
    "elapsed_s": 9.0,
}
VAL = {"kind": "val", "miou": 0.75, "accuracy": 0.5, "kappa": None, "iou": {"50 %/road": 0.25, "sky": None}}


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What VisualDL's own reader finds: (step, value) by tag."""
    reader = LogReader(file_path=str(folder / RECORDS))
    return {
        tag.replace("%", "/"): [(each.id, each.value) for each in reader.get_data("scalar", tag)]
        for tag in reader.get_tags().get("scalar", [])
    }


def pictures(folder: Path) -> dict[str, list[tuple[int, np.ndarray]]]:
    """(step, RGB array) by tag."""
    reader = LogReader(file_path=str(folder / RECORDS))
    found = {}
    for tag in reader.get_tags().get("image", []):
        coded = [(each.id, each.image.encoded_image_string) for each in reader.get_data("image", tag)]
        found[tag.replace("%", "/")] = [
            (step, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]) for step, data in coded
        ]
    return found


def test_json_lines_begin_with_the_opening_and_have_no_nan(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl", 0, {"kind": "start", "iter": 0})
    assert (tmp_path / "log.jsonl").read_bytes() == b""
    log.write({"kind": "train", "iter": 1, "loss": float("nan"), "losses": {"a": float("inf"), "b": 1.5}})
    log.write({"kind": "stop", "iter": 2})
    assert records(tmp_path / "log.jsonl") == [
        {"kind": "start", "iter": 0},
        {"kind": "train", "iter": 1, "loss": None, "losses": {"a": None, "b": 1.5}},
        {"kind": "stop", "iter": 2},
    ]
    log.close()


def test_a_training_that_fails_at_once_leaves_an_empty_log(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl", 0, {"kind": "start", "iter": 0})
    log.write({"kind": "stop", "iter": 0})
    log.close()
    assert (tmp_path / "log.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['{"kind": "start", "iter": 0, "run": "abc"}', '{"kind": "resume", "iter": 2, "run": "abc"}'], "abc"),
        (["half a li", '{"kind": "resume", "iter": 2, "run": "abc"}'], "abc"),
        (["null", "3", '{"kind": "start", "iter": 0, "run": 7}'], None),
    ],
)
def test_run_id(tmp_path: Path, lines: list[str], expected: str | None) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    assert (run_id(path, resumed=True) == expected) == (expected is not None)
    assert run_id(path, resumed=False) != expected
    assert len({run_id(path, resumed=False), run_id(path, resumed=False), run_id(tmp_path / "none", True)}) == 3


class FullDisk:
    """A file that takes up only some bytes more."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, data: bytes) -> int:
        if self._room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken, self._room = data[: self._room], max(0, self._room - len(data))
        return self._file.write(taken)


@pytest.mark.parametrize("room", [0, 3])
def test_a_full_disk_is_an_error_and_leaves_whole_pieces(tmp_path: Path, room: int) -> None:
    file = WholeAppends(tmp_path / "file")
    file.append(b"first\n")
    whole, file._file = file._file, FullDisk(file._file, room)  # type: ignore[assignment]
    with pytest.raises(OSError, match=r"cannot write to .*file: No space left on device; make room.*--resume auto"):
        file.append(b"second\n")
    assert (tmp_path / "file").read_bytes() == b"first\n"
    file._file = whole
    file.append(b"third\n")
    assert (tmp_path / "file").read_bytes() == b"first\nthird\n"


def test_visualdl_scalars_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "visualdl"
    log = VisualDL(folder, "run", 0)
    assert not folder.exists()
    log.write({"kind": "checkpoint", "iter": 1, "seconds": 1.0})
    assert not folder.exists()
    log.write({**TRAIN, "iter": 1})
    log.write({**TRAIN, "iter": 2, "loss": 0.125})
    log.write({**VAL, "iter": 2})
    log.close()
    assert scalars(folder) == {
        "Train/loss": [(1, 0.5), (2, 0.125)],
        "Train/lr": [(1, pytest.approx(0.01)), (2, pytest.approx(0.01))],
        "Train/losses/a_b": [(1, 0.25), (2, 0.25)],
        "Train/batch_cost": [(1, 2.0), (2, 2.0)],
        "Evaluate/mIoU": [(2, 0.75)],
        "Evaluate/Acc": [(2, 0.5)],
        "Evaluate/IoU/50 __road": [(2, 0.25)],
    }
    assert json.loads((folder / OWNER).read_text()) == {"run": "run"}
    assert LogReader(logdir=str(folder)).logs(update=True) == {str(folder): RECORDS}


def test_visualdl_resumed_has_every_step_once(tmp_path: Path) -> None:
    log = VisualDL(tmp_path, "run", 0)
    for iteration in (1, 2, 3, 4):
        log.write({**TRAIN, "iter": iteration})
        log.image("Sample/0", np.full((2, 3, 3), iteration * 10, np.uint8), iteration)
    log.close()
    with open(tmp_path / RECORDS, "r+b") as file:
        file.truncate((tmp_path / RECORDS).stat().st_size - 5)  # a kill within the last picture
    size = (tmp_path / RECORDS).stat().st_size

    log = VisualDL(tmp_path, "run", 2)
    assert (tmp_path / RECORDS).stat().st_size == size  # nothing is dropped before there is something new
    log.write({**TRAIN, "iter": 3, "loss": 0.75})
    log.close()
    assert scalars(tmp_path)["Train/loss"] == [(1, 0.5), (2, 0.5), (3, 0.75)]
    found = pictures(tmp_path)["Sample/0"]
    assert [(step, int(image[0, 0, 0])) for step, image in found] == [(1, 10), (2, 20)]


@pytest.mark.parametrize("rubbish", [b"\x05\0\0", b"\x05\0\0\0\0\0\0\0abcde", b"\xff" * 30, b"\0" * 8])
def test_visualdl_rubbish_behind_the_records_is_dropped(tmp_path: Path, rubbish: bytes) -> None:
    log = VisualDL(tmp_path, "run", 0)
    log.write({**TRAIN, "iter": 1})
    log.close()
    with open(tmp_path / RECORDS, "ab") as file:
        file.write(rubbish)
    log = VisualDL(tmp_path, "run", 1)
    log.write({**TRAIN, "iter": 2})
    log.close()
    assert [step for step, _ in scalars(tmp_path)["Train/lr"]] == [1, 2]


def test_visualdl_records_of_another_run_are_refused_and_left_alone(tmp_path: Path) -> None:
    ours, strange = tmp_path / "ours", tmp_path / "strange"
    log = VisualDL(ours, "first", 0)
    log.write({**TRAIN, "iter": 1})
    log.close()
    with LogWriter(str(strange)) as writer:
        writer.add_scalar("Train/loss", 1.0, 1)
    before = (ours / RECORDS).read_bytes()
    for folder, owner in ((ours, "first"), (strange, "unknown")):
        for iteration in (0, 1):
            message = (
                rf"{folder} has VisualDL records of another run \(vdl.*its id is {owner}, this one's second\).*move"
            )
            with pytest.raises(FileExistsError, match=message):
                VisualDL(folder, "second", iteration)
    assert (ours / RECORDS).read_bytes() == before
    VisualDL(ours, "first", 0)


def test_visualdl_wants_a_folder_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write to .*file: File exists"):
        VisualDL(tmp_path / "file", "run", 0)


def test_visualdl_gets_finite_numbers_only(tmp_path: Path) -> None:
    log = VisualDL(tmp_path, "run", 0)
    log.write({"kind": "train", "iter": 1, "loss": float("nan"), "lr": float("inf"), "skipped_steps": 3})
    log.close()
    assert scalars(tmp_path) == {"Train/skipped_steps": [(1, 3.0)]}


@pytest.mark.parametrize("code", ["sys.modules['visualdl'] = None", "sys.modules['visualdl.component'] = 3"])
def test_a_broken_visualdl_is_named(tmp_path: Path, code: str) -> None:
    script = (
        f"import sys; {code}\nfrom pathlib import Path\nfrom paddle_mobileseg.engine.visualdl import VisualDL\n"
        "try:\n    VisualDL(Path(sys.argv[1]), 'run', 0)\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "new"], capture_output=True, text=True, check=True)
    assert "VisualDL cannot be used (" in done.stdout
    assert "leave out --use_vdl" in done.stdout


KILLED = """
import sys, numpy as np
from pathlib import Path
from paddle_mobileseg.engine.logs import JsonLines
from paddle_mobileseg.engine.visualdl import VisualDL
folder = Path(sys.argv[1])
lines, log = JsonLines(folder / "log.jsonl", 0), VisualDL(folder / "visualdl", "run", 0)
for i in range(1, 10**9):
    for each in (lines, log):
        each.write({"kind": "train", "iter": i, "loss": float(i)})
    log.image("Sample/0", np.random.randint(0, 255, (16, 16, 3), np.uint8), i)
"""


def test_logs_can_be_read_after_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stderr=subprocess.PIPE) as process:
        while not (tmp_path / "log.jsonl").is_file() or (tmp_path / "log.jsonl").stat().st_size < 4000:
            assert process.poll() is None, process.stderr and process.stderr.read()[-2000:]
            time.sleep(0.02)
        process.kill()
    lines = records(tmp_path / "log.jsonl")
    steps = scalars(tmp_path / "visualdl")["Train/loss"]
    assert [record["iter"] for record in lines] == list(range(1, len(lines) + 1))
    assert steps == [(i, float(i)) for i in range(1, len(steps) + 1)]
    assert len(lines) - len(steps) in (0, 1)
    assert len(steps) - len(pictures(tmp_path / "visualdl")["Sample/0"]) in (0, 1)


def test_sample_picture(tmp_path: Path) -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    palette = np.array([[100, 0, 0], [0, 200, 0]], np.uint8)
    label = np.array([[0, 0, 255, 1], [1, 1, 1, 1]])
    found = np.array([[0, 1, 0, 1], [1, 1, 1, 0]])
    picture = sample_picture({"file": str(tmp_path / "image.png"), "label": label}, found, palette, 255)
    np.testing.assert_array_equal(picture[:, :4], palette[found] // 2)
    np.testing.assert_array_equal(
        picture[:, 4:8], np.vstack([palette, [VOID_COLOUR]])[np.where(label == 255, 2, label)]
    )
    np.testing.assert_array_equal(picture[:, 8:], palette[found])


def test_sample_pictures_of_large_images_are_small(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "image.png"), np.zeros((300, 1200, 3), np.uint8))
    labels = np.repeat(np.arange(2), 600)[None].repeat(300, 0)
    palette = np.array([[100, 0, 0], [0, 200, 0]], np.uint8)
    picture = sample_picture({"file": str(tmp_path / "image.png"), "label": labels}, labels, palette, 255)
    assert picture.shape == (128, 3 * 512, 3)
    assert (picture[:, 2 * 512 : 2 * 512 + 256] == palette[0]).all()
    assert (picture[:, 2 * 512 + 256 :] == palette[1]).all()


FAMILIES = ["pp_mobileseg_tiny", "mobileseg_mobilenetv3", "pp_liteseg_stdc1", "topformer_tiny"]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_graph_of_every_family_is_taken_by_visualdl(name: str, tmp_path: Path) -> None:
    spec = networks.get(name)
    with paddle.utils.unique_name.guard():
        network = build.component({**spec.model, "num_classes": spec.num_classes}, "model")
    convolved: list[str] = []
    for path, layer in network.named_sublayers():
        if isinstance(layer, paddle.nn.Conv2D):
            layer.register_forward_post_hook(lambda *_, path=path: convolved.append(path))
    network.eval()
    network(paddle.zeros([1, 3, 64, 64]))
    expected = sorted(convolved)

    log = VisualDL(tmp_path, "run", 0)
    log.graph(network_graph(network, [1, 3, 64, 64]))
    log.write({**TRAIN, "iter": 1})
    log.close()

    reader = GraphReader(str(tmp_path))
    (run,) = reader.runs()
    assert reader.walks[run] == GRAPH
    assert [layer["name"] for layer in reader.get_graph(run)["nodes"]]
    assert len(reader.get_all_nodes(run)["inputs"]) == len(reader.get_all_nodes(run)["outputs"]) == 1
    content = json.loads((tmp_path / GRAPH).read_text())
    nodes = {node["name"]: node for node in content["nodes"]}
    top = set(nodes["/"]["children_node"])
    assert f"/{type(network).__name__}[model]" in top
    leaves = [node for node in nodes.values() if node["is_leaf_node"]]
    drawn = sorted(path_of(node["name"]) for node in leaves if node["type"] in ("conv2d", "depthwise_conv2d"))
    assert drawn == expected
    (image,) = [node for node in leaves if node["type"] == "feed"]
    (result,) = [node for node in leaves if node["type"] == "fetch"]
    shapes = {each["name"]: each["shape"] for each in content["vars"]}
    assert [shapes[name] for name in image["output_vars"]["out"]] == [[1, 3, 64, 64]]
    assert [shapes[name] for name in result["input_vars"]["X"]] == [[1, spec.num_classes, 64, 64]]
    assert reaches(nodes, image["name"], result["name"])
    stored = {each["name"] for each in content["vars"] if each["persistable"]}
    weights = network.state_dict()
    assert stored <= set(weights)
    assert {f"{path}.weight" for path in expected} <= stored
    assert all(shapes[each] == weights[each].shape for each in stored)


def path_of(operator: str) -> str:
    """``backbone.conv`` of ``/Net[model]/Backbone[backbone]/Conv2D[conv]/conv2d_0``."""
    return ".".join(part.partition("[")[2].rstrip("]") for part in operator.split("/")[2:-1])


def reaches(nodes: dict[str, Any], start: str, end: str) -> bool:
    seen, todo = {start}, [start]
    while todo:
        for following in nodes[todo.pop()]["output_nodes"]:
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return end in seen
