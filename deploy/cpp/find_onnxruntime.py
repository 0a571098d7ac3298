"""Print the path of the ONNX Runtime library that this Python's package brings."""

import importlib.util
import sys
from pathlib import Path

spec = importlib.util.find_spec("onnxruntime")
folders = (spec.submodule_search_locations or []) if spec else []
found = sorted(path for folder in folders for path in Path(folder).glob("capi/libonnxruntime.so*"))
if not found:
    sys.exit("no libonnxruntime.so in a package onnxruntime of " + sys.executable)
print(found[0])
