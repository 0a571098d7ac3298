"""The little of CUDA that running an engine needs, through NVIDIA's package cuda-python. Not run on a GPU yet."""

from __future__ import annotations

import ctypes
import importlib
import sys
import weakref
from typing import Any

import numpy as np

REQUIREMENT = "cuda-python>=12.6"


def import_runtime() -> Any:
    """The module ``cuda.bindings.runtime``.

    Raises:
        ImportError: it is not installed, or is too old to have that name.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise ImportError(
            f"TensorRT needs the package cuda-python, which is not installed or too old ({error}); "
            f'run `pip install "{REQUIREMENT}"` (its first number is that of the CUDA of your driver: 12 or 13)'
        ) from error


def has_driver() -> bool:
    """Whether the library of NVIDIA's driver is there."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


class Device:
    """One GPU.

    Args:
        device_id: its number, from 0.

    Attributes:
        name: such as ``"NVIDIA GeForce RTX 3060"``.
        compute_capability: such as ``"8.6"``.

    Raises:
        ImportError: cuda-python is not installed.
        OSError: there is no driver, or no GPU of that number.
    """

    def __init__(self, device_id: int = 0) -> None:
        if isinstance(device_id, bool) or not isinstance(device_id, int) or device_id < 0:
            raise ValueError(f"device_id is {device_id!r}; expected a whole number from 0")
        self._cuda = import_runtime()
        self.device_id = device_id
        try:
            count = self._call(self._cuda.cudaGetDeviceCount)
        except OSError as error:
            raise OSError(f"no usable NVIDIA GPU: {error}; is there a GPU, and its driver (`nvidia-smi`)?") from error
        if device_id >= count:
            raise OSError(f"there is no GPU number {device_id}: CUDA sees {count} (numbered from 0)")
        self.use()
        properties = self._call(self._cuda.cudaGetDeviceProperties, device_id)
        name = properties.name
        self.name = name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)
        self.compute_capability = f"{properties.major}.{properties.minor}"
        self.stream = self._call(self._cuda.cudaStreamCreate)
        self._start, self._end = (self._call(self._cuda.cudaEventCreate) for _ in range(2))
        for destroy, what in (
            (self._cuda.cudaEventDestroy, self._start),
            (self._cuda.cudaEventDestroy, self._end),
            (self._cuda.cudaStreamDestroy, self.stream),
        ):
            weakref.finalize(self, destroy, what)

    def use(self) -> None:
        """Make it the current device of this thread, on which TensorRT builds and runs."""
        self._call(self._cuda.cudaSetDevice, self.device_id)

    def allocate(self, num_bytes: int) -> Buffer:
        """Memory on the GPU."""
        return Buffer(self._cuda, self._call(self._cuda.cudaMalloc, num_bytes), num_bytes)

    def to_device(self, buffer: Buffer, array: np.ndarray) -> None:
        """Copy a contiguous array, in the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._cuda.cudaMemcpyAsync, buffer.address, array.ctypes.data, array.nbytes, kind, self.stream)

    def to_host(self, array: np.ndarray, buffer: Buffer) -> None:
        """Copy into a contiguous array; it is filled when this returns."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaMemcpyAsync, array.ctypes.data, buffer.address, array.nbytes, kind, self.stream)
        self.wait()

    def wait(self) -> None:
        """Until everything in the stream is done."""
        self._call(self._cuda.cudaStreamSynchronize, self.stream)

    def start_clock(self) -> None:
        """Put an event into the stream."""
        self._call(self._cuda.cudaEventRecord, self._start, self.stream)

    def stop_clock(self) -> float:
        """Put a second event into the stream, wait until the GPU has come to it; milliseconds between the two."""
        self._call(self._cuda.cudaEventRecord, self._end, self.stream)
        self._call(self._cuda.cudaEventSynchronize, self._end)
        return float(self._call(self._cuda.cudaEventElapsedTime, self._start, self._end))

    def _call(self, function: Any, *arguments: Any) -> Any:
        """What a function of cuda-python gives behind its error code; ``None`` for those that give nothing."""
        status, *results = function(*arguments)
        if status != self._cuda.cudaError_t.cudaSuccess:
            text = self._cuda.cudaGetErrorString(status)[1]
            text = text.decode() if isinstance(text, bytes) else str(text)
            raise OSError(f"CUDA: {text} ({function.__name__}, error {int(status)})")
        return results[0] if results else None


class Buffer:
    """Memory on the GPU, given back when nothing refers to it any more.

    Attributes:
        address: on the GPU.
        num_bytes: its size.
    """

    def __init__(self, cuda: Any, address: int, num_bytes: int) -> None:
        self.address = address
        self.num_bytes = num_bytes
        weakref.finalize(self, cuda.cudaFree, address)
