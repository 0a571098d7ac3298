"""Runs one ``.nb`` file with Paddle Lite's light API for the process that started this script.

A script for the Python of :mod:`paddle_mobileseg.runtime.lite_environment` (3.8 or later): it imports neither NumPy nor
anything of this project. Paddle Lite answers what it does not like with SIGABRT or SIGSEGV, which ends only this
process.

    python lite_worker.py FILE.nb THREADS INPUT_FD OUTPUT_FD

Messages are lines of JSON. It says ``{"version", "dtype", "threads"}`` once the file is loaded. Then each request
``{"shape"}`` on stdin means: the tensor lies in INPUT_FD from its beginning; the answer
``{"shape", "dtype", "bytes", "ms"}`` on stdout: the output lies in OUTPUT_FD; ``ms`` are the milliseconds of reading
the input, running, and writing the output. ``{"error"}`` says what failed otherwise, ``{"missing"}`` that there is no
Paddle Lite. Tensors are raw, C order, in the machine's own byte order. The end of stdin ends the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any

# PrecisionType of Paddle Lite to the type in messages, its size in bytes, and the C++ type in the names of symbols.
_TYPES = {
    "FP32": ("float32", 4, "f"),
    "UINT8": ("uint8", 1, "h"),
    "INT32": ("int32", 4, "i"),
    "INT64": ("int64", 8, "l"),
}
_HOST = 1  # TargetType


class _Memory:
    """The memory of Paddle Lite's tensors.

    Its Python binding copies by lists of Python numbers, or needs NumPy. The C++ functions behind it are exported
    by its library; a Python object of pybind11 holds the C++ object's address behind the object's header.
    """

    def __init__(self, lite: Any) -> None:
        self._library = ctypes.CDLL(lite.__file__)
        self._data = self._function("_ZNK6paddle8lite_api6Tensor4dataIvEEPKT_v", [ctypes.c_void_p])

    def _function(self, symbol: str, arguments: list[Any]) -> Any:
        function = self._library[symbol]
        function.restype, function.argtypes = ctypes.c_void_p, arguments
        return function

    def of_input(self, tensor: Any, code: str, size: int) -> Any:
        """A buffer of ``size`` bytes: what a resized input tensor is to hold."""
        symbol = f"_ZNK6paddle8lite_api6Tensor12mutable_dataI{code}EEPT_NS0_10TargetTypeE"
        function = self._function(symbol, [ctypes.c_void_p, ctypes.c_int])
        return (ctypes.c_char * size).from_address(function(self._this(tensor), _HOST))

    def of_output(self, tensor: Any, size: int) -> Any:
        """A buffer of an output's bytes; ``None`` where no kernel wrote one."""
        address = self._data(self._this(tensor))
        return (ctypes.c_char * size).from_address(address) if address else None

    @staticmethod
    def _this(tensor: Any) -> ctypes.c_void_p:
        return ctypes.c_void_p.from_address(id(tensor) + object.__basicsize__)


class _Network:
    """A network, loaded again whenever the input's size changes.

    The kernels of Paddle Lite 2.13-rc for x86 keep buffers of the first size that they see: a larger one later gives
    wrong numbers without a word, a smaller one corrupts the heap.
    """

    def __init__(self, path: str, threads: int) -> None:
        from paddlelite import lite

        self._lite = lite
        self._threads = threads
        with open(path, "rb") as file:
            self._content = file.read()  # so that it stays this network whatever becomes of the file
        self._memory = _Memory(lite)
        self._predictor = self._load()
        self._shape: list[int] | None = None
        self._type = _type(self._predictor.get_input(0))
        self.hello = {
            "version": self._predictor.get_version(),
            "dtype": self._type[0],
            "threads": self._threads,
        }

    def _load(self) -> Any:
        config = self._lite.MobileConfig()
        config.set_model_from_buffer(self._content)
        predictor = self._lite.create_paddle_predictor(config)
        self._threads = _use_threads(self._lite, self._threads)  # after loading, which may choose another number
        return predictor

    def run(self, shape: list[int], source: int, target: int) -> dict[str, Any]:
        if self._shape not in (None, shape):
            self._predictor = self._load()
        self._shape = shape
        _, width, code = self._type
        start = time.perf_counter()
        tensor = self._predictor.get_input(0)
        tensor.resize(shape)
        _read(source, self._memory.of_input(tensor, code, _count(shape) * width))
        ready = time.perf_counter()
        self._predictor.run()
        computed = time.perf_counter()
        output = self._predictor.get_output(0)
        out_shape, (dtype, width, _) = output.shape(), _type(output)
        size = _count(out_shape) * width
        data = self._memory.of_output(output, size)
        if data is None:
            return {"error": "the network gave no output: the file is for another kind of processor"}
        os.ftruncate(target, size)
        _write(target, data)
        spent = [1000 * each for each in (ready - start, computed - ready, time.perf_counter() - computed)]
        return {"shape": out_shape, "dtype": dtype, "bytes": size, "ms": spent}


def _use_threads(lite: Any, threads: int) -> int:
    """Let matrix products have threads (OMP_NUM_THREADS rules the rest); says how many they have now.

    Paddle Lite loads the library itself, from the same file, and leaves it at one thread whatever its options say.
    """
    path = os.path.join(os.path.dirname(lite.__file__), "libs", "libmklml_intel.so")
    if not os.path.exists(path):
        return 1
    mkl = ctypes.CDLL(path)
    mkl.MKL_Set_Num_Threads(threads)
    return int(mkl.MKL_Get_Max_Threads())


def _type(tensor: Any) -> Any:
    name = str(tensor.precision()).rpartition(".")[2]
    if name not in _TYPES:
        raise ValueError(f"a tensor of type {name}; expected one of {', '.join(_TYPES)}")
    return _TYPES[name]


def _count(shape: list[int]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def _read(source: int, buffer: Any) -> None:
    view, done = memoryview(buffer).cast("B"), 0
    while done < len(view):
        got = os.preadv(source, [view[done:]], done)
        if got == 0:
            raise ValueError(f"{done} bytes of input; expected {len(view)}")
        done += got


def _write(target: int, buffer: Any) -> None:
    view, done = memoryview(buffer).cast("B"), 0
    while done < len(view):
        done += os.pwrite(target, view[done:], done)


def main() -> None:
    path, threads, source, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end closes stdin
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What C++ prints goes to stderr, of which the parent shows the end when this process dies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        network = _Network(path, threads)
    except ImportError as error:
        say({"missing": str(error)})
        return
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return
    say(network.hello)
    for line in sys.stdin:
        os.ftruncate(2, 0)  # last words are those of the last run
        try:
            say(network.run(json.loads(line)["shape"], source, target))
        except BrokenPipeError:
            return
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
