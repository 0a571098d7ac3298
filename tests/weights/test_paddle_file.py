"""Paddle's own files: every form that paddle.save wrote is read, and nothing in a file is run."""

from __future__ import annotations

import collections
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_mobileseg.weights.paddle_file import read_paddle

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


class Call:
    """Pickled as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def written(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("form", ["tensors", "arrays", "nested tensors"])
def test_what_paddle_saves(tmp_path: Path, protocol: int, form: str) -> None:
    state = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4)).state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    path = str(tmp_path / "model.pdparams")
    # Beside a list Paddle takes a dict for no state_dict and pickles its tensors as (name, array).
    paddle.save({"tensors": state, "arrays": arrays, "nested tensors": [dict(state)]}[form], path, protocol=protocol)
    if form == "nested tensors":
        raw = Path(path).read_bytes()
        assert b"tuple" in raw
        whole = pickle.loads(raw)
        written(Path(path), {name: Call(tuple, pair) for name, pair in whole[0].items()}, protocol)

    read = read_paddle(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(ARRAY),
        ARRAY.astype(">f4"),
        ARRAY.astype(np.float16),
        ARRAY.astype(np.int64),
        ARRAY > 2,
        np.zeros((0, 3), np.float32),
        np.array(2.5),
        np.float32(2.5),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_every_kind_of_array(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    read = read_paddle(written(tmp_path / "a.pdparams", collections.OrderedDict(a=array), protocol))["a"]

    np.testing.assert_array_equal(read, array)
    assert read.shape == array.shape
    assert read.dtype.isnative


@pytest.mark.parametrize("protocol", [2, 4])
def test_files_of_numpy_1_and_of_static_programs(tmp_path: Path, protocol: int) -> None:
    content = {"a": Call(eval, "data", {"data": ARRAY}), "StructuredToParameterName@@": {"a": "conv2d_0.w_0"}}
    raw = pickle.dumps(content, protocol)
    old, new = (
        (b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
        if protocol == 2
        else (b"\x8c\x15numpy.core.multiarray", b"\x8c\x16numpy._core.multiarray")
    )
    assert new in raw or old in raw
    raw = raw.replace(new, old)
    if protocol == 4:  # the frame's length
        raw = raw[:3] + struct.pack("<Q", len(raw) - 11) + raw[11:]

    read = read_paddle(written(tmp_path / "a.pdparams", raw))
    assert list(read) == ["a"]
    np.testing.assert_array_equal(read["a"], ARRAY)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("function", "arguments", "word"),
    [
        (os.system, ("touch {}",), "system"),
        (eval, ("open({!r}, 'w')", {}), "eval"),
        (exec, ("open({!r}, 'w')",), "exec"),
        (getattr, (np, "load"), "getattr|module"),
    ],
)
def test_nothing_is_run(tmp_path: Path, function: Any, arguments: Any, word: str, protocol: int) -> None:
    ran = tmp_path / "ran"
    filled = [each.format(str(ran)) if isinstance(each, str) else each for each in arguments]
    path = tmp_path / "model.pdparams"
    if function is getattr:
        filled[0] = "numpy"
    written(path, {"a": Call(function, *filled)}, protocol)

    with pytest.raises(ValueError, match=rf"model\.pdparams is not a weights file.*({word})"):
        read_paddle(path)
    assert not ran.exists()


def with_state(*state: Any) -> bytes:
    """A pickle of an array whose state (version, shape, dtype, order, bytes) is ``state``."""
    return pickle.dumps({"a": Rebuilt(state)}, 4)


class Rebuilt:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return (np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state)


F4 = np.dtype("f4")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights",
        pickle.dumps({"a": ARRAY})[:-40],
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62),  # more bytes than there is memory
        b"\x80\x04" + b"(" * 5 + b"l.",
        b"\x80\x04N}b.",  # state for an object that takes none
        b"\x80\x04K\x01K\x02R.",  # call of a number
        with_state(1, (2,), F4, False, b"1234"),
        with_state(1, (-1,), F4, False, b""),
        with_state(1, (2**62,), F4, False, b"1234"),
        with_state(1, (1,), None, False, b"1234"),
        with_state(1, (1,)),
        with_state(1, (1,), np.dtype(object), False, [1]),
        with_state(1, (1,), np.dtype([("x", "f4")]), False, b"1234"),
        pickle.dumps({"a": np.array("text")}),
        pickle.dumps({"a": ARRAY.astype(np.uint16)}),
        pickle.dumps({"a": 3}),
        pickle.dumps({"a": {"b": ARRAY}}),
        pickle.dumps({3: ARRAY}),
        pickle.dumps({}),
        pickle.dumps([ARRAY]),
        pickle.dumps(ARRAY),
        pickle.dumps({"a@@.0": ARRAY, "UnpackBigParamInfor@@": {"a": {"OriginShape": (2, 3), "slices": ["a@@.0"]}}}),
    ],
)
def test_what_is_no_weights_file_is_a_value_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^\S+model\.pdparams "):
        read_paddle(written(tmp_path / "model.pdparams", content))


def test_bfloat16_is_not_taken_for_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    paddle.save({"a": paddle.ones([2], dtype="bfloat16")}, str(path))

    with pytest.raises(ValueError, match="bfloat16"):
        read_paddle(path)
