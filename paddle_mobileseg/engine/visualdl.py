"""VisualDL's log of a training: scalars, sample predictions and the network's graph.

VisualDL shows one file of records and one graph of a folder, so there is one of each, however often a run is resumed.
They are written here and not by VisualDL's ``LogWriter``, which writes in a thread of its own: that drops records in
silence when the disk is full, and may then wait for ever. Their form is VisualDL 2's: of every record its length (8
bytes, little endian) and the record, a protocol buffer.
"""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from paddle_mobileseg.data.palette import colorize, overlay
from paddle_mobileseg.data.reading import read_image
from paddle_mobileseg.engine.logs import LogSink, WholeAppends
from paddle_mobileseg.files import make_output_folder, write_json, write_text

FOLDER = "visualdl"
RECORDS, GRAPH, OWNER = "vdlrecords.log", "vdlgraph.log", "run.json"

_LONGEST_SIDE = 512
_LENGTH = struct.Struct("<Q")
_GROUPS = {"train": "Train", "val": "Evaluate"}
# As PaddleSeg calls them.
_NAMES = {"miou": "mIoU", "accuracy": "Acc", "step_s": "batch_cost", "data_s": "reader_cost", "iou": "IoU"}
_NO_SCALARS = ("iter", "elapsed_s")


class VisualDL(LogSink):
    """Scalars, pictures and a graph for ``visualdl --logdir``.

    Nothing is written before the first record. Steps beyond ``first_iteration``, and a record that a kill cut short,
    are then dropped from what an earlier part of the run wrote.

    Args:
        folder: for VisualDL alone.
        run: the run's id, kept in ``run.json`` there.
        first_iteration: that training goes on from.

    Raises:
        ImportError: VisualDL cannot be used; the message says what to do.
        FileExistsError: the folder has records of another run.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, run: str, first_iteration: int) -> None:
        try:
            from visualdl.component import base_component
        except Exception as error:  # a broken installation fails in many ways
            raise ImportError(
                f"VisualDL cannot be used ({type(error).__name__}: {error}): pip install 'visualdl>=2.5.3', or leave "
                "out --use_vdl"
            ) from error
        self._forms = base_component
        self.folder = folder
        self._run = run
        self._first_iteration = first_iteration
        self._graph: dict[str, Any] | None = None
        self._file: WholeAppends | None = None
        if os.path.lexists(folder):
            make_output_folder(folder)
        _check_owner(folder, run)

    @property
    def has_graph(self) -> bool:
        """Whether an earlier part of the run has written the network's graph."""
        return (self.folder / GRAPH).is_file()

    def graph(self, graph: dict[str, Any]) -> None:
        """Take in what :func:`paddle_mobileseg.engine.graph.network_graph` gives."""
        self._graph = graph

    def write(self, record: dict[str, Any]) -> None:
        group = _GROUPS.get(record["kind"])
        if group is None:
            return
        for name, value in record.items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, number in parts.items():
                if isinstance(number, int | float) and np.isfinite(number) and name not in _NO_SCALARS:
                    tag = "/".join(filter(None, (group, _NAMES.get(name, name), _plain(part))))
                    self._append(self._forms.scalar(tag, number, record["iter"], _now_ms()))

    def image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        self._append(self._forms.image(_plain(tag, "/"), image.copy(), iteration, _now_ms()))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _append(self, record: Any) -> None:
        if self._file is None:
            self._file = self._open()
        self._file.append(_framed(record))

    def _open(self) -> WholeAppends:
        self.folder.mkdir(exist_ok=True)
        write_json(self.folder / OWNER, {"run": self._run})
        if self._graph is not None:
            write_text(self.folder / GRAPH, json.dumps(self._graph))
        path = self.folder / RECORDS
        if path.is_file():
            os.truncate(path, _end_of(path, self._first_iteration))
        file = WholeAppends(path)
        if path.stat().st_size == 0:
            file.append(_framed(self._forms.meta_data(walltime=_now_ms())))
        return file


def sample_picture(sample: dict[str, Any], labels: np.ndarray, palette: np.ndarray, ignore_index: int) -> np.ndarray:
    """The image with the prediction laid over it, the label and the prediction, side by side.

    Args:
        sample: ``file`` (the image) and ``label``, integers ``[H, W]``.
        labels: the prediction, integers ``[H, W]``.
        palette: uint8 ``[C, 3]``, RGB.
        ignore_index: of the label.

    Returns:
        uint8 ``[h, 3 * w, 3]``, RGB; the longer side of each part is at most 512 pixels.
    """
    height, width = labels.shape
    factor = min(1.0, _LONGEST_SIDE / max(height, width))
    size_wh = max(round(width * factor), 1), max(round(height * factor), 1)
    image = cv2.resize(read_image(sample["file"]), size_wh, interpolation=cv2.INTER_AREA)
    truth, found = (
        cv2.resize(np.asarray(each).astype(np.int32), size_wh, interpolation=cv2.INTER_NEAREST)
        for each in (sample["label"], labels)
    )
    return np.hstack([overlay(image, found, palette), colorize(truth, palette, ignore_index), colorize(found, palette)])


def _check_owner(folder: Path, run: str) -> None:
    """Refuse a folder with records that are not this run's."""
    found = sorted(path.name for path in folder.rglob("*") if "vdlrecords" in path.name or "vdlgraph" in path.name)
    if not found:
        return
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))["run"]
    except (OSError, ValueError, KeyError, TypeError):
        owner = None
    if owner != run:
        raise FileExistsError(
            f"{folder} has VisualDL records of another run ({', '.join(found[:3])}; its id is {owner or 'unknown'}, "
            f"this one's {run}), which would be mixed with this one's; move that folder away, choose another "
            "--save_dir, or leave out --use_vdl"
        )


def _end_of(path: Path, iteration: int) -> int:
    """Where the records up to an iteration end, in bytes; they are in the order of their iterations."""
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record

    end = 0
    with open(path, "rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            if length > path.stat().st_size:
                break
            content = file.read(length)
            try:
                values = Record.FromString(content).values
            except DecodeError:
                break
            if len(content) < length or not values or values[0].id > iteration:
                break
            end = file.tell()
    return end


def _framed(record: Any) -> bytes:
    content = record.SerializeToString()
    return _LENGTH.pack(len(content)) + content


def _plain(name: str, allowed: str = "") -> str:
    """A name that can be part of a tag: VisualDL refuses ``%``, and ``/`` would begin another part."""
    return "".join("_" if letter == "%" or (letter == "/" and not allowed) else letter for letter in name)


def _now_ms() -> int:
    return round(time.time() * 1000)
