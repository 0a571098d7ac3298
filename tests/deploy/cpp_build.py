"""Building the C++ programs with CMake, once for each test session; and bundles to feed them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from paddle_mobileseg.runtime.bundle import describe_files, write_manifest

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = 4
PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 77, 177]]
NORMALIZE = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

# In Debian; the whole list is in docs/learn/cpp.md.
HEADERS = {"nlohmann/json.hpp": "nlohmann-json3-dev", "stb/stb_image.h": "libstb-dev"}


def need(*programs: str) -> None:
    """Skip where a program or a header of the build is missing, and say which package has it."""
    packages = {"qemu-aarch64-static": "qemu-user-static", "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu"}
    for program in ("cmake", "make", "g++", *programs):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: {packages.get(program, program)})")
    for header, package in HEADERS.items():
        if not any((Path(root) / header).is_file() for root in ("/usr/include", "/usr/local/include")):
            pytest.skip(f"{header} is not installed (Debian: {package})")


def call(*command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=600, **options
    )


def build(source: str, folder: Path, *definitions: str) -> Path:
    """Configure and build a CMake project of the repository, without warnings."""
    # `python3` in the project is this interpreter, whose onnxruntime the tests compare with.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = {"env": {**os.environ, "PATH": path}}
    configured = call(
        "cmake", "-S", REPOSITORY / source, "-B", folder, "-DMOBILESEG_STRICT=ON", *definitions, **options
    )
    assert configured.returncode == 0, configured.stdout + configured.stderr
    built = call("cmake", "--build", folder, "--parallel", "2", **options)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


_BUILT: dict[str, Path] = {}


def x86_programs(factory: pytest.TempPathFactory) -> Path:
    """The folder with ``onnxruntime/mobileseg_run`` and ``lite/mobileseg_lite_run``; built by the first who asks."""
    if "x86" not in _BUILT:
        need()
        folder = factory.mktemp("x86")
        lite = fake_paddle_lite(folder / "fake", "g++")
        _BUILT["x86"] = build("tests/deploy", folder / "build", f"-DPADDLE_LITE_DIR={lite}")
    return _BUILT["x86"]


def fake_paddle_lite(folder: Path, compiler: str) -> Path:
    """A folder like ``cxx`` of a release of Paddle Lite."""
    source = REPOSITORY / "tests" / "deploy" / "fake_paddle_lite"
    (folder / "cxx" / "lib").mkdir(parents=True)
    shutil.copytree(source / "include", folder / "cxx" / "include")
    library = folder / "cxx" / "lib" / "libpaddle_light_api_shared.so"
    done = call(
        *[compiler, "-std=c++17", "-O2", "-fPIC", "-shared", f"-Wl,-soname,{library.name}"],
        *["-I", source / "include", source / "fake_paddle_lite.cpp", "-o", library],
    )
    assert done.returncode == 0, done.stderr
    return folder / "cxx"


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 RGB ``[height, width, 3]``: smooth colours with hard edges and noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(height // 16, 1), max(width // 16, 1), 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image[: height // 3, : width // 2] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def write_image(path: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(path), image[:, :, ::-1])
    return path


def onnx_graph(
    path: Path, output_op: str, shape: list[int], dtype: str, labels: str = "int32", resize_hw: Any = None
) -> None:
    """A 3 x 3 convolution with random weights into :data:`CLASSES` classes, then what ``output_op`` says."""
    helper, kinds = onnx.helper, onnx.TensorProto
    random = np.random.default_rng(5)
    weights = onnx.numpy_helper.from_array(random.normal(size=(CLASSES, 3, 3, 3)).astype(np.float32), "w")
    nodes, x = [], "x"
    if dtype == "uint8":  # NHWC, scaled inside
        nodes = [
            helper.make_node("Cast", ["x"], ["x_float"], to=kinds.FLOAT),
            helper.make_node("Transpose", ["x_float"], ["x_planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Sub", ["x_planes", "middle"], ["x_shifted"]),
        ]
        x = "x_shifted"
    constants = [onnx.numpy_helper.from_array(np.array(127, np.float32), "middle")]
    if resize_hw is not None:
        nodes.append(helper.make_node("Resize", [x, "", "", "sizes"], ["x_resized"], mode="linear"))
        constants.append(onnx.numpy_helper.from_array(np.array([1, 3, *resize_hw], np.int64), "sizes"))
        x = "x_resized"
    floats = output_op in ("none", "softmax")
    nodes.append(helper.make_node("Conv", [x, "w"], ["y" if output_op == "none" else "scores"], pads=[1, 1, 1, 1]))
    if output_op == "softmax":
        nodes.append(helper.make_node("Softmax", ["scores"], ["y"], axis=1))
    elif not floats:
        nodes.append(helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0))
        nodes.append(helper.make_node("Cast", ["best"], ["y"], to=kinds.INT32 if labels == "int32" else kinds.INT64))
    kind = kinds.UINT8 if dtype == "uint8" else kinds.FLOAT
    output_kind = kinds.FLOAT if floats else kinds.INT32 if labels == "int32" else kinds.INT64
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", kind, [None if n == -1 else n for n in shape])],
        [helper.make_tensor_value_info("y", output_kind, None)],
        [weights, *constants],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)


def make_bundle(
    folder: Path,
    transforms: list[dict[str, Any]],
    output_op: str = "none",
    shape: list[int] | None = None,
    graph_input: dict[str, Any] | None = None,
    labels: str = "int32",
    lite: bytes | None = None,
) -> Path:
    """A bundle with an ONNX graph and, given its content, a Paddle Lite file for ARM."""
    described = {"name": "x", "dtype": "float32", "layout": "NCHW", "channel_order": "RGB", **(graph_input or {})}
    shape = shape or ([-1, 3, -1, -1] if described["layout"] == "NCHW" else [-1, -1, -1, 3])
    folder.mkdir(parents=True)
    onnx_graph(folder / "model.onnx", output_op, shape, described["dtype"], labels, described.get("resize_hw"))
    backends = {"onnxruntime": ["model.onnx"]}
    if lite is not None:
        (folder / "model_arm.nb").write_bytes(lite)
        backends["lite-arm"] = ["model_arm.nb"]
    about = {
        "network": "Small",
        "num_classes": CLASSES,
        "class_names": ["a", "b", "c", "d"],
        "palette": PALETTE,
        "input": described,
        "backends": backends,
        "files": describe_files(folder, [name for names in backends.values() for name in names]),
    }
    write_manifest(folder, {"transforms": transforms, "input_shape": shape, "output_op": output_op}, about)
    return folder
